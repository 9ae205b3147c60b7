"""Methods that share our entropy coder: bytes against cross-entropy, answers against the transform room and the pipeline."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from codec import pipeline
from codec.bitstream.core import TableSet
from codec.errors import InputError
from codec.evaluate.rate.embedding import embedding_methods
from codec.evaluate.rate.embedding.base import BASE, BASE_MEAN, BASE_PREFIXES, BaseCoder
from codec.evaluate.rate.embedding.one_step import OneStep, by_channel
from codec.evaluate.rate.embedding.shipped import ShippedCoder
from codec.evaluate.rate.embedding.transforms import PER_CHANNEL_PRIOR, OneStepCoder
from codec.evaluate.rate.types import EmbeddingCoder, Planes
from codec.package import Package, load
from codec.transform.fit import fit_planes
from codec.transform.maps import quant_maps
from codec.types import Georeference, Latent, TileGrid
from tests.evaluate.rate.correlated_planes import planes

TOKENS = {"tokens": 24}
TRAIN, TEST = planes(80, 0, widths=TOKENS), planes(200, 1, widths=TOKENS)


@pytest.fixture(scope="module")
def twin() -> OneStepCoder:
    coder = PER_CHANNEL_PRIOR.fit(TRAIN).coders["tokens"]
    assert isinstance(coder, OneStepCoder)
    return coder


def cross_entropy_bytes(twin: OneStepCoder, setting: str) -> float:
    """Of all test symbols under the integer tables, a bit for each sign, Exp-Golomb for escapes; written from
    docs/bitstream.md §5.2 and §5.3."""
    tables = twin.coders[setting].tables
    maps = quant_maps(tables, 0, 0)
    centred = np.moveaxis(TEST.values["tokens"] - TRAIN.values["tokens"].mean(axis=(0, 1, 2)), 3, 1)
    symbols = np.abs(maps.quantise(np.ascontiguousarray(centred).reshape(200, 24, 64)).astype(int))
    bits = 0.0
    for channel in range(24):
        edges = [0, *tables.levels[tables.planes[0].class_map[0, channel]].thresholds, 65536]
        if len(edges) == 2:
            continue  # no threshold: nothing is coded
        magnitude = symbols[:, channel].ravel()
        k = len(edges) - 2
        bits += -np.log2(np.diff(edges)[np.minimum(magnitude, k)] / 65536).sum() + (magnitude > 0).sum()
        beyond = magnitude[magnitude >= k] - k + 1
        bits += (2 * np.floor(np.log2(beyond)) + 1).sum()
    return bits / 8


@pytest.mark.parametrize("setting", ["2 bit", "1 bit", "0.5 bit", "0.125 bit"])
def test_the_static_twin_takes_its_cross_entropy(twin: OneStepCoder, setting: str) -> None:
    """Within 1 % and the 12 bytes of header and CRC, 1 of form and 4 of state that a record has."""
    parts = twin.encode(TEST.values["tokens"], TEST.validity, setting)
    ideal = cross_entropy_bytes(twin, setting)
    total = sum(len(part.data) for part in parts)
    assert ideal - 2 * len(parts) <= total <= 1.01 * ideal + 17 * len(parts)


@pytest.mark.parametrize("setting", ["2 bit", "1 bit", "0.5 bit"])
def test_the_static_twin_is_near_what_tables_of_the_test_tiles_would_take(
    twin: OneStepCoder, setting: str
) -> None:
    """Entropy of each channel's own magnitudes, and signs: tables from training may cost 4 % more, and the records."""
    step = float(twin.coders[setting].tables.ladder[0])
    centred = TEST.values["tokens"] - TRAIN.values["tokens"].mean(axis=(0, 1, 2))
    magnitude = np.rint(np.abs(centred) / step).astype(int).reshape(-1, 24)
    bits = float((magnitude > 0).sum())
    for channel in magnitude.T:
        p = np.bincount(channel) / len(channel)
        bits -= len(channel) * float((p[p > 0] * np.log2(p[p > 0])).sum())
    parts = twin.encode(TEST.values["tokens"], TEST.validity, setting)
    total = sum(len(part.data) for part in parts) - 17 * len(parts)
    assert 0.97 <= total / (bits / 8) <= 1.04


