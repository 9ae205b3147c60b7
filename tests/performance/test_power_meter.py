"""Energy of a window from recorded trees and counters: what is integrated, and what is not believed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from codec.errors import Corrupt, InternalError, TryAgain
from onboard.power.meter import Consumed, Meter, Sample, integrate
from onboard.power.rails import rail_power
from tests.performance.power_trees import Channel, Recording, write_hwmon


def rail(milliamperes: int) -> Sequence[Channel]:
    return [("VDD_IN", 5000, milliamperes)]


class Replay:
    """In the place of the event that stops a thread: every wait is a step of the recording."""

    def __init__(self, recording: Recording) -> None:
        self.recording, self.waits, self.over = recording, [], threading.Event()

    def set(self) -> None:
        assert self.over.wait(10), "the recording was not played to its end"

    def wait(self, timeout: float) -> bool:
        self.waits.append(timeout)
        if not self.recording.step():
            self.over.set()
            return True
        self.recording.now += self.recording.period
        return False


def replayed(root: Path, milliamperes: Sequence[int], period: float) -> tuple[Consumed, Replay]:
    recording = Recording(root, [rail(one) for one in milliamperes], period)
    stop = Replay(recording)
    with Meter(rail_power(root), clock=recording.clock, stop=stop) as meter:
        assert stop.over.wait(10)
        recording.now += period  # the work ends later than the last sample of the thread
    return meter.consumed, stop


def test_a_window_is_the_integral_of_what_the_rail_said(tmp_path: Path) -> None:
    # By hand: 5, 10, 20, 10 W at 0, 50, 100, 150 ms, and 10 W until 200 ms.
    found, stop = replayed(tmp_path, [1000, 2000, 4000, 2000], 0.05)
    assert found.joules == pytest.approx((7.5 + 15 + 15 + 10) * 0.05)
    assert (found.seconds, found.samples) == (pytest.approx(0.2), 5)
    assert found.watts == pytest.approx(found.joules / 0.2)
    assert found.per(10) == pytest.approx(found.joules / 10)
    assert found.source == "VDD_IN (INA3221 1-0040)"
    assert all(timeout <= 0.1 for timeout in stop.waits), "sampled at 10 Hz or more"


def test_idle_is_a_window_of_its_own(tmp_path: Path) -> None:
    idle, _ = replayed(tmp_path / "idle", [1000] * 5, 0.05)
    busy, _ = replayed(tmp_path / "busy", [3000] * 5, 0.05)
    assert (idle.watts, busy.watts) == (pytest.approx(5), pytest.approx(15))


def test_uneven_samples_are_weighed_by_their_time() -> None:
    assert integrate([Sample(0, 2), Sample(1, 4), Sample(4, 4)]) == pytest.approx(3 + 12)
    assert integrate([Sample(3, 9)]) == 0


def test_too_few_samples_are_not_believed(tmp_path: Path) -> None:
    with pytest.raises(TryAgain, match="sampled too rarely"):
        replayed(tmp_path, [1000] * 5, 0.2)


def test_what_the_thread_could_not_read_is_raised_where_the_window_is_read(tmp_path: Path) -> None:
    recording = Recording(tmp_path, [rail(1000)] * 3, 0.05)
    stop, power = Replay(recording), rail_power(tmp_path)

    class Flaky:
        name = "flaky"
        calls = 0

        def watts(self) -> float:
            self.calls += 1
            if self.calls == 2:  # the thread's first; what comes after is whole again
                stop.over.set()
                raise Corrupt("not a measurement")
            return power.watts()

        def joules(self) -> float | None:
            return None

    with Meter(Flaky(), clock=recording.clock, stop=stop) as meter:
        assert stop.over.wait(10)
    with pytest.raises(Corrupt, match="not a measurement"):
        _ = meter.consumed


def test_a_rail_that_fails_before_the_window_costs_the_energy_and_not_the_work(tmp_path: Path) -> None:
    folder = write_hwmon(tmp_path, "1-0040", rail(1000), hwmon=3)
    power, done = rail_power(tmp_path), []
    (folder / "curr1_input").write_text("")
    with Meter(power) as meter:
        done.append(1)
    assert done
    with pytest.raises(Corrupt, match="curr1_input"):
        _ = meter.consumed


def test_a_window_that_is_not_over_has_no_energy(tmp_path: Path) -> None:
    write_hwmon(tmp_path, "1-0040", rail(1000), hwmon=3)
    with Meter(rail_power(tmp_path)) as meter, pytest.raises(InternalError):
        _ = meter.consumed


def test_the_real_thread_samples_until_it_is_told_to_stop(tmp_path: Path) -> None:
    write_hwmon(tmp_path, "1-0040", rail(2000), hwmon=3)
    power, enough = rail_power(tmp_path), threading.Event()

    class Counted:
        name = "counted"
        calls = 0

        def watts(self) -> float:
            self.calls += 1
            if self.calls == 4:
                enough.set()
            return power.watts()

        def joules(self) -> float | None:
            return None

    with Meter(Counted()) as meter:
        assert enough.wait(10)
    assert meter.consumed.watts == pytest.approx(10)
    assert meter.consumed.samples >= 5  # four that were waited for, and the last of the window


class Counter:
    """An energy counter that is played."""

    name = "counter"

    def __init__(self, *joules: float) -> None:
        self.told = list(joules)

    def watts(self) -> float:
        raise AssertionError("a counter is not sampled")

    def joules(self) -> float | None:
        return self.told.pop(0)


def test_a_counter_is_read_twice_and_never_sampled() -> None:
    times = iter([10.0, 14.0])
    with Meter(Counter(1000.0, 1200.0), clock=lambda: next(times)) as meter:
        pass
    assert meter.consumed == Consumed(200.0, 4.0, "counter", 0)
    assert meter.consumed.watts == 50


def test_a_counter_that_fell_back_is_not_believed() -> None:
    with Meter(Counter(1000.0, 3.0)) as meter:
        pass
    with pytest.raises(TryAgain, match="fell back"):
        _ = meter.consumed
