"""Would a codec fitted on more varied scenes, or a choice among a few codecs per file, need fewer bytes at equal error?

    python -m benchmarks.varied_bases --data ../shared/data --pool runs/pool-s2-nano

Tokens of the shipped encoder. Today's fit: all training windows of the collection (runs/train_embeddings.npz, made by
`python -m codec.pretrain embed`). Against it, scored on tiles of places outside training:

* `EuroSAT windows`: fewer scenes; `every source alike`: all, no source above the median one's share;
* `windows of all bands`: those that show all twelve (half of the windows hide some, and most sources lack some);
* `windows and views`, and the same `of all bands`: random views of the pool besides (crops of any place, size and turn);
* `k codecs`: training scenes clustered by the basis that fits them (Lloyd's rule: a scene goes to the basis under which the
  logarithms of its channels' variances above the distortion of a middle rate sum to least; a basis is that of its scenes'
  pooled second moments), a whole codec fitted per cluster, and each file coded with the one of least D + λR, whose number
  costs one byte. This needs a field the format does not have: it is a measurement, no method.

Bytes are integer table costs, within 1 % of real records (bitstream §10.2), of whole tiles. Errors: mean squared error over
the variance about today's position mean.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.results import FOLDER, Row
from codec.errors import InputError, SwathpackError
from codec.evaluate.intervals import FloatVector
from codec.evaluate.rate.curve_intervals import Bootstrap, Measured, bytes_interval, size_sums
from codec.evaluate.rate.opened import opened
from codec.evaluate.rate.report import DRAWS
from codec.evaluate.rate.run import Run, Setting
from codec.evaluate.rate.sets import MULTISPECTRAL, read
from codec.evaluate.rows import as_text, save
from codec.transform.fit import FittedCodec, fit_planes
from codec.transform.maps import quant_maps
from codec.transform.rate import COST_UNITS_PER_BYTE, choose_ladder_index, symbol_costs
from codec.types import FloatArray

SUITE = "refinement"
ERRORS = (0.05, 0.15, 0.35)
BUDGETS = (2400.0, 20.0)  # bytes of a training tile at the finest and coarsest quality that is looked at
MIDDLE = 320.0  # … whose distortion the clustering works at
SLOPE = (
    np.log(2) / 6
)  # −dD/dR of a uniform quantiser in step² per bit (D = step²/12 · 2^(−2R) about its step)
_LLOYD = 20
_FEWEST_WINDOWS = 200  # of a cluster; a scene's tables need data


@dataclass(frozen=True)
class Windows:
    """Training tokens N×h×w×C of whole windows, and the number of the scene each is of."""

    tokens: FloatArray
    scene: npt.NDArray[np.int64]
    source: npt.NDArray[np.int64]
    all_bands: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Held:
    """Tokens that are scored: N×h×w×C, files and places by tile."""

    name: str
    tokens: FloatArray
    file: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Curve:
    """Of N tiles at S steps, from the finest: bytes and squared errors, S×N."""

    steps: FloatVector
    bytes: FloatVector
    errors: FloatVector


def training_windows(path: Path, data: Path) -> Windows:
    """Today's windows with their scenes. Raises InputError where the file is not of this collection."""
    from codec.data.readers import read_source
    from codec.models.bands import S2_NANO_BANDS
    from codec.pretrain.fit import CODEC_SOURCES
    from codec.pretrain.windows import origins

    if not path.is_file():
        raise InputError(
            "no training embeddings",
            path=path,
            fix="python -m codec.pretrain embed --data FOLDER --encoder FILE --out FILE",
        )
    with np.load(path, allow_pickle=False) as archive:
        tokens, whole = archive["tokens"], archive["token_validity"].all(axis=(1, 2))
        # A band that is not there is 0 in every token of the spectral plane.
        all_bands = (archive["spectral"] != 0).any(axis=(1, 2)).all(axis=1)
    scene, source = [], []
    names, turns = CODEC_SOURCES[S2_NANO_BANDS]
    for number, name in enumerate(sorted(names)):  # the order of `codec.pretrain.windows.training_tiles`
        for raster in read_source(name, data, "train"):
            at_scale, zoomed = (len(list(origins(raster, size))) for size in (64, 32))
            count = at_scale * turns + min(at_scale, zoomed)
            scene += [scene[-1] + 1 if scene else 0] * count
            source += [number] * count
    if len(scene) != len(tokens):
        raise InputError(
            "the embeddings are not of this collection's windows",
            path=path,
            expected=len(scene),
            found=len(tokens),
        )
    return Windows(tokens[whole], np.array(scene)[whole], np.array(source)[whole], all_bands[whole])