def test_the_static_twin_is_the_benchmark_s_per_channel_curve(
    twin: OneStepCoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same steps give the same bytes and errors there, where the mean is taken off outside."""
    from benchmarks import rate_base

    mean = TRAIN.values["tokens"].mean(axis=(0, 1, 2))
    train, test = TRAIN.values["tokens"] - mean, TEST.values["tokens"] - mean
    steps = [float(twin.coders[s].tables.ladder[0]) for s in ("2 bit", "0.5 bit")]
    monkeypatch.setattr(rate_base, "STEPS", np.array(steps) / float(train.std()))
    curve = rate_base.per_channel_curve(train, test)
    for point, setting in zip(curve, ("2 bit", "0.5 bit"), strict=True):
        parts = twin.encode(TEST.values["tokens"], TEST.validity, setting)
        decoded = twin.decode([p.data for p in parts], setting, 200)
        error = np.square(decoded - TEST.values["tokens"]).sum(axis=(1, 2, 3))
        assert sum(len(p.data) for p in parts) / 200 == pytest.approx(point.bytes_per_tile, rel=2e-3)
        np.testing.assert_allclose(error, point.errors["tokens"], rtol=0.02)


def test_settings_keep_their_targets() -> None:
    """The nominal rate of a setting is met on tiles like those of training, records included, within 10 %."""
    for name in ("per-channel prior", "klt", "dct"):
        (method,) = embedding_methods([name])
        coder = method.fit(TRAIN)
        for setting in ("2 bit", "1 bit", "0.5 bit"):
            found = coder.code(TEST, setting).bytes_per_tile * 8 / TEST.elements_per_tile
            assert 0.75 <= found / float(setting.removesuffix(" bit")) <= 1.1, (name, setting)


def test_channels_beyond_128_share_tables_with_those_of_nearest_scale() -> None:
    """By hand: 256 channels of falling scale, two to a table; the file holds no more than 128."""
    latents = np.ones((2, 256, 4), np.float32) * np.arange(256, 0, -1, dtype=np.float32)[:, None]
    order = np.random.default_rng(0).permutation(256)
    groups = by_channel(latents[:, order], 2, 2)
    assert groups.group.shape == (2, 256)
    assert groups.group[0].tolist() == (order // 2).tolist()
    TableSet(OneStep.fit(latents[:, order], groups).tables(16.0).encode())


@pytest.fixture(scope="module")
def bases() -> dict[str, EmbeddingCoder]:
    return {m.about.name: m.fit(TRAIN) for m in (BASE, BASE_MEAN, BASE_PREFIXES)}


def test_what_the_base_decodes_is_the_fitted_codec_s_round_trip(bases: dict[str, EmbeddingCoder]) -> None:
    """`FittedCodec.round_trip` quantises and reconstructs without any bytes."""
    codec = fit_planes(dict(TRAIN.values))
    for name, coder in bases.items():
        assert isinstance(coder, BaseCoder)
        for setting in coder.settings:
            index, layers = coder.points[setting]
            expected = codec.round_trip("tokens", TEST.values["tokens"], index, layers=min(layers, 16))
            found = coder.code(TEST, setting).planes["tokens"]
            np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=f"{name} {setting}")


def test_our_curve_has_six_rates_over_the_range(bases: dict[str, EmbeddingCoder]) -> None:
    coder = bases["base"]
    rates = [coder.code(TEST, s).bytes_per_tile * 8 / TEST.elements_per_tile for s in coder.settings]
    assert len(rates) >= 6
    assert rates[0] > 1.5
    assert rates[-1] < 0.05


def test_a_prefix_takes_less_and_errs_more(bases: dict[str, EmbeddingCoder]) -> None:
    coder = bases["base prefixes"]
    points = [coder.code(TEST, setting) for setting in coder.settings]
    errors = [float(np.square(p.planes["tokens"] - TEST.values["tokens"]).mean()) for p in points]
    assert coder.settings[-1].endswith(" L0")
    assert len(points) >= 3
    assert all(a.bytes_per_tile > b.bytes_per_tile for a, b in pairwise(points))
    assert errors == sorted(errors)


def test_layer_0_alone_decodes_to_the_position_mean_shifted_by_one_vector(
    bases: dict[str, EmbeddingCoder],
) -> None:
    coder = bases["base mean"]
    found = coder.code(TEST, coder.settings[0]).planes["tokens"]
    shift = found - TRAIN.values["tokens"].mean(axis=0)
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:, :1, :1], shift.shape), atol=1e-4)
    means = TEST.values["tokens"].mean(axis=(1, 2))
    assert np.square(found.mean(axis=(1, 2)) - means).mean() < 1e-3 * means.var(axis=0).mean()


def test_a_mean_method_gives_every_token_the_tile_s_vector() -> None:
    for method in embedding_methods(["mean float16", "mean int", "mean pca int8", "mean opq"]):
        coder = method.fit(TRAIN)
        found = coder.code(TEST, coder.settings[0]).planes["tokens"]
        np.testing.assert_array_equal(found, np.broadcast_to(found[:, :1, :1], found.shape))
        means = TEST.values["tokens"].mean(axis=(1, 2))
        # A bare mean is exact up to its format, int8 and the codebooks up to a part of its variance.
        assert np.square(found[:, 0, 0] - means).mean() < 0.35 * means.var(axis=0).mean()


@pytest.fixture(scope="module")
def package(root: Path) -> Package:
    return load(root / "models" / "s2-nano")


@pytest.fixture(scope="module")
def real(root: Path, shared_data: Path) -> tuple[Planes, Planes]:
    """Planes of some EuroSAT tiles by the shipped encoder, to fit and to score."""
    from codec.data.labelled import eurosat_scenes
    from codec.models.inference import embed
    from codec.models.weights import load_encoder
    from codec.types import Tile

    encoder = load_encoder(root / "models" / "s2-nano" / "encoder.safetensors")

    def of(split: str, n: int) -> Planes:
        scenes = eurosat_scenes(shared_data, split, encoder.config.bands)
        rows = zip(scenes.pixels[:n], scenes.validity[:n], scenes.present[:n], strict=True)
        found = embed(
            encoder, (Tile(i, pixels, valid, there) for i, (pixels, valid, there) in enumerate(rows))
        )
        return Planes(found, np.ones(found["tokens"].shape[:3], bool))

    return of("train", 64), of("val", 40)


@pytest.mark.shared_data
def test_shipped_is_the_file_that_the_pipeline_writes(
    package: Package, real: tuple[Planes, Planes], tmp_path: Path
) -> None:
    """All planes and layers: what is counted is the file less its fixed header, and what is decoded is the file's.

    The tiles are moved together, as those of one scene are, so that a mean vector pays and stands in the header.
    """
    train, test = real
    shift = 0.5 * test.values["tokens"].std() * np.sign(np.sin(np.arange(128.0))).astype(np.float32)
    test = Planes({**test.values, "tokens": test.values["tokens"] + shift}, test.validity)
    (method,) = embedding_methods(["shipped"], package)
    coder = method.fit(train)
    assert isinstance(coder, ShippedCoder)
    setting = coder.settings[3]
    index, _ = coder.points[setting]
    n, side = len(test), package.tile.core
    latents = [
        Latent(i, package.transforms[p.name].analyse(test.values[p.name]), test.validity)
        for i, p in enumerate(package.planes)
    ]
    data = pipeline.encode(
        package, latents, grid=TileGrid(n * side, side, side, side), georeference=Georeference((1, 0, 0, 0, 1, 0)),
        sensor="benchmark", band_mask=0, time_us=0, ladder_index=index, index=False, seal=False,
    )  # fmt: skip
    coded = coder.code(test, setting)
    assert len(coder.encode(test, setting)[1][0].data) > 0
    fixed = 124 + 14 * len(package.planes) + 4  # bytes of a header without extensions, bitstream §3
    assert round(coded.sizes.sum()) == len(data) - fixed
    (tmp_path / "a.nec").write_bytes(data)
    scene = pipeline.open_nec(tmp_path / "a.nec", packages=[package.folder])
    for name, values in coded.planes.items():
        np.testing.assert_array_equal(values, scene.embedding(name).values)


@pytest.mark.shared_data
def test_shipped_without_the_spectral_plane_costs_nothing_for_it(
    package: Package, real: tuple[Planes, Planes]
) -> None:
    train, test = (Planes({"tokens": p.values["tokens"]}, p.validity) for p in real)
    (method,) = embedding_methods(["shipped prefixes"], package)
    coder = method.fit(train)
    points = [coder.code(test, setting) for setting in coder.settings]
    assert set(points[0].planes) == {"tokens"}
    index = coder.points[coder.settings[0]][0]
    expected = package.transforms["tokens"]
    maps = package.maps("tokens", index)
    latents = maps.reconstruct(maps.quantise(expected.analyse(test.values["tokens"])))
    # A file's mean vector may shift layer 0 by less than its step; nothing else differs.
    difference = np.abs(points[0].planes["tokens"] - expected.synthesise(latents))
    assert np.median(difference) < 0.02 * np.abs(test.values["tokens"]).mean()
    assert [p.bytes_per_tile for p in points] == sorted((p.bytes_per_tile for p in points), reverse=True)


@pytest.mark.shared_data
def test_every_method_takes_real_planes(package: Package, real: tuple[Planes, Planes]) -> None:
    """Error falls below the variance, and the base takes fewer bytes than the static twin at the same error."""
    train, test = real
    curves = {}
    for name in ("per-channel prior", "klt", "dct", "base", "shipped", "fsq", "uqe"):
        (method,) = embedding_methods([name], package)
        coder = method.fit(train)
        points = [coder.code(test, setting) for setting in coder.settings]
        error = [float(np.square(p.planes["tokens"] - test.values["tokens"]).mean()) for p in points]
        curves[name] = [p.bytes_per_tile for p in points], error
        assert error[0] < 0.5 * test.values["tokens"].var()

    def bytes_at(name: str, error: float) -> float:
        bytes_, errors = curves[name]
        return float(np.exp(np.interp(np.log(error), np.log(errors), np.log(bytes_))))

    target = 0.3 * float(test.values["tokens"].var())
    assert bytes_at("base", target) < bytes_at("klt", target) < bytes_at("per-channel prior", target)
    assert 3 < bytes_at("per-channel prior", target) / bytes_at("base", target) < 20


@pytest.mark.shared_data
def test_a_package_refuses_planes_of_another_encoder(package: Package) -> None:
    (method,) = embedding_methods(["shipped"], package)
    with pytest.raises(InputError, match="other embeddings"):
        method.fit(TRAIN)
