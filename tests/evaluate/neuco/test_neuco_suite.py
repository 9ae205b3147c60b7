"""Files as the challenge writes them, and the command from files to rows."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from codec.errors import InputError
from codec.evaluate.neuco.__main__ import main
from codec.evaluate.neuco.entries import read_entries, read_groups, read_labels
from codec.evaluate.neuco.own_set import entry_of, kernel_entry, tasks_of, tiles_of
from codec.evaluate.neuco.protocol import Entry, Protocol, Task
from codec.evaluate.neuco.suite import evaluate
from codec.evaluate.rate.encoders import open_encoder
from codec.evaluate.rows import load

N, WIDTH = 120, 6


def write_csv(path: Path, head: list[str], rows: list[list[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two entries, one of them noise, and two tasks."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, WIDTH)).astype(np.float32)
    names = [f"{i:04x}" for i in range(N)]
    number = x @ rng.normal(size=WIDTH)
    embeddings, labels = tmp_path / "embeddings", tmp_path / "labels"
    write_csv(
        embeddings / "good.csv",
        ["id", *map(str, range(WIDTH))],
        [[f"{name}.zarr.zip", *row] for name, row in zip(names, x.tolist(), strict=True)],
    )
    np.savez(embeddings / "noise.npz", embeddings=rng.normal(size=(N, WIDTH)), filenames=np.array(names))
    write_csv(
        labels / "height__regression.csv", ["id", "label"], [*map(list, zip(names, number, strict=True))]
    )
    write_csv(
        labels / "high__cls.csv",
        ["id", "label"],
        [[n, int(v > 0)] for n, v in zip(names, number, strict=True)],
    )
    return embeddings, labels


def test_columns_are_ordered_by_their_number(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "e.csv", ["2", "id", "10", "1"], [[3, "a.zarr", 4, 2], [6, "b", 7, 5]])
    (entry,) = read_entries([path])
    assert entry.ids == ("a", "b")
    np.testing.assert_array_equal(entry.vectors, [[2, 3, 4], [5, 6, 7]])


def test_columns_without_numbers_are_taken_as_they_stand(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "e.csv", ["id", "b", "a"], [["x", 1, 2]])
    np.testing.assert_array_equal(read_entries([path])[0].vectors, [[1, 2]])


def test_both_kinds_of_files_are_entries(files: tuple[Path, Path]) -> None:
    entries = read_entries([files[0]])
    assert [(e.name, e.vectors.shape) for e in entries] == [("good", (N, WIDTH)), ("noise", (N, WIDTH))]
    assert entries[0].ids == entries[1].ids


def test_rows_without_a_label_are_left_out(tmp_path: Path) -> None:
    write_csv(tmp_path / "t__regr.csv", ["id", "label"], [["a.zarr.zip", 1], ["b", ""], ["c", 3]])
    (task,) = read_labels(tmp_path)
    assert (task.name, task.kind, task.ids, task.labels.tolist()) == ("t", "regression", ("a", "c"), [1, 3])


@pytest.mark.parametrize(
    ("head", "rows", "what"),
    [
        (["name", "0"], [["a", 1]], "column id"),
        (["id", "0"], [["a", "x"]], "line 2"),
        (["id", "0", "1"], [["a", 1, 2], ["b", 1]], "line 3"),
        (["id", "0"], [["a", "nan"]], "not finite"),
        (["id", "0"], [["a", 1], ["a.zarr", 2]], "twice"),
        (["id", "0"], [], "no rows"),
        (["id", *map(str, range(1025))], [["a", *range(1025)]], "cap of 1024"),
    ],
)
def test_tables_that_are_no_entry_are_refused_with_their_place(
    tmp_path: Path, head: list[str], rows: list[list[object]], what: str
) -> None:
    path = write_csv(tmp_path / "e.csv", head, rows)
    with pytest.raises(InputError, match=what) as caught:
        read_entries([path])
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "rows", "what"),
    [
        ("t.csv", [["a", 1]], "does not say its type"),
        ("t__depth.csv", [["a", 1]], "does not say its type"),
        ("t__regr.csv", [["a", "deep"]], "no number"),
        ("t__cls.csv", [["a", 1], ["b", 0], ["c", 0]], "one sample"),
    ],
)
def test_labels_that_are_none_are_refused(
    tmp_path: Path, name: str, rows: list[list[object]], what: str
) -> None:
    write_csv(tmp_path / name, ["id", "label"], rows)
    with pytest.raises(InputError, match=what):
        read_labels(tmp_path)


def test_items_without_a_group_are_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "g.csv", ["id", "group"], [["a.zarr", "x"], ["b", "y"], ["c", "x"]])
    assert read_groups(path, ("c", "b", "a")).tolist() == [0, 1, 0]
    with pytest.raises(InputError, match="1 items have no group, first d"):
        read_groups(path, ("a", "d"))


def test_from_files_to_rows_and_table(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, table = tmp_path / "out" / "neuco.csv", tmp_path / "table.md"
    code = main([
        "--embeddings", str(files[0]), "--labels", str(files[1]), "--budget", "5", "--splits", "4", "--passes", "60",
        "--results", str(results), "--table", str(table), "--threads", "1",
    ])  # fmt: skip
    assert code == 0
    rows = {(row.case, row.metric): row for row in load(results)}
    assert rows["labels/good/float32", "bytes"].value == 4 * WIDTH
    assert rows["labels/good/int8", "bytes"].value == WIDTH
    assert 0 < rows["labels/good/swathpack 5 B", "bytes"].value <= 5
    assert rows["labels/good/float32", "place"].value == 1
    assert rows["labels/noise/float32", "place"].value == 2
    height = rows["labels/good/float32/height", "score"]
    assert height.lo is not None
    assert height.hi is not None
    assert height.lo < height.value < height.hi
    assert height.value > rows["labels/noise/float32/height", "score"].value + 0.3
    best = rows["labels/good/float32/height", "score-best-epoch"].value
    assert best >= height.value
    difference = rows["labels/good/int8/height", "difference"]
    assert difference.rival == "good/float32"
    assert difference.value == pytest.approx(
        rows["labels/good/int8/height", "score"].value - height.value, abs=1e-5
    )
    assert table.read_text() == capsys.readouterr().out
    assert "| good | swathpack 5 B |" in table.read_text()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "give either --labels or --data"),
        (["--labels", "nowhere"], "give --embeddings"),
        (["--labels", "nowhere", "--embeddings", "nothing.csv"], "no such file of embeddings"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_3(
    arguments: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 3
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert what in said


def test_vectors_beyond_the_cap_end_the_command_by_name(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(
        tmp_path / "long.npz", embeddings=np.zeros((N, 1025)), ids=np.array([f"{i:04x}" for i in range(N)])
    )
    assert main(["--embeddings", str(tmp_path / "long.npz"), "--labels", str(files[1])]) == 3
    assert "above the cap of 1024 floats" in capsys.readouterr().err


def test_tasks_with_fewer_labels_are_scored_on_their_own_items() -> None:
    rng = np.random.default_rng(0)
    ids = tuple(map(str, range(60)))
    tasks = [
        Task("all", "regression", ids, rng.normal(size=60)),
        Task("some", "regression", ids[10:], rng.normal(size=50)),
    ]
    entry = Entry("e", ids, rng.normal(size=(60, 4)).astype(np.float32))
    (first, *_) = evaluate([entry], tasks, Protocol(splits=3, epochs=2))
    assert first.ratios == {"all": pytest.approx(6 / 54), "some": pytest.approx(5 / 45)}
    assert list(first.scores) == ["all", "some"]


def test_a_task_whose_positives_are_never_held_out_is_refused_by_name() -> None:
    rng = np.random.default_rng(0)
    ids = tuple(map(str, range(60)))
    labels = np.zeros(60)
    labels[:2] = 1
    tasks = [Task("rare", "classification", ids, labels)]
    groups = np.r_[0, 0, np.arange(1, 59)]  # both positives in one group, which two splits hardly hold out
    entry = Entry("e", ids, rng.normal(size=(60, 4)).astype(np.float32))
    with pytest.raises(InputError, match="task 'rare'"):
        evaluate([entry], tasks, Protocol(splits=2, epochs=1), groups=groups, blocked=True)


@pytest.mark.shared_data
def test_the_small_set_has_its_tasks_and_gaps(shared_data: Path) -> None:
    """Against the table itself: 401 tiles, 41 forests (counted here), and no label where upstream had none."""
    with open(shared_data / "eurosat_ms" / "index.csv", newline="") as file:
        table = list(csv.DictReader(file))
    tasks, groups = tasks_of(shared_data)
    by_name = {task.name: task for task in tasks}
    assert len(groups) == len(table) == 401
    forests = {row["name"] for row in table if row["class"] == "Forest"}
    forest = by_name["is-Forest"]
    assert {i for i, label in zip(forest.ids, forest.labels, strict=True) if label == 1} == forests
    height = dict(zip(by_name["elevation_m"].ids, by_name["elevation_m"].labels, strict=True))
    assert all(height[row["name"]] == float(row["elevation_m"]) for row in table if row["name"] in height)
    people = dict(zip(by_name["pop_density"].ids, by_name["pop_density"].labels, strict=True))
    assert 350 < len(people) < 401
    row = next(row for row in table if row["name"] in people)
    assert people[row["name"]] == pytest.approx(np.log1p(float(row["pop_density"])))


@pytest.mark.shared_data
def test_entries_of_the_small_set_carry_its_items(shared_data: Path) -> None:
    tiles, names = tiles_of(shared_data)
    entry = entry_of(open_encoder("pixel-statistics"), tiles, names)
    few = tiles.__class__(
        "eurosat", tiles.bands, tiles.pixels[:30], tiles.present[:30], tiles.validity[:30], tiles.scene[:30],
        tiles.place[:30], tiles.groups[:30],
    )  # fmt: skip
    kernels = kernel_entry(few, names[:30], features=16)
    assert (len(entry.ids), entry.vectors.shape) == (401, (401, 48))
    assert kernels.vectors.shape == (30, 16)
    # The first statistic is the log mean of the first band, averaged over the patches of the named tile.
    first = tiles.pixels[5, 0].reshape(8, 8, 8, 8).mean((1, 3))
    assert entry.vectors[5, 0] == pytest.approx(np.log(np.maximum(first, 1e-4)).mean(), abs=1e-4)
