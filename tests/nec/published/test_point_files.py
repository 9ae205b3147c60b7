"""A trained point as a codec: bytes hold what is given on, and other bytes are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_nec import REPAIRED, needs_compressai, recipe, small, views

from codec.errors import Corrupt, FormatError, IdentityError, InputError, SwathpackError
from codec.nec.checks import judged
from codec.nec.coding import Coder, freeze, load_point, save_point
from codec.nec.measure import measure, with_quantiles_converged
from codec.nec.patches import Tiles
from codec.nec.published import Nec2024
from codec.nec.samples import Samples
from codec.nec.tile_files import read_tiles
from codec.nec.train import Run

pytestmark = needs_compressai


def made(class_token: bool = True, **changes: object) -> tuple[Coder, Samples]:
    torch.manual_seed(1)
    model = Nec2024(small(class_token))
    samples = Samples.of(views(), model.encoder, 8)
    run = Run(recipe(**changes), model, samples, "s")
    for _ in range(4):
        run.advance()
    return freeze(run.recipe, model), samples


@pytest.fixture(scope="module")
def published() -> tuple[Coder, Samples]:
    return made()


@pytest.fixture(scope="module")
def repaired() -> tuple[Coder, Samples]:
    return made(**REPAIRED)


def held(samples: Samples) -> Tiles:
    return samples.tiles(samples.training[:5])


@pytest.mark.parametrize("group", [1, 3, 64])
@pytest.mark.parametrize("which", ["published", "repaired"])
def test_a_file_gives_back_the_rounded_activations(
    which: str, group: int, request: pytest.FixtureRequest
) -> None:
    coder, samples = request.getfixturevalue(which)
    coder = replace(coder, group=group)
    y = coder.embed(held(samples))
    data = coder.pack(coder.encode(y), len(y))
    strings, n_tiles = coder.unpack(data)
    assert len(strings) == -(-5 // group)
    assert torch.equal(coder.decode(strings, n_tiles), coder.model.bottleneck.rounded(y)[1])


def test_the_published_file_holds_the_class_token_and_the_repaired_one_does_not(
    published: tuple[Coder, Samples], repaired: tuple[Coder, Samples]
) -> None:
    """Defect 1."""
    assert published[0].length == 65
    assert repaired[0].length == 64
    for coder, samples in (published, repaired):
        y = coder.embed(held(samples))
        y_hat = coder.decode(coder.encode(y), len(y))
        assert coder.tokens(y_hat).shape == (5, 8, 8, 32)
        assert coder.decoder_tokens(y_hat).shape == (5, 8, 8, 32)


def test_bits_of_a_tile_do_not_depend_on_its_batch_mates(published: tuple[Coder, Samples]) -> None:
    coder, samples = published
    tiles = held(samples)
    together = coder.encode(coder.embed(tiles))
    alone = [coder.encode(coder.embed(tiles.only(i, i + 1)))[0] for i in range(5)]
    assert together == alone


def test_the_encoder_is_the_same_with_and_without_the_coder(published: tuple[Coder, Samples]) -> None:
    coder, samples = published
    tiles = held(samples)
    with torch.no_grad():
        plain = coder.model.encoder.sequence(tiles, None)
    torch.testing.assert_close(coder.embed(tiles), plain)


def test_every_cut_and_flip_is_refused_before_the_coder_sees_it(published: tuple[Coder, Samples]) -> None:
    """Defect 13, and CompressAI does not judge its input."""
    coder, samples = published
    y = coder.embed(held(samples))
    data = coder.pack(coder.encode(y), len(y))
    for cut in (*range(40), len(data) - 1):
        with pytest.raises(FormatError):
            coder.unpack(data[:cut])
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(data), 60):
        broken = bytearray(data)
        broken[place] ^= 1 << int(rng.integers(8))
        with pytest.raises(FormatError):
            coder.unpack(bytes(broken))
    with pytest.raises(Corrupt):
        coder.unpack(data + b"\0")


def test_a_file_of_another_point_is_refused_by_name(
    published: tuple[Coder, Samples], repaired: tuple[Coder, Samples]
) -> None:
    coder, samples = published
    y = coder.embed(held(samples))
    with pytest.raises(IdentityError, match="another point"):
        repaired[0].unpack(coder.pack(coder.encode(y), len(y)))


def test_a_saved_point_is_the_same_coder(tmp_path: Path, published: tuple[Coder, Samples]) -> None:
    coder, samples = published
    save_point(coder, tmp_path / "point.pt", {})
    other = load_point(tmp_path / "point.pt", small())
    y = coder.embed(held(samples))
    assert torch.equal(other.embed(held(samples)), y)
    assert other.encode(y) == coder.encode(y)
    assert other.recipe == coder.recipe
    with pytest.raises(InputError, match="another architecture"):
        load_point(tmp_path / "point.pt", small(class_token=False))
    (tmp_path / "x.pt").write_bytes(b"x")
    for name, said in (("x.pt", "not a point"), ("y.pt", "no point")):
        with pytest.raises(InputError, match=said):
            load_point(tmp_path / name, small())


def test_activations_that_are_not_finite_name_their_tile(published: tuple[Coder, Samples]) -> None:
    coder, samples = published
    y = coder.embed(held(samples))
    y[3, 2, 1] = float("inf")
    with pytest.raises(InputError, match="record 3"):
        coder.encode(y)


def test_the_measures_hold_together_and_the_checks_pass(repaired: tuple[Coder, Samples]) -> None:
    coder, samples = repaired
    found = measure(coder, samples)
    assert found.bits_twin == pytest.approx(found.bits_density, rel=1e-4)
    assert found.bits_real == pytest.approx(found.bits_tables, rel=0.01)
    assert found.bytes_per_tile > found.bytes_per_tile_grouped
    # Bytes of whole strings: at least the bits, at most 12 B more (a state, and the last word).
    bits = found.bits_tables * coder.elements / 8
    assert bits <= found.bytes_per_tile <= bits + 12
    said = list(judged(found, with_quantiles_converged(coder, samples), coder))
    assert all(one.holds for one in said), [one.text for one in said]


def test_looking_at_converged_quantiles_leaves_the_point_as_it_was(published: tuple[Coder, Samples]) -> None:
    coder, samples = published
    before = coder.model.bottleneck.identity()
    converged = with_quantiles_converged(coder, samples)
    assert coder.model.bottleneck.identity() == before
    assert converged.tail_mass < 1e-8 < measure(coder, samples).tail_mass


def test_tiles_are_read_with_their_masks_and_wrong_ones_refused(tmp_path: Path) -> None:
    encoder, path = small().of, tmp_path / "t.npz"
    pixels = np.full((2, 12, 64, 64), 0.2, np.float32)
    pixels[1, 3] = np.nan
    np.savez(path, pixels=pixels, present=np.array([[1] * 12, [1] * 3 + [0] + [1] * 8]))
    tiles = read_tiles(path, encoder)
    assert bool(tiles.patches.isfinite().all())
    assert not bool(tiles.patches[1, :, 3].any())
    np.savez(path, pixels=pixels)
    with pytest.raises(InputError, match="record 1: measured pixels are not finite"):
        read_tiles(path, encoder)
    np.savez(path, pixels=pixels[:, :3])
    with pytest.raises(InputError, match="do not fit the encoder"):
        read_tiles(path, encoder)
    np.savez(path, pixels=pixels, validity=np.ones((1, 64, 64)))
    with pytest.raises(InputError, match="present and validity"):
        read_tiles(path, encoder)
    path.write_bytes(b"no zip")
    with pytest.raises(SwathpackError, match="cannot be read"):
        read_tiles(path, encoder)
