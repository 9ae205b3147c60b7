"""A tiny model package with two heads, and a tiny scene coded with it, for the ground's tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from codec.link import packetise
from codec.package import Package, build, load, refresh
from codec.pipeline import encode
from codec.transform.fit import fit_planes
from codec.transform.layout import PlaneLayout
from codec.types import Georeference, Latent, TileGrid

CORE, PATCH, CHANNELS = 32, 8, 6
TOKENS = CORE // PATCH
UTM_21S = Georeference((10.0, 0.0, 500_000.0, 0.0, -10.0, 7_000_000.0), epsg=32721)
SENSED_US = 1_700_000_000_000_000  # 2023-11-14T22:13:20Z
CLASSES = ("water", "field", "forest")


@dataclass(frozen=True)
class TinyScene:
    """One coded scene and what it was made from."""

    package: Package
    grid: TileGrid
    embeddings: dict[str, np.ndarray]
    validity: np.ndarray  # N×h×w
    nec: bytes

    def packets(self, payload: int = 200) -> list[bytes]:
        return [packet.data for packet in packetise(self.nec, payload=payload)]


def smooth_embeddings(n_tiles: int, channels: int, seed: int) -> np.ndarray:
    """N×h×w×C, correlated over channels and neighbours, as embeddings are."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(channels, channels)) * np.linspace(2, 0.2, channels)
    base = rng.normal(size=(n_tiles, 1, 1, channels)) * 1.5
    slope = rng.normal(size=(n_tiles, 1, 1, channels)) * np.linspace(-1, 1, TOKENS)[None, :, None, None]
    noise = rng.normal(size=(n_tiles, TOKENS, TOKENS, channels)) * 0.3
    return np.asarray((base + slope + noise) @ mix, np.float32)


def build_package(folder: Path, *, seed: int = 1, heads: bool = True) -> Package:
    """A package of two planes without an encoder; `heads` adds one of each level."""
    tokens, spectral = smooth_embeddings(64, CHANNELS, seed), smooth_embeddings(64, 2, seed + 100)
    codec = fit_planes(
        {"tokens": tokens, "spectral": spectral},
        layouts={"tokens": PlaneLayout(n_layers=3), "spectral": PlaneLayout(position_mean=False, n_layers=2)},
        default_bytes=40.0,
    )
    package = build(
        folder, name=f"tiny-{seed}", version="0.1.0", licence="Apache-2.0", bands=["blue", "green", "red"],
        preprocessing="none", tile={"core": CORE, "margin": 0, "patch": PATCH}, codec=codec, encoder_sha256="ab" * 32,
    )  # fmt: skip
    if not heads:
        return package
    (folder / "heads").mkdir(exist_ok=True)
    add_head(folder, package, "cover", level="token", weights=token_weights(seed))
    add_head(folder, package, "kind", level="tile", weights=token_weights(seed))
    return refresh(folder)


def token_weights(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(CHANNELS, len(CLASSES))).astype(np.float32)


def add_head(folder: Path, package: Package, name: str, *, level: str, weights: np.ndarray) -> None:
    """A linear head as ONNX: logits = tokens @ weights, averaged over tokens first for level "tile"."""
    tokens = helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["n", TOKENS, TOKENS, CHANNELS])
    shape = ["n", len(CLASSES)] if level == "tile" else ["n", TOKENS, TOKENS, len(CLASSES)]
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)
    nodes = []
    if level == "tile":
        axes = numpy_helper.from_array(np.array([1, 2]), "axes")
        nodes.append(helper.make_node("ReduceMean", ["tokens", "axes"], ["pooled"], keepdims=0))
        nodes.append(helper.make_node("MatMul", ["pooled", "weights"], ["logits"]))
        constants = [axes, numpy_helper.from_array(weights, "weights")]
    else:
        nodes.append(helper.make_node("MatMul", ["tokens", "weights"], ["logits"]))
        constants = [numpy_helper.from_array(weights, "weights")]
    graph = helper.make_graph(nodes, name, [tokens], [logits], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    (folder / "heads" / f"{name}.onnx").write_bytes(model.SerializeToString())
    card = {
        "name": name,
        "level": level,
        "classes": list(CLASSES),
        "planes": ["tokens"],
        "space_ids": {"tokens": package.space_ids["tokens"].hex()},
    }
    (folder / "heads" / f"{name}.json").write_text(json.dumps(card))


def make_scene(
    package: Package,
    *,
    seed: int = 7,
    rows: int = 2,
    cols: int = 3,
    georeference: Georeference = UTM_21S,
    time_us: int = SENSED_US,
    seal: bool = True,
    run: int = 0,
    target_bytes: int = 160,
) -> TinyScene:
    """A scene whose last tile column is shifted inward, with one wholly and one partly masked tile."""
    grid = TileGrid(rows * CORE, cols * CORE - 2 * PATCH, CORE, CORE)
    n = grid.n_tiles
    embeddings = {
        "tokens": smooth_embeddings(n, CHANNELS, seed),
        "spectral": smooth_embeddings(n, 2, seed + 50),
    }
    validity = np.ones((n, TOKENS, TOKENS), bool)
    if n > 2:
        validity[1] = False
        validity[0, 0, :2] = False
    latents = [
        Latent(i, package.transforms[name].analyse(embeddings[name], validity), validity)
        for i, name in enumerate(("tokens", "spectral"))
    ]
    nec = encode(
        package, latents, grid=grid, georeference=georeference, sensor="rgb", band_mask=0b111, time_us=time_us,
        target_bytes=target_bytes, seal=seal, run=run,
    )  # fmt: skip
    return TinyScene(package, grid, embeddings, validity, nec)


def open_scene(package_folder: Path) -> TinyScene:
    return make_scene(load(package_folder))
