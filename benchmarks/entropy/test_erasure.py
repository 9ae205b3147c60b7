"""Reed–Solomon."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.entropy.back_ends import every, measured

pytestmark = pytest.mark.entropy


@pytest.mark.parametrize("isa", every())
def test_erasure_code(bench: Any, isa: str) -> None:
    bench(isa, "erasure")


@pytest.mark.parametrize("isa", measured())
def test_erasure_code_against_isa_l(bench: Any, isa: str) -> None:
    bench(isa, "erasure-against")
