"""What tests of kernels share."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest


@pytest.fixture
def interpreted() -> None:
    """A process whose Triton interprets: `tests/conftest.py` sees to it where there is no GPU."""
    triton = pytest.importorskip("triton")
    if not triton.knobs.runtime.interpret:
        pytest.skip("Triton compiles in this process: a GPU is there")


@pytest.fixture
def fresh_on_gpu() -> Iterator[int]:
    """A GPU that kernels run on; the seed, which no run had before, is said where a test fails. Memory that nobody wrote
    holds NaN, or its type's largest number.
    """
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU with its driver")
    triton = pytest.importorskip("triton")
    assert not triton.knobs.runtime.interpret, "unset TRITON_INTERPRET"
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)  # fills what torch.empty gives
    seed = secrets.randbelow(2**31)
    torch.manual_seed(seed)
    print(f"seed {seed}")
    yield seed
    torch.use_deterministic_algorithms(before)
