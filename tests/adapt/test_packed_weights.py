"""Weights in 8 and 4 bits: bounds on what rounding does, exact bytes by hand, and refusals by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.adapt.packing import (
    LARGEST,
    PACKINGS,
    PackedMatrix,
    Packing,
    pack_matrix,
    pack_state,
    unpack_matrix,
    unpack_state,
)
from codec.errors import Corrupt, InputError

SHAPES = [(1, 1), (3, 5), (768, 16), (16, 768), (12, 16, 64), (5, 33), (64, 31), (2, 3, 4, 1)]


def weights(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.standard_normal(shape) * np.exp(random.normal(0, 2, shape[:1] + (1,) * (len(shape) - 1)))).astype(
        np.float32
    )  # fmt: skip


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_value_moves_by_more_than_half_its_scale(packing: Packing, shape: tuple[int, ...]) -> None:
    values = weights(shape)
    packed = pack_matrix(values, packing)
    found = unpack_matrix(packed, shape, packing)
    assert found.shape == shape
    # Rows run along the last axis or, where that is short, along the others; either way each value has one scale.
    last, others = shape[-1], values.size // shape[-1]
    along_last = len(packed.scales) == others and (last >= 32 or last >= others)
    scale = np.broadcast_to(
        packed.scales.astype(np.float64).reshape(*shape[:-1], 1)
        if along_last
        else packed.scales.astype(np.float64),
        shape,
    )
    # float32 of code times scale is half a unit in the last place further off.
    assert (np.abs(found.astype(np.float64) - values) <= scale / 2 * (1 + 1e-5)).all()


@pytest.mark.parametrize(("packing", "share"), [("int8", 1 / 127), ("int4", 1 / 7)])
def test_a_scale_is_that_of_the_largest_value_rounded_up(packing: Packing, share: float) -> None:
    values = weights((40, 100), 1)
    packed = pack_matrix(values, packing)
    wanted = np.abs(values.astype(np.float64)).max(axis=1) * share
    scales = packed.scales.astype(np.float64)
    assert (scales >= wanted * (1 - 1e-12)).all()
    assert (scales <= wanted * (1 + 2**-10)).all()


def test_bytes_of_4_bits_by_hand() -> None:
    # Largest 7: scale 1, exactly; halves go to the even neighbour; −5 is 0xB, the even column is the low nibble.
    row = np.array([[7.0, -5.0, 0.5, 1.5, -2.5] + [0.0] * 28], np.float32)
    packed = pack_matrix(row, "int4")
    assert packed.scales.tolist() == [1.0]
    assert packed.codes.shape == (1, 17)
    assert packed.codes[0, :3].tolist() == [0xB7, 0x20, 0x0E]
    assert unpack_matrix(packed, (1, 33), "int4")[0, :6].tolist() == [7, -5, 0, 2, -2, 0]


def test_bytes_of_8_bits_by_hand() -> None:
    packed = pack_matrix(np.array([[254.0, -254.0, 3.0, 1.0]], np.float32), "int8")
    assert packed.scales.tolist() == [2.0]
    assert packed.codes.view(np.int8).tolist() == [[127, -127, 2, 0]]


def test_zeros_stay_zeros_and_packing_what_was_packed_changes_nothing() -> None:
    assert not unpack_matrix(pack_matrix(np.zeros((4, 64), np.float32), "int4"), (4, 64), "int4").any()
    for packing in PACKINGS:
        once = unpack_matrix(pack_matrix(weights((7, 50)), packing), (7, 50), packing)
        assert np.array_equal(unpack_matrix(pack_matrix(once, packing), (7, 50), packing), once)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 70),
    st.sampled_from(PACKINGS),
    st.floats(1e-12, 1e6),
    st.integers(0, 2**32 - 1),
)
def test_any_size_of_number_is_within_half_a_scale(
    rows: int, columns: int, packing: Packing, size: float, seed: int
) -> None:
    values = (np.random.default_rng(seed).standard_normal((rows, columns)) * size).astype(np.float32)
    if np.abs(values).max() / LARGEST[packing] > 65504:
        with pytest.raises(InputError, match="too large"):
            pack_matrix(values, packing)
        return
    packed = pack_matrix(values, packing)
    error = np.abs(unpack_matrix(packed, (rows, columns), packing).astype(np.float64) - values)
    assert error.max() <= packed.scales.astype(np.float64).max() / 2 * (1 + 1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_by_name(bad: float) -> None:
    with pytest.raises(InputError, match=r"blocks\.1 holds values that are not finite"):
        pack_matrix(np.array([[1.0, bad]], np.float32), "int4", name="blocks.1")


@pytest.mark.parametrize("packing", PACKINGS)
def test_damage_is_corrupt(packing: Packing) -> None:
    good = pack_matrix(weights((3, 33)), packing)
    nowhere = good.scales.copy()
    nowhere[1] = np.nan
    below = -good.scales
    codes = good.codes.copy()
    codes[0, 0] = 0x80 if packing == "int8" else 0x08  # −128, −8: no packer writes them
    padding = good.codes.copy()
    padding[:, -1] |= 0x30
    damaged = [
        PackedMatrix(good.codes[:, :-1], good.scales),
        PackedMatrix(good.codes, good.scales[:-1]),
        PackedMatrix(good.codes, nowhere),
        PackedMatrix(good.codes, below),
        PackedMatrix(codes, good.scales),
    ]
    if packing == "int4":
        damaged.append(PackedMatrix(padding, good.scales))
    for one in damaged:
        with pytest.raises(Corrupt, match=r"blocks\.1"):
            unpack_matrix(one, (3, 33), packing, name="blocks.1")


def state() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    return {
        "down": torch.randn(36, 16, generator=random),
        "up": torch.randn(4, 16, 8, generator=random),
        "norm.weight": 1 + 0.1 * torch.randn(128, generator=random),
        "spread": torch.tensor([1e6, 1.0]),
        "tiny": torch.tensor([1e-7, 1.0]),
        "count": torch.tensor(123456789),
    }


@pytest.mark.parametrize("packing", PACKINGS)
def test_vectors_stay_half_floats_or_better(packing: Packing) -> None:
    stored, shapes = pack_state(state(), packing)
    assert set(shapes) == {"down", "up"}
    assert stored["norm.weight"].dtype is torch.float16
    assert stored["spread"].dtype is torch.float32  # beyond 65504
    assert stored["tiny"].dtype is torch.float32  # below the normal range of float16
    found = unpack_state(stored, shapes, packing)
    assert found.keys() == state().keys()
    torch.testing.assert_close(found["norm.weight"], state()["norm.weight"], rtol=2**-11, atol=0)
    assert found["count"].item() == 123456789
    assert torch.equal(found["spread"], state()["spread"])
    for name in shapes:
        assert found[name].shape == state()[name].shape
        assert found[name].dtype is torch.float32


def test_equal_weights_give_equal_bytes() -> None:
    first, again = pack_state(state(), "int4"), pack_state(dict(reversed(state().items())), "int4")
    assert list(first[0]) == list(again[0])
    assert all(torch.equal(first[0][name], again[0][name]) for name in first[0])


def test_a_packed_state_that_lacks_a_part_names_it() -> None:
    stored, shapes = pack_state(state(), "int4")
    for name in ("down", "down#scales"):
        with pytest.raises(Corrupt, match="tensor down"):
            unpack_state({k: v for k, v in stored.items() if k != name}, shapes, "int4")
    with pytest.raises(Corrupt, match="belongs to nothing"):
        unpack_state({**stored, "other#scales": stored["down#scales"]}, shapes, "int4")
    with pytest.raises(InputError, match="no '#'"):
        pack_state({"a#b": torch.zeros(2, 2)}, "int4")
