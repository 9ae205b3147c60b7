"""The quality of a lossy file: given, or the finest that keeps to a budget of bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from codec.arrays.frame import Frame
from codec.arrays.job import Job, floats
from codec.bitstream import core
from codec.errors import InputError
from codec.pipeline.chunked import symbols_of
from codec.transform.quantiser import MAX_MAGNITUDE
from codec.transform.rate import COST_UNITS_PER_BYTE, choose_ladder_index
from codec.types import BoolArray, Record, Symbols

_SAMPLE_VALUES = 1 << 20  # numbers that a quality is chosen by; the whole is checked afterwards
_RECORD_BYTES = 12 + 3 + 8  # header, CRC, form and state, entry of the index
_ESTIMATE_MARGIN = 1.004  # states of many lanes, and what a sample may miss


@dataclass(frozen=True)
class Quality:
    bytes_per_vector: float | None
    total_bytes: int | None
    ladder_index: int | None

    def check(self, job: Job) -> None:
        given = [v for v in (self.bytes_per_vector, self.total_bytes, self.ladder_index) if v is not None]
        if len(given) > 1:
            raise InputError("give one of bytes_per_vector, total_bytes and ladder_index")
        if given and job.lossless:
            raise InputError("coding without loss has one size; a budget or a quality means nothing to it")
        if given and not (_is_number(given[0]) and math.isfinite(given[0]) and given[0] >= 0):
            raise InputError(
                "a budget or an index is a finite number of at least 0",
                found=repr(given[0]),
                fix="give such a number",
            )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def within(frame: Frame, quality: Quality) -> bytes:
    """Code at the quality asked for; a budget is checked against what was really written."""
    package, job = frame.package, frame.job
    indices = package.ladder_indices
    index = package.default_ladder_index if quality.ladder_index is None else quality.ladder_index
    if index not in indices:
        raise InputError("no such quality", expected=f"{indices[0]} to {indices[-1]}", found=index)

    def read(tiles: range) -> tuple[np.ndarray, BoolArray]:
        values, known = job.source.read(tiles)
        return floats(job, values, tiles), known

    budget = (
        _Budget(frame, quality)
        if quality.bytes_per_vector is not None or quality.total_bytes is not None
        else None
    )
    if budget is not None:
        index = budget.index(read)
    while True:
        values, validity = symbols_of(package, 0, index, job.source.n_tiles, read)
        # The quantiser clips (bitstream §10.1) and says nothing: what it clipped would decode to other numbers.
        clipped = max(int(values.max()), -int(values.min())) >= MAX_MAGNITUDE
        if clipped and (budget is None or index + 1 not in indices):
            raise InputError(
                "numbers lie so far out that this quality cannot hold them", found=f"quality {index} of {indices[-1]}",
                fix="choose a coarser one, or fit a package to these embeddings",
            )  # fmt: skip
        if not clipped:
            records = frame.records(index, [Symbols(0, values, validity)])
            if budget is None or budget.is_kept(records, validity):
                return frame.file(index, records)
            if index + 1 not in indices:
                raise budget.refusal(records, validity)
        index += 1


class _Budget:
    """How many bytes there may be, and which quality keeps to it."""

    def __init__(self, frame: Frame, quality: Quality) -> None:
        self._frame, self._quality = frame, quality
        self._fixed = frame.fixed_bytes() if quality.total_bytes is not None else 0

    def _used(self, records: list[Record]) -> int:
        coefficients = sum(len(r.data) for r in records)
        if self._quality.total_bytes is None:
            return coefficients
        return self._fixed + coefficients + 8 * len(records)

    def _allowed(self, n_valid: int) -> float:
        if self._quality.total_bytes is not None:
            return float(self._quality.total_bytes)
        return float(self._quality.bytes_per_vector or 0.0) * max(1, n_valid)

    def is_kept(self, records: list[Record], validity: BoolArray) -> bool:
        return self._used(records) <= self._allowed(int(validity.sum()))

    def index(self, read: Any) -> int:
        """The finest quality that keeps to the budget on a sample; the coarsest when none does (the whole decides)."""
        package, source = self._frame.package, self._frame.job.source
        most = max(1, _SAMPLE_VALUES // source.values_per_tile)
        sample = np.unique(np.linspace(0, source.n_tiles - 1, min(most, source.n_tiles)).astype(np.int64))
        values, known = read(sample)
        share = source.n_tiles / len(sample)
        allowed = self._allowed(int(known.sum() * share)) - self._fixed
        n_layers = package.planes[0].spec.n_layers

        def part_of_sample(part: range) -> tuple[np.ndarray, BoolArray]:
            return values[part.start : part.stop], known[part.start : part.stop]

        def bytes_at(index: int) -> float:
            symbols, _ = symbols_of(package, 0, index, len(sample), part_of_sample)
            total = 0.0
            for layer in range(n_layers):
                costs = core.tile_costs(package.tables, 0, layer, index, symbols)
                payload = (
                    share * float(costs[known.any(axis=(1, 2))].sum(dtype=np.uint64)) / COST_UNITS_PER_BYTE
                )
                total += payload + _RECORD_BYTES * max(1.0, payload / max(1, self._frame.target_bytes - 15))
            return total * _ESTIMATE_MARGIN

        indices = package.ladder_indices
        return choose_ladder_index(indices, bytes_at, max(allowed, bytes_at(indices[-1])))

    def refusal(self, records: list[Record], validity: BoolArray) -> InputError:
        """The coarsest quality takes more than the budget: say what can be reached."""
        package = self._frame.package
        least = self._used(records)

        def read(tiles: range) -> tuple[np.ndarray, BoolArray]:
            values, known = self._frame.job.source.read(tiles)
            return floats(self._frame.job, values, tiles), known

        finest = package.ladder_indices[0]
        values, _ = symbols_of(package, 0, finest, self._frame.job.source.n_tiles, read)
        most = self._used(self._frame.records(finest, [Symbols(0, values, validity)]))
        n = 1 if self._quality.total_bytes is not None else max(1, int(validity.sum()))
        name = "total_bytes" if self._quality.total_bytes is not None else "bytes_per_vector"
        return InputError(
            f"{name} lies below what this array can be coded to", expected=f"{least / n:.6g} to {most / n:.6g}",
            found=self._allowed(int(validity.sum())) / n, fix="allow more bytes, or fit a package to these embeddings",
        )  # fmt: skip
