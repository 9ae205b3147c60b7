"""The share of the coder's work in blocks of zeros: of a plane of the shipped package with symbols made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.entropy.real_latents import PACKAGE, PLANE, Symbols, zero_blocks
from codec.package import load


def symbols(n_tiles: int) -> Symbols:
    package = load(PACKAGE)
    spec = package.plane_specs[package.plane_index(PLANE)]
    values = np.zeros((n_tiles, spec.channels, spec.rows * spec.cols), np.int8)
    return Symbols(package, package.plane_index(PLANE), package.default_ladder_index, values)


def test_zeros_are_all_idle_and_one_symbol_takes_its_block_with_it() -> None:
    found = symbols(64)
    assert zero_blocks(found) == 1
    coded = found.package.maps(PLANE, found.ladder_index).coded
    channels = np.flatnonzero(coded[:, 0])[:64]
    found.values[40, channels[3], 0] = 1
    assert zero_blocks(found) == pytest.approx(1 - 32 * len(channels) / (64 * coded.sum()))
