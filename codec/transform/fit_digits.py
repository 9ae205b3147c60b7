"""Tables and maps of planes that refine others, added to a fitted codec (bitstream §8.4).

How often a digit is not 0 follows from the ratio of the coefficient's scale to the step that it divides by three, as all
else follows from the ratio to the step itself. So the digits of all planes, depths and qualities share one row of tables
by that ratio, behind the tables of symbols. Between the two rows lie as many tables without threshold as there are
qualities: a coefficient that comes to lie below the first row of digits at one quality has none there at any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from codec.errors import InputError
from codec.transform.digits import RADIX
from codec.transform.layout import QUARTER_OCTAVES
from codec.transform.levels import NEGLIGIBLE, level_of_counts
from codec.transform.tables import NEVER_SENT, Level, PlaneMaps, Tables
from codec.types import FloatArray, PlaneKind

MAX_TABLES, MAX_PLANES = 128, 8
# Ratios of scale to step in quarter octaves: below the first digits are 0, from the last on they are as good as uniform.
_LOWEST, _HIGHEST = -20, 12
_PER_DIGIT = QUARTER_OCTAVES * float(np.log2(RADIX))
_POOL = 1 << 18  # coefficients of one ratio that its table comes from
_NOTHING = Level((), 1.0, 0.0)


@dataclass(frozen=True)
class Refining:
    """A plane that refines another: its name and the number of the plane it refines."""

    name: str
    refines: int


def refining_name(plane: str, depth: int) -> str:
    """What the planes that refine `plane` are called; depth 1 is the first."""
    return f"{plane}.digit{depth}"


def add_digits(
    tables: Tables, latents: Mapping[str, FloatArray], digits: Mapping[str, Sequence[bool]], scale_level: int
) -> tuple[Tables, tuple[Refining, ...], int]:
    """The tables with as many planes more for each plane as `digits` has entries; these planes; the ladder indices given up.

    An entry says whether that plane refines layer 0 too.

    `latents` N×C×F of every plane, by name in plane order, train the digits; `scale_level` is the level at which scale and
    step are equal. Fine ladder indices at which a symbol would need a table behind the last one are given up: what they
    were for is the digits'. Raises InputError where planes or tables do not fit into a file.
    """
    names = list(latents)
    counts = {name: len(entries) for name, entries in digits.items()}
    wrong = [
        name
        for name in counts
        if name not in names or tables.planes[names.index(name)].kind != PlaneKind.FLOAT
    ]
    if wrong:
        raise InputError(
            "only a plane of floats that was given can be refined", expected=", ".join(names), found=wrong
        )
    if len(names) + sum(counts.values()) > MAX_PLANES:
        raise InputError(
            f"a file has at most {MAX_PLANES} planes", found=len(names) + sum(counts.values()),
            fix="ask for fewer refinements",
        )  # fmt: skip
    usable = tables.usable_indices()
    top = len(tables.levels) - 1
    trimmed = max(
        0,
        *(
            int(plane.class_map[plane.layer_map == layer].max(initial=0)) - shift - usable.start - top
            for plane in tables.planes
            for layer, shift in enumerate(plane.layer_shift)
        ),
    )
    tables = _trimmed(tables, trimmed)
    usable = tables.usable_indices()
    bank = range(_LOWEST, _HIGHEST + 1)
    moat = max(len(usable), 1)
    if len(tables.levels) + moat + len(bank) > MAX_TABLES:
        raise InputError(
            "there is no room for the tables of digits", expected=f"at most {MAX_TABLES}",
            found=len(tables.levels) + moat + len(bank), fix="fit to planes of more similar scales",
        )  # fmt: skip
    digit_levels = _digit_levels(tables, latents, counts, scale_level, bank)
    first = len(tables.levels) + moat  # number of the table of the first ratio
    planes, refining = list(tables.planes), []
    for name, count in counts.items():
        number = names.index(name)
        for depth in range(1, count + 1):
            base = tables.planes[names.index(name)]
            raised = first - _LOWEST - scale_level + round(_PER_DIGIT * (depth - 1))
            planes.append(_digit_plane(base, raised, len(tables.levels), usable, digits[name][depth - 1]))
            refining.append(Refining(refining_name(name, depth), number))
            number = len(planes) - 1
    levels = (*tables.levels, *(_NOTHING for _ in range(moat)), *digit_levels)
    return Tables(tables.ladder, levels, tuple(planes)), tuple(refining), trimmed


def _trimmed(tables: Tables, count: int) -> Tables:
    """Without the finest steps of the ladder: indices and classes fall by as many."""
    if not count:
        return tables
    planes = tuple(
        replace(p, class_map=np.maximum(p.class_map.astype(np.int64) - count, 0).astype(np.uint8))
        for p in tables.planes
    )
    return Tables(tables.ladder[count:], tables.levels, planes)


def _digit_plane(base: PlaneMaps, raised: int, below: int, usable: range, mean: bool) -> PlaneMaps:
    """Maps of a refining plane: layers as those of its base, classes such that levels are rows of the digits' tables.

    A class whose level would fall to `below` or under at the coarsest quality is raised to what has no threshold there,
    nor at the finest.
    """
    layer = np.where(base.layer_map == NEVER_SENT, 0, base.layer_map)
    shift = np.array(base.layer_shift, dtype=np.int64)[layer]
    lowest = below + usable.stop - 1 + shift
    classes = np.clip(np.maximum(base.class_map.astype(np.int64) + raised, lowest), 0, 255)
    layers = base.layer_map if mean else np.where(base.layer_map == 0, NEVER_SENT, base.layer_map)
    return replace(base, layer_map=layers.astype(np.uint8), class_map=classes.astype(np.uint8))


def _digit_levels(
    tables: Tables,
    latents: Mapping[str, FloatArray],
    counts: Mapping[str, int],
    scale_level: int,
    bank: range,
) -> list[Level]:
    """One table per ratio of scale to the step that is divided, with the points of the divided steps."""
    pools = [
        _normalised(tables.planes[list(latents).index(name)], latents[name], tables, scale_level)
        for name in counts
    ]
    pooled = np.concatenate(pools)
    pooled = pooled[:: max(1, len(pooled) // _POOL)]
    levels = []
    for ratio in bank:
        fine = pooled * (RADIX * 2.0 ** (ratio / QUARTER_OCTAVES))
        total = np.rint(fine).astype(np.int64)
        digit = np.abs(total - RADIX * ((total + 1) // RADIX))
        size = np.abs(total)
        one, more = size == 1, size > 1
        r1 = (float(np.abs(fine[one]).sum()) + 0.95) / (int(one.sum()) + 1)
        r2 = float((np.abs(fine[more]) - size[more]).sum()) / (int(more.sum()) + 1)
        points = float(np.float32(np.clip(r1, 0.5, 2))), float(np.float32(np.clip(r2, -1, 1)))
        if digit.any() and digit.mean() >= NEGLIGIBLE:
            # Larger digits than 1 are the escape, so that a 1 does not pay for one.
            table = level_of_counts(np.bincount(digit, minlength=RADIX), most_low_bits=0)
            levels.append(Level(table.thresholds, *points))
        else:
            levels.append(Level((), *points))
    return levels


def _normalised(plane: PlaneMaps, latents: FloatArray, tables: Tables, scale_level: int) -> np.ndarray:
    """Coefficients over the scale of their class; of those that are so small that no quality codes them, none."""
    classes = plane.class_map[plane.bands].T.astype(np.float64)  # C×F
    scale = float(tables.ladder[0]) * 2.0 ** ((classes - scale_level) / QUARTER_OCTAVES)
    sent = (plane.layer_map[plane.bands].T != NEVER_SENT) & (classes > 0)
    few = latents[:: max(1, len(latents) * int(sent.sum()) // (4 * _POOL))]
    return (few[:, sent] / scale[sent]).ravel()
