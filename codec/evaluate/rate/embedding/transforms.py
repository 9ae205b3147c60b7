"""Rivals that share our entropy coder and lack a part of our transform, each with conditional-mean reconstruction.

- `per-channel`: the static twin of NEC. NEC codes every channel with a density of its own, the same at all positions, and
  one step; without its training that is a mean and a table per channel, no transform.
- `klt`: mean per position and KLT over channels, a table per KLT channel, no transform over tokens.
- `dct`: mean per position and DCT over tokens, tables by scale, no KLT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import ClassVar

import numpy as np

from codec.evaluate.rate.embedding.curves import TARGETS
from codec.evaluate.rate.embedding.one_step import Groups, OneStep, by_channel, by_scale
from codec.evaluate.rate.embedding.records import RecordCoder
from codec.evaluate.rate.embedding.sent import Part, Planewise
from codec.evaluate.rate.types import Method
from codec.transform.klt import fit_transform
from codec.transform.maps import quant_maps
from codec.transform.plane import PlaneTransform
from codec.transform.rate import choose_ladder_index
from codec.types import BoolArray, FloatArray

# Steps a setting may have, in deviations of a coefficient: eighths of octaves, from the finest to the coarsest.
STEPS = 2.0 ** np.arange(-4.0, 7.001, 0.125)
MAX_TRAINING_TILES = 1024  # for tables; means and bases use all


@dataclass(frozen=True)
class OneStepCoder:
    """A transform, and a table file for each setting."""

    carries_validity: ClassVar[bool] = True

    transform: PlaneTransform
    over_tokens: bool  # DCT over tokens; else the token's place stands for the frequency
    coders: Mapping[str, RecordCoder]  # equal objects where a coarser target asks for the same step

    @property
    def settings(self) -> Sequence[str]:
        names = tuple(self.coders)
        return names[:1] + tuple(b for a, b in pairwise(names) if self.coders[a] is not self.coders[b])

    def encode(self, values: FloatArray, validity: BoolArray, setting: str) -> list[Part]:
        latents = analyse(self.transform, values, validity, over_tokens=self.over_tokens)
        coder = self.coders[setting]
        return coder.encode(quant_maps(coder.tables, 0, 0).quantise(latents), validity)

    def decode(self, parts: Sequence[bytes], setting: str, n_tiles: int) -> FloatArray:
        coder = self.coders[setting]
        found = coder.decode(parts, n_tiles).planes[0]
        latents = quant_maps(coder.tables, 0, 0).reconstruct(found.values)
        values = synthesise(self.transform, latents, over_tokens=self.over_tokens)
        values[~found.token_validity] = 0
        return values


def analyse(
    transform: PlaneTransform, values: FloatArray, validity: BoolArray, *, over_tokens: bool
) -> FloatArray:
    """N×h×w×C → N×C×F; without the DCT unmeasured tokens become 0, with it they are filled smoothly."""
    if over_tokens:
        return transform.analyse(values, None if validity.all() else validity)
    rotated = (values - transform.mean) @ transform.basis.T
    rotated[~validity] = 0
    return np.ascontiguousarray(np.moveaxis(rotated, 3, 1)).reshape(len(values), transform.channels, -1)


def synthesise(transform: PlaneTransform, latents: FloatArray, *, over_tokens: bool) -> FloatArray:
    """The inverse of `analyse`."""
    if over_tokens:
        return transform.synthesise(latents)
    tokens = latents.reshape(len(latents), transform.channels, transform.rows, transform.cols)
    return (np.moveaxis(tokens, 1, 3) @ transform.basis + transform.mean).astype(np.float32)


def _fit(
    train: FloatArray,
    *,
    position_mean: bool,
    klt: bool,
    over_tokens: bool,
    group: Callable[[FloatArray, int, int], Groups],
) -> OneStepCoder:
    """Fit a transform, and for each target the finest step that keeps training tiles within it."""
    valid = np.ones(train.shape[:3], dtype=bool)
    transform, deviation = fit_transform(train.astype(np.float32), valid, position_mean=position_mean)
    if not klt:
        transform = replace(transform, basis=np.eye(transform.channels, dtype=np.float32))
        deviation = float((train - transform.mean).std())
    sample = train[:: -(-len(train) // MAX_TRAINING_TILES)]
    latents = analyse(transform, sample, valid[: len(sample)], over_tokens=over_tokens)
    fitted = OneStep.fit(latents, group(latents, transform.rows, transform.cols))

    @cache
    def coder(index: int) -> RecordCoder:
        return RecordCoder.of(fitted.tables(STEPS[index] * deviation))

    def cost(index: int) -> float:
        return fitted.bytes_per_tile(coder(index).tables)

    coarsest, chosen = cost(len(STEPS) - 1), {}
    for target in TARGETS:
        budget = max(target * train[0].size / 8, coarsest)
        chosen[f"{target:g} bit"] = coder(choose_ladder_index(range(len(STEPS)), cost, budget))
    return OneStepCoder(transform, over_tokens, chosen)


def _per_channel(train: FloatArray) -> OneStepCoder:
    return _fit(train, position_mean=False, klt=False, over_tokens=False, group=by_channel)


def _klt(train: FloatArray) -> OneStepCoder:
    return _fit(train, position_mean=True, klt=True, over_tokens=False, group=by_channel)


def _dct(train: FloatArray) -> OneStepCoder:
    return _fit(train, position_mean=True, klt=False, over_tokens=True, group=by_scale)


PER_CHANNEL_PRIOR = Planewise(
    Method("per-channel prior", "embedding", "static twin of NEC (arXiv 2403.17886), our entropy coder"),
    _per_channel,
)
KLT = Planewise(Method("klt", "embedding", "position mean and KLT over channels, our entropy coder"), _klt)
DCT = Planewise(Method("dct", "embedding", "position mean and DCT over tokens, our entropy coder"), _dct)
