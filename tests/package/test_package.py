"""Building, loading and finding packages."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from codec.errors import BackendUnavailable, ExitCode, IdentityError, InputError, LimitExceeded
from codec.package import Package, build, default_roots, find, load, refresh
from tests.package.small_package import BANDS, build_small, small_codec


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build_small(tmp_path_factory.mktemp("models") / "small")


def test_a_package_comes_back_as_it_was_built(package: Package) -> None:
    codec, again = small_codec(), load(package.folder)
    assert again.table_file.encode() == codec.tables_bytes
    for name, transform in codec.transforms.items():
        np.testing.assert_array_equal(again.transforms[name].mean, transform.mean)
        np.testing.assert_array_equal(again.transforms[name].basis, transform.basis)
    assert again.bands == BANDS
    assert (again.tile.core, again.tile.margin, again.tile.patch) == (32, 0, 4)
    assert [plane.name for plane in again.planes] == ["tokens", "spectral"]
    assert again.default_ladder_index == codec.default_ladder_index
    assert again.unlisted == ()
    assert again.signer is None


def test_the_space_id_binds_to_the_weights_in_the_folder(package: Package, tmp_path: Path) -> None:
    other = build_small(tmp_path / "other", weights=b"other weights")
    assert other.manifest.encoder_sha256 == hashlib.sha256(b"other weights").hexdigest()
    assert other.space_ids["tokens"] != package.space_ids["tokens"]
    assert other.codec_id == package.codec_id


def test_building_twice_gives_the_same_bytes(package: Package, tmp_path: Path) -> None:
    again = build_small(tmp_path / "again")
    for name in ("manifest.json", "tables.bin", "transform.npz"):
        assert (again.folder / name).read_bytes() == (package.folder / name).read_bytes()


def test_the_archive_is_read_by_numpy_alone(package: Package) -> None:
    with np.load(package.folder / "transform.npz", allow_pickle=False) as archive:
        parts = ("basis", "mean", "rotation", "rotations")
        assert sorted(archive) == [f"{plane}.{part}" for plane in ("spectral", "tokens") for part in parts]
        assert archive["tokens.mean"].shape == (8, 8, 24)


def test_a_package_without_an_encoder_names_who_made_the_embeddings(tmp_path: Path) -> None:
    made = build(
        tmp_path / "theirs",
        name="theirs",
        version="1",
        licence="CC-BY-4.0",
        bands=["red"],
        preprocessing="theirs",
        tile={"core": 8, "margin": 0, "patch": 1},
        codec=small_codec(),
        encoder_sha256="ab" * 32,
    )
    assert made.manifest.encoder_sha256 == "ab" * 32
    with pytest.raises(IdentityError, match=r"has no encoder\.onnx"):
        made.path("encoder.onnx")


def test_listed_files_are_reached_by_name(package: Package) -> None:
    assert package.names("heads/") == ("heads/water.onnx",)
    assert package.path("heads/water.onnx").read_bytes() == b"not really a network"


def test_an_unlisted_file_is_reported_and_not_used_until_it_is_listed(tmp_path: Path) -> None:
    folder = build_small(tmp_path / "p").folder
    (folder / "heads" / "crops.onnx").write_bytes(b"new")
    loaded = load(folder)
    assert loaded.unlisted == ("heads/crops.onnx",)
    with pytest.raises(IdentityError, match=r"does not list heads/crops\.onnx"):
        loaded.path("heads/crops.onnx")
    listed = refresh(folder)
    assert listed.unlisted == ()
    assert listed.path("heads/crops.onnx").read_bytes() == b"new"
    assert listed.codec_id == loaded.codec_id
    assert listed.space_ids == loaded.space_ids


def test_floats_in_a_manifest_are_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"energy\.kwh"):
        build(
            tmp_path / "p",
            name="p",
            version="1",
            licence="x",
            bands=["red"],
            preprocessing="x",
            tile={"core": 8, "margin": 0, "patch": 1},
            codec=small_codec(),
            energy={"kwh": 0.5},
        )
    assert not (tmp_path / "p" / "manifest.json").exists()


def test_names_bands_and_index_are_validated_by_build(tmp_path: Path) -> None:
    good = {"name": "p", "bands": ["red"], "default_ladder_index": None}
    for bad in ({"name": "../p"}, {"name": "P"}, {"bands": ["red", "red"]}, {"default_ladder_index": 300}):
        with pytest.raises(InputError):
            build(
                tmp_path / "p",
                version="1",
                licence="x",
                preprocessing="x",
                tile={"core": 8, "margin": 0, "patch": 1},
                codec=small_codec(),
                **{**good, **bad},  # type: ignore[arg-type]
            )


def test_a_package_is_found_by_name_and_by_id_in_the_roots(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = package.folder.parent
    monkeypatch.setenv("SWATHPACK_MODELS", str(root))
    assert default_roots()[0] == root
    assert load("small").codec_id == package.codec_id
    assert find(codec_id=package.codec_id).folder == package.folder
    assert find(space_id=package.space_ids["spectral"]).folder == package.folder
    assert (
        find(codec_id=package.codec_id, roots=[package.folder]).folder == package.folder
    )  # a package as a root


def test_an_unknown_id_is_refused_with_its_hex_and_the_places_searched(package: Package) -> None:
    with pytest.raises(IdentityError) as caught:
        find(codec_id=bytes(range(8)), roots=[package.folder.parent])
    line = str(caught.value)
    assert "0001020304050607" in line
    assert str(package.folder.parent) in line
    assert "SWATHPACK_MODELS" in line
    assert caught.value.exit_code == ExitCode.IDENTITY


def test_a_broken_package_in_a_root_does_not_hide_the_others_and_is_named(tmp_path: Path) -> None:
    good = build_small(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "manifest.json").write_text("{")
    assert find(codec_id=good.codec_id, roots=[tmp_path]).folder == good.folder
    with pytest.raises(IdentityError, match="bad: the manifest is not legal JSON"):
        find(codec_id=b"\0" * 8, roots=[tmp_path])


def test_an_unknown_name_is_refused_with_the_places_searched(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="nowhere-to-be-found.*" + str(tmp_path)):
        load("nowhere-to-be-found", roots=[tmp_path])


def test_a_folder_without_a_manifest_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="not a model package"):
        load(tmp_path)


def test_a_required_signature_without_anyone_to_check_it_is_refused_with_exit_8(package: Package) -> None:
    with pytest.raises(BackendUnavailable) as caught:
        load(package.folder, require_signature=True)
    assert caught.value.exit_code == 8


def test_the_verifier_sees_manifest_and_signature_and_names_the_signer(tmp_path: Path) -> None:
    folder = build_small(tmp_path / "p").folder
    seen: list[tuple[bytes, bytes]] = []

    def verifier(manifest: bytes, signature: bytes) -> str:
        seen.append((manifest, signature))
        return "mission control"

    with pytest.raises(IdentityError, match="not signed"):
        load(folder, verifier=verifier, require_signature=True)
    (folder / "manifest.sig").write_bytes(b"signature")
    loaded = load(folder, verifier=verifier, require_signature=True)
    assert loaded.signer == "mission control"
    assert seen == [((folder / "manifest.json").read_bytes(), b"signature")]


def test_a_verifier_that_refuses_stops_the_load(tmp_path: Path) -> None:
    folder = build_small(tmp_path / "p").folder
    (folder / "manifest.sig").write_bytes(b"signature")

    def verifier(manifest: bytes, signature: bytes) -> str:
        raise IdentityError("signed by nobody known")

    with pytest.raises(IdentityError, match="nobody known"):
        load(folder, verifier=verifier)


def test_an_oversized_manifest_is_refused_unread(tmp_path: Path) -> None:
    folder = build_small(tmp_path / "p").folder
    raw = json.loads((folder / "manifest.json").read_text())
    raw["notes"] = {"padding": "x" * (1 << 20)}
    (folder / "manifest.json").write_text(json.dumps(raw))
    with pytest.raises(LimitExceeded, match=r"manifest\.json"):
        load(folder)
