"""MMEarth files as its converter makes them are read in batches, with missing values as missing.

The file is written here with h5py as vishalned/MMEarth-data `utils/convert_to_h5.py` (commit 7890980) describes it: names,
shapes, types, gzip with one tile a chunk, band order, fill values; nothing of our reader takes part.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.data.mmearth import SURFACE, MMEarth
from codec.data.mmearth_layout import MODALITIES
from codec.errors import BackendUnavailable, InputError

h5py = pytest.importorskip("h5py")
N, SIDE = 6, 4
NAME = "data_100k_v001"


def write(
    folder: Path, *, merged: bool = False, splits: Any = None, change: Any = None
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    folder.mkdir(parents=True, exist_ok=True)
    lat = np.deg2rad(np.linspace(-60, 70, N))
    lon = np.deg2rad(np.linspace(-170, 170, N))
    s2 = rng.integers(1, 9000, (N, 13, SIDE, SIDE)).astype("uint16")
    s2[:, 10] = np.where((np.arange(N) % 2 == 0)[:, None, None], s2[:, 10], 0)  # even rows l1c, odd l2a
    s2[2, :, 0, 0] = 0
    s1 = rng.normal(-12, 3, (N, 8, SIDE, SIDE)).astype("float32")
    s1[:, 2:4], s1[1, 4:] = -np.inf, -np.inf  # most places have no HH and HV; some no second orbit
    world = rng.choice([10, 20, 95, 100], (N, 1, SIDE, SIDE)).astype("uint8")
    world[0, 0, 0, :2] = (0, 255)
    dynamic = rng.integers(1, 10, (N, 1, SIDE, SIDE)).astype("uint8")
    dynamic[3] = 0  # "dynamic_world not found"
    canopy = rng.integers(0, 40, (N, 2, SIDE, SIDE)).astype("int8")
    canopy[4] = 127  # the fill 255 as HDF5 saturates it in int8
    era5 = rng.normal(280, 5, (N, 12)).astype("float32")
    era5[5, 0] = np.nan
    biome, eco = np.zeros((N, 14), "uint8"), np.zeros((N, 846), "uint16")
    biome[np.arange(N), np.arange(N)] = 1
    biome[4] = 0
    eco[np.arange(N), 100 * np.arange(N)] = 1
    data = {
        "sentinel2": s2,
        "sentinel1": s1,
        "aster": rng.integers(-20, 3000, (N, 2, SIDE, SIDE)).astype("int16"),
        "era5": era5,
        "dynamic_world": dynamic,
        "canopy_height_eth": canopy,
        "lat": np.stack([np.sin(lat), np.cos(lat)], 1).astype("float32"),
        "lon": np.stack([np.sin(lon), np.cos(lon)], 1).astype("float32"),
        "biome": biome,
        "eco_region": eco,
        "month": np.tile(np.array([[0.5, 0.866]], "float32"), (N, 1)),
        "esa_worldcover": world,
    }
    data.update(change or {})
    with h5py.File(folder / f"{NAME}.h5", "w") as file:
        for name, values in data.items():
            file.create_dataset(name, data=values, compression="gzip", chunks=(1, *values.shape[1:]))
        fields = [("tile_id", "S100")] if merged else [("tile_id", "S100"), ("S2_type", "S10")]
        about = file.create_dataset("metadata", shape=(N,), dtype=np.dtype(fields))
        for i in range(N):
            about[i] = (f"tile{i}",) if merged else (f"tile{i}", "l2a" if i % 2 else "l1c")
    info = {f"tile{i}": {"S2_type": "l2a" if i % 2 else "l1c", "S2_DATE": "2019-03-04"} for i in range(N)}
    (folder / f"{NAME}_tile_info.json").write_text(json.dumps(info))
    (folder / f"{NAME}_splits.json").write_text(
        json.dumps(splits or {"train": [4, 0, 2, 1, 3, 5], "val": [], "test": []})
    )
    (folder / f"{NAME}_band_stats.json").write_text(
        json.dumps(
            {"sentinel2_l1c": {"mean": [1.0] * 13, "std": [2.0] * 13, "min": [0.0] * 13, "max": [9.0] * 13}}
        )
    )
    return data


def test_batches_follow_the_split_and_hold_only_what_was_asked_for(tmp_path: Path) -> None:
    data = write(tmp_path / NAME)
    with MMEarth(tmp_path / NAME) as found:
        assert len(found) == N
        batches = list(found.batches(found.split("train"), 4, ("sentinel2", "era5")))
        assert [b.tile_ids for b in batches] == [("tile4", "tile0", "tile2", "tile1"), ("tile3", "tile5")]
        assert batches[0].levels == ("l1c", "l1c", "l1c", "l2a")
        assert set(batches[0].values) == {"sentinel2", "era5"}
        assert batches[1].values["sentinel2"].shape == (2, 13, SIDE, SIDE)
        np.testing.assert_allclose(batches[0].values["sentinel2"][0], data["sentinel2"][4] / 1e4, rtol=1e-6)
        np.testing.assert_allclose(batches[1].values["era5"][1, 1:], data["era5"][5, 1:])


def test_missing_numbers_are_missing_and_nothing_else_is(tmp_path: Path) -> None:
    data = write(tmp_path / NAME)
    names = ("sentinel2", "sentinel1", "aster", "canopy_height_eth", "era5")
    with MMEarth(tmp_path / NAME) as found:
        values = found.read(np.arange(N), names).values
    s2 = np.isnan(values["sentinel2"])
    assert s2[2, :, 0, 0].all()  # 0 is no value
    assert s2[1::2, 10].all()  # level 2A has no cirrus band
    assert s2.sum() == 13 + 3 * SIDE * SIDE
    assert (np.isnan(values["sentinel1"]) == np.isinf(data["sentinel1"])).all()
    assert not np.isnan(values["aster"]).any()
    assert np.isnan(values["canopy_height_eth"]).sum() == 2 * SIDE * SIDE
    assert np.isnan(values["era5"]).sum() == 1


def test_classes_are_numbered_from_zero_and_trees_are_not_lost(tmp_path: Path) -> None:
    """The training code's order of remapping makes WorldCover's tree cover, 10 → 0, a missing value."""
    data = write(tmp_path / NAME)
    with MMEarth(tmp_path / NAME) as found:
        values = found.read(np.arange(N), ("dynamic_world", "esa_worldcover", "biome", "eco_region")).values
    world = values["esa_worldcover"]
    assert (world[0, 0, :2] == -1).all()
    assert (world == -1).sum() == 2
    assert (world[data["esa_worldcover"][:, 0] == 10] == 0).all()
    assert (world[data["esa_worldcover"][:, 0] == 95] == 9).all()
    assert MODALITIES["esa_worldcover"].names[10] == "moss and lichen"
    dynamic = values["dynamic_world"]
    assert (dynamic[3] == -1).all()
    assert (dynamic[0] == data["dynamic_world"][0, 0].astype(int) - 1).all()
    assert values["biome"].tolist() == [0, 1, 2, 3, -1, 5]  # nothing is marked in row 4
    assert values["eco_region"].tolist() == [100 * i for i in range(N)]


def test_coordinates_come_back_from_sines_and_cosines(tmp_path: Path) -> None:
    write(tmp_path / NAME)
    with MMEarth(tmp_path / NAME) as found:
        place = found.coordinates(np.array([5, 0]))
    assert place == pytest.approx(np.array([[70, 170], [-60, -170]]), abs=1e-4)


def test_bands_have_canonical_names_in_the_files_order(tmp_path: Path) -> None:
    """B8A stands before B8 in this data set."""
    data = write(tmp_path / NAME)
    with MMEarth(tmp_path / NAME) as found:
        image = found.raster(0)
    assert image.bands[7:9] == ("nir08", "nir")
    assert "cirrus" not in image.bands
    assert len(SURFACE) == len(image.bands) == 12
    assert (image.native[-1] == data["sentinel2"][0, 12]).all()
    assert image.validity.all()


def test_merged_files_get_the_level_from_the_tile_info(tmp_path: Path) -> None:
    write(tmp_path / NAME, merged=True)
    with MMEarth(tmp_path / NAME) as found:
        assert found.read(np.array([3, 0])).levels == ("l2a", "l1c")
    (tmp_path / NAME / f"{NAME}_tile_info.json").write_text("{}")
    with MMEarth(tmp_path / NAME) as found, pytest.raises(InputError, match="product level of tile tile3"):
        found.read(np.array([3]))


def test_a_worker_process_opens_the_file_itself(tmp_path: Path) -> None:
    write(tmp_path / NAME)
    with MMEarth(tmp_path / NAME) as found:
        len(found)
        copy = pickle.loads(pickle.dumps(found))
        assert copy.read(np.array([1])).tile_ids == ("tile1",)
        copy.close()


@pytest.mark.parametrize(
    ("splits", "match"),
    [
        ({"train": [0, N]}, r"points outside the file \(expected 0 … 5, found 6\)"),
        ({"train": [-1]}, "outside"),
        ({"train": "all"}, "no list of row numbers"),
        ({"dev": [0]}, "no split train"),
        ({"train": [], "val": []}, r"split train is empty; .*blocked splits"),
    ],
)
def test_splits_that_do_not_fit_are_refused(tmp_path: Path, splits: Any, match: str) -> None:
    write(tmp_path / NAME, splits=splits)
    with MMEarth(tmp_path / NAME) as found, pytest.raises(InputError, match=match):
        found.split("train")


def test_folders_and_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder of MMEarth"):
        MMEarth(tmp_path)
    write(tmp_path / NAME)
    with MMEarth(tmp_path / NAME) as found:
        assert found.band_stats()["sentinel2_l1c"]["std"][0] == 2.0
        with pytest.raises(InputError, match="no modality srtm"):
            found.read(np.array([0]), ("srtm",))
        with pytest.raises(InputError, match="rows outside"):
            found.read(np.array([N]))
    write(tmp_path / NAME, change={"aster": np.zeros((N, 3, SIDE, SIDE), "int16")})
    with MMEarth(tmp_path / NAME) as found, pytest.raises(InputError, match="another number of bands"):
        found.read(np.array([0]), ("aster",))
    whole = (tmp_path / NAME / f"{NAME}.h5").read_bytes()
    (tmp_path / NAME / f"{NAME}.h5").write_bytes(whole[: len(whole) // 2])
    with MMEarth(tmp_path / NAME) as found, pytest.raises(InputError, match="not a readable HDF5 file"):
        len(found)
    (tmp_path / NAME / f"{NAME}_splits.json").write_text("{")
    with MMEarth(tmp_path / NAME) as found, pytest.raises(InputError, match="not a readable JSON file"):
        found.split("train")


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / NAME)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with (
        MMEarth(tmp_path / NAME) as found,
        pytest.raises(BackendUnavailable, match=r"h5py.*swathpack\[train\]"),
    ):
        len(found)
