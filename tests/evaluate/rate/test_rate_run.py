"""A whole run on made-up scenes: what is scored, stored, taken up again and reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codec.errors import Corrupt, IdentityError, InputError, InternalError
from codec.evaluate.rate import store
from codec.evaluate.rate.embedding import embedding_methods
from codec.evaluate.rate.plane_encoder import PlaneEncoder
from codec.evaluate.rate.report import EQUAL_BYTES, Question, error_rows
from codec.evaluate.rate.run import Entry, Run, Setting
from codec.evaluate.rate.targets import Evidence, Target
from codec.evaluate.rate.types import Coded, Method, Planes, TileSet

C = 6


def made(name: str, n_rows: int, n_cols: int, seed: int, split: str = "train") -> Evidence:
    """One scene of smooth fields; a token's class is the sign of its first channel."""
    rng = np.random.default_rng(seed)
    n = n_rows * n_cols
    base = np.repeat(np.repeat(rng.standard_normal((n, C, 4, 4)), 16, 2), 16, 3) + 0.1 * rng.standard_normal(
        (n, C, 64, 64)
    )
    place = np.indices((n_rows, n_cols)).reshape(2, -1).T
    tiles = TileSet(
        name, tuple(f"b{i}" for i in range(C)), base.astype(np.float32), np.ones((n, C), bool),
        np.ones((n, 64, 64), bool), np.zeros(n, int), place, np.arange(n), 10.0,
    )  # fmt: skip
    labels = (encode(tiles).values["tokens"][..., 0] > 0).astype(np.int64)
    return Evidence(tiles, (Target("sign", "token", labels, ("low", "high")),), np.repeat(split, n))


def encode(tiles: TileSet) -> Planes:
    """Tokens are the patch means turned by a fixed rotation and spread unevenly."""
    n, c = tiles.pixels.shape[:2]
    means = tiles.pixels.reshape(n, c, 8, 8, 8, 8).mean((3, 5)).transpose(0, 2, 3, 1)
    turn = np.linalg.qr(np.random.default_rng(5).standard_normal((c, c)))[0]
    tokens = (means @ (turn * np.linspace(3, 0.2, c))).astype(np.float32)
    return Planes({"tokens": tokens}, np.ones((n, 8, 8), bool))


ENCODER = PlaneEncoder("made", "0" * 64, "as-is", encode, lambda tiles: iter([(tiles.pixels,)]))
SETTING = Setting(resamples=2)


@pytest.fixture(scope="module")
def sets() -> dict[str, Evidence]:
    return {"here": made("here", 4, 8, 1, "val"), "there": made("there", 6, 8, 2)}


@pytest.fixture(scope="module")
def entry() -> Entry:
    return Entry(embedding_methods(["base"])[0])


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rate")


@pytest.fixture(scope="module")
def scored(sets, entry: Entry, out: Path) -> store.Scored:
    return Run(ENCODER, sets, out, SETTING).score("here", entry)


def test_finer_settings_cost_more_and_lose_less(scored: store.Scored) -> None:
    assert len(scored.settings) >= 6
    assert (np.diff(scored.bytes_per_tile) < 0).all()
    assert (np.diff(scored.errors["tokens"].mean(1)) > 0).all()
    assert scored.errors["tokens"][0].mean() < 0.03


def test_sizes_are_whole_bytes_and_every_sample_is_answered_once(scored: store.Scored, sets) -> None:
    assert scored.sizes.sum(1) == pytest.approx(np.round(scored.sizes.sum(1)))
    (answers,) = [a for k, a in scored.answers.items() if k.regime == "mixed"]
    assert answers.settings == ("uncompressed", *scored.settings)
    assert np.isfinite(answers.predicted).all()
    truth = sets["here"].targets[0].labels.ravel()
    assert (answers.predicted[:, 0] == truth).mean() > 0.97


