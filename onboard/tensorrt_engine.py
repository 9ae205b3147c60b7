"""The encoder graph on TensorRT: built where it runs, kept in a cache of this machine, run through the V3 interface.

Proven so far against a recording stand-in that refuses what TensorRT 10.3 and 11 refuse, and by real parsing and building
with `tensorrt-rtx`; no machine of this project has had a GPU to run it on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from codec.errors import Corrupt, InputError, InternalError
from codec.types import FloatArray
from onboard.cuda_memory import CudaMemory, DeviceMemory
from onboard.engine import LATENT, EngineInfo, check_inputs, check_latents
from onboard.graph import verified_graph
from onboard.tensorrt_build import BuildOptions, build, load_module, make_log
from onboard.tensorrt_cache import PlanCache, PlanKey, default_folder, power_mode


class TensorRtEngine:
    """TensorRT, or TensorRT-RTX, on the first CUDA device. For the thread that made it."""

    def __init__(
        self,
        path: Path,
        *,
        backend: str = "tensorrt",
        sha256: str | None = None,
        options: BuildOptions | None = None,
        module: Any = None,
        memory: DeviceMemory | None = None,
        cache: PlanCache | None = None,
    ) -> None:
        """Load `path`, take its plan from the cache or build it, and make it ready.

        `module` and `memory` are what stands for the library and the device; by default the real ones. Raises
        BackendUnavailable where one of them is missing, InputError for a graph that TensorRT cannot build or that is no
        encoder, LimitExceeded where the device has no memory left, and as `OnnxRuntimeEngine` for the file.
        """
        data, digest = verified_graph(path, sha256)
        self._trt = module if module is not None else load_module(backend)
        self._memory: DeviceMemory = memory if memory is not None else CudaMemory()
        self._options = options or BuildOptions()
        self._log = make_log(self._trt)
        self._addresses: dict[str, int] = {}  # of inputs and outputs, on the device
        key = PlanKey(
            digest,
            backend,
            str(self._trt.__version__),
            self._memory.name,
            self._memory.compute_capability,
            power_mode(),
            self._options.as_text(),
        )
        cache = cache or PlanCache(default_folder())
        plan = cache.load(key)
        self.built = plan is None  # whether this start paid for a build
        if plan is None:
            plan = self._build(data, key, cache)
        self._open(plan)
        self._info = EngineInfo(backend, key.version, f"{key.device} {key.compute_capability}", 0, digest)

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def planes(self) -> tuple[str, ...]:
        return tuple(name.removeprefix(LATENT) for name in self._outputs if name.startswith(LATENT))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return self._shape

    def run(self, pixels: FloatArray, bands: FloatArray, validity: FloatArray) -> dict[str, FloatArray]:
        feeds = check_inputs(self.input_shape, pixels, bands, validity)
        most = self._options.batches[2]
        parts: dict[str, list[FloatArray]] = {name: [] for name in self.planes}
        for start in range(0, len(pixels), most):
            batch = {name: array[start : start + most] for name, array in feeds.items()}
            for name, values in self._run_batch(batch).items():
                parts[name].append(values)
        latents = {name: np.concatenate(arrays) for name, arrays in parts.items()}
        check_latents(latents, len(pixels))
        return latents

    def close(self) -> None:
        """Give the device's memory back."""
        for address in self._addresses.values():
            self._memory.free(address)
        self._addresses = {}

    def _build(self, data: bytes, key: PlanKey, cache: PlanCache) -> bytes:
        # TensorRT-RTX times nothing before it runs; its timing caches are empty shells.
        timings = None if key.runtime == "tensorrt-rtx" else cache.timings(key)
        try:
            built = build(self._trt, data, self._options, timing_cache=timings, log=self._log)
        except Corrupt:  # timings of another device or version, or damaged: they only save time
            cache.forget_timings(key)
            built = build(self._trt, data, self._options, timing_cache=b"", log=self._log)
        cache.store(key, built.plan)
        cache.store_timings(key, built.timing_cache)
        return built.plan

    def _open(self, plan: bytes) -> None:
        """Deserialise, and give every input and output its place on the device."""
        trt = self._trt
        self._runtime = trt.Runtime(self._log)  # an engine does not outlive its runtime
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise InputError(
                f"TensorRT cannot load the plan it built: {self._log.last()}",
                fix="check the driver, or use --engine onnxruntime",
            )
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise InputError(
                f"TensorRT cannot prepare the plan: {self._log.last()}", fix="free device memory"
            )
        names = [str(self._engine.get_tensor_name(i)) for i in range(self._engine.num_io_tensors)]
        modes = {name: self._engine.get_tensor_mode(name) for name in names}
        self._inputs = [name for name in names if modes[name] == trt.TensorIOMode.INPUT]
        self._outputs = [name for name in names if modes[name] == trt.TensorIOMode.OUTPUT]
        shapes = {name: tuple(int(n) for n in self._engine.get_tensor_shape(name))[1:] for name in names}
        self._shape = self._check_names(shapes)
        self._tails = shapes
        # Symbols are outputs too: TensorRT wants an address for everything that it gives.
        self._types = {name: self._type(name) for name in names}
        most = self._options.batches[2]
        for name in names:
            n_bytes = most * int(np.prod(shapes[name])) * self._types[name].itemsize
            self._addresses[name] = self._memory.allocate(n_bytes)
            if not self._context.set_tensor_address(name, self._addresses[name]):
                raise InternalError(f"TensorRT refuses the address of {name}: {self._log.last()}")

    def _type(self, name: str) -> np.dtype[Any]:
        kinds = self._trt.DataType
        known = {kinds.FLOAT: np.float32, kinds.INT32: np.int32}
        found = self._engine.get_tensor_dtype(name)
        if found not in known:
            raise InputError(
                f"tensor {name} is neither float32 nor int32", found=str(found), fix="export the engine again"
            )
        return np.dtype(known[found])

    def _check_names(self, shapes: dict[str, tuple[int, ...]]) -> tuple[int, int, int]:
        latents = [name for name in self._outputs if name.startswith(LATENT)]
        if set(self._inputs) != {"pixels", "bands", "validity"} or not latents or len(shapes["pixels"]) != 3:
            raise InputError("this graph is not an encoder of ours", found=sorted(shapes))
        if any(n < 1 for shape in shapes.values() for n in shape):
            raise InputError("only the number of tiles may be free", found=shapes)
        bands, rows, cols = shapes["pixels"]
        return bands, rows, cols

    def _run_batch(self, feeds: dict[str, FloatArray]) -> dict[str, FloatArray]:
        n = len(feeds["pixels"])
        held = {
            name: np.ascontiguousarray(feeds[name]) for name in self._inputs
        }  # alive until the copies are done
        for name, values in held.items():
            if not self._context.set_input_shape(name, tuple(values.shape)):
                raise InternalError(f"TensorRT refuses the shape of {name}: {self._log.last()}")
            self._memory.upload(self._addresses[name], values)
        if not self._context.execute_async_v3(self._memory.stream):
            raise InputError(
                f"TensorRT cannot run the plan: {self._log.last()}", fix="use --engine onnxruntime"
            )
        found = {}
        for name in self._outputs:
            if name.startswith(LATENT):
                found[name] = np.empty((n, *self._tails[name]), self._types[name])
                self._memory.download(found[name], self._addresses[name])
        self._memory.synchronise()
        return {name.removeprefix(LATENT): values for name, values in found.items()}
