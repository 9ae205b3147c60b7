"""Is the exported engine the model? Compared after quantisation, since that is what the bitstream sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from codec.errors import InputError
from codec.types import FloatArray

if TYPE_CHECKING:
    from codec.package import Package
    from onboard.parity_tiles import ParityTiles


@dataclass(frozen=True, slots=True)
class PlaneParity:
    """One plane at one ladder index: engine against PyTorch float32 on the same tiles."""

    plane: str
    ladder_index: int
    max_abs_latent: float  # largest difference, latent units
    relative_rms: float  # of the difference against the latent's own rms
    symbols: int
    differ: float  # share of symbols
    differ_layer0: float  # share within layer 0, whose steps are finer
    largest_step: int  # largest |difference| of a symbol outside layer 0
    zeros: float  # share of the reference's symbols that are 0


# A graph whose every symbol is 0 would pass any comparison.
MAX_ZEROS = 0.999


@dataclass(frozen=True, slots=True)
class Gate:
    """What an engine of one precision must keep.

    Symbols are what the bitstream sees, but at the default quality nearly all of them are zero (96.6 % of s2-nano's), and
    weights with 10 % noise change only 1.8 % of them: so the latent itself is held too. Measured on s2-nano: 9·10⁻⁷ in
    single precision, 6·10⁻⁴ in half, 1.1·10⁻² with 0.5 % noise on the weights.
    """

    differ: float  # share of symbols, all planes together, default ladder index
    largest_step: int | None  # of a symbol outside layer 0, default ladder index
    relative_rms: float  # of each plane's latent

    def as_json(self) -> dict[str, object]:
        return asdict(self)


GATES = {"fp32": Gate(1e-4, None, 1e-4), "fp16": Gate(0.02, 1, 5e-3)}


def compare(
    package: Package, ladder_index: int, reference: Mapping[str, FloatArray], found: Mapping[str, FloatArray]
) -> list[PlaneParity]:
    """Parity of every plane; `reference` and `found` are latents N×C×F of the same tiles."""
    rows = []
    for plane, ours in reference.items():
        theirs = found[plane]
        if ours.shape != theirs.shape:
            raise InputError(f"plane {plane} has another shape", expected=ours.shape, found=theirs.shape)
        maps = package.maps(plane, ladder_index)
        want, have = maps.quantise(ours).astype(np.int32), maps.quantise(theirs).astype(np.int32)
        distance = np.abs(want - have)
        layer0 = maps.layer == 0  # C×F
        rows.append(
            PlaneParity(
                plane=plane,
                ladder_index=ladder_index,
                max_abs_latent=float(np.abs(ours - theirs).max()),
                relative_rms=float(
                    np.sqrt(((ours - theirs) ** 2).mean() / max(float((ours**2).mean()), 1e-30))
                ),
                symbols=want.size,
                differ=float((distance > 0).mean()),
                differ_layer0=float((distance[:, layer0] > 0).mean()),
                largest_step=int(distance[:, ~layer0].max(initial=0)),
                zeros=float((want == 0).mean()),
            )
        )
    return rows


def judge(engine: str, default: list[PlaneParity], finest: list[PlaneParity]) -> list[str]:
    """Reasons to refuse the engine, one line each; empty when it passes."""
    gate = GATES[engine]
    reasons = []
    total = sum(row.symbols for row in default)
    differ = sum(row.differ * row.symbols for row in default) / total
    if differ > gate.differ:
        reasons.append(f"{differ:.3%} of symbols differ at the default quality, {gate.differ:.2%} allowed")
    if gate.largest_step is not None:
        worst = max(row.largest_step for row in default)
        if worst > gate.largest_step:
            reasons.append(f"a symbol outside layer 0 differs by {worst}, {gate.largest_step} allowed")
    reasons += [
        f"the latent of plane {row.plane} is off by {row.relative_rms:.2%} (rms), {gate.relative_rms:.2%} allowed"
        for row in default
        if not row.relative_rms <= gate.relative_rms
    ]
    zeros = sum(row.zeros * row.symbols for row in finest) / sum(row.symbols for row in finest)
    if zeros > MAX_ZEROS:
        reasons.append(f"{zeros:.2%} of symbols are zero even at the finest quality: the graph says nothing")
    return reasons


def parity_report(
    package: Package,
    engine: str,
    tiles: ParityTiles,
    reference: Mapping[str, FloatArray],
    found: Mapping[str, FloatArray],
) -> dict[str, Any]:
    """JSON-able: parity at the default and the finest quality, the gate, and the reasons to refuse (none: passed)."""
    default = compare(package, package.default_ladder_index, reference, found)
    finest = compare(package, package.ladder_indices[0], reference, found)
    reasons = judge(engine, default, finest)
    return {
        "engine": engine,
        "gate": GATES[engine].as_json(),
        "passed": not reasons,
        "reasons": reasons,
        "tiles": {"n": len(tiles), "sources": tiles.sources},
        "default": [asdict(row) for row in default],
        "finest": [asdict(row) for row in finest],
    }
