"""A stand-in for the TensorRT module that records, and refuses what the real one refuses.

Two flavours, by NVIDIA's API references and the 10.x → 11.x migration guide: `10.3` (JetPack 6) and `11.4`. A name that a
version does not have raises AttributeError, as there; so does everything that this project may not touch in either (weak
typing, calibrators, bindings by number, plug-ins). A plan of the stand-in is the ONNX file behind a header, and running it
runs ONNX Runtime on what lies in the recording memory: numbers come out only if shapes, addresses, copies and stream are
right.
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

MAGIC = b"FAKEPLAN"


class Refused(Exception):
    """Something was asked that the real library does not do."""


class Strict:
    """Unknown names are AttributeErrors that say so, in place of a mock's yes to everything."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{type(self).__name__} of this TensorRT has no {name}")

    def __setattr__(self, name: str, value: Any) -> None:
        allowed = getattr(type(self), "settable", ())
        if not name.startswith("_") and name not in allowed:
            raise AttributeError(f"{type(self).__name__} of this TensorRT has no {name} to set")
        object.__setattr__(self, name, value)


class RecordingMemory:
    """Device memory in a dictionary; refuses what a device would fault on."""

    def __init__(self, name: str = "Fake Orin", compute_capability: str = "sm_87") -> None:
        self.name, self.compute_capability, self.stream = name, compute_capability, 4711
        self.blocks: dict[int, bytearray] = {}
        self.pending: list[tuple[np.ndarray, bytes]] = []
        self.freed: list[int] = []
        self.next = 0x1000

    def allocate(self, n_bytes: int) -> int:
        if n_bytes <= 0:
            raise Refused(f"allocation of {n_bytes} bytes")
        address, self.next = self.next, self.next + n_bytes + 256
        self.blocks[address] = bytearray(n_bytes)
        return address

    def free(self, address: int) -> None:
        del self.blocks[address]
        self.freed.append(address)

    def upload(self, address: int, values: np.ndarray) -> None:
        if values.nbytes > len(self.blocks[address]):
            raise Refused("a copy beyond the end of a block")
        self.blocks[address][: values.nbytes] = values.tobytes()

    def download(self, values: np.ndarray, address: int) -> None:
        if values.nbytes > len(self.blocks[address]):
            raise Refused("a copy from beyond the end of a block")
        self.pending.append((values, bytes(self.blocks[address][: values.nbytes])))

    def synchronise(self) -> None:
        for values, data in self.pending:  # nothing is there before
            values[...] = np.frombuffer(data, values.dtype).reshape(values.shape)
        self.pending = []


class FakeTensorRt(Strict):
    """The module. `fails`: names of calls that fail as the real ones do: by None, False or −1, and a line in the log."""

    settable = ()

    def __init__(self, version: str, memory: RecordingMemory, fails: frozenset[str] = frozenset()) -> None:
        eleven = int(version.split(".")[0]) >= 11
        self._version, self._memory, self._fails = version, memory, fails
        self._calls: list[tuple[str, Any]] = []
        flags = {} if eleven else {"STRONGLY_TYPED": 1, "EXPLICIT_BATCH": 0}
        give: dict[str, Any] = {
            "__version__": version,
            "NetworkDefinitionCreationFlag": _Flags("NetworkDefinitionCreationFlag", flags),
            "MemoryPoolType": enum.Enum("MemoryPoolType", "WORKSPACE TACTIC_DRAM"),
            "TensorIOMode": enum.Enum("TensorIOMode", "NONE INPUT OUTPUT"),
            "DataType": enum.Enum("DataType", "FLOAT HALF BF16 INT8 INT32 INT64 BOOL"),
            # Both versions have builder flags; this project may set none of them.
            "BuilderFlag": _Flags("BuilderFlag", {}),
            "ILogger": _ILogger,
            "Builder": lambda log: _Builder(self, log),
            "OnnxParser": lambda network, log: _Parser(self, network, log),
            "Runtime": lambda log: _Runtime(self, log),
        }
        for name, value in give.items():
            object.__setattr__(self, name, value)

    def note(self, name: str, value: Any = None) -> bool:
        """Record a call; whether it works."""
        self._calls.append((name, value))
        return name not in self._fails

    def calls(self, name: str) -> list[Any]:
        return [value for called, value in self._calls if called == name]


