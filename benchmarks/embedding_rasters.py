"""Integer rasters of embeddings as public products are, from real pictures and the encoder that ships.

A product holds one vector per pixel. The encoder gives one per patch of 8 × 8 pixels, so it is run on the scene shifted
by every `stride` pixels in both directions and its tokens are interleaved: with a stride of 1 every pixel has a vector, of
the patch around it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import zstandard

from codec.types import FloatArray

_TILE, _PATCH = 64, 8
# Sen1Floods11 chips: B01 … B08, B8A, B09, B10, B11, B12; the encoder's bands without B10.
_ENCODER_BANDS = [*range(8), 8, 9, 11, 12]
Rasters = dict[str, tuple[np.ndarray, np.ndarray | None]]  # name → int8 rows×cols×C, scale or None


def dense_embeddings(reflectance: FloatArray, *, stride: int = 1, tiles: int = 3) -> FloatArray:
    """Reflectance C×H×W in the encoder's bands → rows×cols×128 float32, each `stride` pixels of `tiles`² tiles."""
    from codec.package import load
    from onboard.engine import open_engine

    package = load("s2-nano")
    engine = open_engine(package.path("encoder.onnx"), threads=1)
    transform = package.transforms["tokens"]
    n, side, steps = tiles, tiles * _TILE, _PATCH // stride
    cells = side // _PATCH
    out = np.zeros((cells, steps, cells, steps, 128), np.float32)
    ones = np.ones((n * n, reflectance.shape[0]), np.float32), np.ones((n * n, _TILE, _TILE), np.float32)
    for dy in range(steps):
        for dx in range(steps):
            part = reflectance[:, dy * stride : dy * stride + side, dx * stride : dx * stride + side]
            cut = (
                part.reshape(-1, n, _TILE, n, _TILE).transpose(1, 3, 0, 2, 4).reshape(n * n, -1, _TILE, _TILE)
            )
            found = [
                engine.run(np.ascontiguousarray(cut[i : i + 32]), ones[0][i : i + 32], ones[1][i : i + 32])[
                    "tokens"
                ]
                for i in range(0, n * n, 32)
            ]
            tokens = transform.synthesise(np.concatenate(found)).reshape(n, n, 8, 8, -1)
            out[:, dy, :, dx] = tokens.transpose(0, 2, 1, 3, 4).reshape(cells, cells, -1)
    return out.reshape(cells * steps, cells * steps, -1)


def flood_scene(shared_data: Path) -> FloatArray:
    """The Sen1Floods11 chip of Spain as reflectance, 12×512×512."""
    import rasterio

    with rasterio.open(shared_data / "sen1floods11_spain" / "S2.tif") as file:
        return file.read()[_ENCODER_BANDS].astype(np.float32) / 10000


def terramind_scene(shared_data: Path, place: str, *, offset: int) -> FloatArray:
    """A TerraMind L1C chip as reflectance, 12×224×224; `offset` is what its product adds to the numbers."""
    import rasterio

    with rasterio.open(shared_data / "terramind_pairs" / place / "S2L1C.jp2") as file:
        return np.clip(file.read()[_ENCODER_BANDS].astype(np.float32) - offset, 0, None) / 10000


def alphaearth_style(x: FloatArray, channels: int = 64) -> np.ndarray:
    """The first principal axes, on the unit sphere, companded: q = round(127.5 · sign(x) · √|x|) (arXiv 2507.22291)."""
    flat = x.reshape(-1, x.shape[-1]).astype(np.float64)
    flat = flat - flat.mean(axis=0)
    _, vectors = np.linalg.eigh(flat.T @ flat)
    # A fixed rotation afterwards: the axes of a product are no principal axes.
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(channels, channels)))[0]
    y = flat @ vectors[:, ::-1][:, :channels] @ rotation
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    q = np.clip(np.rint(127.5 * np.sign(y) * np.sqrt(np.abs(y))), -127, 127)
    return q.astype(np.int8).reshape(*x.shape[:2], channels)


def tessera_style(x: FloatArray) -> tuple[np.ndarray, np.ndarray]:
    """Every vector divided by its own scale, largest magnitude / 127 (arXiv 2506.20380)."""
    scale = (np.abs(x).max(axis=-1) / 127).astype(np.float32)
    q = np.clip(np.rint(x / scale[..., None]), -127, 127).astype(np.int8)
    return q, scale


def smooth_fields(
    rows: int = 256, cols: int = 256, channels: int = 64, *, sigma: float = 6.0, seed: int = 0
) -> np.ndarray:
    """Mixed band-limited random fields with one step of noise, int8: the easy end of what products look like."""
    rng = np.random.default_rng(seed)
    u, v = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(cols)[None]
    shape = np.exp(-2 * (np.pi * sigma) ** 2 * (u**2 + v**2))
    white = rng.normal(size=(16, rows, cols))
    fields = np.fft.irfft2(np.fft.rfft2(white) * shape, s=(rows, cols))
    fields /= fields.std()
    mixed = np.tensordot(fields, rng.normal(size=(16, channels)), axes=(0, 0)) * 10
    return np.clip(np.rint(mixed + rng.normal(size=mixed.shape)), -127, 127).astype(np.int8)


def bitshuffle(data: np.ndarray) -> bytes:
    """Bit planes of 8-bit numbers: all first bits, then all second ones, …"""
    bits = np.unpackbits(data.reshape(-1).view(np.uint8)).reshape(-1, 8)
    return np.packbits(np.ascontiguousarray(bits.T)).tobytes()


_SIDES = (64, 128)


def zstd_bytes(q: np.ndarray, level: int = 19) -> tuple[int, str]:
    """Fewest bytes of zstd with bit-shuffle over several chunkings and orders of axes of int8 rows×cols×C, and which."""
    compress: Callable[[bytes], bytes] = zstandard.ZstdCompressor(level=level).compress
    best: tuple[int, str] = (1 << 62, "")
    planes = np.ascontiguousarray(np.moveaxis(q, 2, 0))
    rows, cols, channels = q.shape
    for name, order in (("channels last", q), ("channels first", planes)):
        for side in (*_SIDES, max(rows, cols)):
            if side > max(rows, cols):
                continue
            total = 0
            for r in range(0, rows, side):
                for c in range(0, cols, side):
                    where = (slice(r, r + side), slice(c, c + side))
                    chunk = order[where] if order is q else order[(slice(None), *where)]
                    total += len(compress(bitshuffle(np.ascontiguousarray(chunk))))
            best = min(best, (total, f"{name}, chunks of {side}"))
    alone = sum(len(compress(bitshuffle(plane))) for plane in planes)
    return min(best, (alone, f"each of {channels} channels alone"))


def zstd_float32_bytes(values: np.ndarray, level: int = 19) -> int:
    """zstd of the bit planes of float32 numbers."""
    bits = np.unpackbits(np.ascontiguousarray(values, "<f4").reshape(-1, 1).view(np.uint8), axis=1)
    return len(
        zstandard.ZstdCompressor(level=level).compress(np.packbits(np.ascontiguousarray(bits.T)).tobytes())
    )
