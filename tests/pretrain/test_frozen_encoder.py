"""Heads of the loss are learned for an encoder that stands still, and what they are a start for goes on from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from codec.errors import InputError
from codec.models.bands import S2_NANO_BANDS
from codec.models.weights import save_encoder
from codec.pretrain.heads import HeadsRun
from codec.pretrain.labels import Pool
from codec.pretrain.recipe import Recipe
from codec.pretrain.run import CHECKPOINT, Run, train


def small(**model: int) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "small",
            "precision": "fp32",
            "device": "cpu",
            "model": {"depth": 1, "width": 32, **model},
            "objective": {"pixels_from": "tokens", "nested": (8,), "hidden_batches": 0.0},
            "schedule": {"samples": 160, "batch": 8, "warmup": 8, "peak_rate": 3e-3},
        }
    )


@pytest.fixture(scope="module")
def views() -> Pool:
    rng = np.random.default_rng(5)
    return Pool(
        (rng.random((8, 12, 64, 64)) * 0.4).astype(np.float16),
        np.ones((8, 12), np.uint8),
        rng.standard_normal((8, 8, 8, 24)).astype(np.float16),
        np.zeros(8, np.int16),
        np.repeat(np.arange(4), 2).astype(np.int32),
        np.zeros((1, 8, 8, 24), np.float32),
        np.ones(24, np.float32),
        S2_NANO_BANDS,
    )


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, views: Pool) -> Path:
    path = tmp_path_factory.mktemp("released") / "encoder.safetensors"
    save_encoder(Run(views, small()).encoder, path, half=True)
    return path


@torch.no_grad()
def total(run: Run) -> float:
    return float(torch.stack(list(run.terms().values())).sum())


def test_the_encoder_stands_still_while_the_heads_learn(views: Pool, released: Path, tmp_path: Path) -> None:
    run = HeadsRun(views, small(), released)
    first = total(run)
    assert train(run, tmp_path)
    last = total(run)
    assert last < 0.97 * first
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)["student"]
    stored = load_file(released)
    for name, value in stored.items():
        assert torch.equal(state[f"encoder.{name}"].half(), value), name


def test_a_run_for_another_encoder_is_not_gone_on_with(views: Pool, released: Path, tmp_path: Path) -> None:
    run = HeadsRun(views, small(), released)
    run.save(tmp_path / CHECKPOINT)
    other = tmp_path / "other.safetensors"
    save_encoder(Run(views, Recipe.model_validate({**small().model_dump(), "seed": 3})).encoder, other)
    with pytest.raises(InputError, match="encoder"):
        HeadsRun(views, small(), other).load(tmp_path / CHECKPOINT)
    plain = Run(views, small())
    plain.save(tmp_path / CHECKPOINT)
    with pytest.raises(InputError, match="encoder"):
        run.load(tmp_path / CHECKPOINT)


def test_an_encoder_of_another_shape_is_refused(views: Pool, released: Path) -> None:
    with pytest.raises(InputError, match="another model") as refused:
        HeadsRun(views, small(depth=2), released)
    assert refused.value.path == str(released)
