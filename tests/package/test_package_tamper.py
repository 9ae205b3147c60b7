"""Every change of a package is refused with a typed error that names the file."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.errors import Corrupt, IdentityError, LimitExceeded, SwathpackError, Truncated, UnsupportedVersion
from codec.package import identity, load
from tests.package.small_package import build_small

NAMES = [
    "../outside",
    "/etc/passwd",
    "heads/../../outside",
    ".hidden",
    "a//b",
    "",
    "manifest.json",
    "a\\b",
    "a/./b",
    "ü",
]
FILES = ["tables.bin", "transform.npz", "encoder.safetensors", "heads/water.onnx"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return build_small(tmp_path / "p").folder


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    raw = json.loads((folder / "manifest.json").read_text())
    change(raw)
    (folder / "manifest.json").write_text(json.dumps(raw))


def replace_file(folder: Path, name: str, data: bytes) -> None:
    """What an attacker without a key can do: change a file and make hashes and ids agree."""
    (folder / name).write_bytes(data)

    def change(raw: dict[str, Any]) -> None:
        raw["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        raw["codec_id"] = identity.codec_id(
            tables_sha256=raw["files"]["tables.bin"]["sha256"],
            transform_sha256=raw["files"]["transform.npz"]["sha256"],
        ).hex()

    edit(folder, change)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_names_the_file(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(Corrupt, match=name.replace(".", r"\.") + ".*SHA-256"):
        load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_size_names_the_file(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    for other in (data[:-1], data + b"\0", b""):
        (folder / name).write_bytes(other)
        with pytest.raises(Corrupt, match=name.replace(".", r"\.") + ".*size"):
            load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(Corrupt, match=name.replace(".", r"\.") + ".*missing"):
        load(folder)


def test_hashes_are_checked_before_anything_is_parsed(folder: Path) -> None:
    """A damaged encoder is reported although tables and transform, parsed later, are garbage with right hashes."""
    replace_file(folder, "tables.bin", b"garbage")
    replace_file(folder, "transform.npz", b"garbage")
    (folder / "encoder.safetensors").write_bytes(b"WEIGHTS")
    with pytest.raises(Corrupt, match=r"encoder\.safetensors"):
        load(folder)


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_out_of_the_folder_are_refused(folder: Path, name: str) -> None:
    (folder.parent / "outside").write_bytes(b"")
    edit(
        folder,
        lambda raw: raw["files"].update({name: {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}}),
    )
    with pytest.raises(Corrupt, match="the manifest names the file"):
        load(folder)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_links_out_of_the_folder_are_refused(folder: Path, what: str) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    head = folder / "heads" / "water.onnx"
    (outside / "water.onnx").write_bytes(head.read_bytes())
    head.unlink()
    if what == "file":
        head.symlink_to(outside / "water.onnx")
    else:
        head.parent.rmdir()
        head.parent.symlink_to(outside)
    with pytest.raises(Corrupt, match="link leads out"):
        load(folder)


def test_a_link_inside_the_folder_is_allowed(folder: Path) -> None:
    head = folder / "heads" / "water.onnx"
    (folder / "shared.bin").write_bytes(head.read_bytes())
    head.unlink()
    head.symlink_to("../shared.bin")
    assert load(folder).unlisted == ("shared.bin",)


def test_a_folder_in_the_place_of_a_file_is_refused(folder: Path) -> None:
    (folder / "heads" / "water.onnx").unlink()
    (folder / "heads" / "water.onnx").mkdir()
    with pytest.raises(Corrupt, match="not a regular file"):
        load(folder)


def test_stated_ids_must_be_those_of_the_entries(folder: Path) -> None:
    for change in (
        lambda raw: raw.update(codec_id="00" * 8),
        lambda raw: raw["planes"][1].update(space_id="00" * 8),
        lambda raw: raw.update(preprocessing="other"),
        lambda raw: raw.update(bands=["red", "blue", "green", "nir"]),
        lambda raw: raw.update(encoder="00" * 32),
    ):
        original = (folder / "manifest.json").read_bytes()
        edit(folder, change)
        with pytest.raises(IdentityError, match="manifest"):
            load(folder)
        (folder / "manifest.json").write_bytes(original)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("format", "zip", Corrupt),
        ("format_version", 1, UnsupportedVersion),
        ("format_version", True, UnsupportedVersion),
        ("format_version", False, UnsupportedVersion),
        ("prediction", {"matrix": "x"}, UnsupportedVersion),
        ("name", "", Corrupt),
        ("name", 5, Corrupt),
        ("bands", "red", Corrupt),
        ("bands", [1], Corrupt),
        ("tile", {"core": 0, "margin": 0, "patch": 1}, Corrupt),
        ("tile", [], Corrupt),
        ("planes", [], Corrupt),
        ("planes", [5], Corrupt),
        ("planes", [{}] * 9, Corrupt),
        ("files", {}, Corrupt),
        ("files", {"tables.bin": 3}, Corrupt),
        ("codec_id", "00", Corrupt),
        ("default_ladder_index", -1, Corrupt),
        ("default_ladder_index", 255, Corrupt),
        ("default_ladder_index", 1, Corrupt),
        ("encoder", "x", Corrupt),
        ("energy", {"kwh": 0.5}, Corrupt),
    ],
)
def test_illegal_entries_are_refused_naming_the_manifest(
    folder: Path, key: str, value: object, error: type[SwathpackError]
) -> None:
    edit(folder, lambda raw: raw.update({key: value}))
    with pytest.raises(error, match=r"manifest\.json"):
        load(folder)


def test_a_missing_entry_is_refused(folder: Path) -> None:
    optional = {"training_data", "energy", "notes"}
    raw = json.loads((folder / "manifest.json").read_text())
    for key in raw:
        rest = {k: v for k, v in raw.items() if k != key}
        (folder / "manifest.json").write_text(json.dumps(rest))
        if key in optional:
            load(folder)
        else:
            with pytest.raises((Corrupt, UnsupportedVersion, IdentityError)):
                load(folder)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", Truncated),
        (b"{", Corrupt),
        (b"[]", Corrupt),
        (b"\xff\xfe", Corrupt),
        (b'{"a":1,"a":2}', Corrupt),
        (b"[" * 100_000, Corrupt),
        (b'{"a":NaN}', Corrupt),
        (b'{"a":' + b"9" * 5000 + b"}", Corrupt),
    ],
)
def test_bytes_that_are_no_manifest_are_refused(
    folder: Path, data: bytes, error: type[SwathpackError]
) -> None:
    (folder / "manifest.json").write_bytes(data)
    with pytest.raises(error, match=r"manifest\.json"):
        load(folder)


def test_planes_that_are_not_those_of_the_tables_are_refused(folder: Path) -> None:
    edit(folder, lambda raw: raw["planes"][0].update(layers=3))
    with pytest.raises(Corrupt, match="planes are not those of tables"):
        load(folder)


def test_tables_that_the_core_refuses_name_the_file(folder: Path) -> None:
    replace_file(folder, "tables.bin", b"NECT" + bytes(100))
    with pytest.raises(SwathpackError, match=r"tables\.bin"):
        load(folder)


def archive(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return out.getvalue()


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


class Trap:
    """Unpickling it is the accident that must not happen."""

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return (spring, ())


def spring() -> None:
    _sprung.append(True)


_sprung: list[bool] = []


def test_pickles_in_a_transform_archive_are_never_loaded(folder: Path) -> None:
    with zipfile.ZipFile(folder / "transform.npz") as file:
        good = {name: file.read(name) for name in file.namelist()}
    replace_file(
        folder, "transform.npz", archive({**good, "tokens.mean.npy": npy(np.array([Trap()], dtype=object))})
    )
    with pytest.raises(Corrupt, match=r"transform\.npz"):
        load(folder)
    assert not _sprung


def test_hostile_transform_archives_are_refused(folder: Path) -> None:
    good = {}
    with zipfile.ZipFile(folder / "transform.npz") as file:
        good = {name: file.read(name) for name in file.namelist()}
    hostile = {
        "not an archive": b"PK",
        "array missing": archive({k: v for k, v in good.items() if k != "tokens.mean.npy"}),
        "bomb": archive({**good, "tokens.mean.npy": good["tokens.mean.npy"] + bytes(2 << 20)}),
        "pickle": archive({**good, "tokens.mean.npy": npy(np.array([{}], dtype=object))}),
        "other type": archive({**good, "tokens.mean.npy": npy(np.zeros((8, 8, 24)))}),
        "other shape": archive({**good, "tokens.mean.npy": npy(np.zeros((8, 8, 23), np.float32))}),
        "not finite": archive({**good, "tokens.mean.npy": npy(np.full((8, 8, 24), np.nan, np.float32))}),
        "not orthonormal": archive({**good, "tokens.basis.npy": npy(np.ones((24, 24), np.float32))}),
        "rotation alone": archive({k: v for k, v in good.items() if k != "tokens.rotations.npy"}),
        "rotations alone": archive({k: v for k, v in good.items() if k != "tokens.rotation.npy"}),
        "no such rotation": archive({**good, "tokens.rotation.npy": npy(np.full(64, 200, np.uint8))}),
        "rotations of none": archive({**good, "tokens.rotation.npy": npy(np.full(64, 1, np.uint8))}),
        "skew rotations": archive({**good, "tokens.rotations.npy": npy(np.ones((6, 24, 24), np.float32))}),
        "no header": archive({**good, "tokens.basis.npy": b"\x93NUMPY"}),
    }
    for data in hostile.values():
        replace_file(folder, "transform.npz", data)
        with pytest.raises((Corrupt, LimitExceeded), match=r"transform\.npz"):
            load(folder)
