"""Benchmarks check their answers, then measure, then write rows into `benchmarks/results/`.

SWATHPACK_BENCH_RESULTS is another folder for the rows, for runs that are not to be kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.encoding_work import NAME, Work
from benchmarks.energy.find import gpu_missing, kernels_missing
from benchmarks.measuring import Conditions, Measure, placed
from benchmarks.results import FOLDER, Row, save
from codec.errors import SwathpackError
from codec.package import load
from onboard.engine import Engine, open_engine

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def record() -> Iterator[Callable[[Row], None]]:
    """Collects rows; they are written when the session ends, all together."""
    rows: list[Row] = []
    yield lambda row: rows.append(placed(row))  # at once: clocks move
    if rows:
        folder = Path(os.environ.get("SWATHPACK_BENCH_RESULTS", FOLDER))
        save(rows, folder, packages=("swathpack", "numpy", "onnxruntime"))


@pytest.fixture(scope="session")
def sample_scenes() -> Path:
    """Where `make setup` unpacked the packages with real scenes."""
    folder = ROOT / ".demo-data"
    if not (folder / ".stamp").is_file():
        pytest.skip("the sample scenes are not installed: make setup")
    return folder


@pytest.fixture(scope="session")
def cuda() -> str:
    """The device of GPU benchmarks; without one they are skipped, and their rows stay not measured."""
    missing = gpu_missing()
    if missing:
        pytest.skip(f"not measured: {missing}")
    return "cuda"


@pytest.fixture(scope="session")
def compiler(cuda: str) -> None:
    """What torch.compile and our kernels need beside a GPU."""
    if kernels_missing():
        pytest.skip(f"not measured: {kernels_missing()}")


@pytest.fixture(scope="session")
def conditions(record: Callable[[Row], None]) -> Callable[[bool], Conditions]:
    """Of this session, on the processor or on the GPU; idle power is measured when they are first asked for."""
    known: dict[bool, Conditions] = {}

    def of(gpu: bool) -> Conditions:
        if gpu not in known:
            known[gpu] = Conditions(gpu, record)
        return known[gpu]

    return of


@pytest.fixture
def measure(
    request: pytest.FixtureRequest,
    benchmark: Any,
    record: Callable[[Row], None],
    conditions: Callable[[bool], Conditions],
) -> Measure:
    """Times a call and records its rows; marked `gpu`, with the GPU's energy, clocks and name."""
    gpu = request.node.get_closest_marker("gpu") is not None
    return Measure(benchmark, record, conditions(gpu))


@pytest.fixture(scope="session")
def work(sample_scenes: Path) -> Work:
    """The shipped encoder and tiles of the sample scenes."""
    return Work(load(NAME))


@pytest.fixture(scope="session")
def tensorrt(work: Work) -> Engine:
    """The shipped encoder by TensorRT, built or taken from the cache; it needs no torch."""
    try:
        return open_engine(work.package.path("encoder.onnx"), backend="tensorrt")
    except SwathpackError as error:
        pytest.skip(f"not measured: {error}")
