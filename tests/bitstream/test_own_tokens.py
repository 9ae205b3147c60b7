"""Derived-invalid tokens (§3.1), against exact interval arithmetic on pixel rows."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream.derived import derived_invalid, own_axis
from codec.types import PlaneKind, PlaneSpec, TileGrid


def owned_pixels(extent: int, core: int, tile: int) -> tuple[int, int]:
    """First and end pixel, counted from the tile's origin, of what the tile owns and the scene has."""
    grid = TileGrid(extent, 1, core, 1)
    return grid.doubled(tile)[0], min(core, extent - grid.origin(tile)[0])


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(1, 30), st.integers(1, 12))
def test_a_token_is_own_exactly_when_it_covers_some_owned_pixel(
    extent: int, core: int, n_tokens: int
) -> None:
    own = own_axis(extent, core, n_tokens)
    for tile in range(-(-extent // core)):
        first, end = owned_pixels(extent, core, tile)
        for token in range(n_tokens):
            top, bottom = Fraction(token * core, n_tokens), Fraction((token + 1) * core, n_tokens)
            assert own[tile, token] == (bottom > first and top < end)


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(1, 30), st.integers(1, 12))
def test_own_tokens_are_one_run_and_never_none(extent: int, core: int, n_tokens: int) -> None:
    for run in own_axis(extent, core, n_tokens):
        (places,) = np.nonzero(run)
        assert len(places) == places[-1] - places[0] + 1


def test_the_corner_tile_of_a_scene_that_does_not_divide() -> None:
    # 10 × 13 pixels in tiles of 8 × 8 with 4 × 4 tokens of 2 pixels: the second row of tiles begins at pixel 2 and
    # doubles 6 rows (3 tokens), the second column at pixel 5 and doubles 3 columns (1 token wholly, one half).
    invalid = derived_invalid(TileGrid(10, 13, 8, 8), PlaneSpec(4, 4, 1, 1, PlaneKind.FLOAT, bytes(8)))
    assert not invalid[0].any()
    assert invalid[3].tolist() == [[True] * 4] * 3 + [[True, False, False, False]]


def test_a_list_of_tiles_has_no_derived_invalid_token() -> None:
    assert not derived_invalid(
        TileGrid(5 * 8, 8, 8, 8), PlaneSpec(3, 5, 1, 1, PlaneKind.FLOAT, bytes(8))
    ).any()
