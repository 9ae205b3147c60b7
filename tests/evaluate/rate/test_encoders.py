"""Encoders by name: every kind gives checked planes, and the ones without training are what their description says."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codec.data.labelled import LabelledTiles
from codec.errors import IdentityError, InputError
from codec.evaluate import features
from codec.evaluate.rate.encoders import Basis, basis_of, open_encoder
from codec.evaluate.rate.opened import label_of
from codec.evaluate.rate.plain_encoders import normalised_batches, patch_statistics
from codec.evaluate.rate.types import Planes, TileSet
from codec.evaluate.scenes import Scenes, eurosat
from codec.models.bands import REFLECTANCE_MEAN

N = 6


def tile_set(pixels: np.ndarray, bands: tuple[str, ...]) -> TileSet:
    n, b, side, _ = pixels.shape
    numbers = np.arange(n)
    return TileSet(
        "made", bands, pixels, np.ones((n, b), bool), np.ones((n, side, side), bool), numbers,
        np.zeros((n, 2), np.int64), numbers,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tiles(shared_data: Path) -> TileSet:
    """Six EuroSAT tiles of 12 bands."""
    found = eurosat(shared_data, ("test",))
    return replace(tile_set(found.tiles.pixels[:N], found.bands), name="eurosat")


def as_scenes(tiles: TileSet) -> Scenes:
    labelled = LabelledTiles(
        tiles.pixels, tiles.present, tiles.validity, np.zeros(len(tiles), np.int64), tiles.groups, ("x",)
    )
    return Scenes(labelled, tiles.bands, np.repeat("test", len(tiles)))


def without_bands(tiles: TileSet, *names: str) -> TileSet:
    present = tiles.present.copy()
    for name in names:
        present[:, tiles.bands.index(name)] = False
    return replace(tiles, present=present, pixels=np.where(present[:, :, None, None], tiles.pixels, 0))


def test_a_shipped_model_gives_the_planes_of_its_weights(tiles: TileSet, root: Path) -> None:
    from codec.models.weights import load_encoder

    planes = open_encoder("s2-nano")(tiles)
    encoder = load_encoder(root / "models" / "s2-nano" / "encoder.safetensors")
    for plane in ("tokens", "spectral"):
        np.testing.assert_array_equal(
            planes.values[plane], features.plane_of(encoder, as_scenes(tiles), plane)
        )
    assert planes.validity.all()


def test_the_graph_of_a_package_gives_the_planes_of_its_weights(tiles: TileSet) -> None:
    """Up to the float error of one transform and its inverse."""
    graph, weights = open_encoder("onnx@s2-nano")(tiles), open_encoder("s2-nano")(tiles)
    for plane in ("tokens", "spectral"):
        assert graph.values[plane].shape == weights.values[plane].shape
        np.testing.assert_allclose(graph.values[plane], weights.values[plane], atol=2e-3)


def test_a_package_without_an_encoder_is_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codec.package import Package

    monkeypatch.setattr(Package, "names", lambda self, prefix="": ("card.md",))
    with pytest.raises(InputError, match="'s2-nano' has no encoder"):
        open_encoder("s2-nano")
    with pytest.raises(InputError, match="architecture of 's2-nano' is not known"):
        open_encoder("random-twin@s2-nano")


def test_a_package_by_path_and_by_name_is_the_same_encoder(root: Path) -> None:
    by_name, by_path = open_encoder("s2-nano"), open_encoder(str(root / "models" / "s2-nano"))
    loose = open_encoder(str(root / "models" / "s2-nano" / "encoder.safetensors"))
    assert by_name.identity == by_path.identity == loose.identity
    assert by_name.name == by_path.name == loose.name == "s2-nano"


def test_larger_tiles_are_cut_and_put_together(tiles: TileSet) -> None:
    encoder = open_encoder("s2-nano")
    quarters = encoder(tiles.__class__(
        "q", tiles.bands, tiles.pixels[:4], tiles.present[:4], tiles.validity[:4], tiles.scene[:4], tiles.place[:4],
        tiles.groups[:4],
    )).values["tokens"]  # fmt: skip
    top, bottom = (np.concatenate([tiles.pixels[i], tiles.pixels[i + 1]], axis=2) for i in (0, 2))
    whole = encoder(tile_set(np.concatenate([top, bottom], axis=1)[None], tiles.bands)).values["tokens"][0]
    assert whole.shape == (16, 16, 128)
    for i, (row, col) in enumerate([(0, 0), (0, 8), (8, 0), (8, 8)]):
        np.testing.assert_allclose(whole[row : row + 8, col : col + 8], quarters[i], atol=1e-5)


def test_an_absent_band_is_not_seen(tiles: TileSet) -> None:
    encoder = open_encoder("s2-nano")
    absent = without_bands(tiles, "swir22")
    pixels = absent.pixels.copy()
    pixels[:, tiles.bands.index("swir22")] = 7.0
    np.testing.assert_array_equal(
        encoder(absent).values["tokens"], encoder(replace(absent, pixels=pixels)).values["tokens"]
    )
    assert not np.array_equal(encoder(absent).values["tokens"], encoder(tiles).values["tokens"])


def test_the_teacher_is_that_of_the_feature_bank(tiles: TileSet, shared_data: Path) -> None:
    planes = open_encoder("galileo_nano", data=shared_data)(tiles)
    expected = features.teacher_tokens(features.open_teacher(shared_data), as_scenes(tiles))
    np.testing.assert_array_equal(planes.values["tokens"], expected)


def test_the_random_twin_is_that_of_the_feature_bank(tiles: TileSet, root: Path) -> None:
    from codec.models.weights import load_encoder

    config = load_encoder(root / "models" / "s2-nano" / "encoder.safetensors").config
    twin = open_encoder("random-twin@s2-nano#3")
    expected = features.plane_of(features.random_twin(config, 3), as_scenes(tiles), "tokens")
    np.testing.assert_array_equal(twin(tiles).values["tokens"], expected)
    assert twin.identity != open_encoder("random-twin@s2-nano#4").identity


def test_patch_statistics_of_a_known_patch() -> None:
    pixels = np.full((1, 2, 16, 16), 0.5, np.float32)
    pixels[0, 0, :8, :8] = np.arange(64).reshape(8, 8) / 100
    found = patch_statistics(tile_set(pixels, ("red", "nir")))[0]
    values = np.arange(64) / 100
    expected = [np.log(values.mean()), np.log(values.std() + 1e-4), 0.0, 0.63]
    np.testing.assert_allclose(found[0, 0, 0::2], expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found[1, 1, 1::2], [np.log(0.5), np.log(1e-4), 0.5, 0.5], rtol=1e-5)


def test_patch_statistics_leave_out_what_was_not_measured() -> None:
    pixels = np.full((1, 1, 16, 16), 0.2, np.float32)
    pixels[0, 0, 0, :8], pixels[0, 0, 8:, 8:] = 9.0, 9.0
    tiles = tile_set(pixels, ("red",))
    validity = tiles.validity.copy()
    validity[0, 0, :8] = validity[0, 8:, 8:] = False
    found = patch_statistics(replace(tiles, validity=validity))[0]
    np.testing.assert_allclose(found[0, 0], [np.log(0.2), np.log(1e-4), 0.2, 0.2], rtol=1e-5)
    np.testing.assert_array_equal(found[1, 1], 0)
    assert not open_encoder("pixel-statistics")(replace(tiles, validity=validity)).validity[0, 1, 1]


def test_random_convolutions_respond_to_pixels_and_seed(tiles: TileSet) -> None:
    zero, again, one = (open_encoder(f"random-convolutions#{s}")(tiles).values["tokens"] for s in (0, 0, 1))
    assert zero.shape == (N, 8, 8, 256)
    assert (zero >= 0).all()  # a mean of rectified responses
    np.testing.assert_array_equal(zero, again)
    assert not np.array_equal(zero, one)


def test_a_random_filter_is_a_correlation_of_the_normalised_patch(tiles: TileSet) -> None:
    """One token by hand: the mean of four rectified sums over 8×8 windows that begin 2 pixels outside the patch."""
    rng = np.random.default_rng([5, 0xF17E])
    weight = rng.standard_normal((256, 12, 8, 8), dtype=np.float32) / np.float32((12 * 64) ** 0.5)
    bias = rng.standard_normal(256, dtype=np.float32)
    z = next(normalised_batches(tiles, tiles.bands))[0][0]
    token, row, col = open_encoder("random-convolutions#5")(tiles).values["tokens"][0], 3, 4
    sums = [
        np.einsum("fbij,bij->f", weight, z[:, 8 * row + r : 8 * row + r + 8, 8 * col + c : 8 * col + c + 8])
        for r in (-2, 2)
        for c in (-2, 2)
    ]
    expected = np.mean([np.maximum(s + bias, 0) for s in sums], axis=0)
    np.testing.assert_allclose(token[row, col], expected, atol=1e-4)


def test_normalised_pixels_of_the_mean_are_zero() -> None:
    pixels = np.full((1, 1, 8, 8), REFLECTANCE_MEAN["red"], np.float32)
    (z, present), *_ = normalised_batches(tile_set(pixels, ("red",)), ("nir", "red"))
    assert not z.any()
    assert present.tolist() == [[False, True]]


def test_elements_are_tokens_times_width(tiles: TileSet) -> None:
    basis = basis_of(open_encoder("s2-nano")(tiles))
    assert basis == Basis(8, 8, 128)
    assert basis.elements == 8192
    assert basis.bits(1024) == 1.0
    assert "8×8 tokens × 128" in str(basis)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of somebody else with encoders, good and bad."""
    (tmp_path / "others_encoder.py").write_text(
        "import numpy as np\n"
        "from codec.evaluate.rate.types import Planes\n"
        "def means(tiles):\n"
        "    x = tiles.pixels.mean((2, 3)).astype(np.float32)[:, None, None]\n"
        "    return Planes({'tokens': x}, np.ones((len(x), 1, 1), bool))\n"
        "def doubles(tiles):\n"
        "    return Planes({'tokens': np.zeros((len(tiles), 1, 1, 3))}, np.ones((len(tiles), 1, 1), bool))\n"
        "def nans(tiles):\n"
        "    x = np.full((len(tiles), 1, 1, 3), np.nan, np.float32)\n"
        "    return Planes({'tokens': x}, np.ones((len(tiles), 1, 1), bool))\n"
        "def nothing(tiles):\n"
        "    return None\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "others_encoder"
    sys.modules.pop("others_encoder", None)


def test_any_callable_is_an_encoder(module: str, tiles: TileSet) -> None:
    planes = open_encoder(f"{module}:means")(tiles)
    np.testing.assert_allclose(planes.values["tokens"][:, 0, 0], tiles.pixels.mean((2, 3)), rtol=1e-6)
    assert isinstance(planes, Planes)


def test_weights_of_a_callable_are_known_by_the_identity_it_states(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    means = importlib.import_module(module).means
    by_source = open_encoder(f"{module}:means").identity
    monkeypatch.setattr(means, "identity", "weights-1", raising=False)
    first = open_encoder(f"{module}:means").identity
    monkeypatch.setattr(means, "identity", "weights-2")
    assert len({by_source, first, open_encoder(f"{module}:means").identity}) == 3


@pytest.mark.parametrize(
    ("function", "what"),
    [("doubles", "float64"), ("nans", "not finite"), ("nothing", "NoneType")],
)
def test_a_callable_that_gives_no_planes_is_refused(
    module: str, tiles: TileSet, function: str, what: str
) -> None:
    with pytest.raises(InputError, match=what):
        open_encoder(f"{module}:{function}")(tiles)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("others_encoder:absent", "no encoder"),
        ("no_such_module:f", "no encoder"),
        ("others_encoder:number", "cannot be called"),
        ("random-twin", "twin of a model"),
        ("onnx", "that of a package"),
        ("random-convolutions#x", "number"),
        ("s2-nano#1", "neither a model nor a seed"),
        ("pixel-statistics#1", "neither a model nor a seed"),
        ("galileo_nano", "data collection"),
        ("no-such-model", "no-such-model"),
    ],
)
def test_a_name_that_means_nothing_is_refused_by_name(module: str, name: str, what: str) -> None:
    with pytest.raises((InputError, IdentityError), match=re.escape(what)):
        open_encoder(name)


def test_rows_of_encoders_that_a_command_tells_apart_have_names_of_their_own() -> None:
    names = (
        "s2-nano",
        "models/s2-nano",
        "random-twin@models/s2-nano",
        "onnx@models/s2-nano",
        "a/encoder.safetensors",
    )
    assert [label_of(name) for name in (*names, "runs/b-1.safetensors", "my.module:encode")] == [
        "s2-nano", "s2-nano", "random-twin@models_s2-nano", "onnx@models_s2-nano", "a", "b-1", "my.module:encode"
    ]  # fmt: skip
