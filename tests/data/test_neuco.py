"""NeuCo-Bench's cubes and label tables, on tiny files that xarray and zipfile write as its description says.

embed2scale/NeuCo-Bench docs/data.md (commit 9e336ed): folders, zips, names and columns of the tables. Dimensions, names and
types: DLR-MF-DAS/SSL4EO-S12-v1.1 README.md (33ac878) and the shapes printed in embed2scale-challenge-supplement (10832a5).
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.data.neuco import NeuCoCubes, read_labels, read_tasks
from codec.errors import BackendUnavailable, InputError

xarray = pytest.importorskip("xarray")
pytest.importorskip("zarr")
SIDE = 8
S2 = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
NAMES = {"s1": ["vv", "vh"], "s2l1c": S2, "s2l2a": [b for b in S2 if b != "B10"]}
pytestmark = pytest.mark.filterwarnings("ignore")  # zarr warns of text arrays in its first format


def write_cube(
    root: Path,
    modality: str,
    key: str,
    values: np.ndarray | None = None,
    *,
    named: bool = True,
    zarr_format: int = 2,
    dims: tuple[str, ...] = ("sample", "time", "band", "y", "x"),
) -> np.ndarray:
    names = NAMES[modality]
    if values is None:
        shape = (1, 4, len(names), SIDE, SIDE)
        rng = np.random.default_rng(len(key))
        values = (
            rng.normal(-12, 2, shape).astype("float16")
            if modality == "s1"
            else rng.integers(1, 5000, shape).astype("int16")
        )
    coords: dict[str, Any] = {"band": names} if named and values.shape[-3] == len(names) else {}
    data = xarray.Dataset({"bands": (dims, values)}, coords)
    folder = root / "plain" / f"{modality}-{key}.zarr"
    data.to_zarr(folder, mode="w", zarr_format=zarr_format, consolidated=zarr_format == 2)
    target = root / "data" / modality / "part-000000" / f"{key}.zarr.zip"
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return values


def write_all(root: Path, *keys: str, **more: Any) -> dict[tuple[str, str], np.ndarray]:
    return {(m, k): write_cube(root, m, k, **more) for m in NAMES for k in keys}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("named", [True, False])
def test_a_cube_is_four_seasons_of_three_products(tmp_path: Path, zarr_format: int, named: bool) -> None:
    values = write_all(tmp_path, "abc", named=named, zarr_format=zarr_format)
    found = NeuCoCubes(tmp_path / "data")
    assert found.ids == ("abc",)
    cube = found.read("abc")
    for modality in NAMES:
        assert (cube.values[modality] == values[modality, "abc"][0]).all()
    image = cube.raster("s2l1c", 2)
    assert image.name == "abc/s2l1c/autumn"
    assert len(image.bands) == 12
    assert "cirrus" not in image.bands
    assert image.bands[-2:] == ("swir16", "swir22")
    # No offset: the data lack the +1000 of today's products.
    expected = values["s2l1c", "abc"][0, 2, 12] / 1e4
    np.testing.assert_allclose(image.reflectance(0, 0, SIDE, SIDE)[-1], expected, rtol=1e-6)
    radar = cube.raster("s1", 0)
    assert radar.bands == ("vv", "vh")
    np.testing.assert_array_equal(radar.reflectance(0, 0, SIDE, SIDE), values["s1", "abc"][0, 0])


def test_pixels_without_numbers_are_invalid(tmp_path: Path) -> None:
    s2 = np.ones((1, 4, 12, SIDE, SIDE), np.int16)
    s2[0, 1, :, 3, 4] = 0
    s2[0, 1, 0, 5, 5] = 0  # one band alone: a number
    s1 = np.zeros((1, 4, 2, SIDE, SIDE), np.float16)
    s1[0, 3, 1, 0, 0] = np.nan
    write_cube(tmp_path, "s2l2a", "a", s2)
    write_cube(tmp_path, "s1", "a", s1)
    cube = NeuCoCubes(tmp_path / "data", ("s1", "s2l2a")).read("a")
    assert np.argwhere(~cube.raster("s2l2a", 1).validity).tolist() == [[3, 4]]
    assert cube.raster("s2l2a", 0).validity.all()
    assert np.argwhere(~cube.raster("s1", 3).validity).tolist() == [[0, 0]]


def test_cubes_are_read_one_at_a_time(tmp_path: Path) -> None:
    write_all(tmp_path, "a", "b")
    found = NeuCoCubes(tmp_path / "data")
    (tmp_path / "data" / "s1" / "part-000000" / "b.zarr.zip").write_bytes(b"PK")
    cubes = iter(found)
    assert next(cubes).id == "a"
    with pytest.raises(InputError, match=r"b\.zarr\.zip: not a readable Zarr group.*; download"):
        next(cubes)


def test_cubes_of_another_form_are_refused(tmp_path: Path) -> None:
    write_cube(tmp_path, "s2l2a", "many", np.ones((3, 4, 12, SIDE, SIDE), np.int16))
    write_cube(tmp_path, "s2l2a", "three", np.ones((1, 3, 12, SIDE, SIDE), np.int16))
    write_cube(tmp_path, "s2l2a", "bands", np.ones((1, 4, 11, SIDE, SIDE), np.int16))
    write_cube(
        tmp_path,
        "s2l2a",
        "order",
        np.ones((1, 4, SIDE, SIDE, 12), np.int16),
        dims=("sample", "time", "y", "x", "band"),
    )
    found = NeuCoCubes(tmp_path / "data", ("s2l2a",))
    for key, match in (
        ("many", r"not a cube of one place.*v1\.1 hold 64"),
        ("three", "four seasons"),
        ("bands", "another number of bands"),
        ("order", "not a cube of one place"),
        ("none", "no cube none"),
    ):
        with pytest.raises(InputError, match=match):
            found.read(key)


def test_a_damaged_chunk_is_a_typed_error(tmp_path: Path) -> None:
    write_cube(tmp_path, "s2l2a", "a")
    path = tmp_path / "data" / "s2l2a" / "part-000000" / "a.zarr.zip"
    with zipfile.ZipFile(path) as archive:  # stored without compression, so a chunk can be found in the file
        chunk = next(i for i in archive.infolist() if i.filename.startswith("bands/") and i.file_size > 500)
        middle = archive.read(chunk)[100:200]
    data = bytearray(path.read_bytes())
    data[data.index(middle) + 50] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"cube cannot be read.*; download"):
        NeuCoCubes(tmp_path / "data", ("s2l2a",)).read("a")


def test_folders_without_cubes_or_with_parts_of_them_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no cubes of s1"):
        NeuCoCubes(tmp_path)
    write_all(tmp_path, "a")
    write_cube(tmp_path, "s1", "b")
    with pytest.raises(InputError, match="cube b has no s2l1c"):
        NeuCoCubes(tmp_path / "data")
    with pytest.raises(InputError, match="no such modality"):
        NeuCoCubes(tmp_path / "data", ("dem",))


def test_labels_are_read_and_rows_without_one_counted(tmp_path: Path) -> None:
    (tmp_path / "biomass_estimation__regression.csv").write_text("id,label\na,1.5\nb,\nc.zarr.zip,-2e1\n")
    (tmp_path / "cloud_detection__classification.csv").write_text("label,id,more\n1,a,x\n0,c,y\n")
    tasks = read_tasks(tmp_path)
    assert [(t.task, t.kind, t.skipped) for t in tasks] == [
        ("biomass_estimation", "regression", 1),
        ("cloud_detection", "classification", 0),
    ]
    assert tasks[0].ids == ("a", "c")
    assert tasks[0].values.tolist() == [1.5, -20.0]


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("x.csv", "id,label\na,1\n", "says no task and kind"),
        ("x__ranking.csv", "id,label\na,1\n", "says no task and kind"),
        ("x__regression.csv", "id,value\na,1\n", "no columns id and label"),
        ("x__regression.csv", "id,label\na,one\n", "line 2 has no number"),
        ("x__regression.csv", "id,label\na,1\nb,inf\n", "line 3 has no finite number"),
        ("x__regression.csv", "id,label\na,1\na,2\n", "id has two labels"),
        ("x__regression.csv", "id,label\na,\n", "no labels"),
        ("x__regression.csv", "", "no columns"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path: Path, name: str, text: str, match: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=match):
        read_labels(tmp_path / name)


def test_without_zarr_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_all(tmp_path, "a")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(BackendUnavailable, match=r"zarr.*swathpack\[arrays\]"):
        NeuCoCubes(tmp_path / "data").read("a")
