"""Retrieval: does the decoded embedding find the same place in another year, and what the exact embedding would find?

Vectors are the mean of a tile's valid tokens, compared by cosine. Every measure is one number per query with the query's
group, so that two methods can be compared *paired* and blocks resampled whole (`Scores.sums` for `intervals.bootstrap`).

Equal similarities are no order: at the lowest rates many tiles decode to the same vector, and any rule that puts one of
them first would be luck or cheating. Each measure is therefore the expectation over random orders of the equal ones
(McSherry, Najork: Computing information retrieval performance measures efficiently in the presence of tied scores,
ECIR 2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec.data.labelled import place_bands
from codec.data.readers import naip
from codec.errors import InputError
from codec.evaluate.intervals import mean_sums
from codec.evaluate.rate.features import pooled
from codec.evaluate.rate.types import FloatVector, IntArray, Planes, TileSet
from codec.types import FloatArray

TILE = 64
NAIP_GSD_M = 5.0
_SPLIT_PLACES = 1_000_000  # places of different splits never share a number
_DIGITS = (
    9  # similarities closer than this are equal: products of equal vectors may differ in their last bits
)
_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Scores:
    """One measure of every query; a query whose measure is not defined is not listed."""

    values: FloatVector  # Q
    groups: IntArray  # Q

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    def sums(self) -> FloatVector:
        """For `intervals.bootstrap` with its statistic `mean_of`, 1×G×2. Same queries and groups for both sides."""
        return mean_sums(self.values, self.groups)


@dataclass(frozen=True, slots=True)
class Visits:
    """Tiles of the same places in several years."""

    tiles: TileSet
    year: IntArray  # N
    place: IntArray  # N, equal for the same tile in another year


def naip_years(data: Path, bands: tuple[str, ...], splits: Sequence[str] = ("val", "test")) -> Visits:
    """NAIP over a prairie in 2012, 2015 and 2019, 64×64 pixels of 5 m; a group is a place with its years.

    The parts of a split are cut from their own first column, so no tile crosses a split. Columns of `train` were seen,
    without labels, by encoders that were pre-trained on the collection.
    """
    pixels, present, validity, where, years, places = [], [], [], [], [], []
    for number, split in enumerate(splits):
        for image in naip(Path(data), split):
            values, there = place_bands(
                image.reflectance(0, 0, image.height, image.width), image.bands, bands
            )
            for row in range(image.height // TILE):
                for col in range(image.width // TILE):
                    cut = np.s_[row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]
                    pixels.append(values[:, cut[0], cut[1]])
                    present.append(there)
                    validity.append(image.validity[cut])
                    where.append((row, col))
                    years.append(int(image.name[:4]))
                    places.append(_SPLIT_PLACES * number + 1000 * row + col)
    place, year = np.array(places, np.int64), np.array(years, np.int64)
    if not np.array(present).any(1).all():
        raise InputError("the set naip has none of these bands", found=bands)
    scene = np.unique(np.stack([place // _SPLIT_PLACES, year], 1), axis=0, return_inverse=True)[1]
    tiles = TileSet(
        "naip",
        bands,
        np.stack(pixels),
        np.stack(present),
        np.stack(validity),
        scene.reshape(-1).astype(np.int64),
        np.array(where, np.int64),
        place,
        NAIP_GSD_M,
    )
    return Visits(tiles, year, place)


def vectors(planes: Planes, plane: str = "tokens") -> FloatArray:
    """Mean of the valid tokens of each tile, N×C; zeros where there is none."""
    return pooled(planes.values[plane], planes.validity, "mean")


def similarities(queries: FloatArray, database: FloatArray) -> FloatVector:
    """Cosines Q×N in float64, equal where they agree to nine digits; of a vector without direction 0 with everything."""
    units = []
    for x in (queries, database):
        if x.ndim != 2 or not np.isfinite(x).all():
            raise InputError("vectors are finite numbers, one row each", found=x.shape)
        length = np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
        units.append(np.where(length > 0, x / np.where(length > 0, length, 1), 0.0))
    if units[0].shape[1] != units[1].shape[1]:
        raise InputError(
            "queries and database differ in width", expected=units[1].shape[1], found=units[0].shape[1]
        )
    return np.round(units[0] @ units[1].T, _DIGITS)


def chance_within(similarity: FloatVector, k: int) -> FloatVector:
    """Chance of each item to be among the first k of its row, Q×N; −inf marks items that take no part."""
    if k < 1:
        raise InputError("a list has at least one place", found=k)
    order = np.sort(similarity, axis=1)  # ascending: −inf first
    n = similarity.shape[1]
    chances = np.empty(similarity.shape)
    for q, row in enumerate(similarity):
        above = n - np.searchsorted(order[q], row, side="right")
        equal = n - np.searchsorted(order[q], row, side="left") - above
        chances[q] = np.clip((k - above) / equal, 0, 1)
    chances[np.isneginf(similarity)] = 0
    return chances


def recall_across_years(
    queries: FloatArray, visits: Visits, k: int, *, database: FloatArray | None = None
) -> Scores:
    """Is the same place among the k most similar tiles of another year? One number per tile, the mean over the other years.

    `database`: vectors of the same tiles to search in, where they are not the queries' own (an archive that was kept
    uncompressed). Raises InputError where a place has one year only.
    """
    base = queries if database is None else database
    for name, x in (("queries", queries), ("database", base)):
        if len(x) != len(visits.tiles):
            raise InputError(
                f"one vector per tile is needed of the {name}", expected=len(visits.tiles), found=len(x)
            )
    years = np.unique(visits.year)
    total, asked = np.zeros(len(queries)), np.zeros(len(queries))
    for year in years.tolist():
        of = np.flatnonzero(visits.year == year)
        for other in years.tolist():
            if other == year:
                continue
            among = np.flatnonzero(visits.year == other)
            positive = visits.place[of][:, None] == visits.place[among][None, :]
            chance = chance_within(similarities(queries[of], base[among]), k)
            total[of] += (chance * positive).max(1)
            asked[of] += positive.any(1)
    if not asked.all():
        raise InputError("a place was seen in one year only", found=int(visits.place[asked == 0][0]))
    return Scores(total / asked, visits.tiles.groups)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The exact ranking: the k nearest of every query by uncompressed vectors."""

    relevant: npt.NDArray[np.bool_]  # Q×N, k in each row
    candidates: npt.NDArray[np.bool_]  # Q×N, never the query itself
    groups: IntArray  # Q
    k: int


