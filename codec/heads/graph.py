"""A linear head as a tiny ONNX graph: the inputs are planes by name, the output is `logits`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from codec.errors import InputError
from codec.heads.linear import LinearHead

OPSET = 20
IR_VERSION = 9  # the one that belongs to opset 20; newer ones are refused by older runtimes


def head_graph(head: LinearHead, level: str, planes: Sequence[tuple[str, int]]) -> bytes:
    """ONNX bytes of a head. `planes` are (name, channels) in the order of the features.

    level "token": logits N×h×w×K of the channels of all planes side by side. level "tile": N×K of the mean over the
    tokens of all planes, then their standard deviations.
    """
    width = sum(channels for _, channels in planes)
    expected = width if level == "token" else 2 * width
    if level not in ("token", "tile") or head.weight.shape[0] != expected:
        raise InputError(
            "the head does not fit its planes", expected=(level, expected), found=head.weight.shape[0]
        )
    n_classes = head.weight.shape[1]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["tiles", "rows", "cols", channels])
        for name, channels in planes
    ]
    constants = {"weight": head.weight, "bias": head.bias}
    nodes = [helper.make_node("Concat", [name for name, _ in planes], ["x"], axis=3)]
    if level == "tile":
        constants["tokens_axes"] = np.array([1, 2], np.int64)
        nodes += [
            helper.make_node("ReduceMean", ["x", "tokens_axes"], ["mean"], keepdims=1),
            helper.make_node("Sub", ["x", "mean"], ["centred"]),
            helper.make_node("Mul", ["centred", "centred"], ["squared"]),
            helper.make_node("ReduceMean", ["squared", "tokens_axes"], ["variance"], keepdims=0),
            helper.make_node("Sqrt", ["variance"], ["spread"]),
            helper.make_node("ReduceMean", ["x", "tokens_axes"], ["flat_mean"], keepdims=0),
            helper.make_node("Concat", ["flat_mean", "spread"], ["features"], axis=1),
        ]
    features = "features" if level == "tile" else "x"
    nodes += [
        helper.make_node("MatMul", [features, "weight"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
    ]
    shape: list[str | int] = ["tiles", n_classes] if level == "tile" else ["tiles", "rows", "cols", n_classes]
    graph = helper.make_graph(
        nodes,
        "head",
        inputs,
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="swathpack",
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
