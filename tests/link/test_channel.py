"""The channel: exact probabilities, seeds, windows, counts. Bounds are exact binomial ones; seeds are fixed."""

from __future__ import annotations

from itertools import pairwise
from math import exp, lgamma, log, log1p

import pytest

from codec.errors import InputError
from codec.link import Channel

NUMBERED = [i.to_bytes(4, "big") for i in range(20_000)]


def binomial_log_pmf(n: int, p: float, i: int) -> float:
    return lgamma(n + 1) - lgamma(i + 1) - lgamma(n - i + 1) + i * log(p) + (n - i) * log1p(-p)


def is_plausible(hits: int, n: int, p: float) -> bool:
    """Both binomial tails beyond `hits` exceed 10⁻⁶: a right channel fails one of these tests about never."""
    below = sum(exp(binomial_log_pmf(n, p, i)) for i in range(hits + 1))
    return below > 1e-6 and 1.0 - below + exp(binomial_log_pmf(n, p, hits)) > 1e-6


def lost_flags(channel: Channel, count: int = len(NUMBERED)) -> list[bool]:
    """Which of `count` packets were lost; for channels that neither copy nor reorder."""
    arrived = {int.from_bytes(p, "big") for p in channel.send(NUMBERED[:count])}
    return [i not in arrived for i in range(count)]


def test_the_plausibility_bound_itself_tells_right_from_wrong() -> None:
    assert is_plausible(100, 1000, 0.1)
    assert not is_plausible(150, 1000, 0.1)
    assert not is_plausible(55, 1000, 0.1)


@pytest.mark.parametrize(("loss", "burst"), [(0.1, 1.0), (0.1, 4.0), (0.3, 20.0), (0.02, 1.5)])
@pytest.mark.parametrize("place", [0, 1, 7, 40])
def test_every_packet_the_first_included_is_lost_with_the_same_probability(
    loss: float, burst: float, place: int
) -> None:
    trials = 3000
    hits = sum(
        lost_flags(Channel(loss=loss, burst=burst, seed=seed), place + 1)[place] for seed in range(trials)
    )
    assert is_plausible(hits, trials, loss)


@pytest.mark.parametrize(("loss", "burst"), [(0.1, 2.0), (0.1, 8.0), (0.4, 30.0)])
def test_bursts_have_the_given_mean_length_and_begin_at_the_matching_rate(loss: float, burst: float) -> None:
    """Each packet after a lost one is lost with 1 − 1/burst, after a delivered one with loss / (burst · (1 − loss))."""
    flags = lost_flags(Channel(loss=loss, burst=burst, seed=1))
    after_lost = [b for a, b in pairwise(flags) if a]
    after_good = [b for a, b in pairwise(flags) if not a]
    assert is_plausible(sum(after_lost), len(after_lost), 1 - 1 / burst)
    assert is_plausible(sum(after_good), len(after_good), loss / (burst * (1 - loss)))


def test_a_burst_length_of_1_means_independent_losses() -> None:
    flags = lost_flags(Channel(loss=0.2, burst=1.0, seed=4))
    after_lost = [b for a, b in pairwise(flags) if a]
    assert is_plausible(sum(flags), len(flags), 0.2)
    assert is_plausible(sum(after_lost), len(after_lost), 0.2)


def test_calls_continue_one_transmission() -> None:
    whole = Channel(loss=0.3, burst=5.0, seed=9)
    parts = Channel(loss=0.3, burst=5.0, seed=9)
    arrived = whole.send(NUMBERED[:100])
    assert [
        p for start in range(100) for p in parts.send(NUMBERED[start : start + 1])
    ] != arrived  # other draws,
    long_burst = Channel(loss=0.5, burst=1e9, seed=0)  # but the state goes on: in one of two states for ever
    outcomes = [bool(long_burst.send(NUMBERED[:1])) for _ in range(50)]
    assert len(set(outcomes)) == 1
    assert long_burst.report.sent == 50


def test_nothing_happens_to_packets_of_a_perfect_channel() -> None:
    channel = Channel()
    assert channel.send(NUMBERED[:500]) == NUMBERED[:500]
    assert channel.report.delivered == channel.report.sent == 500
    assert (
        channel.report.lost
        == channel.report.duplicated
        == channel.report.displaced
        == channel.report.damaged
        == 0
    )


@pytest.mark.parametrize("burst", [1.0, 3.0])
def test_a_loss_of_1_loses_everything(burst: float) -> None:
    channel = Channel(loss=1.0, burst=burst)
    assert channel.send(NUMBERED[:50]) == []
    assert channel.report.lost == 50
    assert channel.report.longest_burst == 50
    assert channel.report.bursts == 1


def test_equal_seeds_do_the_same_and_others_do_not() -> None:
    def run(seed: int) -> list[bytes]:
        return Channel(0.2, 3.0, 10, 0.1, seed, 1e-3).send(NUMBERED[:1000])

    assert run(1) == run(1)
    assert run(1) != run(2)


@pytest.mark.parametrize("window", [1, 2, 10, 100])
def test_no_packet_overtakes_one_sent_more_than_the_window_before(window: int) -> None:
    channel = Channel(reorder=window, seed=3)
    order = [int.from_bytes(p, "big") for p in channel.send(NUMBERED[:3000])]
    assert sorted(order) == list(range(3000))
    assert order != sorted(order)
    latest = -1
    displaced = 0
    for number in order:
        assert latest - number <= window
        displaced += number < latest
        latest = max(latest, number)
    assert channel.report.displaced == displaced > 0


def test_duplicates_come_at_the_given_rate_and_once_each() -> None:
    channel = Channel(duplicate=0.1, seed=5)
    arrived = channel.send(NUMBERED[:5000])
    extra = len(arrived) - 5000
    assert channel.report.duplicated == extra
    assert is_plausible(extra, 5000, 0.1)
    assert max(arrived.count(p) for p in set(arrived[:200])) <= 2


def test_bit_errors_come_at_the_given_rate_and_are_counted_by_packet() -> None:
    channel = Channel(bit_error=0.01, seed=5)
    sent = [bytes(100)] * 300
    arrived = channel.send(sent)
    flipped = sum(bin(byte).count("1") for p in arrived for byte in p)
    assert is_plausible(flipped, 300 * 800, 0.01)
    assert channel.report.damaged == sum(a != b for a, b in zip(arrived, sent, strict=True)) > 250


def test_counts_add_up() -> None:
    channel = Channel(loss=0.2, burst=4.0, reorder=5, duplicate=0.3, seed=8)
    arrived = channel.send(NUMBERED[:2000])
    report = channel.report
    assert report.sent == 2000
    assert report.delivered == len(arrived) == report.sent - report.lost + report.duplicated
    assert report.lost == 2000 - len(set(arrived))
    assert report.bursts <= report.lost
    assert 4 < report.longest_burst <= report.lost


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": 1.1}, "loss"), ({"loss": -0.1}, "loss"), ({"loss": float("nan")}, "loss"), ({"burst": 0.5}, "burst"),
        ({"burst": float("inf")}, "burst"), ({"reorder": -1}, "reordering"), ({"duplicate": 2.0}, "duplicate"),
        ({"bit_error": 2.0}, "bit_error"), ({"loss": 0.9, "burst": 1.5}, "at least 9"),
    ],
)  # fmt: skip
def test_channels_that_cannot_be_are_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Channel(**options)  # type: ignore[arg-type]
