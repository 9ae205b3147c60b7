"""Fitting the integer lifting of a plane: least squares over neighbours, then over lower channels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.transform.lifting import MAX_MODULUS, NEIGHBOURS, UNIT_BITS, Lifting, neighbours_of
from codec.types import BoolArray

_UNIT = 1 << UNIT_BITS
_LARGEST_WEIGHT = 32767
_RIDGE = 1e-4  # of the mean variance: keeps weights small where channels say the same
# A weight in the archive takes two bytes; the channel step must save more than that (and a little for the risk).
_BITS_PER_WEIGHT = 16
_ROUNDING_VARIANCE = 1 / 12  # of an integer residual: below it prediction gains nothing

FloatMatrix = npt.NDArray[np.float64]


def value_range(dtype: np.dtype, low: int = 0, high: int = 0) -> tuple[int, int]:
    """Low and M for integers of `dtype`. Bytes take their whole type; int16 what lies from `low` to `high`.

    Raises InputError where int16 uses all 65,536 numbers.
    """
    if dtype.itemsize == 1:
        limits = np.iinfo(dtype)
        return int(limits.min), 256
    modulus = high - low + 1
    if modulus > MAX_MODULUS:
        raise InputError(
            "the array holds both -32768 and 32767; at most 65,535 numbers in a row can be coded",
            fix="declare one of them as nodata",
        )
    power = 1 << (modulus - 1).bit_length()  # remainders by a power of two are fast
    if power <= 32768:
        low, modulus = max(-32768, min(low - (power - modulus) // 2, 32768 - power)), power
    return low, modulus


def fit_lifting(
    values: np.ndarray,
    known: BoolArray,
    *,
    low: int,
    modulus: int,
    spatial: bool,
    n_tokens: int | None = None,
) -> Lifting:
    """Lifting `linear` from integers N×h×w×C, of which `known` N×h×w count.

    `spatial`: whether neighbours of a tile mean anything. `n_tokens`: how many tokens the file will hold when its
    lifting travels in it, so that weights must earn their bytes; None when a package keeps them.
    """
    x = values.astype(np.int32)
    channels = x.shape[3]
    tokens = x[known]
    if not len(tokens):
        middle = np.full(channels, low + modulus // 2, dtype=np.int16)
        return _lifting(low, modulus, middle)
    start = np.clip(np.rint(tokens.mean(axis=0)), low, low + modulus - 1).astype(np.int16)
    lifting = _lifting(low, modulus, start)
    if spatial and x.shape[1] * x.shape[2] > 1:
        lifting = _lifting(low, modulus, start, _neighbour_weights(x - start, known))
    residual = lifting.forward(x, known)  # no channel step yet: N×C×F
    there = known.reshape(len(known), 1, -1)
    r = np.moveaxis(residual, 1, 2)[there[:, 0]].astype(np.float64)
    matrix = _channel_weights(r, n_tokens)
    return _lifting(low, modulus, start, lifting.neighbours, matrix)


def _lifting(
    low: int,
    modulus: int,
    start: npt.NDArray[np.int16],
    neighbours: npt.NDArray[np.int16] | None = None,
    channels: npt.NDArray[np.int16] | None = None,
) -> Lifting:
    n = len(start)
    if neighbours is None:
        neighbours = np.zeros((n, NEIGHBOURS), dtype=np.int16)
    if channels is None:
        channels = np.zeros((n, n), dtype=np.int16)
    return Lifting(low, modulus, start, neighbours, channels)


def _integer_weights(weights: FloatMatrix) -> npt.NDArray[np.int16]:
    return np.clip(np.rint(weights * _UNIT), -_LARGEST_WEIGHT, _LARGEST_WEIGHT).astype(np.int16)


def _neighbour_weights(d: npt.NDArray[np.int32], known: BoolArray) -> npt.NDArray[np.int16]:
    """C×4 by least squares, channel by channel, from known tokens of N×h×w×C (relative to b) with known neighbours."""
    n_channels = d.shape[3]
    usable = known & np.logical_and.reduce(
        [n[..., 0] > 0 for n in neighbours_of(known[..., None].astype(np.int8))]
    )
    around = np.stack([n[usable] for n in neighbours_of(d)]).astype(np.float64)  # 4×T×C
    target = d[usable].astype(np.float64)
    if len(target) < 2 * NEIGHBOURS:
        return np.zeros((n_channels, NEIGHBOURS), dtype=np.int16)
    gram = np.einsum("atc,btc->cab", around, around)
    moment = np.einsum("atc,tc->ca", around, target)
    power = np.maximum(np.einsum("caa->c", gram) / NEIGHBOURS, 1e-9)
    gram += _RIDGE * power[:, None, None] * np.eye(NEIGHBOURS)
    weights = np.linalg.solve(gram, moment[..., None])[..., 0]
    left = (target**2).sum(axis=0)
    after = left - 2 * (weights * moment).sum(axis=1) + np.einsum("ca,cab,cb->c", weights, gram, weights)
    weights[after > 0.98 * left] = (
        0  # nothing is gained: the way back then needs no steps from token to token
    )
    return _integer_weights(weights)


def _channel_weights(r: FloatMatrix, n_tokens: int | None) -> npt.NDArray[np.int16]:
    """C×C below the diagonal by least squares on tokens T×C; zeros where they save less than they cost."""
    n_tokens_fitted, channels = r.shape
    none = np.zeros((channels, channels), dtype=np.int16)
    if channels < 2 or n_tokens_fitted < 4 * channels:
        return none
    covariance = r.T @ r / n_tokens_fitted
    mean_power = float(np.trace(covariance)) / channels
    if mean_power <= 0:
        return none
    factor = np.linalg.cholesky(covariance + _RIDGE * mean_power * np.eye(channels))
    unit = factor / np.diag(factor)  # r = unit @ innovations
    weights = _integer_weights(-np.tril(np.linalg.inv(unit), -1))
    before = np.diag(covariance) + _ROUNDING_VARIANCE
    predicted = r @ (weights / _UNIT).T
    after = ((r - predicted) ** 2).mean(axis=0) + _ROUNDING_VARIANCE
    saved = 0.5 * np.log2(before / after)  # bits per token and channel
    weights[saved <= 0.002] = 0
    if (
        n_tokens is not None
        and float(np.maximum(saved, 0).sum()) * n_tokens <= _BITS_PER_WEIGHT * channels**2
    ):
        return none
    return weights
