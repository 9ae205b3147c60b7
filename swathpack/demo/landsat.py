"""The Landsat 7 sample: a land-cover head fitted on its west, and everything that is judged on its east."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from codec.atomic import write_atomic
from codec.types import FloatArray
from swathpack.demo import landcover
from swathpack.demo.rival import Pixels
from swathpack.demo.transfer import uncompressed

if TYPE_CHECKING:
    from codec.package import Package
    from codec.pipeline import Decoded
    from codec.scene.samples import Sample
    from codec.types import Latent, TileGrid

HEAD = "demo-landcover"
ZOOM = 2  # 28.5 m pixels are far from the 10 m the encoder was trained on
# "sediment" has a handful of pixels; six classes, as the labels' own documentation counts them.
N_CLASSES = 6
COLOURS = ((214, 60, 60), (240, 205, 90), (190, 220, 130), (120, 170, 90), (30, 105, 60), (50, 110, 220))
# Ladder indices above the default one whose decoded features the head is fitted on.
_COARSER = (0, 4, 8, 12, 16)
_CONTEXT = 9


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything that a map of the sample is judged by; native pixels H×W."""

    labels: npt.NDArray[np.uint8]
    pixels: Pixels
    blocks: landcover.Blocks

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self.labels.shape
        return height, width


def ground_truth(sample: Sample, root: Path, bands: tuple[str, ...]) -> Truth:
    """Labels, pixels and the split: west to fit, east to test, one tile between."""
    labels = sample.read_labels(root)
    labels = np.where(labels <= N_CLASSES, labels, 0).astype(np.uint8)
    with sample.open(root) as scene:
        values, validity = scene.read((0, 0, scene.height, scene.width), bands)
    blocks = landcover.west_and_east(labels, validity, gap=64 // ZOOM)
    return Truth(labels, Pixels(values, validity, bands, ZOOM), blocks)


def token_features(package: Package, grid: TileGrid, embeddings: dict[str, FloatArray]) -> FloatArray:
    """Planes side by side as one token map of the scene, rows×cols×D."""
    from codec.scene.tiling import mosaic

    valid = np.ones(next(iter(embeddings.values())).shape[:3], bool)
    maps = [mosaic(grid, package.tile.patch, embeddings[p.name], valid)[0] for p in package.planes]
    return np.concatenate(maps, axis=-1)


def decoded_at(package: Package, latents: tuple[Latent, ...], index: int) -> dict[str, FloatArray]:
    """Embeddings as the ground would decode them at another quality, without loss: for mixed-rate fitting."""
    out = {}
    for latent in latents:
        name = package.planes[latent.plane].name
        maps = package.maps(name, index)
        out[name] = package.transforms[name].synthesise(maps.reconstruct(maps.quantise(latent.values)))
    return out


def fit_head(
    package: Package, grid: TileGrid, latents: tuple[Latent, ...], truth: Truth
) -> landcover.LinearHead:
    """One linear head in closed form on the west, on uncompressed and decoded embeddings of several rates together."""
    indices = [package.default_ladder_index + step for step in _COARSER]
    versions = [uncompressed(package, latents)]
    versions += [decoded_at(package, latents, i) for i in indices if i in package.ladder_indices]
    per_token = package.tile.patch / ZOOM
    maps = [token_features(package, grid, version) for version in versions]

    def features(rows: landcover.Indices, cols: landcover.Indices) -> list[landcover.FloatArray]:
        return [landcover.at_points(m, rows, cols, per_token).astype(np.float64) for m in maps]

    return landcover.fit_on_map(features, truth.labels, truth.blocks, N_CLASSES)


def predict(
    package: Package,
    grid: TileGrid,
    embeddings: dict[str, FloatArray],
    head: landcover.LinearHead,
    shape: tuple[int, int],
) -> npt.NDArray[np.uint8]:
    """Classes 1…K of every native pixel: logits per token, interpolated, then the largest."""
    logits = head.logits(token_features(package, grid, embeddings)).astype(np.float32)
    return (landcover.at_pixels(logits, *shape, package.tile.patch / ZOOM).argmax(-1) + 1).astype(np.uint8)


def pixel_maps(truth: Truth) -> dict[str, npt.NDArray[np.uint8]]:
    """Maps by heads of the same kind on the pixels themselves: the spectrum alone, and with the 9×9 window around it."""
    out = {}
    for name, context in (("pixels alone", 1), ("pixels with 9×9 context (baseline)", _CONTEXT)):
        x = landcover.pixel_features(truth.pixels.values, truth.pixels.validity, context)

        def features(
            rows: landcover.Indices, cols: landcover.Indices, x: landcover.FloatArray = x
        ) -> list[landcover.FloatArray]:
            return [x[rows, cols]]

        head = landcover.fit_on_map(features, truth.labels, truth.blocks, N_CLASSES)
        out[name] = (head.logits(x).argmax(-1) + 1).astype(np.uint8)
    return out


def received(
    package: Package, grid: TileGrid, decoded: Decoded | None, shape: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Native pixels whose token arrived and is valid in every plane."""
    from codec.scene.tiling import mosaic

    out = np.zeros(shape, bool) if decoded is None else np.ones(shape, bool)
    step = package.tile.patch // ZOOM
    for embedding in () if decoded is None else decoded.embeddings.values():
        _, valid = mosaic(grid, package.tile.patch, embedding.values[..., :1], embedding.validity)
        out &= np.repeat(np.repeat(valid, step, 0), step, 1)[: shape[0], : shape[1]]
    return out


def package_with_head(
    package: Package, head: landcover.LinearHead, names: tuple[str, ...], folder: Path
) -> Package:
    """A copy of the model package with the fitted head in it, so that the station runs it like any other."""
    from codec.heads.graph import head_graph
    from codec.heads.linear import LinearHead
    from codec.package import refresh

    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(package.folder, folder, ignore=shutil.ignore_patterns("manifest.sig", "heads"))
    (folder / "heads").mkdir()
    weight = head.weights / head.spread[:, None]
    plain = LinearHead(weight.astype(np.float32), (head.bias - head.mean @ weight).astype(np.float32))
    planes = [(plane.name, plane.spec.channels) for plane in package.planes]
    card = {
        "name": HEAD,
        "task": "land cover of the Landsat 7 sample, fitted on its west",
        "level": "token",
        "classes": list(names),
        "colours": ["#{:02x}{:02x}{:02x}".format(*c) for c in COLOURS],
        "planes": [name for name, _ in planes],
        "space_ids": {name: package.space_ids[name].hex() for name, _ in planes},
        "must_not_be_used_for": "anything but this demo: one scene, labels four years older than the image",
    }
    write_atomic(folder / "heads" / f"{HEAD}.onnx", head_graph(plain, "token", planes))
    write_atomic(folder / "heads" / f"{HEAD}.json", json.dumps(card, indent=2).encode())
    return refresh(folder)
