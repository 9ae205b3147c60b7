"""Every head as a graph of the standard domain computes what Python does, with a mask and without."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from codec.errors import InputError
from codec.heads.attention import fit_attention
from codec.heads.dense import fit_conv_dense
from codec.heads.dense_linear import fit_linear_dense
from codec.heads.descent import Schedule
from codec.heads.graphs import (
    attention_graph,
    dense_graph,
    neighbour_graph,
    pooled_linear_graph,
)
from codec.heads.linear import LinearHead
from codec.heads.neighbours import fit_neighbours
from codec.heads.training_set import TrainingSet, pooled
from codec.heads.validity import pooled_vectors

PLANES = (("tokens", 5), ("spectral", 2))
BRIEF = Schedule(steps=10, batch=8)
TOLERANCE = 1e-4


def samples(y: np.ndarray) -> TrainingSet:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((30, 3, 4, 7)) * [1, 10, 0.1, 3, 1, 1, 20] + 2).astype(np.float32)
    valid = rng.random((30, 3, 4)) < 0.7
    valid[:, 1, 1] = True
    return TrainingSet(x, y, np.arange(30), np.arange(30), np.ones(30), valid)


def run(
    graph: bytes, x: np.ndarray, validity: np.ndarray | None, name: str = "logits"
) -> tuple[np.ndarray, onnx.ModelProto]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    feeds = {"tokens": x[..., :5], "spectral": x[..., 5:]}
    if validity is not None:
        feeds["validity"] = validity.astype(np.float32)
    return session.run([name], feeds)[0], onnx.load_from_string(graph)


def require_plain(model: onnx.ModelProto) -> None:
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 20)]
    assert {node.domain for node in model.graph.node} == {""}
    assert not any(t.external_data for t in model.graph.initializer)


def graph_and_answer(name: str, masked: bool):  # type: ignore[no-untyped-def]
    classes = samples(np.arange(30) % 3)
    if name.startswith("knn"):
        head = fit_neighbours(pooled(classes), 3, k=7, temperature=None if name == "knn-plain" else 0.07)
        return neighbour_graph(head, PLANES, masked=masked), lambda x, v: head.logits(pooled_vectors(x, v))
    if name == "linear":
        rng = np.random.default_rng(3)
        line = LinearHead(*(rng.standard_normal(s).astype(np.float32) for s in ((14, 3), (3,))))
        graph = pooled_linear_graph(line, PLANES, masked=masked)
        return graph, lambda x, v: line.logits(pooled_vectors(x, v))
    if name == "attention":
        attention = fit_attention(classes, None, 3, schedule=BRIEF, width=16, heads=4)
        return attention_graph(attention, PLANES, masked=masked), attention.logits
    maps = samples(np.random.default_rng(1).integers(0, 3, (30, 6, 8)))
    if name == "dense-linear":
        dense = fit_linear_dense(maps, None, 3, penalties=[0.1])
    else:
        dense = fit_conv_dense(maps, None, 3, schedule=BRIEF)
    return dense_graph(dense, PLANES, masked=masked), dense.logits


@pytest.mark.parametrize("masked", [True, False], ids=["masked", "whole"])
@pytest.mark.parametrize("name", ["knn", "knn-plain", "linear", "attention", "dense-linear", "dense-conv"])
def test_the_graph_computes_what_python_does(name: str, masked: bool) -> None:
    graph, answer = graph_and_answer(name, masked)
    rng = np.random.default_rng(9)
    x = (rng.standard_normal((11, 3, 4, 7)) * [1, 10, 0.1, 3, 1, 1, 20] + 2).astype(np.float32)
    validity = rng.random((11, 3, 4)) < 0.6
    validity[:, 2, 0] = True
    if masked:
        x[~validity] = np.nan  # what stands there must not matter
    found, model = run(graph, x, validity if masked else None)
    require_plain(model)
    expected = answer(x, validity if masked else None)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE * max(np.abs(expected).max(), 1)


def test_values_of_a_regression_have_their_own_name() -> None:
    head = LinearHead(np.ones((14, 1), np.float32), np.full(1, 3, np.float32))
    graph = pooled_linear_graph(head, PLANES, values=True)
    found, _ = run(graph, np.full((2, 3, 4, 7), 2.0, np.float32), np.ones((2, 3, 4)), "values")
    assert found[:, 0] == pytest.approx(7 * 2 + 3)  # seven means of 2, no spread


def test_graphs_are_the_same_bytes_each_time() -> None:
    head = LinearHead(np.ones((14, 2), np.float32), np.zeros(2, np.float32))
    assert pooled_linear_graph(head, PLANES) == pooled_linear_graph(head, PLANES)


def test_a_head_of_other_planes_is_refused() -> None:
    with pytest.raises(InputError, match="does not fit its planes"):
        pooled_linear_graph(LinearHead(np.ones((10, 2), np.float32), np.zeros(2, np.float32)), PLANES)
    with pytest.raises(InputError, match="validity"):
        pooled_linear_graph(
            LinearHead(np.ones((10, 2), np.float32), np.zeros(2, np.float32)), (("validity", 5),)
        )


def test_trained_heads_of_other_planes_are_refused() -> None:
    attention = fit_attention(
        samples(np.arange(30) % 3), None, 3, schedule=Schedule(steps=1), width=8, heads=2
    )
    with pytest.raises(InputError, match="does not fit its planes"):
        attention_graph(attention, (("tokens", 5),))
    dense = fit_linear_dense(samples(np.arange(360).reshape(30, 3, 4) % 3), None, 3, penalties=[1.0])
    with pytest.raises(InputError, match="does not fit its planes"):
        dense_graph(dense, (("tokens", 5),))
