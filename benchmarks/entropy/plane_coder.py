"""Ours: symbols of one plane to complete records and back, through the compiled core as any caller would.

Records are planned by the product's own rule (bitstream §10.3) before the clock starts; `encode` can be timed with the
planning too. What the core cannot do yet (`order`, float outputs, `threads`) raises Missing with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.entropy import buffers
from benchmarks.entropy.missing import Missing
from codec.bitstream import grouping
from codec.bitstream import record as rec
from codec.bitstream.core import TableSet, tile_costs
from codec.bitstream.grouping import ARCHIVE_TARGET, LINK_TARGET
from codec.bitstream.masks import PlaneMasks
from codec.transform.tables import NEVER_SENT, Tables
from codec.types import RecordHeader, RecordKind

TILE_ORDER, TOKEN_ORDER = "tile", "token"  # tiles × channels × tokens, tiles × tokens × channels
OVERHEAD = rec.OVERHEAD  # bytes of a record that are not payload: header and CRC

Symbols = npt.NDArray[Any]

__all__ = ["ARCHIVE_TARGET", "LINK_TARGET", "OVERHEAD", "TILE_ORDER", "TOKEN_ORDER", "PlaneCoder", "takes"]


def takes(function: Any, parameter: str) -> bool:
    """Does a function of the core have this parameter? Its signature is the first line of its text."""
    return re.search(rf"[(,]\s*\*?\s*{parameter}\b\s*:", (function.__doc__ or "").split("\n")[0]) is not None


@dataclass
class PlaneCoder:
    """Codes N tiles of one plane of `tables`, all layers in one call."""

    tables: Tables
    n_tiles: int
    plane: int = 0
    ladder_index: int = 0
    order: str = TILE_ORDER
    threads: int = 1
    target_bytes: int = ARCHIVE_TARGET

    def __post_init__(self) -> None:
        import _swathpack_core as core

        self._core = core
        self._set = TableSet(self.tables.encode())
        maps = self.tables.planes[self.plane]
        n_frequencies = maps.rows * maps.cols
        self.n_layers, self.n_coefficients = len(maps.layer_shift), maps.channels * n_frequencies
        self._tile_shape = (
            (maps.channels, n_frequencies) if self.order == TILE_ORDER else (n_frequencies, maps.channels)
        )
        in_layer = np.bincount(maps.bands, minlength=len(maps.layer_map))
        self._per_tile = [
            int(((maps.layer_map == layer) * in_layer[:, None]).sum()) for layer in range(self.n_layers)
        ]
        self._tile_mask = np.zeros(self.n_tiles, dtype=bool)
        self._token_mask = np.zeros((self.n_tiles, n_frequencies), dtype=bool)
        self._doubled = np.zeros((self.n_tiles, n_frequencies), dtype=bool)
        self._out_mask = np.ones((self.n_tiles, n_frequencies), dtype=bool)
        self._layers = np.zeros(self.n_tiles, dtype=np.uint16)
        # What no record writes stays as it was: coefficients that are never sent are 0 from the start, others are not.
        sent = (maps.layer_map[maps.bands].T != NEVER_SENT).astype(np.int8)
        self._other = sent if self.order == TILE_ORDER else sent.T
        self._extra = self._options()
        self.headers = np.zeros(0, dtype=np.uint64)

    def _options(self) -> dict[str, Any]:
        """Arguments beyond those that every version of the core takes."""
        extra: dict[str, Any] = {}
        for name, value, usual in (("order", self.order, TILE_ORDER), ("threads", self.threads, 1)):
            if value == usual:
                continue
            if not takes(self._core.decode_records, name):
                raise Missing(f"this core has no {name}= for records yet")
            extra[name] = value
        return extra

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the symbols, tiles first."""
        return (self.n_tiles, *self._tile_shape)

    def plan(self, symbols: Symbols) -> npt.NDArray[np.uint64]:
        """Packed headers of all layers: which tiles share a record, and with how many lanes."""
        masks = PlaneMasks(
            self._doubled, self._token_mask, self._tile_mask, np.ones(self.n_tiles, np.int64), self._tile_mask
        )  # no token is masked: one bit a tile, none partly masked
        words = []
        for layer in range(self.n_layers):
            costs = tile_costs(
                self._set, self.plane, layer, self.ladder_index, symbols, **self._cost_options()
            )
            runs = grouping.runs(
                costs, masks, layer=layer, coefficients_per_tile=self._per_tile[layer],
                target_bytes=self.target_bytes,
            )  # fmt: skip
            words += [
                rec.pack_fields(
                    RecordHeader(
                        RecordKind.COEFFICIENTS, self.plane, layer, run.log2_lanes, 0, run.first, run.count, 1
                    )
                )
                for run in runs
            ]
        self.headers = np.array(words, dtype=np.uint64)
        return self.headers

    def plan_equal(self, symbols: Symbols, tiles: int) -> npt.NDArray[np.uint64]:
        """Packed headers of records of `tiles` tiles each, whatever their size; lanes by the product's rule."""
        costs = tile_costs(self._set, self.plane, 0, self.ladder_index, symbols, **self._cost_options())
        words = []
        for first in range(0, self.n_tiles, tiles):
            count = min(tiles, self.n_tiles - first)
            estimate = 2 - (-int(costs[first : first + count].sum()) // 2048)  # §10.3, no masks
            lanes = grouping.log2_lanes(estimate)
            words.append(
                rec.pack_fields(
                    RecordHeader(RecordKind.COEFFICIENTS, self.plane, 0, lanes, 0, first, count, 1)
                )
            )
        self.headers = np.array(words, dtype=np.uint64)
        return self.headers

    def lanes(self) -> npt.NDArray[np.int64]:
        """Of each planned record."""
        return np.array([1 << (int(word) >> 10 & 7) for word in self.headers], dtype=np.int64)

    def _cost_options(self) -> dict[str, Any]:
        return {k: v for k, v in self._extra.items() if takes(self._core.tile_costs, k)}

    def encode(self, symbols: Symbols) -> list[bytes]:
        """Complete records of the planned headers."""
        return self._core.encode_records(
            self._set, self.headers, self.ladder_index, symbols, self._tile_mask, self._token_mask, self._doubled,
            **self._extra,
        )  # fmt: skip

    def decode(self, records: Sequence[Any], out: Symbols) -> Symbols:
        """All records into `out`; an outcome other than success raises ValueError."""
        self._layers[...] = 0  # as for a file that was just opened: nothing of it has come yet
        outcome = self._core.decode_records(
            self._set, records, self.ladder_index, self.n_tiles, self._doubled, out, self._out_mask, self._layers,
            self.plane, **self._extra,
        )  # fmt: skip
        if any(refusal is not None for refusal in outcome):
            raise ValueError(f"a record was refused: {next(r for r in outcome if r is not None)}")
        return out

    def check(self, symbols: Symbols, aligned: Sequence[int] = buffers.OFFSETS) -> list[bytes]:
        """Encode, then decode at every alignment; ValueError unless all symbols come back and no token is lost.

        Records are planned first, unless they are.
        """
        if not len(self.headers):
            self.plan(symbols)
        records = self.encode(symbols)
        if any(self.encode(copy) != records for copy in buffers.copies(symbols, aligned[1:2])):
            raise ValueError("equal symbols at another address gave other records")
        for offset in aligned:
            out = buffers.empty(symbols.shape, symbols.dtype, offset)
            out[...] = self._other  # an array that already holds the answer would prove nothing
            self._out_mask[...] = True
            if not np.array_equal(self.decode([buffers.moved(r, offset) for r in records], out), symbols):
                raise ValueError("decoding does not give back what was encoded")
            if self._out_mask.any():
                raise ValueError("a valid token came back as masked")
        return records
