"""A plane's quantiser as a kernel reads it, and what a quantising op gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from codec.errors import InputError
from codec.transform.maps import QuantMaps
from codec.transform.rate import magnitude_costs
from codec.transform.tables import Level

LEVELS = 128  # of a table file (bitstream §6), and columns of a cost table
# Magnitudes in a cost table, by the integer of the symbols; more than there are, so that an index needs no comparison.
DENSE = {torch.int8: 256, torch.int16: 32768}
# What a magnitude is cut to. For int16 the reference quantiser's; for int8 the first that does not fit: a flag, no symbol.
LIMIT = {torch.int8: 128, torch.int16: 32767}


@dataclass(frozen=True)
class Cells:
    """Parameters of the reference quantiser on a device, one entry per channel (C) or per coefficient (F×C)."""

    inv_step: Tensor  # float32, 1/step: finite, > 0
    theta: Tensor  # float32, dead zone in steps: 0 … 0.5
    code: Tensor  # int16: layer · 128 + level, −1 where nothing is coded
    costs: Tensor  # int16, magnitudes × 128 levels, 1/256 bit (bitstream §10.2)
    n_layers: int

    def __post_init__(self) -> None:
        parts = {"inv_step": torch.float32, "theta": torch.float32, "code": torch.int16, "costs": torch.int16}
        found = {name: getattr(self, name) for name in parts}
        if any(tensor.dtype != parts[name] for name, tensor in found.items()):
            raise InputError(
                "cells are of other types", expected=parts, found={n: t.dtype for n, t in found.items()}
            )
        shapes = {tuple(self.inv_step.shape), tuple(self.theta.shape), tuple(self.code.shape)}
        if len(shapes) > 1 or len({tensor.device for tensor in found.values()}) > 1:
            raise InputError("all cells have one shape and lie on one device", found=sorted(shapes))
        if self.costs.ndim != 2 or self.costs.shape[0] not in DENSE.values() or self.costs.shape[1] != LEVELS:
            raise InputError(
                "a table of costs holds all magnitudes of an integer, for 128 levels",
                expected=[(rows, LEVELS) for rows in DENSE.values()], found=tuple(self.costs.shape),
            )  # fmt: skip
        if not 1 <= self.n_layers <= 16:
            raise InputError("a plane has 1 to 16 layers", found=self.n_layers)

    @classmethod
    def of(
        cls, maps: QuantMaps, levels: Sequence[Level], n_layers: int, kind: torch.dtype, device: torch.device | str
    ) -> Cells:  # fmt: skip
        """F×C from the C×F maps of a plane at one quality; symbols shall be `kind`, int8 or int16."""
        if kind not in DENSE:
            raise InputError("symbols are int8 or int16", found=kind)
        code = np.where(maps.coded, maps.layer.astype(np.int16) * LEVELS + maps.level, -1)

        def on_device(values: npt.NDArray[np.generic], kind: type[np.generic]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values.T, dtype=kind)).to(device)

        return cls(
            on_device(maps.inv_step, np.float32), on_device(maps.theta, np.float32), on_device(code, np.int16),
            torch.from_numpy(cost_table(tuple(levels), DENSE[kind])).to(device), n_layers,
        )  # fmt: skip

    @property
    def kind(self) -> torch.dtype:
        """Of the symbols."""
        return symbol_kind(self.costs)

    def per_channel(self) -> Cells:
        """C from F×C. Raises InputError where tokens differ, as frequencies do."""
        parts = {name: getattr(self, name) for name in ("inv_step", "theta", "code")}
        if any(bool((tensor != tensor[:1]).any()) for tensor in parts.values()):
            raise InputError(
                "the plane quantises its tokens differently",
                fix="use quantise_projection, whose parameters belong to coefficients",
            )
        return replace(self, **{name: tensor[0].contiguous() for name, tensor in parts.items()})


class Quantised(NamedTuple):
    """Symbols of N tiles as the coder takes them with order "token", and what is known of them without reading them."""

    symbols: Tensor  # N×F×C int8 or int16
    tile_costs: Tensor  # N×layers int64, 1/256 bit: those of `codec.bitstream.core.tile_costs`
    largest: Tensor  # N float32: the largest magnitude; NaN where a latent is; 128 of int8: one that it does not hold

    def checked(self) -> Quantised:
        """Itself; waits for the device. Raises InputError, naming the first tile, where its symbols are not the latents'.

        Of such a tile neither symbols nor costs mean anything; the reference quantiser refuses NaN too.
        """
        largest = self.largest.cpu()
        for bad, what, fix in (
            (largest.isnan(), "a latent of tile {} is not a number", "mark unmeasured pixels invalid"),
            (
                largest > torch.iinfo(self.symbols.dtype).max,
                "a symbol of tile {} is larger than int8 holds",
                "quantise it into int16",
            ),
        ):
            if bool(bad.any()):
                raise InputError(what.format(int(bad.int().argmax())), fix=fix)
        return self


def symbol_kind(costs: Tensor) -> torch.dtype:
    """The integer whose magnitudes a table of costs holds."""
    return next(kind for kind, rows in DENSE.items() if rows == costs.shape[0])


@lru_cache(maxsize=4)
def cost_table(levels: tuple[Level, ...], n_magnitudes: int) -> npt.NDArray[np.int16]:
    """Costs of all magnitudes in 1/256 bit, by magnitude first: neighbours of one size then share a cache line.

    At most 4096 + 256 · (1 + 8 + 31): 16 bits hold it. Columns beyond the levels are 0.
    """
    table = np.zeros((n_magnitudes, LEVELS), dtype=np.int16)
    for number, level in enumerate(levels):
        table[:, number] = magnitude_costs(level, n_magnitudes)
    return table
