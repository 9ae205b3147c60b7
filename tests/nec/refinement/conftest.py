from __future__ import annotations

import shutil

import pytest

from codec.nec.refinement import export
from codec.nec.refinement.install import install
from codec.nec.refinement.run import Run
from codec.nec.refinement.session import transform_of
from codec.package import Package
from tests.nec.refinement.small_refinement import recipe, shaken, windows
from tests.package.small_package import build_small


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build_small(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="session")
def run(package: Package) -> Run:
    return shaken(Run(windows(package), recipe()))


@pytest.fixture(scope="session")
def graph(run: Run, package: Package) -> bytes:
    return export.trace(run.network, ["tokens", "spectral"], transform_of(package))


@pytest.fixture(scope="session")
def installed(package: Package, graph: bytes, tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(package.folder, folder / "small")
    (folder / "made.onnx").write_bytes(graph)
    return install(folder / "small", folder / "made.onnx")
