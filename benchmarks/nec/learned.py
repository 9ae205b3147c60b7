"""Gains and transforms learned by gradient descent, for rate at equal error, against the fitted ones with equal steps.

Behind the fitted transform stand matrices of each frequency group, or multipliers of the step: one for each level (scale
over step), which moves along the ladder with its table, or one for each frequency group and octave of channels. They are
learned on thirds of the training windows at one quality; the error of layer 0 and that above it each have the price that a
bit has there in the fitted codec, so that layer 0 stays as protected as it was. Then tables are fitted to what was learned,
as to any transform, and costed on tiles of the validation split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.nec.costed import Codec, Costed, nearest
from benchmarks.nec.equal_error import Point, ratio
from benchmarks.nec.held_out import SPLITS, Collection
from benchmarks.nec.learned_codec import Learned
from benchmarks.nec.learning import Arm, learn
from codec.evaluate.rows import Row
from codec.transform.fit import fit_planes
from codec.types import BoolArray, FloatArray

IntArray = npt.NDArray[np.int64]

SUITE = "nec"
RATES = (50.0, 100.0, 300.0, 1000.0)  # bytes a tile of the fitted codec
LEARNED_AT = (100.0, 400.0)
_LADDER = range(26, 50)  # indices that they lie between
_MEAN_AT = ("all sets", 100.0)
_BESIDE = 1  # indices on each side of a rate that are costed
_APART = 10**9  # more than there are files or places in a set

ARMS: Mapping[str, Arm] = {
    "steps by level": Arm(gains="levels"),
    "orthonormal transforms": Arm("orthonormal"),
    "steps by group and band": Arm(gains="bands"),
    "orthonormal transforms and steps by group and band": Arm("orthonormal", "bands"),
    "free transforms": Arm("free"),
    "orthonormal transforms, of layer 0 too": Arm("orthonormal", mean=True),
}

# What a common step above layer 0, moved against that of layer 0, is worth by itself: arms that move that balance show it.
CONTROLS = {
    shift: f"{abs(shift)}/4 octave {way} steps above layer 0, nothing learned"
    for shift, way in ((-2, "finer"), (-1, "finer"), (1, "coarser"), (2, "coarser"))
}


@dataclass(frozen=True)
class _Third:
    """A fitted codec, the latents of what it was fitted on, and those of all held-out tiles."""

    codec: Codec
    windows: FloatArray
    held: FloatArray
    index: Mapping[float, int]  # by bytes a tile of the training windows

    @classmethod
    def of(cls, windows: FloatArray, held: FloatArray) -> _Third:
        found = fit_planes({"tokens": np.ascontiguousarray(windows)})
        codec, size = Codec(found.transforms["tokens"], found.tables), found.mean_bytes
        at = {rate: min(size, key=lambda i: abs(float(np.log(size[i] / rate)))) for rate in LEARNED_AT}
        analyse = codec.transform.analyse
        return cls(codec, analyse(windows), analyse(held), at)

    def fitted(self) -> Learned:
        """What learning starts at."""
        flat = np.ones_like(self.windows[0])
        return Learned(self.codec, flat, np.ones(len(self.codec.tables.levels)))


@dataclass(frozen=True)
class _Tiles:
    """Tiles of all sets side by side."""

    tokens: FloatArray
    file: IntArray
    place: IntArray
    named: Mapping[str, BoolArray]  # which of them a case scores

    @classmethod
    def of(cls, of: Collection) -> _Tiles:
        number = np.repeat(np.arange(len(of.held)), [len(held.tokens) for held in of.held]) * _APART
        file = np.concatenate([of.run.sets[held.name].tiles.scene[held.chosen] for held in of.held])
        named = {held.name: number == k * _APART for k, held in enumerate(of.held)}
        return cls(
            np.concatenate([held.tokens for held in of.held]),
            number + file,
            number + np.concatenate([held.groups for held in of.held]),
            {"all sets": np.ones(len(number), dtype=bool), **named},
        )


def rows(of: Collection) -> Iterator[Row]:
    """One ratio for each arm, set and rate, over places and thirds; and what learning itself promised."""
    tiles = _Tiles.of(of)
    values, parts = of.training("tokens")
    thirds = [_Third.of(values[part], tiles.tokens) for part in parts]
    rivals = [t.fitted().curve(t.held, tiles.file, _LADDER) for t in thirds]
    near = _near(tiles, rivals)
    for shift, what in CONTROLS.items():
        ours = [_shifted(points, shift) for points in rivals]
        yield from _compared(of.package.name, tiles, "all sets", what, ours, rivals)
    curves = {}
    for name, arm in ARMS.items():
        for rate in LEARNED_AT:
            learned = [learn(t.codec, t.windows, t.index[rate], arm) for t in thirds]
            what = f"{name}, learned at {rate:g} B"
            promised = [found.promised for found in learned]
            yield Row(
                SUITE, f"{of.package.name}/learned", f"promised bytes at equal error, {what}",
                float(np.exp(np.log(promised).mean())), min(promised), max(promised), "ratio [min, max]",
                "fitted, equal steps", seeds=",".join(map(str, range(SPLITS))),
            )  # fmt: skip
            curves[what] = [
                found.curve(t.held, tiles.file, near) for found, t in zip(learned, thirds, strict=True)
            ]
            yield from _compared(of.package.name, tiles, "all sets", what, curves[what], rivals)
    for what, ours in curves.items():
        for case in (held.name for held in of.held):
            yield from _compared(of.package.name, tiles, case, what, ours, rivals)


def _shifted(points: Sequence[Costed], shift: int) -> list[Costed]:
    """Layer 0 as it is, and what lies above it some indices on; points are in order of their index."""
    found = []
    for k, mean in enumerate(p.mean for p in points):
        if 0 <= k + shift < len(points):
            above = points[k + shift]
            size, error = (
                getattr(mean, name) + getattr(above.tokens, name) - getattr(above.mean, name)
                for name in ("bytes", "errors")
            )
            found.append(Costed(Point(size, error), mean))
    return found


def _near(tiles: _Tiles, rivals: Sequence[Sequence[Costed]]) -> list[int]:
    """Indices beside those at which some case takes about one of the rates: no other is costed."""
    found = set()
    for chosen in tiles.named.values():
        for points in rivals:
            size = np.array([p.tokens.bytes[chosen].mean() for p in points])
            for rate in RATES:
                middle = int(np.abs(np.log(size / rate)).argmin())
                found |= set(range(middle - _BESIDE, middle + _BESIDE + 1))
    return [_LADDER[k] for k in sorted(found) if 0 <= k < len(_LADDER)]


def _compared(
    package: str,
    tiles: _Tiles,
    case: str,
    what: str,
    ours: Sequence[Sequence[Costed]],
    rivals: Sequence[Sequence[Costed]],
) -> Iterator[Row]:
    """Bytes at the error that the fitted codec has near each rate; of layer 0 for all sets together."""
    chosen = tiles.named[case]
    at, against = ([[_only(p, chosen) for p in points] for points in each] for each in (ours, rivals))
    for rate in RATES:
        rival = [nearest(points, rate) for points in against]
        for part, told in {"tokens": "bytes", "mean": "bytes of layer 0"}.items():
            if part == "mean" and (case, rate) != _MEAN_AT:
                continue
            curves = [[getattr(p, part) for p in points] for points in at]
            found = ratio(curves, [getattr(p, part) for p in rival], tiles.place[chosen])
            if not np.isfinite(found.value):
                continue  # where one of the two does not reach
            yield Row(
                SUITE, f"{package}/learned/{case}/near {rate:g} B", f"{told} at equal error, {what}",
                found.value, found.low, found.high, f"ratio [95% over places and {SPLITS} fits]",
                "fitted, equal steps", found.n, ",".join(map(str, range(SPLITS))),
            )  # fmt: skip


def _only(point: Costed, chosen: BoolArray) -> Costed:
    return Costed(point.tokens.only(chosen), point.mean.only(chosen))
