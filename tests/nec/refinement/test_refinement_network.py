"""What the refinement network may and may not change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codec.errors import InputError
from codec.nec.refinement.degraded import Group, Quality, Windows
from codec.nec.refinement.recipe import load_recipe
from codec.nec.refinement.run import MAX_PARAMETERS, Run, network_inputs
from codec.package import Package
from tests.nec.refinement.small_refinement import arrays, recipe, shaken, windows

QUALITY = Quality(30, ((0,) * 4, (0,) * 2), ((True,) * 4, (True,) * 2))


def outcome(run: Run, group: Group) -> np.ndarray:
    with torch.no_grad():
        return run.network(*map(torch.from_numpy, network_inputs(group))).numpy()


def group_of(package: Package, quality: Quality = QUALITY) -> tuple[Windows, Group]:
    of = windows(package)
    return of, of.degrade(np.arange(12), quality)


def test_an_untrained_network_is_the_identity(package: Package) -> None:
    of, group = group_of(package)
    assert np.array_equal(outcome(Run(of, recipe()), group), group.planes["tokens"])


def test_the_mean_of_the_valid_tokens_stays_what_layer_0_said(package: Package) -> None:
    of, group = group_of(package)
    refined = outcome(shaken(Run(of, recipe())), group)
    assert np.abs(refined - group.planes["tokens"]).max() > 0.01  # it does something
    weight = group.validity[..., None]
    before, after = ((x * weight).sum((1, 2)) for x in (group.planes["tokens"], refined))
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_tokens_that_were_not_measured_are_neither_changed_nor_looked_at(package: Package) -> None:
    of, group = group_of(package)
    run = shaken(Run(of, recipe()))
    invalid = group.validity == 0
    assert invalid.any()
    assert not invalid.all()
    refined = outcome(run, group)
    assert np.array_equal(refined[invalid], group.planes["tokens"][invalid])
    for plane in group.planes.values():
        plane[invalid] = 7.0
    other = outcome(run, group)
    np.testing.assert_allclose(other[~invalid], refined[~invalid], atol=1e-5)


def test_what_a_lost_layer_of_the_second_plane_would_say_is_not_used(package: Package) -> None:
    quality = Quality(30, QUALITY.offsets, (QUALITY.arrived[0], (False, False)))
    of, group = group_of(package, quality)
    run = shaken(Run(of, recipe()))
    refined = outcome(run, group)
    group.planes["spectral"][:] = 5.0
    np.testing.assert_allclose(outcome(run, group), refined, atol=1e-6)


def test_the_expected_error_is_that_of_a_uniform_quantiser_where_steps_are_fine(package: Package) -> None:
    """At the finest index every coefficient that is coded has an error of step²/12 (Bennett)."""
    of = windows(package)
    finest = package.ladder_indices.start
    group = of.degrade(np.arange(12), Quality(finest, QUALITY.offsets, QUALITY.arrived))
    whole = group.validity.all((1, 2))
    measured = np.square(group.planes["tokens"] - group.truth, dtype=np.float64)[whole].mean()
    run = Run(of, recipe())
    steps, arrived = torch.from_numpy(group.steps[:1]), torch.from_numpy(group.arrived[:1])
    expected = float(run.network.expected_error(steps, arrived).mean())
    assert measured == pytest.approx(expected, rel=0.25)


def test_the_shipped_recipe_keeps_to_the_limit_of_parameters() -> None:
    """Of 128 channels, 12 beside them, 5 + 3 layers, 64 tokens: counted by hand from the shapes in the module's text."""
    r = load_recipe()
    w, channels, other, layers = r.width, 128, 12, 8
    count = (channels + other) * w + w + 64 * w
    count += 2 * layers * r.condition + r.condition + r.condition * 4 * w + 4 * w
    count += 3 * 2 * w + (w * 3 * w + 3 * w) + (w * w + w)
    count += (w * r.hidden + r.hidden) + (r.hidden * w + w) + (w * channels + channels)
    assert count == 193_408
    assert count <= MAX_PARAMETERS


def test_a_network_above_the_limit_is_refused(package: Package) -> None:
    with pytest.raises(InputError, match="too large"):
        Run(windows(package), recipe(width=256, heads=2, hidden=1024))


def test_embeddings_of_another_package_are_refused(package: Package) -> None:
    planes, validity = arrays()
    with pytest.raises(InputError, match="spectral"):
        Windows.of(package, {"tokens": planes["tokens"]}, validity, recipe())
    broken = {**planes, "tokens": planes["tokens"].copy()}
    broken["tokens"][1, 0, 0, 0] = np.inf
    with pytest.raises(InputError, match="not finite"):
        Windows.of(package, broken, np.ones_like(validity), recipe())
