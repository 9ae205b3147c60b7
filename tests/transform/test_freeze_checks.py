"""What is refused before tables are shipped, and that what a fit makes passes."""

from __future__ import annotations

import numpy as np
import pytest

from codec.errors import InputError, InternalError, LimitExceeded
from codec.transform import fit_checks
from codec.transform.fit import fit_planes
from codec.transform.fit_checks import FrozenLoss, Met
from codec.transform.layout import PlaneLayout, stream_layout
from codec.transform.levels import Histogram, Pool, sampling_bits, table_bits
from codec.transform.tables import Level
from tests.transform.synthetic_embeddings import embeddings


def test_bits_of_a_table_are_logarithms_of_its_frequencies_signs_low_bits_and_escapes() -> None:
    """By hand: 0 has half of 65536, 1 a quarter, the escape a quarter, behind which Exp-Golomb takes 1, 3, 3 bits."""
    plain = Level((32768, 49152), 1.0, 0.0)
    assert table_bits(plain, 5) == pytest.approx([1.0, 2 + 1, 2 + 1 + 1, 2 + 1 + 3, 2 + 1 + 3])
    coarse = Level((32768, 49152), 1.0, 0.0, 0.0, 1)  # magnitudes 1, 2 share an index, and 3, 4
    assert table_bits(coarse, 5) == pytest.approx([1.0, 2 + 1 + 1, 2 + 1 + 1, 2 + 1 + 1 + 1, 2 + 1 + 1 + 1])


def test_a_table_that_is_its_density_loses_nothing_and_another_its_divergence() -> None:
    """Magnitudes 0 and 1, three to one: H = 0.8113 bit; at even odds 1 bit, so 0.1887 bit of 1.0613 with the sign."""
    pool = Pool.of(np.array([0.1, 0.2, 0.3, 1.0]))
    density = np.array([0.75, 0.25, 1e-9])
    escape = 2**-16  # a frequency of one, of an escape that never comes
    right, wrong = Level((49152, 65535), 1.0, 0.0), Level((32768, 65535), 1.0, 0.0)
    met = [Met(pool, 0, 1.0, density, 0.0, 10)]
    bits = 0.75 * np.log2(4 / 3) + 0.25 * (2 + 1)
    found = fit_checks.frozen_loss(met, [right], 20)
    assert found.loss == pytest.approx(0, abs=4 * escape)
    assert found.bits == pytest.approx(bits / 2)
    assert fit_checks.frozen_loss(met, [wrong], 20).loss == pytest.approx(
        (1 + 0.25 - bits) / bits, abs=4 * escape
    )


def test_counted_densities_flatter_themselves_by_half_a_nat_for_each_free_cell() -> None:
    """100 draws of 16 equal chances: the entropy of the counts falls short by about 15 / 200 nats."""
    rng = np.random.default_rng(5)
    short, said = [], []
    for _ in range(400):
        counts = rng.multinomial(100, np.full(16, 1 / 16)).astype(float)
        p = counts[counts > 0] / 100
        short.append(4 + (p * np.log2(p)).sum())
        said.append(sampling_bits(Histogram(counts, counts)))
    assert np.mean(said) == pytest.approx(15 / 200 / np.log(2), rel=0.01)
    assert np.mean(short) == pytest.approx(np.mean(said), rel=0.1)


def test_what_is_not_sent_counts_in_neither() -> None:
    pool = Pool.of(np.array([0.1, 0.2]))
    assert fit_checks.frozen_loss(
        [Met(pool, 0, 1.0, np.array([1.0, 0.0]), 0.0, 3)], [Level((), 1.0, 0.0)], 3
    ) == FrozenLoss(0.0, 0.0)


@pytest.mark.parametrize(
    ("bits", "loss", "refused"),
    [
        (0.1, 0.0099, False),
        (0.1, 0.0101, True),
        (0.6, 0.0019, False),
        (0.6, 0.0021, True),
        (0.5, 0.0021, False),
    ],
)
def test_frozen_tables_may_lose_one_percent_and_a_fifth_of_that_above_half_a_bit(
    bits: float, loss: float, refused: bool
) -> None:
    losses = {3: FrozenLoss(0.7, 0.0), 7: FrozenLoss(bits, loss)}
    if not refused:
        fit_checks.check_frozen(losses)
        return
    with pytest.raises(InternalError, match=f"{loss:.2%} more bits .* at quality 7"):
        fit_checks.check_frozen(losses)


def test_tables_above_128_kib_are_refused() -> None:
    fit_checks.check_size(bytes(131072))
    with pytest.raises(LimitExceeded, match="131073"):
        fit_checks.check_size(bytes(131073))


def test_halves_part_all_tiles_and_keep_neighbours_together() -> None:
    first, second = fit_checks.halves(100)
    assert (first ^ second).all()
    assert np.flatnonzero(np.diff(first.astype(int))).tolist() == [11, 23, 35, 47, 59, 71, 83, 95]


def test_enough_tiles_pass_every_check_and_change_nothing() -> None:
    tiles = {"tokens": embeddings(n_tiles=1200, channels=24)}
    assert fit_planes(tiles, freeze=True).tables_bytes == fit_planes(tiles).tables_bytes


def test_qualities_that_digits_give_up_are_not_judged() -> None:
    """Their tables end at a scale of 256 steps, so that the finest qualities would live of escapes."""
    fit_planes(
        {"tokens": embeddings(n_tiles=1200, channels=24)},
        layouts={"tokens": stream_layout(2)},
        freeze=True,
    )


def test_too_few_tiles_for_a_density_are_refused_with_how_much_they_lose() -> None:
    few = {"tokens": embeddings(n_tiles=8, channels=12)}
    with pytest.raises(InputError, match=r"has not converged on 8 tiles: .* \d+\.\d% more bits"):
        fit_planes(few, freeze=True)
    fit_planes(few)  # somebody's own few tiles may still be coded


def test_one_tile_is_no_density() -> None:
    with pytest.raises(InputError, match="has one tile"):
        fit_planes(
            {"tokens": embeddings(n_tiles=1, channels=4)},
            layouts={"tokens": PlaneLayout(position_mean=False)},
            freeze=True,
        )
