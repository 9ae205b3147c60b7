"""A package whose heads are written by hand: their probabilities are known, and so is which tokens they rule out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from codec.heads.graph import head_graph
from codec.heads.linear import LinearHead
from codec.package import Package, build, refresh
from codec.transform.fit import fit_planes
from codec.transform.layout import PlaneLayout
from codec.types import BoolArray, FloatArray, Latent
from tests.pipeline.small_scene import GRID
from tests.transform.synthetic_embeddings import embeddings, spectral

N = GRID.n_tiles
HIGH, LOW = 5.0, -5.0  # logits of a token that is cloud and of one that is not: 0.9933 and 0.0067


def fields(n: int = N, seed: int = 2) -> dict[str, FloatArray]:
    """Embeddings of three planes; the last has a token for four of the others."""
    tokens, bands = embeddings(n, seed=seed), spectral(n, seed=seed)
    coarse = bands.reshape(n, 4, 2, 4, 2, -1).mean(axis=(2, 4))
    return {"tokens": tokens, "spectral": bands, "coarse": np.asarray(coarse, np.float32)}


def write_head(
    package: Package,
    name: str,
    classes: list[str],
    *,
    level: str = "token",
    graph_level: str = "token",
    **card: Any,
) -> None:
    """Class i has band i of the spectral plane as its logit; a head of two classes has 0 and the first band."""
    channels = package.planes[1].spec.channels
    weight = np.zeros((channels * (2 if graph_level == "tile" else 1), len(classes)), np.float32)
    if len(classes) == 2:
        weight[0, 1] = 1
    else:
        np.fill_diagonal(weight, 1)
    head = LinearHead(weight, np.zeros(len(classes), np.float32))
    folder = package.folder / "heads"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.onnx").write_bytes(head_graph(head, graph_level, [("spectral", channels)]))
    text = {
        "name": name, "level": level, "classes": classes,
        "space_ids": {"spectral": package.space_ids["spectral"].hex()}, **card,
    }  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps(text))


def build_bare(folder: Path) -> Package:
    """Three planes and no head."""
    data = fields(400, 1)
    codec = fit_planes(data, layouts={name: PlaneLayout(n_layers=2) for name in data})
    return build(
        folder, name="skip-test", version="1.0", licence="Apache-2.0", bands=("blue", "green", "red", "nir"),
        preprocessing="reflectance-v0", tile={"core": GRID.core_height, "margin": 0, "patch": 4}, codec=codec,
        encoder_sha256="0" * 64,
    )  # fmt: skip


def copied(package: Package, folder: Path) -> Package:
    """All of a package in another folder."""
    folder.mkdir(exist_ok=True)
    for name in ("manifest.json", *package.names()):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((package.folder / name).read_bytes())
    return refresh(folder)


def with_heads(bare: Package, folder: Path) -> Package:
    """Two token heads that share a class, and a tile head."""
    package = copied(bare, folder)
    write_head(package, "sky", ["clear", "cloud"], must_not_be_used_for="telling cloud from snow")
    write_head(package, "cover", ["water", "snow", "clear"])
    write_head(package, "scene", ["town", "farm"], level="tile", graph_level="tile")
    return refresh(folder)


def cloudy_scene(package: Package, cloud: BoolArray, validity: BoolArray | None = None) -> list[Latent]:
    """Latents of a scene whose head `sky` finds cloud in these tokens (N×8×8) and in no others."""
    data = fields()
    data["spectral"][..., 0] = np.where(cloud, HIGH, LOW)
    measured = np.ones((N, 8, 8), bool) if validity is None else validity
    latents = []
    for number, plane in enumerate(package.planes):
        rows, cols = plane.spec.rows, plane.spec.cols
        known = measured.reshape(N, rows, 8 // rows, cols, 8 // cols).any(axis=(2, 4))
        latents.append(Latent(number, package.transforms[plane.name].analyse(data[plane.name]), known))
    return latents
