"""A package of three bands with a small encoder of its own: other sizes than the shipped one's in every place."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from codec.heads.graph import head_graph
from codec.heads.linear import LinearHead
from codec.models import Encoder, EncoderConfig, save_encoder
from codec.package import Package, TileLayout, build, refresh
from codec.transform.fit import fit_planes
from codec.transform.layout import PlaneLayout
from onboard.parity_tiles import procedural

BANDS = ("blue", "green", "red")
CONFIG = EncoderConfig(bands=BANDS, tile=48, patch=8, width=24, depth=2, heads=3)
LAYOUT = TileLayout(core=32, margin=8, patch=8)


def seeded_encoder(config: EncoderConfig = CONFIG) -> Encoder:
    torch.manual_seed(11)
    return Encoder(config).eval().requires_grad_(False)


def build_rgb(folder: Path) -> Package:
    """Tiles of 32 pixels with a margin of 8, so 4×4 tokens of the encoder's 6×6; one token head."""
    folder.mkdir(parents=True)
    encoder = seeded_encoder()
    save_encoder(encoder, folder / "encoder.safetensors")
    tiles = procedural(SimpleNamespace(bands=BANDS, tile=LAYOUT), 96)  # type: ignore[arg-type]
    with torch.inference_mode():
        grids = encoder(*(torch.from_numpy(x) for x in (tiles.pixels, tiles.bands, tiles.validity)))
    core = slice(1, 5)
    planes = {name: values[:, core, core].numpy() for name, values in grids.items()}
    codec = fit_planes(planes, layouts={name: PlaneLayout(n_layers=2) for name in planes})
    package = build(
        folder, name="rgb-test", version="1.0", licence="Apache-2.0", bands=BANDS, preprocessing="reflectance-v0",
        tile=LAYOUT, codec=codec,
    )  # fmt: skip
    rng = np.random.default_rng(3)
    head = LinearHead(rng.standard_normal((27, 3)).astype(np.float32), np.zeros(3, np.float32))
    (folder / "heads").mkdir()
    (folder / "heads" / "thirds.onnx").write_bytes(
        head_graph(head, "token", [("tokens", 24), ("spectral", 3)])
    )
    card = {
        "name": "thirds", "level": "token", "classes": ["a", "b", "c"],
        "space_ids": {name: space.hex() for name, space in package.space_ids.items()},
    }  # fmt: skip
    (folder / "heads" / "thirds.json").write_text(json.dumps(card))
    return refresh(folder)
