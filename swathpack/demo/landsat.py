"""The Landsat 7 sample: land cover before and after the link, beside pixel heads and JPEG 2000 at the same bytes."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from codec.atomic import write_atomic
from codec.types import BoolArray, FloatArray
from swathpack.demo import landcover
from swathpack.demo.rival import jpeg2000

if TYPE_CHECKING:
    from codec.package import Package
    from codec.scene.samples import Sample
    from codec.scene.scene import Scene
    from codec.types import Latent, TileGrid
    from onboard.engine import Engine

HEAD = "demo-landcover"
ZOOM = 2  # 28.5 m pixels are far from the 10 m the encoder was trained on
# "sediment" has a handful of pixels; six classes, as the labels' own documentation counts them.
N_CLASSES = 6
COLOURS = ((214, 60, 60), (240, 205, 90), (190, 220, 130), (120, 170, 90), (30, 105, 60), (50, 110, 220))
_COARSER = (
    0,
    4,
    8,
    12,
    16,
)  # ladder indices above the default one whose decoded features the head is trained on
_CONTEXT = 9


@dataclass(frozen=True, slots=True)
class Ground:
    """Everything that scores a map of the sample; native pixels H×W."""

    labels: npt.NDArray[np.uint8]
    validity: BoolArray
    blocks: landcover.Blocks
    pixels: FloatArray  # C×H×W reflectance


def ground_truth(sample: Sample, root: Path, bands: tuple[str, ...]) -> Ground:
    """Labels, validity and the split: west to fit, east to test, one tile between."""
    labels = sample.read_labels(root)
    labels = np.where(labels <= N_CLASSES, labels, 0).astype(np.uint8)
    with sample.open(root) as scene:
        pixels, validity = scene.read((0, 0, scene.height, scene.width), bands)
    return Ground(labels, validity, landcover.west_and_east(labels, validity, gap=64 // ZOOM), pixels)


def token_features(package: Package, grid: TileGrid, embeddings: dict[str, FloatArray]) -> FloatArray:
    """Planes side by side as one token map of the scene, rows×cols×D."""
    from codec.scene.tiling import mosaic

    valid = np.ones(next(iter(embeddings.values())).shape[:3], bool)
    maps = [mosaic(grid, package.tile.patch, embeddings[p.name], valid)[0] for p in package.planes]
    return np.concatenate(maps, axis=-1)


def uncompressed(package: Package, latents: tuple[Latent, ...]) -> dict[str, FloatArray]:
    """Embeddings as the encoder gave them, N×h×w×C by plane name."""
    return {
        plane.name: package.transforms[plane.name].synthesise(latent.values)
        for plane, latent in zip(package.planes, latents, strict=True)
    }


def decoded_at(package: Package, latents: tuple[Latent, ...], index: int) -> dict[str, FloatArray]:
    """Embeddings as the ground would decode them at another quality, without loss: for mixed-rate training."""
    out = {}
    for plane, latent in zip(package.planes, latents, strict=True):
        maps = package.maps(plane.name, index)
        out[plane.name] = package.transforms[plane.name].synthesise(
            maps.reconstruct(maps.quantise(latent.values))
        )
    return out


def fit_head(
    package: Package, grid: TileGrid, latents: tuple[Latent, ...], truth: Ground
) -> landcover.LinearHead:
    """One linear head in closed form on the west, on uncompressed and decoded embeddings of several rates together."""
    indices = [package.default_ladder_index + step for step in _COARSER]
    versions = [uncompressed(package, latents)]
    versions += [decoded_at(package, latents, i) for i in indices if i in package.ladder_indices]
    height, width = truth.labels.shape
    per_token = package.tile.patch / ZOOM
    maps = [landcover.at_pixels(token_features(package, grid, v), height, width, per_token) for v in versions]

    def features(rows: npt.NDArray[np.intp], cols: npt.NDArray[np.intp]) -> list[landcover.FloatArray]:
        return [m[rows, cols].astype(np.float64) for m in maps]

    return landcover.fit_on_map(features, truth.labels, truth.blocks, N_CLASSES)


def predict(
    package: Package,
    grid: TileGrid,
    embeddings: dict[str, FloatArray],
    head: landcover.LinearHead,
    shape: tuple[int, int],
) -> npt.NDArray[np.uint8]:
    """Classes 1…K of every native pixel."""
    logits = head.logits(token_features(package, grid, embeddings)).astype(np.float32)
    return (landcover.at_pixels(logits, *shape, package.tile.patch / ZOOM).argmax(-1) + 1).astype(np.uint8)


def pixel_scores(truth: Ground) -> dict[str, landcover.Score]:
    """Heads of the same kind on the pixels themselves: the spectrum alone, and with the 9×9 window around it."""
    out = {}
    for name, context in (("pixels", 1), ("pixels with 9×9 context", _CONTEXT)):
        x = landcover.pixel_features(truth.pixels, truth.validity, context)
        head = landcover.fit_on_map(lambda r, c, x=x: [x[r, c]], truth.labels, truth.blocks, N_CLASSES)
        guess = (head.logits(x).argmax(-1) + 1).astype(np.uint8)
        out[name] = landcover.score(guess, truth.labels, truth.blocks.test, N_CLASSES)
    return out


def package_with_head(
    package: Package, head: landcover.LinearHead, names: tuple[str, ...], folder: Path
) -> Package:
    """A copy of the model package with the fitted head in it, so that the station runs it like any other."""
    from codec.heads.graph import head_graph
    from codec.heads.linear import LinearHead
    from codec.package import refresh

    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(package.folder, folder, ignore=shutil.ignore_patterns("manifest.sig"))
    (folder / "heads").mkdir(exist_ok=True)
    for old in (folder / "heads").iterdir():
        old.unlink()
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


@dataclass(frozen=True, slots=True)
class JpegResult:
    """JPEG 2000 of the same bands, the encoder on the ground."""

    n_bytes: int
    agreement: float  # with the head's map on untouched pixels, over the test pixels
    score: landcover.Score


def jpeg_rival(
    scene: Scene,
    package: Package,
    engine: Engine,
    head: landcover.LinearHead,
    truth: Ground,
    reference: npt.NDArray[np.uint8],
    target: int,
) -> JpegResult:
    """Code the native pixels (8 bits a band, linear in DN) near `target` bytes, encode what comes out, apply the head."""
    from codec.scene.tiling import grid_for

    top = np.array([max(float(band[truth.validity].max()), 1e-6) for band in truth.pixels])[:, None, None]
    low = np.array([float(band[truth.validity].min()) for band in truth.pixels])[:, None, None]
    code = np.where(truth.validity, np.rint((truth.pixels - low) / (top - low) * 255), 0).astype(np.uint8)
    rival = jpeg2000(code, target)
    pixels = np.where(truth.validity, rival.pixels / 255.0 * (top - low) + low, 0).astype(np.float32)
    grid = grid_for(scene, package.tile.core)
    bands = tuple(b for b in package.bands if b in scene.bands)
    embeddings = encode_pixels(
        enlarge(pixels, ZOOM),
        np.repeat(np.repeat(truth.validity, ZOOM, 0), ZOOM, 1),
        bands,
        package,
        engine,
        grid,
    )
    guess = predict(package, grid, embeddings, head, truth.labels.shape)
    where = truth.blocks.test
    return JpegResult(
        rival.n_bytes,
        float((guess[where] == reference[where]).mean()),
        landcover.score(guess, truth.labels, where, N_CLASSES),
    )


def enlarge(pixels: FloatArray, zoom: int) -> FloatArray:
    """Bilinear, as a scene opened with that zoom."""
    rows = np.clip((np.arange(pixels.shape[1] * zoom) + 0.5) / zoom - 0.5, 0, pixels.shape[1] - 1)
    moved = landcover.at_pixels(pixels.transpose(1, 2, 0), len(rows), pixels.shape[2] * zoom, zoom)
    return moved.transpose(2, 0, 1)


def encode_pixels(
    pixels: FloatArray,
    validity: BoolArray,
    bands: tuple[str, ...],
    package: Package,
    engine: Engine,
    grid: TileGrid,
) -> dict[str, FloatArray]:
    """Embeddings of an array of reflectance C×H×W whose channels are `bands`, by plane name."""
    core, n = package.tile.core, grid.n_tiles
    x = np.zeros((n, len(package.bands), core, core), np.float32)
    valid = np.zeros((n, core, core), np.float32)
    present = np.array([band in bands for band in package.bands])
    for i in range(n):
        row, col = grid.origin(i)
        part = (slice(row, row + core), slice(col, col + core))
        height, width = validity[part].shape
        valid[i, :height, :width] = validity[part]
        x[i, present, :height, :width] = pixels[(slice(None), *part)] * validity[part]
    latents: dict[str, list[FloatArray]] = {plane.name: [] for plane in package.planes}
    for start in range(0, n, 32):
        batch = slice(start, start + 32)
        flags = np.repeat(present[None].astype(np.float32), len(x[batch]), axis=0)
        for name, values in engine.run(x[batch], flags, valid[batch]).items():
            latents[name].append(values)
    return {
        name: package.transforms[name].synthesise(np.concatenate(parts)) for name, parts in latents.items()
    }
