"""From a trained network to `decoder.onnx` in a package, and from records to refined embeddings."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from codec import pipeline
from codec.bitstream.reader import read_bytes
from codec.errors import Corrupt, IdentityError, InternalError, LimitExceeded
from codec.nec.refinement import export, session
from codec.nec.refinement.degraded import Quality
from codec.nec.refinement.install import install
from codec.nec.refinement.run import Run, network_inputs
from codec.package import Package, load
from codec.types import Embedding, Georeference, Latent, TileGrid
from tests.nec.refinement.small_refinement import arrays, recipe

# Operators of the payload's list; the ground's heads need no others either.
PLAIN = {
    "Add", "Cast", "Clip", "Concat", "Constant", "Div", "Erf", "Expand", "Gather", "Gelu", "Gemm", "Identity",
    "LayerNormalization", "Log", "MatMul", "Max", "Mul", "Pow", "Reciprocal", "ReduceSum", "Reshape", "Slice",
    "Softmax", "Split", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze",
}  # fmt: skip
N = 24


@pytest.fixture(scope="module")
def nec(package: Package) -> bytes:
    planes, validity = arrays()
    latents = [
        Latent(i, package.transforms[e.name].analyse(planes[e.name][:N], validity[:N]), validity[:N])
        for i, e in enumerate(package.planes)
    ]
    core = package.tile.core
    return pipeline.encode(
        package, latents, grid=TileGrid(N * core, core, core, core), sensor="test", band_mask=0, time_us=0,
        georeference=Georeference((1.0, 0.0, 0.0, 0.0, 1.0, 0.0)), target_bytes=120,
    )  # fmt: skip


def decoded(package: Package, nec: bytes, refine: pipeline.decoding.Refine | None = None, **options: int):  # type: ignore[no-untyped-def]
    file = read_bytes(nec)
    return pipeline.decode(package, file.header, [r.data for r in file.records], refine=refine, **options)


def test_the_graph_equals_pytorch_for_any_number_of_tiles(run: Run, graph: bytes) -> None:
    assert export.proven(graph, run.network, run.windows, recipe()) <= 1e-5
    opened = export.open_session(graph, threads=1)
    quality = run.windows.draw(recipe(), np.random.default_rng(1))
    for n in (1, 3, 65):
        inputs = network_inputs(run.windows.degrade(np.arange(n) % 90, quality))
        with torch.no_grad():
            expected = run.network(*map(torch.from_numpy, inputs)).numpy()
        names = [node.name for node in opened.get_inputs()]
        (found,) = opened.run(None, dict(zip(names, inputs, strict=True)))
        np.testing.assert_allclose(found, expected, atol=1e-5 * float(np.abs(expected).max()))


def test_the_graph_holds_plain_operators_of_opset_20_and_nothing_of_this_machine(graph: bytes) -> None:
    model = onnx.load_from_string(graph)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 20)]
    assert {node.op_type for node in model.graph.node} <= PLAIN
    assert not model.functions
    assert all(not t.external_data for t in model.graph.initializer)
    assert [i.name for i in model.graph.input] == ["tokens", "spectral", "validity", "steps", "arrived"]
    assert [o.name for o in model.graph.output] == ["refined_tokens"]
    assert b".py" not in graph


def test_the_graph_is_bound_by_its_hash_and_changes_no_id(
    package: Package, installed: Package, graph: bytes
) -> None:
    listed = json.loads((installed.folder / "manifest.json").read_text())["files"]["decoder.onnx"]
    assert listed == {"bytes": len(graph), "sha256": hashlib.sha256(graph).hexdigest()}
    assert (installed.codec_id, installed.space_ids) == (package.codec_id, package.space_ids)


def test_another_graph_than_the_manifest_names_is_refused(installed: Package, tmp_path: Path) -> None:
    shutil.copytree(installed.folder, tmp_path / "small")
    data = bytearray((tmp_path / "small" / "decoder.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "small" / "decoder.onnx").write_bytes(data)
    with pytest.raises((IdentityError, Corrupt), match=r"decoder\.onnx"):
        load(tmp_path / "small")


def test_decoding_refines_values_and_leaves_validity_and_layers(installed: Package, nec: bytes) -> None:
    plain = decoded(installed, nec)
    refined = decoded(installed, nec, session.refinement_of(installed))
    assert (plain.refinement, refined.refinement) == ("", "refined")
    before, after = plain.embeddings["tokens"], refined.embeddings["tokens"]
    assert np.abs(after.values - before.values).max() > 0.01
    for name, embedding in plain.embeddings.items():
        assert np.array_equal(refined.embeddings[name].validity, embedding.validity)
        assert np.array_equal(refined.embeddings[name].layers, embedding.layers)
    assert not before.validity.all()
    assert not after.values[~after.validity].any()
    assert np.array_equal(refined.embeddings["spectral"].values, plain.embeddings["spectral"].values)


def test_what_the_ground_gets_is_what_the_network_makes_of_the_file(
    installed: Package, run: Run, nec: bytes
) -> None:
    """Network and degraded windows against session and pipeline, with layers that did not come."""
    after = decoded(installed, nec, session.refinement_of(installed), max_layers=1).embeddings["tokens"]
    quality = Quality(
        installed.default_ladder_index, ((0,) * 4, (0,) * 2), ((True, False, False, False), (True, False))
    )
    inputs = network_inputs(run.windows.degrade(np.arange(N), quality))
    with torch.no_grad():
        expected = run.network(*map(torch.from_numpy, inputs)).numpy()
    np.testing.assert_allclose(after.values[after.validity], expected[after.validity], atol=1e-4)


def test_tiles_that_did_not_arrive_stay_missing(installed: Package, nec: bytes) -> None:
    file = read_bytes(nec)
    kept = [
        r.data
        for r in file.records
        if not (r.header.plane == 0 and r.header.layer == 0 and r.header.first_tile == 0)
    ]
    found = pipeline.decode(installed, file.header, kept, refine=session.refinement_of(installed))
    tokens = found.embeddings["tokens"]
    lost = (tokens.layers & 1) == 0
    assert lost.any()
    assert not lost.all()
    assert not tokens.values[lost].any()
    assert not tokens.validity[lost].any()


def test_the_answer_for_a_tile_does_not_depend_on_the_tiles_beside_it(
    installed: Package, nec: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = decoded(installed, nec, session.refinement_of(installed)).embeddings["tokens"].values
    monkeypatch.setattr(session, "BATCH_TILES", 5)
    pieces = decoded(installed, nec, session.refinement_of(installed)).embeddings["tokens"].values
    np.testing.assert_allclose(pieces, whole, atol=1e-5)


def test_without_onnxruntime_decoding_stops_before_the_refinement_and_says_so(
    installed: Package, nec: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = decoded(installed, nec)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found = decoded(installed, nec, session.refinement_of(installed))
    assert found.refinement.startswith("stopped before the refinement: onnxruntime is not installed")
    for name, embedding in plain.embeddings.items():
        assert np.array_equal(found.embeddings[name].values, embedding.values)


def test_a_package_without_a_refinement_has_none(package: Package) -> None:
    assert session.refinement_of(package) is None


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\x00" * 64],
    ids=["cut", "empty", "zeros"],
)
def test_a_graph_that_does_not_load_is_not_installed(
    package: Package, graph: bytes, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    shutil.copytree(package.folder, tmp_path / "small")
    before = (tmp_path / "small" / "manifest.json").read_bytes()
    (tmp_path / "made.onnx").write_bytes(damage(graph))
    with pytest.raises(Corrupt):
        install(tmp_path / "small", tmp_path / "made.onnx")
    assert not (tmp_path / "small" / "decoder.onnx").exists()
    assert (tmp_path / "small" / "manifest.json").read_bytes() == before


def test_a_graph_with_other_inputs_is_not_installed(package: Package, run: Run, tmp_path: Path) -> None:
    shutil.copytree(package.folder, tmp_path / "small")
    made = export.trace(run.network, ["tokens", "colours"], session.transform_of(package))
    (tmp_path / "made.onnx").write_bytes(made)
    with pytest.raises(Corrupt, match="colours"):
        install(tmp_path / "small", tmp_path / "made.onnx")


def test_a_graph_made_for_another_transform_is_not_installed(
    package: Package, run: Run, tmp_path: Path
) -> None:
    shutil.copytree(package.folder, tmp_path / "small")
    (tmp_path / "made.onnx").write_bytes(export.trace(run.network, ["tokens", "spectral"], "0" * 64))
    with pytest.raises(Corrupt, match="another transform"):
        install(tmp_path / "small", tmp_path / "made.onnx")
    assert not (tmp_path / "small" / "decoder.onnx").exists()


def test_far_beyond_the_trained_steps_tokens_are_left_as_decoded(run: Run, graph: bytes) -> None:
    opened = export.open_session(graph, threads=1)
    quality = Quality(run.windows.indices.start, ((0,) * 4, (0,) * 2), ((True,) * 4, (True,) * 2))
    inputs = list(network_inputs(run.windows.degrade(np.arange(8), quality)))
    names = [node.name for node in opened.get_inputs()]
    for octaves in (-8.0, 12.0):
        inputs[3] = run.windows.degrade(np.arange(8), quality).steps * np.float32(2**octaves)
        (found,) = opened.run(None, dict(zip(names, inputs, strict=True)))
        np.testing.assert_allclose(found, inputs[0], atol=1e-6 * float(np.abs(inputs[0]).max()))
    inputs[3] = run.windows.degrade(np.arange(8), quality).steps
    (found,) = opened.run(None, dict(zip(names, inputs, strict=True)))
    assert np.abs(found - inputs[0]).max() > 0.01


def filled(graph: bytes, value: float) -> bytes:
    """The graph with every weight replaced."""
    model = onnx.load_from_string(graph)
    for constant in model.graph.initializer:
        if constant.data_type == onnx.TensorProto.FLOAT and constant.raw_data:
            constant.raw_data = np.full(len(constant.raw_data) // 4, value, np.float32).tobytes()
    return model.SerializeToString()


@pytest.mark.parametrize("value", [0.5, np.nan])
def test_a_graph_that_differs_from_pytorch_is_not_exported(run: Run, graph: bytes, value: float) -> None:
    with pytest.raises(InternalError, match="differs from PyTorch"):
        export.proven(filled(graph, value), run.network, run.windows, recipe())


def test_a_graph_that_gives_no_numbers_is_corrupt(
    installed: Package, graph: bytes, nec: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "nan.onnx"
    path.write_bytes(filled(graph, np.nan))
    with pytest.raises(Corrupt, match="finite"):
        decoded(installed, nec, session.OnnxRefinement(installed, path))


def test_a_large_refinement_is_refused_before_it_is_parsed(
    installed: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "MAX_BYTES", 1000)
    with pytest.raises(LimitExceeded, match="too large"):
        session.refinement_of(installed)


def test_a_refinement_that_touches_validity_is_our_own_mistake(installed: Package, nec: bytes) -> None:
    def wrong(embeddings, steps):  # type: ignore[no-untyped-def]
        tokens: Embedding = embeddings["tokens"]
        return {**embeddings, "tokens": Embedding(0, tokens.values, ~tokens.validity, tokens.layers)}

    with pytest.raises(InternalError, match="more than values"):
        decoded(installed, nec, wrong)


def test_steps_are_those_of_the_records_that_came(package: Package) -> None:
    """A layer coded one ladder position coarser has the next wider step of the ladder: quarter octaves."""
    from codec.bitstream.decoded import PlaneSymbols
    from codec.bitstream.header import FileHeader
    from codec.pipeline.refining import layer_steps

    header = FileHeader(
        sensor="test", band_mask=0, codec_id=package.codec_id, run=0, grid=TileGrid(64, 32, 32, 32),
        georeference=Georeference((1.0, 0.0, 0.0, 0.0, 1.0, 0.0)), time_us=0, ladder_index=30,
        planes=package.plane_specs,
    )  # fmt: skip
    offsets = np.array([[0, 0, 0, 0], [-4, 0, 1, 0]], np.int8)
    symbols = PlaneSymbols(
        0, np.zeros((2, 24, 64), np.int16), np.ones((2, 8, 8), bool), np.full(2, 15, np.uint16), offsets
    )
    steps = layer_steps(package.table_file, header, symbols)
    np.testing.assert_allclose(steps[1] / steps[0], [0.5, 1.0, 2**0.25, 1.0], rtol=1e-6)
    np.testing.assert_allclose(steps[0, 1:], steps[0, 1])
    assert steps[0, 0] < steps[0, 1]  # the protected mean is finer
