"""A package's plane quantised from tokens before the encoder's last norm: symbols of what PyTorch's norm makes of them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codec.errors import InputError  # noqa: E402
from codec.package import Package, load  # noqa: E402
from kernels.plane_quantiser import PlaneQuantiser  # noqa: E402


@lru_cache
def package_of(root: Path) -> Package:
    return load(root / "models" / "s2-nano")


def drawn_norm(channels: int) -> torch.nn.LayerNorm:
    norm = torch.nn.LayerNorm(channels, eps=2.0)
    rng = torch.Generator().manual_seed(14)
    with torch.no_grad():
        for each in (norm.weight, norm.bias):
            each.copy_(torch.randn(channels, generator=rng) * 30)
    return norm


@pytest.mark.parametrize("partly", [False, True], ids=["all known", "some known"])
def test_a_packages_plane_takes_tokens_before_the_norm(root: Path, partly: bool) -> None:
    """As PyTorch's norm and then the plane; unknown tokens hold whatever they hold; int8 becomes int16 with the norm."""
    package = package_of(root)
    spec = package.planes[0].spec
    norm = drawn_norm(spec.channels)
    x = (
        torch.randn((3, spec.rows, spec.cols, spec.channels), generator=torch.Generator().manual_seed(15)) * 4
        + 2
    )
    known = None
    if partly:
        known = torch.ones(x.shape[:3], dtype=torch.bool)
        known[1, :3] = known[2] = False
        x[1, 0], x[2, 1] = torch.nan, torch.inf
    with torch.no_grad():
        embeddings = norm(x)
    fused, plain = (
        PlaneQuantiser.of(package, 0, kind=torch.int8, device="cpu", norm=each) for each in (norm, None)
    )
    found, expected = fused.symbols(x, known).values, plain.symbols(embeddings, known).values
    assert found.dtype == expected.dtype == np.int16
    apart = np.abs(found.astype(int) - expected)
    assert apart.max() <= 1
    assert np.count_nonzero(apart) <= 1e-3 * apart.size
    assert np.count_nonzero(expected) > 0.05 * expected.size


def test_a_norm_without_weights_and_one_that_is_trained_on(root: Path) -> None:
    package = package_of(root)
    channels = package.planes[0].spec.channels
    bare = PlaneQuantiser.of(
        package, 0, device="cpu", norm=torch.nn.LayerNorm(channels, elementwise_affine=False)
    )
    assert bare.gain is None
    assert bare.offset is None
    norm = drawn_norm(channels)
    quantiser = PlaneQuantiser.of(package, 0, device="cpu", norm=norm)
    with torch.no_grad():
        norm.weight.zero_()
    assert float(quantiser.gain.abs().max()) > 0
    assert not quantiser.gain.requires_grad


def test_a_norm_of_another_width_is_refused(root: Path) -> None:
    package = package_of(root)
    spec = package.planes[0].spec
    for shape in ((spec.channels + 1,), (spec.cols, spec.channels)):
        with pytest.raises(InputError, match="is over its channels"):
            PlaneQuantiser.of(package, 0, device="cpu", norm=torch.nn.LayerNorm(shape))
