"""What each part of the training-free codec is worth: bytes per tile at equal error, in real record bytes.

    python -m benchmarks.rate_base --data ../shared/data

Embeddings come from the shipped encoder: training windows (runs/train_embeddings.npz, made by `python -m codec.pretrain
fit-codec --keep`) fit every codec, the EuroSAT validation tiles measure it. All codecs go through the same entropy
coder, records of 960 bytes, headers and checksums counted; every file is decoded and compared before it counts.
Errors are relative: of tokens, the mean squared error over the variance about the training tokens' position mean; of the
tile mean (what tile-level heads see), the same of the means over a tile's tokens.

Rivals: `per-channel prior` (one mean and one table per channel, no transform), `+ position mean`, `KLT only` (the same
on KLT channels), `DCT only` (scales by channel and frequency, no KLT), `KLT+DCT` (no protected mean, one KLT for all
frequencies), `one KLT` (the same with the protected mean), `L0 alone` (the protected mean and nothing else).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.results import Row, save
from codec.bitstream import core
from codec.errors import InputError, InternalError, SwathpackError
from codec.evaluate.rate.embedding.one_step import OneStep, by_channel
from codec.evaluate.rate.embedding.records import RecordCoder
from codec.transform import fit as fitting
from codec.transform.fit import fit_planes
from codec.transform.layout import PlaneLayout
from codec.transform.maps import quant_maps
from codec.transform.plane import PlaneTransform
from codec.transform.rate import COST_UNITS_PER_BYTE
from codec.transform.tables import Tables
from codec.types import FloatArray

CASE = "eurosat-val, s2-nano tokens"
BASE = "KLT+DCT+L0"
ERRORS = {  # at which codecs are compared
    "tokens": (0.05, 0.15, 0.35),
    "tile mean": (0.003, 0.01, 0.03),
}
DRAWS = 500
STEPS = 2.0 ** np.arange(-3.5, 4.01, 0.5)  # of the per-channel rivals, times the deviation of a coefficient


@dataclass(frozen=True)
class Point:
    """One codec at one quality."""

    quality: str
    bytes_per_tile: float  # real records
    costs: npt.NDArray[np.float64]  # N, estimated bytes of each tile
    errors: dict[
        str, npt.NDArray[np.float64]
    ]  # N, squared error of each tile, of its tokens and of their mean


Curve = list[Point]


def squared_errors(difference: FloatArray, *, in_frequency: bool) -> dict[str, npt.NDArray[np.float64]]:
    """Of tokens and of the tile mean, from differences N×C×F of orthonormal coefficients or of tokens."""
    d = difference.astype(np.float64)
    # The DC of an orthonormal transform is √F times the mean; both are scaled to the energy it has among the tokens.
    mean = d[:, :, 0] if in_frequency else d.mean(axis=2) * np.sqrt(d.shape[2])
    return {"tokens": np.square(d).sum(axis=(1, 2)), "tile mean": np.square(mean).sum(axis=1)}


def real_bytes(
    tables: Tables, ladder_index: int, symbols: npt.NDArray[np.int16], n_layers: int = 16
) -> tuple[float, npt.NDArray[np.float64]]:
    """Record bytes per tile of one plane, and the estimated bytes of every tile. The records are decoded and compared."""
    coder = RecordCoder.of(tables)
    valid = np.ones((len(symbols), tables.planes[0].rows, tables.planes[0].cols), dtype=bool)
    whole = coder.encode(symbols, valid, ladder_index=ladder_index)
    found = coder.decode([part.data for part in whole], len(symbols), ladder_index=ladder_index)
    if not np.array_equal(found.planes[0].values, symbols):
        raise InternalError("the decoded symbols differ from those that were coded")
    sent = coder.encode(symbols, valid, ladder_index=ladder_index, layers=n_layers)
    costs = sum(
        core.tile_costs(coder.parsed, 0, layer, ladder_index, symbols).astype(np.float64)
        for layer in range(min(n_layers, len(tables.planes[0].layer_shift)))
    )
    return sum(len(part.data) for part in sent) / len(symbols), np.asarray(costs) / COST_UNITS_PER_BYTE


def fitted_curve(train: FloatArray, test: FloatArray, layout: PlaneLayout, n_layers: int = 16) -> Curve:
    """The project's codec at every second ladder index."""
    codec = fit_planes({"tokens": train}, layouts={"tokens": layout})
    latents = codec.transforms["tokens"].analyse(test)
    curve = []
    for index in list(codec.tables.usable_indices())[::2]:
        maps = quant_maps(codec.tables, 0, index)
        symbols = maps.quantise(latents)
        bytes_, costs = real_bytes(codec.tables, index, symbols, n_layers)
        received = np.full(len(symbols), (1 << n_layers) - 1, dtype=np.uint16)
        errors = squared_errors(maps.reconstruct(symbols, received) - latents, in_frequency=True)
        curve.append(Point(f"q{index}", bytes_, costs, errors))
    return curve


