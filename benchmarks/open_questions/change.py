"""Change between two dates of a place, seen through the codec: does the distance of decoded tokens still say what that of
uncompressed ones said, and does it find what changed?

Two references, neither of them made for this. *Coast*: the class of a token (land, water, cloud) differs between the dates
by the collection's masks; most of it is cloud and tide. *Prairie*: at least 60 % of a token's pixels changed their
vegetation index by more than a threshold, in one direction; that is made of the very pixels that the encoder sees, and
favours it. Pairs of dates of which the encoder saw neither or one; of the prairie the columns that it never saw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.open_questions.coding import PlaneCodec
from benchmarks.open_questions.evidence import SUITE, Bench
from benchmarks.open_questions.spread import Drawn, area, bytes_at, over_encoders, rank_correlation
from benchmarks.open_questions.windows import windows
from codec.data.derived_targets import lahinch_series, naip_pairs
from codec.data.labelled import UNLABELLED, place_bands, token_labels
from codec.data.raster import Raster
from codec.evaluate.rate.types import FloatVector, IntArray
from codec.evaluate.rows import Row
from codec.models.vit import Encoder
from codec.scene.tiling import token_validity
from codec.types import BoolArray, FloatArray

_TILE, _PATCH = 64, 8


@dataclass(frozen=True)
class Change:
    """What is measured."""

    encoders: tuple[str, ...] = ("s2-nano-b-0", "s2-nano-b-1", "s2-nano-b-2")
    budgets: tuple[float, ...] = (1024, 512, 256, 128, 64, 32)  # bytes a tile and date
    distances: tuple[str, ...] = ("L2", "cosine")
    kept: float = 0.95
    # The encoder saw the pixels of these dates.
    training_dates: tuple[date, ...] = (date(2017, 9, 18), date(2017, 9, 21))


CONFIG = Change()


@dataclass(frozen=True)
class Pairs:
    """Pairs of tiles of one place, as numbers of pictures."""

    name: str
    pixels: FloatArray  # N×B×T×T of all pictures
    present: BoolArray  # N×B
    validity: BoolArray  # N×T×T
    first: IntArray  # P, tile of the earlier date
    second: IntArray  # P
    changed: IntArray  # P×h×w: 1 changed, 0 not, −1 unknown
    place: IntArray  # P


def _tiles(image: Raster, bands: tuple[str, ...]) -> list[tuple[FloatArray, BoolArray, BoolArray]]:
    found = []
    for row in range(image.height // _TILE):
        for col in range(image.width // _TILE):
            corner = (row * _TILE, col * _TILE)
            placed, present = place_bands(image.reflectance(*corner, _TILE, _TILE), image.bands, bands)
            cut = np.s_[corner[0] : corner[0] + _TILE, corner[1] : corner[1] + _TILE]
            found.append((placed, present, image.validity[cut]))
    return found


def _cut(mask: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Labels of tokens of all tiles of a picture, N×h×w."""
    rows, cols = mask.shape[0] // _TILE, mask.shape[1] // _TILE
    labels = token_labels(mask[: rows * _TILE, : cols * _TILE], _PATCH)
    side = _TILE // _PATCH
    return labels.reshape(rows, side, cols, side).swapaxes(1, 2).reshape(-1, side, side)


def coast(bench: Bench, bands: tuple[str, ...], config: Change) -> Pairs:
    """Pairs of dates of the coast, at least one of which is no training date."""
    series = lahinch_series(bench.data)
    tiles = [_tiles(image, bands) for image in series.images]
    labels = [_cut(mask) for mask in series.masks]
    first: list[int] = []
    second: list[int] = []
    place: list[int] = []
    changed = []
    each = len(tiles[0])
    for a, b in combinations(range(len(tiles)), 2):
        if {series.dates[a], series.dates[b]} <= set(config.training_dates):
            continue
        known = (labels[a] != UNLABELLED) & (labels[b] != UNLABELLED)
        first += range(a * each, (a + 1) * each)
        second += range(b * each, (b + 1) * each)
        changed.append(np.where(known, labels[a] != labels[b], UNLABELLED))
        place += range(each)
    return _pairs("coast", [one for of in tiles for one in of], first, second, changed, place)