class _Flags:
    """Members that a version does not have are AttributeErrors."""

    def __init__(self, name: str, members: dict[str, int]) -> None:
        self._name, self._members = name, members

    def __getattr__(self, name: str) -> int:
        try:
            return self.__dict__["_members"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(
                f"{self.__dict__['_name']} has no {name}, or it may not be touched"
            ) from None


class _ILogger:
    ERROR, INTERNAL_ERROR, WARNING = "error", "internal", "warning"

    def __init__(self) -> None:
        self.ready = True

    def log(self, severity: Any, message: str) -> None:
        raise Refused("the logger was not overridden")


def _say(log: Any, text: str) -> None:
    if not getattr(log, "ready", False):
        raise Refused("ILogger.__init__ was not called: pybind refuses such an object")
    log.log(_ILogger.ERROR, text)


class _Builder(Strict):
    def __init__(self, trt: FakeTensorRt, log: Any) -> None:
        self._trt, self._log = trt, log

    def create_network(self, flags: int = 0) -> Any:
        if not self._trt.note("create_network", flags):
            _say(self._log, "no network today")
            return None
        return _Network(self._trt)

    def create_builder_config(self) -> Any:
        return _Config(self._trt, self._log)

    def create_optimization_profile(self) -> Any:
        return _Profile()

    def build_serialized_network(self, network: _Network, config: _Config) -> Any:
        if not config._profiles:
            _say(self._log, "Network has dynamic inputs, but no optimization profile has been defined.")
            return None
        if not self._trt.note("build_serialized_network"):
            _say(self._log, "Could not find any implementation for node {Attention}.")
            return None
        return _HostMemory(MAGIC + self._trt._version.encode().ljust(8) + network._data)


class _HostMemory:
    """Bytes through the buffer protocol, by way of `__bytes__`; has no length of its own."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __bytes__(self) -> bytes:
        return self._data


class _Tensor(Strict):
    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "shape", shape)


class _Network(Strict):
    def __init__(self, trt: FakeTensorRt) -> None:
        self._trt, self._data = trt, b""
        self._inputs: list[_Tensor] = []

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    def get_input(self, i: int) -> _Tensor:
        return self._inputs[i]


class _Parser(Strict):
    def __init__(self, trt: FakeTensorRt, network: _Network, log: Any) -> None:
        self._trt, self._network, self._errors = trt, network, []

    def parse(self, data: bytes) -> bool:
        import onnx

        if not self._trt.note("parse", len(data)):
            self._errors.append(
                "In node 7 (parseNode): UNSUPPORTED_NODE: no importer registered for op: Attention"
            )
            return False
        graph = onnx.load_from_string(data).graph
        self._network._data = data
        self._network._inputs = [
            _Tensor(n.name, tuple(d.dim_value or -1 for d in n.type.tensor_type.shape.dim))
            for n in graph.input
        ]
        return True

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, i: int) -> str:
        return str(self._errors[i])


class _Profile(Strict):
    def __init__(self) -> None:
        self._shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(
        self, name: str, low: tuple[int, ...], best: tuple[int, ...], high: tuple[int, ...]
    ) -> None:
        if not all(a <= b <= c for a, b, c in zip(low, best, high, strict=True)):
            raise ValueError("set_shape: min ≤ opt ≤ max")
        self._shapes[name] = (low, best, high)


class _TimingCache(Strict):
    def __init__(self, data: bytes) -> None:
        self._data = data

    def serialize(self) -> bytes:
        return self._data + b"+"


class _Config(Strict):
    def __init__(self, trt: FakeTensorRt, log: Any) -> None:
        self._trt, self._log, self._profiles, self._cache = trt, log, [], None

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        if pool is not self._trt.MemoryPoolType.WORKSPACE:
            raise Refused(f"pool {pool}")
        self._trt.note("set_memory_pool_limit", size)

    def create_timing_cache(self, data: bytes) -> Any:
        return _TimingCache(bytes(data)) if self._trt.note("create_timing_cache", bytes(data)) else None

    def set_timing_cache(self, cache: _TimingCache, ignore_mismatch: bool) -> bool:
        if ignore_mismatch or not isinstance(cache, _TimingCache):
            raise Refused("timings of another device would be taken")
        self._cache = cache
        return not cache._data.startswith(b"other device")

    def get_timing_cache(self) -> Any:
        return self._cache

    def add_optimization_profile(self, profile: _Profile) -> int:
        if not self._trt.note("add_optimization_profile", dict(profile._shapes)) or not profile._shapes:
            return -1
        self._profiles.append(profile)
        return len(self._profiles) - 1


class _Runtime(Strict):
    def __init__(self, trt: FakeTensorRt, log: Any) -> None:
        self._trt, self._log = trt, log

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        head = MAGIC + self._trt._version.encode().ljust(8)
        if not self._trt.note("deserialize_cuda_engine") or not plan.startswith(head):
            _say(self._log, "The engine plan file is not compatible with this version of TensorRT.")
            return None
        return _Engine(self._trt, self._log, plan[len(head) :])


class _Engine(Strict):
    def __init__(self, trt: FakeTensorRt, log: Any, data: bytes) -> None:
        import onnxruntime as ort

        self._trt, self._log = trt, log
        self._session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
        self._inputs = {n.name: n for n in self._session.get_inputs()}
        self._outputs = {n.name: n for n in self._session.get_outputs()}
        self._names = [*self._inputs, *self._outputs]

    @property
    def num_io_tensors(self) -> int:
        return len(self._names)

    def get_tensor_name(self, i: int) -> str:
        return self._names[i]

    def get_tensor_mode(self, name: str) -> Any:
        modes = self._trt.TensorIOMode
        return modes.INPUT if name in self._inputs else modes.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        node = self._inputs.get(name) or self._outputs[name]
        return tuple(n if isinstance(n, int) else -1 for n in node.shape)

    def get_tensor_dtype(self, name: str) -> Any:
        node = self._inputs.get(name) or self._outputs[name]
        kinds = self._trt.DataType
        return {"tensor(float)": kinds.FLOAT, "tensor(int32)": kinds.INT32, "tensor(float16)": kinds.HALF}[
            node.type
        ]

    def create_execution_context(self) -> Any:
        if not self._trt.note("create_execution_context"):
            _say(self._log, "Out of memory.")
            return None
        return _Context(self)


class _Context(Strict):
    def __init__(self, engine: _Engine) -> None:
        self._engine, self._addresses, self._shapes = engine, {}, {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return self._engine._trt.note("set_tensor_address", (name, address))

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = tuple(shape)
        return self._engine._trt.note("set_input_shape", (name, tuple(shape)))

    def execute_async_v3(self, stream: int) -> bool:
        engine, memory = self._engine, self._engine._trt._memory
        if missing := set(engine._names) - set(self._addresses):
            _say(engine._log, f"Address is not set for {sorted(missing)}")
            return False
        if stream != memory.stream:
            raise Refused("work in another stream than the copies: a race")
        if not engine._trt.note("execute_async_v3", stream):
            _say(engine._log, "Cuda Runtime (an illegal memory access was encountered)")
            return False
        feeds = {}
        for name in engine._inputs:
            shape = self._shapes[name]
            block = memory.blocks[self._addresses[name]]
            feeds[name] = np.frombuffer(block, np.float32, int(np.prod(shape))).reshape(shape).copy()
        for name, values in zip(engine._outputs, engine._session.run(None, feeds), strict=True):
            block = memory.blocks[self._addresses[name]]
            if values.nbytes > len(block):
                raise Refused(f"{name} is written beyond its block")
            block[: values.nbytes] = values.tobytes()
        return True
