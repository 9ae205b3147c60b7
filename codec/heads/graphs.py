"""Every fitted head as an ONNX graph: opset 20, operators of the standard domain, planes by name in, `logits` out.

Linear heads on all tokens, as they ship, are in `codec.heads.graph`; these here cover the other heads, and masks.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.errors import InputError, InternalError
from codec.heads.attention import AttentionHead
from codec.heads.dense import DenseHead
from codec.heads.finetune import PixelHead
from codec.heads.graph import OPSET
from codec.heads.linear import LinearHead
from codec.heads.neighbours import FLOOR, NeighbourHead
from codec.heads.onnx_parts import GraphParts, Planes

Array = npt.NDArray[Any]
_HIDDEN = 1e9  # taken from the score of an invalid token


def pooled_linear_graph(
    head: LinearHead, planes: Planes, *, masked: bool = True, values: bool = False
) -> bytes:
    """A probe or ridge on mean ‖ spread of the valid tokens: `logits` N×K, or `values` N×V."""
    parts = GraphParts(planes, masked=masked)
    _require_width(head.weight.shape[0], 2 * parts.channels)
    out = _linear(parts, parts.pooled(), head.weight, head.bias)
    return parts.finish(out, "values" if values else "logits", ["tiles", head.weight.shape[1]])


def neighbour_graph(head: NeighbourHead, planes: Planes, *, masked: bool = True) -> bytes:
    """Neighbours of mean ‖ spread: `logits` N×K, the log of the shares of votes. Holds the whole bank."""
    parts = GraphParts(planes, masked=masked)
    _require_width(head.bank.shape[1], 2 * parts.channels)
    z = parts.add(
        "Div", parts.add("Sub", parts.pooled(), parts.constant(head.mean)), parts.constant(head.spread)
    )
    squares = parts.add("ReduceSum", parts.add("Mul", z, z), parts.constant([1], np.int64), keepdims=1)
    length = parts.add("Max", parts.add("Sqrt", squares), parts.constant(1e-12))
    near = parts.add("MatMul", parts.add("Div", z, length), parts.constant(head.bank.T))  # N×M
    cosine, order = parts.top(near, head.k)  # N×k
    votes = parts.add("Gather", parts.constant(head.votes), order, axis=0)  # N×k×K
    if head.temperature is not None:
        first = parts.add("ReduceMax", cosine, parts.constant([1], np.int64), keepdims=1)
        cold = parts.add("Div", parts.add("Sub", cosine, first), parts.constant(head.temperature))
        voice = parts.add("Unsqueeze", parts.add("Exp", cold), parts.constant([2], np.int64))
        votes = parts.add("Mul", votes, voice)
    total = parts.add("ReduceSum", votes, parts.constant([1], np.int64), keepdims=0)  # N×K
    share = parts.add("Div", total, parts.add("ReduceSum", total, parts.constant([1], np.int64), keepdims=1))
    logits = parts.add("Log", parts.add("Max", share, parts.constant(FLOOR)))
    return parts.finish(logits, "logits", ["tiles", head.votes.shape[1]])


def attention_graph(head: AttentionHead, planes: Planes, *, masked: bool = True) -> bytes:
    """Attention pooling: `logits` N×K. The latent query is folded into the key map, its constant part falls away."""
    module, parts = head.module, GraphParts(planes, masked=masked)
    weights = {name: p.detach().numpy().astype(np.float64) for name, p in module.named_parameters()}
    _require_width(weights["k.weight"].shape[1], parts.channels)
    width, heads = weights["latent"].shape[1], module.heads
    query = (weights["latent"] @ weights["q.weight"].T + weights["q.bias"]).reshape(heads, width // heads)
    keys = weights["k.weight"].reshape(heads, width // heads, -1)
    to_score = np.einsum("hd,hdc->ch", query * (width // heads) ** -0.5, keys)  # C×heads
    flat = parts.add("Reshape", parts.tokens(), parts.constant([0, -1, parts.channels], np.int64))  # N×L×C
    x = parts.add("Mul", parts.add("Sub", flat, parts.constant(module.mean)), parts.constant(module.scale))
    scores = parts.add("MatMul", x, parts.constant(to_score))  # N×L×heads
    if masked:
        shown = parts.add("Sub", parts.flat_validity(), parts.constant(1.0))
        scores = parts.add("Add", scores, parts.add("Mul", shown, parts.constant(_HIDDEN)))
    share = parts.add(
        "Unsqueeze", parts.add("Softmax", scores, axis=1), parts.constant([3], np.int64)
    )  # N×L×heads×1
    v = _linear(parts, x, weights["v.weight"].T, weights["v.bias"])
    v = parts.add("Reshape", v, parts.constant([0, -1, heads, width // heads], np.int64))
    summed = parts.add("ReduceSum", parts.add("Mul", share, v), parts.constant([1], np.int64), keepdims=0)
    pooled = parts.add("Reshape", summed, parts.constant([-1, width], np.int64))
    y = _linear(parts, pooled, weights["proj.weight"].T, weights["proj.bias"])
    z = parts.add(
        "LayerNormalization",
        y,
        parts.constant(weights["norm.weight"]),
        parts.constant(weights["norm.bias"]),
        axis=-1,
        epsilon=module.norm.eps,
    )
    z = parts.add("Gelu", _linear(parts, z, weights["fc1.weight"].T, weights["fc1.bias"]))
    y = parts.add("Add", y, _linear(parts, z, weights["fc2.weight"].T, weights["fc2.bias"]))
    out = _linear(parts, y, weights["linear.weight"].T, weights["linear.bias"])
    return parts.finish(out, "logits", ["tiles", weights["linear.bias"].shape[0]])


def dense_graph(head: DenseHead, planes: Planes, *, masked: bool = True) -> bytes:
    """A dense head: `logits` N×(h·s)×(w·s)×K."""
    module, parts = head.module, GraphParts(planes, masked=masked)
    _require_width(len(module.mean), parts.channels)
    x = parts.add("Sub", parts.tokens(), parts.constant(module.mean))
    x = parts.add("Mul", x, parts.constant(module.scale))
    x = parts.add("Transpose", x, perm=[0, 3, 1, 2])
    y = _conv(parts, x, module.out)
    if module.near is not None and module.more is not None:
        wide = parts.add("Pad", x, parts.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64), mode="edge")
        hidden = parts.add("Gelu", _conv(parts, wide, module.near))
        y = parts.add("Add", y, _conv(parts, hidden, module.more))
    if module.factor > 1:
        y = parts.add("DepthToSpace", y, blocksize=module.factor, mode="CRD")
    y = parts.add("Transpose", y, perm=[0, 2, 3, 1])
    n_classes = module.out.out_channels // module.factor**2
    return parts.finish(y, "logits", ["tiles", "map_rows", "map_cols", n_classes])


def tuned_graph(head: PixelHead) -> bytes:
    """A fine-tuned network: `pixels`, `bands`, `validity` (float32) to `logits`. Traced by torch's exporter."""
    import onnx
    import torch

    config = head.network.encoder.config
    example = (
        torch.zeros(2, len(config.bands), config.tile, config.tile),
        torch.ones(2, len(config.bands)),
        torch.ones(2, config.tile, config.tile),
    )
    tiles = torch.export.Dim("tiles", min=1, max=4096)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="swathpack-head-") as folder:
        warnings.simplefilter("ignore")  # torch's exporter warns about its own internals
        program = torch.onnx.export(
            head.network.eval(),
            example,
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=["pixels", "bands", "validity"],
            output_names=["logits"],
            dynamic_shapes=({0: tiles}, {0: tiles}, {0: tiles}),
            verbose=False,
        )
        if program is None:
            raise InternalError("torch.onnx.export gave nothing")
        path = Path(folder) / "head.onnx"
        program.save(str(path), external_data=False)
        model = onnx.load(str(path), load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _require_width(found: int, expected: int) -> None:
    if found != expected:
        raise InputError("the head does not fit its planes", expected=expected, found=found)


def _linear(parts: GraphParts, x: str, weight: Array, bias: Array) -> str:
    return parts.add("Add", parts.add("MatMul", x, parts.constant(weight)), parts.constant(bias))


def _conv(parts: GraphParts, x: str, conv: Any) -> str:
    given = [p for p in (conv.weight, conv.bias) if p is not None]
    return parts.add("Conv", x, *(parts.constant(p.detach().numpy()) for p in given))
