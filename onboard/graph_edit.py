"""Small edits of ONNX graphs that the exporter's own are built from. Needs the onnx package, so only exporting does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper, shape_inference

from codec.errors import InputError, InternalError

WEIGHT_OPERATORS = frozenset({"MatMul", "Gemm", "Conv"})
_FOLDED_BYTES = 64 << 20  # a constant larger than this is a mistake, not a weight of a payload


def arrays_of(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Initialisers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def set_nodes(graph: onnx.GraphProto, nodes: Sequence[NodeProto]) -> None:
    kept = list(nodes)  # it may be a view of what is emptied next
    del graph.node[:]
    graph.node.extend(kept)


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every tensor. Raises InternalError where the graph's types do not fit each other."""
    try:
        inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    except Exception as error:
        raise InternalError(f"the graph's types do not fit: {str(error).splitlines()[0][:200]}") from error
    named = [*inferred.input, *inferred.output, *inferred.value_info]
    types = {value.name: int(value.type.tensor_type.elem_type) for value in named}
    return types | {tensor.name: int(tensor.data_type) for tensor in model.graph.initializer}


def fold_constants(model: onnx.ModelProto) -> None:
    """Nodes whose every input is a constant become constants, and Constant nodes initialisers."""
    from onnx.reference import ReferenceEvaluator

    graph = model.graph
    known = arrays_of(graph)
    kept = []
    for node in graph.node:
        if not all(name in known for name in node.input if name):
            kept.append(node)
            continue
        part = helper.make_model(
            helper.make_graph([node], "constant", [], [onnx.ValueInfoProto(name=o) for o in node.output]),
            opset_imports=list(model.opset_import),
        )
        # Inputs are handed over as initialisers: the evaluator then needs no types for them.
        part.graph.initializer.extend(
            numpy_helper.from_array(np.asarray(known[name]), name)
            for name in dict.fromkeys(node.input)
            if name
        )
        values = ReferenceEvaluator(part).run(None, {})
        if sum(np.asarray(value).nbytes for value in values) > _FOLDED_BYTES:
            kept.append(node)
            continue
        for name, value in zip(node.output, values, strict=True):
            known[name] = np.asarray(value)
            graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    set_nodes(graph, kept)
    prune(graph)


def prune(graph: onnx.GraphProto) -> None:
    """Take out nodes and initialisers that no output needs."""
    wanted = {output.name for output in graph.output}
    kept: list[NodeProto] = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    set_nodes(graph, kept[::-1])
    tensors = [tensor for tensor in graph.initializer if tensor.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(tensors)
    del graph.value_info[:]  # stale after any edit; whoever needs shapes infers them


def drop_outputs(graph: onnx.GraphProto, names: Iterable[str]) -> None:
    gone = set(names)
    kept = [output for output in graph.output if output.name not in gone]
    del graph.output[:]
    graph.output.extend(kept)


def weight_nodes(graph: onnx.GraphProto) -> list[NodeProto]:
    """Nodes that multiply what flows by a constant matrix or filter bank."""
    matrices = {tensor.name for tensor in graph.initializer if len(tensor.dims) > 1}
    return [
        n for n in graph.node if n.op_type in WEIGHT_OPERATORS and len(n.input) > 1 and n.input[1] in matrices
    ]


def learned_region(graph: onnx.GraphProto, ends: Iterable[str]) -> list[NodeProto]:
    """The network: nodes on the way from a weight to the tensors `ends`, weights included, in the graph's order.

    What comes before any weight (normalisation, patch means) and after the ends (transform, quantiser) is not in it.
    """
    behind = _ancestors(graph, ends)
    weights = {key(node) for node in weight_nodes(graph)}
    reached: set[str] = set()
    region = []
    for node in graph.node:
        if key(node) in behind and (key(node) in weights or reached & set(node.input)):
            region.append(node)
            reached |= set(node.output)
    return region


def key(node: NodeProto) -> str:
    """What names a node: its first output. Node names may be empty, and the objects are made anew on each access."""
    return str(node.output[0])


def _ancestors(graph: onnx.GraphProto, ends: Iterable[str]) -> set[str]:
    wanted, found = set(ends), set()
    for node in reversed(graph.node):
        if wanted & set(node.output):
            found.add(key(node))
            wanted |= set(node.input)
    return found


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """Value of an attribute, or `default`."""
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def bfloat16_bits(values: np.ndarray) -> np.ndarray:
    """Float32 → the upper 16 bits, rounded to nearest, ties to even; finite values only."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def low_tensor(values: np.ndarray, kind: int, name: str) -> TensorProto:
    """An initialiser of type FLOAT16 or BFLOAT16. Raises InputError for a value beyond its range."""
    if kind == TensorProto.FLOAT16:
        with np.errstate(over="ignore"):
            low = values.astype(np.float16)
        finite = np.isfinite(low).all()
        raw = low.astype("<f2").tobytes()
    else:
        bits = bfloat16_bits(values)
        finite = ((bits & 0x7F80) != 0x7F80).all()
        raw = bits.astype("<u2").tobytes()
    if not finite:
        raise InputError(
            f"the values of {name} do not fit {TensorProto.DataType.Name(kind)}",
            found=f"{np.abs(values).max():g}",
            fix="export with --engine fp32",
        )
    return helper.make_tensor(name, kind, values.shape, raw, raw=True)