def exact_neighbours(
    values: FloatArray, groups: IntArray, k: int, *, beyond_group: bool = False
) -> Neighbours:
    """The k nearest other tiles of every tile by its uncompressed vector; equal ones in the order of their numbers.

    `beyond_group`: tiles of the query's own group are no candidates (neighbours on the ground, other years of the place).
    """
    n = len(values)
    if len(groups) != n:
        raise InputError("one group per vector is needed", expected=n, found=len(groups))
    own = groups[:, None] == groups[None, :] if beyond_group else np.eye(n, dtype=np.bool_)
    candidates = ~own
    fewest = int(candidates.sum(1).min()) if n else 0
    if not 1 <= k < max(fewest, 1):
        raise InputError(
            f"{k} nearest of {fewest} candidates say nothing",
            expected=f"1 ≤ k < {fewest}",
            found=k,
            fix="lower k",
        )
    relevant = np.zeros((n, n), np.bool_)
    for start in range(0, n, _BATCH):
        rows = np.s_[start : start + _BATCH]
        similarity = np.where(candidates[rows], similarities(values[rows], values), -np.inf)
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        np.put_along_axis(relevant[rows], nearest, True, axis=1)
    return Neighbours(relevant, candidates, groups, k)


def _against(neighbours: Neighbours, values: FloatArray, rows: slice) -> FloatVector:
    if len(values) != len(neighbours.relevant):
        raise InputError(
            "one vector per tile is needed", expected=len(neighbours.relevant), found=len(values)
        )
    return np.where(neighbours.candidates[rows], similarities(values[rows], values), -np.inf)


def overlap_at(neighbours: Neighbours, values: FloatArray) -> Scores:
    """Share of the exact k nearest that are among the k nearest by these vectors, per query."""
    found = []
    for start in range(0, len(values), _BATCH):
        rows = np.s_[start : start + _BATCH]
        chance = chance_within(_against(neighbours, values, rows), neighbours.k)
        found.append((chance * neighbours.relevant[rows]).sum(1) / neighbours.k)
    return Scores(np.concatenate(found), neighbours.groups)


def average_precision_at(neighbours: Neighbours, values: FloatArray) -> Scores:
    """AP@k per query: the mean over the k exact neighbours of the precision at their places among the first k found.

    AP@k = 1/k · Σ_{i ≤ k} precision(i) · relevant(i). The mean over queries is mAP@k.
    """
    found = []
    for start in range(0, len(values), _BATCH):
        rows = np.s_[start : start + _BATCH]
        similarity = _against(neighbours, values, rows)
        order = np.argsort(-similarity, axis=1, kind="stable")
        ranked = np.take_along_axis(similarity, order, axis=1)
        relevant = np.take_along_axis(neighbours.relevant[rows], order, axis=1)
        found.append(_expected_precision(ranked, relevant, neighbours.k))
    return Scores(np.concatenate(found), neighbours.groups)


def _expected_precision(ranked: FloatVector, relevant: npt.NDArray[np.bool_], k: int) -> FloatVector:
    """Expected AP@k of rows sorted by falling similarity, over random orders of equal ones.

    Place i lies in a run of n equal items with r relevant ones, of which s items with R relevant ones stand above the
    run. It is relevant with chance r/n; then R + 1 + (i − s − 1)(r − 1)/(n − 1) of the first i are relevant on average.
    """
    q, n_items = ranked.shape
    starts = np.ones((q, n_items), np.bool_)
    starts[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    place = np.broadcast_to(np.arange(n_items), ranked.shape)
    first = np.maximum.accumulate(np.where(starts, place, 0), axis=1)  # s of each place
    ends = np.ones((q, n_items), np.bool_)
    ends[:, :-1] = starts[:, 1:]
    last = np.minimum.accumulate(np.where(ends, place, n_items)[:, ::-1], axis=1)[:, ::-1]
    count = np.concatenate([np.zeros((q, 1)), np.cumsum(relevant, axis=1)], axis=1)
    above = np.take_along_axis(count, first, axis=1)
    r = np.take_along_axis(count, last + 1, axis=1) - above
    n = last - first + 1
    among = above + 1 + (place - first) * (r - 1) / np.maximum(n - 1, 1)
    precision = np.where(r > 0, (r / n) * among / (place + 1), 0)
    return np.asarray(precision[:, :k].sum(1) / k, np.float64)
