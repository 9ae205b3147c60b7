"""Trained points of the published recipe as a method: bytes as sent, heads that see what bytes hold."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.errors import InputError, InternalError, UsageError
from codec.evaluate.rate.adapted import AdaptedPoints, AdaptedRun, opened_points
from codec.evaluate.rate.adapted.__main__ import _given, _label, _parser
from codec.evaluate.rate.adapted.point_rows import point_rows
from codec.evaluate.rate.embedding import embedding_methods
from codec.evaluate.rate.plain_encoders import grid_validity
from codec.evaluate.rate.plane_encoder import PlaneEncoder
from codec.evaluate.rate.report import Question
from codec.evaluate.rate.run import Entry, Setting
from codec.evaluate.rate.targets import Evidence, Target
from codec.evaluate.rate.types import Planes, TileSet
from codec.models.bands import S2_NANO_BANDS
from codec.nec import __main__ as recipe_command
from codec.nec.coding import recipe_of
from codec.nec.patches import tiles_of
from codec.nec.point import Place, open_point
from codec.pretrain.labels import Pool, load_pool

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("compressai") is None, reason="compressai is not installed: make setup"
)
B, VIT = len(S2_NANO_BANDS), "vit-nano/8@s2"


def fields(n: int, seed: int) -> np.ndarray:
    """Smooth reflectance, N×B×64×64."""
    coarse = np.random.default_rng(seed).random((n, B, 4, 4), np.float32) * 0.4
    return coarse.repeat(16, 2).repeat(16, 3)


def written(folder: Path) -> Path:
    folder.mkdir()
    np.save(folder / "pixels.npy", fields(40, 0).astype(np.float16))
    np.save(folder / "tokens.npy", np.zeros((40, 8, 8, 2), np.float16))
    np.save(folder / "bands.npy", np.ones((40, B), np.uint8))
    np.save(folder / "group.npy", np.zeros(40, np.int16))
    np.save(folder / "image.npy", np.arange(40, dtype=np.int32))
    np.savez(folder / "targets.npz", position_mean=np.zeros((1, 8, 8, 2), np.float32), spread=np.ones(2))
    names = ", ".join(f'"{band}"' for band in S2_NANO_BANDS)
    (folder / "pool.json").write_text(f'{{"bands": [{names}]}}')
    pool: Pool = load_pool(folder)
    assert pool.bands_of == S2_NANO_BANDS
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A start and three points: two of the published recipe, one repaired."""
    folder = tmp_path_factory.mktemp("points")
    pool, start = written(folder / "pool"), folder / "start.pt"
    for name, run, weight in (
        ("nec-2024", "fine", "1e7"),
        ("nec-2024", "coarse", "1"),
        ("nec-2024-repaired", "repaired", "1"),
    ):
        common = [
            name,
            "--fast",
            "--set",
            f"start.encoder={VIT}",
            "--pool",
            str(pool),
            "--start-weights",
            str(start),
        ]
        if not start.exists():
            assert recipe_command.main(["start", *common]) == 0
        common += ["--set", f"rate.weight={weight}", "--set", "schedule.steps=12"]
        assert recipe_command.main(["train", *common, "--out", str(folder / run)]) == 0
    return Place(folder, None, start)


@pytest.fixture(scope="module")
def published(place: Place) -> AdaptedPoints:
    return opened_points("nec-2024", [place.root / "coarse", place.root / "fine"], place)


@pytest.fixture(scope="module")
def repaired(place: Place) -> AdaptedPoints:
    return opened_points("nec-2024-repaired", [place.root / "repaired"], place)


