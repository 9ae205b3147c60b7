"""A single-precision graph with the matrices of its network in integers of 8 bits, by explicit Q/DQ nodes.

What TensorRT's explicit quantisation and ONNX Runtime both take: weights symmetric per output channel, activations
symmetric per tensor, zero points 0, biases and everything between the matrices in float. Scales stand in the graph; no
calibrator is left to the device.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from codec.errors import InputError
from onboard.graph_edit import arrays_of, attribute, key, learned_region, prune, set_nodes, weight_nodes

LEVELS = 127  # −127 … 127: −128 has no counterpart, and TensorRT wants symmetry


@dataclass(frozen=True, slots=True)
class Site:
    """A matrix that becomes integers, and what flows into it."""

    node: str  # its first output: nodes may have no name
    activation: str
    weight: str
    axis: int  # of the weight's output channels


def sites(model: onnx.ModelProto, ends: Iterable[str]) -> list[Site]:
    """The weight nodes between the first ones, which read pixels, and the last, which make the embedding.

    Those stay in float: their errors reach the symbols unaveraged, and they are a small part of the work. So do softmax,
    normalisation and the products of attention; and matrices in a stack, one for each head, as adapters have them: they are
    small, and ONNX Runtime takes steps per channel of a single matrix only.
    """
    graph = model.graph
    stacked = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 3}
    region = learned_region(graph, ends)
    weights = {key(node) for node in weight_nodes(graph)}
    reached: set[str] = set()
    between: list[NodeProto] = []
    for node in region:
        behind_weight = bool(reached & set(node.input))
        if key(node) in weights and behind_weight:
            between.append(node)
        reached |= set(node.output)
    return [
        Site(key(node), node.input[0], node.input[1], _channel_axis(node))
        for node in between
        if node.input[1] not in stacked and _feeds(region, node, weights)
    ]


def _feeds(region: list[NodeProto], node: NodeProto, weights: set[str]) -> bool:
    """Whether another weight comes after it."""
    reached = set(node.output)
    for other in region:
        if reached & set(other.input):
            if key(other) in weights:
                return True
            reached |= set(other.output)
    return False


def _channel_axis(node: NodeProto) -> int:
    if node.op_type == "Conv":
        return 0
    return 0 if node.op_type == "Gemm" and attribute(node, "transB", 0) else 1


def quantise(model: onnx.ModelProto, chosen: Iterable[Site], ranges: Mapping[str, float]) -> None:
    """Put Q/DQ nodes at every site, in place. `ranges`: largest magnitude that each activation's byte stands for.

    Raises InputError for a range that is 0 or not finite: the calibration set never made that tensor say anything.
    """
    graph, values = model.graph, arrays_of(model.graph)
    zero = numpy_helper.from_array(np.zeros((), np.int8), "zero_point")
    graph.initializer.append(zero)
    by_output = {site.node: site for site in chosen}
    steps: dict[str, str] = {}  # activation → its dequantised twin
    nodes: list[NodeProto] = []
    for node in graph.node:
        site = by_output.get(key(node))
        if site is not None:
            if site.activation not in steps:
                nodes += _activation(graph, site.activation, ranges.get(site.activation, 0.0))
                steps[site.activation] = f"{site.activation}_dequantised"
            if f"{site.weight}_dequantised" not in {o for n in nodes for o in n.output}:
                nodes.append(_weight(graph, site.weight, values[site.weight], site.axis))
            node.input[0] = steps[site.activation]
            node.input[1] = f"{site.weight}_dequantised"
        nodes.append(node)
    set_nodes(graph, nodes)
    prune(graph)


def _activation(graph: onnx.GraphProto, name: str, largest: float) -> list[NodeProto]:
    if not (np.isfinite(largest) and largest > 0):
        raise InputError(
            f"the calibration set says nothing of activation {name}",
            found=largest,
            fix="calibrate with scenes of the sensor that will fly",
        )
    step = np.array(largest / LEVELS, np.float32)
    graph.initializer.append(numpy_helper.from_array(step, f"{name}_step"))
    parts = [f"{name}_step", "zero_point"]
    return [
        helper.make_node("QuantizeLinear", [name, *parts], [f"{name}_quantised"]),
        helper.make_node("DequantizeLinear", [f"{name}_quantised", *parts], [f"{name}_dequantised"]),
    ]


def _weight(graph: onnx.GraphProto, name: str, values: np.ndarray, axis: int) -> NodeProto:
    others = tuple(i for i in range(values.ndim) if i != axis)
    largest = np.abs(values).max(axis=others)
    # A channel of zeros has any step; a step of 0 would divide by 0 somewhere.
    step = np.where(largest > 0, largest / LEVELS, 1.0).astype(np.float32)
    shape = [1] * values.ndim
    shape[axis] = -1
    integers = np.clip(np.rint(values / step.reshape(shape)), -LEVELS, LEVELS).astype(np.int8)
    graph.initializer.extend(
        [
            numpy_helper.from_array(integers, f"{name}_int8"),
            numpy_helper.from_array(step, f"{name}_step"),
            numpy_helper.from_array(np.zeros(len(step), np.int8), f"{name}_zero_point"),
        ]
    )
    return helper.make_node(
        "DequantizeLinear",
        [f"{name}_int8", f"{name}_step", f"{name}_zero_point"],
        [f"{name}_dequantised"],
        axis=axis,
    )