def test_columns_of_the_training_part_are_not_answered_but_with_all_places(
    sets, entry: Entry, tmp_path: Path
) -> None:
    of = sets["here"]
    column = of.tiles.place[:, 1]
    half = {**sets, "here": replace(of, split=np.where(column < 4, "train", "val"))}
    for all_places, answered in ((False, column >= 4), (True, column >= 0)):
        setting = Setting(resamples=2, regimes=("one",), all_places=all_places)
        found = Run(ENCODER, half, tmp_path / setting.text, setting).score("here", entry)
        (answers,) = found.answers.values()
        finite = np.isfinite(answers.predicted[0, 0]).reshape(len(column), -1)
        assert np.array_equal(finite.all(1), answered)
        assert np.array_equal(finite.any(1), answered)
        question = Question("made", half["here"], of.targets[0], {"base": found}, "rate")
        reference = next(row for row in question.rows() if row.case.endswith("uncompressed/one"))
        assert reference.n == 64 * answered.sum()


def test_a_target_without_a_label_where_it_may_be_scored_is_refused(
    sets, entry: Entry, tmp_path: Path
) -> None:
    of = sets["here"]
    column = of.tiles.place[:, 1]
    labels = np.where((column < 4)[:, None, None], of.targets[0].labels, -1)
    target = replace(of.targets[0], labels=labels)
    half = {**sets, "here": replace(of, targets=(target,), split=np.where(column < 4, "train", "val"))}
    with pytest.raises(InputError, match=r"no tile of 'here' that may be scored has a label of 'sign'"):
        Run(ENCODER, half, tmp_path, SETTING).score("here", entry)


def test_an_interrupted_run_goes_on_where_it_was(scored, sets, entry: Entry, out: Path, monkeypatch) -> None:
    monkeypatch.setattr(Run, "_embeddings", lambda *_: pytest.fail("was scored again"))
    again = Run(ENCODER, sets, out, SETTING).score("here", entry)
    assert np.array_equal(again.sizes, scored.sizes)
    for key, answers in scored.answers.items():
        assert np.array_equal(again.answers[key].loss, answers.loss)


def test_answers_of_another_protocol_are_refused_and_left_alone(
    scored, sets, entry: Entry, out: Path
) -> None:
    path = Run(ENCODER, sets, out, SETTING).path("here", entry.name)
    before = path.read_bytes()
    with pytest.raises(IdentityError, match="another origin"):
        Run(ENCODER, sets, out, Setting(resamples=3)).score("here", entry)
    assert path.read_bytes() == before


def test_answers_after_a_change_of_tiles_labels_or_training_are_refused(
    scored, sets, entry: Entry, out: Path
) -> None:
    of = sets["here"]
    other_label = replace(of.targets[0], labels=1 - of.targets[0].labels)
    pixels = of.tiles.pixels.copy()
    pixels[0, 0, 0, 0] += 1
    changes = {
        "labels": {**sets, "here": replace(of, targets=(other_label,))},
        "pixels": {**sets, "here": replace(of, tiles=replace(of.tiles, pixels=pixels))},
        "training": {**sets, "there": replace(sets["there"], split=np.repeat(["train", "val"], 24))},
    }
    for changed in changes.values():
        with pytest.raises(IdentityError, match="another origin"):
            Run(ENCODER, changed, out, SETTING).score("here", entry)


