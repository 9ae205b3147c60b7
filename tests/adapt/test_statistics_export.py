"""The graph of patch statistics: operators that a payload loads, and the numbers of PyTorch."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.adapt.test_patch_statistics import batch, fitted

pytest.importorskip("spyndex")


@pytest.mark.parametrize("stats", [("mean", "std"), ("mean", "std", "min", "max")])
def test_the_exported_graph_is_plain_and_gives_the_same(stats: tuple[str, ...], tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from onboard.graph import OPSET, check_graph

    module = fitted(stats).eval()
    pixels, present, validity = batch(3, 20)
    present[1, 0] = 0
    validity[2, :6, :6] = 0
    pixels[1, 0] = pixels[2, :, :6, :6] = float("nan")
    tiles = torch.export.Dim("tiles", min=1, max=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            module,
            (pixels[:2], present[:2], validity[:2]),
            dynamo=True,
            opset_version=OPSET,
            input_names=["pixels", "bands", "validity"],
            dynamic_shapes=({0: tiles}, {0: tiles}, {0: tiles}),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    path = tmp_path / "statistics.onnx"
    program.save(str(path))
    check_graph(path.read_bytes(), path)  # the operators that a payload loads
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(
        None, {"pixels": pixels.numpy(), "bands": present.numpy(), "validity": validity.numpy()}
    )
    np.testing.assert_allclose(found, module(pixels, present, validity).numpy(), rtol=0, atol=1e-5)