def dct_only_curve(train: FloatArray, test: FloatArray) -> Curve:
    """The project's codec with the identity in the place of the KLT."""
    original = fitting.fit_transform

    def identity(*args: object, **options: bool) -> tuple[PlaneTransform, float]:
        transform, deviation = original(*args, **options)  # type: ignore[arg-type]
        return replace(transform, basis=np.eye(transform.channels, dtype=np.float32)), deviation

    fitting.fit_transform = identity
    try:
        return fitted_curve(train, test, PlaneLayout(dc_shift=0, rotations=False))
    finally:
        fitting.fit_transform = original


def per_channel_curve(train: FloatArray, test: FloatArray) -> Curve:
    """One table per channel for each step; N×h×w×C with means removed. One layer, tokens in the place of frequencies."""
    deviation = float(train.std())
    latents, fitted_on = (
        np.ascontiguousarray(np.moveaxis(x, 3, 1)).reshape(len(x), x.shape[3], -1) for x in (test, train)
    )
    fitted = OneStep.fit(fitted_on, by_channel(fitted_on, *train.shape[1:3]))
    curve = []
    for step in STEPS * deviation:
        tables = fitted.tables(step)
        maps = quant_maps(tables, 0, 0)
        symbols = maps.quantise(latents)
        bytes_, costs = real_bytes(tables, 0, symbols)
        errors = squared_errors(maps.reconstruct(symbols) - latents, in_frequency=False)
        curve.append(Point(f"step {step / deviation:.3g} sd", bytes_, costs, errors))
    return curve


def curves(train: FloatArray, test: FloatArray) -> dict[str, Curve]:
    """Every codec's curve; all fitted on `train` only."""
    channel_mean = train.mean(axis=(0, 1, 2))
    position_mean = train.mean(axis=0)
    basis = fitting.fit_transform(train, np.ones(train.shape[:3], bool), position_mean=True)[0].basis
    return {
        BASE: fitted_curve(train, test, PlaneLayout()),
        "L0 alone": fitted_curve(train, test, PlaneLayout(), n_layers=1),
        "KLT+DCT": fitted_curve(train, test, PlaneLayout(dc_shift=0, rotations=False)),
        "one KLT": fitted_curve(train, test, PlaneLayout(rotations=False)),
        "DCT only": dct_only_curve(train, test),
        "KLT only": per_channel_curve((train - position_mean) @ basis.T, (test - position_mean) @ basis.T),
        "+ position mean": per_channel_curve(train - position_mean, test - position_mean),
        "per-channel prior": per_channel_curve(train - channel_mean, test - channel_mean),
    }


Variance = dict[str, npt.NDArray[np.float64]]  # N per kind of error


def bytes_at(
    curve: Curve, kind: str, error: float, variance: Variance, tiles: npt.NDArray[np.int64]
) -> float:
    """Bytes per tile at a relative error over the chosen tiles, interpolated in both logarithms; NaN off the curve.

    Real bytes of the whole set, scaled by how much dearer the chosen tiles are by the integer costs.
    """
    curve = [point for point in curve if point.costs.any()]
    x = np.array([point.errors[kind][tiles].sum() / variance[kind][tiles].sum() for point in curve])
    y = np.array([point.bytes_per_tile * point.costs[tiles].mean() / point.costs.mean() for point in curve])
    order = np.argsort(x)
    if not x[order[0]] <= error <= x[order[-1]]:
        return float("nan")
    return float(np.exp(np.interp(np.log(error), np.log(x[order]), np.log(y[order]))))


