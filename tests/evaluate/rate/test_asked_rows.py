"""What is asked by name: regimes, spread, levels, half a point and parity, on answers whose curves are known by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from codec.errors import InputError
from codec.evaluate.rate.asked_rows import asked_rows
from codec.evaluate.rate.curve_intervals import Bootstrap, Measured, size_sums, utility_intervals
from codec.evaluate.rate.report import Question
from codec.evaluate.rate.targets import Target
from codec.evaluate.rows import Row
from tests.evaluate.rate.known_answers import Curve, N, evidence, scored


def asked(target: Target, curves: Mapping[tuple[str, str, str], Curve]) -> list[Row]:
    """Rows of curves by (method, view, regime)."""
    found = {}
    for method in dict.fromkeys(method for method, _, _ in curves):
        mine = {(view, regime): of for (name, view, regime), of in curves.items() if name == method}
        found[method] = scored(method, target, mine)
    return list(asked_rows(Question("made", evidence(target), target, found, "rate")))


def value(rows: list[Row], case: str, metric: str, rival: str = "") -> float:
    (found,) = [r for r in rows if (r.case, r.metric, r.rival) == (f"made/made/{case}", metric, rival)]
    assert found.lo is not None
    assert found.hi is not None
    assert found.lo <= found.value <= found.hi
    return found.value


CLASS = Target("class", "tile", np.arange(N) % 2, ("no", "yes"))
NUMBERS = Target("spectra", "token", np.random.default_rng(0).standard_normal((N, 8, 8)))
MASK = Target("mask", "token", np.arange(N * 64).reshape(N, 8, 8) % 2, ("no", "yes"))
TILE_CURVES = {
    # 0.99 between 10 B (0.98) and 40 B (1.00) lies at 20 B; 0.995 at 10·4^(3/4) B
    ("base mean", "tokens mean", "mixed"): (1.0, {40: 1.0, 10: 0.98}),
    # 0.99 between 40 B (0.96) and 160 B (1.00) lies at 40·4^(3/4) B
    ("base mean", "tokens mean", "one"): (1.0, {40: 0.96, 10: 0.9}),
    ("base", "tokens mean", "mixed"): (1.0, {200: 1.0, 50: 0.98}),
    ("base", "tokens mean", "one"): (1.0, {200: 1.0, 50: 0.96}),
    # straight in log bytes: half way, 100 B, 0.93; its own uncompressed 0.98 with head `one`
    ("base", "tokens mean-std-max", "mixed"): (0.96, {200: 0.96, 50: 0.90}),
    ("base", "tokens mean-std-max", "one"): (0.98, {200: 0.82, 50: 0.60}),
}


@pytest.fixture(scope="module")
def of_tiles() -> list[Row]:
    return asked(CLASS, TILE_CURVES)


def test_a_regime_is_worth_the_ratio_of_bytes_at_one_loss(of_tiles: list[Row]) -> None:
    """base: mixed needs 100 B for 0.99, one 50·4^(3/4) = 141.4 B."""
    found = value(
        of_tiles, "class/base/tokens mean/mixed", "times fewer bytes at −1", "base, tokens mean, one"
    )
    assert found == pytest.approx(50 * 4**0.75 / 100)


def test_a_regime_that_never_reaches_the_score_leaves_the_ratio_open(of_tiles: list[Row]) -> None:
    (row,) = [r for r in of_tiles if r.rival == "base mean, tokens mean, one" and r.metric.endswith("−1")]
    assert row.value == pytest.approx(2)  # the end of its curve, 40 B, over 20 B
    assert "high end open" in row.unit


def test_heads_on_spread_are_held_against_their_own_uncompressed_score(of_tiles: list[Row]) -> None:
    metric, rival = "accuracy-difference at 100 B", "uncompressed, tokens mean-std-max, one"
    mixed = value(of_tiles, "class/base/tokens mean-std-max/mixed", metric, rival)
    assert mixed == pytest.approx(0.93 - 0.98)
    one = value(of_tiles, "class/base/tokens mean-std-max/one", metric, rival)
    assert one == pytest.approx(0.71 - 0.98)


def test_half_a_point_is_said_of_ours_alone(of_tiles: list[Row]) -> None:
    assert value(of_tiles, "class/base mean/tokens mean/mixed", "bytes at −0.5") == pytest.approx(
        10 * 4**0.75
    )
    said = {r.case.split("/")[3] for r in of_tiles if r.metric == "bytes at −0.5"}
    assert said == {"base mean", "base"}


def test_bytes_at_a_fixed_level_do_not_depend_on_the_uncompressed_score() -> None:
    """0.85 half way between 16 and 64 B, and between 64 and 1024 B: 32 and 256."""
    for uncompressed in (0.9, 0.95):
        rows = asked(
            NUMBERS,
            {
                ("base", "tokens", "one"): (uncompressed, {64: 0.9, 16: 0.8}),
                ("per-channel prior", "tokens", "one"): (0.95, {1024: 0.9, 64: 0.8}),
            },
        )
        level = "bytes at explained variance 0.85"
        assert value(rows, "spectra/base/tokens/one", level) == pytest.approx(32, rel=1e-5)
        assert value(rows, "spectra/per-channel prior/tokens/one", level) == pytest.approx(256, rel=1e-5)
        ratio = value(rows, "spectra/base/tokens/one", f"times fewer {level}", "per-channel prior, tokens")
        assert ratio == pytest.approx(8, rel=1e-5)


def test_parity_is_asked_of_mean_and_plane_against_statistics_alone() -> None:
    """Pixels reach each score at three times the bytes."""
    levels = (0.998, 0.99, 0.95)
    rows = asked(
        MASK,
        {
            ("base", "tokens", "one"): (1.0, dict(zip((400, 100, 50), levels, strict=True))),
            ("shipped mean + spectral", "tokens+spectral", "one"): (
                1.0,
                dict(zip((80, 40, 20), levels, strict=True)),
            ),
            ("pixels", "statistics", "one"): (1.0, dict(zip((240, 120, 60), levels, strict=True))),
            ("pixels", "tokens", "one"): (1.0, dict(zip((240, 120, 60), levels, strict=True))),
        },
    )
    assert {row.rival for row in rows} == {"pixels, statistics"}
    case = "mask/shipped mean + spectral/tokens+spectral/one"
    assert value(rows, case, "times fewer bytes at −3", "pixels, statistics") == pytest.approx(3)


def test_a_reference_is_taken_off_at_any_bytes_and_is_drawn_with_the_places() -> None:
    """Every place loses 0.1 at 10 bytes and nothing at 40: at 20 bytes half of it, whichever places are drawn."""
    level = np.array([0.3, 0.6, 0.9, 0.5])
    sizes = size_sums(np.array([[10.0] * 4, [40.0] * 4]), np.arange(4))
    score = np.stack([level - 0.1, level])[None]
    measured = Measured(np.stack([score, np.ones_like(score)], axis=-1), sizes)
    reference = np.stack([level, np.ones(4)], axis=-1)[None]
    how = Bootstrap(draws=50)
    (found,) = utility_intervals(measured, None, [20.0], how, reference=reference)
    assert (found.value, found.low, found.high) == pytest.approx((-0.05, -0.05, -0.05))
    with pytest.raises(InputError, match="a rival or to a reference"):
        utility_intervals(measured, measured, [20.0], how, reference=reference)