def prairie(bench: Bench, bands: tuple[str, ...], config: Change) -> Pairs:
    """Pairs of dates of the prairie in the columns that no training saw."""
    pictures: dict[str, int] = {}
    tiles: list[tuple[FloatArray, BoolArray, BoolArray]] = []
    first: list[int] = []
    second: list[int] = []
    place: list[int] = []
    changed = []
    offset = 0
    for split in ("val", "test"):
        each = 0
        for pair in naip_pairs(bench.data, split):
            for image in (pair.before, pair.after):
                if image.name not in pictures:
                    pictures[image.name] = len(tiles)
                    tiles += _tiles(image, bands)
            labels = _cut(pair.target)
            each = len(labels)
            first += range(pictures[pair.before.name], pictures[pair.before.name] + each)
            second += range(pictures[pair.after.name], pictures[pair.after.name] + each)
            changed.append(np.where(labels == UNLABELLED, UNLABELLED, labels > 0))
            place += range(offset, offset + each)
        offset += each
    return _pairs("prairie", tiles, first, second, changed, place)


def _pairs(
    name: str,
    tiles: list[tuple[FloatArray, BoolArray, BoolArray]],
    first: list[int],
    second: list[int],
    changed: list[npt.NDArray[np.int64]],
    place: list[int],
) -> Pairs:
    pixels, present, validity = (np.stack(side) for side in zip(*tiles, strict=True))
    return Pairs(
        name, pixels, present, validity, np.array(first), np.array(second), np.concatenate(changed).astype(np.int64),
        np.array(place),
    )  # fmt: skip


@torch.inference_mode()
def _tokens(encoder: Encoder, pairs: Pairs) -> FloatArray:
    parts = []
    for start in range(0, len(pairs.pixels), 64):
        at = slice(start, start + 64)
        given = (
            pairs.pixels[at],
            pairs.present[at].astype(np.float32),
            pairs.validity[at].astype(np.float32),
        )
        parts.append(encoder(*map(torch.from_numpy, given))["tokens"].numpy())
    return np.concatenate(parts)


def distance(a: FloatArray, b: FloatArray, kind: str) -> FloatVector:
    """Along the last axis: Euclidean, or 1 − cosine."""
    if kind == "L2":
        return np.asarray(np.sqrt(np.square(a - b, dtype=np.float64).sum(-1)), np.float64)
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.asarray(1 - (a * b).sum(-1) / np.maximum(norms, 1e-12), np.float64)


@dataclass(frozen=True)
class Scores:
    """Of one encoder: distances of all pairs that count, uncompressed first."""

    tokens: FloatVector  # (1 + S)×n
    tiles: FloatVector  # (1 + S)×P
    sizes: FloatVector  # S bytes a tile and date


@dataclass(frozen=True)
class Received:
    """What one encoder's tokens of all pictures are on the ground."""

    tokens: list[FloatArray]  # uncompressed, then of every setting: N×h×w×C less the position mean
    validity: BoolArray  # N×h×w
    sizes: FloatVector  # S bytes a tile and date

    def scores(self, pairs: Pairs, kind: str) -> Scores:
        """Distances of all pairs."""
        known = pairs.changed != UNLABELLED
        both = (self.validity[pairs.first] & self.validity[pairs.second])[..., None]
        count = np.maximum(both.sum(axis=(1, 2)), 1)
        tokens, tiles = [], []
        for values in self.tokens:
            a, b = values[pairs.first], values[pairs.second]
            tokens.append(distance(a, b, kind)[known])
            means = [(side * both).sum(axis=(1, 2)) / count for side in (a, b)]
            tiles.append(distance(means[0], means[1], kind))
        return Scores(np.stack(tokens), np.stack(tiles), self.sizes)


def _received(codec: PlaneCodec, encoder: Encoder, pairs: Pairs, config: Change) -> Received:
    validity = np.stack([token_validity(v, _PATCH) for v in pairs.validity])
    plain, mean = _tokens(encoder, pairs), codec.codec.transforms["tokens"].mean
    sent = [codec.code(plain, validity, codec.index_for(budget)) for budget in config.budgets]
    # A position code and what all places share would make every two tokens alike.
    tokens = [
        np.asarray(values - mean, np.float32) for values in (plain, *(one.planes["tokens"] for one in sent))
    ]
    return Received(tokens, validity, np.array([one.sizes.mean() for one in sent]))


