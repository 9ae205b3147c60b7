"""The poster's figures were transcribed by hand: its own averages check them, and the document holds no others."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from codec.adapt.__main__ import _parser, main
from codec.adapt.tasks.published import beside, poster_table, published
from codec.adapt.tasks.recipe import load_task, task_names
from codec.adapt.types import METHODS

DOCUMENT = Path(__file__).parents[2] / "docs" / "reproduce_deflect.md"
_PARTS = {
    "classification": ("so2sat", "brick-kiln", "forestnet"),
    "segmentation": ("burn-scars", "mados"),
    "all": ("so2sat", "brick-kiln", "forestnet", "burn-scars", "mados"),
}


def test_every_method_and_task_has_a_figure() -> None:
    poster = published()
    assert set(poster.methods) == set(METHODS)
    assert set(poster.metrics) == set(task_names())
    for name, method in poster.methods.items():
        assert set(method.figures) == set(task_names()), name
    for task, metric in poster.metrics.items():
        assert metric == load_task(task).metric


@pytest.mark.parametrize("name", METHODS)
def test_the_posters_averages_follow_from_its_figures(name: str) -> None:
    """To a tenth and its rounding: the poster averages what it had before it rounded."""
    method = published().methods[name]  # type: ignore[index]
    for part, tasks in _PARTS.items():
        mean = sum(method.figures[task][0] for task in tasks) / len(tasks)
        assert method.averages[part] == pytest.approx(mean, abs=0.101), part


def test_the_document_holds_the_table_as_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["published"]) == 0
    printed = capsys.readouterr().out
    assert printed == poster_table()
    assert "The authors' figures" in printed
    assert printed in DOCUMENT.read_text(encoding="utf-8")


def test_a_cell_that_the_poster_does_not_have_is_left_open() -> None:
    table = beside("own-task", "macro F1", {"deflect": (1.5, [50.0, 52.0, 57.0]), "frozen": (0.0, [40.0])})
    lines = table.splitlines()
    assert lines[2] == "| frozen | 0 % | 40.0 | 1 | 0 % | – |"
    assert lines[3] == "| deflect | 1.5 % | 53.0 ± 3.6 | 3 | 0.2 % | – |"


def test_the_documents_commands_are_understood() -> None:
    text = DOCUMENT.read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"^python -m codec\.adapt (.+?)(?:#.*)?$", text, re.MULTILINE)
    tasks = set()
    for line in found:
        options = _parser().parse_args(shlex.split(line))
        if options.command != "published":
            tasks.add(load_task(options.task, options.set).name)
    assert tasks == set(task_names())
