"""Kinds of heads on the same bytes: who sees which labels, what rows say, and the command from end to end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codec.errors import InputError, InternalError
from codec.evaluate.__main__ import main
from codec.evaluate.rate import kinds_run, sets
from codec.evaluate.rate.grids import Grids, grids
from codec.evaluate.rate.kinds_export import graph_difference, graph_of
from codec.evaluate.rate.kinds_report import Found, errors, rows, table
from codec.evaluate.rate.kinds_run import OF_TILES, OF_TOKENS, Answered, Case, answered
from codec.evaluate.rate.targets import Evidence, Target
from codec.evaluate.rate.types import TileSet
from codec.evaluate.rows import load
from codec.heads.kinds import KINDS, Fitted
from codec.heads.linear import LinearHead

CLASSES = ("low", "high")


def evidence(level: str, n: int = 40, each: int = 1) -> tuple[Evidence, np.ndarray, np.ndarray]:
    """Tiles of 4×4 tokens whose first channel says the class, with tokens N×4×4×3 and their validity."""
    rng = np.random.default_rng(3)
    scene = np.repeat(np.arange(n // each), each)
    of_scene = rng.integers(0, 2, n // each)
    tokens = rng.standard_normal((n, 4, 4, 3)).astype(np.float32)
    labels = of_scene[scene]
    if level == "token":
        labels = (tokens[..., 0] > 0).astype(np.int64)
        labels[:, 0, 0] = -1
    else:
        tokens[..., 0] += 6 * (labels[:, None, None] - 0.5)
    place = np.zeros((n, 2), np.int64)
    tiles = TileSet(
        "made", ("red",), np.zeros((n, 1, 32, 32), np.float32), np.ones((n, 1), bool), np.ones((n, 32, 32), bool),
        scene, place, scene,
    )  # fmt: skip
    validity = np.ones((n, 4, 4), bool)
    split = np.where(scene < 0.7 * n // each, "train", "val")
    return Evidence(tiles, (Target("side", level, labels, CLASSES),), split), tokens, validity


def made(
    level: str, each: int = 1
) -> tuple[Grids, dict[str, np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
    of, tokens, validity = evidence(level, each=each)
    rng = np.random.default_rng(4)
    seen = {"uncompressed": tokens}
    for name, loss in (("fine", 0.1), ("coarse", 3.0)):
        seen[name] = (tokens + loss * rng.standard_normal(tokens.shape)).astype(np.float32)
    found = grids(of, of.targets[0], validity)
    train = of.split[found.tile] == "train"
    return found, seen, [(train, ~train)]


SIZES = {"fine": 100.0, "coarse": 10.0}


def heads(
    level: str, kinds: tuple[str, ...], each: int = 1, **asked: object
) -> tuple[Grids, dict[Case, Answered]]:
    of, seen, folds = made(level, each)
    asked = {"regimes": ("one", "mixed"), "shares": (0.1, 1.0), "draws": 2, **asked}
    return of, {a.case: a for a in answered(of, seen, SIZES, folds, kinds=kinds, **asked)}  # type: ignore[arg-type]


def about(of: Grids, found: dict[Case, Answered], linear: str) -> Found:
    return Found("e", "made", "side", "base", 2, of.is_dense, linear, found)


@pytest.mark.parametrize(("level", "each"), [("tile", 1), ("scene", 2)])
def test_easy_classes_are_found_from_all_labels_and_lost_with_the_bytes(level: str, each: int) -> None:
    of, found = heads(level, ("knn", "linear"), each)
    shown = about(of, found, "linear")
    for kind in ("knn", "linear"):
        for regime in ("one", "mixed"):
            head = found[Case(kind, regime, 1.0)]
            assert head.logits.shape == (2, 3, 12 // each, 2)
            assert shown.score(head, "uncompressed").value == 1
            assert shown.score(head, "fine").value == 1


def test_a_class_per_token_is_scored_on_labelled_tokens_only() -> None:
    of, found = heads("token", ("dense-linear",), regimes=("one",), shares=(1.0,), draws=1)
    (head,) = found.values()
    assert len(head.y) == 12 * (4 * 4 - 1)
    shown = about(of, found, "dense-linear")
    assert shown.measure == "mean IoU"
    score = [shown.score(head, setting).value for setting in head.settings]
    assert score[0] > 0.9
    assert score[0] > score[2]


def test_neither_choices_nor_temperature_see_a_scored_place_or_a_label_of_the_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of, seen, folds = made("tile")
    met = []

    def fit(kind, train, validation, n_classes, *, seed):  # type: ignore[no-untyped-def]
        met.append((set(train.groups.tolist()), set(validation.groups.tolist())))
        return kinds_run_fit(kind, train, validation, n_classes, seed=seed)

    kinds_run_fit = kinds_run.fit_head
    monkeypatch.setattr(kinds_run, "fit_head", fit)
    list(answered(of, seen, SIZES, folds, kinds=("linear",), regimes=("one", "mixed"), shares=(0.1, 1.0)))
    scored = set(of.groups[folds[0][1]].tolist())
    assert len(met) == 2 * 2 * 2
    assert len({frozenset(choice) for _, choice in met}) == 1  # one part for all of them
    for train, choice in met:
        assert not train & choice
        assert not (train | choice) & scored


def test_a_small_share_lies_inside_a_large_one_and_draws_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    of, seen, folds = made("tile")
    tiles = {}

    def fit(kind, train, validation, n_classes, *, seed):  # type: ignore[no-untyped-def]
        tiles.setdefault(seed, []).append(set(train.groups.tolist()))
        return Fitted(KINDS["linear"], LinearHead(np.zeros((6, 2), np.float32), np.zeros(2, np.float32)))

    monkeypatch.setattr(kinds_run, "fit_head", fit)
    list(
        answered(of, seen, SIZES, folds, kinds=("linear",), regimes=("one",), shares=(0.1, 0.5, 1.0), draws=2)
    )
    for small, middle, whole in tiles.values():
        assert small < middle < whole
    assert tiles[0][0] != tiles[1][0]
    assert tiles[0][2] == tiles[1][2]


def test_rows_hold_scores_paired_differences_and_calibration() -> None:
    of, found = heads("tile", ("knn", "linear"))
    shown = about(of, found, "linear")
    written = list(rows(shown, "kinds", SIZES))
    assert {r.case: r.value for r in written if r.metric == "bytes"} == {
        "e/made/side/base/fine": 100,
        "e/made/side/base/coarse": 10,
    }
    score = {r.case: r.value for r in written if r.metric == "accuracy"}
    assert len(score) == 2 * 2 * 2 * 3
    for r in written:
        if r.metric != "accuracy-difference":
            continue
        head = r.case.rpartition("/")[0]
        other = f"{head}/uncompressed" if r.rival == "uncompressed" else r.case.replace("/knn/", "/linear/")
        assert r.value == pytest.approx(score[r.case] - score[other])
        assert r.lo <= r.value <= r.hi
    assert {r.rival for r in written if r.metric == "accuracy-difference"} == {"uncompressed", "linear"}
    before = {r.case: r for r in written if r.metric == "calibration error"}
    after = {r.case: r for r in written if r.metric == "calibration error after temperature"}
    assert set(before) == set(after) == set(score)
    assert all(0 <= r.lo <= r.value <= r.hi for r in (*before.values(), *after.values()))
    graphs = [r for r in written if r.metric == "graph difference"]
    assert len(graphs) == 8
    assert all(r.value < 1e-3 and r.n == 2 for r in graphs)
    learnt = {r.case: r.value for r in written if r.metric == "labelled tiles"}
    # 28 tiles of training, 5 or 6 of them set apart; a tenth of either class's dozen is one.
    assert all(value == 2 if case.endswith("/0.1") else value in (22, 23) for case, value in learnt.items())
    assert table(shown, ("uncompressed", "coarse")).count("\n") == 1 + 8


def test_a_temperature_is_that_of_the_fold_an_answer_was_scored_in() -> None:
    # Two answers of logits 0 and ln 3: 75 % each. With temperature ln 3 / ln 9 the second is sure to 90 %.
    logits = np.tile(np.array([0, np.log(3)], np.float32), (1, 1, 2, 1))
    halved = np.log(3) / np.log(9)
    head = Answered(
        Case("linear", "one", 1.0), ("uncompressed",), logits, np.array([[1.0, halved]]), (0.0,), (9,),
        np.array([1, 1]), np.array([1, 2]),
    )  # fmt: skip
    assert errors(head, "uncompressed", scaled=False).value == pytest.approx(0.25)
    assert errors(head, "uncompressed", scaled=True).value == pytest.approx((0.25 + 0.1) / 2)


def test_a_graph_that_answers_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    head = LinearHead(np.ones((6, 2), np.float32), np.zeros(2, np.float32))
    fitted = Fitted(KINDS["linear"], head)
    x, validity = np.ones((3, 2, 2, 3), np.float32), np.ones((3, 2, 2), bool)
    assert graph_difference(fitted, x, validity) < 1e-6
    other = Fitted(KINDS["linear"], replace(head, bias=np.ones(2, np.float32)))
    graph = graph_of(other, 3)
    monkeypatch.setattr("codec.evaluate.rate.kinds_export.graph_of", lambda *_: graph)
    with pytest.raises(InternalError, match="does not answer as the head does"):
        graph_difference(fitted, x, validity)


def test_a_training_part_of_one_place_is_refused() -> None:
    of, seen, folds = made("tile")
    alone = replace(of, groups=np.where(folds[0][0], 7, of.groups))
    with pytest.raises(InputError, match="one place"):
        next(answered(alone, seen, SIZES, folds, kinds=("linear",), regimes=("one",), shares=(1.0,)))


def test_levels_have_the_kinds_that_fit_them() -> None:
    assert OF_TILES == ("knn", "knn-plain", "linear", "attention")
    assert OF_TOKENS == ("dense-linear", "dense-conv")


def test_numbers_are_refused() -> None:
    of, _, validity = evidence("tile")
    with pytest.raises(InputError, match="asks for numbers"):
        grids(of, Target("height", "tile", np.zeros(40)), validity)


def test_the_command_scores_heads_of_real_tiles(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = sets.read
    monkeypatch.setattr(sets, "read", lambda names, *rest: read(("eurosat",), *rest))
    asked = [
        "kinds", "--data", str(shared_data), "--encoder", "pixel-statistics", "--method", "mean float16",
        "--kind", "knn", "--kind", "linear", "--share", "0.1", "1", "--draws", "1",
        "--out", str(tmp_path), "--results", str(tmp_path / "heads.csv"), "--threads", "1",
    ]  # fmt: skip
    assert main(asked) == 0
    found = load(tmp_path / "heads.csv")
    score = {r.case: r for r in found if r.metric == "accuracy"}
    at = "pixel-statistics/eurosat/class/mean float16/{}/one/{}/uncompressed"
    assert len(score) == 2 * 2 * 2 * 2
    assert score[at.format("linear", 1)].value > 0.6  # of ten classes
    assert score[at.format("linear", 1)].value > score[at.format("linear", 0.1)].value
    assert all(r.n == 74 and r.suite == "heads" for r in score.values())
    said = capsys.readouterr()
    assert "8/8 linear, mixed, 100 % of the labels" in said.err
    assert said.out.count("%") >= 8


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--set", "mars"], "no set 'mars'"),
        (["--regime", "per-rate"], "no regime 'per-rate'"),
        (["--draws", "0"], "at least 1"),
        (["--method", "nonsense"], "no method 'nonsense'"),
    ],
)
def test_bad_options_are_one_line_and_exit_3(
    more: list[str], said: str, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [
        "kinds",
        "--data",
        str(shared_data),
        "--encoder",
        "pixel-statistics",
        "--out",
        str(tmp_path),
        *more,
    ]
    assert main(asked) == 3
    error = capsys.readouterr().err.strip()
    assert said in error
    assert "\n" not in error
