"""Bytes at equal accuracy: half of them are said to be half, seeds count as training sets, no adapter sees a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks import adapter_bytes as module
from benchmarks.adapter_bytes import Reached, joined, learned, rows_of
from codec.adapt.training import Labelled, TaskRecipe
from codec.errors import InternalError
from codec.evaluate.rate.curve_intervals import Measured
from codec.evaluate.rate.scoring import Answers
from codec.evaluate.rate.targets import Evidence, Target, samples
from codec.evaluate.rate.types import TileSet
from codec.evaluate.rate.utility import Judge

GROUPS, SETTINGS = 30, (400.0, 200.0, 100.0, 50.0)


def reached(bytes_of: float, share: float) -> Reached:
    """Right answers of 100 a place: the whole share uncompressed, 4 points fewer at each halving of the bytes."""
    right = np.array([share - 0.04 * i for i in range(len(SETTINGS))])
    sums = np.stack([100 * right, np.full(len(SETTINGS), 100.0)], axis=-1)  # S×2
    every = np.broadcast_to(sums[None, :, None], (1, len(SETTINGS), GROUPS, 2)).copy()
    sizes = np.stack([np.full((GROUPS, 2), (size * bytes_of, 1.0)) for size in SETTINGS])
    whole = np.broadcast_to(np.array([100 * share, 100.0]), (1, GROUPS, 2)).copy()
    return Reached(Measured(every, sizes), whole)


@pytest.fixture
def evidence() -> Evidence:
    n = 12
    numbers = np.arange(n)
    tiles = TileSet(
        "made", ("blue", "green", "red", "nir"), np.full((n, 4, 64, 64), 0.1, np.float32), np.ones((n, 4), bool),
        np.ones((n, 64, 64), bool), numbers, np.zeros((n, 2), np.int64), numbers,
    )  # fmt: skip
    target = Target("class", "tile", (numbers % 2).astype(np.int64), ("a", "b"))
    return Evidence(tiles, (target,), np.repeat(["train", "val", "test"], n // 3))


@pytest.fixture
def judge(evidence: Evidence) -> Judge:
    target = evidence.targets[0]
    none = np.zeros((1, 1, len(evidence.tiles)), np.float32)
    return Judge(evidence, target, samples(target, evidence.tiles), Answers(("uncompressed",), none, none))


def test_half_the_bytes_for_the_same_answers_are_twice_fewer(judge: Judge) -> None:
    rows = {
        (row.case, row.metric, row.rival): row.value
        for row in rows_of("made", judge, {"rgb only": reached(1, 0.8), "deflect": reached(0.5, 0.8)}, 1)
    }
    # 3 points below are a quarter of a halving above the second setting.
    expected = 400 * 2 ** (-3 / 4)
    assert rows["bytes/made/rgb only", "bytes at its own −3", ""] == pytest.approx(expected)
    assert rows["bytes/made/deflect", "bytes at its own −3", ""] == pytest.approx(expected / 2)
    assert rows["bytes/made/deflect", "times fewer bytes at the other's −3", "rgb only"] == pytest.approx(2)
    assert rows["bytes/made/deflect", "accuracy, uncompressed", ""] == pytest.approx(0.8)


def test_a_better_encoder_reaches_the_others_accuracy_with_fewer_bytes(judge: Judge) -> None:
    rows = list(rows_of("made", judge, {"rgb only": reached(1, 0.8), "deflect": reached(1, 0.84)}, 1))
    (found,) = [r for r in rows if r.metric == "times fewer bytes at the other's −3"]
    assert found.value == pytest.approx(2)  # 4 points better: one halving
    (own,) = [r for r in rows if r.metric == "bytes at its own −3" and r.case.endswith("deflect")]
    assert own.value == pytest.approx(400 * 2 ** (-3 / 4))


def test_seeds_of_adapters_stand_side_by_side_at_their_mean_bytes() -> None:
    both = joined([reached(1, 0.8), reached(0.5, 0.7)])
    assert both.measured.sums.shape[0] == both.uncompressed.shape[0] == 2
    np.testing.assert_allclose(both.measured.sizes[0, :, 0], 300)
    short = reached(1, 0.8)
    short = Reached(Measured(short.measured.sums[:, :2], short.measured.sizes[:2]), short.uncompressed)
    with pytest.raises(InternalError, match="different numbers of settings"):
        joined([reached(1, 0.8), short])


def test_heads_are_no_seeds(judge: Judge) -> None:
    """Five heads of one adapter are one value, and an encoder without seeds scatters over places alone."""
    low, high = reached(1, 0.7), reached(1, 0.9)
    heads = Reached.mean_of_heads(
        Measured(np.concatenate([low.measured.sums, high.measured.sums]), low.measured.sizes),
        np.concatenate([low.uncompressed, high.uncompressed]),
    )
    assert heads.measured.sums.shape[0] == 1
    (row,) = [
        r for r in rows_of("made", judge, {"rgb only": heads.beside(3)}, 3) if "uncompressed" in r.metric
    ]
    assert (row.value, row.lo, row.hi) == pytest.approx((0.8, 0.8, 0.8))  # all places are alike
    seeds = joined([reached(1, share) for share in (0.7, 0.8, 0.9)])
    (row,) = [r for r in rows_of("made", judge, {"deflect": seeds}, 3) if "uncompressed" in r.metric]
    assert row.lo is not None
    assert row.hi is not None
    assert row.lo < 0.65  # three seeds of standard deviation 0.1: Student's interval of their mean
    assert row.hi > 0.95


def test_an_adapter_learns_from_the_training_part_alone(
    evidence: Evidence, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Labelled] = []

    def train(adapted: object, data: Labelled, recipe: TaskRecipe) -> None:
        seen.append(data)
        adapted.fit_statistics(data.batches(), constant="zero")  # type: ignore[attr-defined]

    monkeypatch.setattr(module, "train", train)
    weights = root / "models" / "rgb-small" / "encoder.safetensors"
    path = learned(evidence, TaskRecipe(steps=1), weights, tmp_path / "adapters")
    assert path.exists()
    assert len(seen[0]) == (evidence.split == "train").sum() == 4
    assert learned(evidence, TaskRecipe(steps=1), weights, path.parent) == path
    assert len(seen) == 1  # kept
    assert learned(evidence, TaskRecipe(steps=2), weights, path.parent) != path
    evidence.tiles.pixels[0] += 0.1
    assert learned(evidence, TaskRecipe(steps=1), weights, path.parent) != path
    assert len(seen) == 3
