"""Detection through the codec: which tiles hold a thing, in order of a head's score, as average precision.

No set at hand has boxes that this encoder could be asked for, so presence in a tile stands for detection: things that are
the class of a tile (a river, a highway, industry), and things that cover at least five percent of an aerial tile's labelled
pixels (buildings, roads, vegetation). One head for all rates sees mean, deviation and maximum of the decoded tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from benchmarks.open_questions.coding import PlaneCodec
from benchmarks.open_questions.evidence import S2_SETS, SUITE, Bench, Sets
from benchmarks.open_questions.fine_cells import pixel_masks
from benchmarks.open_questions.spread import Drawn, average_precision, bytes_at, over_encoders
from codec.data.derived_targets import MIN_SHARE
from codec.data.labelled import UNLABELLED
from codec.evaluate.rate.features import pooled
from codec.evaluate.rate.model_planes import planes_of
from codec.evaluate.rate.protocol import folds
from codec.evaluate.rate.scoring import choose_penalty
from codec.evaluate.rate.targets import Samples
from codec.evaluate.rate.types import FloatVector, IntArray
from codec.evaluate.rows import Row
from codec.heads.regimes import MIXED, UNCOMPRESSED, training_sets
from codec.heads.softmax_path import ProbePath
from codec.models.vit import Encoder
from codec.types import BoolArray, FloatArray


@dataclass(frozen=True)
class Presence:
    """What is measured."""

    encoders: tuple[str, ...] = ("s2-nano-b-0", "s2-nano-b-1", "s2-nano-b-2")
    aerial_encoders: tuple[str, ...] = ("rgb-small-b-0", "rgb-small-b-1", "rgb-small-b-2")
    things: tuple[str, ...] = ("River", "Highway", "Industrial")
    aerial_things: tuple[str, ...] = ("building", "road", "vegetation")
    budgets: tuple[float, ...] = (512, 256, 128, 64, 32)  # bytes a tile
    kept: float = 0.95


CONFIG = Presence()


@dataclass(frozen=True)
class Things:
    """Which tiles of a set hold what."""

    set_name: str
    held_by: Mapping[str, IntArray]  # thing → N: 1, 0, or −1 for unknown
    fit: BoolArray  # N
    scored: BoolArray  # N
    groups: IntArray  # N


def tile_classes(of: Sets, things: tuple[str, ...]) -> Things:
    """Classes of EuroSAT's tiles."""
    evidence = of.evidence["eurosat"]
    target = next(t for t in evidence.targets if t.name == "class")
    (fold,) = folds(evidence, "unseen")
    held_by = {name: (target.labels == target.classes.index(name)).astype(np.int64) for name in things}
    return Things("eurosat", held_by, fold.fit, fold.held, evidence.tiles.groups)


def covering(bench: Bench, of: Sets, name: str, things: tuple[str, ...]) -> Things:
    """What covers at least five percent of the labelled pixels of a tile."""
    evidence, masks = of.evidence[name], pixel_masks(bench, name)
    target, tiles = evidence.targets[0], evidence.tiles
    (fold,) = folds(evidence, "unseen")
    held_by = {}
    for thing in things:
        wanted, found = target.classes.index(thing), []
        for scene, (row, col), valid in zip(tiles.scene, tiles.place, tiles.validity, strict=True):
            cut = np.s_[row * tiles.tile : (row + 1) * tiles.tile, col * tiles.tile : (col + 1) * tiles.tile]
            labels = masks[scene][cut][valid]
            labels = labels[labels != UNLABELLED]
            found.append(int((labels == wanted).mean() >= MIN_SHARE) if labels.size else UNLABELLED)
        held_by[thing] = np.array(found, np.int64)
    return Things(name, held_by, fold.fit, fold.held, tiles.groups)


@dataclass(frozen=True)
class Sent:
    """Features of all tiles of a set, uncompressed first, and bytes."""

    features: Mapping[str, FloatArray]  # setting → N×F
    sizes: FloatVector  # S×N


def sent(encoder: Encoder, of: Sets, name: str, config: Presence) -> Sent:
    """A set through one encoder and a codec that was fitted on what the set allows."""
    training = of.training(name)
    planes = {other: planes_of(encoder, of.evidence[other].tiles) for other in {*training, name}}
    train = np.concatenate([planes[other].values["tokens"][keep] for other, keep in training.items()])
    valid = np.concatenate([planes[other].validity[keep] for other, keep in training.items()])
    codec = PlaneCodec.fit("tokens", train, valid)
    here = planes[name]
    plain = np.asarray(here.values["tokens"])
    coded = [codec.code(plain, here.validity, codec.index_for(budget)) for budget in config.budgets]
    grids = {UNCOMPRESSED: plain}
    grids |= {f"{b:g} B": one.planes["tokens"] for b, one in zip(config.budgets, coded, strict=True)}
    features = {setting: pooled(x, here.validity, "mean-std-max") for setting, x in grids.items()}
    return Sent(features, np.stack([one.sizes for one in coded]))


