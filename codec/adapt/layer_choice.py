"""Which blocks are adapted (A11)."""

from __future__ import annotations

from codec.adapt.types import LayerRule
from codec.errors import InputError


def chosen_layers(rule: LayerRule | tuple[int, ...], depth: int) -> tuple[int, ...]:
    """Numbers of the adapted blocks from 0, in order of depth. InputError for a block that is not there, or named twice."""
    every = tuple(range(depth))
    if rule == "first-3":
        return every[:3]
    if rule == "first-half":
        return every[: (depth + 1) // 2]
    if rule == "every-second":
        return every[::2]
    if rule == "last":
        return every[-1:]
    if rule == "all":
        return every
    wrong = [i for i in rule if not isinstance(i, int) or i not in every]
    if wrong or len(set(rule)) != len(rule):
        raise InputError(
            f"the base has no block {wrong[0]}" if wrong else "a block is named twice",
            expected=f"numbers from 0 to {depth - 1}",
            found=rule,
        )
    return tuple(sorted(int(i) for i in rule))
