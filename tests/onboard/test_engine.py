"""The engine takes what it says it takes, and refuses graphs that are no encoder of ours."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from codec.errors import BackendUnavailable, Corrupt, InputError, LimitExceeded, UnsupportedVersion
from onboard.engine import OnnxRuntimeEngine, check_finite, check_latents, open_engine
from onboard.graph import MAX_ONNX_BYTES
from tests.onboard.tiny_graph import BANDS, CHANNELS, FREQUENCIES, SIDE, save, tiny_encoder

Feeds = dict[str, np.ndarray]


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return save(tiny_encoder(), tmp_path / "tiny.onnx")


def feeds(n: int = 2) -> Feeds:
    rng = np.random.default_rng(1)
    return {
        "pixels": rng.random((n, BANDS, SIDE, SIDE), np.float32),
        "bands": np.ones((n, BANDS), np.float32),
        "validity": np.ones((n, SIDE, SIDE), np.float32),
    }


@pytest.mark.parametrize("n", [1, 2, 33])
def test_any_number_of_tiles_gives_latents_by_plane(graph: Path, n: int) -> None:
    engine = open_engine(graph)
    assert (engine.planes, engine.input_shape) == (("tokens",), (BANDS, SIDE, SIDE))
    given = feeds(n)
    latents = engine.run(**given)
    assert list(latents) == ["tokens"]
    assert latents["tokens"].shape == (n, CHANNELS, FREQUENCIES)
    mean = given["pixels"].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(latents["tokens"][:, 0, 0], mean, rtol=1e-6)


def test_the_info_names_what_really_runs(graph: Path) -> None:
    import onnxruntime

    info = open_engine(graph, threads=1).info
    assert (info.backend, info.version, info.threads) == ("onnxruntime", onnxruntime.__version__, 1)
    assert info.provider == "CPUExecutionProvider"
    assert info.sha256 == hashlib.sha256(graph.read_bytes()).hexdigest()


def _without_a_band(f: Feeds) -> None:
    f["pixels"] = f["pixels"][:, 1:]


def _other_number_of_tiles(f: Feeds) -> None:
    f["bands"] = f["bands"][:1]


def _flat(f: Feeds) -> None:
    f["pixels"] = f["pixels"].ravel()


def _scalar(f: Feeds) -> None:
    f["pixels"] = np.float32(1).reshape(())


def _no_tiles(f: Feeds) -> None:
    for name in f:
        f[name] = f[name][:0]


def _double(f: Feeds) -> None:
    f["pixels"] = f["pixels"].astype(np.float64)


def _boolean_validity(f: Feeds) -> None:
    f["validity"] = f["validity"].astype(bool)


def _nan(f: Feeds) -> None:
    f["pixels"][1, 0, 3, 3] = np.nan


def _infinite(f: Feeds) -> None:
    f["pixels"][0, 1, 0, 0] = -np.inf


def _half_a_band(f: Feeds) -> None:
    f["bands"][0, 0] = 0.5


def _nan_validity(f: Feeds) -> None:
    f["validity"][0, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_without_a_band, "pixels"),
        (_other_number_of_tiles, "bands"),
        (_flat, "pixels"),
        (_scalar, "pixels"),
        (_no_tiles, "one tile or more"),
        (_double, "float64"),
        (_boolean_validity, "bool"),
        (_nan, "pixels hold NaN"),
        (_infinite, "pixels hold NaN or infinite"),
        (_half_a_band, "bands hold other values than 0 and 1"),
        (_nan_validity, "validity hold other values"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(graph: Path, spoil: object, words: str) -> None:
    given = feeds()
    assert callable(spoil)
    spoil(given)
    with pytest.raises(InputError, match=words):
        open_engine(graph).run(**given)


def test_inputs_that_are_no_contiguous_arrays_are_taken(graph: Path) -> None:
    given = feeds(4)
    expected = open_engine(graph).run(**{name: array[::2].copy() for name, array in given.items()})
    found = open_engine(graph).run(**{name: array[::2] for name, array in given.items()})
    np.testing.assert_array_equal(found["tokens"], expected["tokens"])


def test_one_tile_that_is_not_finite_keeps_no_other_back(tmp_path: Path) -> None:
    engine = open_engine(save(tiny_encoder(scale=3e38), tmp_path / "large.onnx"))
    given = feeds(3)
    given["pixels"][1] *= 10  # a mean near 5: beyond float32 after the scale
    latents = engine.run(**given)["tokens"]
    assert np.isfinite(latents).all(axis=(1, 2)).tolist() == [True, False, True]
    with pytest.raises(InputError, match="in 1 of 3 tiles of plane tokens"):
        check_finite({"tokens": latents})
    check_finite({"tokens": latents[::2]})


def test_latents_of_another_number_of_tiles_are_refused() -> None:
    with pytest.raises(InputError, match="another shape"):
        check_latents({"tokens": np.zeros((3, 1, 1), np.float32)}, 4)


def test_another_hash_than_the_manifests_is_refused_before_parsing(tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"\xff" * 100)  # parsing this would be refused with other words
    with pytest.raises(Corrupt, match="not the one of the manifest"):
        open_engine(path, sha256=hashlib.sha256(b"other").hexdigest())


def test_a_file_beyond_the_cap_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with open(path, "wb") as file:
        file.truncate(MAX_ONNX_BYTES + 1)  # sparse: takes no room
    with pytest.raises(LimitExceeded, match="too large"):
        open_engine(path)


def test_a_missing_file_and_a_folder_are_bad_input(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.onnx", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            open_engine(path)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x08", b"\xff" * 64, bytes(1000)], ids=["empty", "text", "cut", "ff", "zeros"]
)
def test_bytes_that_are_no_onnx_file_are_corrupt(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "no.onnx"
    path.write_bytes(data)
    with pytest.raises(Corrupt, match=r"no\.onnx"):
        open_engine(path)


def test_any_truncation_is_refused(tmp_path: Path, graph: Path) -> None:
    data = graph.read_bytes()
    path = tmp_path / "cut.onnx"
    for size in range(0, len(data), 7):
        path.write_bytes(data[:size])
        with pytest.raises((Corrupt, InputError, UnsupportedVersion)):
            open_engine(path)


FLOAT = TensorProto.FLOAT
OTHER_GRAPHS = {
    "no validity": {"inputs": (("pixels", ["n", 2, 8, 8], FLOAT), ("bands", ["n", 2], FLOAT))},
    "free size of a tile": {
        "inputs": (
            ("pixels", ["n", 2, "h", "w"], FLOAT),
            ("bands", ["n", 2], FLOAT),
            ("validity", ["n", 8, 8], FLOAT),
        )
    },
    "other number of flags": {
        "inputs": (
            ("pixels", ["n", 2, 8, 8], FLOAT),
            ("bands", ["n", 5], FLOAT),
            ("validity", ["n", 8, 8], FLOAT),
        )
    },
    "another output": {"output": "logits"},
}


@pytest.mark.parametrize("name", OTHER_GRAPHS)
def test_a_graph_that_is_no_encoder_of_ours_is_refused(tmp_path: Path, name: str) -> None:
    arguments = dict(OTHER_GRAPHS[name])
    output = str(arguments.get("output", "latent_tokens"))
    arguments["nodes"] = [  # uses pixels only, so that every variant is a legal graph
        helper.make_node("ReduceMean", ["pixels", "rows_cols"], ["m"], keepdims=0),
        helper.make_node("Unsqueeze", ["m", "last"], [output]),
    ]
    model = tiny_encoder(output_shape=["n", 1, None], **arguments)  # type: ignore[arg-type]
    with pytest.raises((InputError, Corrupt), match=r"not an encoder of ours|refuses the graph"):
        open_engine(save(model, tmp_path / "other.onnx"))


def test_a_graph_that_would_run_but_may_not_fly_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Sin", ["pixels"], ["s"]), *tiny_encoder().graph.node]
    nodes[1].input[0] = "s"
    with pytest.raises(InputError, match="outside the list: Sin"):
        open_engine(save(tiny_encoder(nodes=nodes), tmp_path / "sin.onnx"))


def test_a_back_end_that_is_not_here_is_named(graph: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"openvino.*auto, onnxruntime"):
        open_engine(graph, backend="openvino")


def test_symbols_are_refused_where_the_graph_gives_none(graph: Path) -> None:
    with pytest.raises(InputError, match="symbols_tokens"):
        OnnxRuntimeEngine(graph).symbols(**feeds())
