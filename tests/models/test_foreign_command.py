"""`python -m codec.models.foreign`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from codec.models.foreign.__main__ import main
from codec.models.foreign.layout import layout_names, read_layout

NAME = "galileo_nano_encoder"  # the only layout whose full size is small


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    state = {key: torch.zeros(shape) for key, shape in read_layout(NAME).keys.items()}
    torch.save(state, tmp_path / "encoder.pt")
    return tmp_path / "encoder.pt"


def run(*arguments: str) -> int:
    return main(list(arguments))


def test_a_fitting_file_gives_its_table_and_zero(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("report", "--layout", NAME, "--checkpoint", str(checkpoint)) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "blocks.3.attn.q.weight" in captured.out
    # Of 106 tensors, not built are 3 channel codes, Sentinel-1 (2), space (6), time (6), static (8).
    assert captured.out.splitlines()[-1] == "81 loaded, 25 skipped by name"


def test_a_file_that_does_not_fit_gives_the_table_one_line_and_three(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = torch.load(checkpoint, weights_only=True)
    del state["norm.bias"]
    torch.save(state, checkpoint)
    assert run("report", "--layout", NAME, "--checkpoint", str(checkpoint)) == 3
    captured = capsys.readouterr()
    assert "1 missing" in captured.out
    assert captured.err.count("\n") == 1
    assert captured.err.startswith(f"error: {checkpoint}: tensor norm.bias is missing")


@pytest.mark.parametrize("whole", [True, False])
def test_json_says_the_same(whole: bool, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not whole:
        state = torch.load(checkpoint, weights_only=True)
        state["norm.bias"] = state["norm.bias"][:5]
        torch.save(state, checkpoint)
    assert run("report", "--json", "--layout", NAME, "--checkpoint", str(checkpoint)) == (0 if whole else 3)
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is whole
    assert len(report["tensors"]) == 106
    (row,) = [row for row in report["tensors"] if row["foreign"] == "norm.bias"]
    assert row["own"] == "teacher.norm.bias"
    assert row["expected"] == [128]
    assert (row["found"], row["status"]) == (([128], "loaded") if whole else ([5], "misshapen"))


def test_other_failures_have_their_exit_codes(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", "--layout", "nothing", "--checkpoint", str(checkpoint)) == 3
    assert run("report", "--layout", NAME, "--checkpoint", str(checkpoint.with_name("absent"))) == 3
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert run("report", "--layout", NAME, "--checkpoint", str(checkpoint)) == 4
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line[:7] for line in captured.err.splitlines()] == ["error: "] * 3
    with pytest.raises(SystemExit) as usage:
        run("report", "--layout", NAME)
    assert usage.value.code == 2


def test_the_list_of_layouts_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("layouts") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(layout_names())
    assert run("layouts", "--json") == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == list(layout_names())
