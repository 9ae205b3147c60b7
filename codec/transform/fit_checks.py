"""Checks before tables are shipped: that they fit into a package, code what was fitted, and have seen enough.

A density is fitted in floating point and frozen into a few integers. The checks compare the two on the training coefficients
themselves, at every quality, so that what is lost there is lost by freezing alone: integer frequencies, escapes, low bits.
Whether the density would serve other tiles is another question, which `held_out_loss` answers with half of the tiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.errors import InputError, InternalError, LimitExceeded
from codec.transform.levels import FloatVector, Pool, expected_bits, histogram, table_bits
from codec.transform.maps import quant_maps
from codec.transform.rate import symbol_costs
from codec.transform.tables import Level, Tables
from codec.types import FloatArray

MOST_TABLE_BYTES = 128 * 1024  # of tables.bin, all rates together
MOST_FROZEN_LOSS, MOST_FROZEN_LOSS_DENSE = (
    0.01,
    0.002,
)  # of the bits; the latter above so many bits a coefficient:
DENSE_BITS = 0.5
MOST_HELD_OUT_LOSS = 0.03  # of the bits of tiles that the density has not seen
_BLOCK = 16  # neighbouring tiles stay in one half: they may show one place


@dataclass(frozen=True, slots=True)
class Met:
    """Coefficients that share a table at one quality."""

    pool: Pool
    level: int  # number of the table
    ratio: float  # scale of the pool over the step
    density: FloatVector  # of all coefficients of this ratio, before it was frozen
    flattered: float  # bits a coefficient that the density saves on those it was counted on, and on no others
    per_tile: int


@dataclass(frozen=True, slots=True)
class FrozenLoss:
    """What integers cost at one quality: bits of the frozen tables over those of the fitted density, less one."""

    bits: float  # a coefficient, of the density
    loss: float


def frozen_loss(met: Sequence[Met], levels: Sequence[Level], per_tile: int) -> FrozenLoss:
    """At one quality. `per_tile`: coefficients of a tile, those that are never coded included."""
    frozen = fitted = 0.0
    for each in met:
        level = levels[each.level]
        if not level.thresholds:
            continue  # not sent: a choice of the fit, and no loss of rate
        h = histogram([each.pool], each.ratio, level.theta)
        n = float(h.counts.sum())
        frozen += each.per_tile * float((h.counts * table_bits(level, len(h.counts))).sum()) / n
        fitted += each.per_tile * (expected_bits(h, each.density) + each.flattered)
    return FrozenLoss(fitted / max(1, per_tile), frozen / fitted - 1 if fitted else 0.0)


def check_frozen(losses: Mapping[int, FrozenLoss]) -> None:
    """Raises InternalError where frozen tables lose more than they may, with the worst quality and by how much."""
    for most, dense in ((MOST_FROZEN_LOSS, False), (MOST_FROZEN_LOSS_DENSE, True)):
        seen = {i: found.loss for i, found in losses.items() if not dense or found.bits > DENSE_BITS}
        worst = max(seen, key=seen.__getitem__, default=None)
        if worst is not None and seen[worst] > most:
            raise InternalError(
                f"frozen tables take {seen[worst]:.2%} more bits than the density they were made of, at quality {worst}",
                expected=f"at most {most:.1%}{f' above {DENSE_BITS} bit a coefficient' if dense else ''}",
                found=f"{losses[worst].bits:.2f} bit a coefficient",
            )


def check_size(data: bytes) -> None:
    """Raises LimitExceeded for tables that are larger than a package may hold."""
    if len(data) > MOST_TABLE_BYTES:
        raise LimitExceeded(
            "the tables of this codec are too large for a package", expected=f"at most {MOST_TABLE_BYTES} bytes",
            found=len(data), fix="fit fewer planes, or planes of fewer channels",
        )  # fmt: skip


def halves(n: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which of n tiles are in the first half and which in the second, in turns of neighbouring tiles."""
    first = np.arange(n) // min(_BLOCK, max(1, n // 8)) % 2 == 0
    return first, ~first


def held_out_loss(mine: Tables, theirs: Tables, plane: int, latents: FloatArray, index: int) -> float:
    """Bits of `latents` N×C×F by tables of other tiles over those by tables of these tiles, less one; one quality.

    Both have the same ladder, so that symbols are equal; coefficients that one of them does not send count in neither.
    """
    found = []
    mine_sent, theirs_sent = (quant_maps(t, plane, index).coded for t in (mine, theirs))
    symbols = quant_maps(mine, plane, index).quantise(latents)
    for tables in (mine, theirs):
        costs = symbol_costs(tables, plane, index, symbols)
        found.append(float(costs[:, mine_sent & theirs_sent].sum()))
    return found[1] / found[0] - 1 if found[0] else 0.0


def check_converged(losses: Mapping[str, float], n_tiles: int) -> None:
    """Raises InputError where a half of the tiles says too little of the other; `losses` by plane."""
    worst = max(losses, key=losses.__getitem__)
    if losses[worst] > MOST_HELD_OUT_LOSS:
        raise InputError(
            f"the density of plane {worst!r} has not converged on {n_tiles} tiles: fitted on half of them it takes "
            f"{losses[worst]:.1%} more bits for the others than their own",
            expected=f"at most {MOST_HELD_OUT_LOSS:.0%}", fix="fit to more tiles",
        )  # fmt: skip
