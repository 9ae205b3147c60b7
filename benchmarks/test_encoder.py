"""The shipped encoder by itself, at batches of 1, 8 and 32 tiles: pixels to latents.

    python -m pytest benchmarks/test_encoder.py -m cpu --benchmark-only
    python -m pytest benchmarks/test_encoder.py -m gpu --benchmark-only

Timed on a processor and with TensorRT: `Engine.run`, arrays of the host to arrays of the host. Timed of PyTorch on a GPU:
the bare network, pixels already on the device, until it is done there. Before anything is timed its latents are held against
ONNX Runtime's in single precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmarks.encoding_work import BATCHES, NAME, Batch, Work

if TYPE_CHECKING:
    from benchmarks.half_graph import TorchEngine
    from benchmarks.measuring import Measure
    from onboard.engine import Engine

GPU_PACKAGES = ("swathpack", "numpy", "torch", "triton", "tensorrt")
# Of latents, rms over rms: what half precision does to this network, twice over (docs/models.md has the numbers).
NEAR = {"float32": 1e-3, "float16": 2e-2}


def onnx_runtime(work: Work, threads: int = 0) -> Engine:
    from onboard.engine import open_engine

    return open_engine(work.package.path("encoder.onnx"), threads=threads)


def apart(work: Work, engine: Engine, n: int = 32) -> float:
    """Of the latents of every plane, how far from ONNX Runtime's, worst plane."""
    batch = work.batch(n)
    expected, found = onnx_runtime(work).run(*batch), engine.run(*batch)
    return max(
        float(np.linalg.norm(found[plane] - values) / np.linalg.norm(values))
        for plane, values in expected.items()
    )


@pytest.mark.cpu
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("how", ["ONNX Runtime float32", "PyTorch float32"])
def test_encoder_on_a_processor(measure: Measure, work: Work, how: str, batch: int) -> None:
    if how.startswith("PyTorch"):
        pytest.importorskip("torch")
        from benchmarks.half_graph import TorchEngine

        engine: Engine = TorchEngine(work.package, "cpu")
    else:
        engine = onnx_runtime(work)
    assert apart(work, engine) < NEAR["float32"]
    given = work.batch(batch)
    measure(
        f"encoder/{NAME}/cpu, {how}/batch {batch}", lambda: engine.run(*given), batch,
        packages=("swathpack", "numpy", "onnxruntime", "torch"),
    )  # fmt: skip


@pytest.mark.gpu
@pytest.mark.parametrize("batch", BATCHES)
def test_encoder_by_pytorch_on_a_gpu(measure: Measure, cuda: str, work: Work, batch: int) -> None:
    engine = half(work, cuda)
    _time_network(measure, engine, engine.graph.embed, work.batch(batch), "PyTorch float16")


@pytest.mark.gpu
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("batch", BATCHES)
def test_encoder_by_a_compiler_on_a_gpu(measure: Measure, cuda: str, work: Work, batch: int) -> None:
    import torch

    from onboard.engine import check_inputs

    engine, given = half(work, cuda), work.batch(batch)
    torch.compiler.reset()  # else a second batch size compiles for all sizes
    network: Any = torch.compile(engine.graph.embed, mode="reduce-overhead", dynamic=False)
    inputs = engine.inputs(check_inputs(engine.input_shape, *given))
    with torch.inference_mode():
        plain, found = engine.graph.embed(*inputs), network(*inputs)
        assert all(near(found[name], plain[name]) for name in plain)
    _time_network(measure, engine, network, given, "torch.compile float16")


@pytest.mark.gpu
@pytest.mark.parametrize("batch", BATCHES)
def test_encoder_by_tensorrt(measure: Measure, tensorrt: Engine, work: Work, batch: int) -> None:
    assert apart(work, tensorrt) < NEAR["float16"]
    given = work.batch(batch)
    case = f"encoder/{NAME}/gpu, TensorRT {tensorrt.info.version}/batch {batch}"
    measure(case, lambda: tensorrt.run(*given), batch, packages=GPU_PACKAGES)


def half(work: Work, cuda: str) -> TorchEngine:
    """The encoder on the GPU, whose latents have been looked at."""
    import torch

    from benchmarks.half_graph import TorchEngine

    engine = TorchEngine(work.package, cuda, torch.float16)
    assert apart(work, engine) < NEAR["float16"]
    return engine


def _time_network(measure: Measure, engine: TorchEngine, network: Any, batch: Batch, how: str) -> None:
    import torch

    from onboard.engine import check_inputs

    given = engine.inputs(check_inputs(engine.input_shape, *batch))

    def run() -> None:
        with torch.inference_mode():
            network(*given)
        torch.cuda.synchronize()

    n = len(batch[0])
    measure(f"encoder/{NAME}/gpu, {how}/batch {n}", run, n, packages=GPU_PACKAGES)


def near(found: Any, expected: Any) -> bool:
    """Of embeddings on the device, compiled against eager in half precision."""
    found, expected = found.float(), expected.float()
    return float((found - expected).norm() / expected.norm()) < NEAR["float16"]
