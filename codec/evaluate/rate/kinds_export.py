"""Does the exported graph of a fitted head answer as the head does?"""

from __future__ import annotations

import numpy as np

from codec.errors import InternalError
from codec.heads.attention import AttentionHead
from codec.heads.dense import DenseHead
from codec.heads.graphs import attention_graph, dense_graph, neighbour_graph, pooled_linear_graph
from codec.heads.kinds import Fitted
from codec.heads.linear import LinearHead
from codec.heads.neighbours import NeighbourHead
from codec.onnx_session import open_session
from codec.types import BoolArray, FloatArray

PLANE = "tokens"
TOLERANCE = (
    1e-3  # of the largest logit: float32 sums in another order, through a logarithm in the case of votes
)


def graph_of(fitted: Fitted, channels: int) -> bytes:
    """The head of any kind as ONNX on one plane `tokens`, with `validity`. Raises InternalError for a kind without graph."""
    head, planes = fitted.head, ((PLANE, channels),)
    if isinstance(head, LinearHead):
        return pooled_linear_graph(head, planes)
    if isinstance(head, NeighbourHead):
        return neighbour_graph(head, planes)
    if isinstance(head, AttentionHead):
        return attention_graph(head, planes)
    if isinstance(head, DenseHead):
        return dense_graph(head, planes)
    raise InternalError(f"no graph is known for heads of kind {fitted.kind.name!r}")


def graph_difference(fitted: Fitted, x: FloatArray, validity: BoolArray) -> float:
    """The largest difference between the logits of graph and head on grids n×h×w×C, over the largest logit.

    Raises InternalError where it is above the tolerance, and as `open_session`.
    """
    session = open_session(
        graph_of(fitted, x.shape[-1]), what=f"the graph of head {fitted.kind.name!r}", threads=1
    )
    feeds = {PLANE: x.astype(np.float32), "validity": validity.astype(np.float32)}
    (found,) = session.run(["logits"], feeds)
    expected = fitted.outputs(x, validity)
    if found.shape != expected.shape:
        raise InternalError(
            f"the graph of head {fitted.kind.name!r} answers in another shape",
            expected=expected.shape,
            found=found.shape,
        )
    difference = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1.0))
    if not difference <= TOLERANCE:
        raise InternalError(
            f"the graph of head {fitted.kind.name!r} does not answer as the head does",
            expected=f"at most {TOLERANCE} of the largest logit",
            found=f"{difference:.3g}",
        )
    return difference
