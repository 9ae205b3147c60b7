"""Codecs fitted on one source and used on another: sensor, region, season; in bytes, and in what a fixed head still says.

A source is one sensor, one region or one season of the collection. For each: a codec of its own training windows; of every
source but it (leave one out); of every other source alone; and of every other source with scales and tables fitted anew on
its own windows while mean and basis stay (what `swathpack refit` may change). Bytes at equal error of tokens are over those
of its own. Utility: heads that were fitted on uncompressed embeddings, at equal bytes; their agreement with what they say of
uncompressed embeddings, less that with the codec of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.nec.band_cases import OTHERS, Case, Tiles
from benchmarks.nec.bands import fitted
from benchmarks.nec.costed import Codec, Costed, curve, nearest
from benchmarks.nec.equal_error import ratio
from benchmarks.nec.held_out import Collection
from codec.evaluate.probes import fit_probe
from codec.evaluate.rate.run import Setting
from codec.evaluate.rows import Row
from codec.heads.linear import LinearHead
from codec.pretrain.windows import CodecWindows
from codec.transform.fit_cells import cells_of, classes_of, fit_levels
from codec.transform.maps import quant_maps
from codec.types import FloatArray

SUITE = "windows"
RATES = (100.0, 300.0, 1000.0)  # bytes a tile of a source's own codec
PAIR_RATE = 300.0
# Training sources and the set of the harness that shows the same place, sensor or series outside training.
SOURCES: Mapping[str, str] = {
    "eurosat": "eurosat", "terramind": "landuse", "sen1floods11": "water", "lahinch": "sky",
    "cloud38": "cloud38", "naip": "naip", "ucmerced": "ucmerced",
}  # fmt: skip
_MOST = 1500  # windows of a source
_DRAWS = 500
BoolArray = npt.NDArray[np.bool_]


def retabled(codec: Codec, tokens: FloatArray) -> Codec:
    """Scales and tables from other tokens; mean, basis, steps and layers stay."""
    plane, ladder = codec.tables.planes[0], codec.tables.ladder
    latents = codec.transform.analyse(tokens)
    own = replace(plane, class_map=classes_of(latents, plane.bands, ladder, flat=False))
    levels = fit_levels(
        cells_of(own, latents, ladder), codec.tables.usable_indices(), len(codec.tables.levels)
    )
    return Codec(codec.transform, replace(codec.tables, levels=levels, planes=(own,)))


def rows(of: Collection) -> Iterator[Row]:
    """Bytes for every source, then utility on the two sets whose heads need no more than tokens."""
    tiles = Tiles(of)
    train = {source: _windows(tiles, source) for source in SOURCES}
    codecs = {source: fitted(x) for source, x in train.items()}
    everything = fitted(np.concatenate(list(train.values())))
    for source, cases in _held(tiles).items():
        others = [x for name, x in train.items() if name != source]
        apart = fitted(np.concatenate(others))
        fits = {
            "every source but this": apart,
            "every source but this, tables of its own": retabled(apart, train[source]),
            "every source": everything,
        }
        name = f"{of.package.name}/transfer/{source}"
        own = curve(codecs[source], cases.tokens, cases.file)
        for label, codec in fits.items():
            ours = curve(codec, cases.tokens, cases.file)
            for rate in RATES:
                yield from _rows(name, label, cases, ours, own, rate)
        for other, codec in codecs.items():
            if other != source:
                ours = curve(codec, cases.tokens, cases.file)
                yield from _rows(name, f"{other} alone", cases, ours, own, PAIR_RATE)
        yield from _utility(of, source, cases, codecs[source], {**fits, **_alone(codecs, source)})


def _alone(codecs: Mapping[str, Codec], source: str) -> dict[str, Codec]:
    return {f"{other} alone": codec for other, codec in codecs.items() if other != source}


def _windows(tiles: Tiles, source: str) -> FloatArray:
    few = source != "ucmerced"
    return tiles.planned(CodecWindows((source,), 8 if few else 1, most_home=_MOST))


def _held(tiles: Tiles) -> dict[str, Case]:
    """Tiles outside training, by training source."""
    found = {case.name: case for case in tiles.cases() if case.name in OTHERS}
    for name in set(SOURCES.values()) - set(OTHERS):
        evidence, chosen = tiles.of.run.sets[name], _chosen(tiles.of, name)
        tokens = np.asarray(tiles.of.run.planes(name).values["tokens"][chosen])
        found[name] = Case(name, tokens, evidence.tiles.scene[chosen], evidence.tiles.groups[chosen])
    return {source: found[name] for source, name in SOURCES.items()}


def _chosen(of: Collection, name: str) -> BoolArray:
    folds = Setting("unseen").folds(of.run.sets[name])
    return np.any([f.held for f in folds], axis=0) & of.run.planes(name).validity.all((1, 2))


def _rows(
    name: str, label: str, case: Case, ours: list[Costed], own: list[Costed], rate: float
) -> Iterator[Row]:
    """One, or none where a curve does not reach."""
    found = ratio([[p.tokens for p in ours]], [nearest(own, rate).tokens], case.place)
    few = len(np.unique(case.place)) < 3
    if not np.isfinite(found.value):
        return
    yield Row(
        SUITE, f"{name}/near {rate:g} B", f"bytes at equal error, fitted on {label}", found.value,
        None if few else found.low, None if few else found.high, "ratio" if few else "ratio [95% over places]",
        "fitted on its own windows", found.n,
    )  # fmt: skip


@dataclass(frozen=True)
class _Task:
    """A head on uncompressed embeddings, and what it is asked of N tiles."""

    head: LinearHead
    per_tile: bool
    rate: float

    def said(self, tokens: FloatArray) -> npt.NDArray[np.int64]:
        """Classes of each tile, or of its tokens: N×…"""
        x = tokens.mean(axis=(1, 2)) if self.per_tile else tokens.reshape(-1, tokens.shape[-1])
        return np.asarray(self.head.logits(x).argmax(axis=1).reshape(len(tokens), -1), np.int64)


def _utility(of: Collection, source: str, case: Case, own: Codec, fits: Mapping[str, Codec]) -> Iterator[Row]:
    """Agreement of a fixed head with itself, at equal bytes: classes of EuroSAT at 30 B, the water mask at 100 B."""
    if source not in ("eurosat", "sen1floods11"):
        return
    evidence, planes = of.run.sets[SOURCES[source]], of.run.planes(SOURCES[source])
    target = evidence.targets[0]
    fit = (evidence.split == "train") & planes.validity.all((1, 2))
    tokens, labels = np.asarray(planes.values["tokens"][fit]), target.labels[fit]
    if target.level == "tile":
        x, y, groups = tokens.mean(axis=(1, 2)), labels, evidence.tiles.groups[fit]
    else:
        known = labels >= 0
        x, y = tokens[known], labels[known]
        groups = np.broadcast_to(evidence.tiles.groups[fit][:, None, None], labels.shape)[known]
    head = fit_probe(x, y, groups, len(target.classes))
    task = _Task(head, target.level == "tile", 30.0 if target.level == "tile" else 100.0)
    truth = task.said(case.tokens)
    name = f"{of.package.name}/transfer/{source}/{target.name} at {task.rate:g} B"
    reference = _agreement(task, own, case, truth)
    yield Row(
        SUITE,
        name,
        "agreement, fitted on its own windows",
        100 * float(reference.mean()),
        unit="%",
        n=len(truth),
    )
    _, place = np.unique(case.place, return_inverse=True)
    drawn = np.random.default_rng(0).multinomial(
        place.max() + 1, [1 / (place.max() + 1)] * (place.max() + 1), _DRAWS
    )
    for label, codec in fits.items():
        change = _agreement(task, codec, case, truth) - reference
        weights = drawn[:, place]
        low, high = np.percentile((weights @ change) / weights.sum(axis=1), (2.5, 97.5))
        yield Row(
            SUITE, name, f"agreement-difference, fitted on {label}", 100 * float(change.mean()), 100 * float(low),
            100 * float(high), "points [95% over places]", "fitted on its own windows", len(truth),
        )  # fmt: skip


def _agreement(
    task: _Task, codec: Codec, case: Case, truth: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Share of each tile's answers that stay, at the asked bytes: between the two neighbouring qualities by their logs."""
    points = []
    for index, found in zip(codec.indices, curve(codec, case.tokens, case.file), strict=True):
        size = float((found.mean if task.per_tile else found.tokens).bytes.mean())
        points.append((np.log(size), index))
    points.sort()
    sizes = np.array([size for size, _ in points])
    at = int(np.clip(np.searchsorted(sizes, np.log(task.rate)), 1, len(sizes) - 1))
    share = float(np.clip((np.log(task.rate) - sizes[at - 1]) / max(sizes[at] - sizes[at - 1], 1e-9), 0, 1))
    two = [_answers(task, codec, case, points[k][1], truth) for k in (at - 1, at)]
    return np.asarray((1 - share) * two[0] + share * two[1])


def _answers(
    task: _Task, codec: Codec, case: Case, index: int, truth: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    maps = quant_maps(codec.tables, 0, index)
    latents = codec.transform.analyse(case.tokens)
    decoded = codec.transform.synthesise(maps.reconstruct(maps.quantise(latents)))
    return np.asarray((task.said(decoded) == truth).mean(axis=1))
