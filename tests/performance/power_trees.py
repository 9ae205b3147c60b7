"""Power monitors as sysfs shows them, written by the tests: values are ours, names and units those of the drivers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

Channel = tuple[str, int, int]  # label, mV, mA


def write_hwmon(
    root: Path, chip: str, channels: Sequence[Channel], *, hwmon: int, driver: str = "ina3221"
) -> Path:
    """Channels 1, 2, 3 of a chip, and the sums that its driver shows beside them."""
    folder = root / "sys/bus/i2c/drivers" / driver / chip / "hwmon" / f"hwmon{hwmon}"
    folder.mkdir(parents=True, exist_ok=True)
    for n, (label, millivolts, milliamperes) in enumerate(channels, 1):
        write(folder, {f"in{n}_label": label, f"in{n}_input": millivolts, f"curr{n}_input": milliamperes})
    total = sum(milliamperes for _, _, milliamperes in channels)
    write(folder, {"in7_label": "sum of shunt voltages", "in7_input": total // 2, "curr4_input": total})
    return folder


def write_iio(root: Path, chip: str, channels: Sequence[Channel]) -> Path:
    """The older driver's layout: channels 0, 1, 2."""
    folder = root / "sys/bus/i2c/drivers/ina3221x" / chip / "iio:device0"
    folder.mkdir(parents=True, exist_ok=True)
    for n, (label, millivolts, milliamperes) in enumerate(channels):
        write(
            folder,
            {
                f"rail_name_{n}": label,
                f"in_voltage{n}_input": millivolts,
                f"in_current{n}_input": milliamperes,
            },
        )
    return folder


def write(folder: Path, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        (folder / name).write_text(f"{value}\n")


class Recording:
    """Snapshots of a tree, one every `period` seconds, and the clock they are replayed by."""

    def __init__(self, root: Path, snapshots: Sequence[Sequence[Channel]], period: float) -> None:
        self.root, self.snapshots, self.period = root, snapshots, period
        self.now = 100.0  # s: no window begins at 0
        self._next = 0
        self.step()

    def step(self) -> bool:
        """Write the next snapshot; False where there is none."""
        if self._next == len(self.snapshots):
            return False
        # Another boot, another number: nothing may depend on it.
        write_hwmon(self.root, "1-0040", self.snapshots[self._next], hwmon=3)
        self._next += 1
        return True

    def clock(self) -> float:
        return self.now
