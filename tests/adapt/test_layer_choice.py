"""Which blocks a rule names."""

from __future__ import annotations

from typing import Any

import pytest

from codec.adapt.layer_choice import chosen_layers


@pytest.mark.parametrize(
    ("rule", "depth", "expected"),
    [
        ("first-3", 12, (0, 1, 2)),
        ("first-3", 2, (0, 1)),
        ("first-half", 12, (0, 1, 2, 3, 4, 5)),
        ("first-half", 5, (0, 1, 2)),
        ("first-half", 1, (0,)),
        ("every-second", 5, (0, 2, 4)),
        ("last", 4, (3,)),
        ("all", 3, (0, 1, 2)),
        ((2, 0), 4, (0, 2)),
    ],
)
def test_rules_name_blocks_in_order_of_depth(rule: Any, depth: int, expected: tuple[int, ...]) -> None:
    assert chosen_layers(rule, depth) == expected
