"""Windows of calls: how long they are, and what rows say of them."""

from __future__ import annotations

import math

import pytest

from benchmarks.energy.machine import Machine
from benchmarks.entropy.timing import median_interval
from benchmarks.latency import Timed, Window, idle_row, rows, warm_up
from codec.errors import UsageError
from onboard.power.meter import Consumed

HERE = Machine("Board, power mode 25W", "GPU 612 MHz", ("driver 1",))
WINDOW = Window(10, 30)


def test_windows_are_as_long_as_asked() -> None:
    given = {"SWATHPACK_BENCH_WARM_UP_S": "10", "SWATHPACK_BENCH_WINDOW_S": "30"}
    assert Window.asked(given) == Window(10, 30)
    assert Window.asked({}) == Window()


@pytest.mark.parametrize("text", ["long", "0", "-1", "nan", "inf"])
def test_a_window_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="SWATHPACK_BENCH_WINDOW_S is no time"):
        Window.asked({"SWATHPACK_BENCH_WINDOW_S": text})


@pytest.mark.parametrize(("call_s", "calls", "fill"), [(0.5, 21, 60), (20.0, 2, 3)])
def test_calls_warm_up_and_then_fill_the_window(call_s: float, calls: int, fill: int) -> None:
    now, done = [0.0], []

    def run() -> None:
        done.append(1)
        now[0] += call_s

    assert warm_up(run, WINDOW, clock=lambda: now[0]) == fill
    assert len(done) == calls


def test_a_rate_is_images_over_time_with_the_spread_of_its_tenths() -> None:
    timed = Timed(8, [0.1] * 50 + [0.2] * 50)
    assert timed.rate() == (pytest.approx(800 / 15), pytest.approx(40), pytest.approx(80))


def test_the_99th_percentile_is_the_99th_of_a_hundred_calls() -> None:
    assert Timed(1, [n / 100 for n in range(100, 0, -1)]).p99() == pytest.approx(0.99)
    assert Timed(1, [0.1] * 99).p99() is None


def test_rows_say_where_under_what_and_how_long() -> None:
    consumed = Consumed(joules=40.0, seconds=20.0, source="VDD_IN (INA3221 1-0040)", samples=400)
    found = {
        row.metric: row for row in rows("case", Timed(8, [0.2] * 100, consumed), WINDOW, HERE, device="cuda")
    }
    assert {metric: row.value for metric, row in found.items()} == pytest.approx(
        {"images/s": 40, "latency, median": 200, "latency, 99th percentile": 200, "energy": 50}
    )
    assert found["images/s"].unit == "images/s [slowest and fastest tenth of 30 s after 10 s]"
    assert found["energy"].unit == "mJ an image, idle included, VDD_IN (INA3221 1-0040)"
    for row in found.values():
        assert (row.hardware, row.isa_or_device, row.n) == ("Board, power mode 25W", "cuda, GPU 612 MHz", 100)
        assert row.versions.endswith("; driver 1")


def test_what_was_not_measured_has_no_row() -> None:
    assert [row.metric for row in rows("case", Timed(8, [0.2] * 10), WINDOW, HERE)] == [
        "images/s",
        "latency, median",
    ]


def test_idle_power_stands_apart() -> None:
    row = idle_row(Consumed(60.0, 12.0, "VDD_IN (INA3221 1-0040)", 240), HERE)
    assert (row.case, row.metric, row.value, row.unit) == ("idle", "power", 5.0, "W, VDD_IN (INA3221 1-0040)")


@pytest.mark.parametrize("n", [501, 600, 1000])
def test_the_median_of_many_calls_has_the_interval_of_the_sign_test(n: int) -> None:
    below, i = 1, 1  # in whole numbers: of P(Binomial(n, ½) < i) · 2^n
    while 40 * (below + math.comb(n, i)) <= 2**n:
        below += math.comb(n, i)
        i += 1
    middle, low, high = median_interval([float(k) for k in range(1, n + 1)])
    assert abs(low - i) <= 1
    assert (middle, high) == ((n + 1) / 2, n + 1 - low)


def test_ever_so_many_calls_have_an_interval() -> None:
    middle, low, high = median_interval([1.0] * 100_000)
    assert (middle, low, high) == (1, 1, 1)
