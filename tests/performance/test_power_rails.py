"""Rails of a Jetson: found by label in either driver's tree, and refused where anything in it is not a measurement."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec.errors import BackendUnavailable, Corrupt, InputError
from onboard.power.rails import find_rails, rail_power
from tests.performance.power_trees import write, write_hwmon, write_iio

ORIN_NX = (("VDD_IN", 5000, 2000), ("VDD_CPU_GPU_CV", 5000, 800), ("VDD_SOC", 4900, 300))
AGX_FIRST = (("VDD_GPU_SOC", 20_000, 400), ("VDD_CPU_CV", 20_000, 150), ("VIN_SYS_5V0", 5000, 1000))
AGX_SECOND = (("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 5000, 200))


@pytest.mark.parametrize("hwmon", [0, 3, 11])
def test_a_rail_is_found_by_its_label_whatever_the_boot_called_it(tmp_path: Path, hwmon: int) -> None:
    write_hwmon(tmp_path, "1-0040", ORIN_NX, hwmon=hwmon)
    rails = find_rails(tmp_path)
    assert list(rails) == ["VDD_CPU_GPU_CV", "VDD_IN", "VDD_SOC"]
    assert rails["VDD_CPU_GPU_CV"].watts() == pytest.approx(4.0)


def test_the_module_is_the_rail_that_feeds_it(tmp_path: Path) -> None:
    write_hwmon(tmp_path, "1-0040", ORIN_NX, hwmon=2)
    power = rail_power(tmp_path)
    assert power.watts() == pytest.approx(10.0)
    assert power.name == "VDD_IN (INA3221 1-0040)"
    assert power.joules() is None


def test_a_module_without_such_a_rail_is_the_sum_of_two_chips_without_the_one_behind(tmp_path: Path) -> None:
    write_hwmon(tmp_path, "1-0041", AGX_SECOND, hwmon=1)
    write_hwmon(tmp_path, "1-0040", AGX_FIRST, hwmon=4)
    assert set(find_rails(tmp_path)) == {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"}
    assert rail_power(tmp_path).watts() == pytest.approx(8 + 3 + 5)
    own = rail_power(tmp_path, ["VDDQ_VDD2_1V8AO"])
    assert (own.watts(), own.name) == (pytest.approx(1.0), "VDDQ_VDD2_1V8AO (INA3221 1-0041)")


def test_the_older_driver_counts_from_nought_and_has_other_names(tmp_path: Path) -> None:
    write_iio(tmp_path, "6-0040", (("POM_5V_IN", 5000, 1500), ("POM_5V_GPU", 5000, 200)))
    assert rail_power(tmp_path).name == "POM_5V_IN (INA3221 6-0040)"
    assert rail_power(tmp_path).watts() == pytest.approx(7.5)


def test_the_older_drivers_name_with_the_newer_layout(tmp_path: Path) -> None:
    write_hwmon(tmp_path, "7-0040", ORIN_NX, hwmon=0, driver="ina3221x")
    assert rail_power(tmp_path).watts() == pytest.approx(10.0)


def test_without_a_power_monitor_there_is_no_energy(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="no INA3221 power monitor"):
        find_rails(tmp_path)


def test_sums_over_channels_are_no_rails(tmp_path: Path) -> None:
    write_hwmon(tmp_path, "1-0040", ORIN_NX, hwmon=3)
    with pytest.raises(InputError, match="no power follows from it"):
        rail_power(tmp_path, ["sum of shunt voltages"])


def test_an_unknown_rail_is_refused_with_those_there_are(tmp_path: Path) -> None:
    write_hwmon(tmp_path, "1-0040", ORIN_NX, hwmon=3)
    with pytest.raises(InputError, match="VDD_CPU_GPU_CV, VDD_IN, VDD_SOC"):
        rail_power(tmp_path, ["VDD_GPU"])


def test_part_of_a_module_does_not_stand_for_it(tmp_path: Path) -> None:
    write_hwmon(tmp_path, "1-0040", AGX_FIRST[:2], hwmon=3)
    with pytest.raises(InputError, match="no rail here stands for the whole module"):
        rail_power(tmp_path)


def test_one_label_on_two_chips_is_refused(tmp_path: Path) -> None:
    write_hwmon(tmp_path, "1-0040", ORIN_NX, hwmon=3)
    write_hwmon(tmp_path, "1-0041", ORIN_NX[:1], hwmon=4)
    with pytest.raises(InputError, match="two rails are called 'VDD_IN'"):
        find_rails(tmp_path)


def test_a_channel_that_is_off_is_no_rail(tmp_path: Path) -> None:
    folder = write_hwmon(tmp_path, "1-0040", ORIN_NX, hwmon=3)
    write(folder, {"in3_enable": 0})
    assert "VDD_SOC" not in find_rails(tmp_path)


@pytest.mark.parametrize("name", ["in1_input", "curr1_input"])
@pytest.mark.parametrize(
    "content", [b"", b"\n", b"5000 \n", b"5e3\n", b"5000\n5000\n", b"\xff\n", b"99999999\n", b"9" * 4096]
)
def test_what_is_no_measurement_is_refused_by_place(tmp_path: Path, name: str, content: bytes) -> None:
    folder = write_hwmon(tmp_path, "1-0040", ORIN_NX, hwmon=3)
    (folder / name).write_bytes(content)
    with pytest.raises(Corrupt, match=f"{name}: not a measurement"):
        rail_power(tmp_path).watts()


def test_a_voltage_below_nought_is_refused_and_a_current_is_not(tmp_path: Path) -> None:
    folder = write_hwmon(tmp_path, "1-0040", ORIN_NX, hwmon=3)
    write(folder, {"curr1_input": -4})  # an idle rail's offset
    assert rail_power(tmp_path).watts() == pytest.approx(-0.02)
    write(folder, {"in1_input": -4})
    with pytest.raises(Corrupt):
        rail_power(tmp_path).watts()


@pytest.mark.parametrize("name", ["in1_input", "curr1_input"])
def test_a_missing_file_is_refused_by_place(tmp_path: Path, name: str) -> None:
    (write_hwmon(tmp_path, "1-0040", ORIN_NX, hwmon=3) / name).unlink()
    with pytest.raises(InputError, match=f"{name}: a rail cannot be read"):
        rail_power(tmp_path).watts()


def test_a_label_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (write_hwmon(tmp_path, "1-0040", ORIN_NX, hwmon=3) / "in2_label").write_bytes(b"\x00\xff")
    with pytest.raises(Corrupt, match="in2_label: a label is not a line of text"):
        find_rails(tmp_path)
