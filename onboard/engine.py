"""One interface to whatever runs the encoder graph; ONNX Runtime on the CPU behind it.

The graph (made by `onboard.export`) takes `pixels` N×B×H×W reflectance, `bands` N×B and `validity` N×H×W in {0, 1},
all float32, and gives `latent_<plane>` N×C×F float32 (the contract) and `symbols_<plane>` int16 at the default ladder
index (for parity checks). Quality is chosen after the engine, so a change of it never runs the engine again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from codec.errors import BackendUnavailable, Corrupt, InputError, LimitExceeded
from codec.types import FloatArray

MAX_ONNX_BYTES = 512 * 1024 * 1024  # a graph that flies is a few megabytes; this only stops a bomb
BACKENDS = ("onnxruntime",)
_PREFIX = "latent_"


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a report says about the engine that ran."""

    backend: str
    version: str
    provider: str  # the one that really runs the graph
    threads: int
    sha256: str  # of the ONNX file


class Engine(Protocol):
    """Pixels to latents."""

    @property
    def info(self) -> EngineInfo: ...

    @property
    def planes(self) -> tuple[str, ...]:
        """Names of the planes, in the graph's order."""
        ...

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Bands, rows, columns of one tile."""
        ...

    def run(self, pixels: FloatArray, bands: FloatArray, validity: FloatArray) -> dict[str, FloatArray]:
        """`latent` of every plane, N×C×F. Raises InputError for shapes or values the graph cannot take."""
        ...


class OnnxRuntimeEngine:
    """ONNX Runtime on the CPU: the embedded default."""

    def __init__(self, path: Path, *, sha256: str | None = None, threads: int = 0) -> None:
        """Load `path`; `sha256` (hex), where given, is verified before anything is parsed.

        Raises InputError for a missing file, LimitExceeded above MAX_ONNX_BYTES, Corrupt for another hash or a
        graph that ONNX Runtime refuses, BackendUnavailable without onnxruntime.
        """
        data = _read(path)
        digest = hashlib.sha256(data).hexdigest()
        if sha256 is not None and digest != sha256:
            raise Corrupt(
                "the encoder graph is not the one of the manifest",
                path=path,
                expected=sha256[:16],
                found=digest[:16],
                fix="fetch the model package again",
            )
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise BackendUnavailable(
                "onnxruntime is not installed", fix="pip install 'swathpack[onboard]'"
            ) from error
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if threads:
            options.intra_op_num_threads = threads
        try:
            # From bytes, not from the path: external data has nothing to resolve against and is refused.
            self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own, undocumented, types
            raise Corrupt(
                f"ONNX Runtime refuses the graph: {str(error).splitlines()[0][:200]}", path=path
            ) from error
        shapes = {node.name: node.shape for node in self._session.get_inputs()}
        missing = {"pixels", "bands", "validity"} - set(shapes)
        self._outputs = [o.name for o in self._session.get_outputs() if o.name.startswith(_PREFIX)]
        if missing or not self._outputs:
            raise InputError(
                "this graph is not an encoder of ours",
                path=path,
                expected="inputs pixels, bands, validity and outputs latent_<plane>",
                found=f"inputs {sorted(shapes)}, outputs {[o.name for o in self._session.get_outputs()]}",
            )
        self._shape = tuple(int(n) for n in shapes["pixels"][1:])
        self._info = EngineInfo(
            "onnxruntime", str(ort.__version__), str(self._session.get_providers()[0]), threads, digest
        )

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def planes(self) -> tuple[str, ...]:
        return tuple(name.removeprefix(_PREFIX) for name in self._outputs)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        n_bands, rows, cols = self._shape
        return n_bands, rows, cols

    def run(self, pixels: FloatArray, bands: FloatArray, validity: FloatArray) -> dict[str, FloatArray]:
        feeds = check_inputs(self.input_shape, pixels, bands, validity)
        values: list[Any] = self._session.run(self._outputs, feeds)
        latents = dict(zip(self.planes, values, strict=True))
        check_finite(latents)
        return latents

    def symbols(
        self, pixels: FloatArray, bands: FloatArray, validity: FloatArray
    ) -> dict[str, npt.NDArray[np.int16]]:
        """Symbols of every plane at the package's default ladder index, N×C×F: for parity checks only."""
        feeds = check_inputs(self.input_shape, pixels, bands, validity)
        names = [f"symbols_{plane}" for plane in self.planes]
        values: list[Any] = self._session.run(names, feeds)
        return dict(zip(self.planes, values, strict=True))


def open_engine(path: Path, *, backend: str = "auto", sha256: str | None = None, threads: int = 0) -> Engine:
    """The engine asked for: `auto` is ONNX Runtime; a back end that is not here is refused by name."""
    if backend in ("auto", "onnxruntime"):
        return OnnxRuntimeEngine(path, sha256=sha256, threads=threads)
    raise BackendUnavailable(
        f"the engine back end {backend!r} is not available",
        expected=", ".join(("auto", *BACKENDS)),
        found=backend,
    )


def check_inputs(
    shape: tuple[int, int, int], pixels: FloatArray, bands: FloatArray, validity: FloatArray
) -> Mapping[str, FloatArray]:
    """The three inputs as a graph takes them; every engine refuses the same ones."""
    n = len(pixels)
    wanted = {"pixels": (n, *shape), "bands": (n, shape[0]), "validity": (n, *shape[1:])}
    feeds = {"pixels": pixels, "bands": bands, "validity": validity}
    for name, array in feeds.items():
        if array.shape != wanted[name] or array.dtype != np.float32:
            raise InputError(
                f"input {name} does not fit the encoder",
                expected=f"float32 {wanted[name]}",
                found=f"{array.dtype} {array.shape}",
            )
    if not np.isfinite(pixels).all():
        raise InputError("pixels hold NaN or infinite values", fix="mark them invalid and set them to 0")
    return {name: np.ascontiguousarray(array) for name, array in feeds.items()}


def check_finite(latents: Mapping[str, FloatArray]) -> None:
    """An encoder that gives NaN must not reach the quantiser."""
    for plane, values in latents.items():
        bad = int((~np.isfinite(values)).any(axis=(1, 2)).sum())
        if bad:
            raise InputError(
                f"the encoder gave NaN or infinite values in {bad} of {len(values)} tiles of plane {plane}",
                fix="check the reflectance of the scene and the engine's parity report",
            )


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_ONNX_BYTES:
            raise LimitExceeded(
                "the ONNX file is too large", path=path, expected=f"at most {MAX_ONNX_BYTES}", found=size
            )
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", path=path, fix="run python -m onboard.export --engine fp32"
        ) from error
