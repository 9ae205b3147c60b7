"""What the ground's tests share: a tiny package, a coded scene, and processes that start quickly."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import ground_scene
import pytest
from ground_fork import ForkServer

from codec.package import Package


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one tiny package."""
    folder = tmp_path_factory.mktemp("models")
    ground_scene.build_package(folder / "tiny")
    return folder


@pytest.fixture(scope="session")
def package(models: Path) -> Package:
    from codec.package import load

    return load(models / "tiny")


@pytest.fixture(scope="session")
def scene(package: Package) -> ground_scene.TinyScene:
    return ground_scene.make_scene(package)


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is one: for tests that make thousands of fsyncs and prove nothing about this disk."""
    folder = tmp_path_factory.mktemp("memory")
    shared = Path("/dev/shm")
    if shared.is_dir():
        folder = shared / f"swathpack-{os.getpid()}-{folder.stat().st_ino}"
        folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def station(memory: Path) -> Path:
    """An empty station with its inbox."""
    folder = Path(tempfile.mkdtemp(dir=memory)) / "station"
    (folder / "inbox").mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServer]:
    with ForkServer() as server:
        yield server


@pytest.fixture(scope="session")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The LD_PRELOAD recorder, compiled here."""
    library = tmp_path_factory.mktemp("recorder") / "ground_recorder.so"
    source = Path(__file__).with_name("ground_recorder.cpp")
    command = [
        "g++",
        "-std=c++20",
        "-O1",
        "-Wall",
        "-shared",
        "-fPIC",
        "-o",
        str(library),
        str(source),
        "-ldl",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return library
