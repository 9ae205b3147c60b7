"""Energy, clocks and names of an NVIDIA GPU by its driver's management library, through ctypes.

`libnvidia-ml.so.1` lies wherever a driver is: nothing needs to be installed beside it. Energy is the driver's own counter
(nvmlDeviceGetTotalEnergyConsumption, mJ since the driver was loaded, Volta and later), which needs no sampling; where it is
not supported power is sampled (nvmlDeviceGetPowerUsage, mW, of the last second on most boards).

Not yet run on a device: the tests drive this file with a library that refuses what the driver refuses.
"""

from __future__ import annotations

import ctypes
from typing import Any

from codec.errors import BackendUnavailable

_LIBRARY = "libnvidia-ml.so.1"
# NVML_ERROR_NOT_SUPPORTED, NO_PERMISSION (of a container or a part of a card), FUNCTION_NOT_FOUND (an older driver)
_NOT_TOLD = (3, 4, 13)
_NOT_FOUND = 13
_SM, _MEMORY = 1, 2  # NVML_CLOCK_SM, NVML_CLOCK_MEM
_LONGEST_NAME = 96  # NVML_DEVICE_NAME_V2_BUFFER_SIZE


class NvmlGpu:
    """One GPU as a power source."""

    def __init__(self, uuid: str | None = None, library: Any = None) -> None:
        """The GPU called `uuid` ("GPU-…"), else the first: NVML's order is not CUDA's. Raises BackendUnavailable."""
        self._nvml = library if library is not None else _load()
        self._call("nvmlInit_v2")
        self._handle = ctypes.c_void_p()
        if uuid is None:
            self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(0), ctypes.byref(self._handle))
        else:
            self._call(
                "nvmlDeviceGetHandleByUUID", ctypes.c_char_p(uuid.encode()), ctypes.byref(self._handle)
            )
        self.model = self._text("nvmlDeviceGetName", self._handle)
        self.driver = self._text("nvmlSystemGetDriverVersion")
        self._counts = self._energy_mj() is not None

    @property
    def name(self) -> str:
        return f"NVML {'energy counter' if self._counts else 'power'} of the {self.model}"

    def watts(self) -> float:
        milliwatts = self._number("nvmlDeviceGetPowerUsage")
        if milliwatts is None:
            raise BackendUnavailable(f"the driver does not tell the power of the {self.model}")
        return milliwatts * 1e-3

    def joules(self) -> float | None:
        if not self._counts:
            return None
        millijoules = self._energy_mj()
        return None if millijoules is None else millijoules * 1e-3

    def cards(self) -> int:
        """How many there are on this host."""
        count = ctypes.c_uint()
        self._call("nvmlDeviceGetCount_v2", ctypes.byref(count))
        return count.value

    def state(self) -> str:
        """Clocks, power limit and temperature now, as far as the driver tells them."""
        limit = self._number("nvmlDeviceGetEnforcedPowerLimit")
        told = {
            "SM {} MHz": self._number("nvmlDeviceGetClockInfo", ctypes.c_uint(_SM)),
            "memory {} MHz": self._number("nvmlDeviceGetClockInfo", ctypes.c_uint(_MEMORY)),
            "limit {} W": None if limit is None else round(limit * 1e-3),
            "{} °C": self._number("nvmlDeviceGetTemperature", ctypes.c_uint(0)),
        }
        return ", ".join(text.format(value) for text, value in told.items() if value is not None)

    def _energy_mj(self) -> int | None:
        value = ctypes.c_ulonglong()
        told = self._call(
            "nvmlDeviceGetTotalEnergyConsumption", self._handle, ctypes.byref(value), optional=True
        )
        return value.value if told else None

    def _number(self, function: str, *arguments: Any) -> int | None:
        value = ctypes.c_uint()
        told = self._call(function, self._handle, *arguments, ctypes.byref(value), optional=True)
        return value.value if told else None

    def _text(self, function: str, *arguments: Any) -> str:
        text = ctypes.create_string_buffer(_LONGEST_NAME)
        self._call(function, *arguments, text, ctypes.c_uint(len(text)))
        return text.value.decode("utf-8", "replace")

    def _call(self, function: str, *arguments: Any, optional: bool = False) -> bool:
        """True where it answered; False where it does not tell this and need not."""
        try:
            run = getattr(self._nvml, function)
        except AttributeError:  # the library is older than the function
            status = _NOT_FOUND
        else:
            status = int(run(*arguments))
        if status in _NOT_TOLD and optional:
            return False
        if status:
            raise BackendUnavailable(
                f"the NVIDIA driver refuses {function}",
                found=f"error {status}",
                fix="see what nvidia-smi says",
            )
        return True


def _load() -> Any:
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise BackendUnavailable(
            "no NVIDIA driver is here", expected=_LIBRARY, found="none", fix="install the driver of the GPU"
        ) from error
