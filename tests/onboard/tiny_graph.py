"""Encoder graphs of a few nodes, made with the onnx package: what an engine is tried with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BANDS, SIDE, CHANNELS, FREQUENCIES = 2, 8, 3, 4


def tiny_encoder(
    *,
    opset: int = 20,
    inputs: Sequence[tuple[str, list[object], int]] | None = None,
    output: str = "latent_tokens",
    output_shape: list[object] | None = None,
    nodes: Sequence[onnx.NodeProto] | None = None,
    scale: float = 1.0,
    domains: Sequence[tuple[str, int]] = (),
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    """latent_tokens N×3×4: the mean of all pixels of a tile, times bands[0] and validity[0, 0], times `scale`."""
    float32 = TensorProto.FLOAT
    inputs = inputs or (
        ("pixels", ["tiles", BANDS, SIDE, SIDE], float32),
        ("bands", ["tiles", BANDS], float32),
        ("validity", ["tiles", SIDE, SIDE], float32),
    )
    nodes = nodes or [
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("ReduceMax", ["bands", "last"], ["any_band"], keepdims=0),
        helper.make_node("ReduceMax", ["validity", "rows_cols"], ["any_pixel"], keepdims=0),
        helper.make_node("Mul", ["mean", "any_band"], ["a"]),
        helper.make_node("Mul", ["a", "any_pixel"], ["b"]),
        helper.make_node("Unsqueeze", ["b", "rows_cols"], ["c"]),
        helper.make_node("Mul", ["c", "ones"], [output]),
    ]
    constants = {
        "axes": np.array([1, 2, 3], np.int64),
        "last": np.array([1], np.int64),
        "rows_cols": np.array([1, 2], np.int64),
        "ones": np.full((1, CHANNELS, FREQUENCIES), scale, np.float32),
    }
    shape = output_shape or ["tiles", CHANNELS, FREQUENCIES]
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info(name, kind, dims) for name, dims, kind in inputs],
        [helper.make_tensor_value_info(output, float32, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(*domain) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=list(functions))


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path
