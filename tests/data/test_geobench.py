"""GEO-Bench's files are read without running their pickles, and its two wrong band orders are put right.

The samples are written here with h5py and pickle as ServiceNow/geo-bench `write_sample_hdf5` and `TaskSpecifications.save`
(geobench/dataset.py, geobench/task.py, commit 03c7bd1) describe: classes of modules named as theirs are made for the
writing and are gone when our reader comes.
"""

from __future__ import annotations

import datetime
import json
import os
import pickle
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import from_bounds

from codec.data import inert_pickle
from codec.data.geobench import geobench, partitions, read_specs
from codec.data.geobench_bands import CORRECTED, STANDARD, band_names
from codec.errors import BackendUnavailable, Corrupt, InputError, LimitExceeded

h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


@contextmanager
def their_classes(root: str = "geobench") -> Iterator[types.SimpleNamespace]:
    """Modules `geobench.dataset`, `.label` and `.task` with the classes that its pickles name."""
    names = {
        "dataset": ("Sentinel2", "SpectralBand", "SegmentationClasses"),
        "label": ("Classification", "MultiLabelClassification"),
        "task": ("TaskSpecifications",),
    }
    made: dict[str, Any] = {}
    sys.modules[root] = types.ModuleType(root)
    for part, classes in names.items():
        module = sys.modules[f"{root}.{part}"] = types.ModuleType(f"{root}.{part}")
        for name in classes:
            made[name] = type(
                name,
                (),
                {"__module__": f"{root}.{part}", "__init__": lambda self, **k: self.__dict__.update(k)},
            )
            setattr(module, name, made[name])
    try:
        yield types.SimpleNamespace(**made)
    finally:
        for name in (root, *(f"{root}.{part}" for part in names)):
            del sys.modules[name]


def band_info(theirs: Any, name: str) -> Any:
    return theirs.Sentinel2(name=name, alt_names=("x",), spatial_resolution=10, wavelength=0.5)


def write_sample(
    folder: Path,
    name: str,
    bands: dict[str, np.ndarray],
    label: Any,
    *,
    date: Any = None,
    root: str = "geobench",
) -> None:
    with their_classes(root) as theirs, h5py.File(folder / f"{name}.hdf5", "w") as file:
        about: dict[str, Any] = {}
        order = []
        for title, values in bands.items():
            key = title if date is None else f"{title}_{date:%Y-%m-%d}"
            file.create_dataset(name=key, data=values)
            order.append(key)
            about[key] = {
                "date": date,
                "date_id": date,
                "spatial_resolution": 10,
                "band_info": band_info(theirs, title),
                "meta_info": {"cloud": np.float64(0.1), "list": np.arange(3)},
                "transform": from_bounds(1, 2, 3, 3, 4, 4),
                "crs": CRS.from_epsg(32634),
            }
        if isinstance(label, np.ndarray) and label.ndim == 2:
            file.create_dataset(name="label", data=label)
            order.append("label")
            about["label"] = {
                "band_info": theirs.SegmentationClasses(name="label", n_classes=3, _class_names=None),
                "date": None,
            }
        else:
            about["label"] = label
        about["bands_order"] = order
        file.attrs["pickle"] = str(pickle.dumps(about))


def write_task(folder: Path, kind: str, n: int, names: list[str] | None, root: str = "geobench") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with their_classes(root) as theirs:
        key = "class_name" if kind == "MultiLabelClassification" else "_class_names"
        specs = theirs.TaskSpecifications(
            dataset_name="x",
            benchmark_name="classification_v1.0",
            patch_size=(4, 4),
            n_time_steps=1,
            bands_info=[band_info(theirs, name) for name in STANDARD],
            label_type=getattr(theirs, kind)(**{"n_classes": n, key: names}),
            spatial_resolution=10,
        )
        (folder / "task_specs.pkl").write_bytes(pickle.dumps(specs, protocol=4))


def write_partition(folder: Path, name: str = "default", **splits: list[str]) -> None:
    (folder / f"{name}_partition.json").write_text(json.dumps(splits))


def thirteen(start: int = 0) -> dict[str, np.ndarray]:
    return {name: np.full((4, 4), start + 100 * i, np.int16) for i, name in enumerate(STANDARD)}


def eurosat_like(tmp_path: Path, task: str = "m-eurosat", **more: Any) -> Path:
    folder = tmp_path / task
    write_task(folder, "Classification", 3, ["a", "b", "c"], **more)
    for i in range(4):
        write_sample(folder, f"id_{i:04d}", thirteen(i), i % 3, **more)
    write_partition(folder, train=["id_0003", "id_0000"], valid=["id_0001"], test=["id_0002"])
    write_partition(folder, "0.01x_train", train=["id_0003"], valid=["id_0001"], test=["id_0002"])
    return folder


