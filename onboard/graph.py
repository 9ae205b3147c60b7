"""Checks on ONNX files before anything runs them: size, external data, operator sets, operators.

Needs the `onnx` package (extra `train`); the flying runtime instead loads only graphs whose hash a manifest names.
"""

from __future__ import annotations

from pathlib import Path

from codec.errors import InputError, LimitExceeded, UnsupportedVersion
from onboard.engine import MAX_ONNX_BYTES

OPSET = 20  # 18 is the floor, 23's Attention does not build in TensorRT
# Plain operators only: what a small vision transformer, the transform and the quantiser need.
ALLOWED_OPERATORS = frozenset(
    {
        "Abs",
        "Add",
        "AveragePool",
        "Cast",
        "Ceil",
        "Clip",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Conv",
        "Div",
        "Equal",
        "Erf",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "Gelu",
        "Gemm",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "LayerNormalization",
        "Less",
        "MatMul",
        "Max",
        "Min",
        "Mul",
        "Neg",
        "Not",
        "Pad",
        "Pow",
        "Range",
        "Reciprocal",
        "ReduceMax",
        "ReduceMean",
        "ReduceSum",
        "Reshape",
        "Round",
        "Shape",
        "Sigmoid",
        "Sign",
        "Slice",
        "Softmax",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Tanh",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Where",
    }
)


def check_graph(path: Path) -> dict[str, int]:
    """Operators of the graph and how often each stands in it; refuses what a payload must not load.

    Raises LimitExceeded for size, InputError for external data or operators outside the list, UnsupportedVersion for
    an operator set other than the default domain at 18…20.
    """
    size = path.stat().st_size
    if size > MAX_ONNX_BYTES:
        raise LimitExceeded("the ONNX file is too large", path=path, expected=MAX_ONNX_BYTES, found=size)
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    if set(opsets) != {"ai.onnx"} or not 18 <= opsets["ai.onnx"] <= OPSET:
        raise UnsupportedVersion("operator set", path=path, expected=f"ai.onnx 18…{OPSET}", found=opsets)
    external = [t.name for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    if external:
        raise InputError(
            f"tensor {external[0]} lies outside the file",
            path=path,
            fix="save the model without external data",
        )
    counts: dict[str, int] = {}
    for node in model.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    alien = sorted(set(counts) - ALLOWED_OPERATORS)
    if alien or model.functions:
        raise InputError(
            f"operators outside the list: {' '.join(alien) or 'local functions'}",
            path=path,
            fix="export with plain operators",
        )
    return dict(sorted(counts.items()))