def made(name: str, rows: int, cols: int, seed: int, split: str, side: int = 64) -> Evidence:
    """One scene; a token's class says whether its first band is bright."""
    n, k = rows * cols, side // 64
    pixels = fields(n * k * k, seed).reshape(n, k, k, B, 64, 64).transpose(0, 3, 1, 4, 2, 5)
    pixels = np.ascontiguousarray(pixels.reshape(n, B, side, side))
    place = np.indices((rows, cols)).reshape(2, -1).T
    tiles = TileSet(
        name, S2_NANO_BANDS, pixels, np.ones((n, B), bool), np.ones((n, side, side), bool),
        np.zeros(n, int), place, np.arange(n), 10.0,
    )  # fmt: skip
    bright = pixels[:, 0].reshape(n, side // 8, 8, side // 8, 8).mean((2, 4)) > 0.2
    return Evidence(
        tiles, (Target("bright", "token", bright.astype(np.int64), ("no", "yes")),), np.repeat(split, n)
    )


def frozen(points: AdaptedPoints) -> PlaneEncoder:
    """The start's encoder as the harness knows encoders."""

    @torch.no_grad()
    def encode(tiles: TileSet) -> Planes:
        made = (torch.from_numpy(x.astype(np.float32)) for x in (tiles.pixels, tiles.present, tiles.validity))
        pixels, present, validity = made
        y = points.start.of.sequence(tiles_of(pixels, present, validity, S2_NANO_BANDS, 8), None)[:, 1:]
        return Planes({"tokens": y.reshape(-1, 8, 8, 128).numpy()}, grid_validity(tiles, 8))

    return PlaneEncoder("vit", "0" * 64, "as-is", encode, lambda tiles: iter([(tiles.pixels,)]))


@pytest.fixture(scope="module")
def sets() -> dict[str, Evidence]:
    return {"here": made("here", 3, 8, 1, "val"), "there": made("there", 3, 8, 2, "train")}


def test_points_are_sorted_from_the_finest(published: AdaptedPoints) -> None:
    rates = [float(setting.split()[0]) for setting in published.settings]
    assert rates == sorted(rates, reverse=True)
    assert len(rates) == 2


def test_sizes_are_the_lengths_of_the_strings_that_were_decoded(
    published: AdaptedPoints, repaired: AdaptedPoints, sets: dict[str, Evidence]
) -> None:
    tiles = sets["here"].tiles
    planes = frozen(published)(tiles)
    for points in (published, repaired):
        for setting, coder in points.points:
            coded = points.code(tiles, planes, setting)
            x = tiles_of(
                torch.from_numpy(tiles.pixels), torch.ones(24, B), torch.ones(24, 64, 64), S2_NANO_BANDS, 8
            )
            strings = coder.encode(coder.embed(x))
            assert len(strings) == (24 if points is published else 1)
            assert coded.sizes.sum() == pytest.approx(sum(map(len, strings)))
            if points is published:
                assert coded.sizes.tolist() == [len(s) for s in strings]
            wanted = coder.tokens(coder.decode(strings, 24)).numpy()
            assert np.array_equal(coded.planes["tokens"], wanted)
            assert coded.planes["decoder"].shape == (24, 8, 8, 96)


def test_larger_tiles_are_coded_as_tiles_of_the_encoder(published: AdaptedPoints) -> None:
    large, setting = made("large", 1, 2, 3, "val", side=128).tiles, published.settings[0]
    cut = large.pixels.reshape(2, B, 2, 64, 2, 64).transpose(0, 2, 4, 1, 3, 5).reshape(8, B, 64, 64)
    lone = replace(
        large, pixels=np.ascontiguousarray(cut), present=np.ones((8, B), bool),
        validity=np.ones((8, 64, 64), bool), scene=np.zeros(8, int), place=np.zeros((8, 2), int), groups=np.arange(8),
    )  # fmt: skip
    valid = Planes({}, np.ones((2, 16, 16), bool)), Planes({}, np.ones((8, 8, 8), bool))
    a, b = published.code(large, valid[0], setting), published.code(lone, valid[1], setting)
    assert a.sizes.tolist() == b.sizes.reshape(2, 4).sum(1).tolist()
    whole = b.planes["tokens"].reshape(2, 2, 2, 8, 8, 128).transpose(0, 1, 3, 2, 4, 5).reshape(2, 16, 16, 128)
    np.testing.assert_allclose(a.planes["tokens"], whole, atol=1e-5)


def test_a_mask_of_unmeasured_tokens_is_counted_and_applied(
    published: AdaptedPoints, sets: dict[str, Evidence]
) -> None:
    tiles, validity = sets["here"].tiles, np.ones((24, 8, 8), bool)
    validity[3, :2] = False
    setting = published.settings[1]
    whole = published.code(tiles, Planes({}, np.ones((24, 8, 8), bool)), setting)
    masked = published.code(tiles, Planes({}, validity), setting)
    assert masked.sizes.sum() > whole.sizes.sum()
    assert masked.sizes.sum() == pytest.approx(round(masked.sizes.sum()))
    assert not masked.planes["tokens"][3, :2].any()


def test_uncompressed_features_are_the_frozen_encoder_and_the_start_decoder(
    published: AdaptedPoints, sets: dict[str, Evidence]
) -> None:
    planes = frozen(published)(sets["here"].tiles)
    seen = published.uncompressed(planes)
    assert seen["tokens"] is planes.values["tokens"]
    flat = torch.from_numpy(planes.values["tokens"]).flatten(1, 2)
    with torch.no_grad():
        wanted = published.start.decoder.first(torch.cat([flat.mean(1, keepdim=True), flat], dim=1))
    np.testing.assert_allclose(seen["decoder"].reshape(24, 64, 96), wanted.numpy(), atol=1e-5)


def test_a_run_scores_points_beside_other_methods(
    published: AdaptedPoints, sets: dict[str, Evidence], tmp_path: Path
) -> None:
    setting = Setting(resamples=2, regimes=("one", "mixed", "per-rate"))
    run = AdaptedRun(frozen(published), sets, tmp_path, setting)
    scored = {
        "base": run.score("here", Entry(embedding_methods(["base"])[0])),
        "nec-2024": run.score("here", Entry(published)),
    }
    assert {key.view for key in scored["nec-2024"].answers} == {"tokens", "decoder"}
    assert scored["nec-2024"].settings == published.settings
    rows = list(Question("vit", sets["here"], sets["here"].targets[0], scored, "nec-2024").rows())
    assert any("/nec-2024/decoder/per-rate/" in row.case for row in rows)
    assert any(row.rival == "nec-2024, tokens" for row in rows)
    again = run.score("here", Entry(published))  # from disk
    assert np.array_equal(again.sizes, scored["nec-2024"].sizes)


def test_bytes_that_do_not_give_the_activations_back_are_refused(
    published: AdaptedPoints, sets: dict[str, Evidence], monkeypatch: pytest.MonkeyPatch
) -> None:
    coder = published.by_setting[published.settings[0]]
    kept = coder.model.bottleneck.decompress
    monkeypatch.setattr(coder.model.bottleneck, "decompress", lambda s, n: kept(s, n) + 0.25)
    tiles = sets["here"].tiles
    with pytest.raises(InternalError, match="do not give back"):
        published.code(tiles, Planes({}, np.ones((24, 8, 8), bool)), published.settings[0])


def test_methods_without_points_or_of_one_rate_are_refused(place: Place) -> None:
    with pytest.raises(InputError, match="has no point"):
        opened_points("nec-2024", [], place)
    with pytest.raises(InputError, match="same rate"):
        opened_points("nec-2024", [place.root / "fine", place.root / "fine"], place)
    assert open_point(place.root / "fine", place).elements == 65 * 128


def test_points_are_named_on_the_command_line() -> None:
    options = ["--data", "d", "--start-weights", "s.pt", "--points", "a=x,y", "--points", "b=z"]
    given = _given(_parser().parse_args(options))
    assert given.methods == (("a", (Path("x"), Path("y"))), ("b", (Path("z"),)))
    with pytest.raises(UsageError, match="NAME=RUN"):
        _given(_parser().parse_args([*options, "--points", "c"]))


def test_points_are_compared_with_the_encoder_they_began_as(place: Place) -> None:
    began = recipe_of(place.root / "fine" / "point.pt").start.encoder
    options = ["--data", "d", "--start-weights", "s.pt", "--points", f"a={place.root / 'fine'}"]

    def label(*more: str) -> str:
        parsed = _parser().parse_args([*options, *more])
        return _label(parsed, _given(parsed))

    assert label() == label("--encoder", began) == began
    with pytest.raises(UsageError, match=f"the points began as {began}"):
        label("--encoder", "galileo_nano")
    with pytest.raises(UsageError, match="for the collection"):
        label("--layout", "potsdam", "--encoder", began)


def test_rows_say_what_points_are_and_what_they_cost(place: Place, tmp_path: Path) -> None:
    rows = list(point_rows("nec-2024", "vit", "repaired", (place.root / "repaired",)))
    found = {row.metric: row for row in rows}
    measured = json.loads((place.root / "repaired" / "measured.json").read_text())
    assert found["bits real"].value == measured["bits_real"]
    assert found["bits real"].case == f"vit/repaired/points/{measured['bits_real']:.3g} bit"
    assert found["weight of the distortion"].value == 1.0
    assert "W per busy core" in found["energy"].unit or "measured" in found["energy"].unit
    assert {row.seeds for row in rows} == {"0"}
    with pytest.raises(InputError, match="no point"):
        list(point_rows("nec-2024", "vit", "repaired", (tmp_path,)))
