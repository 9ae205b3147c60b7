"""What it costs that one stream serves several rates: bytes of prefixes over bytes of streams made for each rate.

    python -m benchmarks.prefixes --data ../shared/data

An estimate before anything is built: entropies of the codec's coefficients under tables fitted to training embeddings,
without records. Embeddings come from the shipped encoder: training windows (runs/train_embeddings.npz, made by `python -m
codec.pretrain fit-codec --keep`) fit tables and points, the EuroSAT validation tiles measure. Two parts of a tile: its mean
(the DC of all channels) and the rest. Ways to send a part in several stages:

- `direct`: a stream made for one step; what the others are compared with, at equal squared error;
- `residual ×k`: the next stage codes what the points of the last one left over, with a step k times finer;
- `nested ×3`: the next stage codes the ternary digit that tells which third of the bin it is;
- `nested ×3, contexts`: the same with a table more for coefficients that were zero so far;
- `layers`: one stage at the finest step, whose channels arrive in order of their scale.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.results import Row, save
from codec.data.labelled import eurosat_scenes
from codec.errors import InputError, SwathpackError
from codec.models.inference import embed
from codec.models.weights import load_encoder
from codec.package import load
from codec.transform.digits import RADIX, split
from codec.transform.levels import NEGLIGIBLE, level_of_counts
from codec.transform.rate import COST_UNITS_PER_BYTE, magnitude_costs
from codec.types import FloatArray, Tile

DRAWS = 500
STARTS = (2.0, 1.0, 0.5)  # first step, in root mean squares of the part
STAGES = 3
LAYERS = 6
_QUARTER = 4  # classes of scale per octave, as in a fit
_FEW = 8  # occurrences from which a reconstruction point is taken

IntArray = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """Coefficients of one part of every tile, n×K: of training tiles and of those that measure."""

    train: FloatVector
    test: FloatVector

    @property
    def rms(self) -> float:
        return float(np.sqrt(np.square(self.train).mean()))

    @property
    def classes(self) -> IntArray:
        """Of each coefficient: its scale in quarter octaves. A fit pools tables and points by it."""
        scale = np.sqrt(np.square(self.train).mean(axis=0)) + 1e-12
        return np.rint(_QUARTER * np.log2(scale)).astype(np.int64)


@dataclass(frozen=True)
class Point:
    """One prefix: bytes and squared error of each tile."""

    bytes: FloatVector
    errors: FloatVector


def quantised(x: FloatVector, step: float) -> IntArray:
    return np.rint(x / step).astype(np.int64)


def costs(
    train: IntArray, test: IntArray, classes: IntArray, zero: tuple[npt.NDArray[np.bool_], ...] = ()
) -> FloatVector:
    """Bytes of every test coefficient, n×K, under tables by class; by class and `zero` (of train and test) where given."""
    result = np.zeros(test.shape)
    for k in np.unique(classes):
        chosen = np.flatnonzero(classes == k)
        a, b = np.abs(train[:, chosen]), np.abs(test[:, chosen])
        if (a != 0).mean() < NEGLIGIBLE:
            continue
        n = int(max(a.max(), b.max())) + 1
        states = (True, False) if zero else (True,)
        for state in states:
            of_train, of_test = (
                (z[:, chosen] == state for z in zero)
                if zero
                else (np.ones_like(a, bool), np.ones_like(b, bool))
            )
            table = magnitude_costs(level_of_counts(np.bincount(a[of_train], minlength=int(a.max()) + 2)), n)
            result[:, chosen] += np.where(of_test, table[b], 0)
    return result / COST_UNITS_PER_BYTE


def reconstructed(
    train: IntArray, target: FloatVector, symbols: IntArray, step: float, classes: IntArray
) -> FloatVector:
    """Symbols → values at the conditional means of magnitude 1 and above, by class, from training coefficients."""
    result = np.zeros(symbols.shape)
    for k in np.unique(classes):
        chosen = classes == k
        a, x, b = np.abs(train[:, chosen]), np.abs(target[:, chosen]) / step, np.abs(symbols[:, chosen])
        if (a != 0).mean() < NEGLIGIBLE:
            continue
        one, more = a == 1, a > 1
        r1 = float(x[one].mean()) if one.sum() > _FEW else 1.0
        r2 = float((x[more] - a[more]).mean()) if more.sum() > _FEW else 0.0
        result[:, chosen] = np.sign(symbols[:, chosen]) * np.where(b == 1, r1, b + r2 * (b > 1)) * step
    return result


def direct(part: Part, step: float) -> tuple[Point, FloatVector]:
    """A stream made for one step; and the bytes of every coefficient."""
    classes = part.classes
    a, b = quantised(part.train, step), quantised(part.test, step)
    each = costs(a, b, classes)
    error = np.square(part.test - reconstructed(a, part.train, b, step, classes))
    return Point(each.sum(axis=1), error.sum(axis=1)), each


def residual(part: Part, start: float, ratio: float) -> list[Point]:
    """Stages that code what is left over."""
    classes, points = part.classes, []
    left, left_test, sent = part.train, part.test, np.zeros(len(part.test))
    for stage in range(STAGES):
        step = start / ratio**stage
        a, b = quantised(left, step), quantised(left_test, step)
        sent = sent + costs(a, b, classes).sum(axis=1)
        before = left
        left = before - reconstructed(a, before, a, step, classes)
        left_test = left_test - reconstructed(a, before, b, step, classes)
        points.append(Point(sent, np.square(left_test).sum(axis=1)))
    return points


def nested(part: Part, start: float, *, contexts: bool = False) -> list[Point]:
    """Stages of ternary digits: each prefix decodes as the stream made for its step."""
    classes, points = part.classes, []
    finest = start / RADIX ** (STAGES - 1)
    train, test = (split(quantised(x, finest), STAGES - 1) for x in (part.train, part.test))
    sent, total, total_test = np.zeros(len(part.test)), train[0] * 0, test[0] * 0
    for stage, (a, b) in enumerate(zip(train, test, strict=True)):
        known = (total == 0, total_test == 0) if contexts and stage else ()
        sent = sent + costs(a, b, classes, known).sum(axis=1)
        total, total_test = RADIX * total + a, RADIX * total_test + b
        values = reconstructed(total, part.train, total_test, start / RADIX**stage, classes)
        points.append(Point(sent, np.square(part.test - values).sum(axis=1)))
    return points


def layers(part: Part, step: float) -> list[Point]:
    """One stage, whose coefficients arrive in order of their scale, in layers of equal bytes."""
    _, each = direct(part, step)
    classes = part.classes
    order = np.argsort(-classes, kind="stable")
    a, b = quantised(part.train, step), quantised(part.test, step)
    error = np.square(part.test - reconstructed(a, part.train, b, step, classes))
    share = np.cumsum(each.mean(axis=0)[order])
    points = []
    for number in range(1, LAYERS + 1):
        there = order[: int(np.searchsorted(share, share[-1] * number / LAYERS)) + 1]
        absent = np.setdiff1d(order, there)
        lost = np.square(part.test[:, absent]).sum(axis=1)
        points.append(Point(each[:, there].sum(axis=1), error[:, there].sum(axis=1) + lost))
    return points


def bytes_at(curve: list[Point], error: float, tiles: IntArray) -> float:
    """Bytes per tile of the direct curve at a squared error, interpolated in both logarithms; NaN off the curve."""
    x = np.array([point.errors[tiles].mean() for point in curve])
    y = np.array([point.bytes[tiles].mean() for point in curve])
    order = np.argsort(x)
    if not x[order[0]] <= error <= x[order[-1]]:
        return float("nan")
    return float(np.exp(np.interp(np.log(error), np.log(x[order]), np.log(np.maximum(y[order], 1e-3)))))


def rows(name: str, part: Part, groups: IntArray) -> Iterator[Row]:
    """Rows of one part; intervals draw places."""
    rms, variance = part.rms, float(np.square(part.test).sum(axis=1).mean())
    curve = [direct(part, rms * 2.0**octave)[0] for octave in np.arange(-5.5, 3.01, 0.25)]
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    rng = np.random.default_rng(0)
    draws = [
        np.concatenate([members[g] for g in rng.integers(len(members), size=len(members))])
        for _ in range(DRAWS)
    ]
    ways: dict[str, Callable[[float], list[Point]]] = {
        "residual ×2": lambda start: residual(part, start, 2.0),
        "residual ×3": lambda start: residual(part, start, 3.0),
        "residual ×4": lambda start: residual(part, start, 4.0),
        "nested ×3": lambda start: nested(part, start),
        "nested ×3, contexts": lambda start: nested(part, start, contexts=True),
        "layers": lambda start: layers(part, start / RADIX ** (STAGES - 1)),
    }
    for way, coded in ways.items():
        for start in STARTS:
            for number, point in enumerate(coded(start * rms), 1):
                case = f"prefixes/s2-nano/eurosat/{name}/{way}/from {start:g} rms/prefix {number}"

                def more(tiles: IntArray, point: Point = point) -> float:
                    made = bytes_at(curve, float(point.errors[tiles].mean()), tiles)
                    return 100 * (float(point.bytes[tiles].mean()) / made - 1)

                over = [more(tiles) for tiles in draws]
                low, high = (None, None) if np.isnan(over).all() else np.nanpercentile(over, (2.5, 97.5))
                yield Row(
                    "nec", case, "bytes", float(point.bytes.mean()), unit="B/tile, entropy", n=len(groups)
                )
                error = float(point.errors.mean()) / variance
                yield Row("nec", case, "relative MSE", error, unit="of variance", n=len(groups))
                value = more(np.arange(len(groups)))
                if np.isfinite(value):
                    unit = "% [95% bootstrap over places]"
                    yield Row("nec", case, "more bytes", value, low, high, unit, "direct", len(groups))


def parts(package: Path, data: Path, train: Path) -> tuple[dict[str, Part], IntArray]:
    """The two parts, and the place of each tile that measures."""
    if not train.is_file():
        raise InputError(
            "no training embeddings", path=train, fix="python -m codec.pretrain fit-codec --keep FILE"
        )
    encoder, transform = (
        load_encoder(package / "encoder.safetensors"),
        load(str(package)).transforms["tokens"],
    )
    scenes = eurosat_scenes(data, "val", encoder.config.bands)
    tiles = (Tile(i, pixels, scenes.validity[i], scenes.present[i]) for i, pixels in enumerate(scenes.pixels))
    test = transform.analyse(embed(encoder, tiles)["tokens"])
    with np.load(train, allow_pickle=False) as archive:
        whole = archive["token_validity"].all(axis=(1, 2))
        fitted_on = transform.analyse(archive["tokens"][whole][::4])

    def rest(x: FloatArray) -> FloatVector:
        return x[:, :, 1:].reshape(len(x), -1).astype(np.float64)

    mean = Part(fitted_on[:, :, 0].astype(np.float64), test[:, :, 0].astype(np.float64))
    return {"tile mean": mean, "rest": Part(rest(fitted_on[::4]), rest(test))}, scenes.groups


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write benchmarks/results/nec.csv."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.prefixes", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    parser.add_argument("--package", type=Path, default=Path("models/s2-nano"))
    parser.add_argument("--train", type=Path, default=Path("runs/train_embeddings.npz"))
    options = parser.parse_args(arguments)
    try:
        found, groups = parts(options.package, options.data, options.train)
        measured = [row for name, part in found.items() for row in rows(name, part, groups)]
        for row in measured:
            if row.metric == "more bytes":
                print(f"{row.case:70} {row.value:+6.1f} % [{row.lo:+.1f}, {row.hi:+.1f}]")
        for path in save(measured, packages=("swathpack", "numpy", "torch")):
            print(path)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
