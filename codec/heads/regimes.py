"""Which rates a head learns from: one rule for every method, embedding or pixels.

    one       one head, trained on what was never compressed
    mixed     one head, trained on that and on the same tiles decoded at several rates; the default
    per-rate  a head for each rate, trained on that rate alone: what nobody wants to keep, for comparison

Mixed training was worth two to six times the bytes on dense tasks and cost at most a point uncompressed, so that a
method is judged by it, and its rivals get the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np

from codec.errors import InputError
from codec.heads.training_set import IntArray, TrainingSet
from codec.types import BoolArray, FloatArray

Regime = Literal["one", "mixed", "per-rate"]
REGIMES: tuple[Regime, ...] = get_args(Regime)
UNCOMPRESSED = "uncompressed"
MIXED = "mixed"
MOST_RATES = 8  # decoded ones in a mix; three were almost as good as eight, more only cost time


def head_for(regime: Regime, setting: str) -> str:
    """The key of `training_sets` whose head serves a setting."""
    return {"one": UNCOMPRESSED, "mixed": MIXED, "per-rate": setting}[_known(regime)]


def rates_to_mix(bytes_per_tile: Mapping[str, float], most: int = MOST_RATES) -> tuple[str, ...]:
    """At most `most` of the decoded settings, both ends and evenly between them in log bytes; finest first."""
    names = sorted((s for s in bytes_per_tile if s != UNCOMPRESSED), key=lambda s: (-bytes_per_tile[s], s))
    if len(names) <= most:
        return tuple(names)
    if any(not bytes_per_tile[name] > 0 for name in names):
        raise InputError("a rate to mix takes no bytes", found=dict(bytes_per_tile))
    logs = np.log([bytes_per_tile[name] for name in names])
    left = list(range(len(names)))
    chosen = []
    for wanted in np.linspace(logs[0], logs[-1], most):
        nearest = min(left, key=lambda i: (abs(logs[i] - wanted), i))
        left.remove(nearest)
        chosen.append(nearest)
    return tuple(names[i] for i in sorted(chosen))


def training_sets(
    regime: Regime,
    features: Mapping[str, FloatArray],
    y: IntArray | FloatArray,
    groups: IntArray,
    *,
    validity: BoolArray | Mapping[str, BoolArray] | None = None,
) -> dict[str, TrainingSet]:
    """The sets to fit heads on: one under `uncompressed` or `mixed`, or one per setting (keys: see `head_for`).

    `features`: setting → N×F or N×h×w×C of the same N tiles in the same order, with `uncompressed` among them (per-rate
    does without). `validity`: N×h×w of all settings, or of each. A tile that has no valid token at a setting did not
    arrive there and is left out of it. The weights of a tile sum to 1 over the settings that it is in, so that no tile
    counts more than another. Raises InputError for settings that differ in shape and where the uncompressed one lacks.
    """
    _known(regime)
    if not features:
        raise InputError("there is no setting to train on")
    if regime != "per-rate" and UNCOMPRESSED not in features:
        raise InputError(
            f"regime {regime} needs the uncompressed features",
            expected=UNCOMPRESSED,
            found=", ".join(features),
        )
    shapes = {x.shape for x in features.values()}
    if len(shapes) > 1:
        raise InputError("settings differ in shape: they must hold the same tiles", found=sorted(shapes))
    if isinstance(validity, Mapping) and (lacking := sorted(set(features) - set(validity))):
        raise InputError("a setting has no validity", found=lacking)
    if regime == "mixed":
        return {MIXED: _joined(list(features), features, y, groups, validity)}
    names = [UNCOMPRESSED] if regime == "one" else list(features)
    return {name: _joined([name], features, y, groups, validity) for name in names}


def _known(regime: str) -> str:
    if regime not in REGIMES:
        raise InputError("there is no such regime", expected=", ".join(REGIMES), found=regime)
    return regime


def _joined(
    names: list[str],
    features: Mapping[str, FloatArray],
    y: IntArray | FloatArray,
    groups: IntArray,
    validity: BoolArray | Mapping[str, BoolArray] | None,
) -> TrainingSet:
    n = len(features[names[0]])
    if len(y) != n or len(groups) != n:
        raise InputError(
            "one label and one group per tile are needed", expected=n, found=(len(y), len(groups))
        )
    masks = [validity[name] if isinstance(validity, Mapping) else validity for name in names]
    there = [np.arange(n) if m is None else np.flatnonzero(m.reshape(n, -1).any(1)) for m in masks]
    tile = np.concatenate(there)
    times = np.bincount(tile, minlength=n)
    return TrainingSet(
        np.concatenate([features[name][at] for name, at in zip(names, there, strict=True)]),
        y[tile],
        groups[tile],
        tile,
        1.0 / times[tile],
        np.concatenate([m[at] for m, at in zip(masks, there, strict=True) if m is not None])
        if masks[0] is not None
        else None,
    )
