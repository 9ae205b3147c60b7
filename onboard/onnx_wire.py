"""What an ONNX file says of itself, read from its protobuf wire format: no `onnx` package, no allocation from a length
that the file only claims.

Field numbers are those of onnx.proto3 (ONNX IR, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3); the wire
format is that of Protocol Buffers ("Encoding"). Groups (wire types 3 and 4) do not occur in ONNX and are refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from codec.errors import Corrupt, LimitExceeded

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_MAX_DEPTH = 16  # subgraphs in attributes in subgraphs …; plain graphs have none

# message → {field number: message inside}; fields that are not listed are not looked into.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "opset": {},
    "tensor": {},
}
_NAMED = frozenset({"node", "opset", "tensor"})
_MAX_TEXT = 256  # bytes kept of a name; no operator's is so long
_NODE_OP_TYPE, _NODE_DOMAIN = 4, 7
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_TENSOR_NAME, _TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 8, 13, 14


@dataclass(slots=True)
class GraphFacts:
    """What decides whether a graph may be loaded. Domains: the default one is ""."""

    opsets: dict[str, int] = field(default_factory=dict)  # domain → version
    operators: Counter[tuple[str, str]] = field(default_factory=Counter)  # (domain, operator) → nodes
    external: list[str] = field(default_factory=list)  # names of tensors whose data lie outside the file
    n_graphs: int = 0  # subgraphs included
    n_functions: int = 0
    has_training: bool = False


def read_facts(data: bytes) -> GraphFacts:
    """Walk a whole file. Raises Corrupt with the offset where it is no ONNX file, LimitExceeded for deep nesting."""
    facts = GraphFacts()
    _walk("model", data, 0, len(data), 0, facts)
    return facts


def _walk(message: str, data: bytes, start: int, end: int, depth: int, facts: GraphFacts) -> None:
    if depth > _MAX_DEPTH:
        raise LimitExceeded("subgraphs are nested too deeply", offset=start, expected=f"at most {_MAX_DEPTH}")
    inside = _INSIDE[message]
    texts: dict[int, str] = {}
    numbers: dict[int, int] = {}
    external = False
    for number, wire, first, last in _fields(data, start, end):
        if wire == _VARINT:
            numbers[number] = first
        elif wire == _BYTES:
            if number in inside:
                _walk(inside[number], data, first, last, depth + 1, facts)
            elif message in _NAMED:
                texts[number] = data[first : min(last, first + _MAX_TEXT)].decode("utf-8", "replace")
            external |= message == "tensor" and number == _TENSOR_EXTERNAL_DATA
    if message == "node":
        facts.operators[texts.get(_NODE_DOMAIN, ""), texts.get(_NODE_OP_TYPE, "")] += 1
    elif message == "opset":
        facts.opsets[texts.get(_OPSET_DOMAIN, "")] = numbers.get(_OPSET_VERSION, 0)
    elif message == "tensor" and (external or numbers.get(_TENSOR_DATA_LOCATION, 0)):
        facts.external.append(texts.get(_TENSOR_NAME, "(unnamed)"))
    facts.n_graphs += message == "graph"
    facts.n_functions += message == "function"
    facts.has_training |= message == "training"


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(number, wire type, value, 0) of varints, (number, wire type, first byte, end) of all else."""
    position = start
    while position < end:
        where = position
        key, position = _varint(data, position, end)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise Corrupt("not an ONNX file: a field without a number", offset=where)
        if wire == _VARINT:
            value, position = _varint(data, position, end)
            yield number, wire, value, 0
            continue
        if wire == _BYTES:
            size, position = _varint(data, position, end)
        elif wire in _FIXED_SIZES:
            size = _FIXED_SIZES[wire]
        else:
            raise Corrupt(f"not an ONNX file: wire type {wire}", offset=where)
        if size > end - position:
            raise Corrupt("not an ONNX file: a field overruns its message", offset=where)
        yield number, wire, position, position + size
        position += size


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    value = 0
    for i in range(10):  # 64 bits, 7 in each byte
        if position + i >= end:
            raise Corrupt("not an ONNX file: it ends inside a number", offset=position)
        byte = data[position + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, position + i + 1
    raise Corrupt("not an ONNX file: a number of more than 64 bits", offset=position)
