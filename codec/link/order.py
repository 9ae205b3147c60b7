"""The order in which a transmission's packets are sent (docs/link.md §7.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

INTERLEAVED_BLOCKS = 16  # a burst of n packets takes about n/16 of each block that is on its way


def interleave(blocks: Sequence[Sequence[T]]) -> list[T]:
    """Members of the blocks in turn, 16 blocks at a time: all first ones, all second ones, and so on."""
    result: list[T] = []
    for start in range(0, len(blocks), INTERLEAVED_BLOCKS):
        group = blocks[start : start + INTERLEAVED_BLOCKS]
        for i in range(max(map(len, group))):
            result.extend(block[i] for block in group if i < len(block))
    return result


def spread(extra: Sequence[T], into: Sequence[T]) -> list[T]:
    """`into` with `extra` spread evenly over its last three quarters.

    Not over all of it: a pass that begins late loses the sources, and then needs the more of what protects them.
    """
    delay = len(into) // 4
    rest = len(into) - delay
    result = list(into[:delay])
    placed = delay
    for j, member in enumerate(extra):
        place = delay + -(-(j + 1) * rest // len(extra))
        result.extend(into[placed:place])
        result.append(member)
        placed = place
    result.extend(into[placed:])
    return result


def sending_order(
    source: Sequence[Sequence[Sequence[T]]], repair: Sequence[Sequence[Sequence[T]]]
) -> list[T]:
    """All packets in order, from the source and repair packets of [class][block]."""
    order: list[T] = []
    for sources, repairs in zip(reversed(source), reversed(repair), strict=True):
        order = interleave(sources) + spread(interleave(repairs), order)
    return order
