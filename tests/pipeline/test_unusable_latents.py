"""Latents that are no numbers, or lie beyond what can be coded: never a wrong value, and never in silence."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pytest

from codec.bitstream.reader import read_bytes
from codec.errors import InputError
from codec.package import Package
from codec.pipeline import Decoded, decode
from codec.pipeline.sources import codable
from codec.types import Latent
from tests.pipeline.small_scene import GRID, all_valid, encode_scene

TILE = 8  # inside the grid: all its tokens are its own


def spoilt(
    given: Sequence[Latent], value: float, *, tile: int = TILE, plane: int = 0, cell: int = 5
) -> list[Latent]:
    made = []
    for latent in given:
        values = latent.values.copy()
        if latent.plane == plane:
            values[tile, 1, cell] = value
        made.append(Latent(latent.plane, values, latent.token_validity))
    return made


def decoded(package: Package, data: bytes) -> Decoded:
    file = read_bytes(data)
    return decode(package, file.header, [record.data for record in file.records])


def masked(given: Sequence[Latent], tile: int = TILE) -> list[Latent]:
    """What a caller would give who knows that the tile was not measured."""
    validity = all_valid()
    validity[tile] = False
    return [Latent(latent.plane, latent.values, validity) for latent in given]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -3e38])
@pytest.mark.parametrize("plane", [0, 1])
@pytest.mark.parametrize(
    "options", [{}, {"total_bytes": 6000}, {"bytes_per_tile": 200.0}, {"tradeoff": 0.1}], ids=str
)
def test_such_a_tile_is_coded_as_one_that_was_not_measured(
    package: Package, given: list[Latent], value: float, plane: int, options: dict[str, float]
) -> None:
    with pytest.warns(UserWarning, match="1 of 30 tiles have latents that are not finite, or beyond"):
        data = encode_scene(package, spoilt(given, value, plane=plane), **options)
    assert data == encode_scene(package, masked(given), **options)
    for embedding in decoded(package, data).embeddings.values():
        assert not embedding.validity[TILE].any()
        assert embedding.validity[TILE - 1].any()


def test_tiles_that_were_not_measured_may_hold_anything_in_silence(
    package: Package, given: list[Latent]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, unusable = codable(package, spoilt(masked(given), np.nan), GRID)
        encode_scene(package, spoilt(masked(given), 1e30))
    assert not unusable.any()
    assert [latent.plane for latent in found] == [0, 1]


def test_absurd_numbers_in_tokens_that_are_not_valid_do_no_harm(
    package: Package, arrays: dict[str, np.ndarray]
) -> None:
    """The coarsest quality reaches far; a hole of 10⁷ lies beyond it, and is filled before anything is judged."""
    validity = all_valid()
    validity[TILE, :2, :2] = False
    garbled = {name: x.copy() for name, x in arrays.items()}
    for x in garbled.values():
        x[TILE, :2, :2] = 1e7
    given = [
        Latent(package.plane_index(name), package.transforms[name].analyse(x), validity)
        for name, x in garbled.items()
    ]
    reach = 32_767 * package.maps(0, package.ladder_indices[-1]).step.min()
    assert np.abs(given[0].values[TILE]).max() > reach
    _, unusable = codable(package, given, GRID)
    assert not unusable.any()


def test_all_tiles_unusable_is_an_error_and_no_empty_file(package: Package, given: list[Latent]) -> None:
    broken = [Latent(g.plane, np.full_like(g.values, np.nan), g.token_validity) for g in given]
    with pytest.raises(
        InputError, match="not finite, or beyond all that can be coded, in all 30 tiles with data"
    ):
        encode_scene(package, broken)
    only = np.zeros_like(all_valid())
    only[TILE] = True
    alone = [Latent(g.plane, g.values, only) for g in spoilt(given, np.inf)]
    with pytest.raises(InputError, match="in all 1 tiles with data"):
        encode_scene(package, alone)


@pytest.mark.parametrize("steps", [300, 5000, 32_767])
def test_what_no_table_covers_is_escaped_to_the_step(
    package: Package, given: list[Latent], steps: int
) -> None:
    """Magnitudes up to 32,767 (bitstream §5.2) come out as they went in, however few the table's own are."""
    index = package.default_ladder_index
    step = float(package.maps(0, index).step[1, 5])
    data = encode_scene(package, spoilt(given, steps * step), file_mean=False)
    values = decoded(package, data).embeddings["tokens"].values[TILE]
    latent = package.transforms["tokens"].analyse(values[None])[0, 1, 5]
    # Half a step of rounding, at most one of the reconstruction point; float32 of a large sum beside it.
    assert abs(latent - steps * step) <= 1.5 * step + 1e-5 * steps * step


def test_a_quality_that_would_clamp_is_refused_and_the_next_that_does_not_is_right(
    package: Package, given: list[Latent]
) -> None:
    indices = package.ladder_indices
    value = 32_767 * float(package.maps(0, indices[0]).step[1, 5]) * 1.5
    wide = spoilt(given, value)
    with pytest.raises(
        InputError, match=rf"plane 'tokens': latents of tile {TILE} lie so far out .*coarser one"
    ):
        encode_scene(package, wide, ladder_index=indices[0])
    fits = next(i for i in indices if 32_767 * package.maps(0, i).step[1, 5] > value)
    values = (
        decoded(package, encode_scene(package, wide, ladder_index=fits)).embeddings["tokens"].values[TILE]
    )
    assert package.transforms["tokens"].analyse(values[None])[0, 1, 5] == pytest.approx(value, rel=1e-3)


def test_a_budget_takes_the_finest_quality_that_clamps_nothing(package: Package, given: list[Latent]) -> None:
    indices = package.ladder_indices
    value = 32_767 * float(package.maps(0, indices[0]).step[1, 5]) * 1.5
    fits = next(i for i in indices if 32_767 * package.maps(0, i).step[1, 5] > value)
    data = encode_scene(package, spoilt(given, value), total_bytes=10**8)
    file = read_bytes(data)
    assert file.header.ladder_index == fits
    assert {r.header.ladder_offset for r in file.records} == {0}
    values = decoded(package, data).embeddings["tokens"].values[TILE]
    assert package.transforms["tokens"].analyse(values[None])[0, 1, 5] == pytest.approx(value, rel=1e-3)
