from __future__ import annotations

import pytest

from codec.package import Package
from tests.package.small_package import build_small


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build_small(tmp_path_factory.mktemp("models") / "small")
