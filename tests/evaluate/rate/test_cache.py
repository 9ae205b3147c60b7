"""Cached planes: the key follows everything that decides them, and nothing else is ever handed out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codec.errors import Corrupt, IdentityError
from codec.evaluate.rate import cache
from codec.evaluate.rate.cache import PlaneCache, key_of
from codec.evaluate.rate.encoders import PlaneEncoder, open_encoder
from codec.evaluate.rate.types import Planes, TileSet
from codec.evaluate.scenes import eurosat
from codec.models import bands

N = 5


@pytest.fixture(scope="module")
def tiles(shared_data: Path) -> TileSet:
    """Five EuroSAT tiles of 12 bands."""
    found = eurosat(shared_data, ("test",))
    numbers = np.arange(N)
    return TileSet(
        "eurosat", found.bands, found.tiles.pixels[:N], found.tiles.present[:N], found.tiles.validity[:N], numbers,
        np.zeros((N, 2), np.int64), numbers,
    )  # fmt: skip


@pytest.fixture(scope="module")
def encoder() -> PlaneEncoder:
    return open_encoder("s2-nano")


def counted(encoder: PlaneEncoder) -> tuple[PlaneEncoder, list[int]]:
    """The encoder, and how many tiles it was asked for each time."""
    calls: list[int] = []

    def encode(tiles: TileSet) -> Planes:
        calls.append(len(tiles))
        return encoder.encode(tiles)

    return replace(encoder, encode=encode), calls


def test_one_pixel_changes_the_key(tiles: TileSet, encoder: PlaneEncoder) -> None:
    pixels = tiles.pixels.copy()
    pixels[3, 7, 40, 11] += 1e-4  # one digital number
    assert key_of(encoder, tiles).digest != key_of(encoder, replace(tiles, pixels=pixels)).digest
    assert key_of(encoder, tiles) == key_of(encoder, replace(tiles, pixels=tiles.pixels.copy()))


def test_validity_presence_and_encoder_change_the_key(tiles: TileSet, encoder: PlaneEncoder) -> None:
    validity, present = tiles.validity.copy(), tiles.present.copy()
    validity[0, 0, 0] = present[1, 2] = False
    keys = {
        key_of(encoder, tiles).digest,
        key_of(encoder, replace(tiles, validity=validity)).digest,
        key_of(encoder, replace(tiles, present=present)).digest,
        key_of(open_encoder("random-twin@s2-nano"), tiles).digest,
        key_of(open_encoder("random-twin@s2-nano#1"), tiles).digest,
    }
    assert len(keys) == 5


def test_the_code_changes_the_key(
    tiles: TileSet, encoder: PlaneEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key_of(encoder, tiles).digest
    monkeypatch.setattr(cache, "of_code", lambda *_: "another")
    assert key_of(encoder, tiles).digest != before


def test_planes_come_back_as_they_were_and_are_computed_once(
    tiles: TileSet, encoder: PlaneEncoder, tmp_path: Path
) -> None:
    counting, calls = counted(encoder)
    fresh = encoder(tiles)
    for _ in range(2):
        kept = PlaneCache(tmp_path).planes(counting, tiles)
        for plane, values in fresh.values.items():
            np.testing.assert_array_equal(kept.values[plane], values)
        np.testing.assert_array_equal(kept.validity, fresh.validity)
    assert calls == [N]
    assert isinstance(kept.values["tokens"], np.memmap)
    assert not list(tmp_path.glob("**/.*"))


def test_a_change_of_what_was_handed_out_does_not_reach_the_cache(
    tiles: TileSet, encoder: PlaneEncoder, tmp_path: Path
) -> None:
    PlaneCache(tmp_path).planes(encoder, tiles).values["tokens"][:] = 7
    assert not (PlaneCache(tmp_path).planes(encoder, tiles).values["tokens"] == 7).any()


def test_a_planted_cache_of_another_normalisation_is_refused_by_name(
    tiles: TileSet, encoder: PlaneEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        spread = {band: 2 * value for band, value in bands.REFLECTANCE_SPREAD.items()}
        patch.setattr(bands, "REFLECTANCE_SPREAD", spread)
        wrong = open_encoder("s2-nano")
        PlaneCache(tmp_path).planes(wrong, tiles)
    assert wrong.normalisation != encoder.normalisation
    with pytest.raises(IdentityError) as caught:
        PlaneCache(tmp_path).planes(encoder, tiles)
    assert encoder.normalisation in str(caught.value)
    assert wrong.normalisation in str(caught.value)


def test_an_input_that_differs_under_the_same_name_is_refused(
    tiles: TileSet, encoder: PlaneEncoder, tmp_path: Path
) -> None:
    """A preprocessing changed without a new name: the hash of what the encoder saw tells."""
    PlaneCache(tmp_path).planes(
        replace(encoder, sees=lambda t: (tuple(1.01 * part for part in batch) for batch in encoder.sees(t))),
        tiles,
    )
    with pytest.raises(IdentityError, match="another normalisation"):
        PlaneCache(tmp_path).planes(encoder, tiles)


def test_an_entry_moved_to_another_place_is_refused(
    tiles: TileSet, encoder: PlaneEncoder, tmp_path: Path
) -> None:
    other = replace(tiles, pixels=tiles.pixels * np.float32(0.5))
    PlaneCache(tmp_path).planes(encoder, other)
    (slot,) = tmp_path.iterdir()
    (entry,) = slot.iterdir()
    entry.rename(slot / key_of(encoder, tiles).digest[:32])
    with pytest.raises(IdentityError, match="normalised"):
        PlaneCache(tmp_path).planes(encoder, tiles)


@pytest.mark.parametrize("name", ["tokens.npy", "spectral.npy", "validity.npy"])
def test_a_flipped_bit_is_found_by_the_hash(
    tiles: TileSet, encoder: PlaneEncoder, tmp_path: Path, name: str
) -> None:
    PlaneCache(tmp_path).planes(encoder, tiles)
    (path,) = tmp_path.glob(f"**/{name}")
    data = bytearray(path.read_bytes())
    data[-7] ^= 1
    path.write_bytes(data)
    with pytest.raises(Corrupt, match="hash") as caught:
        PlaneCache(tmp_path).planes(encoder, tiles)
    assert name in str(caught.value)


@pytest.mark.parametrize("damage", ["truncated", "absent", "not-json", "other-format"])
def test_a_damaged_entry_is_reported_as_corrupt(
    tiles: TileSet, encoder: PlaneEncoder, tmp_path: Path, damage: str
) -> None:
    PlaneCache(tmp_path).planes(encoder, tiles)
    (tokens,), (about,) = tmp_path.glob("**/tokens.npy"), tmp_path.glob("**/about.json")
    if damage == "truncated":
        tokens.write_bytes(tokens.read_bytes()[:100])
    elif damage == "absent":
        tokens.unlink()
    elif damage == "not-json":
        about.write_text("{")
    else:
        about.write_text(json.dumps({**json.loads(about.read_text()), "format": "x-9"}))
    with pytest.raises(Corrupt):
        PlaneCache(tmp_path).planes(encoder, tiles)


def test_a_failing_encoder_leaves_nothing_behind(
    tiles: TileSet, encoder: PlaneEncoder, tmp_path: Path
) -> None:
    def fails(tiles: TileSet) -> Planes:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        PlaneCache(tmp_path).planes(replace(encoder, encode=fails), tiles)
    assert not list(tmp_path.rglob("*.npy"))


def test_an_interrupted_store_leaves_no_entry(
    tiles: TileSet, encoder: PlaneEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    whole = cache.write_atomic

    def interrupted(path: Path, data: bytes) -> None:
        written.append(path.name)
        if len(written) == 2:
            raise KeyboardInterrupt
        whole(path, data)

    monkeypatch.setattr(cache, "write_atomic", interrupted)
    with pytest.raises(KeyboardInterrupt):
        PlaneCache(tmp_path).planes(encoder, tiles)
    assert not list(tmp_path.rglob("*.npy"))
    monkeypatch.undo()
    assert len(PlaneCache(tmp_path).planes(encoder, tiles)) == N
