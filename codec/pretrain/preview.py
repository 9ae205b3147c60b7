"""Fit and score the linear decoder of a package's preview: `python -m codec.pretrain.preview fit …`.

Ridge regression from the planes of a token (as sent: half of the samples are decoded at the package's default quality) to
the pixels of its patch, each band over the tokens of windows that have it. Scored on windows of the validation split,
decoded at the default quality, by band: PSNR against the range from the 2nd to the 98th percentile of these pixels (what
a stretched picture shows), share of the variance explained, and the same for painting every patch in its true mean, which
is what a decoder without any texture could reach at best.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codec.atomic import write_atomic
from codec.data.raster import Raster
from codec.data.readers import read_source
from codec.errors import InputError, SwathpackError
from codec.models.inference import embed
from codec.models.vit import Encoder
from codec.models.weights import load_encoder
from codec.package import Package, load
from codec.pipeline.preview import NAME, Preview
from codec.pretrain.fit import CODEC_SOURCES
from codec.pretrain.windows import training_tiles
from codec.types import BoolArray, Embedding, FloatArray, Tile

PLANES = ("tokens", "spectral")
_RIDGE = 1e-3  # of the mean variance of the inputs: with 10⁵ tokens for 141 weights it only keeps the solution small
_TILES = 256  # at a time
_LEAST_VALIDATION_TILES = 8
# The others of the collection have no validation split of pixels.
VALIDATION_SOURCES = (
    "eurosat",
    "terramind",
    "sen1floods11",
    "lahinch",
    "cloud38",
    "naip",
    "ucmerced",
    "dubai",
)


@dataclass(frozen=True)
class Windows:
    """Tiles and their planes."""

    tiles: list[Tile]
    planes: dict[str, FloatArray]  # N×h×w×C, as the encoder gives them
    tokens: BoolArray  # N×h×w: every pixel of the patch is valid

    @classmethod
    def of(cls, encoder: Encoder, images: dict[str, list[Raster]], *, seed: int, turns: int) -> Windows:
        config = encoder.config
        tiles = list(training_tiles(images, config.bands, seed=seed, tile=config.tile, turns=turns))
        side, patch = config.side, config.patch
        whole = [t.validity.reshape(side, patch, side, patch).all(axis=(1, 3)) for t in tiles]
        tokens = np.stack(whole) if whole else np.zeros((0, side, side), bool)
        return cls(tiles, embed(encoder, tiles), tokens)


def decoded(package: Package, planes: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Planes as the ground has them at the package's default quality, all layers received."""
    result = {}
    for name in PLANES:
        maps, transform = package.maps(name, package.default_ladder_index), package.transforms[name]
        values = np.empty_like(planes[name])
        for start in range(0, len(values), _TILES):
            part = slice(start, start + _TILES)
            symbols = maps.quantise(transform.analyse(planes[name][part]))
            values[part] = transform.synthesise(maps.reconstruct(symbols))
        result[name] = values
    return result


def _inputs(planes: dict[str, FloatArray], part: slice) -> FloatArray:
    """Tokens×inputs."""
    values = np.concatenate([planes[name][part] for name in PLANES], axis=-1)
    return values.reshape(-1, values.shape[-1])


def _patches(tiles: Sequence[Tile], patch: int) -> FloatArray:
    """Tokens×bands×(patch·patch)."""
    pixels = np.stack([t.pixels for t in tiles])
    n, bands, size, _ = pixels.shape
    side = size // patch
    parts = pixels.reshape(n, bands, side, patch, side, patch).transpose(0, 2, 4, 1, 3, 5)
    return np.ascontiguousarray(parts.reshape(n * side * side, bands, patch * patch))


def fit(package: Package, windows: Windows, fitted_on: str) -> Preview:
    """The decoder, not yet scored. Raises InputError where a band of the package was in no window."""
    patch, bands = package.tile.patch, package.bands
    versions = (windows.planes, decoded(package, windows.planes))
    used = windows.tokens.reshape(-1)
    every = np.concatenate([_inputs(v, slice(None))[used] for v in versions])
    centre, spread = every.mean(axis=0), np.maximum(every.std(axis=0), 1e-6)
    del every
    n_inputs = len(centre) + 1
    gram = np.zeros((len(bands), n_inputs, n_inputs))
    moment = np.zeros((len(bands), n_inputs, patch * patch))
    per_tile = windows.tokens[0].size
    present = np.stack([t.bands_present for t in windows.tiles])
    # Tiles with the same bands share one Gram matrix.
    for kind in np.unique(present, axis=0):
        at = np.flatnonzero((present == kind).all(axis=1))
        own = np.zeros((n_inputs, n_inputs))
        for start in range(0, len(at), _TILES):
            some = at[start : start + _TILES]
            wanted = (some[:, None] * per_tile + np.arange(per_tile)).reshape(-1)
            keep = used[wanted]
            target = _patches([windows.tiles[i] for i in some.tolist()], patch)[keep].astype(np.float64)
            for planes in versions:
                x = np.concatenate([planes[name][some] for name in PLANES], axis=-1)
                x = (x.reshape(len(wanted), -1)[keep] - centre) / spread
                x = np.concatenate([x, np.ones((len(x), 1), x.dtype)], axis=1).astype(np.float64)
                own += x.T @ x
                for band in np.flatnonzero(kind).tolist():
                    moment[band] += x.T @ target[:, band]
        gram[kind] += own
    weights = np.zeros((n_inputs, patch * patch, len(bands)))
    for band, name in enumerate(bands):
        if not gram[band, -1, -1]:
            raise InputError(f"no training window has the band {name}", fix="give more sources")
        ridge = _RIDGE * gram[band, -1, -1] * np.eye(n_inputs)
        ridge[-1, -1] = 0  # the constant is not shrunk
        weights[..., band] = np.linalg.solve(gram[band] + ridge, moment[band])
    return Preview(
        tuple((name, package.space_ids[name]) for name in PLANES), bands, patch, centre.astype(np.float32),
        spread.astype(np.float32), weights.reshape(n_inputs, -1).astype(np.float16).astype(np.float32), {}, fitted_on,
    )  # fmt: skip


