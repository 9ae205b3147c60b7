"""What a codec of a user's own windows would save: bytes at equal error against the codec at hand, on windows left out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from codec.package import Package
from codec.pretrain.fit import fit_embedded
from codec.pretrain.own_prior import prior_embeddings
from codec.transform.maps import quant_maps
from codec.transform.plane import PlaneTransform
from codec.transform.rate import COST_UNITS_PER_BYTE, symbol_costs
from codec.transform.tables import Tables
from codec.types import BoolArray, FloatArray


def with_prior(planes: Mapping[str, FloatArray], prior: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Embeddings and, behind them, those that are expected, by plane."""
    return {name: np.concatenate([planes[name], expected]) for name, expected in prior.items()}


def held_out_ratio(old: Package, planes: Mapping[str, FloatArray], first: BoolArray, turns: int) -> float:
    """Bytes of the first plane over those by `old` at its default quality, at the error it has there.

    `planes`: embeddings N×h×w×C by name, each window in `turns` orientations one after the other. `first`: which of the
    windows (N / turns) are one half. A codec is fitted to each half, and to what `old` expects, and asked of the other.
    Bytes are integer costs, without headers of records; the value is the geometric mean of both.
    """
    name = old.planes[0].name
    prior, logs = prior_embeddings(old), []
    for fitted_on in (first, ~first):
        shown = np.repeat(fitted_on, turns)
        given = {plane: values[shown] for plane, values in planes.items()}
        own = fit_embedded(with_prior(given, prior), freeze=False)
        held = planes[name][~shown][::turns]
        size, error = _size_and_error(old.transforms[name], old.table_file, held, old.default_ladder_index)
        logs.append(np.log(_size_at_error(own.transforms[name], own.tables, held, error) / size))
    return float(np.exp(np.mean(logs)))


def _size_and_error(
    transform: PlaneTransform, tables: Tables, tokens: FloatArray, index: int
) -> tuple[float, float]:
    """Bytes and squared error of all tiles, at one quality of plane 0."""
    latents = transform.analyse(tokens)
    maps = quant_maps(tables, 0, index)
    symbols = maps.quantise(latents)
    size = float(symbol_costs(tables, 0, index, symbols).sum()) / COST_UNITS_PER_BYTE
    return size, float(np.square(maps.reconstruct(symbols) - latents, dtype=np.float64).sum())


def _size_at_error(transform: PlaneTransform, tables: Tables, tokens: FloatArray, wanted: float) -> float:
    """Bytes where the error is that wanted, between two neighbouring qualities by their logarithms; at the ladder's ends
    those of the end."""
    usable = tables.usable_indices()
    fine, coarse = usable[0], usable[-1]
    ends = {index: _size_and_error(transform, tables, tokens, index) for index in (fine, coarse)}
    for index, outside in ((fine, ends[fine][1] > wanted), (coarse, ends[coarse][1] < wanted)):
        if outside:
            return ends[index][0]
    while coarse - fine > 1:  # errors grow with the index
        between = (fine + coarse) // 2
        ends[between] = _size_and_error(transform, tables, tokens, between)
        fine, coarse = (between, coarse) if ends[between][1] <= wanted else (fine, between)
    sizes, errors = (np.log(np.maximum([ends[i][k] for i in (fine, coarse)], 1e-12)) for k in (0, 1))
    return float(np.exp(np.interp(np.log(max(wanted, 1e-12)), errors, sizes)))
