"""`fit` puts a package into a new folder, whole or not at all; another one is replaced only when that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec.arrays import fitting
from codec.arrays.pack import fit, pack
from codec.errors import InputError
from codec.package import load
from tests.arrays.embedding_arrays import integers, vectors

FITTED = ["manifest.json", "tables.bin", "transform.npz"]


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_folder_that_holds_something_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    fit(vectors(500, 6), name="one", folder=folder)
    before = _files(folder)
    with pytest.raises(InputError, match=r"not empty.*again=True"):
        fit(object(), name="two", folder=folder)
    assert _files(folder) == before


def test_a_package_is_replaced_when_asked_and_nothing_else_stays(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    fit(vectors(500, 6), name="one", folder=folder)
    package = fit(integers(40, 40, 3), name="two", folder=folder, axes="hwc", again=True)
    assert (package.folder, package.name) == (folder, "two")
    assert load(folder).codec_id == package.codec_id
    assert sorted(_files(folder)) == FITTED
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
    assert pack(integers(40, 40, 3), package, axes="hwc")


@pytest.mark.parametrize("extra", ["encoder.onnx", "notes.txt"])
def test_a_folder_with_more_than_a_fitted_package_is_never_replaced(extra: str, tmp_path: Path) -> None:
    folder = tmp_path / "p"
    fit(vectors(500, 6), name="one", folder=folder)
    (folder / extra).write_text("precious")
    with pytest.raises(InputError, match=extra):
        fit(vectors(500, 6), name="two", folder=folder, again=True)
    assert load(folder).name == "one"
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="thesis"):
        fit(vectors(500, 6), name="two", folder=tmp_path / "home", again=True)


@pytest.mark.parametrize("place", ["file", "link", "file/p"])
def test_other_places_are_refused_by_name(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match=place):
        fit(vectors(500, 6), name="one", folder=tmp_path / place, again=True)


def test_folders_above_the_package_are_made(tmp_path: Path) -> None:
    fit(vectors(500, 6), name="one", folder=tmp_path / "packages" / "mine")
    assert load(tmp_path / "packages" / "mine").name == "one"


@pytest.mark.parametrize("again", [False, True])
def test_a_fit_that_fails_leaves_what_was_there(
    again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "p"
    if again:
        fit(vectors(500, 6), name="one", folder=folder)
    before = _files(folder) if again else None

    def fails(place: Path, **_: object) -> None:
        (place / "tables.bin").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "build", fails)
    with pytest.raises(KeyboardInterrupt):
        fit(vectors(500, 6), name="two", folder=folder, again=again)
    assert (_files(folder) if folder.exists() else None) == before
    assert [path.name for path in tmp_path.iterdir()] == (["p"] if again else [])
