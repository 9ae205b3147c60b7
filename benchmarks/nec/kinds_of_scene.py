"""A choice among trained bases, by tile, by file and by sensor, against one codec for all: bytes at equal error of tokens.

* `by tile`: the ground knows layer 0 before anything else, so the tile's mean, as it was decoded at that quality, may say
  which of K bases, and which scales, the tile's other layers have. No byte is sent for it.
* `by file`: K codecs with mean, rotations (of layer 0 too) and scales of their own; the encoder takes the one that costs a
  file least in bytes and error together, and says so in a byte.
* `by sensor`: a codec of the sensor's own training windows alone, known from the header.

All are fitted on the same thirds of the training windows, codecs of another sensor than Sentinel-2 on thirds of its own, and
measured on tiles of the validation split; bytes are integer costs, with a mean vector for each file where it pays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from benchmarks.nec.band_cases import Case, Tiles
from benchmarks.nec.bands import fitted
from benchmarks.nec.costed import Codec, costed, curve
from benchmarks.nec.equal_error import Point, ratio
from benchmarks.nec.held_out import SPLITS, Collection
from benchmarks.nec.kinds import Kinds, Own, fit_kinds
from codec.data.readers import read_source
from codec.evaluate.rows import Row
from codec.pretrain.fit import CODEC_WINDOWS
from codec.pretrain.windows import CodecWindows, codec_tiles
from codec.transform.maps import quant_maps
from codec.types import BoolArray, FloatArray

SUITE = "nec"
RATES = (50.0, 100.0, 300.0, 1000.0)  # bytes a tile of the present codec
COUNTS = (4, 16)
CHOICES: Mapping[str, Own] = {
    "bases by tile": Own(turns=True, scales=False),
    "bases and scales by tile": Own(turns=True, scales=True),
    "codecs by file": Own(whole=True),
}
SENSORS = ("cloud38", "naip", "ucmerced")  # that are not Sentinel-2 and have tiles of the validation split
_PICTURES = 40  # of each that are scored, at most
_MOST = 150  # and tiles
_OWN_MOST = 1500  # windows that a sensor's own codec is fitted on
# Indices that the rates lie between.
_LADDER = range(20, 60)
_BESIDE = 2
_APART = 10**9  # more than there are files or places in a case


def rows(of: Collection) -> Iterator[Row]:
    """Ratios of bytes for each set, choice and rate; what a package would carry besides."""
    tiles = Tiles(of)
    values, parts = of.training("tokens")
    cases = [*_sets(of), *(_sensor(tiles, name) for name in SENSORS)]
    every = _joined(cases)
    fits = [values[part] for part in parts]
    present = [fitted(tokens) for tokens in fits]
    rivals = [_points(codec, every) for codec in present]
    home = _of_home(tiles)
    sentinel = [fitted(values[part & home]) for part in parts]
    for number, case in enumerate(cases):
        codecs = [fitted(x) for x in _thirds(tiles, case.name)] if case.name in SENSORS else sentinel
        mine = [[found.tokens for found in curve(c, case.tokens, case.file)] for c in codecs]
        at = every.file // _APART == number
        theirs = [[p.only(at) for p in points] for points in rivals]
        yield from _compared(of, case, "a codec by sensor", mine, theirs)
    near = _near(every, rivals)
    for name, own in CHOICES.items():
        point = by_file if own.whole else by_tile
        for n in COUNTS:
            kinds = [fit_kinds(codec, tokens, n, own) for codec, tokens in zip(present, fits, strict=True)]
            yield Row(
                SUITE, f"{of.package.name}/kinds", f"package, {n} {name}", kinds[0].package_bytes / 1024,
                unit="KiB more", rival="one codec",
            )  # fmt: skip
            ours = [[point(k, every, index) for index in near] for k in kinds]
            yield from compared(of, cases, f"{n} {name}", ours, rivals)
            if name == "bases by tile":
                # A third of the windows is little for so many kinds: once more as a package would have them.
                whole = fitted(values)
                all_kinds = fit_kinds(whole, values, n, own)
                ours = [[by_tile(all_kinds, every, index) for index in near]]
                label = f"{n} {name}, fitted on all windows"
                yield from compared(of, cases, label, ours, [_points(whole, every)])


def _points(codec: Codec, case: Case) -> list[Point]:
    return [costed(codec, case.tokens, case.file, index).tokens for index in _LADDER]


def _near(every: Case, rivals: Sequence[Sequence[Point]]) -> list[int]:
    """Indices beside those at which some case takes about one of the rates: no other is looked at."""
    found = set()
    number = every.file // _APART
    for points in rivals:
        for case in np.unique(number):
            size = np.array([p.bytes[number == case].mean() for p in points])
            for rate in RATES:
                middle = int(np.abs(np.log(size / rate)).argmin())
                found |= set(range(middle - _BESIDE, middle + _BESIDE + 1))
    return [_LADDER[k] for k in sorted(found) if 0 <= k < len(_LADDER)]


def by_tile(kinds: Kinds, case: Case, index: int) -> Point:
    """Layer 0 in common; above it each tile as its kind has it."""
    mean = costed(kinds.first, case.tokens, case.file, index).mean
    label = kinds.of(case.tokens, index)
    size, error = mean.bytes.copy(), mean.errors.copy()
    for kind in np.unique(label):
        mine = label == kind
        found = costed(kinds.codecs[kind], case.tokens[mine], np.flatnonzero(mine), index)
        size[mine] += found.tokens.bytes - found.mean.bytes
        error[mine] += found.tokens.errors - found.mean.errors
    return Point(size, error)


def by_file(kinds: Kinds, case: Case, index: int) -> Point:
    """Every file with the codec that costs it least, and a byte that says which."""
    found = [costed(codec, case.tokens, case.file, index).tokens for codec in kinds.codecs]
    _, at, tiles = np.unique(case.file, return_inverse=True, return_counts=True)
    step = float(quant_maps(kinds.first.tables, 0, index).step[0, -1])
    # What a bit is worth where a step of Δ is fine: the slope of Δ²/12 over the rate.
    price = 6 / (8 * np.log(2) * step**2)
    cost = np.stack([np.bincount(at, p.bytes + price * p.errors) for p in found])
    chosen = cost.argmin(axis=0)[at]
    size, error = (
        np.stack([getattr(p, name) for p in found])[chosen, np.arange(len(at))]
        for name in ("bytes", "errors")
    )
    return Point(size + 1 / tiles[at], error)


def compared(
    of: Collection,
    cases: Sequence[Case],
    what: str,
    ours: Sequence[Sequence[Point]],
    rivals: Sequence[Sequence[Point]],
) -> Iterator[Row]:
    """Each case by itself, from points of all cases side by side."""
    number = np.repeat(np.arange(len(cases)), [len(case.tokens) for case in cases])
    for k, case in enumerate(cases):
        mine, theirs = ([[p.only(number == k) for p in points] for points in each] for each in (ours, rivals))
        yield from _compared(of, case, what, mine, theirs)


def _compared(
    of: Collection,
    case: Case,
    what: str,
    ours: Sequence[Sequence[Point]],
    rivals: Sequence[Sequence[Point]],
) -> Iterator[Row]:
    """Bytes at the error that the present codec has near each rate."""
    for rate in RATES:
        rival = [min(points, key=lambda p: abs(float(np.log(p.bytes.mean() / rate)))) for points in rivals]
        found = ratio(ours, rival, case.place)
        if not np.isfinite(found.value):
            continue  # where one of the two does not reach
        few = len(np.unique(case.place)) < 3 or not np.isfinite((found.low, found.high)).all()
        yield Row(
            SUITE, f"{of.package.name}/kinds/{case.name}/near {rate:g} B", f"bytes at equal error, {what}",
            found.value, None if few else found.low, None if few else found.high,
            "ratio" if few else f"ratio [95% over places and {len(ours)} fits]", "one codec", found.n,
            ",".join(map(str, range(len(ours)))),
        )  # fmt: skip


def _joined(cases: Sequence[Case]) -> Case:
    """All of them side by side, files and places kept apart."""
    tokens = np.concatenate([case.tokens for case in cases])
    file, place = (
        np.concatenate([number * _APART + getattr(case, name) for number, case in enumerate(cases)])
        for name in ("file", "place")
    )
    return Case("all", tokens, file, place)


def _sets(of: Collection) -> Iterator[Case]:
    """Sets of the harness, all of them Sentinel-2."""
    for held in of.held:
        yield Case(held.name, held.tokens, of.run.sets[held.name].tiles.scene[held.chosen], held.groups)


def _sensor(tiles: Tiles, source: str) -> Case:
    """Windows of another sensor's pictures in the validation split; a picture is a file and a place."""
    pictures = read_source(source, tiles.of.data, "val")
    pictures = pictures[:: -(-len(pictures) // _PICTURES)]
    each = CodecWindows((source,), 1, most_home=-(-_MOST // len(pictures)))
    found = [
        tiles.tokens(codec_tiles({source: [picture]}, tiles.bands, each, seed=0)) for picture in pictures
    ]
    number = np.repeat(np.arange(len(found)), [len(x) for x in found])
    return Case(source, np.concatenate(found), number, number)


def _thirds(tiles: Tiles, source: str) -> list[FloatArray]:
    """Training windows of a sensor in as many parts as there are fits, neighbours in one."""
    windows = tiles.planned(CodecWindows((source,), 4, most_home=_OWN_MOST))
    return [windows[rows] for rows in np.array_split(np.arange(len(windows)), SPLITS)]


def _of_home(tiles: Tiles) -> BoolArray:
    """Which of the training windows without an unmeasured token are Sentinel-2 as it is: those that come first."""
    plan = CODEC_WINDOWS[tiles.bands]
    home = CodecWindows(plan.home, plan.turns, most_home=plan.most_home)
    images = {name: read_source(name, tiles.of.data, "train") for name in home.sources}
    count = sum(1 for _ in codec_tiles(images, tiles.bands, home, seed=0))
    with np.load(tiles.of.train, allow_pickle=False) as archive:
        whole = archive["token_validity"].all(axis=(1, 2))
    return np.asarray((np.arange(len(whole)) < count)[whole], np.bool_)
