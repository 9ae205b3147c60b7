from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec.package import Package
from codec.types import Latent
from tests.package.small_package import build_small
from tests.pipeline import small_scene


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with one in it."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def package(models: Path) -> Package:
    return build_small(models / "small")


@pytest.fixture(scope="session")
def arrays() -> dict[str, np.ndarray]:
    return small_scene.planes()


@pytest.fixture(scope="session")
def given(package: Package, arrays: dict[str, np.ndarray]) -> list[Latent]:
    return small_scene.latents(package, arrays, small_scene.all_valid())


@pytest.fixture(scope="session")
def nec(package: Package, given: list[Latent]) -> bytes:
    """A file of short records (120 bytes), so that there are many."""
    return small_scene.encode_scene(package, given, target_bytes=120)
