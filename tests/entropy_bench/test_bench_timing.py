"""How the entropy benchmark measures: pairs, intervals, buffers, rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.entropy import buffers, machine, timing


class FakeClock:
    """Time that only work moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float, order: list[str] | None = None, name: str = "") -> Callable[[int], None]:
        def run(_: int) -> None:
            self.now += seconds
            if order is not None:
                order.append(name)

        return run


def test_a_ratio_is_how_many_times_as_fast_per_unit() -> None:
    clock = FakeClock()
    found = timing.paired(
        clock.work(0.002), clock.work(0.03), units=(200, 1000), rounds=7, seconds=0.01, clock=clock
    )
    assert found.ours == pytest.approx([1e-5] * 7)
    assert found.ratio() == pytest.approx((3.0, 3.0, 3.0))


def test_sides_take_turns_at_going_first() -> None:
    clock, order = FakeClock(), []
    timing.paired(clock.work(1, order, "a"), clock.work(1, order, "b"), rounds=4, seconds=0.5, clock=clock)
    assert order[-8:] == ["a", "b", "b", "a", "a", "b", "b", "a"]


def test_a_span_lasts_at_least_as_long_as_asked() -> None:
    clock = FakeClock()
    assert timing.repeats_for(clock.work(0.001), 0.03, clock) * 0.001 >= 0.03
    assert timing.repeats_for(clock.work(1.0), 0.03, clock) == 1


def test_every_round_hands_its_number_to_the_work() -> None:
    clock, seen = FakeClock(), []

    def work(number: int) -> None:
        seen.append(number)
        clock.now += 1

    timing.alone(work, rounds=3, seconds=0.5, clock=clock)
    assert seen[-3:] == [0, 1, 2]


@pytest.mark.parametrize(
    ("n", "first"),
    # Tabled: the sign test's 95 % interval of a median runs from the n-th of these order statistics.
    [(3, 1), (5, 1), (6, 1), (8, 1), (9, 2), (11, 2), (12, 3), (15, 4), (20, 6), (30, 10), (50, 18)],
)
def test_the_interval_of_a_median_is_the_tabled_one(n: int, first: int) -> None:
    values = np.random.default_rng(n).permutation(np.arange(1, n + 1)).tolist()
    middle, low, high = timing.median_interval(values)
    assert (low, high) == (first, n + 1 - first)
    assert middle == (n + 1) / 2


def test_rates_are_units_per_second() -> None:
    assert timing.rate([0.5, 0.25, 1.0]) == (2.0, 1.0, 4.0)


@pytest.mark.parametrize("offset", buffers.OFFSETS)
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float32])
def test_a_buffer_begins_where_it_was_asked_to(offset: int, dtype: type) -> None:
    array = buffers.empty((3, 5, 7), dtype, offset)
    assert array.flags.c_contiguous
    assert array.flags.aligned
    assert array.ctypes.data % 64 == offset // array.itemsize * array.itemsize


def test_copies_and_moved_bytes_hold_what_they_were_given() -> None:
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    assert all(np.array_equal(copy, values) for copy in buffers.copies(values))
    assert bytes(buffers.moved(b"record", 31)) == b"record"


def test_processor_flags_are_read_as_the_kernel_names_them() -> None:
    intel = "model name\t: x\nflags\t\t: fpu avx2 avx512f avx512bw avx512_vbmi2 gfni\n"
    assert machine.flags(intel) == ("avx2", "avx512", "vbmi2", "gfni")
    assert machine.flags("Features\t: fp asimd crc32\n") == ("neon",)


def test_a_row_names_the_instruction_set_and_the_rivals_versions() -> None:
    row = machine.row("avx2", "case", "metric", 2.0, 1.0, 3.0, unit="x", rival="r", n=5, software=["r 1.0"])
    assert (row.suite, row.case, row.value, row.lo, row.hi, row.rival, row.threads) == (
        "entropy",
        "case",
        2,
        1,
        3,
        "r",
        1,
    )
    assert row.isa_or_device.startswith("avx2 (")
    assert row.versions.endswith("; r 1.0")


def test_a_clock_is_measured_or_said_to_be_missing() -> None:
    try:
        hz = machine.clock_hz(0.002)
    except machine.Missing as reason:
        pytest.skip(str(reason))
    assert 1e8 < hz < 1e10
