"""What a payload must not load is refused from the bytes alone, before any parser of ONNX sees them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from codec.errors import Corrupt, InputError, LimitExceeded, UnsupportedVersion
from codec.package import Package
from onboard.graph import ALLOWED_OPERATORS, check_graph
from onboard.onnx_wire import read_facts
from tests.onboard.tiny_graph import tiny_encoder


def test_operators_are_counted_as_the_onnx_package_counts_them(package: Package) -> None:
    data = package.path("encoder.onnx").read_bytes()
    counts: dict[str, int] = {}
    for node in onnx.load_from_string(data).graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    assert check_graph(data) == dict(sorted(counts.items()))


def test_every_operator_of_the_list_is_one_of_onnx() -> None:
    assert all(onnx.defs.has(name) for name in ALLOWED_OPERATORS)
    # None of them holds a subgraph, loads a file or draws random numbers.
    assert not ALLOWED_OPERATORS & {"If", "Loop", "Scan", "RandomNormal", "RandomUniform", "Dropout"}


@pytest.mark.parametrize("opset", [17, 21, 23])
def test_other_operator_sets_are_unsupported(opset: int) -> None:
    with pytest.raises(UnsupportedVersion, match=f"ai.onnx {opset}"):
        check_graph(tiny_encoder(opset=opset).SerializeToString())


def test_another_domain_is_unsupported() -> None:
    with pytest.raises(UnsupportedVersion, match=r"com\.microsoft"):
        check_graph(tiny_encoder(domains=[("com.microsoft", 1)]).SerializeToString())


def test_an_operator_outside_the_list_is_named() -> None:
    nodes = [helper.make_node("NonZero", ["pixels"], ["latent_tokens"])]
    with pytest.raises(InputError, match="outside the list: NonZero"):
        check_graph(tiny_encoder(nodes=nodes).SerializeToString())


def test_an_operator_of_another_domain_is_named_even_if_the_domain_is_not_imported() -> None:
    nodes = [helper.make_node("Add", ["pixels", "pixels"], ["latent_tokens"], domain="evil")]
    with pytest.raises(InputError, match=r"outside the list: evil\.Add"):
        check_graph(tiny_encoder(nodes=nodes).SerializeToString())


def test_an_operator_inside_a_subgraph_is_seen() -> None:
    inner = helper.make_graph([helper.make_node("NonZero", ["x"], ["y"])], "inner", [], [])
    nodes = [helper.make_node("Identity", ["pixels"], ["latent_tokens"], body=inner)]
    with pytest.raises(InputError, match="NonZero"):
        check_graph(tiny_encoder(nodes=nodes).SerializeToString())


def test_local_functions_are_refused() -> None:
    function = helper.make_function(
        "", "Twice", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], [helper.make_opsetid("", 20)]
    )
    with pytest.raises(InputError, match="local functions"):
        check_graph(tiny_encoder(functions=[function]).SerializeToString())


@pytest.mark.parametrize("place", ["initializer", "attribute", "sparse"])
def test_external_data_are_refused_wherever_they_hide(place: str) -> None:
    outside = numpy_helper.from_array(np.zeros(4, np.float32), "weights")
    outside.ClearField("raw_data")
    outside.data_location = TensorProto.EXTERNAL
    entry = outside.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    if place == "initializer":
        model = tiny_encoder()
        model.graph.initializer.append(outside)
    elif place == "attribute":
        model = tiny_encoder(nodes=[helper.make_node("Constant", [], ["latent_tokens"], value=outside)])
    else:
        model = tiny_encoder()
        sparse = model.graph.sparse_initializer.add()
        sparse.values.CopyFrom(outside)
    with pytest.raises(InputError, match="'weights' lie outside the file"):
        check_graph(model.SerializeToString())


def test_external_data_saved_by_the_onnx_package_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "external.onnx"
    onnx.save(tiny_encoder(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").exists()
    with pytest.raises(InputError, match="outside the file"):
        check_graph(path.read_bytes(), path)


def test_training_parts_are_refused() -> None:
    model = tiny_encoder()
    model.training_info.add().initialization.node.append(helper.make_node("Add", ["a", "b"], ["c"]))
    with pytest.raises(InputError, match="training"):
        check_graph(model.SerializeToString())


def test_deep_nesting_is_a_limit() -> None:
    graph = helper.make_graph([], "leaf", [], [])
    for _ in range(20):
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"], body=graph)], "g", [], [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    with pytest.raises(LimitExceeded, match="nested"):
        check_graph(model.SerializeToString())


def test_a_model_without_a_graph_is_corrupt() -> None:
    model = onnx.ModelProto(ir_version=9, opset_import=[helper.make_opsetid("", 20)])
    with pytest.raises(Corrupt, match="no graph"):
        check_graph(model.SerializeToString())


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_facts_or_a_typed_error(data: bytes) -> None:
    with contextlib.suppress(Corrupt, LimitExceeded):
        read_facts(data)


@given(st.integers(0, 2**31), st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_any_changed_byte_gives_facts_or_a_typed_error(place: int, value: int) -> None:
    data = bytearray(tiny_encoder().SerializeToString())
    data[place % len(data)] = value
    with contextlib.suppress(Corrupt, InputError, LimitExceeded, UnsupportedVersion):
        check_graph(bytes(data))


def test_the_shipped_graph_names_no_file_of_the_machine_that_exported_it(package: Package) -> None:
    data = package.path("encoder.onnx").read_bytes()
    for trace in (b"site-packages", b".py", b"/export", b"forward"):
        assert trace not in data
