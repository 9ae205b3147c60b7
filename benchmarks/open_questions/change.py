"""Change between two dates of a place, seen through the codec: does the distance of decoded tokens still say what that of
uncompressed ones said, and does it find what changed?

References are those of `date_pairs`: pairs of dates of which the encoder saw neither or one, and of the prairie the columns
that it never saw.

Season, sun and camera move all tokens of a date together. The second reference takes such a shift off, so distances are
measured as they are and with the mean of each date taken off, which the ground knows from what it received.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import product

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.open_questions.coding import PlaneCodec
from benchmarks.open_questions.date_pairs import PATCH, Pairs, coast, prairie
from benchmarks.open_questions.evidence import SUITE, Bench
from benchmarks.open_questions.spread import Drawn, area, bytes_at, over_encoders, rank_correlation
from benchmarks.open_questions.windows import windows
from codec.data.labelled import UNLABELLED
from codec.evaluate.rate.types import FloatVector, IntArray
from codec.evaluate.rows import Row
from codec.models.vit import Encoder
from codec.scene.tiling import token_validity
from codec.types import BoolArray, FloatArray


@dataclass(frozen=True)
class Change:
    """What is measured."""

    encoders: tuple[str, ...] = ("s2-nano-b-0", "s2-nano-b-1", "s2-nano-b-2")
    budgets: tuple[float, ...] = (1024, 512, 256, 128, 64, 32)  # bytes a tile and date
    distances: tuple[str, ...] = ("L2", "cosine")
    shifts: tuple[bool, ...] = (False, True)  # whether the mean of each date is taken off
    kept: float = 0.95
    # The encoder saw the pixels of these dates.
    training_dates: tuple[date, ...] = (date(2017, 9, 18), date(2017, 9, 21))


CONFIG = Change()


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

    def scores(self, pairs: Pairs, kind: str, *, shift: bool) -> Scores:
        """Distances of all pairs; with `shift` the mean of each date is taken off first."""
        known = pairs.changed != UNLABELLED
        both = (self.validity[pairs.first] & self.validity[pairs.second])[..., None]
        count = np.maximum(both.sum(axis=(1, 2)), 1)
        tokens, tiles = [], []
        for given in self.tokens:
            values = less_dates(given, self.validity, pairs.date) if shift else given
            a, b = values[pairs.first], values[pairs.second]
            tokens.append(distance(a, b, kind)[known])
            means = [(side * both).sum(axis=(1, 2)) / count for side in (a, b)]
            tiles.append(distance(means[0], means[1], kind))
        return Scores(np.stack(tokens), np.stack(tiles), self.sizes)


def _received(codec: PlaneCodec, encoder: Encoder, pairs: Pairs, config: Change) -> Received:
    validity = np.stack([token_validity(v, PATCH) for v in pairs.validity])
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


def less_dates(tokens: FloatArray, validity: BoolArray, of: IntArray) -> FloatArray:
    """Tokens N×h×w×C less the mean over the valid ones of their date (N)."""
    result = np.array(tokens)
    for one in np.unique(of):
        at = of == one
        result[at] -= tokens[at][validity[at]].mean(axis=0)
    return result


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
    bands = encoders[0].config.bands
    for pairs in (coast(bench, bands, config.training_dates), prairie(bench, bands)):
        known = pairs.changed != UNLABELLED
        places = np.broadcast_to(pairs.place[:, None, None], known.shape)[known]
        changed = pairs.changed[known] == 1
        received = [
            _received(codec, encoder, pairs, config) for codec, encoder in zip(codecs, encoders, strict=True)
        ]
        for kind, shift in product(config.distances, config.shifts):
            found = [one.scores(pairs, kind, shift=shift) for one in received]
            name = f"{pairs.name}/{kind}" + (" about dates" if shift else "")
            sizes = np.mean([one.sizes for one in found], axis=0)
            for level, groups in (("token", places), ("tile", pairs.place)):
                scores = [one.tokens if level == "token" else one.tiles for one in found]
                kept = over_encoders(groups, [partial(_kept, score) for score in scores])
                case = f"change/{name}/{level}"
                yield from _curve_rows(case, "rank correlation", kept, sizes, len(groups), config)
                wanted = Drawn(np.array([config.kept]), np.full((len(kept.draws), 1), config.kept))
                at = bytes_at(sizes, kept, wanted)
                yield Row(
                    SUITE, case, f"bytes at rank correlation {config.kept:g}", at.value, at.low, at.high,
                    f"B/tile and date [{at.note}]", "uncompressed", len(groups),
                )  # fmt: skip
            case = f"change/{name}/found"
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
            if not plain.low > 0.5:
                continue  # a score that finds nothing has nothing to keep
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