@pytest.mark.parametrize("root", ["geobench", "ccb.io"])  # sets were pickled under both names
def test_samples_come_in_the_order_of_the_partition(tmp_path: Path, root: str) -> None:
    if root == "ccb.io":
        sys.modules["ccb"] = types.ModuleType("ccb")
    try:
        folder = eurosat_like(tmp_path, root=root)
    finally:
        sys.modules.pop("ccb", None)
    found = geobench(folder, "train")
    assert (found.task, found.classes, found.names) == ("class", ("a", "b", "c"), ("id_0003", "id_0000"))
    assert [int(s.target) for s in found] == [0, 0]
    assert int(geobench(folder, "test")[0].target) == 2
    assert geobench(folder, "train", partition="0.01x_train").names == ("id_0003",)
    assert partitions(folder) == ("0.01x_train", "default")
    specs = read_specs(folder)
    assert (specs.patch, specs.gsd_m, specs.bands) == ((4, 4), 10.0, STANDARD)


def test_the_wrong_band_order_of_two_sets_is_put_right(tmp_path: Path) -> None:
    """EuroSAT's files end in B8A (issue 28); brick-kiln has B1–B5, B7, B8A, B8, B11, B12 and a picture (issue 29)."""
    image = geobench(eurosat_like(tmp_path), "train")[1].image
    by_name = dict(zip(image.bands, image.native[:, 0, 0], strict=True))
    assert "cirrus" not in by_name
    assert (by_name["nir"], by_name["nir09"], by_name["swir16"], by_name["nir08"]) == (700, 800, 1000, 1200)
    image = geobench(eurosat_like(tmp_path, "m-brick-kiln"), "train")[1].image
    by_name = dict(zip(image.bands, image.native[:, 0, 0], strict=True))
    assert len(by_name) == 10
    assert (by_name["rededge078"], by_name["nir08"], by_name["nir"], by_name["swir22"]) == (
        500,
        600,
        700,
        900,
    )
    image = geobench(eurosat_like(tmp_path, "m-bigearthnet"), "train")[1].image
    by_name = dict(zip(image.bands, image.native[:, 0, 0], strict=True))
    assert (by_name["nir"], by_name["nir08"], by_name["swir22"]) == (700, 800, 1200)
    assert image.reflectance(0, 0, 1, 1)[0, 0, 0] == 0.0
    repaired = ("01 - Coastal aerosol", "08A - Vegetation Red Edge")  # a set published anew is believed
    assert band_names("m-eurosat", repaired) == ("coastal", "nir08")
    assert all(len(names) == 13 for names in CORRECTED.values())


def test_masks_and_label_vectors_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "m-SA-crop-type"
    write_task(folder, "SegmentationClasses", 3, None)
    mask = np.arange(16, dtype=np.int16).reshape(4, 4) % 3
    write_sample(folder, "s", thirteen(), mask, date=datetime.date(2017, 5, 1))
    write_partition(folder, train=["s"], valid=["t"], test=["u"])
    with pytest.raises(InputError, match=r"m-SA-crop-type become reflectance.*; give scale"):
        geobench(folder, "train")
    found = geobench(folder, "train", scaling=(1e-4, 0.0), bands=("red", "11 - SWIR"))
    assert found.classes == ("class 0", "class 1", "class 2")
    assert (found[0].target == mask).all()
    assert found[0].image.bands == ("red", "swir16")
    folder = tmp_path / "m-bigearthnet"
    write_task(folder, "MultiLabelClassification", 4, ["a", "b", "c", "d"])
    write_sample(folder, "s", thirteen(), np.array([0, 1, 1, 0]))
    write_partition(folder, train=["s"], valid=["t"], test=["u"])
    found = geobench(folder, "train")
    assert (found.task, found[0].target.tolist()) == ("labels", [0, 1, 1, 0])


@pytest.mark.parametrize("label", [3, -1, 1.5, None, "a", np.array([0, 1])])
def test_a_label_that_does_not_fit_the_task_is_refused(tmp_path: Path, label: Any) -> None:
    folder = tmp_path / "m-eurosat"
    write_task(folder, "Classification", 3, ["a", "b", "c"])
    write_sample(folder, "s", thirteen(), label)
    write_partition(folder, train=["s"], valid=["t"], test=["u"])
    with pytest.raises(Corrupt, match=r"label"):
        geobench(folder, "train")[0]


