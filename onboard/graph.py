"""Checks on ONNX files before anything parses or runs them: size, external data, operator set, operators."""

from __future__ import annotations

import hashlib
from pathlib import Path

from codec.errors import Corrupt, InputError, LimitExceeded, UnsupportedVersion
from onboard.onnx_wire import read_facts

MAX_ONNX_BYTES = 512 * 1024 * 1024  # a graph that flies is a few megabytes; this only stops a bomb
OPSET = 20  # 18 is the floor, 23's Attention does not build in TensorRT
_OLDEST_OPSET = 18
# Plain operators only: what a small vision transformer, the transform, the quantiser and explicit Q/DQ nodes need.
_OPERATORS = """
    Abs Add AveragePool Cast Ceil Clip Concat Constant ConstantOfShape Conv DequantizeLinear Div Equal Erf Expand Flatten
    Floor Gather
    Gelu Gemm Greater GreaterOrEqual Identity LayerNormalization Less MatMul Max Min Mul Neg Not Pad Pow QuantizeLinear
    Range Reciprocal ReduceMax ReduceMean ReduceSum Reshape Round Shape Sigmoid Sign Slice Softmax Split Sqrt Squeeze Sub
    Tanh Tile Transpose Unsqueeze Where
"""
ALLOWED_OPERATORS = frozenset(_OPERATORS.split())


def read_graph(path: Path) -> bytes:
    """The bytes of an ONNX file. Raises InputError where it cannot be read, LimitExceeded above MAX_ONNX_BYTES."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_ONNX_BYTES + 1) if path.stat().st_size <= MAX_ONNX_BYTES else None
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", path=path, fix="run python -m onboard.export --engine fp32"
        ) from error
    if data is None or len(data) > MAX_ONNX_BYTES:
        raise LimitExceeded(
            "the ONNX file is too large",
            path=path,
            expected=f"at most {MAX_ONNX_BYTES} bytes",
            found=path.stat().st_size,
        )
    return data


def verified_graph(path: Path, sha256: str | None) -> tuple[bytes, str]:
    """Bytes of an ONNX file that has the expected hash (where one is given) and passes `check_graph`, and its SHA-256.

    Raises Corrupt for another hash, and as `read_graph` and `check_graph`.
    """
    data = read_graph(path)
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and digest != sha256:
        raise Corrupt(
            "the encoder graph is not the one of the manifest",
            path=path,
            expected=sha256[:16],
            found=digest[:16],
            fix="fetch the model package again",
        )
    check_graph(data, path)
    return data, digest


def check_graph(data: bytes, path: object = None) -> dict[str, int]:
    """Operators of the graph and how often each stands in it; refuses what a payload must not load.

    Raises Corrupt for bytes that are no ONNX file, InputError for external data, operators outside the list, local
    functions and training parts, UnsupportedVersion for an operator set other than the default domain at 18…20.
    """
    try:
        facts = read_facts(data)
    except (Corrupt, LimitExceeded) as error:
        error.path = None if path is None else str(path)
        raise
    if facts.n_graphs == 0:
        raise Corrupt("the ONNX file holds no graph", path=path)
    opsets = {domain or "ai.onnx": version for domain, version in facts.opsets.items()}
    if set(opsets) != {"ai.onnx"} or not _OLDEST_OPSET <= opsets["ai.onnx"] <= OPSET:
        found = ", ".join(f"{domain} {version}" for domain, version in sorted(opsets.items())) or "none"
        raise UnsupportedVersion(
            "the graph needs other operator sets than a payload has",
            path=path,
            expected=f"ai.onnx {_OLDEST_OPSET} to {OPSET}",
            found=found,
            fix="export it again",
        )
    if facts.external:
        raise InputError(
            f"the data of tensor {facts.external[0]!r} lie outside the file",
            path=path,
            fix="save the model without external data",
        )
    alien = sorted(
        f"{domain}.{name}" if domain not in ("", "ai.onnx") else name
        for domain, name in facts.operators
        if domain not in ("", "ai.onnx") or name not in ALLOWED_OPERATORS
    )
    if alien or facts.n_functions or facts.has_training:
        what = (
            f"operators outside the list: {' '.join(alien)}" if alien else "local functions or training parts"
        )
        raise InputError(f"the graph holds {what}", path=path, fix="export with plain operators")
    counts: dict[str, int] = {}
    for (_, name), count in facts.operators.items():
        counts[name] = counts.get(name, 0) + count
    return dict(sorted(counts.items()))
