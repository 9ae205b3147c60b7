"""Faults planted into a whole run: each ends it before anything is stored, and an honest method passes beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.errors import InternalError
from codec.evaluate.rate import run as run_module
from codec.evaluate.rate.plane_encoder import PlaneEncoder
from codec.evaluate.rate.run import Entry, Run, Setting
from codec.evaluate.rate.targets import Evidence, Target
from codec.evaluate.rate.types import Coded, EmbeddingCoder, Method, Planes, TileSet
from codec.transform.fit import FittedCodec, fit_planes
from codec.transform.maps import quant_maps

BANDS = ("blue", "green", "red", "nir")
SETTING = Setting(resamples=1, regimes=("one",))


def reflectance(n: int, seed: int) -> np.ndarray:
    """N×4×64×64: fields of 16 pixels around 0.2."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.standard_normal((n, 4, 4, 4)), np.ones((16, 16)))
    return (0.2 + 0.04 * coarse + 0.004 * rng.standard_normal((n, 4, 64, 64))).astype(np.float32)


def made(name: str, pixels: np.ndarray, split: np.ndarray) -> Evidence:
    """Lone tiles; a token's class says whether its red is above the middle."""
    n = len(pixels)
    tiles = TileSet(
        name, BANDS, pixels, np.ones((n, 4), bool), np.ones((n, 64, 64), bool), np.arange(n), np.zeros((n, 2), int),
        np.arange(n), 10.0,
    )  # fmt: skip
    labels = (pixels[:, 2].reshape(n, 8, 8, 8, 8).mean((2, 4)) > 0.2).astype(np.int64)
    return Evidence(tiles, (Target("bright", "token", labels, ("low", "high")),), split)


def encode(tiles: TileSet) -> Planes:
    """Tokens of eight channels: patch means and their squares, turned."""
    n = len(tiles)
    means = tiles.pixels.reshape(n, 4, 8, 8, 8, 8).mean((3, 5)).transpose(0, 2, 3, 1)
    turn = np.random.default_rng(5).standard_normal((8, 8))
    tokens = np.concatenate([means, 3 * means**2], axis=-1) @ turn
    return Planes({"tokens": tokens.astype(np.float32)}, np.ones((n, 8, 8), bool))


def sees(tiles: TileSet) -> Any:
    return iter([(tiles.pixels,)])


ENCODER = PlaneEncoder("made", "0" * 64, "as-is", encode, sees)


@pytest.fixture(scope="module")
def sets() -> dict[str, Evidence]:
    split = np.repeat(["train", "val"], [30, 10])
    return {
        "here": made("here", reflectance(40, 1), split),
        "there": made("there", reflectance(20, 2), np.repeat("train", 20)),
    }


@dataclass(frozen=True)
class Ours:
    """Our base by hand; what was fitted on other tokens may decode."""

    name: str
    foreign: FittedCodec | None = None
    gain: float = 1.0  # after decoding

    @property
    def about(self) -> Method:
        return Method(self.name, "embedding", "planted")

    def fit(self, train: Planes) -> EmbeddingCoder:
        own = fit_planes({"tokens": train.values["tokens"]})
        return OursCoder(own, self.foreign or own, self.gain)