def views(package: str, data: Path, pool: Path, n: int, *, all_bands: bool) -> FloatArray:
    """Tokens of n random views of the pool, drawn evenly from it, or from those that show all bands."""
    from codec.models import load_encoder
    from codec.models.inference import embed
    from codec.types import Tile

    of = opened(package, data).package
    if of is None:
        raise InputError("a package is needed", found=package)
    encoder = load_encoder(of.path("encoder.safetensors"))
    pixels = np.load(pool / "pixels.npy", mmap_mode="r")
    bands = np.load(pool / "bands.npy", mmap_mode="r")
    usable = np.flatnonzero(np.asarray(bands).all(axis=1)) if all_bands else np.arange(len(bands))
    index = usable[np.unique(np.linspace(0, len(usable) - 1, n).astype(np.int64))]
    valid = np.ones(pixels.shape[2:], np.bool_)
    tiles = (Tile(int(i), pixels[i].astype(np.float32), valid, bands[i].astype(np.bool_)) for i in index)
    return embed(encoder, tiles)["tokens"]


def held_out(package: str, data: Path, split: str, out: Path) -> list[Held]:
    """Whole tiles of the places that are scored, set by set."""
    of = opened(package, data)
    setting = Setting(split)
    run = Run(of.encoder, read(MULTISPECTRAL, data, of.bands), out, setting)
    found = []
    for name, evidence in run.sets.items():
        planes = run.planes(name)
        held = np.any([fold.held for fold in setting.folds(evidence)], axis=0) & planes.validity.all((1, 2))
        lone = len(np.unique(evidence.tiles.scene)) == len(evidence.tiles)
        file = (
            evidence.tiles.groups if lone else evidence.tiles.scene
        )  # lone tiles: a cell of the map is a file
        found.append(
            Held(name, np.array(planes.values["tokens"][held]), file[held], evidence.tiles.groups[held])
        )
    return found


def fitted(tokens: FloatArray) -> FittedCodec:
    return fit_planes({"tokens": np.ascontiguousarray(tokens)})


def curve(codec: FittedCodec, tokens: FloatArray) -> Curve:
    """Costs and errors at every second index between the budgets."""
    usable = codec.tables.usable_indices()
    low, high = (
        choose_ladder_index(usable, codec.mean_bytes.__getitem__, max(b, codec.mean_bytes[usable.stop - 1]))
        for b in BUDGETS
    )
    transform = codec.transforms["tokens"]
    latents = transform.analyse(tokens)
    steps, sizes, errors = [], [], []
    for index in range(low, high + 1, 2):
        maps = quant_maps(codec.tables, 0, index)
        symbols = maps.quantise(latents)
        costs = symbol_costs(codec.tables, 0, index, symbols)
        steps.append(float(maps.step[maps.layer > 0].max()))
        sizes.append(costs.sum((1, 2)) / COST_UNITS_PER_BYTE)
        # The transform is orthonormal: errors of coefficients are those of tokens.
        errors.append(np.square(maps.reconstruct(symbols) - latents, dtype=np.float64).sum((1, 2)))
    return Curve(np.array(steps), np.array(sizes), np.array(errors))


def at_steps(found: Curve, steps: FloatVector) -> Curve:
    """The curve at other steps: bytes and log errors linear in the log of the step, its ends beyond."""
    x, at = np.log2(found.steps), np.log2(steps)
    sizes = np.stack([np.interp(at, x, row) for row in found.bytes.T], 1)
    errors = np.exp(np.stack([np.interp(at, x, np.log(row + 1e-12)) for row in found.errors.T], 1))
    return Curve(steps, sizes, errors)


