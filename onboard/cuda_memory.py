"""Memory, copies and a stream of a CUDA device, by the driver's own C interface through ctypes.

`libcuda.so.1` lies wherever a driver is, and nothing needs to be installed beside it: neither torch (which this room may
not have) nor CUDA's Python packages. TensorRT uses the same primary context.

Not yet run on a device: no machine of this project has one. The calls follow the CUDA Driver API reference
(cuDevicePrimaryCtxRetain, cuMemAlloc, cuMemcpyHtoDAsync, cuStreamSynchronize); the tests drive this file with a
library that records.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from codec.errors import BackendUnavailable, LimitExceeded

_LIBRARY = "libcuda.so.1"
_COMPUTE_CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
_OUT_OF_MEMORY = 2
_NON_BLOCKING = 1  # the stream does not wait for the default one


class DeviceMemory(Protocol):
    """What an engine needs of a device."""

    @property
    def name(self) -> str: ...

    @property
    def compute_capability(self) -> str:
        """As "sm_87"."""
        ...

    @property
    def stream(self) -> int:
        """Handle of the stream that everything runs on."""
        ...

    def allocate(self, n_bytes: int) -> int:
        """Address of fresh device memory."""
        ...

    def free(self, address: int) -> None: ...

    def upload(self, address: int, values: np.ndarray) -> None:
        """Copy a contiguous array to the device, in the stream's order."""
        ...

    def download(self, values: np.ndarray, address: int) -> None:
        """Copy from the device into a contiguous array; it is there after `synchronise`."""
        ...

    def synchronise(self) -> None:
        """Wait until everything in the stream is done."""
        ...


class CudaMemory:
    """The first device of this machine."""

    def __init__(self, library: Any = None) -> None:
        """Raises BackendUnavailable without a driver or a device."""
        self._cuda = library if library is not None else _load()
        self._call("cuInit", 0)
        device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        name = ctypes.create_string_buffer(256)
        self._call("cuDeviceGetName", name, len(name), device)
        self._name = name.value.decode("utf-8", "replace")
        parts = []
        for attribute in _COMPUTE_CAPABILITY:
            value = ctypes.c_int()
            self._call("cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
            parts.append(value.value)
        self._capability = f"sm_{parts[0]}{parts[1]}"
        context = ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._context = context
        self._call("cuCtxSetCurrent", context)
        stream = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(stream), _NON_BLOCKING)
        self._stream = stream

    @property
    def name(self) -> str:
        return self._name

    @property
    def compute_capability(self) -> str:
        return self._capability

    @property
    def stream(self) -> int:
        return int(self._stream.value or 0)

    def allocate(self, n_bytes: int) -> int:
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(n_bytes))
        return int(address.value)

    def free(self, address: int) -> None:
        self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def upload(self, address: int, values: np.ndarray) -> None:
        self._copy(
            "cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), values.ctypes.data_as(ctypes.c_void_p), values
        )

    def download(self, values: np.ndarray, address: int) -> None:
        self._copy(
            "cuMemcpyDtoHAsync_v2", values.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint64(address), values
        )

    def _copy(self, function: str, to: Any, source: Any, values: np.ndarray) -> None:
        if not values.flags.c_contiguous:
            raise ValueError("only contiguous arrays can be copied")  # our own mistake
        self._call(function, to, source, ctypes.c_size_t(values.nbytes), self._stream)

    def synchronise(self) -> None:
        self._call("cuStreamSynchronize", self._stream)

    def _call(self, function: str, *arguments: Any) -> None:
        call: Callable[..., int] = getattr(self._cuda, function)
        status = call(*(ctypes.c_uint(a) if type(a) is int else a for a in arguments))
        if status == _OUT_OF_MEMORY:
            raise LimitExceeded(
                "the CUDA device has no memory left",
                found=function,
                fix="encode in smaller batches, or stop others",
            )
        if status:
            raise BackendUnavailable(
                f"the CUDA driver refuses {function}",
                found=f"error {status}",
                fix="try swathpack encode --engine onnxruntime",
            )


def _load() -> Any:
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise BackendUnavailable(
            "no CUDA driver is here",
            expected=_LIBRARY,
            found="none",
            fix="install the driver, or use --engine onnxruntime",
        ) from error