@dataclass(frozen=True)
class OursCoder:
    codec: FittedCodec
    decoder: FittedCodec
    gain: float
    settings: tuple[str, ...] = ("finest", "coarse")

    def code(self, planes: Planes, setting: str) -> Coded:
        tables = self.codec.tables
        usable = sorted(tables.usable_indices())
        index = usable[0] if setting == "finest" else usable[len(usable) // 2]
        symbols = quant_maps(tables, 0, index).quantise(
            self.codec.transforms["tokens"].analyse(planes.values["tokens"])
        )
        latents = quant_maps(self.decoder.tables, 0, index).reconstruct(symbols)
        found = self.decoder.transforms["tokens"].synthesise(latents) * np.float32(self.gain)
        size = 100.0 if setting == "finest" else 20.0
        return Coded(setting, np.full(len(planes), size), {"tokens": found})


@dataclass(frozen=True)
class Pixels:
    """Sends sixteen bits a number, and decodes with a gain."""

    gain: float
    about = Method("pixels", "pixels", "planted")
    settings = ("finest",)
    bands = BANDS

    def fit(self, train: TileSet) -> Pixels:
        return self

    def code(self, tiles: TileSet, setting: str) -> Coded:
        decoded = np.rint(tiles.pixels * 10_000).astype(np.float32) * np.float32(1e-4 * self.gain)
        return Coded(setting, np.full(len(tiles), 2.0 * tiles.pixels[0].size), pixels=decoded)


def refused(run: Run, entry: Entry, match: str) -> None:
    """The run says so and stores nothing."""
    with pytest.raises(InternalError, match=match):
        run.score("here", entry)
    assert not run.path("here", entry.name).exists()


def test_an_honest_codec_passes_the_whole_run(sets, tmp_path: Path) -> None:
    found = Run(ENCODER, sets, tmp_path, SETTING).score("here", Entry(Ours("honest")))
    assert found.errors["tokens"][0].mean() < 0.01


def test_answers_decoded_with_the_tables_of_another_package_are_not_stored(sets, tmp_path: Path) -> None:
    other = encode(made("other", 0.5 + 5 * reflectance(60, 9), np.repeat("train", 60)).tiles)
    foreign = fit_planes({"tokens": other.values["tokens"]})
    run = Run(ENCODER, sets, tmp_path, SETTING)
    refused(
        run,
        Entry(Ours("foreign", foreign)),
        "decode with the tables, basis and channel order of this model",
    )


def test_a_codec_that_is_given_scored_tiles_is_refused(sets, tmp_path: Path, monkeypatch) -> None:
    everything = {name: np.ones(len(of.tiles), bool) for name, of in sets.items()}
    monkeypatch.setattr(run_module, "codec_training", lambda *_, **__: everything)
    run = Run(ENCODER, sets, tmp_path, SETTING)
    refused(
        run, Entry(Ours("leaked")), r"fitted on tiles that are scored \(found 10 tiles, the first is 30\)"
    )
    refused(run, Entry(Pixels(1.0)), "fitted on tiles that are scored")


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_copy_of_a_scored_tile_among_the_training_tiles_is_refused(
    where: str, sets, tmp_path: Path
) -> None:
    of = sets[where]
    pixels = of.tiles.pixels.copy()
    pixels[5] = sets["here"].tiles.pixels[35]
    leaked = {**sets, where: replace(of, tiles=replace(of.tiles, pixels=pixels))}
    run = Run(ENCODER, leaked, tmp_path, SETTING)
    refused(run, Entry(Ours("leaked")), rf"tile 5 of {where}.*is a copy of tile 35, which is scored")


def test_tiles_without_contrast_are_no_copies(sets, tmp_path: Path) -> None:
    of = sets["here"]
    pixels = of.tiles.pixels.copy()
    pixels[[5, 35]] = 0.2
    flat = {**sets, "here": replace(of, tiles=replace(of.tiles, pixels=pixels))}
    assert Run(ENCODER, flat, tmp_path, SETTING).score("here", Entry(Ours("honest"))).settings


class _Spy:
    """Keeps what it was fitted on."""

    about = Method("spy", "embedding", "planted")

    def fit(self, train: Planes) -> EmbeddingCoder:
        self.train = train.values["tokens"]
        return Ours("spy").fit(train)


def test_a_method_is_given_the_training_tiles_and_no_others(sets, tmp_path: Path) -> None:
    spy = _Spy()
    Run(ENCODER, sets, tmp_path, SETTING).score("here", Entry(spy))
    allowed = [encode(sets["here"].tiles).values["tokens"][:30], encode(sets["there"].tiles).values["tokens"]]
    assert np.array_equal(spy.train, np.concatenate(allowed))


def test_answers_of_a_codec_fitted_on_other_tiles_are_not_taken_for_these(sets, tmp_path: Path) -> None:
    run = Run(ENCODER, sets, tmp_path, SETTING)
    other = {**sets, "there": replace(sets["there"], split=np.repeat(["train", "val"], 10))}
    here, there = (
        r.origin("here", Entry(Ours("ours"))) for r in (run, Run(ENCODER, other, tmp_path, SETTING))
    )
    assert {key for key in here if here[key] != there[key]} == {"fitted on"}


def scaled(factor: float) -> PlaneEncoder:
    """The same encoder by name and identity, which multiplies its pixels first."""
    return PlaneEncoder(
        "made", "0" * 64, "as-is", lambda t: encode(replace(t, pixels=t.pixels * np.float32(factor))), sees
    )


@pytest.mark.parametrize("factor", [1.2, 1.02])
def test_a_ground_that_normalises_otherwise_than_the_satellite_is_refused(
    factor: float, sets, tmp_path: Path
) -> None:
    run = Run(ENCODER, sets, tmp_path, SETTING)
    run.planes("here")
    run.encoder = scaled(factor)
    refused(
        run,
        Entry(Pixels(1.0)),
        "of uncompressed pixels the ground makes another plane",
    )


@pytest.mark.parametrize("gain", [1.2, 1.05])
def test_pixels_of_other_units_are_refused_where_the_error_is_far_below_the_variance(
    gain: float, sets, tmp_path: Path
) -> None:
    x = sets["here"].tiles.pixels
    assert np.square((gain - 1) * x).mean() / x.var() < (1.1 if gain == 1.2 else 0.1)
    refused(
        Run(ENCODER, sets, tmp_path, SETTING),
        Entry(Pixels(gain)),
        "a factor and an offset that the decoder leaves",
    )


@pytest.mark.parametrize("gain", [1.2, 1.1])
def test_tokens_decoded_with_another_gain_are_refused(gain: float, sets, tmp_path: Path) -> None:
    refused(Run(ENCODER, sets, tmp_path, SETTING), Entry(Ours("gain", gain=gain)), "a factor and an offset")


def test_pixels_pass_a_ground_that_normalises_alike(sets, tmp_path: Path) -> None:
    assert Run(ENCODER, sets, tmp_path, SETTING).score("here", Entry(Pixels(1.0))).settings