def chosen(curves: Sequence[Curve], file: npt.NDArray[np.int64]) -> tuple[Curve, float]:
    """Each file at each step by the codec of least D + λR, a byte a file added; and how often it was not the commonest."""
    steps = curves[0].steps
    same = [at_steps(c, steps) for c in curves]
    names, index, count = np.unique(file, return_inverse=True, return_counts=True)
    cost = np.stack([c.errors + SLOPE * (steps**2)[:, None] * 8 * c.bytes for c in same])  # K×S×N
    per_file = np.stack([[np.bincount(index, row, len(names)) for row in of] for of in cost])  # K×S×G
    best = per_file.argmin(0)[:, index]  # S×N
    sizes = np.take_along_axis(np.stack([c.bytes for c in same]), best[None], 0)[0] + 1.0 / count[index]
    errors = np.take_along_axis(np.stack([c.errors for c in same]), best[None], 0)[0]
    commonest = np.bincount(best.ravel(), minlength=len(curves)).max() / best.size
    return Curve(steps, sizes, errors), 1 - float(commonest)


def clusters(windows: Windows, mean: FloatArray, step: float, k: int, seed: int) -> npt.NDArray[np.int64]:
    """Cluster of every window; a scene is never split."""
    channels = windows.tokens.shape[-1]
    names, index = np.unique(windows.scene, return_inverse=True)
    moments = np.zeros((len(names), channels, channels))
    for number in range(len(names)):
        x = (windows.tokens[index == number] - mean).reshape(-1, channels).astype(np.float64)
        moments[number] = x.T @ x / len(x)
    weight = np.bincount(index).astype(np.float64)
    rng = np.random.default_rng([seed, k])
    of = rng.integers(k, size=len(names))
    for _ in range(_LLOYD):
        cost = np.full((k, len(names)), np.inf)
        for number in range(k):
            mine = of == number
            if weight[mine].sum() < _FEWEST_WINDOWS:
                continue
            pooled = np.tensordot(weight[mine], moments[mine], 1) / weight[mine].sum()
            basis = np.linalg.eigh(pooled)[1]
            variances = np.einsum("ca,sab,bc->sc", basis.T, moments, basis, optimize=True)
            # Under the cluster's own tables a channel costs what its pooled variance says, plus the mismatch.
            expected = np.maximum(np.einsum("ca,ab,bc->c", basis.T, pooled, basis), step**2 / 12)
            cost[number] = 0.5 * (np.log2(expected) + np.maximum(variances, step**2 / 12) / expected).sum(1)
        new = cost.argmin(0)
        if np.array_equal(new, of):
            break
        of = new
    return np.asarray(of[index], np.int64)


def compared(today: Curve, other: Curve, held: Held, mean: FloatArray) -> Iterator[tuple[float, object]]:
    """At each error: bytes of today's codec over those of the other, with a paired interval over places."""
    variance = float(np.square(held.tokens - mean, dtype=np.float64).sum((1, 2, 3)).mean())

    def measured(found: Curve) -> Measured:
        index = np.unique(held.place, return_inverse=True)[1]
        tiles = np.bincount(index).astype(np.float64)
        sums = [np.stack([np.bincount(index, row), tiles * variance], -1) for row in found.errors]
        return Measured(np.stack(sums)[None], size_sums(found.bytes, held.place))

    how = replace(Bootstrap(), draws=DRAWS, statistic=_less_error)
    for error in ERRORS:
        yield error, bytes_interval(measured(other), measured(today), float(-np.log2(error)), how)


def _less_error(sums: FloatVector) -> FloatVector:
    """A utility: larger is better, and nearly linear in the log of the bytes."""
    return np.asarray(-np.log2(sums[..., 0] / sums[..., 1]), np.float64)


