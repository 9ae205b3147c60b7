"""Is the exported engine the model? Compared after quantisation, since that is what the bitstream sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from codec.errors import InputError
from codec.types import FloatArray
from onboard.parity_coding import code, token_masks, uncoded
from onboard.parity_heads import package_heads

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
    weights with 10 % noise change only 1.8 % of them: so the latent itself is held too, and what a user sees: real bytes,
    and what the package's heads say: `agreement`, the share of tokens (tiles) where a head says the same of both decodings.
    At coarse quality that also counts tokens which the codec itself tosses one way or the other; how far either side is from
    the uncompressed embedding is therefore reported beside it (fidelity), and decides nothing.
    """

    differ: float  # share of symbols, all planes together, default ladder index
    differ_finest: float | None  # the same at the finest index
    largest_step: int | None  # of a symbol outside layer 0, default ladder index
    relative_rms: float  # of each plane's latent
    bytes_change: float  # share of the file's bytes, either way, both indices
    agreement: float  # of every head, both indices

    def as_json(self) -> dict[str, object]:
        return asdict(self)


# Bytes and heads: the same for all. Symbols of fp32 and fp16: by specification; of bf16 and int8, and the latent's bound of
# all: about twice what a sound engine of s2-nano shows (9·10⁻⁷, 6·10⁻⁴, 0.8 %, 2 %; half a per cent of noise on the weights
# gives 1.1·10⁻²).
GATES = {
    "fp32": Gate(1e-4, 1e-4, None, 1e-4, 0.005, 0.995),
    "fp16": Gate(0.02, None, 1, 5e-3, 0.005, 0.995),
    "bf16": Gate(0.01, None, 1, 2e-2, 0.005, 0.995),
    "int8": Gate(0.02, None, 1, 5e-2, 0.005, 0.995),
}


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


@dataclass(frozen=True, slots=True)
class QualityParity:
    """Everything compared at one ladder index."""

    ladder_index: int
    planes: list[PlaneParity]
    bytes_reference: int
    bytes_engine: int
    heads: list[HeadParity]

    @property
    def differ(self) -> float:
        """Share of symbols, all planes together."""
        return share(self.planes, "differ")

    @property
    def bytes_change(self) -> float:
        return self.bytes_engine / self.bytes_reference - 1

    def as_json(self) -> dict[str, object]:
        return asdict(self) | {"differ": self.differ, "bytes_change": self.bytes_change}


@dataclass(frozen=True, slots=True)
class HeadParity:
    """One head at one ladder index, on what the ground decodes."""

    head: str
    level: str  # what is counted: tokens or tiles
    n: int
    agreement: float  # engine's decoding against PyTorch's
    fidelity_reference: float  # PyTorch's decoding against PyTorch's uncompressed embedding
    fidelity_engine: float  # engine's decoding against the same


def share(rows: list[PlaneParity], field: str) -> float:
    """Mean of a share over all symbols of all planes."""
    return float(sum(getattr(row, field) * row.symbols for row in rows) / sum(row.symbols for row in rows))


def compare_at(
    package: Package,
    ladder_index: int,
    tiles: ParityTiles,
    reference: Mapping[str, FloatArray],
    found: Mapping[str, FloatArray],
) -> QualityParity:
    """Symbols, real bytes and heads at one ladder index; the latents are coded and decoded as a scene's are."""
    planes = compare(package, ladder_index, reference, found)
    valid = token_masks(package, tiles)
    ours, theirs = (code(package, latents, valid, ladder_index) for latents in (reference, found))
    plain = uncoded(package, reference, valid)
    heads = []
    for head in package_heads(package):
        said = [head.classes(embeddings) for embeddings in (plain, ours.embeddings, theirs.embeddings)]
        known = np.logical_and.reduce([classes >= 0 for classes in said])
        uncompressed, decoded, engine = (classes[known] for classes in said)
        heads.append(
            HeadParity(
                head.name,
                head.level,
                int(known.sum()),
                _equal(decoded, engine),
                _equal(uncompressed, decoded),
                _equal(uncompressed, engine),
            )
        )
    return QualityParity(ladder_index, planes, ours.n_bytes, theirs.n_bytes, heads)


