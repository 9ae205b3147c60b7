"""The terms of the loss do what they say."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from codec.pretrain.objectives import (
    Targets,
    coarser,
    contrast_term,
    loss,
    pixel_targets,
    random_features,
    token_term,
)
from codec.pretrain.recipe import Objective
from codec.pretrain.student import Outputs


def targets(**changes: torch.Tensor) -> Targets:
    rng = torch.Generator().manual_seed(0)
    values = {
        "tokens": torch.randn((2, 4, 6), generator=rng),
        "pixels": torch.randn((2, 4, 5), generator=rng),
        "counts": torch.ones(2, 4),
        "hidden": torch.zeros(2, 4),
        "bands": torch.ones(2, 5),
        "image": torch.tensor([0, 1]),
    }
    return Targets(**{**values, **changes})


def total(tokens: torch.Tensor, pixels: torch.Tensor, wanted: Targets, **objective: object) -> float:
    outputs = Outputs(tokens, pixels, None, (), None)
    return float(sum(loss(outputs, wanted, Objective(**objective)).values()))  # type: ignore[arg-type]


def test_a_perfect_student_has_no_loss_and_uncounted_places_and_bands_add_none() -> None:
    counts, bands = torch.ones(2, 4), torch.ones(2, 5)
    counts[0, 1], bands[:, 3] = 0.0, 0.0
    wanted = targets(counts=counts, bands=bands)
    assert total(wanted.tokens, wanted.pixels, wanted) == pytest.approx(0.0, abs=1e-6)
    tokens, pixels = wanted.tokens.clone(), wanted.pixels.clone()
    tokens[0, 1] += 9.0
    pixels[0, 1] += 9.0
    pixels[:, :, 3] -= 9.0
    assert total(tokens, pixels, wanted) == pytest.approx(0.0, abs=1e-6)
    tokens[1, 2] += 9.0
    assert total(tokens, pixels, wanted) > 1.0


def test_the_masked_autoencoder_counts_hidden_places_only() -> None:
    hidden = torch.zeros(2, 4)
    hidden[1, 3] = 1.0
    wanted = targets(hidden=hidden)
    pixels = wanted.pixels + 9.0
    pixels[1, 3] -= 8.0  # off by 1 where it counts: smooth-L1 of 1 is 0.5
    only = {"token": 0.0, "pooled": 0.0, "pixel": 1.0, "pixels_of": "hidden"}
    assert total(wanted.tokens, pixels, wanted, **only) == pytest.approx(0.5, abs=1e-6)


def test_the_token_term_is_two_for_an_opposite_token_besides_its_distance() -> None:
    target = torch.tensor([[[1.0, 0.0]]])
    # smooth-L1 of differences 2 and 0: (1.5 + 0) / 2; cosine −1: 1 − (−1) = 2
    assert float(token_term(-target, target, torch.ones(1, 1))) == pytest.approx(0.75 + 2.0)


def test_pixel_targets_are_cell_means_in_token_order() -> None:
    image = torch.arange(2 * 16 * 16, dtype=torch.float32).reshape(2, 16, 16)
    cut = image.reshape(1, 2, 2, 8, 2, 8).permute(0, 2, 4, 1, 3, 5).reshape(1, 4, 2, 64)
    found = pixel_targets(cut, 8)
    assert found.shape == (1, 4, 2 * 16)
    # token 1 = upper right patch; band 1, cell (2, 3): rows 4–5, columns 8 + 6 … 8 + 7
    assert float(found[0, 1, 16 + 2 * 4 + 3]) == float(image[1, 4:6, 14:16].mean())


def test_a_finer_grid_meets_the_teachers_by_the_mean_of_squares() -> None:
    fine = torch.arange(16.0).reshape(1, 16, 1)
    assert coarser(fine, 4).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert coarser(fine, 16) is fine


def test_contrast_is_the_log_of_the_choices_when_all_views_look_alike() -> None:
    same = F.normalize(torch.ones(6, 3), dim=1)
    image = torch.tensor([0, 1, 2, 0, 1, 2])
    assert float(contrast_term(same, image, 0.1)) == pytest.approx(math.log(5))


def test_contrast_falls_when_views_of_an_image_agree_and_ignores_single_views() -> None:
    apart = torch.eye(3).repeat(2, 1)
    image = torch.tensor([0, 1, 2, 0, 1, 2])
    assert float(contrast_term(apart, image, 0.1)) < 0.01
    assert float(contrast_term(apart, torch.tensor([0, 1, 2, 3, 4, 5]), 0.1)) == 0.0


def test_random_features_are_fixed_and_standardised() -> None:
    pixels = torch.randn((4, 16, 40), generator=torch.Generator().manual_seed(2))
    a, b = random_features(pixels), random_features(pixels)
    assert torch.equal(a, b)
    assert torch.allclose(a.mean((0, 1)), torch.zeros(a.shape[-1]), atol=1e-4)
    assert torch.allclose(a.std((0, 1)), torch.ones(a.shape[-1]), atol=1e-2)
