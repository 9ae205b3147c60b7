"""Which runs of a campaign count as done."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from codec.errors import InputError
from codec.evaluate.campaign import REPORT, ROWS, candidates, claim, finished
from codec.pretrain.recipe import SHIPPED

FOUND = candidates(SHIPPED / "candidates.yaml")


def a_run(runs: Path, recipe: object) -> None:
    folder = runs / FOUND[0].name / f"seed-{FOUND[0].seed}"
    folder.mkdir(parents=True)
    (folder / ROWS).touch()
    (folder / REPORT).write_text(json.dumps({"recipe": recipe}))


def test_a_run_of_this_recipe_is_done(tmp_path: Path) -> None:
    assert not finished(FOUND[0], tmp_path)
    a_run(tmp_path, FOUND[0].recipe.model_dump(mode="json"))
    assert finished(FOUND[0], tmp_path)


def test_a_run_of_another_recipe_is_never_mixed_in(tmp_path: Path) -> None:
    recipe = FOUND[0].recipe.model_dump(mode="json")
    recipe["objective"]["pixel"] += 0.1
    a_run(tmp_path, recipe)
    with pytest.raises(InputError, match=r"another recipe: objective differs.*remove this folder"):
        finished(FOUND[0], tmp_path)


@pytest.mark.parametrize("recipe", [None, {"name": "x", "depth": 1}])
def test_a_report_that_names_no_recipe_is_an_error(tmp_path: Path, recipe: object) -> None:
    a_run(tmp_path, recipe)
    with pytest.raises(InputError, match="no report of a run"):
        finished(FOUND[0], tmp_path)


def test_a_run_is_one_processs_until_it_lets_go_and_a_dead_ones_claim_is_free(tmp_path: Path) -> None:
    take = "import sys; from pathlib import Path; from codec.evaluate.campaign import claim; f = claim(Path(sys.argv[1]))"

    def other() -> bool:
        code = f"{take}; print(f is not None)"
        return subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
        ).stdout.startswith("True")

    assert other()  # and is gone: its file lies there still
    mine = claim(tmp_path)
    assert mine is not None
    assert not other()
    mine.close()
    assert other()
