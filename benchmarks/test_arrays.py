"""Bring your own embeddings: seconds, memory and bytes, of large float arrays and of integer rasters.

Run by `pytest benchmarks/test_arrays.py`. CPU seconds of the process, one thread of the linear algebra library: other
work on the machine then changes little. Each measurement runs in a process of its own, so that its peak of memory is its
own; a memory-mapped input counts as far as its pages were read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import embedding_rasters as rasters
from benchmarks.results import Row

N, CHANNELS = 1_000_000, 128
MEGABYTE = 1e6
CASE = "10^6 x 128 float32, correlated Gaussian"
BUDGETS = (16, 32, 64)  # bytes per vector: 1, 2 and 4 bits per number
ROUNDS = 3

_WORK = """
import json, resource, sys, time
from pathlib import Path
import numpy as np
from codec.arrays.pack import fit, pack, unpack
from codec.package import load
what, folder, budget = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
x = np.load(folder / "x.npy", mmap_mode="r")
package = None if what == "fit" else load(folder / "package")
before = time.process_time()
if what == "fit":
    fit(x, name="benchmark", folder=folder / "package")
    size = 0
else:
    data = pack(x, package, bytes_per_vector=budget)
    size = len(data)
seconds = time.process_time() - before
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
error = 0.0
if what == "check":
    some = unpack(data, package).values
    part = slice(0, 100_000)
    mean = x[part].mean(axis=0)
    error = float(((some[part] - x[part]) ** 2).sum() / ((x[part] - mean) ** 2).sum())
print(json.dumps({"seconds": seconds, "peak": peak, "bytes": size, "error": error}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """x.npy: deviations of principal axes fall as 1/k^0.8, rotated at random, mean 1; drawn in pieces."""
    folder = tmp_path_factory.mktemp("arrays")
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(CHANNELS, CHANNELS)))[0].astype(np.float32)
    deviation = ((np.arange(CHANNELS) + 1.0) ** -0.8).astype(np.float32)
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (N, CHANNELS))
    for first in range(0, N, 10_000):
        white = rng.standard_normal((10_000, CHANNELS), dtype=np.float32)
        x[first : first + 10_000] = (white * deviation) @ rotation + 1
    x.flush()
    return folder


def _measure(folder: Path, what: str, budget: float = 0.0) -> dict[str, Any]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _WORK, what, str(folder), str(budget)],
        env=environment, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_fitting_a_million_vectors(folder: Path, record: Callable[[Row], None]) -> None:
    found = _measure(folder, "fit")
    record(Row("arrays", CASE, "fit, CPU time", found["seconds"], unit="s", n=N, threads=1))
    record(Row("arrays", CASE, "fit, peak memory", found["peak"] / 2**30, unit="GiB", n=N, threads=1))
    assert (folder / "package" / "manifest.json").is_file()


@pytest.mark.parametrize("budget", BUDGETS)
def test_packing_a_million_vectors(folder: Path, record: Callable[[Row], None], budget: int) -> None:
    if not (folder / "package").exists():
        _measure(folder, "fit")
    checked = _measure(folder, "check", budget)
    runs = [_measure(folder, "pack", budget) for _ in range(ROUNDS)]
    assert all(run["bytes"] <= budget * N * 1.01 for run in runs), (
        "the budget is kept, header and index beside it"
    )
    assert checked["error"] < 0.5
    assert {run["bytes"] for run in runs} == {checked["bytes"]}
    rates = sorted(4 * N * CHANNELS / MEGABYTE / run["seconds"] for run in runs)
    case = f"{CASE}, {budget} bytes per vector"
    record(
        Row(
            "arrays", case, "pack, input per CPU-second", rates[len(rates) // 2], rates[0], rates[-1],
            unit="MB/s (min…max)", n=N, threads=1,
        )
    )  # fmt: skip
    record(
        Row(
            "arrays",
            case,
            "pack, peak memory",
            max(r["peak"] for r in runs) / 2**30,
            unit="GiB",
            n=N,
            threads=1,
        )
    )
    record(Row("arrays", case, "file", runs[0]["bytes"] / N, unit="B per vector", n=N))
    record(Row("arrays", case, "squared error", checked["error"], unit="of the variance", n=100_000))


@pytest.fixture(scope="module")
def shared_scenes() -> Path:
    given = os.environ.get("SWATHPACK_SHARED_DATA")
    place = Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not place.is_dir():
        pytest.skip("the shared data collection is not beside this checkout")
    return place


@pytest.fixture(scope="module")
def dense(shared_scenes: Path) -> Any:
    """One vector per pixel of two scenes, by the encoder that ships."""
    return {
        "Spain, farmland": rasters.dense_embeddings(rasters.flood_scene(shared_scenes)),
        "TerraMind 38D": rasters.dense_embeddings(
            rasters.terramind_scene(shared_scenes, "38D_378R_2_3", offset=0), tiles=3
        ),
    }


def _record_ratio(
    record: Callable[[Row], None], case: str, q: np.ndarray, quantisation: str, scale: np.ndarray | None
) -> None:
    from codec.arrays.pack import pack, unpack

    data = pack(q, axes="hwc", quantisation=quantisation, scale=scale)
    found = unpack(data)
    assert np.array_equal(found.values, q)
    if scale is not None:
        assert found.scale is not None
        assert found.scale.tobytes() == scale.tobytes()
    rival, how = rasters.zstd_bytes(q)
    if scale is not None:
        rival += rasters.zstd_float32_bytes(scale)
    name = f"zstd 19 with bit-shuffle, best of its chunkings ({how})"
    record(
        Row(
            "arrays",
            case,
            "lossless, bytes against zstd",
            len(data) / rival,
            unit="ratio",
            rival=name,
            n=q.size,
        )
    )
    record(Row("arrays", case, "lossless, bits per number", 8 * len(data) / q.size, unit="bit", n=q.size))


@pytest.mark.parametrize("place", ["Spain, farmland", "TerraMind 38D"])
def test_alphaearth_style_rasters_against_zstd(dense: Any, place: str, record: Callable[[Row], None]) -> None:
    q = rasters.alphaearth_style(dense[place])
    _record_ratio(record, f"AlphaEarth style, {place}", q, "alphaearth", None)


@pytest.mark.parametrize("place", ["Spain, farmland", "TerraMind 38D"])
def test_tessera_style_rasters_against_zstd(dense: Any, place: str, record: Callable[[Row], None]) -> None:
    q, scale = rasters.tessera_style(dense[place])
    _record_ratio(record, f"TESSERA style, {place}", q, "tessera", scale)


def test_every_second_pixel_against_zstd(shared_scenes: Path, record: Callable[[Row], None]) -> None:
    """Less alike neighbours: the same scene with a vector at every second pixel."""
    x = rasters.dense_embeddings(rasters.flood_scene(shared_scenes), stride=2, tiles=6)
    _record_ratio(
        record,
        "AlphaEarth style, Spain, farmland, every 2nd pixel",
        rasters.alphaearth_style(x),
        "alphaearth",
        None,
    )


def test_smooth_fields_against_zstd(record: Callable[[Row], None]) -> None:
    _record_ratio(record, "smooth random fields, int8", rasters.smooth_fields(), "none", None)
