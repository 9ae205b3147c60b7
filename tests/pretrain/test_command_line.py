"""The rooms' commands answer bad input with one line and its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec.heads.__main__ import main as heads
from codec.pretrain.__main__ import main as pretrain


@pytest.mark.parametrize(
    "arguments",
    [
        ["label", "s2-nano", "--data", "nowhere", "--pool", "pool"],
        ["train", "s2-nano", "--pool", "nowhere", "--out", "out"],
        ["embed", "--data", "nowhere", "--out", "x.npz"],
        ["fit-codec", "--data", "nowhere", "--package", "nowhere"],
        ["build", "rgb-small", "--data", "nowhere", "--package", "package"],
    ],
)
def test_a_missing_input_is_one_line_and_exit_code_3(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert pretrain(arguments) == 3
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "nowhere" in error
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_bad_recipe_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = [
        "train",
        "s2-nano",
        "--set",
        "model.depth=0",
        "--pool",
        str(tmp_path),
        "--out",
        str(tmp_path),
    ]
    assert pretrain(arguments) == 2
    assert "--set model.depth=0" in capsys.readouterr().err


def test_heads_of_a_missing_package_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert heads(["fit", "--package", str(tmp_path / "none"), "--data", str(tmp_path)]) != 0
    assert capsys.readouterr().err.startswith("error: ")
