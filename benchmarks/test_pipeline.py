"""Pixels to `.nec`, and `.nec` to embeddings to what a head says, on a processor and on a GPU.

    python -m pytest benchmarks/test_pipeline.py -m cpu --benchmark-only
    python -m pytest benchmarks/test_pipeline.py -m gpu --benchmark-only

Timed: from arrays of the host in memory to the bytes of the file, and from these bytes to class probabilities in memory, the
head's session included; reading rasters and writing files is not. Answers are held against those of the processor first.
The last test is a ViT-B/16 with random weights whose pixels already lie on the GPU: how much of the bare encoder's speed is
left when its symbols are copied, coded and written into records of the host beside it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import pytest

from benchmarks.encoding_work import BATCHES, NAME, Work, agreement
from benchmarks.latency import SUITE
from benchmarks.results import Row
from codec.bitstream import backends
from codec.errors import BackendUnavailable

if TYPE_CHECKING:
    from benchmarks.measuring import Measure
    from codec.package import Package
    from onboard.engine import Engine

ONBOARD = ("swathpack", "numpy", "onnxruntime")
ON_GPU = (*ONBOARD, "torch", "triton", "tensorrt")
VIT_B_CASE = "pixels to .nec/ViT-B 16, 224 px/gpu"
BARE = "bare encoder, torch.compile bfloat16"
_LARGE = 60  # multiprocessors; a Jetson has 8 to 16


def onnx_runtime(work: Work) -> Engine:
    from onboard.engine import open_engine

    return open_engine(work.package.path("encoder.onnx"))


def check_file(work: Work, engine: Engine, n: int = 32, least: float = 0.98) -> None:
    """Equal pixels give equal files, and heads say of them what they say of those of ONNX Runtime."""
    data, expected = work.nec(engine, work.batch(n)), work.nec(onnx_runtime(work), work.batch(n))
    assert work.nec(engine, work.batch(n)) == data
    assert agreement(work.answers(data), work.answers(expected)) >= least


@pytest.mark.cpu
@pytest.mark.parametrize("batch", BATCHES)
def test_pixels_to_nec_on_a_processor(measure: Measure, work: Work, batch: int) -> None:
    engine, given = onnx_runtime(work), work.batch(batch)
    check_file(work, engine, least=1.0)
    case = f"pixels to .nec/{NAME}/cpu, ONNX Runtime float32/batch {batch}"
    measure(case, lambda: work.nec(engine, given), batch, packages=ONBOARD)


@pytest.mark.cpu
@pytest.mark.parametrize("batch", BATCHES)
def test_nec_to_a_head_on_a_processor(measure: Measure, work: Work, batch: int) -> None:
    _nec_to_head(measure, work, batch, backends.DEFAULT, "cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("batch", BATCHES)
def test_pixels_to_nec_by_pytorch_on_a_gpu(measure: Measure, cuda: str, work: Work, batch: int) -> None:
    import torch

    from benchmarks.half_graph import TorchEngine

    _pixels_to_nec(measure, work, TorchEngine(work.package, cuda, torch.float16), batch, "PyTorch float16")


@pytest.mark.gpu
@pytest.mark.parametrize("batch", BATCHES)
def test_pixels_to_nec_by_tensorrt(measure: Measure, tensorrt: Engine, work: Work, batch: int) -> None:
    _pixels_to_nec(measure, work, tensorrt, batch, f"TensorRT {tensorrt.info.version}")


def _pixels_to_nec(measure: Measure, work: Work, engine: Engine, batch: int, how: str) -> None:
    check_file(work, engine)
    given = work.batch(batch)
    case = f"pixels to .nec/{NAME}/gpu, {how}/batch {batch}"
    measure(case, lambda: work.nec(engine, given), batch, packages=ON_GPU)


@pytest.mark.gpu
@pytest.mark.parametrize("batch", [*BATCHES, 1024])
@pytest.mark.parametrize("backend", backends.names()[1:] or ("none",))
def test_nec_to_a_head_on_a_gpu(measure: Measure, cuda: str, work: Work, backend: str, batch: int) -> None:
    """By every entropy back end that somebody registered beside the core."""
    if backend == "none":
        pytest.skip(f"not measured: no entropy back end but {backends.DEFAULT} is registered")
    _nec_to_head(measure, work, batch, backend, "gpu")


def _nec_to_head(measure: Measure, work: Work, batch: int, backend: str, place: str) -> None:
    engine = onnx_runtime(work)
    data = work.nec(engine, work.batch(batch))
    expected = work.answers(data)
    try:
        found = work.answers(data, backend)
    except BackendUnavailable as error:
        pytest.skip(f"not measured: {error}")
    assert (expected.probabilities == found.probabilities).all(), "every back end decodes the same symbols"
    assert expected.validity.all()
    case = f".nec to head/{NAME}/{place}, {backend}/batch {batch}"
    packages = ONBOARD if place == "cpu" else ON_GPU
    measure(case, lambda: work.answers(data, backend), batch, packages=packages)


@pytest.fixture(scope="module")
def vit_b(cuda: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Package]:
    """Products in float32, which are those of the transform, in TensorFloat-32: 10 bits, more than the encoder's 8."""
    import torch

    from benchmarks.random_package import VIT_B, random_package

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield random_package(tmp_path_factory.mktemp("vit-b") / "package", VIT_B, cuda)
    torch.set_float32_matmul_precision(before)


@pytest.mark.gpu
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("how", ["kernels", "torch.compile"])
def test_vit_b_from_pixels_on_the_gpu_to_records(
    measure: Measure, record: Callable[[Row], None], cuda: str, vit_b: Package, how: str
) -> None:
    import torch

    from benchmarks.entropy.timing import paired
    from benchmarks.vit_b import Contest

    torch.compiler.reset()
    threads = max(1, (os.cpu_count() or 2) - 1)
    batch, turns = _vit_b_batch()
    contest = Contest(
        vit_b, cuda, torch.bfloat16, batch, turns=turns, threads=threads, by_kernels=how == "kernels"
    )
    files = contest.check()
    pair = paired(
        lambda _: contest.coded(), lambda _: contest.bare(), rounds=9, seconds=0.5, clock=time.perf_counter
    )
    case = f"{VIT_B_CASE}, quantised by {how}"
    row = partial(Row, SUITE, case, threads=threads, **measure.conditions.place(ON_GPU))
    unit = f"ratio [95 % interval; {contest.images} images in batches of {batch}]"
    record(row("share of the bare encoder", *pair.ratio(), unit=unit, rival=BARE, n=len(pair.ours)))
    n_coded = batch * len(files)
    record(row("bytes of a tile", sum(map(len, files)) / n_coded, unit="B", n=n_coded))
    measure(f"{case}/batch {batch}", contest.coded, contest.images, threads=threads, packages=ON_GPU)
    contest.overlapped.close()


def _vit_b_batch() -> tuple[int, int]:
    """Images of a batch, which fill a card without filling its memory, and turns: a call then takes a second or so, of
    which coding the last batch, hidden behind nothing, is a few percent.
    """
    import torch

    card = torch.cuda.get_device_properties(0)
    if card.multi_processor_count >= _LARGE and card.total_memory > 30 * 2**30:
        return 128, 8
    return (64 if card.total_memory > 7 * 2**30 else 16), 1
