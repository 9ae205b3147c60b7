"""Uplink packs: the new package comes out byte for byte, beside the old one, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from codec.adapt import uplink, uplink_pieces
from codec.adapt.uplink_delta import Copy, Matcher, Source
from codec.adapt.uplink_views import bases, rounded
from codec.errors import InputError
from codec.package import Package, refresh
from tests.adapt.uplink import uplink_reader
from tests.adapt.uplink.flying import contents, other_codec
from tests.package.small_package import small_codec


def test_all_that_is_asked_for_makes_the_new_package_byte_for_byte(
    base: Package, new: Package, tmp_path: Path
) -> None:
    made = uplink.make(base, new, send=["heads", "card.md"])
    assert made.left_out == ()
    before = contents(base.folder)
    found = uplink.apply(made.body, base, tmp_path / "next")
    assert contents(tmp_path / "next") == contents(new.folder)
    assert found.codec_id == new.codec_id
    assert found.space_ids == new.space_ids
    assert contents(base.folder) == before


def test_what_nobody_asked_for_is_left_out_and_named(
    base: Package, new: Package, pack: uplink.Pack, tmp_path: Path
) -> None:
    assert pack.left_out == ("card.md", "heads/water.onnx")
    found = uplink.apply(pack.body, base, tmp_path / "next")
    assert set(found.manifest.files) == set(new.manifest.files) - set(pack.left_out)
    assert found.codec_id == new.codec_id


def test_tables_alone_take_few_bytes_and_keep_the_heads(base: Package, tmp_path: Path) -> None:
    folder = tmp_path / "refitted"
    shutil.copytree(base.folder, folder)
    (folder / "tables.bin").write_bytes(other_codec().tables_bytes)
    refitted = refresh(folder)
    made = uplink.make(base, refitted)
    assert len(made.body) < len(other_codec().tables_bytes)
    found = uplink.apply(made.body, base, tmp_path / "next")
    assert contents(tmp_path / "next") == contents(folder)
    assert "heads/water.onnx" in found.manifest.files


def test_the_graph_is_made_of_what_is_there_and_of_the_transform(pack: uplink.Pack) -> None:
    (graph,) = (file for file in pack.parsed.files if file.path == "encoder.onnx")
    assert graph.sent == 0
    kinds = {part.kind for part in graph.parts if isinstance(part, Copy)}
    assert kinds == {"base", "made", "view"}


def test_equal_packages_give_equal_packs(base: Package, new: Package, pack: uplink.Pack) -> None:
    assert uplink.make(base, new).body == pack.body


def test_rounding_halves_the_transform_and_says_so_by_its_codec_id(
    base: Package, new: Package, pack: uplink.Pack, tmp_path: Path
) -> None:
    (tmp_path / "round").mkdir()
    coarse = rounded(new, tmp_path / "round")
    assert coarse.codec_id != new.codec_id
    assert coarse.space_ids == new.space_ids
    assert coarse.manifest.version == f"1.0+grid15.{new.codec_id.hex()}"
    assert coarse.manifest.raw["notes"]["rounded"]["from_codec_id"] == new.codec_id.hex()
    for name, transform in coarse.transforms.items():
        assert np.array_equal(transform.basis * 2**15, np.rint(transform.basis * 2**15))
        np.testing.assert_allclose(transform.basis, new.transforms[name].basis, rtol=0, atol=2**-16)
    made = uplink.make(base, coarse)
    sent = {file.path: file.sent for file in made.parsed.files}
    exact = {file.path: file.sent for file in pack.parsed.files}
    assert sent["transform.npz"] < 0.6 * exact["transform.npz"]
    assert sent["encoder.onnx"] == 0  # it followed
    found = uplink.apply(made.body, base, tmp_path / "next")
    assert found.codec_id == coarse.codec_id


@pytest.mark.parametrize("is_rounded", [False, True], ids=["exact", "rounded"])
def test_a_receiver_written_from_the_document_makes_the_same(
    is_rounded: bool, base: Package, new: Package, tmp_path: Path
) -> None:
    (tmp_path / "round").mkdir()
    wanted = rounded(new, tmp_path / "round") if is_rounded else new
    made = uplink.make(base, wanted, send=["heads"])
    pieces = uplink_pieces.cut(made.body, 500)
    found = uplink_reader.receive(uplink_reader.body_of(b"".join(reversed(pieces))), base.folder)
    uplink.apply(made.body, base, tmp_path / "next")
    assert found == contents(tmp_path / "next")


def test_rounding_refuses_a_graph_of_another_transform(new: Package, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(new.folder, folder)
    (folder / "encoder.onnx").write_bytes(b"graph")
    (tmp_path / "round").mkdir()
    with pytest.raises(InputError, match=r"encoder\.onnx.*--into-package"):
        rounded(refresh(folder), tmp_path / "round")


def test_bases_are_basis_and_rotation_in_one(base: Package, new: Package) -> None:
    for transform in (*base.transforms.values(), *new.transforms.values()):
        exact = (
            transform.basis[None].astype(np.float64)
            if transform.rotations is None
            else transform.rotations.matrices.astype(np.float64) @ transform.basis.astype(np.float64)
        )
        np.testing.assert_allclose(bases(transform), exact.swapaxes(1, 2), rtol=0, atol=1e-7)


def test_a_graph_that_did_not_follow_is_refused(base: Package, new: Package, tmp_path: Path) -> None:
    folder = tmp_path / "stale"
    shutil.copytree(new.folder, folder)
    shutil.copy(base.folder / "encoder.onnx", folder / "encoder.onnx")
    with pytest.raises(
        InputError, match=r"adapter\.safetensors.*changed and its encoder\.onnx did not.*export"
    ):
        uplink.make(base, refresh(folder))


def test_nothing_to_send_is_said(base: Package, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing that is sent has changed"):
        uplink.make(base, base)
    folder = tmp_path / "card"
    shutil.copytree(base.folder, folder)
    (folder / "heads" / "water.onnx").write_bytes(b"a better network")
    better = refresh(folder)
    with pytest.raises(InputError, match="has no card"):
        uplink.make(base, better, send=["card"])
    assert uplink.make(base, better, send=["heads"]).left_out == ()


def test_a_changed_byte_costs_no_more_than_its_surroundings() -> None:
    source = np.random.default_rng(0).bytes(100_000)
    target = bytearray(b"new" + source)
    target[50_000] ^= 1
    parts = Matcher([Source("base", "a", source)]).parts(bytes(target))
    assert sum(len(p) for p in parts if isinstance(p, bytes)) == 4


def test_small_codec_is_not_the_other() -> None:
    assert small_codec().tables_bytes != other_codec().tables_bytes
