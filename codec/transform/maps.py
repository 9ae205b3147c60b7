"""What a table file means for one plane at one quality: step, level and layer of every (channel, frequency)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.transform import quantiser
from codec.transform.tables import NEVER_SENT, Tables
from codec.types import BoolArray, FloatArray, PlaneKind, SymbolArray


@dataclass(frozen=True)
class QuantMaps:
    """Arrays C×F that turn latents of one plane into symbols and back at one ladder index."""

    layer: npt.NDArray[np.uint8]  # layer of the coefficient, 255: never sent
    coded: BoolArray  # its table has a threshold and it is sent; all others are 0
    level: npt.NDArray[np.int16]
    step: FloatArray  # latent units
    inv_step: FloatArray
    theta: FloatArray  # steps
    r1: FloatArray
    r2: FloatArray
    kind: PlaneKind

    def quantise(self, latents: FloatArray) -> SymbolArray:
        """Latents N×C×F → symbols N×C×F int16, by the reference quantiser; coefficients that are not coded are 0."""
        if latents.ndim != 3 or latents.shape[1:] != self.layer.shape:
            raise InputError(
                "latents do not fit the plane", expected=f"N×{self.layer.shape}", found=latents.shape
            )
        symbols = quantiser.quantise(latents, self.inv_step, self.theta)
        symbols[:, ~self.coded] = 0
        return symbols

    def reconstruct(self, symbols: SymbolArray, layers: npt.NDArray[np.uint16] | None = None) -> FloatArray:
        """Symbols N×C×F → latents N×C×F at the conditional means.

        `layers` (N, bit l = layer l is there) takes the coefficients of absent layers as 0, their conditional mean.
        """
        values = quantiser.reconstruct(symbols, self.step, self.r1, self.r2)
        if layers is not None and not self._all_there(layers):
            bit = np.where(self.layer == NEVER_SENT, 16, self.layer).astype(np.uint32)
            values[((layers.astype(np.uint32)[:, None, None] >> bit) & 1) == 0] = 0
        return values

    def _all_there(self, layers: npt.NDArray[np.uint16]) -> bool:
        sent = np.unique(self.layer[self.layer != NEVER_SENT])
        every = np.uint16(sum(1 << int(layer) for layer in sent))
        return bool(((layers & every) == every).all())

    @property
    def n_coded_channels(self) -> int:
        """Channels up to the last that is coded in some band; at least 1. All behind them are 0 at this quality."""
        return 1 + int(np.flatnonzero(self.coded.any(axis=1)).max(initial=0))

    def first(self, channels: int) -> QuantMaps:
        """The maps of the first channels alone."""
        arrays = {f.name: getattr(self, f.name)[:channels] for f in fields(self) if f.name != "kind"}
        return replace(self, **arrays)


def quant_maps(
    tables: Tables, plane: int, ladder_index: int, offsets: Sequence[int] | None = None
) -> QuantMaps:
    """The maps of `plane` at `ladder_index`; `offsets` are ladder offsets of records, one per layer.

    Raises InputError when a layer would fall off the ladder.
    """
    allowed = tables.usable_indices()
    if ladder_index not in allowed:
        raise InputError(
            "the ladder index is outside what the tables allow",
            expected=f"{allowed.start} to {allowed.stop - 1}",
            found=ladder_index,
        )
    maps = tables.planes[plane]
    layer = maps.layer_map[maps.bands].T  # C×F
    classes = maps.class_map[maps.bands].T.astype(np.int64)
    shift = np.array([*maps.layer_shift, 0], dtype=np.int64)
    if offsets is not None:
        shift[:-1] += np.asarray(offsets, dtype=np.int64)
    position = ladder_index + shift[np.minimum(layer, len(shift) - 1)]
    level = np.clip(classes - position, 0, len(tables.levels) - 1)
    coded = np.array([len(entry.thresholds) > 0 for entry in tables.levels])
    r1, r2, theta = np.array([(e.r1, e.r2, e.theta) for e in tables.levels], dtype=np.float32).T
    step = tables.ladder[position]
    return QuantMaps(
        layer=np.ascontiguousarray(layer),
        coded=coded[level] & (layer != NEVER_SENT),
        level=level.astype(np.int16),
        step=step,
        inv_step=np.float32(1) / step,
        theta=theta[level],
        r1=r1[level],
        r2=r2[level],
        kind=maps.kind,
    )
