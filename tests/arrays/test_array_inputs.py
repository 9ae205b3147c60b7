"""Opening arrays imports what they need and nothing else, and reads only what is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codec.arrays.pack import pack, unpack
from codec.arrays.sources import _Windows, open_array
from codec.errors import InputError
from tests.arrays.embedding_arrays import integers, vectors

_PROGRAM = """
import sys
import numpy as np
from codec.arrays.pack import fit, pack, unpack
from codec.arrays.sources import open_array
from pathlib import Path
x = open_array(Path(sys.argv[1])).array
assert isinstance(x, np.memmap)
assert unpack(pack(x)).values.shape == x.shape
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_vectors_need_numpy_and_the_core_only(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", vectors(300, 4))
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path / "x.npy")], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    loaded = set(ran.stdout.split())
    assert {"numpy", "_swathpack_core"} <= loaded
    foreign = {
        "torch",
        "rasterio",
        "zarr",
        "xarray",
        "scipy",
        "sklearn",
        "onnxruntime",
        "pydantic",
        "typer",
        "PIL",
    }
    assert not loaded & foreign


def test_large_rasters_are_read_window_by_window(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    q = np.moveaxis(integers(70, 45, 3), 2, 0).copy()
    path = tmp_path / "q.tif"
    with rasterio.open(path, "w", driver="GTiff", count=3, height=70, width=45, dtype="int8") as file:
        file.write(q)
    lazy = _Windows(path, q.shape, q.dtype)
    np.testing.assert_array_equal(lazy[:, 10:20, 5:45], q[:, 10:20, 5:45])
    data = pack(lazy, axes="chw")
    assert data == pack(q, axes="chw")
    assert np.array_equal(unpack(data).values, q)


@pytest.mark.parametrize("name", ["absent.npy", "folder", "text.npy", "empty.npy"])
def test_what_is_no_array_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.npy").write_text("1 2 3")
    (tmp_path / "empty.npy").write_bytes(b"")
    with pytest.raises(InputError, match=name):
        open_array(tmp_path / name)


@pytest.mark.parametrize(
    "header", ["(" * 90, "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 30 + ",), }"]
)
def test_a_npy_of_a_broken_header_is_refused_as_input(header: str, tmp_path: Path) -> None:
    text = header.encode().ljust(117) + b"\n"
    (tmp_path / "x.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64)
    )
    with pytest.raises(InputError, match="cannot be read as"):
        open_array(tmp_path / "x.npy")
