"""Every kind of head on the same decoded bytes: fitted on shares of the labels, asked at every setting.

Of the training groups of a fold a fifth is set apart, the same for all kinds, regimes, shares and methods: on it a head
chooses what it has to choose (a penalty, when to stop), and on its answers there the temperature is fitted. The rest is what
a share of the labels is drawn from, per class and at least one of each, the smaller share inside the larger. Scored tiles
are in neither. Draws of the labels stand where other parts have resamples of the training set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.evaluate.rate.grids import Grids
from codec.evaluate.rate.kinds_export import graph_difference
from codec.evaluate.rate.targets import UNLABELLED
from codec.evaluate.rate.types import FloatVector, IntArray
from codec.heads.calibration import fit_temperature
from codec.heads.dense import measured_only
from codec.heads.kinds import KINDS, Fitted, fit_head
from codec.heads.label_shares import nested_shares
from codec.heads.regimes import MIXED, UNCOMPRESSED, Regime, rates_to_mix, training_sets
from codec.heads.softmax_path import grouped_folds
from codec.heads.training_set import TrainingSet
from codec.types import BoolArray, FloatArray

CHOICE_FOLDS = 5  # one of them is for choices and temperature
DRAWS = 2  # of the labels of a share
OF_TILES = tuple(name for name, kind in KINDS.items() if kind.target == "class")
OF_TOKENS = tuple(name for name, kind in KINDS.items() if kind.target == "map")
Fold = tuple[BoolArray, BoolArray]  # samples that are fitted on, and those that are scored


@dataclass(frozen=True)
class Case:
    """One head: its kind, how it was trained, on how much."""

    kind: str
    regime: Regime
    share: float


@dataclass(frozen=True)
class Answered:
    """What the R draws of one head said of m scored answers (samples, or labelled tokens) at each of S settings."""

    case: Case
    settings: tuple[str, ...]  # `uncompressed` first
    logits: FloatArray  # R×S×m×K
    temperatures: FloatVector  # R×m, that of the fold an answer was scored in
    differences: tuple[float, ...]  # of every fitted head from its graph
    labels: tuple[int, ...]  # samples that every fitted head was trained on
    y: IntArray  # m
    groups: IntArray  # m


def kinds_for(of: Grids) -> tuple[str, ...]:
    """The kinds that fit a target's level; the first linear one is what others are compared with."""
    return OF_TOKENS if of.is_dense else OF_TILES


def answered(
    of: Grids,
    tokens: Mapping[str, FloatArray],
    bytes_per_tile: Mapping[str, float],
    folds: Sequence[Fold],
    *,
    kinds: Sequence[str],
    regimes: Sequence[Regime],
    shares: Sequence[float],
    draws: int = DRAWS,
    seed: int = 0,
) -> Iterator[Answered]:
    """Every head of kinds × regimes × shares, one after another.

    `tokens`: setting → N×h×w×C of all tiles, `uncompressed` first; `bytes_per_tile` of the others, which says what a mix
    takes. Raises InputError for a share whose labels are of one class, a fold with a single group, and what heads raise.
    """
    settings = tuple(tokens)
    if not settings or settings[0] != UNCOMPRESSED or draws < 1:
        raise InputError("uncompressed tokens come first, and labels are drawn at least once", found=settings)
    x = of.all_of(tokens)
    seen = {name: x[name] for name in (UNCOMPRESSED, *rates_to_mix(bytes_per_tile))}
    scored = [_entries(of, held) for _, held in folds]
    parts = [_apart(of, fit, seed) for fit, _ in folds]
    n_classes = len(of.target.classes)
    for case in (Case(*each) for each in product(kinds, regimes, shares)):
        logits = [np.empty((draws, len(settings), len(y), n_classes), np.float32) for y, _ in scored]
        temperatures = [np.empty((draws, len(y))) for y, _ in scored]
        differences, labels = [], []
        for number, (_, held) in enumerate(folds):
            rest, choice = parts[number]
            validation = _set(of, seen, case.regime, choice)
            for draw in range(draws):
                drawn = nested_shares(of.strata[rest], shares, seed=seed + draw, fewest=1)[case.share]
                train = _set(of, seen, case.regime, rest[drawn])
                labels.append(int(drawn.sum()))
                head = fit_head(case.kind, train, validation, n_classes, seed=seed + draw)
                temperatures[number][draw] = _temperature(head, validation)
                at = np.flatnonzero(held)
                differences.append(graph_difference(head, x[UNCOMPRESSED][at], of.validity[at]))
                for s, setting in enumerate(settings):
                    found = head.outputs(x[setting][at], of.validity[at])
                    logits[number][draw, s] = found[of.y[at] != UNLABELLED] if of.is_dense else found
        yield Answered(
            case,
            settings,
            np.concatenate(logits, axis=2),
            np.concatenate(temperatures, axis=1),
            tuple(differences),
            tuple(labels),
            np.concatenate([y for y, _ in scored]),
            np.concatenate([groups for _, groups in scored]),
        )


def _apart(of: Grids, fit: BoolArray, seed: int) -> tuple[IntArray, IntArray]:
    """Samples of a fold's training part that labels are drawn from, and those that choices are made on."""
    index = np.flatnonzero(fit)
    fold = grouped_folds(of.groups[index], CHOICE_FOLDS, seed)
    if not (fold == 0).any() or not (fold != 0).any():
        raise InputError(
            f"the training part for {of.target.name!r} is one place: nothing is left to choose on",
            fix="take a set of more places",
        )
    return index[fold != 0], index[fold == 0]


def _set(of: Grids, seen: Mapping[str, FloatArray], regime: Regime, use: IntArray) -> TrainingSet:
    """The samples `use` as a regime shows them."""
    if regime not in ("one", "mixed"):
        raise InputError("one head serves all rates here", expected="one, mixed", found=regime)
    shown = {name: x[use] for name, x in seen.items()}
    found = training_sets(regime, shown, of.y[use], of.groups[use], validity=of.validity[use])
    return found[MIXED if regime == "mixed" else UNCOMPRESSED]


def _entries(of: Grids, held: BoolArray) -> tuple[IntArray, IntArray]:
    """Labels and groups of the answers of scored samples: of maps every labelled token, row by row."""
    y, groups = of.y[held], of.groups[held]
    if not of.is_dense:
        return y, groups
    known = y != UNLABELLED
    return y[known], groups[np.nonzero(known)[0]]


def _temperature(head: Fitted, validation: TrainingSet) -> float:
    """Fitted on the head's answers to the part that choices are made on, each sample with its weight."""
    logits = head.outputs(validation.x, validation.validity)
    if validation.y.ndim == 1:
        return fit_temperature(logits, _whole(validation.y), validation.weight)
    y = measured_only(validation).y
    known = y != UNLABELLED
    return fit_temperature(logits[known], _whole(y[known]), validation.weight[np.nonzero(known)[0]])


def _whole(y: npt.NDArray[np.generic]) -> IntArray:
    return np.asarray(y, np.int64)
