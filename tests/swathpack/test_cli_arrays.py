"""`fit`, `pack` and `unpack` on the files people have: .npy, Zarr, GeoTIFF; and what bad input gives."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from codec.bitstream.reader import read
from swathpack.cli_page import JSON_KEYS, page
from tests.arrays.embedding_arrays import integers, vectors
from tests.swathpack.conftest import Cli


@pytest.fixture
def npy(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", vectors(2000))
    return tmp_path / "x.npy"


def test_fit_pack_unpack_keep_vectors_within_the_budget(cli: Cli, npy: Path, tmp_path: Path) -> None:
    assert cli("fit", npy, "-o", tmp_path / "pkg").code == 0
    packed = cli("pack", npy, "-o", tmp_path / "x.nec", "--model", tmp_path / "pkg", "--bytes", 9000)
    assert packed.code == 0, packed.err
    assert (tmp_path / "x.nec").stat().st_size <= 9000
    ran = cli("unpack", tmp_path / "x.nec", "-o", "-", "--models", tmp_path / "pkg")
    assert ran.code == 0, ran.err
    x, back = np.load(npy), np.load(io.BytesIO(ran.out))
    assert back.dtype == x.dtype
    assert ((back - x) ** 2).sum() < 0.05 * ((x - x.mean(axis=0)) ** 2).sum()


def test_without_a_package_the_file_brings_its_own(cli: Cli, npy: Path, tmp_path: Path) -> None:
    nec = tmp_path / "x.nec"
    assert cli("pack", npy, "-o", nec).code == 0
    assert cli("unpack", nec, "-o", tmp_path / "y.npz").code == 0
    with np.load(tmp_path / "y.npz") as arrays:
        assert arrays["values"].shape == (2000, 24)
        assert arrays["validity"].all()
        assert json.loads(str(arrays["about"]))["quantisation"] == "none"
    assert cli("verify", nec).code == 0
    assert cli("decode", nec, "-o", tmp_path / "z.npz").code == 0


def test_json_has_the_keys_that_the_page_promises(cli: Cli, npy: Path, tmp_path: Path) -> None:
    fitted = cli("fit", npy, "-o", tmp_path / "pkg", "--json")
    packed = cli("pack", npy, "-o", tmp_path / "x.nec", "--json")
    for name, ran in (("fit --json", fitted), ("pack --json", packed)):
        assert ran.code == 0, ran.err
        assert set(json.loads(ran.out)) == set(JSON_KEYS[name])
    for command in ("fit", "pack", "unpack"):
        assert f"### `swathpack {command}" in page()


def test_a_geotiff_comes_back_as_it_was(cli: Cli, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    q = np.moveaxis(integers(50, 70, 6), 2, 0).copy()
    q[:, :10, :20] = -128
    profile = {
        "driver": "GTiff", "count": 6, "height": 50, "width": 70, "dtype": "int8", "crs": "EPSG:32632",
        "transform": rasterio.Affine(10, 0, 500000, 0, -10, 5000000), "nodata": -128,
    }  # fmt: skip
    with rasterio.open(tmp_path / "q.tif", "w", **profile) as file:
        file.write(q)
    assert cli("pack", tmp_path / "q.tif", "-o", tmp_path / "q.nec", "--quantisation", "alphaearth").code == 0
    assert cli("unpack", tmp_path / "q.nec", "-o", tmp_path / "r.tif").code == 0
    with rasterio.open(tmp_path / "r.tif") as file:
        assert np.array_equal(file.read(), q)
        assert (file.crs.to_epsg(), file.transform, file.nodata) == (32632, profile["transform"], -128)
    assert cli("unpack", tmp_path / "q.nec", "-o", tmp_path / "f.tif", "--dequantised").code == 0
    with rasterio.open(tmp_path / "f.tif") as file:
        x = file.read()
    assert np.isnan(x[:, :10, :20]).all()
    np.testing.assert_allclose(x[:, 20, 30], np.sign(q[:, 20, 30]) * (q[:, 20, 30] / 127.5) ** 2, rtol=1e-6)


def test_a_geotiff_of_floats_keeps_its_nodata_value(cli: Cli, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    x = np.random.default_rng(3).normal(size=(3, 40, 50)).astype(np.float32)
    x[:, :5] = -9999
    profile = {"driver": "GTiff", "count": 3, "height": 40, "width": 50, "dtype": "float32", "nodata": -9999}
    profile["transform"] = rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)
    with rasterio.open(tmp_path / "x.tif", "w", **profile) as file:
        file.write(x)
    assert cli("pack", tmp_path / "x.tif", "-o", tmp_path / "x.nec").code == 0
    for name, options, nodata in (("same.tif", [], -9999), ("numbers.tif", ["--dequantised"], np.nan)):
        assert cli("unpack", tmp_path / "x.nec", "-o", tmp_path / name, *options).code == 0
        with rasterio.open(tmp_path / name) as file:
            np.testing.assert_equal(file.nodata, nodata)
            assert np.array_equal(file.read(masked=True).mask, x == -9999)


def test_zarr_arrays_and_groups(cli: Cli, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    q = integers(40, 30, 4)
    group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w")
    for name in ("first", "second"):
        group.create_array(name, shape=q.shape, dtype=q.dtype, chunks=(16, 16, 4))[:] = q
    ran = cli("pack", tmp_path / "g.zarr", "-o", tmp_path / "a.nec", "--axes", "hwc")
    ran.refused(3, "several arrays", "first, second", "--variable")
    ran = cli("pack", tmp_path / "g.zarr", "-o", tmp_path / "a.nec", "--axes", "hwc", "--variable", "second")
    assert ran.code == 0, ran.err
    assert cli("unpack", tmp_path / "a.nec", "-o", tmp_path / "a.npy").code == 0
    assert np.array_equal(np.load(tmp_path / "a.npy"), q)


def test_scales_travel_with_tessera_integers(cli: Cli, tmp_path: Path) -> None:
    q = integers(20, 30, 8)
    scale = np.random.default_rng(0).random((20, 30), dtype=np.float32)
    np.save(tmp_path / "q.npy", q)
    np.save(tmp_path / "s.npy", scale)
    options = ("--axes", "hwc", "--quantisation", "tessera")
    cli("pack", tmp_path / "q.npy", "-o", tmp_path / "q.nec", *options).refused(3, "scale")
    ran = cli("pack", tmp_path / "q.npy", "-o", tmp_path / "q.nec", *options, "--scale", tmp_path / "s.npy")
    assert ran.code == 0, ran.err
    assert cli("unpack", tmp_path / "q.nec", "-o", tmp_path / "r.npz").code == 0
    with np.load(tmp_path / "r.npz") as arrays:
        assert np.array_equal(arrays["values"], q)
        assert np.array_equal(arrays["scale"], scale)


def test_lost_records_exit_6_and_leave_the_rest(cli: Cli, tmp_path: Path) -> None:
    q = integers(64, 64, 4)
    np.save(tmp_path / "q.npy", q)
    nec = tmp_path / "q.nec"
    assert cli("pack", tmp_path / "q.npy", "-o", nec, "--axes", "hwc", "--record-bytes", 1024).code == 0
    data = bytearray(nec.read_bytes())
    data[read(nec).records[0].offset + 15] ^= 4
    nec.write_bytes(data)
    ran = cli("unpack", nec, "-o", tmp_path / "r.npz")
    assert ran.code == 6
    assert "of 4 tiles are missing" in ran.err
    with np.load(tmp_path / "r.npz") as arrays:
        valid = arrays["validity"]
        assert 0 < valid.sum() < valid.size
        assert np.array_equal(arrays["values"][valid], q[valid])


def test_a_file_without_all_of_its_codec_is_for_later(cli: Cli, npy: Path, tmp_path: Path) -> None:
    nec = tmp_path / "x.nec"
    assert cli("pack", npy, "-o", nec, "--record-bytes", 960).code == 0
    data = nec.read_bytes()
    nec.write_bytes(data[: read(nec).scan.records[1].offset])
    for command in (("unpack", nec, "-o", tmp_path / "y.npy"), ("decode", nec, "-o", tmp_path / "y.npz")):
        cli(*command).refused(75, "have not all arrived", "request these records again")


def test_bad_input_gives_one_line_and_no_output(cli: Cli, npy: Path, tmp_path: Path, scene_nec: Path) -> None:
    out = tmp_path / "out.nec"
    np.save(tmp_path / "ragged.npy", np.array([[1], [1, 2]], dtype=object), allow_pickle=True)
    x = vectors(100)
    x[3, 2] = np.nan
    np.save(tmp_path / "nan.npy", x)
    q = integers(8, 8, 2)
    q[1, 1, 1] = -128
    np.save(tmp_path / "low.npy", q)
    np.save(tmp_path / "three.npy", np.zeros((3, 4, 5), np.float32))
    np.save(tmp_path / "short.npy", vectors(100, 23))
    (tmp_path / "text.npy").write_text("1, 2, 3")
    (tmp_path / "cut.npy").write_bytes(npy.read_bytes()[:300])
    assert cli("fit", npy, "-o", tmp_path / "pkg").code == 0
    model = ("--model", tmp_path / "pkg")
    cli("pack", tmp_path / "ragged.npy", "-o", out).refused(3, "ragged", "ragged.npy")
    cli("pack", tmp_path / "nan.npy", "-o", out).refused(3, "nan", "channel 2")
    cli("pack", tmp_path / "low.npy", "-o", out, "--axes", "hwc").refused(3, "-128", "nodata=-128")
    cli("pack", tmp_path / "three.npy", "-o", out).refused(3, "axes", "hwc")
    cli("pack", tmp_path / "short.npy", "-o", out, *model).refused(3, "24 channels", "23")
    cli("pack", tmp_path / "text.npy", "-o", out).refused(3, "not an array file")
    cli("pack", tmp_path / "cut.npy", "-o", out).refused(3, "cut.npy")
    cli("pack", tmp_path / "absent.npy", "-o", out).refused(3, "no such file")
    cli("pack", npy, "-o", out, *model, "--bytes", 40).refused(3, "total_bytes", "expected")
    cli("pack", npy, "-o", out, "--bytes", 4000, "--quality", 3).refused(2, "exclude each other")
    cli("pack", npy, "-o", out, "--tile", "8").refused(2, "ROWSxCOLS")
    cli("pack", npy, "-o", out, "--nodata", "none").refused(2, "no number")
    cli("unpack", scene_nec, "-o", tmp_path / "a.npy").refused(3, "holds a scene")
    cli("unpack", scene_nec, "-o", tmp_path / "a.txt").refused(2, "unknown form")
    cli("fit", tmp_path / "nan.npy", "-o", tmp_path / "new").refused(3, "nan")
    cli("fit", npy, "-o", tmp_path / "pkg").refused(3, "not empty", "--force")
    left = {path.name for path in tmp_path.iterdir()}
    assert not left & {"out.nec", "a.npy", "a.txt", "new"}
    assert not [name for name in left if name.startswith(".")]


def test_a_fitted_package_is_replaced_when_it_is_asked_for(cli: Cli, npy: Path, tmp_path: Path) -> None:
    for force in ((), ("--force",)):
        ran = cli("fit", npy, "-o", tmp_path / "pkg", "--name", f"n{len(force)}", *force)
        assert ran.code == 0, ran.err
    assert json.loads((tmp_path / "pkg" / "manifest.json").read_bytes())["name"] == "n1"
    (tmp_path / "pkg" / "card.md").write_text("mine")
    cli("fit", npy, "-o", tmp_path / "pkg", "--force").refused(3, "card.md", "name a new folder")