def scores(of: Sent, things: Things, thing: str) -> FloatVector:
    """(1 + S)×n of scored tiles: uncompressed by a head that saw nothing else, then every setting by the mixed-rate head."""
    y = things.held_by[thing]
    fit, held = things.fit & (y != UNLABELLED), things.scored & (y != UNLABELLED)
    tile = np.flatnonzero(fit)
    samples = Samples(y[fit], things.groups[fit], tile)
    penalty = choose_penalty(of.features[UNCOMPRESSED][fit], samples, 2)
    found = []
    for regime, names in (("one", [UNCOMPRESSED]), ("mixed", list(of.features))):
        sets = training_sets(
            regime, {name: of.features[name][fit] for name in names}, y[fit], things.groups[fit]  # type: ignore[arg-type]
        )  # fmt: skip
        of_head = sets[UNCOMPRESSED if regime == "one" else MIXED]
        head = ProbePath(of_head.x, np.asarray(of_head.y, np.int64), 2, of_head.weight).fit(penalty)
        for name in names if regime == "one" else names[1:]:
            logits = head.logits(of.features[name][held])
            found.append(logits[:, 1] - logits[:, 0])
    return np.stack(found).astype(np.float64)


def _precision(score: FloatVector, positive: npt.NDArray[np.bool_], index: IntArray) -> FloatVector:
    return np.array([average_precision(one[index], positive[index]) for one in score])


def rows(bench: Bench, config: Presence = CONFIG) -> Iterator[Row]:
    """Every thing of both kinds of pictures."""
    encoders = bench.encoders(config.encoders)
    of = Sets(bench.data, S2_SETS, encoders[0].config.bands)
    yield from _rows(
        tile_classes(of, config.things), [sent(e, of, "eurosat", config) for e in encoders], config
    )
    encoders = bench.encoders(config.aerial_encoders)
    of = Sets(bench.data, ("ucmerced", "dubai"), encoders[0].config.bands)
    things = covering(bench, of, "dubai", config.aerial_things)
    yield from _rows(things, [sent(e, of, "dubai", config) for e in encoders], config)


def _rows(things: Things, each: list[Sent], config: Presence) -> Iterator[Row]:
    for thing, labels in things.held_by.items():
        held = things.scored & (labels != UNLABELLED)
        positive, groups = labels[held] == 1, things.groups[held]
        found = over_encoders(
            groups, [partial(_precision, scores(one, things, thing), positive) for one in each]
        )
        sizes = np.mean([one.sizes[:, held].mean(axis=1) for one in each], axis=0)
        case, n = f"presence/{things.set_name}/{thing}", len(positive)
        yield Row(
            SUITE, case, "share of tiles that hold it", float(positive.mean()), unit="of tiles scored", n=n
        )
        plain = Drawn(found.value[:1], found.draws[:, :1])
        coded = Drawn(found.value[1:], found.draws[:, 1:])
        unit = "AP [95% over places and encoders]"
        (whole,) = plain.intervals()
        if not np.isfinite((whole.low, whole.high)).all():
            continue  # so few places hold it that many draws have none: no number of it would mean anything
        yield Row(
            SUITE, case, "average precision, uncompressed", whole.value, whole.low, whole.high, unit, n=n
        )  # fmt: skip
        for budget, size, value, lost in zip(
            config.budgets, sizes, coded.intervals(), coded.minus(plain).intervals(), strict=True
        ):
            at = f"{case}/near {budget:g} B"
            yield Row(SUITE, at, "bytes", float(size), unit="B/tile", n=n)
            yield Row(SUITE, at, "average precision", value.value, value.low, value.high, unit, n=n)
            yield Row(
                SUITE, at, "average-precision-difference", lost.value, lost.low, lost.high, unit, "uncompressed", n
            )  # fmt: skip
        reached = bytes_at(sizes, coded, Drawn(config.kept * plain.value, config.kept * plain.draws))
        yield Row(
            SUITE, case, f"bytes at {config.kept:g} of the average precision", reached.value, reached.low, reached.high,
            f"B/tile [{reached.note}]", "uncompressed", n,
        )  # fmt: skip
