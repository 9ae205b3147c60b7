"""A C program without Python writes a `.nec`: the bytes of the Python writer, read by the Python reader."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from c_library import ROOT, command, installed, pkg_config, tool
from table_files import PlaneTableSpec, TableFile, TableSpec, laplace_thresholds

from codec.bitstream.coefficients import decode, encode_file_records
from codec.bitstream.core import TableSet
from codec.bitstream.header import FileHeader
from codec.bitstream.scan import SealState, scan
from codec.bitstream.writer import to_bytes
from codec.transform.quantiser import quantise
from codec.types import Georeference, PlaneKind, PlaneSpec, Symbols, TileGrid

LADDER_INDEX = 3
# No table without threshold: every symbol of a layer can be said.
TABLES = [TableSpec(laplace_thresholds(scale, n)) for scale, n in ((0.3, 4), (0.6, 7), (1.5, 20), (4.0, 60))]


def plane_tables(rows: int, cols: int, channels: int, n_layers: int) -> PlaneTableSpec:
    """The mean in layer 0, the rest spread over the layers; classes of all tables."""
    n = rows * cols
    bands = (0, *([1] * (n - 1)))
    layers = np.zeros((min(n, 2), channels), np.uint8)
    layers[1:] = np.arange(channels) % n_layers
    classes = (3 + np.arange(layers.size) % 5).reshape(layers.shape).astype(np.uint8)
    return PlaneTableSpec(
        rows, cols, channels, n_layers, bands, layers, classes, (-1,) + (0,) * (n_layers - 1)
    )


PLANES = [plane_tables(4, 3, 24, 3), plane_tables(1, 1, 7, 1)]
TABLE_FILE = TableFile(TABLES, PLANES)


@dataclass(frozen=True)
class Example:
    """The program, and a folder to run it in."""

    program: Path
    folder: Path

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *words], capture_output=True, text=True, check=False, cwd=self.folder
        )


@pytest.fixture(scope="module")
def by_cmake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    build = tmp_path_factory.mktemp("find_package")
    command(
        tool("cmake"), "-S", ROOT / "cpp" / "examples", "-B", build, "-G", "Ninja",
        f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}", f"-DCMAKE_PREFIX_PATH={installed()}",
    )  # fmt: skip
    command(tool("cmake"), "--build", build)
    return build / "encode"


@pytest.fixture(scope="module")
def by_pkg_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("pkg-config") / "encode"
    flags = pkg_config(installed())
    command(
        tool("cc"), "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-o", program,
        ROOT / "cpp" / "examples" / "encode.c", *flags,
    )  # fmt: skip
    return program


@pytest.fixture(params=["by_cmake", "by_pkg_config"])
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Example:
    return Example(request.getfixturevalue(request.param), tmp_path)


def header() -> FileHeader:
    """A scene of 5×3 tiles whose last row and column shift inward."""
    planes = tuple(
        PlaneSpec(p.rows, p.cols, p.channels, p.n_layers, PlaneKind.FLOAT, b"space_%02d" % i)
        for i, p in enumerate(PLANES)
    )
    georeference = Georeference((10.0, 0.0, 5e5, 0.0, -10.0, 4e6), 32633)
    return FileHeader("sensor", b"codec_id", TileGrid(150, 83, 32, 32), georeference, planes, LADDER_INDEX)


def latents(head: FileHeader) -> list[npt.NDArray[np.float32]]:
    """N×C×F of every plane."""
    rng = np.random.default_rng(5)
    return [
        rng.laplace(0, 10, (head.n_tiles, p.channels, p.n_frequencies)).astype(np.float32)
        for p in head.planes
    ]


def quantised(head: FileHeader, values: list[npt.NDArray[np.float32]]) -> list[Symbols]:
    """§10.1 with the Python quantiser, in steps of each layer."""
    out = []
    for index, (spec, x) in enumerate(zip(PLANES, values, strict=True)):
        layer = spec.layer_map[list(spec.bands)].T  # C×F
        e = LADDER_INDEX + np.array(spec.layer_shift)[layer]
        step = np.array(TABLE_FILE.ladder, np.float32)[e]
        valid = np.ones((head.n_tiles, spec.rows, spec.cols), bool)
        out.append(Symbols(index, quantise(x, np.float32(1) / step, np.float32(TABLES[0].theta)), valid))
    return out


def put_inputs(folder: Path, head: FileHeader, arrays: list[npt.NDArray[np.generic]]) -> list[Path]:
    """The example's input files; arrays N×C×F are written in token order."""
    (folder / "header.bin").write_bytes(head.encode())
    (folder / "tables.bin").write_bytes(TABLE_FILE.encode())
    paths = []
    for i, array in enumerate(arrays):
        paths.append(folder / f"plane{i}.raw")
        paths[-1].write_bytes(np.ascontiguousarray(array.transpose(0, 2, 1)).tobytes())
    return paths


@pytest.mark.parametrize("type_name", ["int16", "float32"])
def test_a_c_program_writes_the_file_that_python_writes_and_reads(example: Example, type_name: str) -> None:
    head = header()
    values = latents(head)
    symbols = quantised(head, values)
    arrays = [s.values for s in symbols] if type_name == "int16" else values
    paths = put_inputs(example.folder, head, arrays)
    done = example.run("header.bin", "tables.bin", "out.nec", type_name, "2", *paths)
    assert (done.returncode, done.stderr) == (0, "")
    written = (example.folder / "out.nec").read_bytes()

    tables = TableSet(TABLE_FILE.encode())
    found = scan(written)
    assert found.seal is SealState.SEALED
    assert not found.refused
    decoded = decode(tables, found.header, found.records)
    assert not decoded.missing
    assert not decoded.damaged
    for plane, expected in zip(decoded.planes, symbols, strict=True):
        np.testing.assert_array_equal(plane.values, expected.values)
    assert written == to_bytes(head, encode_file_records(tables, head, symbols))


def test_a_refusal_is_one_line_and_leaves_no_file(example: Example) -> None:
    head = header()
    paths = put_inputs(example.folder, head, latents(head))
    paths[0].write_bytes(paths[0].read_bytes()[:-4])
    done = example.run("header.bin", "tables.bin", "out.nec", "float32", "1", *paths)
    assert done.returncode == 1
    size = head.n_tiles * 24 * 12 * 4
    assert done.stderr == (
        "error: bad-input: values does not have the size of the plane "
        f"(expected 15 tiles × 24 channels × 12 tokens × 4 bytes, found {size - 4} bytes)\n"
    )
    assert not (example.folder / "out.nec").exists()