@pytest.mark.parametrize(
    ("splits", "match"),
    [
        ({"train": ["a"], "valid": [], "test": ["c"]}, "split val is empty"),
        ({"train": ["a"], "valid": ["a"], "test": ["c"]}, "a sample lies in val and train"),
        ({"train": ["a"], "test": ["c"]}, "not a partition"),
        ({"train": ["a"], "valid": ["../b"], "test": ["c"]}, "name is a path"),
    ],
)
def test_partitions_that_leak_or_are_empty_are_refused(
    tmp_path: Path, splits: dict[str, list[str]], match: str
) -> None:
    write_task(tmp_path, "Classification", 2, ["a", "b"])
    write_partition(tmp_path, **splits)
    with pytest.raises(InputError, match=match):
        geobench(tmp_path, "val", scaling=(1.0, 0.0))
    with pytest.raises(InputError, match="no partition few"):
        geobench(tmp_path, "val", partition="few", scaling=(1.0, 0.0))


def test_bands_of_different_size_and_series_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "m-eurosat"
    write_task(folder, "Classification", 3, ["a", "b", "c"])
    write_sample(folder, "s", {"04 - Red": np.zeros((4, 4)), "05 - Vegetation Red Edge": np.zeros((2, 2))}, 0)
    write_partition(folder, train=["s"], valid=["t"], test=["u"])
    with pytest.raises(InputError, match="differ in size"):
        geobench(folder, "train")[0]
    assert geobench(folder, "train", bands=("red",))[0].image.bands == ("red",)
    with pytest.raises(InputError, match="not a readable HDF5 file"):
        geobench(folder, "val")[0]


class Evil:
    """A pickle of it would run a command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_that_would_run_something_is_refused_unrun(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    folder = eurosat_like(tmp_path)
    (folder / "task_specs.pkl").write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(Corrupt, match=r"asks for (posix|os)\.system.*; it is not of this data set"):
        geobench(folder, "train")
    folder = eurosat_like(tmp_path / "2")
    with h5py.File(folder / "id_0003.hdf5", "a") as file:
        file.attrs["pickle"] = str(pickle.dumps({"label": Evil(mark)}))
    with pytest.raises(Corrupt, match="asks for"):
        geobench(folder, "train")[0]
    assert not mark.exists()


def test_objects_inside_numpy_arrays_are_refused() -> None:
    """numpy restores arrays of objects by unpickling again, out of sight of any restriction."""
    for value in (np.array([{"a": 1}], dtype=object), np.array(["text"]), np.array([1 + 2j])):
        with pytest.raises(Corrupt):
            inert_pickle.load(pickle.dumps(value), ("geobench",))


@pytest.mark.parametrize("protocol", [3, 4, 5])  # 3 is the default of the oldest Python that GEO-Bench ran on
def test_plain_numbers_come_back_as_pickled(protocol: int) -> None:
    value = {
        "a": np.arange(6, dtype=">i4").reshape(2, 3),
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "e": np.zeros((0, 2), np.uint8),
        "s": np.float32(1.5),
        "d": datetime.date(2020, 1, 2),
    }
    found = inert_pickle.load(pickle.dumps(value, protocol=protocol), ())
    for key in ("a", "f", "e"):
        assert found[key].shape == value[key].shape
        assert (found[key] == value[key]).all()
    assert (found["s"], found["d"]) == (1.5, value["d"])


def test_broken_and_nested_pickles_end_in_typed_errors() -> None:
    whole = pickle.dumps({"a": np.arange(5), "b": [1, 2, {"c": "d"}]}, protocol=4)
    for cut in range(len(whole)):
        with pytest.raises(Corrupt):
            inert_pickle.load(whole[:cut], ())
    bomb: Any = []
    for _ in range(30):
        bomb = [bomb] * 10  # 10^30 leaves, thirty lists
    assert len(inert_pickle.load(pickle.dumps(bomb), ())) == 10
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(Corrupt, match="nested too deeply"):
        inert_pickle.load(pickle.dumps(deep), ())
    with pytest.raises(LimitExceeded):
        inert_pickle.load(b"x" * (inert_pickle.MAX_BYTES + 1), ())


def test_a_folder_without_a_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a task of GEO-Bench"):
        geobench(tmp_path, "train")
    (tmp_path / "task_specs.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(Corrupt, match="describes no task"):
        geobench(tmp_path, "train")
    write_task(tmp_path, "Classification", 3, ["a", "b"])
    with pytest.raises(Corrupt, match="number of classes"):
        geobench(tmp_path, "train")


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = eurosat_like(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(BackendUnavailable, match=r"swathpack\[train\]"):
        geobench(folder, "train")[0]
