"""Quick, honest numbers of an encoder: linear and nearest-neighbour probes against pixel statistics and its
random twin.

EuroSAT: fitted on train, scored on val (choices) or, for a release, once on test. Intervals are 95 %
bootstraps over
1-degree cells, paired where two features are compared; with 74 val tiles a difference below some 8 points
means little.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from codec.data.bandsets import REPORTED
from codec.data.labelled import LabelledTiles, eurosat_scenes
from codec.data.readers import read_source
from codec.evaluate.report import Row
from codec.heads.linear import choose_penalty, fit_softmax, log_loss
from codec.heads.pooling import mean_and_spread
from codec.models.inference import embed
from codec.models.vit import Encoder
from codec.types import FloatArray, Tile

BAND_CASES = {"12-bands": None, **{f"{n}-bands": REPORTED[n] for n in ("6", "4", "3")}}
FloatVector = npt.NDArray[np.float64]


def with_bands(tiles: LabelledTiles, bands: tuple[str, ...], keep: tuple[str, ...] | None) -> list[Tile]:
    """The tiles as the encoder takes them, with only the bands of `keep`."""
    mask = np.array([keep is None or band in keep for band in bands])
    found = []
    for i in range(len(tiles.pixels)):
        present = tiles.present[i] & mask
        found.append(Tile(i, tiles.pixels[i] * present[:, None, None], tiles.validity[i], present))
    return found


def pixel_statistics(tiles: list[Tile]) -> FloatArray:
    """The rival: log mean, log standard deviation and five percentiles per band, as a plain classifier
    would use.
    """
    features = []
    for tile in tiles:
        x = tile.pixels[tile.bands_present][:, tile.validity]
        mean, std = np.log(np.maximum(x.mean(1), 1e-4)), np.log(x.std(1) + 1e-4)
        features.append(np.concatenate([mean, std, np.percentile(x, (5, 25, 50, 75, 95), axis=1).ravel()]))
    return np.array(features, np.float32)


def neighbours_correct(
    train: FloatArray, y: npt.NDArray[np.int64], test: FloatArray, truth: npt.NDArray[np.int64], k: int = 10
) -> FloatVector:
    """1.0 where the majority of the k nearest training vectors (cosine, standardised) has the right class."""
    mean, spread = train.mean(0), train.std(0) + 1e-6
    a, b = (train - mean) / spread, (test - mean) / spread
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    nearest = np.argsort(-(b @ a.T), axis=1, kind="stable")[:, :k]
    votes = np.stack([(y[nearest] == c).sum(1) for c in range(int(y.max()) + 1)], axis=1)
    return np.asarray(votes.argmax(1) == truth, np.float64)


def interval(
    values: FloatVector, groups: npt.NDArray[np.int64], draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95 % bootstrap interval of the mean, resampling whole groups."""
    rng = np.random.default_rng(seed)
    names = np.unique(groups)
    sums = np.array([values[groups == g].sum() for g in names])
    counts = np.array([(groups == g).sum() for g in names])
    picks = rng.integers(len(names), size=(draws, len(names)))
    means = sums[picks].sum(1) / counts[picks].sum(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def _probe(
    train: FloatArray, fit: LabelledTiles, test: FloatArray, held: LabelledTiles
) -> tuple[FloatVector, FloatVector]:
    """Correctness and log-loss of a linear probe on each held-out tile."""
    n_classes = len(fit.classes)
    penalty = choose_penalty(train, fit.labels, fit.groups, n_classes)
    head = fit_softmax(train, fit.labels, n_classes, penalty=penalty)
    logits = head.logits(test)
    return np.asarray(logits.argmax(1) == held.labels, np.float64), np.asarray(
        log_loss(logits, held.labels), np.float64
    )


def classification(encoder: Encoder, data: Path, split: str = "val") -> list[Row]:
    """EuroSAT rows: probe and kNN accuracy per band case for statistics, random twin and encoder, and the
    differences.
    """
    bands = encoder.config.bands
    fit, held = eurosat_scenes(data, "train", bands), eurosat_scenes(data, split, bands)
    torch.manual_seed(0)
    twin = Encoder(encoder.config).eval()
    out: list[Row] = []
    for case, keep in BAND_CASES.items():
        a, b = with_bands(fit, bands, keep), with_bands(held, bands, keep)

        def pooled(model: Encoder, tiles: list[Tile]) -> FloatArray:
            return mean_and_spread(embed(model, tiles)["tokens"])

        features: dict[str, Callable[[list[Tile]], FloatArray]] = {
            "pixel-statistics": pixel_statistics,
            "random-twin": lambda tiles: pooled(twin, tiles),
            "s2-nano": lambda tiles: pooled(encoder, tiles),
        }
        correct: dict[str, FloatVector] = {}
        losses: dict[str, FloatVector] = {}
        near: dict[str, FloatVector] = {}
        for name, function in features.items():
            x, z = function(a), function(b)
            correct[name], losses[name] = _probe(x, fit, z, held)
            near[name] = neighbours_correct(x, fit.labels, z, held.labels)
        n = len(held.labels)
        for metric, values, scale, unit in (
            ("probe-accuracy", correct, 100.0, "% [95% bootstrap over cells]"),
            ("probe-log-loss", losses, 1.0, "nats [95% bootstrap over cells]"),
            ("knn10-accuracy", near, 100.0, "% [95% bootstrap over cells]"),
        ):
            for name, value in values.items():
                low, high = interval(value, held.groups)
                out.append(
                    Row(
                        f"eurosat-{split}/{case}/{name}",
                        metric,
                        value.mean() * scale,
                        low * scale,
                        high * scale,
                        unit,
                        "",
                        n,
                    )
                )
            for rival in ("pixel-statistics", "random-twin"):
                difference = values["s2-nano"] - values[rival]
                low, high = interval(difference, held.groups)
                out.append(
                    Row(
                        f"eurosat-{split}/{case}/s2-nano",
                        f"{metric}-difference",
                        difference.mean() * scale,
                        low * scale,
                        high * scale,
                        unit,
                        rival,
                        n,
                    )
                )
    return out


def position_share(tokens: FloatArray) -> float:
    """Share of the token variance that the position alone explains, corrected for the noise of the
    position means.
    """
    n = len(tokens)
    flat = tokens.reshape(n, -1, tokens.shape[-1]).astype(np.float64)
    centred = flat - flat.mean((0, 1))
    at = centred.mean(0)
    within = (
        ((centred - at) ** 2).sum() / max(1, n - 1) / flat.shape[1]
    )  # variance of one token at a fixed position
    between = (at**2).sum() / flat.shape[1] - within / n
    return float(max(0.0, between) / (centred**2).sum() * n * flat.shape[1])


def seam_ratio(encoder: Encoder, data: Path) -> tuple[float, int]:
    """Mean token difference across tile borders / between neighbours inside tiles, on the validation place.

    1 means that a map shows no tiling. Returns the ratio and the number of tiles.
    """
    inside: list[float] = []
    across: list[float] = []
    count = 0
    for image in read_source("terramind", data, "val"):
        rows, cols, tile = image.height // 64, image.width // 64, encoder.config.tile
        tiles: list[Tile] = []
        for r in range(rows):
            for c in range(cols):
                pixels = np.zeros((len(encoder.config.bands), tile, tile), np.float32)
                window = image.reflectance(r * tile, c * tile, tile, tile)
                for i, name in enumerate(image.bands):
                    pixels[encoder.config.bands.index(name)] = window[i]
                tiles.append(
                    Tile(len(tiles), pixels, np.ones((tile, tile), np.bool_), np.ones(len(pixels), np.bool_))
                )
        tokens = embed(encoder, tiles)["tokens"]
        side = tokens.shape[1]
        whole = (
            tokens.reshape(rows, cols, side, side, -1)
            .transpose(0, 2, 1, 3, 4)
            .reshape(rows * side, cols * side, -1)
        )
        for axis in (0, 1):
            step = np.linalg.norm(np.diff(whole, axis=axis), axis=-1)
            border = np.arange(step.shape[axis]) % side == side - 1
            across += np.compress(border, step, axis=axis).ravel().tolist()
            inside += np.compress(~border, step, axis=axis).ravel().tolist()
        count += len(tiles)
    return float(np.mean(across) / np.mean(inside)), count


def properties(encoder: Encoder, data: Path) -> list[Row]:
    """Position share on EuroSAT train, seam ratio on the validation place."""
    fit = eurosat_scenes(data, "train", encoder.config.bands)
    tokens = embed(encoder, with_bands(fit, encoder.config.bands, None))["tokens"]
    ratio, tiles = seam_ratio(encoder, data)
    nan = float("nan")
    return [
        Row(
            "eurosat-train/tokens",
            "position-share",
            100 * position_share(tokens),
            nan,
            nan,
            "% of token variance",
            "",
            len(tokens),
        ),
        Row("terramind-val/tokens", "seam-ratio", ratio, nan, nan, "ratio", "", tiles),
    ]
