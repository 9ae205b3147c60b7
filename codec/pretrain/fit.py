"""From a trained encoder to a model package: embed the training windows, fit the codec, build the package."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch

from codec.atomic import write_atomic
from codec.data.readers import read_source
from codec.models.inference import embed
from codec.models.vit import Encoder, EncoderConfig
from codec.models.weights import load_encoder
from codec.package import Package, TileLayout, build
from codec.pretrain.distil import DistilConfig, Student
from codec.pretrain.windows import training_tiles
from codec.transform.fit import fit_planes
from codec.transform.layout import PlaneLayout
from codec.types import FloatArray

CODEC_SOURCES = ("eurosat", "terramind", "sen1floods11", "lahinch", "beaufort", "landsat7", "cloud38", "naip")
# The name of what `Encoder.normalise` does; part of the space ids, so a change of constants needs a new name.
PREPROCESSING = "reflectance-by-band-name-1"
TRAINING_DATA = (
    {"name": "EuroSAT multispectral (train split, 258 tiles)", "licence": "MIT"},
    {"name": "TerraMind example places (two)", "licence": "Apache-2.0"},
    {"name": "Sen1Floods11 chip Spain_7370579, columns 0-319", "licence": "not stated"},
    {"name": "Sentinel-2 series of Lahinch (two dates)", "licence": "not stated"},
    {"name": "Sentinel-2 scene of Beaufort, 8-bit export", "licence": "CC-BY-SA-3.0"},
    {"name": "Landsat 7 Chiapas (two dates)", "licence": "CC-BY-SA-3.0"},
    {"name": "38-Cloud (four Landsat 8 patches)", "licence": "not stated"},
    {"name": "NAIP prairie (three dates)", "licence": "MIT repository, public-domain imagery"},
    {"name": "UC Merced (train split)", "licence": "public-domain imagery"},
    {"name": "Dubai aerial scenes (train tiles)", "licence": "not stated"},
    {"name": "labels of the views: Galileo nano", "licence": "MIT"},
)


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


def fit_package(folder: Path, data: Path, *, seed: int = 0, keep: Path | None = None) -> Package:
    """Fit the codec of the encoder in `folder` and write the package around it (tables, transform, manifest).

    `keep`, if given, gets the training embeddings as .npz. Heads are fitted afterwards (`python -m codec.heads fit`).
    """
    encoder = load_encoder(folder / "encoder.safetensors")
    planes = embed_training_windows(encoder, data, seed)
    if keep is not None:
        save_planes(keep, planes)
    validity = planes["token_validity"].astype(np.bool_)
    names = ("tokens", "spectral")
    fitted = fit_planes(
        {name: planes[name] for name in names},
        validity=dict.fromkeys(names, validity),
        # Patch means have no position code; a mean per position would only be the noise of the training places.
        layouts={"tokens": PlaneLayout(), "spectral": PlaneLayout(position_mean=False, n_layers=3)},
    )
    config = encoder.config
    return build(
        folder,
        name="s2-nano",
        version="0.1.0",
        licence="Apache-2.0",
        bands=config.bands,
        preprocessing=PREPROCESSING,
        tile=TileLayout(config.tile, 0, config.patch),
        codec=fitted,
        training_data=TRAINING_DATA,
    )


def save_planes(path: Path, planes: dict[str, FloatArray]) -> None:
    """Write planes as .npz, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **planes)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())
