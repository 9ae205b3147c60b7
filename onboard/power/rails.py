"""Rails of a Jetson's INA3221 power monitors, read from sysfs.

    /sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3/in1_label    VDD_IN
                                                    in1_input    mV on the bus
                                                    curr1_input  mA through the shunt

Channels 1 to 3 are rails (Linux, Documentation/hwmon/ina3221.rst); `in7_label` and `curr4_input` are sums over channels of
unequal voltage, of which no power follows. hwmon numbers change from boot to boot, so a rail is known by its label. The
older driver `ina3221x` has `iio:device0/rail_name_0`, `in_voltage0_input`, `in_current0_input` instead, channels from 0.

Not yet read on a board: the tests replay trees that they write themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codec.errors import BackendUnavailable, Corrupt, InputError

DRIVERS = ("ina3221", "ina3221x")
# Labels that together stand for a whole module, without its carrier board. AGX Orin has no rail for all: its memory rail
# VDDQ_VDD2_1V8AO is at the voltage of VIN_SYS_5V0, is taken to lie behind that one, and is not counted twice.
MODULE = (
    ("VDD_IN",),  # Orin Nano and NX, Xavier NX, TX2
    ("POM_5V_IN",),  # Nano
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),  # AGX Orin
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),  # AGX Xavier
)
_SUM = "sum of shunt voltages"
_NOT_CONNECTED = "NC"
_LONGEST = 64  # bytes of a file that holds a number or a label
# INA3221: 12 bits of 8 mV on the bus, ±163.8 mV over a shunt, which is 1 mΩ or more on these boards.
_MOST_MV, _MOST_MA = 32_760, 163_800


@dataclass(frozen=True, slots=True)
class Rail:
    """One channel of one chip."""

    label: str
    chip: str  # its address on the I²C bus, as "1-0040"
    voltage: Path
    current: Path

    def watts(self) -> float:
        """Raises InputError where a file cannot be read, Corrupt where it holds anything but a possible number."""
        volts = _number(self.voltage, 0, _MOST_MV, "mV") * 1e-3
        return volts * _number(self.current, -_MOST_MA, _MOST_MA, "mA") * 1e-3


@dataclass(frozen=True, slots=True)
class RailPower:
    """The sum of some rails, as a power source."""

    rails: tuple[Rail, ...]

    @property
    def name(self) -> str:
        return " + ".join(f"{rail.label} (INA3221 {rail.chip})" for rail in self.rails)

    def watts(self) -> float:
        return sum(rail.watts() for rail in self.rails)

    def joules(self) -> float | None:
        return None


def find_rails(root: Path = Path("/")) -> dict[str, Rail]:
    """All connected rails of all chips by label, sorted.

    `root` is where `sys` lies. Raises BackendUnavailable where there is no such chip, InputError for a label that two rails
    have, Corrupt for one that is not text.
    """
    drivers = [root / "sys/bus/i2c/drivers" / name for name in DRIVERS]
    chips = [
        folder
        for driver in drivers
        for folder in sorted(driver.glob("*"))
        if re.fullmatch(r"\d+-00[0-9a-f]{2}", folder.name)
    ]
    if not chips:
        raise BackendUnavailable(
            "no INA3221 power monitor is here", path=drivers[0],
            fix="rails are read on a Jetson; a container needs /sys of its host",
        )  # fmt: skip
    found: dict[str, Rail] = {}
    for rail in (rail for chip in chips for rail in _rails_of(chip)):
        if rail.label in found:
            raise InputError(
                f"two rails are called {rail.label!r}",
                path=rail.voltage.parent,
                found=f"{found[rail.label].chip} and {rail.chip}",
            )
        found[rail.label] = rail
    return dict(sorted(found.items()))


def rail_power(root: Path = Path("/"), labels: Sequence[str] = ()) -> RailPower:
    """The named rails, by default those that stand for the whole module.

    Raises as `find_rails`; InputError, listing the labels that are there, for one that is not, that is a sum over channels,
    or where none of `MODULE` is complete.
    """
    there = find_rails(root)
    if not labels:
        labels = next((names for names in MODULE if there.keys() >= set(names)), ())
        if not labels:
            raise InputError(
                "no rail here stands for the whole module", expected=" or ".join(" + ".join(m) for m in MODULE),
                found=", ".join(there) or "none", fix="name the rails",
            )  # fmt: skip
    return RailPower(tuple(_named(there, label) for label in labels))


def _named(there: Mapping[str, Rail], label: str) -> Rail:
    if label == _SUM:
        raise InputError(
            f"{label!r} adds up channels of unequal voltage: no power follows from it", fix="name its rails"
        )
    if label not in there:
        raise InputError(f"no rail is called {label!r}", expected=", ".join(there) or "none", found=label)
    return there[label]


def _rails_of(chip: Path) -> Iterator[Rail]:
    """Of either driver's layout; the number in a folder's name says nothing."""
    for folder in sorted(chip.glob("hwmon/hwmon*")):
        for n in (1, 2, 3):
            names = f"in{n}_label", f"in{n}_input", f"curr{n}_input"
            switched_off = _text(folder / f"in{n}_enable") == "0"
            yield from () if switched_off else _rail(chip, folder, *names)
    for folder in sorted(chip.glob("iio:device*")):
        for n in (0, 1, 2):
            yield from _rail(chip, folder, f"rail_name_{n}", f"in_voltage{n}_input", f"in_current{n}_input")


def _rail(chip: Path, folder: Path, label: str, voltage: str, current: str) -> Iterator[Rail]:
    name = _text(folder / label)
    if name and name != _NOT_CONNECTED:
        yield Rail(name, chip.name, folder / voltage, folder / current)


def _text(path: Path) -> str:
    """What a label says; empty where the file is absent, as it is for a channel that is not connected."""
    if not path.exists():
        return ""
    data = _bytes(path)
    if not re.fullmatch(rb"[ -~]*\n?", data):
        raise Corrupt("a label is not a line of text", path=path, found=data)
    return data.decode("ascii").strip()


def _number(path: Path, least: int, most: int, unit: str) -> int:
    data = _bytes(path)
    if not re.fullmatch(rb"-?\d{1,9}\n?", data) or not least <= int(data) <= most:
        raise Corrupt(
            "not a measurement", path=path, expected=f"one integer from {least} to {most} {unit}", found=data
        )
    return int(data)


def _bytes(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_LONGEST)
    except OSError as error:
        raise InputError(
            f"a rail cannot be read: {error.strerror}",
            path=path,
            fix="check its permissions, and that its channel is on",
        ) from error