def rows(found: dict[str, Curve], variance: Variance, *, seed: int = 0) -> list[Row]:
    """Rows of the rate suite: the curves, bytes at equal error, and ratios against each rival with 95 % intervals.

    The codec that is compared with the rivals is the whole one for tokens and its layer 0 for the tile mean.
    """
    n = len(variance["tokens"])
    everything = np.arange(n)
    draws = np.random.default_rng(seed).integers(0, n, (DRAWS, n))
    result = []
    for name, curve in found.items():
        for point in curve:
            case = f"{CASE}, {name} at {point.quality}"
            result.append(Row("rate", case, "bytes", point.bytes_per_tile, unit="B/tile", n=n))
            for kind, errors in point.errors.items():
                error = float(errors.sum() / variance[kind].sum())
                result.append(Row("rate", case, f"relative MSE of {kind}", error, unit="of variance", n=n))
    for kind, targets in ERRORS.items():
        own = BASE if kind == "tokens" else "L0 alone"
        for target in targets:
            case = f"{CASE}, MSE of {kind} {target:g}"
            ours = [bytes_at(found[own], kind, target, variance, d) for d in draws]
            base = bytes_at(found[own], kind, target, variance, everything)
            for name, curve in found.items():
                at = bytes_at(curve, kind, target, variance, everything)
                if not np.isfinite(at):
                    continue
                result.append(Row("rate", case, f"bytes, {name}", at, unit="B/tile", n=n))
                if name != own:
                    ratios = np.array([bytes_at(curve, kind, target, variance, d) for d in draws]) / ours
                    low, high = np.nanpercentile(ratios, [2.5, 97.5])
                    unit = "x [95% bootstrap over tiles]"
                    result.append(
                        Row(
                            "rate",
                            case,
                            f"fewer bytes, {own}",
                            at / base,
                            low,
                            high,
                            unit,
                            name,
                            n,
                            str(seed),
                        )
                    )
    return result


def validation_tokens(package: Path, data: Path) -> FloatArray:
    """Tokens of the EuroSAT validation tiles, all bands, N×8×8×C."""
    from codec.data.labelled import eurosat_scenes
    from codec.models.inference import embed
    from codec.models.weights import load_encoder
    from codec.types import Tile

    encoder = load_encoder(package / "encoder.safetensors")
    scenes = eurosat_scenes(data, "val", encoder.config.bands)
    tiles = (Tile(i, pixels, scenes.validity[i], scenes.present[i]) for i, pixels in enumerate(scenes.pixels))
    return embed(encoder, tiles)["tokens"]


def table(found: dict[str, Curve], variance: Variance) -> str:
    """Bytes at equal error, for a terminal; - where a curve does not reach it."""
    columns = [(kind, error) for kind, errors in ERRORS.items() for error in errors]
    tiles = np.arange(len(variance["tokens"]))
    lines = ["bytes per tile at".ljust(20) + "".join(f"{f'{kind} {error:g}':>17}" for kind, error in columns)]
    for name, curve in found.items():
        cells = [bytes_at(curve, kind, error, variance, tiles) for kind, error in columns]
        lines.append(name.ljust(20) + "".join("-".rjust(17) if np.isnan(c) else f"{c:17.1f}" for c in cells))
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write benchmarks/results/rate.csv."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rate_base", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    parser.add_argument("--package", type=Path, default=Path("models/s2-nano"))
    parser.add_argument("--train", type=Path, default=Path("runs/train_embeddings.npz"))
    options = parser.parse_args(arguments)
    try:
        if not options.train.is_file():
            raise InputError(
                "no training embeddings",
                path=options.train,
                fix="python -m codec.pretrain fit-codec --keep FILE",
            )
        with np.load(options.train, allow_pickle=False) as archive:
            whole = archive["token_validity"].all(axis=(1, 2))
            train = archive["tokens"][whole]
        test = validation_tokens(options.package, options.data)
        found = curves(train, test)
        centred = np.moveaxis(test - train.mean(axis=0), 3, 1).reshape(len(test), test.shape[3], -1)
        variance = squared_errors(centred, in_frequency=False)
        print(table(found, variance))
        for path in save(rows(found, variance), packages=("swathpack", "numpy", "torch")):
            print(path)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
