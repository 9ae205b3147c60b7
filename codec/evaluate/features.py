"""What the probes see: an encoder's tokens, and the rivals every claim must beat.

Rivals: pixel statistics; the random twin (same architecture, same pooling, weights as initialised); random convolution
features; the teacher. All pool mean‖std over the positions, but for pixel statistics, which have their own percentiles.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from codec.errors import InputError
from codec.evaluate.scenes import Scenes
from codec.heads.pooling import mean_and_spread
from codec.models.bands import NORMALISED_RANGE, REFLECTANCE_MEAN, REFLECTANCE_SPREAD
from codec.models.galileo import TEACHER_BANDS, GalileoTeacher, load_teacher
from codec.models.vit import Encoder, EncoderConfig
from codec.types import BoolArray, FloatArray

_BATCH = 64
_FILTERS, _FILTER_SIZE, _FILTER_STRIDE = 256, 8, 4


def random_twin(config: EncoderConfig, seed: int) -> Encoder:
    """An encoder of this architecture as it is before training. Leaves torch's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Encoder(config).eval().requires_grad_(False)


def in_encoder_order(scenes: Scenes, bands: tuple[str, ...]) -> tuple[FloatArray, BoolArray]:
    """Pixels N×B×H×W and presence N×B in the encoder's bands; what it does not know is left out."""
    n, _, height, width = scenes.tiles.pixels.shape
    pixels = np.zeros((n, len(bands), height, width), np.float32)
    present = np.zeros((n, len(bands)), np.bool_)
    for i, name in enumerate(scenes.bands):
        if name in bands:
            pixels[:, bands.index(name)] = scenes.tiles.pixels[:, i]
            present[:, bands.index(name)] = scenes.tiles.present[:, i]
    if not present.any(1).all():
        raise InputError("a tile has none of the encoder's bands", expected=bands, found=scenes.bands)
    return pixels, present


@torch.inference_mode()
def plane_of(encoder: Encoder, scenes: Scenes, plane: str) -> FloatArray:
    """A plane (`tokens` or `spectral`) of all tiles, N×h×w×C float32.

    Tiles larger than the encoder's are cut into its tiles and put together again.
    """
    pixels, present = in_encoder_order(scenes, encoder.config.bands)
    tile, side = encoder.config.tile, encoder.config.side
    n, bands, height, width = pixels.shape
    if height % tile or width % tile:
        raise InputError(
            "the tiles cannot be cut into the encoder's",
            expected=f"multiples of {tile}",
            found=(height, width),
        )
    rows, cols = height // tile, width // tile
    parts = pixels.reshape(n, bands, rows, tile, cols, tile).transpose(0, 2, 4, 1, 3, 5)
    parts = parts.reshape(-1, bands, tile, tile)
    validity = scenes.tiles.validity.reshape(n, rows, tile, cols, tile).swapaxes(2, 3).reshape(-1, tile, tile)
    shown = np.repeat(present, rows * cols, axis=0).astype(np.float32)
    found = []
    for start in range(0, len(parts), _BATCH):
        stop = start + _BATCH
        planes = encoder(
            torch.from_numpy(np.ascontiguousarray(parts[start:stop])),
            torch.from_numpy(shown[start:stop]),
            torch.from_numpy(validity[start:stop].astype(np.float32)),
        )
        found.append(planes[plane].float().numpy())
    whole = np.concatenate(found).reshape(n, rows, cols, side, side, -1).transpose(0, 1, 3, 2, 4, 5)
    return np.ascontiguousarray(whole.reshape(n, rows * side, cols * side, -1))


def tokens(encoder: Encoder, scenes: Scenes) -> FloatArray:
    """N×h×w×D float32."""
    return plane_of(encoder, scenes, "tokens")


def tokens_and_spectra(encoder: Encoder, scenes: Scenes) -> FloatArray:
    """Both planes side by side, N×h×w×(D+B): everything an embedding carries."""
    return np.concatenate([plane_of(encoder, scenes, name) for name in ("tokens", "spectral")], axis=-1)


