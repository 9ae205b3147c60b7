"""One interface to whatever runs the encoder graph: ONNX Runtime on the CPU, TensorRT where it is.

The graph (made by `onboard.export`) takes `pixels` N×B×H×W reflectance, `bands` N×B and `validity` N×H×W in {0, 1},
all float32, and gives `latent_<plane>` N×C×F float32 (the contract) and `symbols_<plane>` int32 at the default ladder
index (for parity checks; numbers of 16 bits, for which TensorRT has no type). Quality is chosen after the engine, so
a change of it never runs the engine again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from codec.errors import BackendUnavailable, InputError
from codec.onnx_session import open_session
from codec.types import FloatArray
from onboard.graph import verified_graph

BACKENDS = ("onnxruntime", "tensorrt", "tensorrt-rtx")
LATENT, SYMBOLS = "latent_", "symbols_"


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
        """`latent` of every plane, N×C×F. Raises InputError for shapes or values the graph cannot take.

        What comes out need not be finite: whoever codes it marks such tiles invalid, whoever judges it asks `check_finite`.
        """
        ...


class OnnxRuntimeEngine:
    """ONNX Runtime on the CPU: the embedded default."""

    def __init__(self, path: Path, *, sha256: str | None = None, threads: int = 0) -> None:
        """Load `path`; `sha256` (hex), where given, is verified before anything is parsed.

        Raises InputError for a missing file, a graph with external data or operators outside the list, or one that is no
        encoder; LimitExceeded for a file that is too large; Corrupt for another hash or a graph that ONNX Runtime refuses;
        UnsupportedVersion for another operator set; BackendUnavailable without onnxruntime.
        """
        data, digest = verified_graph(path, sha256)
        # Without it 8-bit products of an int8 engine saturate on x86 processors that lack VNNI, and numbers depend on them.
        exact = {"session.x64quantprecision": "1"}
        self._session = open_session(data, path=path, threads=threads, config=exact)
        import onnxruntime as ort  # it is there: it made the session

        self._shape = _encoder_shape(self._session, path)
        self._outputs = [o.name for o in self._session.get_outputs() if o.name.startswith(LATENT)]
        self._info = EngineInfo(
            "onnxruntime", str(ort.__version__), str(self._session.get_providers()[0]), threads, digest
        )

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def planes(self) -> tuple[str, ...]:
        return tuple(name.removeprefix(LATENT) for name in self._outputs)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return self._shape

    def run(self, pixels: FloatArray, bands: FloatArray, validity: FloatArray) -> dict[str, FloatArray]:
        feeds = check_inputs(self.input_shape, pixels, bands, validity)
        latents = dict(zip(self.planes, self._call(self._outputs, feeds), strict=True))
        check_latents(latents, len(pixels))
        return latents

    def symbols(
        self, pixels: FloatArray, bands: FloatArray, validity: FloatArray
    ) -> dict[str, npt.NDArray[np.int16]]:
        """Symbols of every plane at the package's default ladder index, N×C×F: for parity checks only.

        Raises InputError as `run`, and for a graph that has no such outputs.
        """
        feeds = check_inputs(self.input_shape, pixels, bands, validity)
        names = [SYMBOLS + plane for plane in self.planes]
        missing = sorted(set(names) - {o.name for o in self._session.get_outputs()})
        if missing:
            raise InputError(f"the graph gives no {missing[0]}", fix="export it again")
        values = [np.asarray(array).astype(np.int16) for array in self._call(names, feeds)]
        return dict(zip(self.planes, values, strict=True))

    def _call(self, outputs: list[str], feeds: Mapping[str, FloatArray]) -> list[Any]:
        try:
            return list(self._session.run(outputs, dict(feeds)))
        except Exception as error:  # onnxruntime raises its own, undocumented, types
            raise InputError(
                f"ONNX Runtime cannot run the graph: {str(error).splitlines()[0][:200]}",
                fix="export the engine again",
            ) from error


def _encoder_shape(session: Any, path: Path) -> tuple[int, int, int]:
    """Bands, rows, columns of a tile; raises InputError for a graph that is no encoder of ours."""
    inputs = {node.name: node for node in session.get_inputs()}
    latents = [node for node in session.get_outputs() if node.name.startswith(LATENT)]
    tile = list(inputs["pixels"].shape[1:]) if "pixels" in inputs else []
    fits = (
        set(inputs) == {"pixels", "bands", "validity"}
        and all(node.type == "tensor(float)" for node in (*inputs.values(), *latents))
        and len(tile) == 3
        and all(isinstance(n, int) and n > 0 for n in tile)
        and list(inputs["bands"].shape[1:]) == tile[:1]
        and list(inputs["validity"].shape[1:]) == tile[1:]
        and latents
        and all(len(node.shape) == 3 for node in latents)
    )
    if not fits:
        found = [f"{node.name} {node.shape}" for node in (*inputs.values(), *session.get_outputs())]
        raise InputError(
            "this graph is not an encoder of ours",
            path=path,
            expected="pixels N×B×H×W, bands N×B, validity N×H×W to latent_<plane> N×C×F, all float32",
            found=", ".join(found)[:300],
        )
    return tile[0], tile[1], tile[2]


def open_engine(path: Path, *, backend: str = "auto", sha256: str | None = None, threads: int = 0) -> Engine:
    """The engine asked for: `auto` is ONNX Runtime; a back end that is not here is refused by name."""
    if backend in ("auto", "onnxruntime"):
        return OnnxRuntimeEngine(path, sha256=sha256, threads=threads)
    if backend in BACKENDS:
        from onboard.tensorrt_engine import TensorRtEngine

        return TensorRtEngine(path, backend=backend, sha256=sha256)
    raise BackendUnavailable(
        f"the engine back end {backend!r} is not available",
        expected=", ".join(("auto", *BACKENDS)),
        found=backend,
    )


def check_inputs(
    shape: tuple[int, int, int], pixels: FloatArray, bands: FloatArray, validity: FloatArray
) -> Mapping[str, FloatArray]:
    """The three inputs as a graph takes them; every engine refuses the same ones, with InputError."""
    n = pixels.shape[0] if pixels.ndim else 0
    wanted = {"pixels": (n, *shape), "bands": (n, shape[0]), "validity": (n, *shape[1:])}
    feeds = {"pixels": pixels, "bands": bands, "validity": validity}
    for name, array in feeds.items():
        if n == 0 or array.shape != wanted[name] or array.dtype != np.float32:
            raise InputError(
                f"input {name} does not fit the encoder",
                expected=f"float32 {wanted[name]}, one tile or more",
                found=f"{array.dtype} {array.shape}",
            )
    if not np.isfinite(pixels).all():
        raise InputError("pixels hold NaN or infinite values", fix="mark them invalid and set them to 0")
    for name in ("bands", "validity"):
        if not np.isin(feeds[name], (0.0, 1.0)).all():
            raise InputError(f"{name} hold other values than 0 and 1", fix="give flags")
    return {name: np.ascontiguousarray(array) for name, array in feeds.items()}


def check_latents(latents: Mapping[str, FloatArray], n_tiles: int) -> None:
    """InputError for an encoder that gives another number of tiles, or anything but N×C×F."""
    for plane, values in latents.items():
        if values.ndim != 3 or len(values) != n_tiles:
            raise InputError(
                f"the encoder gave another shape for plane {plane}",
                expected=f"{n_tiles}×C×F",
                found=values.shape,
            )


def check_finite(latents: Mapping[str, FloatArray]) -> None:
    """InputError for NaN and infinite values: for whoever judges an encoder. A scene's are marked invalid, tile by tile."""
    for plane, values in latents.items():
        bad = int((~np.isfinite(values)).any(axis=(1, 2)).sum())
        if bad:
            raise InputError(
                f"the encoder gave NaN or infinite values in {bad} of {len(values)} tiles of plane {plane}",
                fix="check the reflectance of the scene and the engine's parity report",
            )
