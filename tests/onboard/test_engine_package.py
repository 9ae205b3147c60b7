"""An engine package opens for the model it was made from, and for no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.errors import (
    BackendUnavailable,
    Corrupt,
    IdentityError,
    InputError,
    LimitExceeded,
    UnsupportedVersion,
)
from codec.package import Package
from onboard.engine_package import engine_for, open_engine_package, write_engine_package
from onboard.parity_tiles import ParityTiles


def made(package: Package, folder: Path, **changes: Any) -> Path:
    """An engine package around the graph that the model ships, its manifest changed; None takes an entry away."""
    import hashlib

    data = package.path("encoder.onnx").read_bytes()
    manifest: dict[str, Any] = {
        "format": "swathpack-engine-0",
        "codec_id": package.codec_id.hex(),
        "space_ids": {name: space.hex() for name, space in package.space_ids.items()},
        "backend": "onnxruntime",
        "files": {"encoder.onnx": hashlib.sha256(data).hexdigest()},
    }
    manifest = {key: value for key, value in {**manifest, **changes}.items() if value is not None}
    files = {"encoder.onnx": data, "parity.json": b"{}", "manifest.json": json.dumps(manifest).encode()}
    write_engine_package(folder, files)
    return folder


def test_it_runs_what_the_package_itself_runs(package: Package, tmp_path: Path, tiles: ParityTiles) -> None:
    engine = open_engine_package(made(package, tmp_path / "engine"), package)
    given = tiles.pixels[:4], tiles.bands[:4], tiles.validity[:4]
    expected = engine_for(package).run(*given)
    for name, latent in engine.run(*given).items():
        np.testing.assert_array_equal(latent, expected[name])


def test_the_folder_is_chosen_by_its_name(package: Package, tmp_path: Path) -> None:
    folder = made(package, tmp_path / "engine")
    assert engine_for(package, str(folder)).info.sha256 == engine_for(package).info.sha256


def test_encoding_with_it_gives_the_bytes_of_the_packages_own_graph(package: Package, tmp_path: Path) -> None:
    from swathpack.cli import main
    from tests.swathpack.small_scene import ARGUMENTS, write_scene

    scene = write_scene(tmp_path / "scene.tif")
    folder = made(package, tmp_path / "engine")
    files = []
    for name, more in (("a.nec", ()), ("b.nec", ("--engine", str(folder)))):
        assert main(["encode", str(scene), "-o", str(tmp_path / name), *ARGUMENTS, *more]) == 0
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"codec_id": "00" * 8}, IdentityError, "its codec differ"),
        ({"space_ids": {"tokens": "00" * 8}}, IdentityError, "embedding spaces"),
        ({"backend": "tensorrt"}, BackendUnavailable, "tensorrt"),
        ({"format": "swathpack-engine-7"}, UnsupportedVersion, "swathpack-engine-7"),
        ({"format": "swathpack-package"}, InputError, "something else"),
        ({"format": None}, Corrupt, "not the manifest"),
        ({"codec_id": None}, Corrupt, "codec_id"),
        ({"space_ids": [1]}, Corrupt, "lacks a field or has it wrong"),
        ({"files": {}}, Corrupt, r"encoder\.onnx"),
        ({"files": {"encoder.onnx": "short"}}, Corrupt, "no SHA-256"),
        ({"files": {"encoder.onnx": "0" * 64}}, Corrupt, "not the one of the manifest"),
    ],
)
def test_what_does_not_belong_is_refused(
    package: Package, tmp_path: Path, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        open_engine_package(made(package, tmp_path / "engine", **changes), package)


def test_a_changed_graph_is_refused(package: Package, tmp_path: Path) -> None:
    folder = made(package, tmp_path / "engine")
    data = bytearray((folder / "encoder.onnx").read_bytes())
    data[-1] ^= 1
    (folder / "encoder.onnx").write_bytes(data)
    with pytest.raises(Corrupt, match="not the one of the manifest"):
        open_engine_package(folder, package)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", Corrupt),
        (b"[]", Corrupt),
        (b"{", Corrupt),
        (b"[" * 20_000, Corrupt),
        (b" " * (1 << 21), LimitExceeded),
    ],
    ids=["empty", "list", "cut", "deep", "huge"],
)
def test_a_manifest_that_is_none_is_refused(
    package: Package, tmp_path: Path, data: bytes, error: type[Exception]
) -> None:
    (tmp_path / "manifest.json").write_bytes(data)
    with pytest.raises(error):
        open_engine_package(tmp_path, package)


def test_a_folder_without_a_manifest_is_bad_input(package: Package, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no engine package"):
        engine_for(package, str(tmp_path))


def test_writing_replaces_an_engine_package_and_nothing_else(package: Package, tmp_path: Path) -> None:
    folder = made(package, tmp_path / "engine")
    made(package, folder, backend="other")
    assert json.loads((folder / "manifest.json").read_text())["backend"] == "other"
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        made(package, folder)
    assert (folder / "mine.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    made(package, tmp_path / "empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "engine"]


def test_a_failed_replacement_leaves_the_old_one(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(package, tmp_path / "engine")
    real = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name.endswith(".part"):
            raise OSError(5, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(InputError, match="Input/output error"):
        made(package, folder, backend="other")
    monkeypatch.undo()
    assert json.loads((folder / "manifest.json").read_text())["backend"] == "onnxruntime"
    assert [path.name for path in tmp_path.iterdir()] == ["engine"]
