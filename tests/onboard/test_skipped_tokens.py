"""Token skipping: heads written by hand, whose probabilities are known, decide which tokens a file holds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from codec.bitstream.reader import read_bytes
from codec.errors import Corrupt, IdentityError, InputError, UsageError
from codec.package import Package, refresh
from codec.pipeline import decode
from codec.types import BoolArray, Latent, TileGrid
from onboard.encode import encode_scene as encode_pixels
from onboard.skipping import SkipRule, TokenSkipper
from tests.onboard.skip_package import (
    LOW,
    N,
    build_bare,
    cloudy_scene,
    copied,
    fields,
    with_heads,
    write_head,
)
from tests.pipeline.small_scene import GRID, encode_scene
from tests.swathpack.small_scene import pixels, write_scene


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build_bare(tmp_path_factory.mktemp("packages") / "bare")


@pytest.fixture(scope="module")
def model(bare: Package, tmp_path_factory: pytest.TempPathFactory) -> Package:
    return with_heads(bare, tmp_path_factory.mktemp("packages") / "model")


def _some_cloud() -> BoolArray:
    cloud = np.zeros((N, 8, 8), bool)
    cloud[0, 2:5, 1:4] = True  # rows 2–3, columns 2–3 are a whole token of the coarse plane
    cloud[3] = True
    return cloud


def test_tokens_above_the_threshold_and_no_others_come_out_invalid(model: Package) -> None:
    cloud = _some_cloud()
    found = TokenSkipper(model, [SkipRule.parse("cloud=0.9")]).skip(cloudy_scene(model, cloud), GRID)
    nec = read_bytes(encode_scene(model, list(found.latents)))
    decoded = decode(model, nec.header, [record.data for record in nec.records])
    assert (decoded.embeddings["tokens"].validity[:4] == ~cloud[:4]).all()
    assert (decoded.embeddings["spectral"].validity[:4] == ~cloud[:4]).all()
    assert (found.skipped_tokens, found.skipped_tiles) == (9 + 64, 1)
    assert dict(found.by_rule) == {"cloud=0.9": 73}


def test_a_coarse_token_is_skipped_only_when_nothing_of_it_is_left(model: Package) -> None:
    found = TokenSkipper(model, [SkipRule("cloud", 0.9)]).skip(cloudy_scene(model, _some_cloud()), GRID)
    expected = np.ones((4, 4), bool)
    expected[1, 1] = False
    assert (found.latents[2].token_validity[0] == expected).all()
    assert not found.latents[2].token_validity[3].any()
    assert found.latents[2].token_validity[1].all()


def test_what_a_skipped_tile_holds_does_not_reach_the_file(model: Package) -> None:
    """Whole skipped tiles are masked: with other pixels under the cloud the bytes are the same."""
    skipper = TokenSkipper(model, [SkipRule("cloud", 0.9)])
    one = cloudy_scene(model, _some_cloud())
    other = [Latent(x.plane, x.values.copy(), x.token_validity) for x in one]
    other[0].values[3] += 1.0  # of plane tokens, which the head does not read
    files = [encode_scene(model, list(skipper.skip(latents, GRID).latents)) for latents in (one, other)]
    assert encode_scene(model, one) != encode_scene(model, other)
    assert files[0] == files[1]
    assert len(files[0]) < len(encode_scene(model, one))


def test_a_skipped_token_and_an_unmeasured_one_are_the_same_bytes(model: Package) -> None:
    """Nothing in a file says why a token is missing."""
    cloud = _some_cloud()
    skipped = TokenSkipper(model, [SkipRule("cloud", 0.9)]).skip(cloudy_scene(model, cloud), GRID)
    unmeasured = cloudy_scene(model, cloud, validity=~cloud)
    assert encode_scene(model, list(skipped.latents)) == encode_scene(model, unmeasured)


def test_a_part_of_a_tile_is_left_out_only_where_that_saves(model: Package) -> None:
    """A lone token of a smooth field saves less than the two rows that its mask takes; a tile as a whole always saves."""
    cloud = np.zeros((N, 8, 8), bool)
    cloud[1, 3, 3] = cloud[3] = True
    coarsest = model.ladder_indices[-1]
    latents = cloudy_scene(model, cloud)
    found = TokenSkipper(model, [SkipRule("cloud", 0.9)]).skip(latents, GRID, ladder_index=coarsest)
    assert found.latents[0].token_validity[1].all()
    assert not found.latents[0].token_validity[3].any()
    assert (found.skipped_tokens, found.dear_tokens, found.skipped_tiles) == (64, 1, 1)
    assert found.notes[1].startswith("1 more token is sent all the same")


@pytest.mark.parametrize("step", [0, 0.25, 0.5, 0.75, 1])
def test_a_file_is_never_larger_for_what_is_skipped(model: Package, step: float) -> None:
    rng = np.random.default_rng(3)
    cloud = rng.random((N, 8, 8)) < rng.random((N, 1, 1))  # ragged, from nearly clear to nearly covered
    index = model.ladder_indices[round(step * (len(model.ladder_indices) - 1))]
    latents = cloudy_scene(model, cloud)
    found = TokenSkipper(model, [SkipRule("cloud", 0.9)]).skip(latents, GRID, ladder_index=index)
    plain = encode_scene(model, latents, ladder_index=index)
    assert len(encode_scene(model, list(found.latents), ladder_index=index)) <= len(plain)
    assert found.skipped_tokens + found.dear_tokens == sum(found.by_rule.values())


def test_the_threshold_is_the_probability_of_the_softmax(model: Package) -> None:
    """Of two classes with logits 0 and z the second has 1 / (1 + e^−z): 0.9 at z = ln 9."""
    cloud = np.zeros((N, 8, 8), bool)
    latents = cloudy_scene(model, cloud)
    field = fields()["spectral"]
    field[..., 0] = LOW
    field[1, 0, 0, 0], field[1, 0, 1, 0] = math.log(9) + 0.05, math.log(9) - 0.05
    latents[1] = Latent(1, model.transforms["spectral"].analyse(field), latents[1].token_validity)
    found = TokenSkipper(model, [SkipRule("cloud", 0.9)]).skip(latents, GRID)
    assert np.argwhere(~found.latents[0].token_validity).tolist() == [[1, 0, 0]]


def test_a_probability_of_one_leaves_nothing_out(model: Package) -> None:
    latents = cloudy_scene(model, np.ones((N, 8, 8), bool))
    found = TokenSkipper(model, [SkipRule.parse("cloud=1")]).skip(latents, GRID)
    assert found.skipped_tokens == 0
    assert encode_scene(model, list(found.latents)) == encode_scene(model, latents)


def test_unmeasured_tokens_and_those_of_an_earlier_tile_are_not_counted(model: Package) -> None:
    """150×180 pixels in tiles of 32: the last row of tiles owns 22 of its pixel rows, the last column 20 columns."""
    validity = np.ones((N, 8, 8), bool)
    validity[0, 0] = False
    found = TokenSkipper(model, [SkipRule("cloud", 0.9)]).skip(
        cloudy_scene(model, np.ones((N, 8, 8), bool), validity), GRID
    )
    rows, cols = 4 * 8 + math.ceil(22 / 4), 5 * 8 + math.ceil(20 / 4)
    assert found.tokens == found.skipped_tokens == rows * cols - 8
    assert found.skipped_tiles == N


def test_a_token_is_skipped_by_any_of_several_rules(model: Package) -> None:
    bands = fields()["spectral"]
    bands[..., :3] = 0.0
    bands[..., 2] = 5.0
    bands[2, 0, 0, :3] = 9.0, 0.0, 0.0  # water of head `cover`, and cloud of head `sky`
    bands[2, 7, 7, :3] = 0.0, 9.0, 0.0  # snow
    latents = cloudy_scene(model, np.zeros((N, 8, 8), bool))
    latents[1] = Latent(1, model.transforms["spectral"].analyse(bands), latents[1].token_validity)
    rules = [SkipRule.parse(text) for text in ("water=0.8", "snow=0.8", "sky/cloud=0.8")]
    found = TokenSkipper(model, rules).skip(latents, GRID)
    assert np.argwhere(~found.latents[0].token_validity).tolist() == [[2, 0, 0], [2, 7, 7]]
    assert dict(found.by_rule) == {"water=0.8": 1, "snow=0.8": 1, "sky/cloud=0.8": 1}
    assert found.skipped_tokens == 2


def test_notes_say_how_many_by_which_rule_and_what_the_card_forbids(model: Package) -> None:
    found = TokenSkipper(model, [SkipRule("cloud", 0.9)]).skip(cloudy_scene(model, _some_cloud()), GRID)
    assert found.notes[0].startswith(
        f"73 of {found.tokens} tokens are not sent, which leaves nothing of 1 of {N} tiles"
    )
    assert "(73 ruled out by cloud=0.9)" in found.notes[0]
    assert "head sky forbids" in found.notes[1]
    assert "telling cloud from snow" in found.notes[1]


@pytest.mark.parametrize(
    "text", ["cloud", "cloud=", "=0.9", "cloud=much", "cloud=nan", "/cloud=0.9", "cloud=0", "cloud=-0.1", "cloud=1.01"]
)  # fmt: skip
def test_rules_that_are_no_class_and_probability_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"cloud|PROBABILITY"):
        SkipRule.parse(text)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["fog=0.9"], "no token head of package 'skip-test' has a class 'fog'"),
        (["rain/cloud=0.9"], "has no head 'rain'"),
        (["sky/water=0.9"], "no token head of package 'skip-test' has a class 'water'"),
        (["farm=0.9"], "head 'scene' of package 'skip-test' judges tiles as a whole"),
        (["clear=0.9"], "write cover/clear=0.9"),
        (["cloud=0.9", "sky/cloud=0.8"], "class sky/cloud is given twice"),
    ],
)
def test_classes_that_cannot_be_asked_for_are_refused(model: Package, texts: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        TokenSkipper(model, [SkipRule.parse(text) for text in texts])


def test_a_package_without_heads_is_refused(bare: Package) -> None:
    with pytest.raises(InputError, match="has no head"):
        TokenSkipper(bare, [SkipRule("cloud", 0.9)])


def test_a_head_of_another_space_is_refused(model: Package, tmp_path: Path) -> None:
    package = copied(model, tmp_path)
    write_head(package, "sky", ["clear", "cloud"], space_ids={"spectral": "00" * 8})
    package = refresh(tmp_path)
    with pytest.raises(IdentityError, match="head 'sky' was made for other embedding spaces"):
        TokenSkipper(package, [SkipRule("cloud", 0.9)])
    TokenSkipper(package, [SkipRule("water", 0.9)])  # the others are not in the way


@pytest.mark.parametrize("name", ["sky.onnx", "sky.json"])
def test_a_head_that_is_not_the_manifests_is_refused(model: Package, tmp_path: Path, name: str) -> None:
    package = copied(model, tmp_path)
    path = tmp_path / "heads" / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(Corrupt, match=name):
        TokenSkipper(package, [SkipRule("cloud", 0.9)])


@pytest.mark.parametrize("card", [b"[]", b"{", b'{"level": "token", "classes": ["a", "a"], "space_ids": {}}'])
def test_a_card_that_says_nothing_is_refused(model: Package, tmp_path: Path, card: bytes) -> None:
    copied(model, tmp_path)
    (tmp_path / "heads" / "sky.json").write_bytes(card)
    with pytest.raises(Corrupt, match="head"):
        TokenSkipper(refresh(tmp_path), [SkipRule("cloud", 0.9)])


def test_a_graph_that_is_none_is_refused(model: Package, tmp_path: Path) -> None:
    copied(model, tmp_path)
    (tmp_path / "heads" / "sky.onnx").write_bytes(b"not really a network")
    with pytest.raises(Corrupt, match=r"sky\.onnx"):
        TokenSkipper(refresh(tmp_path), [SkipRule("cloud", 0.9)])


def test_a_head_that_answers_for_tiles_though_its_card_says_tokens_is_refused(
    model: Package, tmp_path: Path
) -> None:
    write_head(copied(model, tmp_path), "sky", ["clear", "cloud"], graph_level="tile")
    skipper = TokenSkipper(refresh(tmp_path), [SkipRule("cloud", 0.9)])
    with pytest.raises(InputError, match="does not give finite logits as its card says"):
        skipper.skip(cloudy_scene(model, _some_cloud()), GRID)


class _ConstantEngine:
    """Not needed for a mistake: it refuses to run."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the engine was asked for {name}")


