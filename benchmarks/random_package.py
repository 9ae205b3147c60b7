"""A package of any size with random weights, for speed where no shipped model has that size: its embeddings mean nothing."""

from __future__ import annotations

from pathlib import Path

import torch

from codec.models import Encoder, EncoderConfig, save_encoder
from codec.package import Package, build
from codec.package.manifest import ENCODER
from codec.transform.fit import DEFAULT_BYTES, fit_planes
from codec.transform.layout import PlaneLayout

VIT_B = EncoderConfig(bands=("blue", "green", "red"), tile=224, patch=16, width=768, depth=12, heads=12)
VIT_B_BYTES = DEFAULT_BYTES / 64 * 196  # of a tile: as many for a token as in the shipped models


def pictures(n: int, config: EncoderConfig, device: str, seed: int) -> torch.Tensor:
    """N×B×H×W reflectance: smooth fields under fine noise, so that tokens differ as those of a scene do."""
    generator = torch.Generator(device).manual_seed(seed)
    coarse, fine = (
        torch.rand((n, len(config.bands), side, side), generator=generator, device=device)
        for side in (8, config.tile)
    )
    smooth = torch.nn.functional.interpolate(coarse, size=config.tile, mode="bilinear")
    return 0.3 * smooth + 0.05 * fine


def random_package(
    folder: Path,
    config: EncoderConfig,
    device: str = "cpu",
    *,
    n_tiles: int = 48,
    default_bytes: float = VIT_B_BYTES,
) -> Package:
    """An encoder drawn at random, and a codec fitted to what it makes of `pictures`."""
    torch.manual_seed(0)
    encoder = Encoder(config).eval()
    folder.mkdir(parents=True, exist_ok=True)
    save_encoder(encoder, folder / ENCODER)
    encoder.to(device)
    flags = torch.ones((1, len(config.bands)), device=device)
    valid = torch.ones((1, config.tile, config.tile), device=device)
    with torch.inference_mode():
        tokens = [
            encoder(one[None], flags, valid)["tokens"].cpu() for one in pictures(n_tiles, config, device, 1)
        ]
    codec = fit_planes(
        {"tokens": torch.cat(tokens).numpy()},
        layouts={"tokens": PlaneLayout(n_layers=4, rotations=False)},
        default_bytes=default_bytes,
    )
    return build(
        folder, name="random", version="0", licence="Apache-2.0", bands=config.bands,
        preprocessing="reflectance-v0", tile={"core": config.tile, "margin": 0, "patch": config.patch},
        codec=codec, training_data=["smooth random fields"],
    )  # fmt: skip
