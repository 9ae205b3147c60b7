"""A single-precision graph with its network in half precision, types written out in the graph.

TensorRT from 10 on takes types from the graph and nothing else (strongly typed networks), so precision is decided here and
not by a flag of a builder. Normalisation, patch means, transform and quantiser stay single: half would cost symbols
there and no time.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, defs, helper, numpy_helper

from codec.errors import InternalError
from onboard.graph_edit import (
    arrays_of,
    attribute,
    element_types,
    key,
    learned_region,
    low_tensor,
    prune,
    set_nodes,
)

KINDS: dict[str, int] = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
_SQUARES = frozenset({"Pow", "Mul"})
_OF_LENGTHS = frozenset({"Clip", "Max", "Div", "Sqrt"})
_TYPE_NAMES: dict[int, str] = {
    TensorProto.FLOAT16: "tensor(float16)",
    TensorProto.BFLOAT16: "tensor(bfloat16)",
}


def lower(model: onnx.ModelProto, engine: str, ends: Iterable[str]) -> None:
    """Run the network that leads to the tensors `ends` in `engine`'s type (fp16 or bf16), in place.

    Operators that have no such type in the graph's operator set stay float32, with casts around them; so do lengths of
    vectors, whose squares leave the range of half precision before they do.
    """
    kind, graph = KINDS[engine], model.graph
    types, values = element_types(model), arrays_of(graph)
    opset = next(entry.version for entry in model.opset_import if not entry.domain)
    region = learned_region(graph, ends)
    lengths = _lengths(region)
    lowered = [node for node in region if key(node) not in lengths and _takes(node, kind, opset)]
    chosen = {key(node) for node in lowered}
    low = {o for node in lowered for o in node.output if types.get(o) == TensorProto.FLOAT}
    casts: dict[str, str] = {}  # tensor → its twin of the other type
    nodes: list[NodeProto] = []
    for node in graph.node:
        inside = key(node) in chosen
        for i, name in enumerate(node.input):
            if not name or types.get(name) != TensorProto.FLOAT or (name in low) == inside:
                continue
            if name not in casts:
                casts[name] = f"{name}_{'float' if name in low else engine}"
                if name in values:
                    graph.initializer.append(low_tensor(values[name], kind, casts[name]))
                else:
                    to = TensorProto.FLOAT if name in low else kind
                    nodes.append(helper.make_node("Cast", [name], [casts[name]], to=to))
            node.input[i] = casts[name]
        if inside:
            _retype(node, kind)
        nodes.append(node)
    for output in graph.output:
        if output.name in low:
            raise InternalError(f"the output {output.name} would be of low precision")
    set_nodes(graph, nodes)
    prune(graph)


def _takes(node: NodeProto, kind: int, opset: int) -> bool:
    """Whether the operator is defined for `kind` where its data go."""
    schema = defs.get_schema(node.op_type, opset, node.domain)
    allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    first = allowed.get(schema.inputs[0].type_str, ())
    return _TYPE_NAMES[kind] in first


def _lengths(region: Iterable[NodeProto]) -> set[str]:
    """Keys of the nodes from a square, over its sum, to the root: lengths and their ratios, as adapters hold them equal."""
    by_output = {output: node for node in region for output in node.output}
    found: set[str] = set()
    sums: set[str] = set()
    for node in by_output.values():
        if node.op_type == "ReduceSum":
            square = by_output.get(node.input[0])
            found |= {key(node)} | (
                {key(square)} if square is not None and square.op_type in _SQUARES else set()
            )
            sums |= set(node.output)
        elif node.op_type in _OF_LENGTHS and sums & set(node.input):
            found.add(key(node))
            sums |= set(node.output) if node.op_type != "Sqrt" else set()
    return found


def _retype(node: NodeProto, kind: int) -> None:
    if node.op_type == "Cast" and attribute(node, "to") == TensorProto.FLOAT:
        del node.attribute[:]
        node.attribute.append(helper.make_attribute("to", kind))


def emulated(model: onnx.ModelProto, engine: str = "bf16") -> onnx.ModelProto:
    """A graph of float32 operators that rounds every tensor which `model` holds in `engine`'s type through that type.

    For runtimes without kernels for it: the same weights, the same roundings between operators, sums in float32 as matrix
    units have them. It is not the engine that flies, and a report must say so.
    """
    kind = KINDS[engine]
    types = element_types(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    for tensor in graph.initializer:
        if tensor.data_type == kind:
            wide = _wide(tensor)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type == "Cast" and attribute(node, "to") == kind:
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
        nodes.append(node)
        for i, name in enumerate(node.output):
            if types.get(name) == kind:
                node.output[i] = f"{name}_exact"
                nodes.append(helper.make_node("Cast", [f"{name}_exact"], [f"{name}_rounded"], to=kind))
                nodes.append(helper.make_node("Cast", [f"{name}_rounded"], [name], to=TensorProto.FLOAT))
    set_nodes(graph, nodes)
    prune(graph)
    return copy


def _wide(tensor: TensorProto) -> np.ndarray:
    if tensor.data_type == TensorProto.BFLOAT16:
        bits = np.frombuffer(tensor.raw_data, "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(tuple(tensor.dims))
    return numpy_helper.to_array(tensor).astype(np.float32)
