"""One back end against another, by turns in two processes, with equal bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from benchmarks.entropy import archive, buffers, child, settings, timing
from benchmarks.entropy.back_ends import PORTABLE, WIDE, usual
from benchmarks.entropy.machine import row
from benchmarks.entropy.missing import Missing
from benchmarks.results import Row

pytestmark = pytest.mark.entropy
PAIRS = ((usual(), PORTABLE), *(((WIDE, usual()),) if usual() == "avx2" else ()))


@pytest.mark.parametrize("name", ["dense", "sparse"])
@pytest.mark.parametrize(("isa", "other"), PAIRS)
def test_back_end_against(keep: Callable[[Sequence[Row]], None], isa: str, other: str, name: str) -> None:
    rounds = settings.chosen().n_rounds(4 * len(buffers.OFFSETS))
    try:
        with child.workers((isa, other), name) as (ours, theirs):
            assert ours.records == theirs.records, f"{isa} and {other} give different records"
            found = {metric: _by_turns(ours, theirs, metric, rounds) for metric in ("decode", "encode")}
    except Missing as reason:
        pytest.skip(str(reason))
    keep(
        [
            row(
                isa, archive.case(name, isa), f"{metric}, times as fast", *pair.ratio(), unit="x, 95 %", rival=other,
                n=rounds,
            )
            for metric, pair in found.items()
        ]
    )  # fmt: skip


def _by_turns(ours: child.Worker, theirs: child.Worker, metric: str, rounds: int) -> timing.Paired:
    pairs = [(ours.seconds(metric, number), theirs.seconds(metric, number)) for number in range(rounds)]
    first, second = zip(*pairs, strict=True)
    return timing.Paired(first, second)
