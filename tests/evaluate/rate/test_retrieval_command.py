"""`python -m codec.evaluate retrieval` from end to end, and who its codecs are fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from codec.evaluate.__main__ import main
from codec.evaluate.rate import sets
from codec.evaluate.rate.encoders import open_encoder
from codec.evaluate.rate.retrieval import Scores
from codec.evaluate.rate.retrieval_report import RIVAL, rows, table
from codec.evaluate.rate.retrieval_run import MEASURES, RetrievalRun, key_of
from codec.evaluate.rate.run import Entry, Run
from codec.evaluate.rate.scoring import Answers
from codec.evaluate.rate.store import Scored
from codec.evaluate.rate.types import Coded, Method, Planes
from codec.evaluate.rows import Row, load
from codec.models.bands import BAND_LISTS

BANDS = ("blue", "green", "red", "nir")
METHODS = ("mean float16", "mean int", "webp-tile")


class _Spy:
    """A method that remembers what it was fitted on, and sends everything."""

    about = Method("spy", "embedding", "planted")
    settings = ("all",)

    def fit(self, train: Planes) -> _Spy:
        self.train = train
        return self

    def code(self, planes: Planes, setting: str) -> Coded:
        return Coded(setting, np.full(len(planes), 100.0), dict(planes.values))


def test_no_column_that_is_searched_was_seen_by_a_codec(shared_data: Path, tmp_path: Path) -> None:
    spy = _Spy()
    retrieval = RetrievalRun(open_encoder("pixel-statistics"), shared_data, BANDS, {}, tmp_path)
    scored = retrieval.score(Entry(spy))
    searched = retrieval.run.planes("naip").values["tokens"].reshape(len(retrieval.task.visits.tiles), -1)
    fitted = {tile.tobytes() for tile in spy.train.values["tokens"].reshape(len(spy.train), -1)}
    assert len(searched) == 165  # 11 rows × (2 + 3 columns) × 3 years
    assert len(fitted) == 11 * 8 * 3
    assert not any(tile.tobytes() in fitted for tile in searched)
    for measure in MEASURES:  # sent whole, everything is found that the uncompressed embedding finds
        exact, found = scored.answers[key_of(measure)].predicted[0]
        assert np.array_equal(found, exact)
    assert (scored.answers[key_of("overlap@10")].predicted == 1).all()


@pytest.fixture(scope="module")
def folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    out = tmp_path_factory.mktemp("retrieval")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sets, "read", lambda *_: {})  # NAIP's own training columns are enough here
        yield from _scored(shared_data, out)


def _scored(shared_data: Path, out: Path) -> Iterator[Path]:
    assert main(_command(shared_data, out)) == 0
    yield out


def _command(data: Path, out: Path) -> list[str]:
    asked = [word for name in METHODS for word in ("--method", name)]
    return [
        "retrieval", "--data", str(data), "--encoder", "pixel-statistics", *asked,
        "--out", str(out), "--results", str(out / "found.csv"), "--threads", "1",
    ]  # fmt: skip


def _value(found: list[Row], case: str, metric: str) -> float:
    (row,) = [r for r in found if r.case == case and r.metric == metric]
    return row.value


def test_the_command_writes_bytes_measures_and_differences_of_every_setting(folder: Path) -> None:
    found = load(folder / "found.csv")
    assert {row.suite for row in found} == {"found"}
    case = "pixel-statistics/naip"
    curve = [r for r in found if r.case.startswith(f"{case}/mean int/")]
    settings = {r.case for r in curve}
    assert len(settings) == 3  # int8, int4, signs
    for at in settings:
        mine = {r.metric for r in curve if r.case == at}
        assert mine == {"bytes", *MEASURES, "recall@1-difference", "recall@5-difference"}
        for recall in ("recall@1", "recall@5"):
            lost = _value(found, at, recall) - _value(found, f"{case}/uncompressed", recall)
            assert _value(found, at, f"{recall}-difference") == pytest.approx(lost, abs=2e-6)
    assert all(r.lo <= r.value <= r.hi for r in curve if r.metric in MEASURES)
    assert all(r.n == 165 for r in curve)
    by_size = sorted((_value(found, at, "bytes"), _value(found, at, "overlap@10")) for at in settings)
    assert by_size == sorted(by_size, key=lambda point: point[1])  # more bytes, more of the exact list


def test_half_precision_means_rank_as_the_exact_ones(folder: Path) -> None:
    found = load(folder / "found.csv")
    (at,) = {r.case for r in found if r.case.startswith("pixel-statistics/naip/mean float16/")}
    numbers = 4 * len(BAND_LISTS["s2"])  # four statistics of every band
    assert _value(found, at, "bytes") == 2 * numbers
    assert _value(found, at, "overlap@10") > 0.99


def test_pixels_are_ranked_by_the_encoder_on_the_ground(folder: Path) -> None:
    found = load(folder / "found.csv")
    points = [r for r in found if "/webp-tile/" in r.case and r.metric == "overlap@10"]
    assert len(points) > 2
    assert all(0 < r.value < 1 for r in points)


def test_what_was_scored_is_not_scored_again(
    folder: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {(r.case, r.metric): r.value for r in load(folder / "found.csv")}
    monkeypatch.setattr(Run, "seen", lambda *_: pytest.fail("was scored again"))
    assert main(_command(shared_data, folder)) == 0
    assert {(r.case, r.metric): r.value for r in load(folder / "found.csv")} == before


def test_an_unknown_method_is_one_line_and_exit_3(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [
        "retrieval",
        "--data",
        str(shared_data),
        "--encoder",
        "pixel-statistics",
        "--method",
        "carrier pigeon",
    ]
    assert main([*asked, "--out", str(tmp_path)]) == 3
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert "no method 'carrier pigeon'" in said


def test_a_place_is_drawn_with_all_its_queries() -> None:
    # Two places of three queries; one finds all, the other nothing: drawn places give 0, ½ or 1, never between.
    groups = np.array([1, 1, 1, 2, 2, 2])
    values = np.array([1, 1, 1, 0, 0, 0], np.float32)
    answers = Answers(
        ("uncompressed", "fine"), np.stack([values, values])[None], np.zeros((1, 2, 6), np.float32)
    )
    scored = Scored(
        "made",
        "embedding",
        ("fine",),
        np.full((1, 6), 8.0),
        {},
        {key_of(m): answers for m in MEASURES},
        0.0,
        1,
    )
    reference = {m: Scores(values.astype(float), groups) for m in MEASURES}
    found = list(rows("e", "s", reference, {"made": scored}, groups))
    (recall,) = [r for r in found if r.case == "e/naip/made/fine" and r.metric == "recall@1"]
    assert (recall.value, recall.lo, recall.hi, recall.n) == (0.5, 0, 1, 6)
    (lost,) = [r for r in found if r.metric == "recall@1-difference"]
    assert (lost.value, lost.lo, lost.hi) == (0, 0, 0)
    lines = table(found).splitlines()
    assert len(lines) == 3
    assert lines[1].split()[:4] == [
        "made",
        "≤",
        "8",
        "[8,",
    ]  # one setting that loses nothing: eight bytes or fewer
    assert lines[2].startswith("uncompressed: recall@1 0.500 [0.000, 1.000]")


def test_a_method_of_a_tenth_of_the_bytes_at_equal_answers_needs_ten_times_fewer() -> None:
    groups = np.arange(12) // 2
    reference = {m: Scores(np.ones(12), groups) for m in MEASURES}
    found = np.linspace(0.5, 1.0, 4, dtype=np.float32)  # of four settings

    def scored(name: str, scale: float) -> Scored:
        predicted = np.stack([np.ones(12, np.float32), *(np.full(12, value) for value in found)])[None]
        answers = Answers(("uncompressed", "a", "b", "c", "d"), predicted, np.zeros_like(predicted))
        sizes = scale * np.outer([10.0, 20.0, 40.0, 80.0], np.ones(12))
        every = {key_of(m): answers for m in MEASURES}
        return Scored(name, "embedding", ("a", "b", "c", "d"), sizes, {}, every, 0.0, 1)

    both = {"ours": scored("ours", 1.0), RIVAL: scored(RIVAL, 10.0)}
    ratios = [r for r in rows("e", "s", reference, both, groups) if r.rival == RIVAL]
    assert {r.case for r in ratios} == {"e/naip/ours"}
    assert len(ratios) == 2 * len(MEASURES)
    for row in ratios:
        assert row.metric.startswith("times fewer bytes at −")
        assert row.value == pytest.approx(10, rel=1e-6)
