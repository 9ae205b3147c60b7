"""From a trained encoder to a model package: embed the training windows, fit the codec, build the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from codec.data.readers import read_source
from codec.models.inference import embed
from codec.models.vit import Encoder, EncoderConfig
from codec.models.weights import load_encoder
from codec.pretrain.distil import DistilConfig, Student
from codec.pretrain.windows import training_tiles
from codec.types import FloatArray

CODEC_SOURCES = ("eurosat", "terramind", "sen1floods11", "lahinch", "beaufort", "landsat7", "cloud38", "naip")


def open_encoder(path: Path | None) -> Encoder:
    """An encoder file, a training checkpoint, or (None) a random twin of fixed seed."""
    if path is None:
        torch.manual_seed(0)
        return Encoder().eval()
    if Path(path).suffix != ".pt":
        return load_encoder(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    config = DistilConfig(**state["config"])
    student = Student(EncoderConfig(depth=config.depth, width=config.width))
    student.load_state_dict(state["student"])
    return student.encoder.eval().requires_grad_(False)


def embed_training_windows(encoder: Encoder, data: Path, seed: int) -> dict[str, FloatArray]:
    """Planes of all training windows, N×h×w×C, and `token_validity` N×h×w (at least half of the pixels
    measured).
    """
    images = {name: read_source(name, data, "train") for name in CODEC_SOURCES}
    patch, validity = encoder.config.patch, []

    def tiles():  # type: ignore[no-untyped-def]
        for tile in training_tiles(images, encoder.config.bands, seed=seed, tile=encoder.config.tile):
            side = encoder.config.side
            share = tile.validity.reshape(side, patch, side, patch).mean((1, 3))
            validity.append(share >= 0.5)
            yield tile

    planes = embed(encoder, tiles())
    return {**planes, "token_validity": np.stack(validity)}
