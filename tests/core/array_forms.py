"""The same coefficients in other arrays: by token instead of by tile, as values instead of symbols; and each back end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from coding_cases import Case, level_of, random_symbols
from table_files import PlaneTableSpec, TableFile, TableSpec, laplace_thresholds, packed_header

from _swathpack_core import isa, isas, set_isa
from codec.transform.quantiser import quantise, reconstruct

ISAS = isas()


@contextmanager
def using(name: str) -> Iterator[None]:
    """One back end of the core; afterwards the one before."""
    before = isa()
    set_isa(name)
    try:
        yield
    finally:
        set_isa(before)


def by_token(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """N×C×F to N×F×C."""
    return np.ascontiguousarray(values.swapaxes(1, 2))


def _per_coefficient(case: Case) -> tuple[npt.NDArray[np.float32], ...]:
    """C×F: step width, r1, r2, θ and whether anything is coded, by §5.2, §8.1 and §10.1; 1 where never sent."""
    spec, q = case.file.planes[0], case.ladder_index + case.offset
    out = np.ones((5, spec.channels, spec.n_frequencies), np.float32)
    for f, band in enumerate(spec.bands):
        for channel in range(spec.channels):
            level = level_of(case.file, 0, band, channel, q)
            if level is not None:
                table = case.file.tables[level]
                step = case.file.ladder[q + spec.layer_shift[spec.layer_map[band, channel]]]
                out[:, channel, f] = (step, table.r1, table.r2, table.theta, bool(table.thresholds))
    return tuple(out)


def values_of(case: Case, symbols: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """What the decoder must give for `symbols` N×C×F, in float32."""
    step, r1, r2, _, _ = _per_coefficient(case)
    return reconstruct(symbols, step, r1, r2)


def symbols_of(case: Case, latents: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """What the encoder must code for `latents` N×C×F."""
    step, _, _, theta, coded = _per_coefficient(case)
    return (quantise(latents, np.float32(1) / step, theta) * (coded > 0)).astype(np.int16)


def random_latents(case: Case, seed: int) -> npt.NDArray[np.float32]:
    """N×C×F: mostly near the coarse steps, with halves of a step, zeros of both signs, and the unbounded."""
    rng = np.random.default_rng(seed)
    step = _per_coefficient(case)[0]
    latents = rng.laplace(0, 1.5, case.symbols.shape).astype(np.float32) * step
    special = np.array([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 40000.0, -40000.0, np.inf, -np.inf], np.float32)
    where = rng.random(case.symbols.shape) < 0.2
    latents[where] = (rng.choice(special, case.symbols.shape) * step)[where]
    return latents


def many_records(log2_lanes: int) -> Case:
    """Forty records of one tile; 2×2 tokens, 70 channels."""
    cells = np.zeros((1, 70), np.uint8)
    plane = PlaneTableSpec(2, 2, 70, 1, (0,) * 4, cells, cells, (0,), kind=1)
    tokens = np.zeros((40, 4), np.bool_)
    headers = [packed_header(t, 0, log2_lanes=log2_lanes) for t in range(40)]
    case = Case(
        TableFile([TableSpec(laplace_thresholds(1.0, 6))], [plane]),
        0, np.zeros((40, 70, 4), np.int16), np.zeros(40, np.bool_), tokens, tokens, headers, 0,
        log2_lanes=log2_lanes,
    )  # fmt: skip
    case.symbols = random_symbols(case, np.random.default_rng(log2_lanes), 0.4, 300)
    return case