def rows(
    label: str,
    today: Mapping[str, Curve],
    other: Mapping[str, Curve],
    sets: Sequence[Held],
    mean: FloatArray,
    split: str,
) -> list[Row]:
    """One row for every set and error."""
    out = []
    for held in sets:
        for error, found in compared(today[held.name], other[held.name], held, mean):
            out.append(
                Row(
                    SUITE, f"s2-nano/{held.name}/{split}/codec fitted on {label}", f"bytes at error {error:g}, today's over",
                    found.value, found.low, found.high, f"ratio [{found.note}]", "today's fit", n=len(held.tokens),  # type: ignore[attr-defined]
                )
            )  # fmt: skip
    return out


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write benchmarks/results/refinement.csv."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.varied_bases", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    parser.add_argument("--package", default="s2-nano")
    parser.add_argument("--train", type=Path, default=Path("runs/train_embeddings.npz"))
    parser.add_argument("--pool", type=Path, help="folder of labelled views; left out: no views")
    parser.add_argument("--views", type=int, default=8000)
    parser.add_argument("--split", choices=("val", "test", "unseen"), default="val")
    parser.add_argument("--clusters", type=int, nargs="*", default=[2, 3, 4])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/refinement/rate"), help="planes")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the results")
    options = parser.parse_args(arguments)
    try:
        _measure(options)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


def fits(windows: Windows, options: argparse.Namespace) -> Iterator[tuple[str, FloatArray]]:
    """Other sets of windows, by label."""
    from codec.models.bands import S2_NANO_BANDS
    from codec.pretrain.fit import CODEC_SOURCES

    sources = sorted(CODEC_SOURCES[S2_NANO_BANDS][0])
    yield "EuroSAT windows", windows.tokens[windows.source == sources.index("eurosat")]
    yield "windows of all bands", windows.tokens[windows.all_bands]
    most = int(np.median(np.bincount(windows.source)))
    rng = np.random.default_rng(0)
    alike = [
        rng.permutation(np.flatnonzero(windows.source == number))[:most] for number in range(len(sources))
    ]
    yield "every source alike", windows.tokens[np.sort(np.concatenate(alike))]
    if options.pool:
        for label, all_bands in (("windows and views of all bands", True), ("windows and views", False)):
            more = views(options.package, options.data, options.pool, options.views, all_bands=all_bands)
            mine = windows.tokens[windows.all_bands] if all_bands else windows.tokens
            yield label, np.concatenate([mine, more])


def _measure(options: argparse.Namespace) -> None:
    windows = training_windows(options.train, options.data)
    sets = held_out(options.package, options.data, options.split, options.out)
    base = fitted(windows.tokens)
    mean = base.transforms["tokens"].mean
    today = {held.name: curve(base, held.tokens) for held in sets}

    def report(label: str, other: Mapping[str, Curve]) -> None:
        found = rows(label, today, other, sets, mean, options.split)
        print(as_text(found), flush=True)
        save(found, options.results, ("swathpack", "numpy", "torch"), per_machine=False)

    for label, tokens in fits(windows, options):
        codec = fitted(tokens)
        print(f"{label}: {len(tokens)} windows, today's {len(windows.tokens)}", flush=True)
        report(label, {held.name: curve(codec, held.tokens) for held in sets})
    usable = base.tables.usable_indices()
    middle = choose_ladder_index(usable, base.mean_bytes.__getitem__, MIDDLE)
    step = float(base.tables.ladder[middle])
    for k in options.clusters:
        for seed in options.seeds:
            of = clusters(windows, mean, step, k, seed)
            codecs = [fitted(windows.tokens[of == number]) for number in np.unique(of)]
            found = {}
            for held in sets:
                curves = [today[held.name], *(curve(codec, held.tokens) for codec in codecs)]
                found[held.name], share = chosen(curves, held.file)
                print(f"{k} codecs, seed {seed}, {held.name}: {share:.0%} not by the commonest", flush=True)
            report(f"{len(codecs)} clusters and all, a byte a file for the choice, seed {seed}", found)


if __name__ == "__main__":
    sys.exit(main())
