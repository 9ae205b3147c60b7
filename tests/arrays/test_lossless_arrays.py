"""Integers come back to the last bit, whatever their shape, type and holes; and what cannot be coded is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.arrays.pack import fit, pack, unpack
from codec.bitstream.reader import read_bytes
from codec.errors import InputError
from tests.arrays.embedding_arrays import integers

TYPES = (np.int8, np.uint8, np.int16)


@settings(max_examples=25, deadline=None)
@given(
    axes=st.sampled_from(["nc", "thwc", "hwc", "chw"]),
    dtype=st.sampled_from(TYPES),
    sides=st.tuples(st.integers(1, 70), st.integers(1, 40), st.integers(1, 9)),
    seed=st.integers(0, 2**16),
    spread=st.sampled_from([0, 1, 20, 300, 32767]),
)
def test_any_integer_array_comes_back_exactly(
    axes: str, dtype: type, sides: tuple[int, int, int], seed: int, spread: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = {"nc": sides[:1] + sides[2:], "thwc": (2, *sides), "hwc": sides, "chw": (sides[2], *sides[:2])}[
        axes
    ]
    if axes == "thwc":
        shape = (2, min(sides[0], 20), min(sides[1], 20), sides[2])
    limits = np.iinfo(dtype)
    low, high = max(limits.min, -spread), min(limits.max, spread)
    array = rng.integers(low, high, size=shape, endpoint=True).astype(dtype)
    unpacked = unpack(pack(array, axes=axes, quantisation="none" if dtype == np.int8 else None))
    assert unpacked.values.dtype == array.dtype
    assert np.array_equal(unpacked.values, array)
    assert unpacked.validity.all()
    assert unpacked.missing_tiles == 0


def test_correlated_integers_take_fewer_bytes_than_their_entropy_alone() -> None:
    """The yardstick is the order-0 entropy of each channel: what any code without prediction needs."""
    q = integers(96, 96, 16)
    entropy = 0.0
    for c in range(16):
        share = np.unique(q[..., c], return_counts=True)[1] / q[..., c].size
        entropy -= float((share * np.log2(share)).sum()) * q[..., c].size / 8
    assert len(pack(q, axes="hwc")) < 0.75 * entropy


def test_neighbours_and_channels_both_save_bytes() -> None:
    q = integers(64, 64, 16)
    rng = np.random.default_rng(0)
    shuffled = q.reshape(-1, 16)[rng.permutation(64 * 64)].reshape(q.shape)  # no neighbours, same channels
    independent = np.stack([rng.permuted(q[..., c]) for c in range(16)], axis=-1).reshape(q.shape)
    sizes = [len(pack(a, axes="hwc")) for a in (q, shuffled, independent)]
    assert sizes[0] < 0.9 * sizes[1]
    assert sizes[1] < 0.9 * sizes[2]


def test_masked_tokens_come_back_as_nodata_and_wholly_masked_tiles_cost_nothing() -> None:
    q = integers(64, 64, 8)
    holes = np.zeros((64, 64), bool)
    holes[:32] = True  # two of the four tiles
    holes[50, ::3] = True
    q[holes] = -128
    data = pack(q, axes="hwc", nodata=-128)
    unpacked = unpack(data)
    assert np.array_equal(unpacked.values, q)
    assert np.array_equal(unpacked.validity, ~holes)
    assert len(data) < 0.65 * len(pack(integers(64, 64, 8), axes="hwc"))


def test_a_package_codes_other_arrays_of_its_kind_without_carrying_anything(tmp_path: Path) -> None:
    package = fit(integers(96, 96, 8, seed=1), name="ints", folder=tmp_path / "p", axes="hwc")
    other = integers(96, 64, 8, seed=2)
    data = pack(other, package)
    assert np.array_equal(unpack(data, package).values, other)
    assert not read_bytes(data).header.embeds_tables
    assert len(data) < len(pack(other, axes="hwc"))


def test_equal_arrays_give_equal_bytes() -> None:
    q = integers(40, 40, 4)
    assert pack(q, axes="hwc") == pack(q.copy(), axes="hwc")


def test_a_lost_record_leaves_its_tiles_invalid_and_counted() -> None:
    q = integers(64, 64, 4)
    file = read_bytes(pack(q, axes="hwc", target_bytes=1024))
    damaged = bytearray(pack(q, axes="hwc", target_bytes=1024))
    damaged[file.records[1].offset + 20] ^= 1
    unpacked = unpack(bytes(damaged))
    lost = file.records[1].header.tile_count
    assert unpacked.missing_tiles == lost
    assert int((~unpacked.validity).sum()) == lost * 32 * 32
    assert np.array_equal(unpacked.values[unpacked.validity], q[unpacked.validity])


def test_minus_128_without_a_meaning_is_refused_with_what_to_do(tmp_path: Path) -> None:
    q = integers(40, 40, 4)
    q[20, 30, 2] = -128
    with pytest.raises(InputError, match=r"-128.*nobody said") as caught:
        pack(q, axes="hwc")
    assert "nodata=-128" in str(caught.value)
    assert np.array_equal(unpack(pack(q, axes="hwc", quantisation="none")).values, q)
    package = fit(
        integers(40, 40, 4), name="ints", folder=tmp_path / "p", axes="hwc"
    )  # never asked about -128
    with pytest.raises(InputError, match="nobody said"):
        pack(q, package)
    assert np.array_equal(unpack(pack(q, package, quantisation="none"), package).values, q)


def test_int16_of_all_65536_numbers_is_refused() -> None:
    q = np.array([[-32768, 32767], [0, 1]], np.int16)
    with pytest.raises(InputError, match="65,535"):
        pack(q)
    assert np.array_equal(unpack(pack(q + np.int16(1) * (q < 0))).values, q + (q < 0))


def test_a_value_outside_a_packages_range_is_refused_by_place(tmp_path: Path) -> None:
    package = fit((np.arange(600) % 7).astype(np.int16).reshape(-1, 2), name="ints", folder=tmp_path / "p")
    array = np.zeros((5, 2), np.int16)
    array[3, 1] = -32768
    with pytest.raises(InputError, match="-32768 at tile, row, column, channel"):
        pack(array, package)


@pytest.mark.parametrize(
    ("array", "options", "words"),
    [
        ([[1, 2], [3]], {}, "list"),
        (np.array([[1], [1, 2]], dtype=object), {}, "ragged"),
        (np.array([["a"]]), {}, "type"),
        (np.zeros((3, 4, 5), np.int8), {}, "axes"),
        (np.zeros((3, 4), np.int8), {"axes": "xy"}, "unknown axes"),
        (np.zeros((3, 4), np.int8), {"axes": "hwc"}, "3 axes"),
        (np.zeros((0, 4), np.int8), {}, "at least 1"),
        (np.zeros((3, 4), np.int32), {}, "type"),
        (np.zeros((3, 4), np.int8), {"bytes_per_vector": 4.0}, "without loss"),
        (np.zeros((3, 4), np.uint8), {"quantisation": "alphaearth"}, "int8"),
        (np.zeros((3, 4), np.int8), {"quantisation": "log"}, "unknown quantisation"),
        (np.zeros((3, 4), np.int8), {"quantisation": "tessera"}, "scale"),
        (np.zeros((3, 4), np.int8), {"scale": np.ones(3, np.float32)}, "tessera"),
        (np.zeros((3, 4), np.int8), {"nodata": 0.5}, "nodata"),
        (np.zeros((3, 4), np.float32), {"lossless": True}, "integers"),
        (np.zeros((3, 4), np.int8), {"lossless": False}, "meaning"),
        (np.zeros((1, 65, 4, 2), np.int8), {}, "tokens a side"),
    ],
    ids=lambda v: str(v)[:24] if not isinstance(v, np.ndarray) else f"{v.dtype}{v.shape}",
)
def test_what_cannot_be_packed_is_refused_in_one_line(array: object, options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        pack(array, **options)
    assert "\n" not in str(caught.value)


def test_weights_that_predict_nothing_cost_nothing() -> None:
    """4096 channels: C×C weights alone would be 33.6 MB, of an array of 262 kB."""
    x = np.random.default_rng(0).integers(-127, 128, (64, 4096)).astype(np.int8)
    data = pack(x)
    assert np.array_equal(unpack(data).values, x)
    assert (
        len(data) < x.nbytes + 60_000
    )  # noise does not shrink; start (8 kB), maps of classes and layers, tables
