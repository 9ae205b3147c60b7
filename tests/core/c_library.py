"""The core as a C program finds it: built and installed once per test run, and loaded through ctypes.

Nothing is optimised, since building is most of the work.
"""

from __future__ import annotations

import atexit
import ctypes as c
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
INT8, INT16, FLOAT16, FLOAT32 = range(4)
TILE_ORDER, TOKEN_ORDER = range(2)
_PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


class CError(c.Structure):
    _fields_ = (
        ("status", c.c_int32), ("offset", c.c_int64), ("record", c.c_int64), ("text", c.c_char * 240),
    )  # fmt: skip


class Grid(c.Structure):
    _fields_ = (
        ("scene_height", c.c_uint32), ("scene_width", c.c_uint32),
        ("core_height", c.c_uint16), ("core_width", c.c_uint16),
    )  # fmt: skip


class Source(c.Structure):
    _fields_ = (
        ("values", c.c_void_p), ("size", c.c_size_t), ("type", c.c_int32), ("order", c.c_int32),
        ("token_mask", c.c_void_p), ("token_mask_size", c.c_size_t),
    )  # fmt: skip


class Run(c.Structure):
    _fields_ = (
        ("first_tile", c.c_uint32), ("n_tiles", c.c_uint32), ("estimate", c.c_uint64),
        ("log2_lanes", c.c_uint32),
    )  # fmt: skip


class Target(c.Structure):
    _fields_ = (
        ("values", c.c_void_p), ("size", c.c_size_t), ("type", c.c_int32), ("order", c.c_int32),
        ("token_mask", c.c_void_p), ("token_mask_size", c.c_size_t),
        ("layers", c.c_void_p), ("n_layers", c.c_size_t),
    )  # fmt: skip


class Bytes(c.Structure):
    _fields_ = (("data", c.c_char_p), ("size", c.c_size_t))


def tool(name: str) -> str:
    """A program of the toolchain; the test is skipped where it is not installed."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def command(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run to the end; what it printed is in the failure when it fails."""
    environment = {**os.environ, "PATH": _PATH, **variables}
    done = subprocess.run(
        [str(w) for w in words], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, f"{words}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done


@functools.cache
def installed() -> Path:
    """The prefix of an install tree of this checkout; the folder goes when the tests end."""
    cmake, ninja = tool("cmake"), tool("ninja")
    tool("cc")
    folder = Path(mkdtemp(prefix="swathpack-c-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    command(
        cmake, "-S", ROOT, "-B", folder / "build", "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}",
        "-DSWATHPACK_TESTS=OFF", "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O0",
    )  # fmt: skip
    command(cmake, "--build", folder / "build")
    command(cmake, "--install", folder / "build", "--prefix", folder / "first")
    # Moved afterwards: nothing installed may depend on where it was.
    return (folder / "first").rename(folder / "prefix")


def pkg_config(prefix: Path) -> list[str]:
    """Flags to compile and link with, as a Makefile would ask for them."""
    (folder,) = prefix.glob("lib*/**/pkgconfig")
    said = command(tool("pkg-config"), "--cflags", "--libs", "swathpack", PKG_CONFIG_PATH=str(folder))
    return said.stdout.split()


@functools.cache
def library() -> c.CDLL:
    """The installed static library, made loadable."""
    prefix = installed()
    (archive,) = prefix.glob("lib*/**/libswathpack.a")
    shared = prefix / "libswathpack-test.so"
    command(
        tool("cc"), "-shared", "-o", shared, "-Wl,--whole-archive", archive, "-Wl,--no-whole-archive",
        "-lstdc++", "-lm", "-pthread",
    )  # fmt: skip
    return c.CDLL(str(shared))


def call(name: str, *arguments: Any) -> None:
    """Call swathpack_`name`, which must succeed; the error argument is added."""
    error = CError()
    status = getattr(library(), f"swathpack_{name}")(*arguments, c.byref(error))
    assert (status, error.status) == (0, 0), error.text.decode()
