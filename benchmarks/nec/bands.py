"""Which windows a codec should be fitted on, if files may lack bands or come from other sensors: bytes at equal error.

Today's fit is that of all training windows, half of them with some of their bands hidden and a fifth zoomed. Against it:

* `all-band windows of today's`: those of them that show every band;
* `home windows`: of sources that have all bands, at their own scale, in eight orientations; and `with a quarter`, `with a
  half as many` that lack bands, in equal shares of the band sets below;
* `home windows and N of each guest`: besides, N windows of each sensor of fewer bands; what `fit-codec` takes;
* `home windows and views`: besides, random crops, sizes and mixtures of the training pool;
* `windows at their own scale`, `at most N of a source`: of an encoder whose sources all have its bands;
* `own`: of home windows with the bands of the file, or of the sensor's own training windows.

Bytes are integer costs with a mean vector a file where it pays; errors are those of tokens, or of their mean in a tile for
layer 0. Tiles are outside training; the plan was chosen on those of `val`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.nec.band_cases import BANDS, OTHERS, Case, Tiles
from benchmarks.nec.costed import Codec, Costed, curve, nearest
from benchmarks.nec.equal_error import ratio
from benchmarks.nec.held_out import Collection
from codec.errors import InputError
from codec.evaluate.rows import Row
from codec.pretrain.fit import CODEC_WINDOWS
from codec.pretrain.windows import CodecWindows
from codec.transform.fit import fit_planes
from codec.types import FloatArray, Tile

SUITE = "windows"
RATES = (100.0, 300.0, 1000.0)  # bytes a tile of today's fit
MEAN_RATE = 100.0  # where layer 0 is looked at
GUESTS = (75, 150, 300)
LIMITS = (600, 1500)
_VIEWS = 3000


def fitted(tokens: FloatArray) -> Codec:
    """A codec of tokens alone."""
    found = fit_planes({"tokens": np.ascontiguousarray(tokens)})
    return Codec(found.transforms["tokens"], found.tables)


def rows(of: Collection) -> Iterator[Row]:
    """Bytes at equal error over today's, one row for each band set or sensor, fit and rate."""
    tiles = Tiles(of)
    cases = list(tiles.cases())
    own = _own(tiles)
    with np.load(of.train, allow_pickle=False) as archive:
        whole = archive["token_validity"].all(axis=(1, 2))
        windows = archive["tokens"][whole]
        every = (archive["spectral"][whole] != 0).any(axis=(1, 2)).all(axis=1)
    today = {case.name: curve(fitted(windows), case.tokens, case.file) for case in cases}
    for name, found in today.items():
        for rate in RATES:
            point = nearest(found, rate).tokens
            yield Row(
                SUITE, _case(of, name, rate), "bytes, today's fit", float(point.bytes.mean()), unit="B/tile"
            )
    for label, tokens in _fits(tiles, windows, every):
        codec = fitted(tokens)
        for case in cases:
            yield from compared(of, case, label, curve(codec, case.tokens, case.file), today[case.name])
    for case in cases:
        if case.name in BANDS and not _plan(tiles).guests:
            continue  # the plan itself
        codec = fitted(own(case))
        yield from compared(of, case, "own", curve(codec, case.tokens, case.file), today[case.name])


def _case(of: Collection, name: str, rate: float) -> str:
    return f"{of.package.name}/windows/{name}/near {rate:g} B"


def compared(
    of: Collection, case: Case, label: str, ours: list[Costed], today: list[Costed]
) -> Iterator[Row]:
    """Tokens at each rate, and layer 0 at one."""
    for rate in RATES:
        point = nearest(today, rate)
        parts = [("bytes at equal error", [p.tokens for p in ours], point.tokens)]
        if rate == MEAN_RATE:
            parts.append(("bytes of layer 0 at equal error", [p.mean for p in ours], point.mean))
        for metric, mine, rival in parts:
            found = ratio([mine], [rival], case.place)
            if np.isfinite(found.value):
                few = len(np.unique(case.place)) < 3
                yield Row(
                    SUITE, _case(of, case.name, rate), f"{metric}, fitted on {label}", found.value,
                    None if few else found.low, None if few else found.high,
                    "ratio" if few else "ratio [95% over places]", "today's fit", found.n,
                )  # fmt: skip


def _own(tiles: Tiles) -> Callable[[Case], FloatArray]:
    home = replace(_plan(tiles), guests=())

    def tokens(case: Case) -> FloatArray:
        if case.name in OTHERS:
            return tiles.planned(
                CodecWindows((case.name,), 4 if case.name != "ucmerced" else 1, most_home=1500)
            )
        return tiles.planned(home, BANDS[case.name])

    return tokens


def _plan(tiles: Tiles) -> CodecWindows:
    return CODEC_WINDOWS[tiles.bands]


def _fits(tiles: Tiles, windows: FloatArray, every: np.ndarray) -> Iterator[tuple[str, FloatArray]]:
    """Other sets of windows, by label."""
    plan = _plan(tiles)
    if not plan.guests:  # an encoder of so few bands that all sources have them
        yield "windows at their own scale", tiles.planned(replace(plan, most_home=None))
        for most in LIMITS:
            yield (
                f"windows at their own scale, at most {most} of a source",
                tiles.planned(replace(plan, most_home=most)),
            )
        return
    yield "all-band windows of today's", windows[every]
    alone = tiles.planned(replace(plan, guests=()))
    yield "home windows", alone
    subsets = [shown for shown in BANDS.values() if shown is not None]
    lacking: Mapping[int, FloatArray] = {
        k: tiles.planned(replace(plan, guests=(), turns=1), shown) for k, shown in enumerate(subsets)
    }
    rng = np.random.default_rng(0)
    for label, share in (("a quarter", 0.25), ("a half", 0.5)):
        n = round(share * len(alone) / len(subsets))
        more = [x[rng.permutation(len(x))[:n]] for x in lacking.values()]
        yield f"home windows, with {label} as many that lack bands", np.concatenate([alone, *more])
    for most in GUESTS:
        yield f"home windows and {most} of each guest", tiles.planned(replace(plan, most_guest=most))
    yield "home windows and views of all bands", np.concatenate([alone, _views(tiles)])


def _views(tiles: Tiles) -> FloatArray:
    """Random views of the training pool that show all bands."""
    pool = Path("runs") / f"pool-{tiles.of.package.name}"
    if not (pool / "pixels.npy").is_file():
        raise InputError("no pool of views", path=pool, fix="python -m codec.pretrain label RECIPE --pool")
    pixels = np.load(pool / "pixels.npy", mmap_mode="r")
    bands = np.asarray(np.load(pool / "bands.npy", mmap_mode="r")).astype(bool)
    usable = np.flatnonzero(bands.all(axis=1))
    chosen = usable[np.linspace(0, len(usable) - 1, _VIEWS).astype(int)]
    valid = np.ones(pixels.shape[2:], np.bool_)
    return tiles.tokens(Tile(int(i), pixels[i].astype(np.float32), valid, bands[i]) for i in chosen)
