"""A package's tables and layer plans as kernels read them: flat integer arrays on one device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from codec.bitstream.core import TableSet, plane_layout

_TOTAL = 65536
_IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class DeviceTables:
    """All levels of a table file (bitstream §5.3, §6), int32 but for `fine`.

    An index is found in two loads at most, whatever the table: the slot's upper byte says it (`coarse`), or which block of
    256 its lower byte is looked up in (`fine`).
    """

    levels: Tensor  # n: K | low bits << 8 | where the level begins in `edges` << 12
    edges: Tensor  # of each index k: T_k | share of one magnitude, (T_(k+1) − T_k) / 2^b_k, << 16
    coarse: Tensor  # n×256: index, or −1 − block
    fine: Tensor  # blocks×256, uint8

    @classmethod
    def of(cls, tables: TableSet, device: torch.device) -> DeviceTables:
        """Of a table set on one device by its number: made once while the set lives, for whoever has many small files."""
        kept = _KEPT.setdefault(tables, {})
        if device not in kept:
            kept[device] = cls._made(tables, device)
        return kept[device]

    @classmethod
    def _made(cls, tables: TableSet, device: torch.device) -> DeviceTables:
        levels, edges, coarse, fine = [], [], [], [np.zeros(256, np.uint8)]  # a block at least
        begin = 0
        for level in range(tables.n_tables):
            thresholds, low = tables.thresholds(level).astype(np.int64), tables.low_bits(level)
            ends = np.array([0, *thresholds, _TOTAL])
            share = np.diff(ends) >> np.where(np.arange(len(thresholds) + 1) > 0, low, 0)
            # Where nothing is coded the only share is 65536, which no kernel reads.
            edges.append(ends[:-1] | (share & 0xFFFF) << 16)
            levels.append(len(thresholds) | low << 8 | begin << 12)
            begin += len(thresholds) + 1
            index = np.repeat(np.arange(len(ends) - 1), np.diff(ends)).reshape(256, 256)
            row = index[:, 0].copy()
            for block in np.flatnonzero(index[:, 0] != index[:, -1]):
                row[block] = -1 - len(fine)
                fine.append(index[block].astype(np.uint8))
            coarse.append(row)
        return cls(
            _on(device, levels),
            _on(device, np.concatenate(edges)),
            _on(device, coarse),
            torch.from_numpy(np.stack(fine)).to(device),
        )


_KEPT: WeakKeyDictionary[TableSet, dict[torch.device, DeviceTables]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """What of one layer is coded at one place on the ladder, in coding order (bitstream §5.2)."""

    groups: _IntArray  # G×4: first run, runs, where the band's frequencies begin, how many they are
    runs: _IntArray  # n×2: channel, level
    symbols_per_tile: int
    all: npt.NDArray[np.bool_]  # F×C: what belongs to the layer
    silent: npt.NDArray[np.bool_]  # F×C: of these, what has a table without thresholds and is always 0


class PlanePlans:
    """The plans of one plane, made when first asked for."""

    def __init__(self, tables: TableSet, plane: int) -> None:
        layout = plane_layout(tables, plane)
        self._tables, self._plane = tables, plane
        self.layer_map = np.asarray(layout["layer_map"])  # B×C
        self._class_map = np.asarray(layout["class_map"]).astype(np.int64)  # B×C
        self._shift = np.asarray(layout["layer_shift"])
        self.bands = np.asarray(layout["bands"]).astype(np.int64)  # F
        self.n_layers, self.channels, self.tokens = (
            int(layout["n_layers"]),
            int(layout["channels"]),
            len(self.bands),
        )
        self.rows, self.cols = int(layout["rows"]), int(layout["cols"])
        self.frequencies = np.argsort(self.bands, kind="stable").astype(
            np.int32
        )  # band after band, each in raster order
        self._band_size = np.bincount(self.bands, minlength=len(self.layer_map))
        self._made: dict[tuple[int, int, int], LayerPlan | None] = {}

    @cached_property
    def _n_thresholds(self) -> npt.NDArray[np.int64]:
        return np.array([len(self._tables.thresholds(level)) for level in range(self._tables.n_tables)])

    def at(self, layer: int, q: int, lanes: int) -> LayerPlan | None:
        """Of `layer` at q = ladder index + offset (bitstream §5.2); None where that leads off the ladder."""
        key = layer, q, lanes
        if key not in self._made:
            self._made[key] = self._make(layer, q, lanes)
        return self._made[key]

    def _make(self, layer: int, q: int, lanes: int) -> LayerPlan | None:
        e, last = q + int(self._shift[layer]), self._tables.n_ladder - 1
        if not 0 <= q <= last or not 0 <= e <= last:
            return None
        found = np.clip(self._class_map - e, 0, self._tables.n_tables - 1)
        of_layer = self.layer_map == layer
        coded = of_layer & (self._n_thresholds[found] > 0)
        begin = np.concatenate([[0], np.cumsum(self._band_size)])
        groups: list[tuple[int, int, int, int]] = []
        runs: list[tuple[int, int]] = []
        for band in np.flatnonzero(coded.any(1)):
            channels = np.flatnonzero(coded[band])
            size = int(self._band_size[band])
            groups += [
                (len(runs) + first, min(lanes, len(channels) - first), int(begin[band]), size)
                for first in range(0, len(channels), lanes)
            ]
            runs += [(int(channel), int(found[band, channel])) for channel in channels]
        return LayerPlan(
            np.array(groups, np.int32).reshape(-1, 4),
            np.array(runs, np.int32).reshape(-1, 2),
            int((coded.sum(1) * self._band_size).sum()),
            of_layer[self.bands],
            (of_layer & ~coded)[self.bands],
        )


def _on(device: torch.device, values: npt.ArrayLike) -> Tensor:
    return torch.from_numpy(
        np.ascontiguousarray(np.asarray(values, np.int64)).astype(np.uint32).view(np.int32)
    ).to(device)
