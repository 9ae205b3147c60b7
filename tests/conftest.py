"""Fixtures that every room shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Without a GPU Triton interprets its kernels; it reads this once, when it is first imported.
if not any(Path("/dev", name).exists() for name in ("nvidiactl", "nvhost-ctrl-gpu", "nvgpu", "dxg")):
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The Earth-observation collection; tests that need it are skipped, with this reason, where it is absent."""
    folder = Path(os.environ.get("SWATHPACK_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "manifest.csv").is_file():
        pytest.skip(f"the data collection is not at {folder}; set SWATHPACK_SHARED_DATA")
    return folder
