"""Plans that were built on this machine, by everything they depend on.

A plan runs on the device and the version it was built for and nowhere else, so it is never sent up: the ONNX graph is, and
what is built from it stays here. Another graph, version, device, power mode or option is another key, hence another build;
plans of other keys stay until newer ones push them out, so that going back costs nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codec.atomic import write_atomic
from codec.errors import InputError

ENVIRONMENT = "SWATHPACK_ENGINE_CACHE"
KEEP = 6  # plans; a few precisions and power modes of a few models
_NAME = re.compile(r"[0-9a-f]{32}\.plan")
_POWER_MODE = Path("/var/lib/nvpmodel/status")  # what nvpmodel writes on a Jetson; elsewhere there is none


@dataclass(frozen=True, slots=True)
class PlanKey:
    """What a plan depends on."""

    onnx_sha256: str
    runtime: str  # tensorrt or tensorrt-rtx
    version: str
    device: str  # name of the GPU
    compute_capability: str
    power_mode: str  # kernels are timed at its clocks
    flags: str

    @property
    def digest(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def default_folder() -> Path:
    """SWATHPACK_ENGINE_CACHE, else `swathpack/engines` in the user's cache."""
    told = os.environ.get(ENVIRONMENT)
    if told:
        return Path(told)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swathpack" / "engines"


def power_mode(path: Path = _POWER_MODE) -> str:
    """Of a Jetson, as `nvpmodel` notes it ("pmode:0002"); "none" elsewhere."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return " ".join(file.read(200).split()) or "none"
    except OSError:
        return "none"


class PlanCache:
    """Plans in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, key: PlanKey) -> bytes | None:
        """The plan of `key`, whole and unchanged since it was built; else None."""
        try:
            note: Any = json.loads(self._note(key).read_bytes())
            plan = self._plan(key).read_bytes()
            intact = note["key"] == asdict(key) and note["sha256"] == hashlib.sha256(plan).hexdigest()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return plan if intact else None

    def store(self, key: PlanKey, plan: bytes) -> None:
        """Keep a plan, and the newest KEEP in all. Raises InputError where the folder cannot be written."""
        note = {"key": asdict(key), "sha256": hashlib.sha256(plan).hexdigest()}
        self._write(self._plan(key), plan)
        self._write(self._note(key), json.dumps(note, indent=1).encode())
        others = sorted(
            (
                path
                for path in self.folder.iterdir()
                if _NAME.fullmatch(path.name) and path != self._plan(key)
            ),
            key=lambda path: path.stat().st_mtime_ns,
        )
        for path in others[: max(0, len(others) + 1 - KEEP)]:
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)

    def timings(self, key: PlanKey) -> bytes:
        """Timings of earlier builds by the same version on the same device; empty when there are none."""
        try:
            return self._timings(key).read_bytes()
        except OSError:
            return b""

    def store_timings(self, key: PlanKey, data: bytes) -> None:
        if data:
            self._write(self._timings(key), data)

    def forget_timings(self, key: PlanKey) -> None:
        self._timings(key).unlink(missing_ok=True)

    def _plan(self, key: PlanKey) -> Path:
        return self.folder / f"{key.digest}.plan"

    def _note(self, key: PlanKey) -> Path:
        return self.folder / f"{key.digest}.json"

    def _timings(self, key: PlanKey) -> Path:
        text = "\n".join((key.runtime, key.version, key.device, key.compute_capability, key.power_mode))
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.timings"

    def _write(self, path: Path, data: bytes) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomic(path, data)
        except OSError as error:
            raise InputError(
                f"the cache of engines cannot be written: {error.strerror}",
                path=path,
                fix=f"name another folder in {ENVIRONMENT}",
            ) from error
