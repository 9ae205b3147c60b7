"""A run is deterministic, resumable, learns, and its parts of the loss do what they say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.errors import InputError
from codec.pretrain.distil import DistilConfig, Run, distillation_loss, pixel_targets
from codec.pretrain.labels import Pool

CONFIG = DistilConfig(steps=4, batch=4, warmup=1, depth=1, width=32, mask_share=0.5)


def pool(width: int = 32) -> Pool:
    rng = np.random.default_rng(1)
    return Pool(
        (rng.random((8, 12, 64, 64)) * 0.4).astype(np.float16),
        np.ones((8, 12), np.uint8),
        rng.standard_normal((8, 8, 8, width)).astype(np.float16),
        np.zeros(8, np.int16),
        np.zeros(8, np.int16),
        np.zeros((1, 8, 8, width), np.float32),
        np.ones(width, np.float32),
    )


def weights(run: Run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.student.parameters()])


def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path) -> None:
    whole, first = Run(pool(), CONFIG), Run(pool(), CONFIG)
    losses = [whole.advance() for _ in range(4)]
    first.advance(), first.advance()
    first.save(tmp_path / "c.pt")
    second = Run(pool(), CONFIG)
    second.load(tmp_path / "c.pt")
    assert second.step == 2
    assert [second.advance(), second.advance()] == losses[2:]
    assert torch.equal(weights(whole), weights(second))


def test_the_seed_decides_the_weights() -> None:
    other = dataclasses.replace(CONFIG, seed=1)
    a, b, c = Run(pool(), CONFIG), Run(pool(), CONFIG), Run(pool(), other)
    assert a.advance() == b.advance()
    assert torch.equal(weights(a), weights(b))
    assert not torch.equal(weights(a), weights(c))


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    Run(pool(), CONFIG).save(tmp_path / "c.pt")
    with pytest.raises(InputError, match="another configuration"):
        Run(pool(), dataclasses.replace(CONFIG, batch=2)).load(tmp_path / "c.pt")


def test_the_loss_falls_on_a_pool_that_can_be_learnt() -> None:
    config = dataclasses.replace(CONFIG, steps=24, warmup=2, mask_share=0.0, batch=8, peak_rate=1e-2)
    run = Run(pool(), config)
    losses = [run.advance() for _ in range(24)]
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


def test_a_perfect_student_has_no_loss_and_uncounted_tokens_add_none() -> None:
    rng = torch.Generator().manual_seed(0)
    target, pixel = torch.randn((2, 4, 6), generator=rng), torch.randn((2, 4, 5), generator=rng)
    weight, bands = torch.ones(2, 4), torch.ones(2, 5)
    perfect = distillation_loss(target, target, pixel, pixel, weight, bands, CONFIG)
    assert float(perfect) == pytest.approx(0.0, abs=1e-6)
    weight[0, 1] = 0.0
    bands[:, 3] = 0.0
    wrong_token, wrong_pixel = target.clone(), pixel.clone()
    wrong_token[0, 1] += 9.0
    wrong_pixel[0, 1] += 9.0
    wrong_pixel[:, :, 3] -= 9.0
    assert float(
        distillation_loss(wrong_token, target, wrong_pixel, pixel, weight, bands, CONFIG)
    ) == pytest.approx(0.0, abs=1e-6)


def test_pixel_targets_are_cell_means_in_token_order() -> None:
    z = torch.arange(2 * 16 * 16, dtype=torch.float32).reshape(1, 2, 16, 16)
    targets = pixel_targets(z, 8)
    assert targets.shape == (1, 4, 2 * 16)
    # token 1 = upper right patch; band 1, cell (2, 3): rows 4–5, columns 8 + 6 … 8 + 7
    assert float(targets[0, 1, 16 + 2 * 4 + 3]) == float(z[0, 1, 4:6, 14:16].mean())


def test_the_rate_rises_then_falls_to_one_percent() -> None:
    config = DistilConfig(steps=100, warmup=10)
    rates = [config.rate(step) for step in range(101)]
    assert np.argmax(rates) in (9, 10)
    assert rates[100] == pytest.approx(0.01 * config.peak_rate)