def test_a_mistake_is_found_before_the_engine_runs(package: Package, tmp_path: Path) -> None:
    from codec.scene.scene import open_scene

    path = write_scene(tmp_path / "a.tif")
    with (
        open_scene([path], sensor="sentinel2-l2a", scaling="no-offset") as scene,
        pytest.raises(InputError, match="fog"),
    ):
        encode_pixels(scene, package, _ConstantEngine(), skip=[SkipRule("fog", 0.9)])  # type: ignore[arg-type]


def test_a_scene_that_is_skipped_as_a_whole_is_a_file_of_masks(package: Package, tmp_path: Path) -> None:
    from codec.scene.scene import open_scene
    from onboard.engine_package import engine_for

    path = write_scene(tmp_path / "a.tif", pixels(128, 128))
    # One of two classes has half or more: all tokens go.
    rules = [SkipRule.parse("cloud/clear=0.49"), SkipRule.parse("cloud/cloud=0.49")]
    engine = engine_for(package, threads=1)
    with open_scene([path], sensor="sentinel2-l2a", scaling="no-offset") as scene:
        plain = encode_pixels(scene, package, engine)
        encoded = encode_pixels(scene, package, engine, skip=rules)
        budget = encode_pixels(scene, package, engine, skip=rules, total_bytes=4096)
    assert encoded.grid == TileGrid(128, 128, 64, 64)
    assert encoded.skipped is not None
    assert encoded.skipped.skipped_tiles == 4
    assert any("nothing of 4 of 4 tiles" in note for note in encoded.report.notes)
    assert len(encoded.data) < len(plain.data)
    for data in (encoded.data, budget.data):
        nec = read_bytes(data)
        decoded = decode(package, nec.header, [record.data for record in nec.records])
        assert not any(e.validity.any() for e in decoded.embeddings.values())
        assert not decoded.missing
