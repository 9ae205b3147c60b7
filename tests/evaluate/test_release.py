"""Unseen tiles are scored once per release; commands answer bad input with one line; tables come from rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec.errors import InputError
from codec.evaluate.__main__ import main
from codec.evaluate.candidates import fill, gather, table
from codec.evaluate.measured import Subject
from codec.evaluate.release import identity, refuse_another, stamp
from codec.evaluate.rows import Row, save

SUBJECT = Subject("nano", seeds="0,1,2")


def test_the_identity_is_that_of_the_files_in_any_order(tmp_path: Path) -> None:
    a, b, c = (tmp_path / name for name in "abc")
    a.write_bytes(b"one")
    b.write_bytes(b"two")
    c.write_bytes(b"three")
    assert identity([a, b]) == identity([b, a])
    assert identity([a, b]) != identity([a, c])
    with pytest.raises(InputError, match="cannot be read"):
        identity([tmp_path / "none"])


@pytest.mark.parametrize(
    "place", ["eurosat-unseen/12-bands", "eurosat-blocked-unseen/3-bands", "ucmerced-test"]
)
def test_a_release_is_not_overwritten_by_another(tmp_path: Path, place: str) -> None:
    path = tmp_path / "model.csv"
    refuse_another(path, SUBJECT, "aaaa", again=False)  # nothing there yet
    save([Row("model", f"{place}/nano", "probe-accuracy", 80.0, versions=stamp("aaaa"))], tmp_path)
    refuse_another(path, SUBJECT, "aaaa", again=False)  # the same again
    refuse_another(path, Subject("other"), "bbbb", again=False)  # another model's business
    with pytest.raises(InputError, match="scored on unseen tiles before"):
        refuse_another(path, SUBJECT, "bbbb", again=False)
    refuse_another(path, SUBJECT, "bbbb", again=True)


def test_choices_may_be_repeated(tmp_path: Path) -> None:
    save(
        [Row("model", "eurosat-val/12-bands/nano", "probe-accuracy", 80.0, versions=stamp("aaaa"))], tmp_path
    )
    refuse_another(tmp_path / "model.csv", SUBJECT, "bbbb", again=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["encoder", "--data", "nowhere", "--encoder", "nowhere.safetensors"],
        ["encoder", "--data", "nowhere", "--encoder", "nowhere.safetensors", "--seeds", "0,1"],
        ["candidates", "--document", "nowhere.md"],
        ["packages", "--package", "nowhere", "--results", "x.csv"],
        ["card", "--package", "nowhere", "--data", "nowhere", "--results", "nowhere.csv"],
    ],
)
def test_bad_input_is_one_line_and_exit_code_3(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 3
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def rows_of_a_campaign() -> list[Row]:
    """Two candidates; by hand: mean of 80, 82, 84 is 82, its standard error 2/√3, the half-width over tiles 3."""
    out = []
    for name, values in (("first", (80.0, 82.0, 84.0)), ("second", (90.0,))):
        for seed, value in enumerate(values):
            case = f"{name}/seed-{seed}"
            out += [
                Row("candidates", f"{case}/12-bands", "accuracy", value, value - 3, value + 3),
                Row("candidates", case, "cpu-seconds", 100.0 * (seed + 1)),
                Row("model", f"{case}/12-bands", "accuracy", 1.0),
            ]
    return out


def test_seeds_are_put_together_with_both_kinds_of_spread() -> None:
    found = gather(rows_of_a_campaign())
    first = found["first"]["12-bands", "accuracy", ""]
    half = (3.0**2 + (1.96 * 2 / 3**0.5) ** 2) ** 0.5
    assert (first.value, first.seeds) == (82.0, 3)
    assert (first.low, first.high) == pytest.approx((82 - half, 82 + half))
    assert found["second"]["12-bands", "accuracy", ""].high == pytest.approx(93.0)
    assert found["first"]["", "cpu-seconds", ""].value == 200.0


def test_the_table_names_the_best_first_and_leaves_out_what_nobody_measured() -> None:
    text = table(rows_of_a_campaign())
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert lines[2].startswith("| second | 1 | – | 100 | 90.0 [87.0, 93.0] |")
    assert lines[3].startswith("| first | 3 | – | 200 | 82.0 [")
    assert "RGB" not in text
    assert "No candidate has been measured" in table([])


def test_a_document_is_filled_between_its_marks_and_checked(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n<!-- candidates -->\nold\n<!-- end candidates -->\nkept\n")
    save(rows_of_a_campaign(), tmp_path, per_machine=False)
    results = tmp_path / "candidates.csv"
    assert not fill(page, results, check=True)
    assert "old" in page.read_text()
    assert not fill(page, results, check=False)
    assert fill(page, results, check=True)
    assert page.read_text().startswith("# Page\n<!-- candidates -->\n\n| candidate |")
    assert page.read_text().endswith("<!-- end candidates -->\nkept\n")
    arguments = ["candidates", "--document", str(page), "--results", str(results), "--check"]
    assert main(arguments) == 0
    page.write_text(page.read_text().replace("82.0", "99.0"))
    assert main(arguments) == 3
    (tmp_path / "bare.md").write_text("nothing")
    with pytest.raises(InputError, match="no place for the candidates"):
        fill(tmp_path / "bare.md", results, check=True)
