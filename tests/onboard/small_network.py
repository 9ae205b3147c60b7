"""A network of three matrices between pixels and an embedding, with something before and after it, as the encoder has."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

END = "embedding_tokens"
WIDTH = 8


def small_network(*, conv: bool = False) -> onnx.ModelProto:
    """pixels N×2×4×4 → normalised → stem (N×8) → Gelu → middle → Gelu → last = embedding → minus mean = latent."""
    rng = np.random.default_rng(5)

    def matrix(rows: int, cols: int) -> np.ndarray:
        return (rng.standard_normal((rows, cols)) / np.sqrt(rows)).astype(np.float32)

    constants = {
        "offset": np.full((2, 1, 1), 0.25, np.float32),
        "flat": np.array([-1, 32], np.int64),
        "stem": matrix(32, WIDTH),
        "middle": matrix(WIDTH, WIDTH)
        * 2.0 ** np.arange(WIDTH, dtype=np.float32),  # channels of very different size
        "bias": rng.standard_normal(WIDTH).astype(np.float32),
        "last": matrix(WIDTH, 3),
        "mean": rng.standard_normal(3).astype(np.float32),
        "axis": np.array([2], np.int64),
    }
    nodes = [helper.make_node("Sub", ["pixels", "offset"], ["normalised"])]
    if conv:
        constants["stem"] = constants["stem"].T.reshape(WIDTH, 2, 4, 4).copy()
        constants["flat"] = np.array([-1, WIDTH], np.int64)
        nodes += [
            helper.make_node("Conv", ["normalised", "stem"], ["convolved"]),
            helper.make_node("Reshape", ["convolved", "flat"], ["stemmed"]),
        ]
    else:
        nodes += [
            helper.make_node("Reshape", ["normalised", "flat"], ["patches"]),
            helper.make_node("MatMul", ["patches", "stem"], ["stemmed"]),
        ]
    nodes += [
        helper.make_node("Gelu", ["stemmed"], ["active"]),
        helper.make_node("MatMul", ["active", "middle"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["biased"]),
        helper.make_node("Gelu", ["biased"], ["features"]),
        helper.make_node("MatMul", ["features", "last"], [END]),
        helper.make_node("Sub", [END, "mean"], ["centred"]),
        helper.make_node("Unsqueeze", ["centred", "axis"], ["latent_tokens"]),
    ]
    float32 = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "small",
        [
            helper.make_tensor_value_info("pixels", float32, ["n", 2, 4, 4]),
            helper.make_tensor_value_info("bands", float32, ["n", 2]),
            helper.make_tensor_value_info("validity", float32, ["n", 4, 4]),
        ],
        [helper.make_tensor_value_info("latent_tokens", float32, ["n", 3, 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def batch(n: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((n, 2, 4, 4), np.float32), np.ones((n, 2), np.float32), np.ones((n, 4, 4), np.float32)


def run(
    model: onnx.ModelProto, n: int = 64, tensors: tuple[str, ...] = ("latent_tokens",)
) -> list[np.ndarray]:
    """Outputs, or any tensors, by ONNX Runtime."""
    import onnxruntime as ort

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {output.name for output in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in known)
    session = ort.InferenceSession(copy.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = dict(zip(("pixels", "bands", "validity"), batch(n), strict=True))
    return [np.asarray(v) for v in session.run(list(tensors), feeds)]
