"""What a codec expects, drawn as embeddings: its own mean, axes and scales come out of them again."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codec.models import load_encoder  # noqa: E402
from codec.package import Package  # noqa: E402
from codec.pretrain.own_prior import prior_embeddings  # noqa: E402
from onboard.parity_tiles import procedural  # noqa: E402
from tests.onboard.rgb_package import build_rgb  # noqa: E402

_N = 4000


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build_rgb(tmp_path_factory.mktemp("models") / "rgb-test")


@pytest.mark.parametrize("plane", ["tokens", "spectral"])
def test_coefficients_have_the_scale_of_their_class(package: Package, plane: str) -> None:
    number = [entry.name for entry in package.planes].index(plane)
    maps, transform = package.table_file.planes[number], package.transforms[plane]
    latents = transform.analyse(prior_embeddings(package, _N)[plane]).astype(np.float64)
    found = np.sqrt(np.square(latents).mean(axis=0))  # C×F
    # A class is a quarter octave of scale; steps of the ladder are as far apart (bitstream §8.1), so that the logarithm of
    # the scale in quarter octaves is the class up to a constant, which all coefficients share.
    classes = maps.class_map[maps.bands].T.astype(np.float64)
    constant = 4 * np.log2(found) - classes
    # Of kurtosis 6, the root mean square of n deviates by sqrt(5/n)/2: here 1.8 %, or 0.1 quarter octaves.
    assert np.ptp(constant) < 0.1 * 10
    assert abs(constant.std()) < 0.13
    np.testing.assert_allclose(latents.mean(axis=0), 0, atol=5 * found.max() / np.sqrt(_N))


def test_they_have_the_energy_of_what_the_codec_was_fitted_to(package: Package) -> None:
    encoder = load_encoder(package.path("encoder.safetensors"))
    tiles = procedural(package, 96)  # as `build_rgb` takes them
    with torch.inference_mode():
        grids = encoder(*(torch.from_numpy(x) for x in (tiles.pixels, tiles.bands, tiles.validity)))
    expected = prior_embeddings(package, _N)
    for name, grid in grids.items():
        known, drawn = (
            package.transforms[name].analyse(x) for x in (grid[:, 1:5, 1:5].numpy(), expected[name])
        )
        # Classes round scales to quarter octaves, half of them up: far less than a third in the sum.
        assert abs(np.square(drawn).mean() / np.square(known).mean() - 1) < 0.33


def test_a_seed_decides_them_and_every_plane_has_the_same_number(package: Package) -> None:
    first, again, other = (prior_embeddings(package, 8, seed) for seed in (0, 0, 1))
    assert list(first) == ["tokens", "spectral"]
    for name, values in first.items():
        spec = package.planes[package.plane_index(name)].spec
        assert values.shape == (8, spec.rows, spec.cols, spec.channels)
        np.testing.assert_array_equal(values, again[name])
        assert not np.array_equal(values, other[name])
