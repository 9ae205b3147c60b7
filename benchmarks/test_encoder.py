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

from benchmarks.encoding_work import BATCHES, Work
from codec.errors import SwathpackError

if TYPE_CHECKING:
    from benchmarks.measuring import Measure
    from onboard.engine import Engine

NAME = "s2-nano"
# Of latents, rms over rms: what half precision does to this network, twice over (docs/models.md has the numbers).
NEAR = {"float32": 1e-3, "float16": 2e-2}


@pytest.fixture(scope="module")
def work(sample_scenes: object) -> Work:
    from codec.package import load

    return Work(load(NAME))


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
@pytest.mark.parametrize("how", ["PyTorch float16", "torch.compile float16"])
def test_encoder_on_a_gpu(measure: Measure, cuda: str, work: Work, how: str, batch: int) -> None:
    import torch

    from benchmarks.half_graph import TorchEngine
    from onboard.engine import check_inputs

    engine = TorchEngine(work.package, cuda, torch.float16)
    assert apart(work, engine) < NEAR["float16"]
    given = engine.inputs(check_inputs(engine.input_shape, *work.batch(batch)))
    network: Any = engine.graph.embed
    if how.startswith("torch.compile"):
        torch.compiler.reset()  # else a second batch size compiles for all sizes
        network = torch.compile(network, mode="reduce-overhead", dynamic=False)
        with torch.inference_mode():
            plain, found = engine.graph.embed(*given), network(*given)
        assert all(near(found[name], plain[name]) for name in plain)

    def run() -> None:
        with torch.inference_mode():
            network(*given)
        torch.cuda.synchronize()

    measure(f"encoder/{NAME}/gpu, {how}/batch {batch}", run, batch, packages=GPU_PACKAGES)


@pytest.mark.gpu
@pytest.mark.parametrize("batch", BATCHES)
def test_encoder_with_tensorrt(measure: Measure, cuda: str, work: Work, batch: int) -> None:
    from onboard.engine import open_engine

    try:
        engine = open_engine(work.package.path("encoder.onnx"), backend="tensorrt")
    except SwathpackError as error:
        pytest.skip(f"not measured: {error}")
    assert apart(work, engine) < NEAR["float16"]
    given = work.batch(batch)
    measure(
        f"encoder/{NAME}/gpu, TensorRT {engine.info.version}/batch {batch}", lambda: engine.run(*given), batch,
        packages=GPU_PACKAGES,
    )  # fmt: skip


GPU_PACKAGES = ("swathpack", "numpy", "torch", "triton", "tensorrt")


def near(found: Any, expected: Any) -> bool:
    """Of embeddings on the device, compiled against eager in half precision."""
    found, expected = found.float(), expected.float()
    return float((found - expected).norm() / expected.norm()) < NEAR["float16"]
