"""Shares of a roofline, and the work that is put into them."""

from __future__ import annotations

import pytest

from benchmarks.roofline import Roofline, attention_work, measured, projection_work

CEILING = Roofline(bytes_per_s=1e9, flops_per_s=1e12)


@pytest.mark.parametrize(
    ("n_bytes", "flops", "least_s"), [(1e9, 0, 1.0), (1e9, 5e11, 1.0), (1e9, 2e12, 2.0), (0, 1e12, 1.0)]
)
def test_the_slower_of_two_ceilings_counts(n_bytes: float, flops: float, least_s: float) -> None:
    assert CEILING.seconds(n_bytes, flops) == pytest.approx(least_s)
    assert CEILING.share(4 * least_s, n_bytes, flops) == pytest.approx(0.25)


def test_dual_attention_of_one_vit_b_layer() -> None:
    """Counted product by product: 196 tokens, 12 heads of 64, rank 16."""
    n_bytes, flops = attention_work(1, 196, 12, 64, 16)
    scores = 2 * 196 * 196 * 12
    branches = scores * 64 + scores * (64 + 16)  # q·k of both
    mixtures = scores * 64 + scores * (64 + 16)  # and with v
    up = 3 * 2 * 196 * 16 * 64 * 12
    assert flops == branches + mixtures + up
    read_and_written = 2 * 196 * (3 * 768 + 16) + 2 * 196 * 768
    assert n_bytes == read_and_written + 2 * 4 * 196 * 12
    assert attention_work(7, 196, 12, 64, 16) == (7 * n_bytes, 7 * flops)


def test_the_matrix_of_a_projection_is_read_once_for_a_batch() -> None:
    one, many = projection_work(1, 196, 12, 64), projection_work(8, 196, 12, 64)
    assert many[1] == 8 * one[1] == 8 * 2 * 196 * 768 * 768
    assert 8 * one[0] - many[0] == 7 * 2 * 768 * 768


def test_ceilings_are_measured_and_their_answers_checked() -> None:
    pytest.importorskip("torch")
    found = measured("cpu", megabytes=4, side=64)
    assert found.bytes_per_s > 1e7
    assert found.flops_per_s > 1e6
