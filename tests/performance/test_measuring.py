"""A case from its call to its rows: with energy where there is a source, without it and the reason said where not."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import measuring
from benchmarks.energy.machine import Machine
from benchmarks.latency import Window
from benchmarks.measuring import Conditions, Measure
from benchmarks.results import Row
from codec.errors import BackendUnavailable, TryAgain

SHORT = Window(1e-4, 1e-3)


class Benchmark:
    """What of pytest-benchmark's fixture is used."""

    def pedantic(
        self, run: Callable[[], object], *, rounds: int, iterations: int, warmup_rounds: int
    ) -> None:
        assert (iterations, warmup_rounds) == (1, 0)
        for _ in range(rounds):
            run()
        self.stats = SimpleNamespace(stats=SimpleNamespace(data=[0.01] * rounds))


class Counter:
    """1 J every time it is asked."""

    name = "a counter"
    told = 0.0

    def joules(self) -> float:
        self.told += 1
        return self.told

    def watts(self) -> float:
        raise AssertionError


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_SETTLE_S", 0.0)
    monkeypatch.setattr(measuring, "_IDLE_S", 0.0)


def measured(monkeypatch: pytest.MonkeyPatch, source: Any) -> list[Row]:
    def find(**_: Any) -> Any:
        if isinstance(source, Exception):
            raise source
        return source

    monkeypatch.setattr(measuring, "power_source", find)
    rows: list[Row] = []
    conditions = Conditions(False, rows.append, SHORT)
    timed = Measure(Benchmark(), rows.append, conditions)("case", lambda: None, 8, threads=1)
    assert timed.batch == 8
    return rows


def test_energy_and_idle_power_are_rows_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    idle, *rows = measured(monkeypatch, Counter())
    assert (idle.case, idle.metric, idle.unit) == ("idle", "power", "W, a counter")
    (energy,) = [row for row in rows if row.metric == "energy"]
    assert energy.value == pytest.approx(1000 / (8 * energy.n))
    assert "idle included, a counter" in energy.unit
    assert {row.threads for row in rows} == {1}


def test_without_a_source_the_row_is_absent_and_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(UserWarning, match="rows of energy will be absent: no rail"):
        rows = measured(monkeypatch, BackendUnavailable("no rail"))
    assert {row.metric for row in rows} >= {"images/s", "latency, median"}
    assert not {"energy", "power"} & {row.metric for row in rows}


def test_a_window_that_is_not_believed_costs_its_row_of_energy_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fails(Counter):
        def joules(self) -> float:
            if self.told == 3:  # the end of the case's window; idle took two
                raise TryAgain("vanished")
            return super().joules()

    with pytest.warns(UserWarning, match="case: its row of energy is absent: vanished"):
        rows = measured(monkeypatch, Fails())
    assert "energy" not in {row.metric for row in rows}
    assert "images/s" in {row.metric for row in rows}


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(measuring, "gpu_missing", lambda: "")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Card")
    there = Machine("Board, power mode 25W", "GPU 612 MHz", ("driver 1",))
    monkeypatch.setattr(measuring, "cuda_uuid", lambda: "GPU-b")
    # NVML counts cards in another order: the one that CUDA runs on is asked for by its name.
    monkeypatch.setattr(measuring, "this_machine", lambda gpu, uuid: {"GPU-b": there}[uuid])


@pytest.mark.usefixtures("card")
def test_a_row_of_a_gpu_gets_its_machine_and_power_mode() -> None:
    found = measuring.placed(Row("kernels", "case", "time", 1.0, isa_or_device="Card"))
    assert (found.hardware, found.isa_or_device) == ("Board, power mode 25W", "Card, GPU 612 MHz")
    assert found.versions.endswith("; driver 1")
    assert "torch" in found.versions


@pytest.mark.usefixtures("card")
def test_rows_say_where_under_what_and_with_which_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "power_source", lambda **_: Counter())
    place = Conditions(True, lambda row: None, SHORT).place(("torch",))
    assert (place["hardware"], place["isa_or_device"]) == ("Board, power mode 25W", "Card, GPU 612 MHz")
    assert "torch" in place["versions"]
    assert place["versions"].endswith("; driver 1")


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize(
    "row",
    [
        Row("throughput", "case", "time", 1.0, isa_or_device="cpu"),
        Row("throughput", "case", "bytes", 1.0),
        Row("kernels", "case", "time", 1.0, hardware="Elsewhere", isa_or_device="Card"),
    ],
)
def test_other_rows_stay_as_they_are(row: Row) -> None:
    assert measuring.placed(row) == row
