"""Arguments and files that cannot be worked with: a typed error that says what to do, at every door."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.arrays import sources
from codec.arrays.pack import fit, pack, unpack
from codec.arrays.sources import open_array
from codec.bitstream import tables_records
from codec.bitstream.header import FLAG_EMBEDDED_TABLES
from codec.bitstream.reader import read_bytes
from codec.bitstream.writer import to_bytes
from codec.errors import Corrupt, InputError, TryAgain
from tests.arrays.embedding_arrays import integers, vectors


@pytest.mark.parametrize(
    "tile",
    ["8x8", (8,), (8, 8, 8), 8, (8.5, 8), (True, 8), (None, 8), {}, {8: 8, 9: 9}, (0, 8), (8, 65), (-1, 8)],
)
def test_a_malformed_tile_is_refused_with_a_remedy(tile: Any) -> None:
    with pytest.raises(InputError, match="tile") as caught:
        pack(vectors(100, 4), tile=tile)
    assert caught.value.fix


def test_tiles_of_any_integer_type_are_taken_and_grids_have_their_own() -> None:
    x = vectors(100, 4)
    assert pack(x, tile=(np.int64(4), np.uint8(4))) == pack(x, tile=(4, 4))
    grids = x.reshape(-1, 2, 2, 4)
    assert pack(grids, tile=(2, 2)) == pack(grids)
    with pytest.raises(InputError, match="leave out the tile"):
        pack(grids, tile=(4, 4))


@pytest.mark.parametrize("value", [2.0, 0.0, -7.25])
def test_constant_floats_are_refused_with_a_remedy(value: float, tmp_path: Path) -> None:
    x = np.full((20, 20, 4), value, np.float32)
    for array, axes in ((x, "hwc"), (x.reshape(-1, 4), None), (x[:1, :1].reshape(1, 4), None)):
        with pytest.raises(InputError, match="embeddings that differ"):
            pack(array, axes=axes)
        with pytest.raises(InputError, match="embeddings that differ"):
            fit(array, name="constant", folder=tmp_path / "p", axes=axes)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2"])
def test_constant_integers_are_coded(dtype: str) -> None:
    x = np.full((33, 35, 3), 7, dtype)
    data = pack(x, axes="hwc")
    assert np.array_equal(unpack(data).values, x)
    assert len(data) < 2500


@pytest.mark.parametrize("value", ["4", True, None, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["bytes_per_vector", "total_bytes", "ladder_index"])
def test_a_budget_is_a_number(name: str, value: Any) -> None:
    if value is None:
        assert pack(vectors(100, 4), **{name: value})
        return
    with pytest.raises(InputError, match="finite number") as caught:
        pack(vectors(100, 4), **{name: value})
    assert caught.value.fix


def test_a_package_is_loaded_not_named() -> None:
    with pytest.raises(InputError, match=r"codec\.package\.load"):
        pack(vectors(100, 4), "my-package")  # type: ignore[arg-type]


def test_tables_that_have_not_all_arrived_are_for_later_and_contradicting_ones_are_damage(
    tmp_path: Path,
) -> None:
    """A file that embeds its tables and leaves the transform to a package (flags 1)."""
    x = vectors(500, 6)
    package = fit(x, name="own", folder=tmp_path / "p")
    file = read_bytes(pack(x, package, bytes_per_vector=4))
    header = replace(file.header, flags=FLAG_EMBEDDED_TABLES)
    tables = (tmp_path / "p" / "tables.bin").read_bytes()
    chunks = tables_records.split(tables, chunk=500)
    whole = to_bytes(header, [*chunks, *file.records])
    assert np.array_equal(
        unpack(whole, package).values, unpack(to_bytes(file.header, file.records), package).values
    )
    with pytest.raises(TryAgain, match="chunks missing: 1"):
        unpack(to_bytes(header, [chunks[0], *chunks[2:], *file.records]), package)
    with pytest.raises(TryAgain, match="all"):
        unpack(to_bytes(header, file.records), package)
    others = tables_records.split(tables, chunk=600)
    with pytest.raises(Corrupt, match="disagree"):
        unpack(to_bytes(header, [*chunks[:1], *others[1:], *file.records]), package)


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    rasterio = pytest.importorskip("rasterio")
    scale = np.random.default_rng(0).random((1, 40, 30), dtype=np.float32)
    profile = {"driver": "GTiff", "count": 1, "height": 40, "width": 30, "dtype": "float32"}
    with rasterio.open(
        tmp_path / "scale.tif", "w", **profile, transform=rasterio.Affine(1, 0, 0, 0, -1, 0)
    ) as file:
        file.write(scale)
    return tmp_path / "scale.tif"


def test_scales_in_a_raster_that_is_read_by_windows(raster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above 2 GiB a raster is no array in memory, and answers to slices as one does."""
    from swathpack.packing import open_input

    q = integers(40, 30, 5)
    np.save(raster.parent / "q.npy", q)
    how: dict[str, Any] = {"axes": "hwc", "nodata": None, "variable": None}
    in_memory = open_input(raster.parent / "q.npy", scale=raster, **how).scale
    monkeypatch.setattr(sources, "_IN_MEMORY", 0)
    lazy = open_array(raster).array
    assert not isinstance(lazy, np.ndarray)
    for key in (slice(None), Ellipsis, (Ellipsis, slice(3, 9)), (slice(None), slice(2, 5), slice(None))):
        assert np.array_equal(lazy[key][0], in_memory[None][key][0])
    found = open_input(raster.parent / "q.npy", scale=raster, **how)
    assert np.array_equal(found.scale, in_memory)
    back = unpack(pack(q, axes="hwc", quantisation="tessera", scale=found.scale))
    assert back.scale is not None
    assert np.array_equal(back.scale, in_memory)


