"""What holds for every method that sends embeddings: bytes alone carry the answer, every byte is counted, no leak."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from codec.errors import InputError, SwathpackError
from codec.evaluate.rate.embedding import METHODS, embedding_methods, names
from codec.evaluate.rate.embedding.base import BaseCoder
from codec.evaluate.rate.embedding.sent import Part, PlanewiseCoder, sizes
from codec.evaluate.rate.embedding.stream import StreamCoder
from codec.evaluate.rate.types import EmbeddingCoder, Planes
from codec.package import load
from codec.types import FloatArray
from tests.evaluate.rate.correlated_planes import planes

TRAIN, TEST = planes(20, 0), planes(70, 1)  # 70: more than one batch of UQE
OWN = tuple(f.name for f in METHODS if not f.needs_package)
# One of each way to be fitted, codebooks on the few vectors of means only: a second fit of every method would take long.
REFITTED = ("uqe", "per-channel int", "pca int8 zstd", "alphaearth-style", "fsq", "klt", "base", "mean opq")


@pytest.fixture(scope="module")
def fitted() -> dict[str, EmbeddingCoder]:
    return {method.about.name: method.fit(TRAIN) for method in embedding_methods(OWN)}


def sent(coder: EmbeddingCoder, tiles: Planes, setting: str) -> list[Part]:
    """All that leaves the transmitter."""
    if isinstance(coder, PlanewiseCoder):
        mask, parts = coder.encode(tiles, setting)
        return [*mask, *(part for own in parts.values() for part in own)]
    assert isinstance(coder, (BaseCoder, StreamCoder))
    return coder.encode(tiles, setting)


def received(
    coder: EmbeddingCoder, tiles: Planes, setting: str, change: object = None
) -> dict[str, FloatArray]:
    """Encoded by `coder`, decoded by a twin of it that never saw the tiles, from bytes that `change` may alter."""
    twin = another(coder)
    alter = change if callable(change) else bytes
    if isinstance(coder, PlanewiseCoder):
        mask, parts = coder.encode(tiles, setting)
        own = {name: [alter(p.data) for p in found] for name, found in parts.items()}
        assert isinstance(twin, PlanewiseCoder)
        return twin.decode([bytes(p.data) for p in mask], own, setting, len(tiles))
    assert isinstance(coder, (BaseCoder, StreamCoder))
    assert isinstance(twin, (BaseCoder, StreamCoder))
    return twin.decode([alter(p.data) for p in coder.encode(tiles, setting)], setting, len(tiles))


def another(coder: EmbeddingCoder) -> EmbeddingCoder:
    """A shallow copy: fitted state is frozen, anything kept while encoding would be on the object itself."""
    return copy.copy(coder)


@pytest.mark.parametrize("name", OWN)
def test_the_answer_is_decoded_from_bytes_alone(fitted: dict[str, EmbeddingCoder], name: str) -> None:
    coder = fitted[name]
    for setting in (coder.settings[0], coder.settings[-1]):
        coded = coder.code(TEST, setting)
        found = received(coder, TEST, setting)
        assert set(found) == set(TEST.values)
        for plane, values in found.items():
            assert values.shape == TEST.values[plane].shape
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values, coded.planes[plane])


@pytest.mark.parametrize("name", OWN)
def test_other_bytes_give_another_answer(fitted: dict[str, EmbeddingCoder], name: str) -> None:
    coder = fitted[name]
    setting = coder.settings[0]
    whole = coder.code(TEST, setting).planes

    def flipped(data: bytes) -> bytes:
        return data[:-3] + bytes([data[-3] ^ 0x55]) + data[-2:]

    try:
        found = received(coder, TEST, setting, flipped)
    except SwathpackError:
        return
    assert any(not np.array_equal(found[plane], whole[plane]) for plane in whole)


@pytest.mark.parametrize("name", OWN)
def test_every_byte_is_counted_once(fitted: dict[str, EmbeddingCoder], name: str) -> None:
    coder = fitted[name]
    for setting in coder.settings:
        coded = coder.code(TEST, setting)
        total = sum(len(part.data) for part in sent(coder, TEST, setting))
        assert coded.sizes.shape == (70,)
        assert coded.sizes.sum() == pytest.approx(total)
        assert (coded.sizes > 0).all()


@pytest.mark.parametrize("name", OWN)
def test_settings_run_from_fine_to_coarse(fitted: dict[str, EmbeddingCoder], name: str) -> None:
    coder = fitted[name]
    assert len(set(coder.settings)) == len(coder.settings)
    points = [coder.code(TEST, setting) for setting in coder.settings]
    bytes_ = [p.bytes_per_tile for p in points]
    errors = [np.square(p.planes["tokens"] - TEST.values["tokens"]).mean() for p in points]
    if "raw" in coder.settings or "64 norm" in coder.settings or len(points) == 1:
        return  # float32 and float16 lose the same either way; a length may cost less than it varies
    assert bytes_ == sorted(bytes_, reverse=True)
    assert errors[-1] > errors[0]


@pytest.mark.parametrize("name", OWN)
def test_test_tiles_leave_the_fit_as_it_was(fitted: dict[str, EmbeddingCoder], name: str) -> None:
    """Coding tiles in another order gives the same tiles in that order, whatever was coded before."""
    coder = fitted[name]
    setting = coder.settings[0]
    before = coder.code(TEST, setting).planes["tokens"]
    order = np.random.default_rng(3).permutation(len(TEST))
    shuffled = coder.code(TEST.only(order), setting).planes["tokens"]
    coder.code(planes(20, 9), setting)
    np.testing.assert_array_equal(coder.code(TEST, setting).planes["tokens"], before)
    if name != "uqe":  # its range is that of the batch a tile is in: a fault of the original
        np.testing.assert_allclose(shuffled, before[order], atol=1e-5)


@pytest.mark.parametrize("name", REFITTED)
def test_equal_training_gives_an_equal_coder(fitted: dict[str, EmbeddingCoder], name: str) -> None:
    (method,) = embedding_methods([name])
    again = method.fit(TRAIN)
    setting = again.settings[-1]
    assert again.settings == fitted[name].settings
    assert [p.data for p in sent(again, TEST, setting)] == [p.data for p in sent(fitted[name], TEST, setting)]


def holes(tiles: Planes) -> Planes:
    """One tile without a corner, one without any token; what stands there is no number."""
    validity = tiles.validity.copy()
    validity[3, :2, :3] = False
    validity[5] = False
    values = {name: np.where(validity[..., None], x, np.float32(np.nan)) for name, x in tiles.values.items()}
    return Planes(values, validity)


@pytest.mark.parametrize("name", OWN)
def test_unmeasured_tokens_cost_a_mask_at_most_and_disturb_nothing(
    fitted: dict[str, EmbeddingCoder], name: str
) -> None:
    coder, tiles = fitted[name], holes(TEST)
    setting = coder.settings[0]
    coded = coder.code(tiles, setting)
    for plane, values in coded.planes.items():
        assert np.isfinite(values).all(), plane
        if not name.startswith("mean "):
            assert not values[~tiles.validity].any()
    far = np.arange(len(tiles)) != 5
    whole = coder.code(TEST, setting).planes["tokens"]
    assert coded.sizes.sum() == pytest.approx(sum(len(p.data) for p in sent(coder, tiles, setting)))
    error = np.square(coded.planes["tokens"] - TEST.values["tokens"])[far][tiles.validity[far]].mean()
    usual = np.square(whole - TEST.values["tokens"]).mean()
    assert error <= 1.1 * usual + 1e-12
    assert (
        coded.sizes.sum() <= coder.code(TEST, setting).sizes.sum() + 64
    )  # 70·64 bits of mask compress to less


@pytest.mark.parametrize("name", REFITTED)
def test_training_tiles_with_holes_are_left_out_of_the_fit(name: str) -> None:
    (method,) = embedding_methods([name])
    keep = np.ones(len(TRAIN), bool)
    keep[[3, 5]] = False
    with_holes, without = method.fit(holes(TRAIN)), method.fit(TRAIN.only(keep))
    setting = without.settings[-1]
    np.testing.assert_array_equal(
        with_holes.code(TEST, setting).planes["tokens"], without.code(TEST, setting).planes["tokens"]
    )


@pytest.mark.parametrize("name", OWN)
def test_what_cannot_be_coded_is_refused(fitted: dict[str, EmbeddingCoder], name: str) -> None:
    coder = fitted[name]
    setting = coder.settings[0]
    with pytest.raises(InputError, match="no such setting"):
        coder.code(TEST, "as good as it gets")
    broken = {plane: x.copy() for plane, x in TEST.values.items()}
    broken["tokens"][4, 1, 2, 3] = np.inf
    with pytest.raises(InputError, match="not finite, first in tile 4"):
        coder.code(Planes(broken, TEST.validity), setting)
    with pytest.raises(InputError, match="not those that were fitted"):
        coder.code(Planes({"tokens": TEST.values["tokens"]}, TEST.validity), setting)
    with pytest.raises(InputError, match="no tile"):
        coder.code(TEST.only(np.arange(0)), setting)


@pytest.mark.parametrize("name", OWN)
def test_a_lone_tile_decodes_as_it_does_among_others(fitted: dict[str, EmbeddingCoder], name: str) -> None:
    coder = fitted[name]
    setting = coder.settings[0]
    alone = coder.code(TEST.only(np.arange(7, 8)), setting)
    assert alone.sizes.shape == (1,)
    if name != "uqe":
        among = coder.code(TEST, setting).planes["tokens"][7:8]
        np.testing.assert_allclose(alone.planes["tokens"], among, atol=1e-5)


def test_one_whole_training_tile_is_too_few() -> None:
    for method in embedding_methods(OWN):
        with pytest.raises(InputError, match="at least two wholly measured"):
            method.fit(TRAIN.only(np.arange(1)))


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InputError, match="uqe") as caught:
        embedding_methods(["jpeg of the embedding"])
    assert all(name in str(caught.value) for name in names())
    assert len(set(names())) == len(names()) == len(METHODS)


def test_a_packages_own_codec_needs_a_package() -> None:
    with pytest.raises(InputError, match="no package was given"):
        embedding_methods(["shipped"])
    assert not any(m.about.name.startswith("shipped") for m in embedding_methods())
    assert all(m.about.sends == "embedding" for m in embedding_methods())


def test_shares_of_a_part_add_up() -> None:
    """By hand: 8 bytes for two tiles at 1:3, 4 bytes for the last two alike."""
    parts = [Part(bytes(8), 0, 2, np.array([0.25, 0.75])), Part(bytes(4), 1, 2)]
    assert sizes(parts, 3).tolist() == [2.0, 8.0, 2.0]


def seconds(coder: EmbeddingCoder, tiles: Planes, settings: Sequence[str]) -> float:
    start = time.process_time()
    for setting in settings:
        coder.code(tiles, setting)
    return time.process_time() - start


@pytest.mark.long
@pytest.mark.parametrize("name", names())
def test_a_thousand_tiles_are_coded_in_two_cpu_seconds(root: Path, name: str) -> None:
    """Tokens of 8×8×128; the finest setting is the slowest of every method."""
    wide = {"tokens": 128}
    (method,) = embedding_methods([name], load(root / "models" / "s2-nano"))
    coder = method.fit(planes(64, 0, widths=wide))
    assert seconds(coder, planes(1000, 1, widths=wide), coder.settings[:1]) <= 2.0
