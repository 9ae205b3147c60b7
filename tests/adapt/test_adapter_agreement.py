"""Agreement of packed adapters means something only where the adapter changes answers: both are said."""

from __future__ import annotations

import pytest

from benchmarks.adapter_costs import _agreed
from codec.adapt import apply
from codec.adapt.deflect import Deflected
from tests.adapt.test_task_training import BANDS, RECIPE, encoder, tiles


@pytest.mark.parametrize("dense", [False, True])
def test_agreement_stands_beside_what_the_adapter_changes(dense: bool) -> None:
    """The near infrared says the class, so without the adapter about half of the tokens are of another answer."""
    adapted = apply(encoder(), "deflect", BANDS, layers="all")
    assert isinstance(adapted, Deflected)
    data = tiles(0, dense=dense)
    found = {row.metric: row for row in _agreed("small", adapted, data, RECIPE)}
    changed = found.pop("tokens of another answer without the adapter")
    assert changed.value > 20
    assert set(found) == {"tokens of the same answer, int8", "tokens of the same answer, int4"}
    assert all(row.value > 90 for row in found.values())
    assert changed.n == 24 * 4 * 4
    assert bool(adapted.layers["0"].up_q.abs().max() > 0), "the adapter is as it was"


def test_an_adapter_that_learned_nothing_changes_nothing() -> None:
    adapted = apply(encoder(), "deflect", BANDS, layers="all")
    found = {
        row.metric: row.value
        for row in _agreed("small", adapted, tiles(0), RECIPE.model_copy(update={"rate": 1e-12}))
    }
    assert found["tokens of another answer without the adapter"] == 0