def test_a_window_that_cannot_be_read_is_damage_of_that_file(
    raster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_IN_MEMORY", 0)
    lazy = open_array(raster).array
    data = raster.read_bytes()
    raster.write_bytes(data[: len(data) // 2])
    with pytest.raises(Corrupt, match=r"scale\.tif.*cannot be read"):
        lazy[:]


def test_bands_of_different_nodata_values_are_refused(raster: Path) -> None:
    bands = "".join(
        f'<VRTRasterBand dataType="Float32" band="{i}"><NoDataValue>{-i}</NoDataValue><SimpleSource><SourceFilename>'
        f"{raster}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for i in (1, 2)
    )
    path = raster.parent / "two.vrt"
    path.write_text(f'<VRTDataset rasterXSize="30" rasterYSize="40">{bands}</VRTDataset>')
    with pytest.raises(InputError, match=r"different nodata values.*-1\.0, -2\.0"):
        open_array(path)
    path.write_text(path.read_text().replace("-2</NoData", "-1</NoData"))
    assert open_array(path).nodata == -1


def test_zarr_stores_that_hold_nothing_or_damage(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    zarr.open_group(str(tmp_path / "g.zarr"), mode="w")
    with pytest.raises(InputError, match="without an array"):
        open_array(tmp_path / "g.zarr")
    x = vectors(100, 6)
    array = zarr.create_array(
        str(tmp_path / "a.zarr"), shape=x.shape, chunks=(50, 6), dtype="f4", fill_value=np.nan
    )
    array[:50] = x[:50]
    opened = open_array(tmp_path / "a.zarr").array
    with pytest.raises(InputError, match="give nodata=nan"):  # a chunk that is not there is the fill value
        pack(opened)
    assert unpack(pack(opened, nodata=np.nan)).validity.sum() == 50
    chunk = tmp_path / "a.zarr" / "c" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:20])
    with pytest.raises(Corrupt, match="restore the store"):
        pack(open_array(tmp_path / "a.zarr").array, nodata=np.nan)


@pytest.mark.parametrize("dtype", ["?", "c8", "i4", "i8", "u2", "u4", "S3", "U3", "M8[s]", "V4", "g"])
def test_types_that_are_not_coded_are_refused_by_name(dtype: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((50, 4), dtype))
    with pytest.raises(InputError, match="type"):
        pack(open_array(tmp_path / "x.npy").array)


@pytest.mark.parametrize("form", [">f4", "<f8", "f2", ">i2", "i1"])
def test_byte_order_and_order_of_axes_in_memory_do_not_matter(form: str, tmp_path: Path) -> None:
    x = integers(20, 30, 4).astype(form)
    np.save(tmp_path / "x.npy", np.asfortranarray(x))
    found = unpack(pack(open_array(tmp_path / "x.npy").array, axes="hwc"))
    assert found.values.dtype == np.dtype(form).newbyteorder("=")
    assert pack(open_array(tmp_path / "x.npy").array, axes="hwc") == pack(
        x.astype(found.values.dtype), axes="hwc"
    )


@pytest.mark.parametrize("shape", [(), (4,), (0, 4), (4, 0), (2, 2, 2, 2, 2)])
def test_shapes_that_are_no_list_of_vectors_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(shape, np.float32))
    with pytest.raises(InputError, match="axes"):
        pack(open_array(tmp_path / "x.npy").array)


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.1, 0.9, 0.9999])
def test_a_truncated_npy_is_refused(share: float, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", vectors(400, 6))
    data = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=r"x\.npy"):
        open_array(tmp_path / "x.npy")