def codec_of(bench: Bench, name: str) -> PlaneCodec:
    """As a package of this encoder would have it: fitted on all training windows."""
    train = windows(bench, name).tokens
    return PlaneCodec.fit("tokens", train, np.ones(train.shape[:3], np.bool_))


def _kept(score: FloatVector, index: IntArray) -> FloatVector:
    """Rank correlation of every setting with the uncompressed score."""
    return np.array([rank_correlation(score[0, index], one[index]) for one in score[1:]])


def _areas(score: FloatVector, positive: npt.NDArray[np.bool_], index: IntArray) -> FloatVector:
    """Of all settings, uncompressed first."""
    return np.array([area(one[index], positive[index]) for one in score])


def rows(bench: Bench, config: Change = CONFIG) -> Iterator[Row]:
    """Every place, distance and level."""
    encoders = bench.encoders(config.encoders)
    codecs = [codec_of(bench, name) for name in config.encoders]
    for pairs in (build(bench, encoders[0].config.bands, config) for build in (coast, prairie)):
        known = pairs.changed != UNLABELLED
        places = np.broadcast_to(pairs.place[:, None, None], known.shape)[known]
        changed = pairs.changed[known] == 1
        received = [
            _received(codec, encoder, pairs, config) for codec, encoder in zip(codecs, encoders, strict=True)
        ]
        for kind in config.distances:
            found = [one.scores(pairs, kind) for one in received]
            sizes = np.mean([one.sizes for one in found], axis=0)
            for level, groups in (("token", places), ("tile", pairs.place)):
                scores = [one.tokens if level == "token" else one.tiles for one in found]
                kept = over_encoders(groups, [partial(_kept, score) for score in scores])
                case = f"change/{pairs.name}/{kind}/{level}"
                yield from _curve_rows(case, "rank correlation", kept, sizes, len(groups), config)
                wanted = Drawn(np.array([config.kept]), np.full((len(kept.draws), 1), config.kept))
                at = bytes_at(sizes, kept, wanted)
                yield Row(
                    SUITE, case, f"bytes at rank correlation {config.kept:g}", at.value, at.low, at.high,
                    f"B/tile and date [{at.note}]", "uncompressed", len(groups),
                )  # fmt: skip
            case = f"change/{pairs.name}/{kind}/found"
            areas = over_encoders(places, [partial(_areas, one.tokens, changed) for one in found])
            (plain,) = Drawn(areas.value[:1], areas.draws[:, :1]).intervals()
            yield Row(
                SUITE, case, "area, uncompressed", plain.value, plain.low, plain.high,
                "AUC [95% over places and encoders]", n=len(places),
            )  # fmt: skip
            yield Row(SUITE, case, "share changed", float(changed.mean()), unit="of tokens", n=len(places))
            sent = Drawn(areas.value[1:], areas.draws[:, 1:])
            yield from _curve_rows(case, "area", sent, sizes, len(places), config)
            lost = Drawn(areas.value[1:] - areas.value[:1], areas.draws[:, 1:] - areas.draws[:, :1])
            yield from _curve_rows(case, "area-difference", lost, sizes, len(places), config)
            wanted = Drawn(
                0.5 + config.kept * (areas.value[:1] - 0.5), 0.5 + config.kept * (areas.draws[:, :1] - 0.5)
            )
            at = bytes_at(sizes, sent, wanted)
            yield Row(
                SUITE, case, f"bytes at {config.kept:g} of the area above chance", at.value, at.low, at.high,
                f"B/tile and date [{at.note}]", "uncompressed", len(places),
            )  # fmt: skip


def _curve_rows(
    case: str, metric: str, drawn: Drawn, sizes: FloatVector, n: int, config: Change
) -> Iterator[Row]:
    for budget, size, found in zip(config.budgets, sizes, drawn.intervals(), strict=True):
        at = f"{case}/near {budget:g} B"
        yield Row(SUITE, at, "bytes", float(size), unit="B/tile and date", n=n)
        yield Row(
            SUITE, at, metric, found.value, found.low, found.high, "[95% over places and encoders]", "uncompressed", n
        )  # fmt: skip