def pooled(encoder: Encoder, scenes: Scenes) -> FloatArray:
    """Mean‖std over all tokens of a tile, N×2D."""
    return mean_and_spread(tokens(encoder, scenes))


def pixel_statistics(scenes: Scenes) -> FloatArray:
    """Log mean, log standard deviation and five percentiles per band, as a plain classifier would use.

    Needs the same bands in every tile. N×7B.
    """
    features = []
    for pixels, present, valid in zip(
        scenes.tiles.pixels, scenes.tiles.present, scenes.tiles.validity, strict=True
    ):
        x = pixels[present][:, valid]
        mean, std = np.log(np.maximum(x.mean(1), 1e-4)), np.log(x.std(1) + 1e-4)
        features.append(np.concatenate([mean, std, np.percentile(x, (5, 25, 50, 75, 95), axis=1).ravel()]))
    return np.array(features, np.float32)


def normalised(scenes: Scenes) -> FloatArray:
    """Pixels in the encoders' fixed units; absent bands and invalid pixels 0."""
    mean = np.array([REFLECTANCE_MEAN[b] for b in scenes.bands], np.float32)[:, None, None]
    spread = np.array([REFLECTANCE_SPREAD[b] for b in scenes.bands], np.float32)[:, None, None]
    z = np.clip((scenes.tiles.pixels - mean) / spread, *NORMALISED_RANGE)
    usable = scenes.tiles.present[:, :, None, None] & scenes.tiles.validity[:, None]
    return np.where(usable, z, np.float32(0)).astype(np.float32)


@torch.inference_mode()
def random_convolutions(scenes: Scenes, seed: int) -> FloatArray:
    """256 random 8×8 filters over all bands, bias, ReLU, mean‖std over the positions: N×512.

    Gaussian filters of unit response to unit noise, biases from the standard normal.
    """
    rng = np.random.default_rng([seed, 0xF17E])
    bands = len(scenes.bands)
    shown = scenes.tiles.present.mean() * bands  # so that fewer bands do not mean smaller responses
    weight = rng.standard_normal((_FILTERS, bands, _FILTER_SIZE, _FILTER_SIZE), dtype=np.float32)
    weight /= np.float32((shown * _FILTER_SIZE**2) ** 0.5)
    bias = torch.from_numpy(rng.standard_normal(_FILTERS, dtype=np.float32))
    z, filters, found = torch.from_numpy(normalised(scenes)), torch.from_numpy(weight), []
    for start in range(0, len(z), _BATCH):
        y = F.relu(F.conv2d(z[start : start + _BATCH], filters, bias, stride=_FILTER_STRIDE))
        flat = y.flatten(2)
        found.append(torch.cat([flat.mean(2), flat.std(2, correction=0)], dim=1).numpy())
    return np.concatenate(found)


@torch.inference_mode()
def teacher_tokens(teacher: GalileoTeacher, scenes: Scenes) -> FloatArray:
    """N×h×w×D tokens of the teacher as they come, position included; it takes the bands it knows."""
    given = np.asarray(scenes.tiles.present.all(axis=0), np.bool_).tolist()
    index = [i for i, name in enumerate(scenes.bands) if name in TEACHER_BANDS and given[i]]
    names = [scenes.bands[i] for i in index]
    parts = [
        teacher(torch.from_numpy(np.ascontiguousarray(scenes.tiles.pixels[start : start + 32, index])), names)
        for start in range(0, len(scenes.labels), 32)
    ]
    return np.concatenate([part.numpy() for part in parts])


def without_position(found: FloatArray, pool: FloatArray) -> FloatArray:
    """Tokens less the mean per position over `pool`; the grand mean stays."""
    at = pool.mean(0, dtype=np.float64)
    return np.asarray(found - (at - at.mean((0, 1))), np.float32)


def open_teacher(data: Path) -> GalileoTeacher:
    """The frozen teacher of the collection."""
    return load_teacher(Path(data) / "galileo_nano")
