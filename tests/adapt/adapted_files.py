"""What a payload engineer has before an adapted encoder flies: a base, an adapter's file, scenes with more bands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from codec.adapt import apply
from codec.adapt.files import save_adapter
from codec.adapt.packing import Packing
from codec.models.weights import load_encoder
from codec.package import Package
from codec.package.files import sha256_of
from tests.adapt.small_bases import kicked
from tests.swathpack.small_scene import ARGUMENTS, BANDS, write_scene

__all__ = ["ARGUMENTS", "BANDS", "adapter_file", "fit", "scene_file"]


def adapter_file(
    base: Package, path: Path, *, bands: tuple[str, ...] = BANDS, packing: Packing | None = "int4"
) -> Path:
    """DEFLECT on the encoder of `base`, moved away from where it starts."""
    encoder = base.path("encoder.safetensors")
    adapted = apply(load_encoder(encoder), "deflect", bands, uatt__rank=6, layers="all")
    generator = torch.Generator().manual_seed(2)
    side = base.tile.core + 2 * base.tile.margin
    tiles = 0.3 * torch.rand((4, len(bands), side, side), generator=generator)
    adapted.fit_statistics([(tiles, torch.ones(4, len(bands)), torch.ones(4, side, side))])  # type: ignore[operator]
    save_adapter(kicked(adapted, 0.2), path, encoder_sha256=sha256_of(encoder), packing=packing)
    return path


def fields(height: int, width: int, seed: int) -> npt.NDArray[np.uint16]:
    """DN 6×H×W: fields of many brightnesses and colours, dark to cloud, with texture."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width]
    field = (rows // 48) * 31 + cols // 40
    brightness = np.exp(rng.uniform(np.log(200), np.log(5000), 4096))[field]
    colour = np.exp(0.3 * rng.standard_normal((len(BANDS), 4096)))[:, field]
    texture = 1 + 0.1 * rng.standard_normal((1, height, width)) + 0.03 * rng.standard_normal(colour.shape)
    return np.clip(np.rint(brightness * colour * texture), 1, 15000).astype(np.uint16)


def scene_file(path: Path, *, seed: int = 5, height: int = 300, width: int = 330) -> Path:
    """Six Sentinel-2 bands."""
    return write_scene(path, fields(height, width, seed))


def fit(base: Path, adapter: Path, scenes: list[Path], out: Path, *more: object) -> int:
    """`python -m codec.nec.adapted`, in this process."""
    from codec.nec.adapted.__main__ import main

    command = ["--package", base, "--adapter", adapter, "--scenes", *scenes, "--out", out, *ARGUMENTS, *more]
    return main([str(part) for part in (*command, "--threads", 1)])