def score(preview: Preview, package: Package, windows: Windows) -> dict[str, Any]:
    """By band: PSNR in dB, explained variance, and that of the true patch means; of decoded embeddings."""
    if len(windows.tiles) < _LEAST_VALIDATION_TILES:
        raise InputError(
            "too few validation windows to score a preview",
            expected=f"at least {_LEAST_VALIDATION_TILES}",
            found=len(windows.tiles),
        )
    planes = decoded(package, windows.planes)
    layers = np.ones(len(windows.tiles), np.uint16)
    given = {
        name: Embedding(i, planes[name], windows.tokens, layers) for i, (name, _) in enumerate(preview.planes)
    }
    painted, _ = preview.paint(given)
    used = windows.tokens.reshape(-1)
    patch, size = preview.patch, preview.patch**2
    n, side = len(painted), windows.tokens.shape[1]
    guess = painted.reshape(n, side, patch, side, patch, -1).transpose(0, 1, 3, 5, 2, 4)
    guess = guess.reshape(n * side * side, len(preview.bands), size)[used]
    truth = _patches(windows.tiles, patch)[used]
    present = np.stack([t.bands_present for t in windows.tiles]).repeat(side * side, axis=0)[used]
    result: dict[str, Any] = {}
    for band, name in enumerate(preview.bands):
        y = truth[present[:, band], band].astype(np.float64)
        if not len(y):
            continue
        error = float(np.square(guess[present[:, band], band] - y).mean())
        low, high = np.percentile(y, [2, 98])
        within = float(np.square(y - y.mean(axis=1, keepdims=True)).mean())
        variance = float(y.var())
        result[name] = {
            "psnr_db": round(10 * float(np.log10((high - low) ** 2 / error)), 2),
            "explained": round(1 - error / variance, 4),
            "explained_by_patch_means": round(1 - within / variance, 4),
            "tokens": len(y),
        }
    return result


def fit_and_score(
    package: Package, data: Path, *, seed: int = 0, turns: int = 2, sources: Sequence[str] | None = None
) -> Preview:
    """Fit on the training windows of the collection, score on its validation windows."""
    if package.manifest.adapter_sha256 is not None:
        raise InputError(
            f"package {package.name!r} has an adapter, which this command does not run", path=package.folder
        )
    encoder = load_encoder(package.path("encoder.safetensors"))
    names = tuple(sources or CODEC_SOURCES[encoder.config.bands][0])
    train = Windows.of(encoder, _images(names, data, "train"), seed=seed, turns=turns)
    found = fit(package, train, f"{len(train.tiles)} training windows of {', '.join(names)}")
    held_out = Windows.of(
        encoder, _images([n for n in names if n in VALIDATION_SOURCES], data, "val"), seed=seed, turns=1
    )
    scores = {
        "by_band": score(found, package, held_out),
        "windows": len(held_out.tiles),
        "split": "val",
        "ladder_index": package.default_ladder_index,
    }
    return Preview(
        found.planes, found.bands, found.patch, found.centre, found.spread, found.weights, scores, found.fitted_on
    )  # fmt: skip


def _images(names: Iterable[str], data: Path, split: str) -> dict[str, list[Raster]]:
    return {name: list(read_source(name, data, split)) for name in names}


def table(preview: Preview) -> str:
    """The scores for a person."""
    lines = [f"{'band':<12}{'PSNR':>9}{'explained':>11}{'patch means':>13}{'tokens':>9}"]
    for name, row in preview.scores.get("by_band", {}).items():
        lines.append(
            f"{name:<12}{row['psnr_db']:>6.1f} dB{row['explained']:>11.3f}{row['explained_by_patch_means']:>13.3f}"
            f"{row['tokens']:>9}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; a SwathpackError becomes one line and its exit code."""
    parser = argparse.ArgumentParser(prog="python -m codec.pretrain.preview", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    fitting = commands.add_parser("fit", help="fit the decoder, score it, write preview.npz")
    fitting.add_argument("--package", default="s2-nano", help="name or folder of the package")
    fitting.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    fitting.add_argument("--out", type=Path, default=Path(NAME))
    fitting.add_argument("--seed", type=int, default=0)
    fitting.add_argument("--turns", type=int, default=2, help="orientations of every training window, 1 to 8")
    fitting.add_argument("--source", action="append", help="a source of the collection; may repeat")
    fitting.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    try:
        import torch

        torch.set_num_threads(options.threads)
        if not 1 <= options.turns <= 8:
            raise InputError("a window has 1 to 8 orientations", found=options.turns)
        package = load(options.package)
        made = fit_and_score(
            package, options.data, seed=options.seed, turns=options.turns, sources=options.source
        )
        data = made.encode()
        write_atomic(options.out, data)
        print(table(made))
        print(f"{options.out}: {len(data)} bytes; put it into the package as {NAME} and list it by `refresh`")
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
