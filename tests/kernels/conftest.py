"""What tests of kernels share."""

from __future__ import annotations

import pytest


@pytest.fixture
def interpreted() -> None:
    """A process whose Triton interprets: `tests/conftest.py` sees to it where there is no GPU."""
    triton = pytest.importorskip("triton")
    if not triton.knobs.runtime.interpret:
        pytest.skip("Triton compiles in this process: a GPU is there")
