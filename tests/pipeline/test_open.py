"""`codec.open`: three lines of Python."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

import codec
from codec.bitstream.reader import read_bytes
from codec.bitstream.writer import to_bytes
from codec.errors import IdentityError, InputError
from codec.package import Package
from tests.pipeline.small_scene import GEOREFERENCE


@pytest.fixture
def path(nec: bytes, tmp_path: Path) -> Path:
    file = tmp_path / "a.nec"
    file.write_bytes(nec)
    return file


def test_importing_the_package_loads_neither_numpy_nor_the_core() -> None:
    script = (
        "import sys, codec; print(sorted({'numpy', '_swathpack_core', 'codec.pipeline'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def test_a_file_opens_to_arrays_validity_and_georeference(
    path: Path, package: Package, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWATHPACK_MODELS", str(models))
    scene = codec.open(path)
    assert scene.embedding("tokens").values.shape == (30, 8, 8, 24)
    assert scene.validity.shape == (30, 8, 8)
    assert scene.georeference == GEOREFERENCE
    assert scene.planes == ("tokens", "spectral")
    assert scene.bands == ("blue", "green", "nir")
    assert np.asarray(scene) is scene.embedding().values
    assert np.asarray(scene, dtype=np.float64).dtype == np.float64
    assert scene.is_complete
    assert scene.report["missing"] == []
    assert scene.report["package"] == {"name": "small", "codec_id": package.codec_id.hex()}


@pytest.mark.parametrize("how", ["package", "folder", "root", "list"])
def test_packages_can_be_given(path: Path, package: Package, models: Path, how: str) -> None:
    given = {
        "package": package,
        "folder": package.folder,
        "root": str(models),
        "list": [models / "..", models],
    }[how]
    assert codec.open(path, given).package.codec_id == package.codec_id


def test_a_stream_opens_too(nec: bytes, package: Package) -> None:
    assert codec.open(BytesIO(nec), package).is_complete


def test_a_cut_file_opens_and_says_what_is_missing(nec: bytes, package: Package) -> None:
    scene = codec.open(BytesIO(nec[: len(nec) * 2 // 3]), package)
    assert not scene.is_complete
    assert scene.report["missing"]
    assert scene.validity.any()


def test_an_unknown_codec_is_refused_by_its_id_and_the_places_searched(nec: bytes, models: Path) -> None:
    file = read_bytes(nec)
    foreign = to_bytes(replace(file.header, codec_id=bytes.fromhex("00112233445566ff")), file.records)
    with pytest.raises(IdentityError, match="00112233445566ff") as caught:
        codec.open(BytesIO(foreign), models)
    assert str(models) in str(caught.value)


def test_an_unknown_space_is_refused_by_its_id(nec: bytes, models: Path) -> None:
    file = read_bytes(nec)
    planes = (
        replace(file.header.planes[0], space_id=bytes.fromhex("00112233445566ff")),
        file.header.planes[1],
    )
    with pytest.raises(IdentityError, match="00112233445566ff"):
        codec.open(BytesIO(to_bytes(replace(file.header, planes=planes), file.records)), models)


def test_an_unknown_plane_is_refused_with_those_there_are(nec: bytes, package: Package) -> None:
    with pytest.raises(InputError, match="tokens, spectral"):
        codec.open(BytesIO(nec), package).embedding("pooled")


def test_an_embedded_table_file_opens_with_the_package_of_its_space(
    package: Package, given, models: Path
) -> None:
    from tests.pipeline.small_scene import encode_scene

    data = encode_scene(package, given, embed_tables=True)
    assert codec.open(BytesIO(data), models).is_complete


def test_a_plane_becomes_a_map_with_one_cell_per_patch(nec: bytes, package: Package) -> None:
    scene = codec.open(BytesIO(nec), package)
    found = scene.tokens_map("spectral")
    assert found.values.shape == (38, 45, 4)  # 150 and 180 pixels in patches of 4
    assert found.validity.all()
    assert found.georeference.transform == (40.0, 0.0, 5e5, 0.0, -40.0, 6e6)
    tile = scene.embedding("spectral").values[7]  # second row, second column of tiles: patches 8 to 15
    np.testing.assert_array_equal(found.values[8:16, 8:16], tile)