def _equal(a: np.ndarray, b: np.ndarray) -> float:
    return float((a == b).mean()) if a.size else 0.0


def judge_planes(gate: Gate, rows: list[PlaneParity], where: str) -> list[str]:
    """Reasons to refuse by symbols at the default quality and by latents."""
    reasons = []
    if not share(rows, "differ") <= gate.differ:
        reasons.append(f"{share(rows, 'differ'):.3%} of symbols differ {where}, {gate.differ:.2%} allowed")
    worst = max(row.largest_step for row in rows)
    if gate.largest_step is not None and worst > gate.largest_step:
        reasons.append(f"a symbol outside layer 0 differs by {worst} {where}, {gate.largest_step} allowed")
    reasons += [
        f"the latent of plane {row.plane} is off by {row.relative_rms:.2%} (rms) {where}, {gate.relative_rms:.2%} allowed"
        for row in rows
        if not row.relative_rms <= gate.relative_rms
    ]
    return reasons


def judge_quality(gate: Gate, found: QualityParity, where: str) -> list[str]:
    """Reasons to refuse by bytes and heads at one quality."""
    reasons = []
    if not abs(found.bytes_change) <= gate.bytes_change:
        reasons.append(f"{found.bytes_change:+.2%} bytes {where}, ±{gate.bytes_change:.2%} allowed")
    for head in found.heads:
        what = f"head {head.head} {where}"
        if not head.agreement >= gate.agreement:
            reasons.append(
                f"{what} says the same of {head.agreement:.2%} of {head.n} {head.level}s, {gate.agreement:.2%} wanted"
            )
    return reasons


def judge(
    engine: str, default: QualityParity, finest: QualityParity, procedural: list[PlaneParity]
) -> list[str]:
    """Reasons to refuse the engine, one line each; empty when it passes."""
    gate = GATES[engine]
    reasons = judge_planes(gate, default.planes, "at the default quality")
    reasons += judge_planes(gate, procedural, "on procedural tiles")
    if gate.differ_finest is not None and not finest.differ <= gate.differ_finest:
        reasons.append(
            f"{finest.differ:.4%} of symbols differ at the finest quality, {gate.differ_finest:.2%} allowed"
        )
    reasons += judge_quality(gate, default, "at the default quality")
    reasons += judge_quality(gate, finest, "at the finest quality")
    zeros = share(finest.planes, "zeros")
    if not zeros <= MAX_ZEROS:
        reasons.append(f"{zeros:.2%} of symbols are zero even at the finest quality: the graph says nothing")
    return reasons


@dataclass(frozen=True, slots=True)
class Run:
    """Tiles, and the latents of both sides on them."""

    tiles: ParityTiles
    reference: Mapping[str, FloatArray]
    found: Mapping[str, FloatArray]


def parity_report(package: Package, engine: str, proof: Run, procedural: Run) -> dict[str, Any]:
    """JSON-able: parity at the default and the finest quality, the gate, and the reasons to refuse (none: passed).

    `proof` decides; `procedural` tiles beside it reach inputs that scenes at hand may not: every band, bands absent, pixels
    invalid. They are held to symbols and latents.
    """
    default, finest = (
        compare_at(package, index, proof.tiles, proof.reference, proof.found)
        for index in (package.default_ladder_index, package.ladder_indices[0])
    )
    beside = compare(package, package.default_ladder_index, procedural.reference, procedural.found)
    reasons = judge(engine, default, finest, beside)
    return {
        "engine": engine,
        "gate": GATES[engine].as_json(),
        "passed": not reasons,
        "reasons": reasons,
        "tiles": {"n": len(proof.tiles), "real": proof.tiles.real, "sources": proof.tiles.sources},
        "default": default.as_json(),
        "finest": finest.as_json(),
        "procedural": {"n": len(procedural.tiles), "planes": [asdict(row) for row in beside]},
    }
