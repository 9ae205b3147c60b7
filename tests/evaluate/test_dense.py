"""Dense tasks on the real pictures: every feature speaks of the same tokens, whatever patch, bands and margin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec.errors import InputError
from codec.evaluate import dense, strata
from codec.evaluate.bank import Bank
from codec.evaluate.features import random_twin
from codec.evaluate.measured import Subject
from codec.models.vit import EncoderConfig


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Shapes of the features that would be probed; every answer is the first class."""
    seen: list[tuple[int, int]] = []

    def stand_in(x: np.ndarray, y: np.ndarray, blocks: np.ndarray, k: int, grid: object) -> np.ndarray:
        assert len(x) == len(y) == len(blocks)
        assert np.isfinite(x).all()
        seen.append(x.shape)
        return np.eye(k, dtype=np.float32)[np.zeros(len(y), np.int64)]

    monkeypatch.setattr(dense, "quick_held_out_logits", stand_in)
    monkeypatch.setattr(dense, "TASKS", {"sky": dense.TASKS["sky"]})
    return seen


def bank(data: Path, config: EncoderConfig) -> Bank:
    return Bank(Subject("tiny"), [random_twin(config, 0)], data, rivals=("random-twin",), margin=8)


@pytest.mark.shared_data
def test_a_finer_patch_and_a_margin_speak_of_the_same_tokens(
    shared_data: Path, shapes: list[tuple[int, int]]
) -> None:
    """12 bands: spectra 12, context 48, tokens 16 wide; alone, with 12 spectral means, with the context."""
    rows = dense.rows(bank(shared_data, EncoderConfig(width=16, depth=1, heads=2, patch=4)), "val")
    n = shapes[0][0]
    assert shapes == [(n, 12), (n, 48), (n, 16), (n, 16), (n, 28), (n, 64)]
    found = {(r.case, r.metric, r.rival): r for r in rows}
    assert len(found) == len(rows)
    for feature in (
        "tiny",
        "tiny-twin",
        "tiny+spectral",
        "tiny+pixels",
        "pixels-with-context",
        "pixel-spectra",
    ):
        assert found[f"dense-val/sky/{feature}", "accuracy", ""].n == n
    assert found["dense-val/sky/tiny+pixels", "macro-f1-difference", "pixels-with-context"].value == 0.0


@pytest.mark.shared_data
def test_rivals_of_a_colour_encoder_see_colour_alone(
    root: Path, shared_data: Path, shapes: list[tuple[int, int]]
) -> None:
    if not (root / ".demo-data" / ".stamp").is_file():
        pytest.skip("the sample scenes are not installed: make setup")
    config = EncoderConfig(width=16, depth=1, heads=2, bands=("blue", "green", "red"))
    rows = strata.rows(bank(shared_data, config), "val", root / ".demo-data")
    assert shapes == [(5000, 3), (5000, 9), (5000, 16), (5000, 16), (5000, 19), (5000, 25)]
    assert {r.n for r in rows} == {5000}


def test_a_missing_sample_scene_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the sample's"):
        strata.rows(bank(tmp_path, EncoderConfig(width=16, depth=1, heads=2)), "val", tmp_path)
