"""Throughput on a CPU: pixels → `.nec` and `.nec` → embeddings, on a real scene.

Run by `pytest benchmarks --benchmark-only -m cpu`.

Timed: everything between arrays of reflectance in memory and the bytes of the file, and back; reading the raster is not.
Rivals run in the same session on the same tiles: OpenJPEG (lossy, about the same bytes) for the way down, float16 with
zstd 19 for the way up.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.results import Row
from codec.types import FloatArray, Georeference, Latent, TileGrid

ROUNDS = 7
CASE = "landsat7-raleigh x2, s2-nano"


@dataclass(frozen=True)
class Work:
    """Tiles with data of the Landsat 7 sample, and everything needed to code them."""

    package: Any
    engine: Any
    pixels: FloatArray
    bands: FloatArray
    validity: FloatArray
    band_mask: int

    @property
    def grid(self) -> TileGrid:
        core = self.package.tile.core
        return TileGrid(core * len(self.pixels), core, core, core)

    def latents(self) -> list[Latent]:
        parts: dict[str, list[FloatArray]] = {plane: [] for plane in self.engine.planes}
        for start in range(0, len(self.pixels), 32):
            part = slice(start, start + 32)
            for name, values in self.engine.run(
                self.pixels[part], self.bands[part], self.validity[part]
            ).items():
                parts[name].append(values)
        valid = np.ones((len(self.pixels), 8, 8), bool)
        return [Latent(self.package.plane_index(name), np.concatenate(p), valid) for name, p in parts.items()]

    def code(self, latents: list[Latent], target: int = 960) -> bytes:
        from codec.pipeline import encode

        return encode(
            self.package, latents, grid=self.grid, georeference=Georeference((1, 0, 0, 0, -1, 0)), sensor="landsat7-dn8",
            band_mask=self.band_mask, time_us=-(2**63), target_bytes=target,
        )  # fmt: skip


@pytest.fixture(scope="module")
def work(sample_scenes: Path) -> Work:
    from codec.package import load
    from codec.scene.samples import LANDSAT7_RALEIGH
    from codec.scene.tiling import tiles
    from onboard.engine import open_engine

    package = load("s2-nano")
    with LANDSAT7_RALEIGH.open(sample_scenes, zoom=2) as scene:
        chosen = [t for t in tiles(scene, package.bands, core=64, margin=0) if t.validity.all()]
    present = chosen[0].bands_present
    return Work(
        package,
        open_engine(package.path("encoder.onnx"), threads=os.cpu_count() or 1),
        np.stack([t.pixels for t in chosen]),
        np.stack([t.bands_present for t in chosen]).astype(np.float32),
        np.ones((len(chosen), 64, 64), np.float32),
        int(sum(1 << int(i) for i in np.flatnonzero(present))),
    )


def _measure(benchmark: Any, run: Callable[[], Any], n: int) -> tuple[float, float, float]:
    """Median, lowest and highest rate in tiles per second."""
    benchmark.pedantic(run, rounds=ROUNDS, warmup_rounds=1, iterations=1)
    times = benchmark.stats.stats.data
    return n / statistics.median(times), n / max(times), n / min(times)


def _row(
    metric: str, rate: tuple[float, float, float], n: int, *, rival: str = "", unit: str = "tiles/s (min…max)"
) -> Row:
    return Row(
        "throughput", CASE, metric, *rate, unit=unit, rival=rival, n=n, isa_or_device="cpu", threads=os.cpu_count()
    )  # fmt: skip


@pytest.mark.cpu
def test_pixels_to_nec(benchmark: Any, work: Work, record: Callable[[Row], None]) -> None:
    from codec.bitstream.reader import read_bytes

    data = work.code(work.latents())
    assert read_bytes(data).is_whole
    assert work.code(work.latents()) == data, "equal pixels must give equal files"
    n = len(work.pixels)
    record(_row("pixels to .nec", _measure(benchmark, lambda: work.code(work.latents()), n), n))
    record(Row("throughput", CASE, ".nec bytes per tile", len(data) / n, unit="B", n=n))


@pytest.mark.cpu
def test_encoder_alone(benchmark: Any, work: Work, record: Callable[[Row], None]) -> None:
    assert all(np.isfinite(latent.values).all() for latent in work.latents())
    n = len(work.pixels)
    record(_row("pixels to latents (encoder)", _measure(benchmark, work.latents, n), n))


@pytest.mark.cpu
def test_encoder_with_all_its_bands(benchmark: Any, work: Work, record: Callable[[Row], None]) -> None:
    """The encoder's own target: every band present, batches of 32, the default number of threads."""
    n = len(work.pixels)
    everything = np.ones_like(work.bands)
    pixels = np.where(work.bands[:, :, None, None] > 0, work.pixels, work.pixels[:, [1]])

    def run() -> None:
        for start in range(0, n, 32):
            part = slice(start, start + 32)
            work.engine.run(pixels[part], everything[part], work.validity[part])

    found = work.engine.run(pixels[:32], everything[:32], work.validity[:32])
    assert all(np.isfinite(values).all() for values in found.values())
    rate = _measure(benchmark, run, n)
    case = f"encoder {work.package.name}, 64 px, {len(work.package.bands)} bands, ONNX Runtime fp32"
    record(
        Row(
            "throughput", case, "pixels to latents", *rate, unit="tiles/s (min…max)", n=n,
            isa_or_device="cpu", threads=os.cpu_count(),
        )
    )  # fmt: skip


