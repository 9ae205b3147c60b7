"""Archive profile against the rivals; where the bytes go; how far from the machine's bounds; memory."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.entropy.back_ends import PORTABLE, every, measured
from benchmarks.entropy.peers import PEERS
from benchmarks.entropy.plane_coder import TILE_ORDER, TOKEN_ORDER

pytestmark = pytest.mark.entropy
SETS = ("dense", "sparse")
ORDERS = (TOKEN_ORDER, TILE_ORDER)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("isa", measured())
def test_archive_against(bench: Any, isa: str, peer: str, name: str, order: str) -> None:
    bench(isa, "archive", name=name, peer=peer, order=order)


@pytest.mark.parametrize("name", SETS)
def test_scalar_against_the_bottleneck(bench: Any, name: str) -> None:
    if PORTABLE in measured():
        pytest.skip("measured with all rivals")
    bench(PORTABLE, "archive", name=name, peer="bottleneck")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("isa", every())
def test_archive_alone(bench: Any, isa: str, name: str, order: str) -> None:
    bench(isa, "archive-alone", name=name, order=order)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("isa", every())
def test_distance_to_bounds(bench: Any, isa: str, name: str) -> None:
    bench(isa, "bounds", name=name)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("isa", every())
def test_memory(bench: Any, isa: str, name: str) -> None:
    bench(isa, "memory", name=name)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("isa", measured())
def test_fused_numbers(bench: Any, isa: str, dtype: str, order: str) -> None:
    bench(isa, "fused", name="dense", dtype=dtype, order=order)


@pytest.mark.parametrize("sigma", [4, 10, 40])
@pytest.mark.parametrize("isa", every())
def test_wide_tables(bench: Any, isa: str, sigma: int) -> None:
    bench(isa, "wide", sigma=sigma)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("isa", measured())
def test_two_threads(bench: Any, isa: str, name: str) -> None:
    bench(isa, "scaling", name=name)
