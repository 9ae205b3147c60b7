"""NVML through a library that answers and refuses as the driver does, and which source of energy is chosen."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.energy import __main__ as command
from benchmarks.energy import find
from benchmarks.energy.find import gpu_missing, kernels_missing, this_machine
from codec.errors import BackendUnavailable, InputError
from onboard.power.find import power_source
from onboard.power.nvml import NvmlGpu
from tests.performance.power_trees import write_hwmon

NOT_FOUND, NOT_SUPPORTED, NO_PERMISSION, UNINITIALISED = 6, 3, 4, 1
CARDS = {"GPU-a": "Card A", "GPU-b": "Card B"}


class FakeNvml:
    """Two cards. Refuses calls before nvmlInit, unknown cards, foreign handles, and what `without` names."""

    def __init__(
        self, *without: str, refusal: int = NOT_SUPPORTED, cards: Sequence[str] = tuple(CARDS)
    ) -> None:
        self.without, self.refusal, self.cards = without, refusal, cards
        self.ready, self.millijoules = False, 5_000_000

    def __getattr__(self, function: str) -> Any:
        if not function.startswith("nvml"):
            raise AttributeError(function)

        def call(*arguments: Any) -> int:
            if function == "nvmlInit_v2":
                self.ready = True
                return 0
            if not self.ready:
                return UNINITIALISED
            return self.refusal if function in self.without else self._answer(function, arguments)

        return call

    def _answer(self, function: str, arguments: tuple[Any, ...]) -> int:
        names = list(CARDS.values())
        if function == "nvmlSystemGetDriverVersion":
            arguments[0].value = b"580.10"
            return 0
        if function == "nvmlDeviceGetCount_v2":
            arguments[0]._obj.value = len(self.cards)
            return 0
        if function.startswith("nvmlDeviceGetHandleBy"):
            asked, place = arguments
            card = list(CARDS)[asked.value] if function.endswith("Index_v2") else asked.value.decode()
            if card not in CARDS:
                return NOT_FOUND
            place._obj.value = 100 + list(CARDS).index(card)
            return 0
        handle, *rest = arguments
        card = names[handle.value - 100]
        if function == "nvmlDeviceGetName":
            rest[0].value = card.encode()
        elif function == "nvmlDeviceGetTotalEnergyConsumption":
            assert isinstance(rest[0]._obj, ctypes.c_ulonglong)
            rest[0]._obj.value = self.millijoules
        elif function == "nvmlDeviceGetPowerUsage":
            rest[0]._obj.value = 70_500 if card == "Card A" else 300_000
        elif function == "nvmlDeviceGetEnforcedPowerLimit":
            rest[0]._obj.value = 700_000
        elif function == "nvmlDeviceGetClockInfo":
            rest[1]._obj.value = {1: 1980, 2: 2619}[rest[0].value]
        elif function == "nvmlDeviceGetTemperature":
            rest[1]._obj.value = 41
        else:
            raise AssertionError(function)
        return 0


def test_energy_is_the_drivers_counter_in_joules() -> None:
    nvml = FakeNvml()
    gpu = NvmlGpu(library=nvml)
    assert gpu.joules() == pytest.approx(5000)
    nvml.millijoules += 2**33  # beyond 32 bits
    assert gpu.joules() == pytest.approx(5000 + 2**33 / 1000)
    assert gpu.name == "NVML energy counter of the Card A"


def test_without_the_counter_power_is_sampled() -> None:
    gpu = NvmlGpu(library=FakeNvml("nvmlDeviceGetTotalEnergyConsumption"))
    assert gpu.joules() is None
    assert gpu.watts() == pytest.approx(70.5)
    assert gpu.name == "NVML power of the Card A"


class OlderNvml(FakeNvml):
    """A library that was built before the functions of `without`."""

    def __getattr__(self, function: str) -> Any:
        if function in self.__dict__.get("without", ()):
            raise AttributeError(function)
        return super().__getattr__(function)


@pytest.mark.parametrize("kind", [OlderNvml, lambda name: FakeNvml(name, refusal=NO_PERMISSION)])
def test_a_counter_that_an_older_driver_or_a_container_lacks_is_no_fault(kind: Callable[..., Any]) -> None:
    gpu = NvmlGpu(library=kind("nvmlDeviceGetTotalEnergyConsumption"))
    assert gpu.joules() is None
    assert gpu.watts() == pytest.approx(70.5)
    assert NvmlGpu(library=kind("nvmlDeviceGetEnforcedPowerLimit")).state().startswith("SM 1980 MHz")


def test_a_library_without_what_every_card_needs_is_refused() -> None:
    with pytest.raises(BackendUnavailable, match="refuses nvmlDeviceGetName"):
        NvmlGpu(library=OlderNvml("nvmlDeviceGetName"))


def test_the_card_is_chosen_by_its_uuid_since_orders_differ() -> None:
    assert NvmlGpu("GPU-b", FakeNvml()).watts() == pytest.approx(300)
    with pytest.raises(BackendUnavailable, match=f"nvmlDeviceGetHandleByUUID.*error {NOT_FOUND}"):
        NvmlGpu("GPU-c", FakeNvml())


def test_the_state_holds_what_the_driver_tells() -> None:
    assert NvmlGpu(library=FakeNvml()).state() == "SM 1980 MHz, memory 2619 MHz, limit 700 W, 41 °C"
    told = NvmlGpu(library=FakeNvml("nvmlDeviceGetClockInfo", "nvmlDeviceGetTemperature")).state()
    assert told == "limit 700 W"


def test_rails_come_before_the_card_since_they_hold_the_whole_module(tmp_path: Path) -> None:
    assert power_source(tmp_path, library=FakeNvml()).name.startswith("NVML energy counter")
    write_hwmon(tmp_path, "1-0040", [("VDD_IN", 5000, 1000)], hwmon=0)
    assert power_source(tmp_path, library=FakeNvml()).name == "VDD_IN (INA3221 1-0040)"


def test_a_card_says_nothing_of_what_runs_on_the_processor(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="no INA3221"):
        power_source(tmp_path, gpu=False, library=FakeNvml())


def test_rails_that_are_wrong_are_not_passed_over(tmp_path: Path) -> None:
    write_hwmon(tmp_path, "1-0040", [("VDD_SOMETHING", 5000, 1000)], hwmon=0)
    with pytest.raises(InputError, match="no rail here stands for the whole module"):
        power_source(tmp_path, library=FakeNvml())


def test_a_counter_is_enough_where_power_is_not_told(tmp_path: Path) -> None:
    assert power_source(tmp_path, library=FakeNvml("nvmlDeviceGetPowerUsage")).joules() == pytest.approx(5000)


def test_without_either_both_reasons_are_given(tmp_path: Path) -> None:
    silent = FakeNvml("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetPowerUsage")
    with pytest.raises(
        BackendUnavailable, match=r"no INA3221 power monitor is here; the driver does not tell"
    ):
        power_source(tmp_path, library=silent)


ORIN = "NVIDIA Jetson Orin NX Engineering Reference Developer Kit\0"


def orin(root: Path, least: int, most: int) -> None:
    files = {
        "proc/device-tree/model": ORIN,
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic, EABI: aarch64\n",
        "sys/class/devfreq/13e10000.nvenc/cur_freq": "1\n",
        "sys/class/devfreq/17000000.gpu/min_freq": f"{least}\n",
        "sys/class/devfreq/17000000.gpu/cur_freq": "612000000\n",
        "sys/class/devfreq/17000000.gpu/max_freq": f"{most}\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "99000\n",
        "sys/class/thermal/thermal_zone8/type": "tj-thermal\n",
        "sys/class/thermal/thermal_zone8/temp": "48312\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def printed(*command: str) -> str:
    return {"nvpmodel": "NV Power Mode: 25W\n3\n", "dpkg-query": "6.2+b77"}[command[0]]


def test_a_jetson_says_its_mode_release_and_clocks(tmp_path: Path) -> None:
    orin(tmp_path, 306_000_000, 918_000_000)
    found = this_machine(gpu=True, root=tmp_path, ask=printed)
    assert found.hardware == "NVIDIA Jetson Orin NX Engineering Reference Developer Kit, power mode 25W"
    assert found.state == "GPU 612 MHz, free from 306 to 918 MHz, 48 °C"
    assert found.software == ("L4T R36.4.3", "JetPack 6.2+b77")


def test_jetpack_5_calls_its_thermal_zones_otherwise(tmp_path: Path) -> None:
    orin(tmp_path, 1, 2)
    (tmp_path / "sys/class/thermal/thermal_zone8/type").write_text("tj-therm\n")
    assert this_machine(gpu=True, root=tmp_path, ask=printed).state.endswith("48 °C")


def test_equal_bounds_are_what_jetson_clocks_leaves(tmp_path: Path) -> None:
    orin(tmp_path, 612_000_000, 612_000_000)
    assert (
        this_machine(gpu=True, root=tmp_path, ask=printed).state
        == "GPU 612 MHz, pinned (jetson_clocks), 48 °C"
    )


def test_what_a_jetson_does_not_say_is_left_out_and_never_guessed(tmp_path: Path) -> None:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_text(ORIN)
    found = this_machine(gpu=True, root=tmp_path, ask=lambda *_: "")
    assert found.hardware.endswith("power mode unknown")
    assert (found.state, found.software) == ("", ())


def test_without_its_command_a_power_mode_is_known_by_number(tmp_path: Path) -> None:
    """Else rows of two modes would be one."""
    orin(tmp_path, 1, 2)
    (tmp_path / "var/lib/nvpmodel").mkdir(parents=True)
    for text, number in (("pmode:0000 fmode:quiet\n", 0), ("pmode:0002\n", 2)):
        (tmp_path / "var/lib/nvpmodel/status").write_text(text)
        found = this_machine(gpu=True, root=tmp_path, ask=lambda *_: "")
        assert found.hardware.endswith(f"power mode {number}")


def test_a_desktop_names_processor_and_card(tmp_path: Path) -> None:
    found = this_machine(gpu=True, root=tmp_path, library=FakeNvml(), ask=printed)
    assert found.hardware.endswith("cores; Card A")
    assert found.state.startswith("SM 1980 MHz")
    assert found.software == ("driver 580.10",)
    assert "Card" not in this_machine(gpu=False, root=tmp_path, library=FakeNvml(), ask=printed).hardware


def test_rows_of_a_gpu_say_which_cuda_torch_was_built_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    card = this_machine(gpu=True, root=tmp_path, library=FakeNvml(), ask=printed)
    assert card.software == ("driver 580.10", "CUDA 13.0")
    orin(tmp_path, 1, 2)
    assert this_machine(gpu=True, root=tmp_path, ask=printed).software[-1] == "CUDA 13.0"
    assert "CUDA 13.0" not in this_machine(gpu=False, root=tmp_path, ask=printed).software


def test_a_card_whose_driver_tells_nothing_is_named_by_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(find, "gpu_missing", lambda: "")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Card Z")
    silent = FakeNvml("nvmlDeviceGetName")
    assert this_machine(gpu=True, root=tmp_path, library=silent, ask=printed).hardware.endswith(
        "cores; Card Z"
    )


@pytest.mark.parametrize(("absent", "said"), [("torch", gpu_missing), ("triton", kernels_missing)])
def test_what_is_missing_for_a_gpu_is_named_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, absent: str, said: Callable[[], str]
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(find, "find_spec", lambda name: None if name == absent else object())
    assert said().startswith(f"{absent} is not installed")
    assert "pip install 'swathpack[gpu]'" in said()
    monkeypatch.setattr(find, "find_spec", lambda name: object())
    assert not said()


def test_a_build_without_cuda_is_told_from_a_machine_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(find, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "is a build without CUDA" in gpu_missing()
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert gpu_missing().startswith("no NVIDIA GPU with a working driver")


def test_the_command_says_all_of_it_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "gpu_missing", lambda: "no GPU here")
    monkeypatch.setattr(command, "power_source", lambda **_: NvmlGpu(library=FakeNvml()))
    assert command.main() == 0
    machine, energy, gpu = capsys.readouterr().out.splitlines()
    assert machine.startswith("machine:  ")
    assert energy == "energy:   NVML energy counter of the Card A"
    assert gpu.endswith("their rows stay not measured. no GPU here")