@pytest.mark.cpu
def test_latents_to_nec(benchmark: Any, work: Work, record: Callable[[Row], None]) -> None:
    latents = work.latents()
    n = len(work.pixels)
    record(_row("latents to .nec (quantise and code)", _measure(benchmark, lambda: work.code(latents), n), n))


@pytest.mark.cpu
def test_nec_to_embeddings(benchmark: Any, work: Work, record: Callable[[Row], None]) -> None:
    from codec.bitstream.reader import read_bytes
    from codec.pipeline import decode

    latents = work.latents()
    data = work.code(latents)

    def run() -> Any:
        nec = read_bytes(data)
        return decode(work.package, nec.header, [r.data for r in nec.records])

    found = run()
    maps = work.package.maps("tokens", work.package.default_ladder_index)
    want = work.package.transforms["tokens"].synthesise(maps.reconstruct(maps.quantise(latents[0].values)))
    error = float(np.abs(found.embeddings["tokens"].values - want).max() / np.abs(want).max())
    # A mean vector in the header moves layer 0's bins; nothing else may differ.
    assert not found.missing
    assert error < 0.05, f"decoded embeddings differ by {error:.3f} of the largest value"
    n = len(work.pixels)
    record(_row(".nec to embeddings", _measure(benchmark, run, n), n))


@pytest.mark.cpu
def test_rival_openjpeg_encodes_the_same_tiles(
    benchmark: Any, work: Work, record: Callable[[Row], None]
) -> None:
    from swathpack.demo.rival import encode_jpeg2000

    present = work.bands[0] > 0
    mosaic = np.clip(work.pixels[:, present] * 255, 0, 255).astype(np.uint8)
    image = np.concatenate(list(mosaic), axis=1)
    n = len(work.pixels)
    rate = _measure(benchmark, lambda: encode_jpeg2000(image, 2.0), n)
    record(
        _row(
            "pixels to JPEG 2000",
            rate,
            n,
            rival="OpenJPEG through GDAL, lossy, quality 2 %, all tiles one image",
        )
    )


@pytest.mark.cpu
def test_rival_zstd_decodes_the_same_embeddings(
    benchmark: Any, work: Work, record: Callable[[Row], None]
) -> None:
    import zstandard

    latents = work.latents()
    values = work.package.transforms["tokens"].synthesise(latents[0].values)
    halves = values.astype(np.float16)
    packed = zstandard.ZstdCompressor(level=19).compress(halves.tobytes())

    def run() -> FloatArray:
        raw = zstandard.ZstdDecompressor().decompress(packed)
        return np.frombuffer(raw, np.float16).reshape(halves.shape).astype(np.float32)

    assert np.array_equal(run(), halves.astype(np.float32))
    n = len(work.pixels)
    record(
        _row(
            "float16 + zstd to embeddings", _measure(benchmark, run, n), n, rival="zstd 19 of float16 tokens"
        )
    )
    record(
        Row(
            "throughput",
            CASE,
            "float16 + zstd bytes per tile",
            len(packed) / n,
            unit="B",
            n=n,
            rival="zstd 19 of float16 tokens",
        )
    )
