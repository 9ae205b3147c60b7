"""From the traced float32 graph to the file of an engine of one precision, and to what can be run to prove it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import onnx

from codec.errors import InputError
from codec.package.manifest import ENCODER
from onboard import calibration, graph_edit, lowering, quantised_graph

if TYPE_CHECKING:
    from codec.package import Package
    from onboard.parity_tiles import ParityTiles

ENGINES = ("fp32", "fp16", "bf16", "int8")
EMULATED = (
    "an emulation by ONNX Runtime: float32 operators, weights and every tensor rounded through bfloat16; "
    "no bfloat16 kernel ran"
)
_BATCH = 32


class Architecture(Protocol):
    """Of an encoder: `codec.models.vit.EncoderConfig`, which needs torch."""

    @property
    def bands(self) -> tuple[str, ...]: ...

    @property
    def tile(self) -> int: ...

    @property
    def patch(self) -> int: ...

    @property
    def width(self) -> int: ...


@dataclass(frozen=True, slots=True)
class EngineFile:
    """One engine."""

    data: bytes  # the graph that flies
    proof: bytes  # the graph that proves it: the same, or an emulation of it
    proven_by: str  # in words
    calibration: dict[str, Any] | None  # of an integer engine


def engine_file(
    model: onnx.ModelProto, engine: str, planes: Sequence[str], calibration_tiles: ParityTiles | None = None
) -> EngineFile:
    """Make the engine from a graph as `onboard.export.trace` gives it, which is changed.

    Raises InputError for an integer engine without calibration tiles, and for weights beyond half precision.
    """
    strip_origins(model)
    graph_edit.fold_constants(model)
    ends = [f"embedding_{name}" for name in planes]
    graph_edit.drop_outputs(model.graph, ends)
    said: dict[str, Any] | None = None
    if engine in lowering.KINDS:
        lowering.lower(model, engine, ends)
    elif engine == "int8":
        said = _quantise(model, ends, calibration_tiles)
    data = serialised(model)
    if engine == "bf16":
        return EngineFile(data, serialised(lowering.emulated(model)), EMULATED, None)
    return EngineFile(data, data, "ONNX Runtime on the CPU, running this graph", said)


def _quantise(model: onnx.ModelProto, ends: Sequence[str], tiles: ParityTiles | None) -> dict[str, Any]:
    if tiles is None or not len(tiles):
        raise InputError(
            "the calibration set is empty: an integer engine has no scales without it",
            fix="name scenes with --calibration",
        )
    chosen = quantised_graph.sites(model, ends)
    found = calibration.observe(model, [site.activation for site in chosen], tiles.batches(_BATCH))
    ranges = {name: histogram.least_error() for name, histogram in found.items()}
    quantised_graph.quantise(model, chosen, ranges)
    return {
        "tiles": len(tiles),
        "sources": tiles.sources,
        "method": "range of least squared error, from counts of magnitudes in 64 bins per octave",
        "matrices": len(chosen),
        "ranges": {name: {"range": ranges[name], "largest": found[name].largest()} for name in ranges},
    }


def check_calibration(tiles: ParityTiles, proof: ParityTiles, bands: Sequence[str]) -> None:
    """Raise InputError when the calibration set is empty or is of another sensor than the tiles of the proof: bands
    that these have and it never shows, whose activations it would leave without a scale."""
    if not len(tiles):
        raise InputError("the calibration set is empty", fix="name scenes with --calibration")
    missing = (proof.bands.max(axis=0) > 0) & (tiles.bands.max(axis=0) == 0)
    if missing.any():
        names = [name for name, absent in zip(bands, missing, strict=True) if absent]
        raise InputError(
            f"the calibration set is of another sensor: it has no band {', '.join(names)}",
            found=", ".join(tiles.sources),
            fix="calibrate with scenes of the sensor that will fly",
        )


def check_architecture(package: Package, config: Architecture) -> None:
    """Raise InputError when weights of this architecture cannot have made the package's planes."""
    layout = package.tile
    side = layout.core // layout.patch
    theirs = {
        "bands": tuple(config.bands),
        "pixels a side": config.tile,
        "patch": config.patch,
        "tokens": (side, side, config.width),
        "spectral": (side, side, len(config.bands)),
    }
    ours: dict[str, object] = {
        "bands": package.bands,
        "pixels a side": layout.core + 2 * layout.margin,
        "patch": layout.patch,
    } | {p.name: (p.spec.rows, p.spec.cols, p.spec.channels) for p in package.planes}
    for what, value in ours.items():
        if theirs.get(what) != value:
            raise InputError(
                f"the weights are of another architecture than the package: {what}",
                path=package.path(ENCODER),
                expected=value,
                found=theirs.get(what, "no such plane"),
                fix="use the encoder.safetensors that the package was fitted with",
            )


def strip_origins(model: onnx.ModelProto) -> None:
    """Take out what the exporter notes of where each node came from: file names of the machine that exported."""
    parts = [model, model.graph, *model.graph.node, *model.graph.initializer, *model.functions]
    parts += [*model.graph.input, *model.graph.output, *model.graph.value_info]
    for part in parts:
        part.doc_string = ""
        del part.metadata_props[:]


def serialised(model: onnx.ModelProto) -> bytes:
    return bytes(model.SerializeToString(deterministic=True))
