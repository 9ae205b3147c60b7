"""Link profile, rates at all record sizes, and real latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.entropy import real_latents
from benchmarks.entropy.back_ends import PORTABLE, measured
from benchmarks.entropy.plane_coder import TILE_ORDER, TOKEN_ORDER

pytestmark = pytest.mark.entropy


@pytest.mark.parametrize("order", [TILE_ORDER, TOKEN_ORDER])
@pytest.mark.parametrize("isa", measured())
def test_thousands_of_link_records(bench: Any, isa: str, order: str) -> None:
    bench(isa, "link-many", order=order)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("isa", measured())
def test_smallest_records(bench: Any, isa: str, shared: bool) -> None:
    bench(isa, "link-tiny", shared=shared)


def test_rate_over_static_cross_entropy(bench: Any) -> None:
    bench(PORTABLE, "rates")  # the same bytes from every back end


@pytest.fixture(scope="session")
def latents(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Token latents of a source as an .npy file, made once."""
    fixture = "eurosat_folder" if request.param == "eurosat" else "sample_scenes"
    folder: Path = request.getfixturevalue(fixture)
    path = tmp_path_factory.mktemp("latents") / f"{request.param}.npy"
    np.save(path, real_latents.make_latents(request.param, folder))
    return path


@pytest.mark.parametrize("rate", real_latents.NAMES)
@pytest.mark.parametrize("isa", measured())
@pytest.mark.parametrize("latents", real_latents.SOURCES, indirect=True)
def test_real_latents(bench: Any, latents: Path, isa: str, rate: str) -> None:
    peers = ["htscodecs-avx2", "zstd-1-sorted", "zstd-19-sorted", "ans-shared"]
    bench(isa, "real", source=latents.stem, latents=str(latents), rate=rate, peers=peers)
