"""Under which power mode and clocks a row was measured, on a Jetson or on a machine with an NVIDIA card."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import hardware
from onboard.power.nvml import NvmlGpu

Ask = Callable[..., str]  # a command and its arguments → what it prints, empty where it cannot be run

_LONGEST = 4096  # bytes of a file that names something


@dataclass(frozen=True, slots=True)
class Machine:
    """What rows say of where they come from."""

    hardware: (
        str  # what does not change between runs, power mode included: rows of another mode stand beside these
    )
    state: str = ""  # clocks, limits and temperature now
    software: tuple[str, ...] = ()  # driver, board support package


def ask(*command: str) -> str:
    """What a command prints."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def jetson(root: Path = Path("/"), ask: Ask = ask) -> Machine | None:
    """A Jetson by its device tree; None on other machines. What it does not tell is left out, never guessed."""
    model = _text(root / "proc/device-tree/model").rstrip("\0")
    if "Jetson" not in model:
        return None
    release = re.match(r"# R(\d+) \(release\), REVISION: ([\d.]+)", _text(root / "etc/nv_tegra_release"))
    mode = re.search(r"NV Power Mode: *(\S+)", ask("nvpmodel", "-q"))
    if mode is None:  # a container without the command: its number in the file where the command notes it
        mode = re.search(r"pmode:0*(\d+)", _text(root / "var/lib/nvpmodel/status"))
    jetpack = ask("dpkg-query", "-W", "-f", "${Version}", "nvidia-jetpack").strip()
    return Machine(
        f"{model}, {f'power mode {mode[1]}' if mode else 'power mode unknown'}",
        _clocks(root),
        tuple(
            filter(
                None,
                (
                    f"L4T R{release[1]}.{release[2]}" if release else "",
                    f"JetPack {jetpack}" if jetpack else "",
                ),
            )
        ),
    )


def with_card(gpu: NvmlGpu) -> Machine:
    """Processor and card of a desktop or a server."""
    return Machine(f"{hardware()}; {gpu.model}", gpu.state(), (f"driver {gpu.driver}",))


def _clocks(root: Path) -> str:
    """Of the GPU by devfreq: pinned, as jetson_clocks leaves them, or free to move; and its temperature."""
    said = []
    for folder in sorted((root / "sys/class/devfreq").glob("*")):
        if not re.search(r"gpu|ga10b|gv11b|gp10b|gm20b", folder.name):
            continue
        least, now, most = (_hertz(folder / f"{name}_freq") for name in ("min", "cur", "max"))
        if None in (least, now, most):
            continue
        free = "pinned (jetson_clocks)" if least == most else f"free from {least} to {most} MHz"
        said.append(f"GPU {now} MHz, {free}")
        break
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        # JetPack 5 calls it tj-therm. A zone whose unit sleeps cannot be read, and the next one is taken.
        if re.fullmatch(r"(tj|gpu)-therm(al)?", _text(zone / "type").strip().lower()) and (
            heat := re.fullmatch(r"(-?\d{1,6})\n?", _text(zone / "temp"))
        ):
            said.append(f"{round(int(heat[1]) / 1000)} °C")
            break
    return ", ".join(said)


def _hertz(path: Path) -> int | None:
    """In MHz."""
    found = re.fullmatch(r"(\d{1,12})\n?", _text(path))
    return round(int(found[1]) / 1e6) if found else None


def _text(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_LONGEST).decode("utf-8", "replace")
    except OSError:
        return ""
