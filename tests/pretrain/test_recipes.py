"""A recipe is checked whole; what is wrong with it is said with file and line, or with the override."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec.errors import UsageError
from codec.pretrain.recipe import SHIPPED, load_recipe


def test_every_shipped_recipe_is_legal_and_named_after_its_file() -> None:
    found = [p.stem for p in SHIPPED.glob("*.yaml") if p.stem not in ("candidates", "architectures")]
    assert {"s2-nano", "rgb-small"} <= set(found)
    for name in found:
        assert load_recipe(name).name == name


def test_an_override_changes_one_value() -> None:
    plain, changed = load_recipe("s2-nano"), load_recipe("s2-nano", ["objective.nested=[32, 64]", "seed=3"])
    assert changed.objective.nested == (32, 64)
    assert changed.seed == 3
    assert changed.model == plain.model
    assert changed.schedule == plain.schedule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nmodel:\n  width: 129\n", "line 2, model: tile must be a multiple"),
        ("name: x\nmodel:\n  depht: 3\n", "line 3, model.depht: extra"),
        ("name: x\nschedule:\n  batch: many\n", "line 3, schedule.batch: input should be a valid integer"),
        ("name: x\nseed: -1\n", "line 2, seed"),
        ("model: {}\n", "name: field required"),
        ("name: [x\n", "line 2: no legal YAML"),
        ("- name\n", "a recipe is a mapping"),
        ("name: !!python/object/apply:os.system [ls]\n", "no legal YAML"),
    ],
)
def test_bad_recipes_are_refused_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_recipe(tmp_path / "r.yaml")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "override", ["schedule.batch=0", "modle.width=3", "seed", "seed.x=1", "seed=[", "=3"]
)
def test_bad_overrides_are_named(override: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe("s2-nano", [override])
    assert override in str(caught.value)


def test_a_recipe_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UsageError, match="s2-nano"):
        load_recipe("s3-nano")
