"""An ONNX graph to a TensorRT plan, with what TensorRT 10.3 (Jetson) and 11 have in common and nothing else.

Strongly typed networks: types stand in the graph, so no precision flag of the builder and no calibrator is touched; both
are gone in 11. Every call that fails does so by returning None, False or −1 and logging: all of these are errors here,
with what was logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from codec.errors import BackendUnavailable, Corrupt, InputError

MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
_INPUTS = ("pixels", "bands", "validity")
_INSTALL = {
    "tensorrt": "use the TensorRT of JetPack or of NVIDIA's packages, or --engine onnxruntime",
    "tensorrt-rtx": "pip install 'swathpack[trt]', or use --engine onnxruntime",
}


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What decides what is built; part of the key of the cache."""

    batches: tuple[int, int, int] = (1, 32, 32)  # fewest, best and most tiles of one run
    workspace_bytes: int = 1 << 30  # for tactics; a Jetson shares its memory with the processor
    # Of `tensorrt-rtx` only: builds for these without a device, e.g. ("SM86",). Empty: for the device that is here.
    compute_capabilities: tuple[str, ...] = ()

    def as_text(self) -> str:
        return f"strongly-typed batches={self.batches} workspace={self.workspace_bytes} for={self.compute_capabilities}"


@dataclass(frozen=True, slots=True)
class Built:
    """What a build gives."""

    plan: bytes
    timing_cache: bytes  # of kernels tried; empty where none was asked for


def load_module(backend: str) -> Any:
    """The TensorRT module of a back end. Raises BackendUnavailable where it is not installed or cannot be loaded."""
    from importlib import import_module

    try:
        return import_module(MODULES[backend])
    except (ImportError, OSError) as error:  # a container without the host's libraries fails in the loader
        raise BackendUnavailable(
            f"{backend} cannot be loaded: {str(error).splitlines()[0][:160]}", fix=_INSTALL[backend]
        ) from error


def make_log(trt: Any) -> Any:
    """A logger of TensorRT's own kind that keeps warnings and errors: the only place where it says why."""

    class Log(trt.ILogger):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.lines.append(" ".join(str(message).split()))

        def last(self) -> str:
            return self.lines[-1][:300] if self.lines else "it gave no reason"

    return Log()


def build(
    trt: Any, data: bytes, options: BuildOptions, *, timing_cache: bytes | None = None, log: Any = None
) -> Built:
    """Parse and build; with `timing_cache` (empty at first) kernels are not tried twice.

    Raises InputError, with TensorRT's reason, for a graph it cannot parse or build, and Corrupt for a timing cache that is
    not of this device and version.
    """
    log = log or make_log(trt)
    builder = trt.Builder(log)
    network = _need(builder.create_network(strongly_typed(trt)), log, "gave no network")
    parser = trt.OnnxParser(network, log)
    if not parser.parse(data):
        said = [str(parser.get_error(i)) for i in range(parser.num_errors)]
        raise InputError(
            f"TensorRT cannot parse the graph: {' '.join(said[0].split())[:300] if said else log.last()}",
            fix="export it again",
        )
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    if timing_cache is not None:
        cache = _need(config.create_timing_cache(timing_cache), log, "refuses the timing cache")
        if not config.set_timing_cache(cache, False):  # False: never take timings of another device
            raise Corrupt("the timing cache is of another device or version", fix="delete it")
    profile = builder.create_optimization_profile()
    for name, shape in input_shapes(network).items():
        profile.set_shape(name, *((n, *shape) for n in options.batches))
    if config.add_optimization_profile(profile) < 0:
        raise InputError("TensorRT refuses the range of batches", found=options.batches)
    _set_capabilities(trt, config, options.compute_capabilities)
    plan = _need(builder.build_serialized_network(network, config), log, "cannot build the graph")
    cache = None if timing_cache is None else config.get_timing_cache()
    return Built(bytes(plan), b"" if cache is None else bytes(cache.serialize()))


def strongly_typed(trt: Any) -> int:
    """Flags of `create_network`: 11 types strongly whatever is said, and need not have the flag."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def input_shapes(network: Any) -> dict[str, tuple[int, ...]]:
    """Shape of one tile's part of every input. Raises InputError when they are not an encoder's."""
    shapes = {}
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shapes[str(tensor.name)] = tuple(int(n) for n in tuple(tensor.shape)[1:])
    if set(shapes) != set(_INPUTS) or any(n < 1 for shape in shapes.values() for n in shape):
        raise InputError("this graph is not an encoder of ours", expected=", ".join(_INPUTS), found=shapes)
    return shapes


def _set_capabilities(trt: Any, config: Any, names: Sequence[str]) -> None:
    if not names:
        return
    kinds = getattr(trt, "ComputeCapability", None)
    if kinds is None:
        raise InputError("only tensorrt-rtx builds for a device that is not here", found=", ".join(names))
    config.num_compute_capabilities = len(names)
    for i, name in enumerate(names):
        kind = getattr(kinds, name, None)
        if kind is None or not config.set_compute_capability(kind, i):
            raise InputError(f"tensorrt-rtx does not build for {name}", found=name)


def _need(result: Any, log: Any, what: str) -> Any:
    """What a call gave; None means that it failed, and only the log knows why."""
    if result is None:
        raise InputError(
            f"TensorRT {what}: {log.last()}", fix="export the engine again, or use --engine onnxruntime"
        )
    return result
