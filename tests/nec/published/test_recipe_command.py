"""`python -m codec.nec` from a pool of views to bytes and back, in its fast form; and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_nec import needs_compressai, views, written

from codec.errors import UsageError
from codec.nec.__main__ import main
from codec.nec.recipe import load_recipe


@needs_compressai
@pytest.mark.parametrize("name", ["nec-2024", "nec-2024-repaired"])
def test_the_published_experiment_runs_from_views_to_bytes_and_back(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, start, run = written(tmp_path / "pool", views()), str(tmp_path / "start.pt"), str(tmp_path / "run")
    common = [name, "--fast", "--set", "start.encoder=vit-nano/8@s2", "--set", "schedule.steps=6"]
    common += ["--pool", str(pool), "--start-weights", start]
    assert main(["start", *common]) == 0
    assert main(["train", *common, "--out", run, "--minutes", "0"]) == 75
    assert main(["train", *common, "--out", run]) == 0
    assert main(["train", *common, "--out", run]) == 0  # nothing left to do
    tiles = tmp_path / "tiles.npz"
    np.savez(tiles, pixels=views().pixels[:5].astype(np.float32))
    for group in ("1", "4"):
        use = ["--run", run, "--group", group]
        packed, tokens = tmp_path / f"{group}.nec24", tmp_path / f"{group}.npz"
        assert main(["compress", str(tiles), *use, "--out", str(packed)]) == 0
        assert main(["decompress", str(packed), *use, "--out", str(tokens)]) == 0
        with np.load(tokens) as found:
            assert found["tokens"].shape == (5, 8, 8, 128)
            assert found["decoder"].shape == (5, 8, 8, 96)
    assert (tmp_path / "4.nec24").stat().st_size < (tmp_path / "1.nec24").stat().st_size
    with np.load(tmp_path / "1.npz") as a, np.load(tmp_path / "4.npz") as b:
        assert np.array_equal(a["tokens"], b["tokens"])
    assert main(["decompress", str(tmp_path / "4.nec24"), "--run", run, "--out", str(tokens)]) == 4
    assert main(["check", "--pool", str(pool), "--run", run]) == 0
    assert "ok   real bytes are" in capsys.readouterr().out
    assert main(["train", *common, "--set", "seed=3", "--out", run]) == 3


def test_a_command_without_starting_weights_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", "nec-2024", "--pool", str(tmp_path), "--out", str(tmp_path)]) == 3
    assert "--start-weights is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("schedule.steps=0", "--set schedule.steps=0"),
        ("switches.units=per tile", "batch sum"),
        ("rate.weight=.inf", "rate.weight"),
        ("nothing.here=1", "nothing"),
        ("seed", "section.key=value"),
        ("seed={", "no legal YAML"),
    ],
)
def test_a_wrong_override_is_named(override: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_recipe("nec-2024", [override])


def test_a_wrong_line_of_a_recipe_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nschedule:\n  batch: many\n")
    with pytest.raises(UsageError, match=r"mine\.yaml, line 3, schedule\.batch"):
        load_recipe(path)
    with pytest.raises(UsageError, match="nec-2024-repaired"):
        load_recipe("nec-2023")


def test_fast_is_short_and_overrides_come_after_it() -> None:
    assert load_recipe("nec-2024", fast=True).schedule.steps == 40
    assert load_recipe("nec-2024", ["schedule.steps=7"], fast=True).schedule.steps == 7
    assert load_recipe("nec-2024", fast=True).fast