def test_a_damaged_file_of_answers_is_said(scored, sets, entry: Entry, out: Path, tmp_path: Path) -> None:
    run = Run(ENCODER, sets, out, SETTING)
    data = run.path("here", entry.name).read_bytes()
    broken = tmp_path / "broken.npz"
    broken.write_bytes(data[: len(data) // 2])
    with pytest.raises(Corrupt, match="scored answers"):
        store.load(broken, run.origin("here", entry))


class _Ideal:
    """A method that states the entropy of what it would send, and sends nothing."""

    about = Method("ideal", "embedding", "planted")
    settings = ("only",)

    def fit(self, train: Planes) -> _Ideal:
        return self

    def code(self, planes: Planes, setting: str) -> Coded:
        return Coded(setting, np.full(len(planes), 10.123), dict(planes.values))


def test_a_method_that_states_likelihoods_is_not_scored(sets, tmp_path: Path) -> None:
    run = Run(ENCODER, sets, tmp_path, SETTING)
    with pytest.raises(InternalError, match="likelihoods are not sizes"):
        run.score("here", Entry(_Ideal()))
    assert not run.path("here", "ideal").exists()


def test_a_report_holds_the_curve_and_bytes_at_each_loss(scored, sets) -> None:
    of = sets["here"]
    question = Question("made", of, of.targets[0], {"base": scored}, "rate")
    rows = list(question.rows())
    bytes_ = [r for r in rows if r.metric == "bytes" and "/mixed/" in r.case]
    assert [r.value for r in bytes_] == pytest.approx(scored.bytes_per_tile.tolist())
    score = {r.case: r for r in rows if r.metric == "mean IoU" and "/mixed/" in r.case}
    assert len(score) == len(scored.settings)
    assert all(r.lo <= r.value <= r.hi for r in score.values())
    differences = [r for r in rows if r.metric == "mean IoU-difference" and "/mixed/" in r.case]
    reference = next(r.value for r in rows if r.case.endswith("uncompressed/one") and r.metric == "mean IoU")
    assert [r.value for r in differences] == pytest.approx([r.value - reference for r in score.values()])
    assert any(r.metric == "log-likelihood" and r.value < 0 for r in rows)
    assert any(r.metric == "mean IoU-smallest-difference" and r.value > 0 for r in rows)
    at = {r.metric: r for r in rows if r.metric.startswith("bytes at") and r.case.endswith("mixed")}
    assert at["bytes at −3"].value >= at["bytes at −6"].value
    inside = scored.bytes_per_tile.min() <= at["bytes at −3"].value <= scored.bytes_per_tile.max()
    assert inside


def test_feature_errors_and_bits_are_those_of_the_frozen_tokens(scored, sets) -> None:
    of = sets["here"]
    held = np.any([fold.held for fold in SETTING.folds(of)], axis=0)
    rows = list(error_rows("made", of, SETTING, {"base": scored}, "rate"))
    errors = [r.value for r in rows if r.metric == "feature error of tokens"]
    assert errors == pytest.approx(scored.errors["tokens"][:, held].mean(1).tolist())
    bits = [r.value for r in rows if r.metric == "bits per element"]
    assert bits == pytest.approx((8 * scored.sizes[:, held].mean(1) / (8 * 8 * C)).tolist())


def test_a_rival_of_one_setting_still_has_its_ratio_as_a_bound(sets, scored, tmp_path: Path) -> None:
    run = Run(ENCODER, sets, tmp_path, SETTING)
    single = run.score("here", Entry(embedding_methods(["mean float16"])[0]))
    assert len(single.settings) == 1
    of = sets["here"]
    rows = list(Question("made", of, of.targets[0], {"base": scored, "mean float16": single}, "rate").rows())
    ratios = [r for r in rows if r.metric == "times fewer bytes at −3" and r.rival == "mean float16, tokens"]
    assert {r.case.rsplit("/", 1)[1] for r in ratios} == {"one", "mixed"}
    assert all("open" in r.unit for r in ratios)
    assert not [r for r in rows if r.metric == "BD-rate"]


def test_methods_are_compared_at_equal_bytes_where_both_were_measured(sets, scored, tmp_path: Path) -> None:
    run = Run(ENCODER, sets, tmp_path, SETTING)
    rival = run.score("here", Entry(embedding_methods(["per-channel prior"])[0]))
    of = sets["here"]
    question = Question("made", of, of.targets[0], {"base": scored, "per-channel prior": rival}, "rate")
    rows = [r for r in question.rows() if "-difference at " in r.metric and "/mixed" in r.case]
    both = (
        max(scored.bytes_per_tile.min(), rival.bytes_per_tile.min()),
        min(scored.bytes_per_tile.max(), rival.bytes_per_tile.max()),
    )
    inside = [size for size in EQUAL_BYTES if both[0] < size < both[1]]
    assert inside
    assert {int(r.metric.split()[-2]) for r in rows} <= set(EQUAL_BYTES)
    for size in inside:
        (row,) = [r for r in rows if r.metric == f"mean IoU-difference at {size} B"]
        lines = {line.method: line for line in question.lines("mixed")}
        score = {
            name: np.interp(
                np.log(size),
                np.log(
                    question.measured(line).sizes.sum(1).T[0][::-1]
                    / question.measured(line).sizes.sum(1).T[1][::-1]
                ),
                [point.value for point in question._points(line, "score")][::-1],
            )
            for name, line in lines.items()
        }
        assert row.rival == "per-channel prior, tokens"
        assert row.value == pytest.approx(score["base"] - score["per-channel prior"], abs=0.05)
