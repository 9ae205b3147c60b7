"""The encode path: batches, tiles without data, absent bands, and what its report says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec.errors import InputError
from codec.package import Package
from codec.pipeline import decode
from codec.scene.scene import Scene, open_scene
from codec.types import FloatArray
from onboard.encode import BATCH, encode_scene
from onboard.engine import Engine, EngineInfo
from onboard.engine_package import engine_for
from tests.swathpack.small_scene import BANDS, pixels, write_scene


class Counting:
    """The real engine, with what it was given."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.batches: list[int] = []
        self.bands: list[FloatArray] = []

    @property
    def info(self) -> EngineInfo:
        return self.engine.info

    @property
    def planes(self) -> tuple[str, ...]:
        return self.engine.planes

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return self.engine.input_shape

    def run(self, pixels: FloatArray, bands: FloatArray, validity: FloatArray) -> dict[str, FloatArray]:
        self.batches.append(len(pixels))
        self.bands.append(bands)
        return self.engine.run(pixels, bands, validity)


@pytest.fixture(scope="module")
def engine(package: Package) -> Engine:
    return engine_for(package, threads=1)


def opened(path: Path) -> Scene:
    return open_scene([path], sensor="sentinel2-l2a", scaling="no-offset")


def test_tiles_go_through_the_engine_in_batches(package: Package, engine: Engine, tmp_path: Path) -> None:
    counting = Counting(engine)
    seen: list[tuple[int, int]] = []
    with opened(write_scene(tmp_path / "a.tif", pixels(64 * 5, 64 * 7))) as scene:
        encoded = encode_scene(
            scene, package, counting, progress=lambda done, all_: seen.append((done, all_))
        )
    assert counting.batches == [BATCH, 3]
    assert seen == [(32, 35), (35, 35)]
    assert (encoded.grid.n_rows, encoded.grid.n_cols) == (5, 7)
    assert [latent.values.shape[0] for latent in encoded.latents] == [35, 35]


def test_bands_are_flagged_in_the_order_of_the_package(
    package: Package, engine: Engine, tmp_path: Path
) -> None:
    counting = Counting(engine)
    with opened(write_scene(tmp_path / "a.tif", pixels(64, 64))) as scene:
        report = encode_scene(scene, package, counting).report
    assert [name for name, flag in zip(package.bands, counting.bands[0][0], strict=True) if flag] == list(
        BANDS
    )
    assert report.bands == list(BANDS)
    assert set(report.bands) | set(report.bands_absent) == set(package.bands)


def test_tiles_without_data_cost_no_energy_and_are_said(
    package: Package, engine: Engine, tmp_path: Path
) -> None:
    data = pixels(128, 128)
    data[:, :64, 64:] = 0
    counting = Counting(engine)
    with opened(write_scene(tmp_path / "a.tif", data)) as scene:
        encoded = encode_scene(scene, package, counting)
    assert counting.batches == [3]
    assert (encoded.report.tiles, encoded.report.tiles_without_data) == (4, 1)
    assert encoded.report.notes[-1] == "1 of 4 tiles hold no data and are not coded"
    assert [latent.token_validity.any(axis=(1, 2)).tolist() for latent in encoded.latents] == [
        [True, False, True, True]
    ] * 2


def test_the_ground_gets_back_what_was_encoded(package: Package, engine: Engine, tmp_path: Path) -> None:
    """At the finest quality the decoded embedding is the encoder's, within the steps."""
    from codec.bitstream.reader import read_bytes

    with opened(write_scene(tmp_path / "a.tif")) as scene:
        encoded = encode_scene(scene, package, engine, ladder_index=package.ladder_indices[0])
    nec = read_bytes(encoded.data)
    decoded = decode(package, nec.header, [record.data for record in nec.records])
    for latent in encoded.latents:
        name = package.planes[latent.plane].name
        plain = package.transforms[name].synthesise(latent.values)
        found = decoded.embeddings[name]
        valid = found.validity
        assert valid.any(axis=(1, 2)).all()
        error = np.sqrt(((found.values - plain)[valid] ** 2).mean() / (plain[valid] ** 2).mean())
        assert error < 0.05


def test_a_scene_smaller_than_a_tile_is_one_tile(package: Package, engine: Engine, tmp_path: Path) -> None:
    with opened(write_scene(tmp_path / "a.tif", pixels(20, 33))) as scene:
        encoded = encode_scene(scene, package, engine)
    assert encoded.report.tiles == 1
    valid = encoded.latents[0].token_validity[0]
    # Rows 0–15 hold two whole patches; the third holds 4 of 8 rows: half of its pixels, which is enough.
    assert valid[:3, :4].all()
    assert not valid[3:].any()
    assert not valid[:, 5:].any()


def test_a_scene_of_nodata_is_refused_without_running_the_engine(
    package: Package, engine: Engine, tmp_path: Path
) -> None:
    counting = Counting(engine)
    path = write_scene(tmp_path / "a.tif", np.zeros((6, 64, 64), np.uint16))
    with opened(path) as scene, pytest.raises(InputError, match="no valid pixel"):
        encode_scene(scene, package, counting)
    assert counting.batches == []


class Spoiling(Counting):
    """The real engine, of which some tiles come out otherwise."""

    def __init__(self, engine: Engine, spoilt: dict[int, float], plane: str = "tokens") -> None:
        super().__init__(engine)
        self.spoilt, self.plane = spoilt, plane

    def run(self, pixels: FloatArray, bands: FloatArray, validity: FloatArray) -> dict[str, FloatArray]:
        latents = super().run(pixels, bands, validity)
        for tile, value in self.spoilt.items():
            latents[self.plane][tile, 0, 3] = value
        return latents


@pytest.mark.parametrize("plane", ["tokens", "spectral"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.filterwarnings("error")
def test_a_tile_that_the_encoder_spoilt_is_invalid_counted_and_said(
    package: Package, engine: Engine, tmp_path: Path, plane: str, value: float
) -> None:
    from codec.bitstream.reader import read_bytes

    path = write_scene(tmp_path / "a.tif", pixels(128, 128))
    with opened(path) as scene:
        sound = encode_scene(scene, package, engine)
    with opened(path) as scene:
        encoded = encode_scene(scene, package, Spoiling(engine, {2: value}, plane))
    assert (sound.report.tiles_invalid, encoded.report.tiles_invalid) == (0, 1)
    assert encoded.report.tiles_without_data == 0
    assert encoded.report.notes[-1].startswith("1 of 4 tiles are marked invalid")
    decoded = []
    for data in (sound.data, encoded.data):
        file = read_bytes(data)
        decoded.append(decode(package, file.header, [record.data for record in file.records]))
    for name, embedding in decoded[1].embeddings.items():
        assert embedding.validity.any(axis=(1, 2)).tolist() == [True, True, False, True]
        assert np.isfinite(embedding.values).all()
        others = [0, 1, 3]
        before = decoded[0].embeddings[name].values[others]
        np.testing.assert_allclose(embedding.values[others], before, atol=0.2 * np.abs(before).max())
    assert decoded[1].missing == ()


def test_an_encoder_that_spoils_all_tiles_is_refused(
    package: Package, engine: Engine, tmp_path: Path
) -> None:
    spoiling = Spoiling(engine, dict.fromkeys(range(4), np.nan))
    with (
        opened(write_scene(tmp_path / "a.tif", pixels(128, 128))) as scene,
        pytest.raises(InputError, match="in all 4 tiles with data"),
    ):
        encode_scene(scene, package, spoiling)
