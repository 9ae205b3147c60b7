"""A run is deterministic, resumable, learns, and stops in time when it is told to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.errors import BackendUnavailable, InputError
from codec.models.bands import S2_NANO_BANDS
from codec.pretrain.fit import open_encoder
from codec.pretrain.labels import Pool
from codec.pretrain.recipe import Recipe
from codec.pretrain.run import CHECKPOINT, REPORT, Run, rate, resolve_precision, train


def recipe(**changes: object) -> Recipe:
    values: dict[str, object] = {
        "name": "small",
        "precision": "fp32",
        "device": "cpu",
        "model": {"depth": 1, "width": 32},
        "objective": {"hidden_batches": 0.5},
        "schedule": {"samples": 16, "batch": 4, "warmup": 4},
    }
    for name, value in changes.items():
        section, _, key = name.partition("__")
        if key:
            values[section] = {**values.get(section, {}), key: value}  # type: ignore[dict-item]
        else:
            values[section] = value
    return Recipe.model_validate(values)


def pool(width: int = 32, seed: int = 1) -> Pool:
    rng = np.random.default_rng(seed)
    return Pool(
        (rng.random((8, 12, 64, 64)) * 0.4).astype(np.float16),
        np.ones((8, 12), np.uint8),
        rng.standard_normal((8, 8, 8, width)).astype(np.float16),
        np.zeros(8, np.int16),
        np.repeat(np.arange(4), 2).astype(np.int32),
        np.zeros((1, 8, 8, width), np.float32),
        np.ones(width, np.float32),
        S2_NANO_BANDS,
    )


def weights(run: Run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.student.parameters()])


EVERY_TERM = {"objective__random": 0.5, "objective__contrast": 0.5, "objective__nested": (8, 16)}


@pytest.mark.parametrize("terms", [{}, EVERY_TERM], ids=["base", "every term"])
def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path, terms: dict[str, object]) -> None:
    whole, first = Run(pool(), recipe(**terms)), Run(pool(), recipe(**terms))
    losses = [whole.advance() for _ in range(4)]
    first.advance(), first.advance()
    first.save(tmp_path / "c.pt")
    second = Run(pool(), recipe(**terms))
    second.load(tmp_path / "c.pt")
    assert second.step == 2
    assert [second.advance(), second.advance()] == losses[2:]
    assert torch.equal(weights(whole), weights(second))


def test_the_seed_decides_the_weights() -> None:
    a, b, c = Run(pool(), recipe()), Run(pool(), recipe()), Run(pool(), recipe(seed=1))
    assert a.advance() == b.advance()
    assert torch.equal(weights(a), weights(b))
    assert not torch.equal(weights(a), weights(c))


def test_a_checkpoint_of_another_recipe_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    Run(pool(), recipe()).save(tmp_path / "c.pt")
    with pytest.raises(InputError, match="another recipe: schedule differs"):
        Run(pool(), recipe(schedule__batch=2)).load(tmp_path / "c.pt")


def test_a_pool_of_other_bands_is_refused() -> None:
    with pytest.raises(InputError, match="other bands than the model"):
        Run(pool(), recipe(model__bands="rgb"))


def test_without_any_objective_there_is_nothing_to_learn() -> None:
    run = Run(pool(), recipe(objective__token=0, objective__pooled=0, objective__pixel=0))
    with pytest.raises(InputError, match="no objective"):
        run.advance()


def test_the_loss_falls_on_a_pool_that_can_be_learnt() -> None:
    changes = {"schedule__samples": 192, "schedule__batch": 8, "schedule__peak_rate": 1e-2}
    run = Run(pool(), recipe(**changes, objective__hidden_batches=0.0))
    losses = [run.advance() for _ in range(24)]
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


@pytest.mark.parametrize(
    "changes",
    [
        {"model__stem": "grouped"},
        {"model__registers": 2},
        {"model__patch": 4},
        {"model__width": 16, "model__heads": 4},
        {"objective__pixels_from": "tokens"},
        {"precision": "bf16"},
    ],
    ids=lambda c: ",".join(c),
)
def test_every_architecture_of_the_campaign_trains(changes: dict[str, object]) -> None:
    run = Run(pool(), recipe(**changes))
    before = weights(run).clone()
    assert np.isfinite(run.advance())
    assert not torch.equal(before, weights(run))


def test_pixels_read_from_the_tokens_put_a_map_between_them_and_the_teachers() -> None:
    plain, mapped = Run(pool(), recipe()), Run(pool(), recipe(objective__pixels_from="tokens"))
    assert isinstance(plain.student.to_teacher, torch.nn.Identity)
    assert isinstance(mapped.student.to_teacher, torch.nn.Linear)
    # Only then do the pixels pull on the projection that makes the tokens.
    for run, pulls in ((plain, False), (mapped, True)):
        inputs, _ = run.batch()
        pixels = run.student(*inputs, run.compute).pixels
        assert pixels is not None
        gradient = torch.autograd.grad(pixels.sum(), run.encoder.project.weight, allow_unused=True)[0]
        assert (gradient is not None) == pulls


def test_contrast_draws_two_views_of_each_image() -> None:
    run = Run(pool(), recipe(objective__contrast=1.0))
    _, targets = run.batch()
    first, second = targets.image.chunk(2)
    assert torch.equal(first, second)


def test_the_rate_rises_then_falls_to_one_percent() -> None:
    r = recipe(schedule__samples=100, schedule__batch=2, schedule__warmup=20)
    rates = [rate(r, step) for step in range(51)]
    assert np.argmax(rates) in (9, 10)
    assert rates[50] == pytest.approx(0.01 * r.schedule.peak_rate)


def test_training_stops_in_time_goes_on_and_reports(tmp_path: Path) -> None:
    assert not train(Run(pool(), recipe()), tmp_path, stop_after_s=0.0)
    assert (tmp_path / CHECKPOINT).exists()
    again = Run(pool(), recipe())
    assert train(again, tmp_path)
    straight = Run(pool(), recipe())
    for _ in range(4):
        straight.advance()
    assert torch.equal(weights(again), weights(straight))
    report = json.loads((tmp_path / REPORT).read_text())
    assert report["samples"] == 16
    assert report["recipe"] == recipe().model_dump(mode="json")
    assert report["energy"]["cpu_s"] > 0
    assert "W per busy core" in report["energy"]["basis"] or report["energy"]["measured_j"] > 0


def test_a_device_that_is_not_here_is_said_and_bf16_is_only_chosen_where_it_is_native(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackendUnavailable, match="no CUDA device"):
        Run(pool(), recipe(device="cuda"))
    for native, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("codec.pretrain.run.native_bf16", lambda native=native: native)
        assert resolve_precision(recipe(precision="auto"), torch.device("cpu")) == expected


def test_the_encoder_of_a_checkpoint_is_the_one_that_was_trained(tmp_path: Path) -> None:
    run = Run(pool(), recipe())
    before = [p.detach().clone() for p in run.encoder.parameters()]
    run.advance()
    run.save(tmp_path / CHECKPOINT)
    found = open_encoder(tmp_path / CHECKPOINT)
    trained = list(run.encoder.parameters())
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), trained, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(before, trained, strict=True))
