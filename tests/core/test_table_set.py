"""The table file: every field of bitstream §6 is checked, and what it says comes out as it was put in."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable

import numpy as np
import pytest
from coding_cases import Case, cases, level_of
from hypothesis import given, settings
from table_files import PlaneTableSpec, TableFile, TableSpec, with_crc

from _swathpack_core import TableSet
from codec.errors import Corrupt, InputError, UnsupportedVersion


def small_plane(**changes: object) -> PlaneTableSpec:
    plane = PlaneTableSpec(
        rows=2,
        cols=2,
        channels=3,
        n_layers=2,
        bands=(0, 1, 1, 2),
        layer_map=np.array([[0, 0, 255], [1, 1, 1], [1, 0, 255]], np.uint8),
        class_map=np.array([[0, 1, 2], [3, 4, 5], [6, 7, 255]], np.uint8),
        layer_shift=(-1, 1),
    )
    return dataclasses.replace(plane, **changes)  # type: ignore[arg-type]


def small_file(**plane: object) -> TableFile:
    tables = [
        TableSpec(()),
        TableSpec((60000,), 0.875, -0.125, 0.5),
        TableSpec((40000, 60000), 2.0, 1.0, 0.0),
    ]
    return TableFile(tables, [small_plane(**plane)], [0.5, 1.0, 2.0, 4.0])


def with_byte(offset: int, value: int | bytes) -> bytes:
    data = bytearray(small_file().encode())
    replacement = bytes([value]) if isinstance(value, int) else value
    data[offset : offset + len(replacement)] = replacement
    return with_crc(bytes(data))


def test_low_bits_as_many_as_the_thresholds_allow_are_taken() -> None:
    assert TableSet(with_byte(TABLE_1 + 1, 5)).low_bits(1) == 5
    assert TableSet(small_file().encode()).low_bits(1) == 0


def test_low_bits_that_reach_beyond_the_largest_magnitude_are_refused() -> None:
    def of(k: int) -> bytes:
        table = TableSpec(tuple(range(256, 256 * (k + 1), 256)), low_bits=8)
        return dataclasses.replace(small_file(), tables=[table]).encode()

    assert TableSet(of(127)).thresholds(0).tolist()[-1] == 127 * 256
    with pytest.raises(Corrupt, match="32767"):
        TableSet(of(128))


def test_what_the_file_says_comes_out() -> None:
    tables = TableSet(small_file().encode())
    assert (tables.n_tables, tables.n_planes, tables.n_ladder) == (3, 1, 4)
    np.testing.assert_array_equal(tables.ladder, np.array([0.5, 1, 2, 4], np.float32))
    assert tables.points(1) == (0.875, -0.125)
    assert (tables.theta(1), tables.theta(2)) == (0.5, 0.0)
    assert tables.thresholds(0).tolist() == []
    assert tables.thresholds(2).tolist() == [40000, 60000]
    plane, spec = tables.plane(0), small_plane()
    assert (plane["rows"], plane["cols"], plane["channels"], plane["kind"]) == (2, 2, 3, 0)
    assert (plane["n_layers"], plane["n_bands"]) == (2, 3)
    assert plane["bands"].tolist() == list(spec.bands)
    np.testing.assert_array_equal(plane["layer_map"], spec.layer_map)
    np.testing.assert_array_equal(plane["class_map"], spec.class_map)
    assert plane["layer_shift"].tolist() == [-1, 1]


def test_levels_follow_class_ladder_index_and_shift() -> None:
    tables = TableSet(small_file().encode())
    # §5.2 by hand at q = 2: e is 1 in layer 0 and 3 in layer 1; clamp(class − e, 0, 2); 255: never sent.
    assert tables.levels(0, 2).tolist() == [[0, 0, -1], [0, 1, 2], [2, 2, -1]]
    assert tables.level(0, 1, 1, 2) == 1
    assert tables.level(0, 0, 2, 2) == -1
    # Coded: those whose level is above 0, as table 0 has no threshold.
    assert (tables.coded(0, 0, 2), tables.coded(0, 1, 2)) == (1, 3)


@settings(max_examples=50, deadline=None)
@given(cases())
def test_levels_are_those_of_the_formula(case: Case) -> None:
    spec = case.file.planes[0]
    for q in range(2, 5):
        expected = [
            [level_of(case.file, 0, band, channel, q) for channel in range(spec.channels)]
            for band in range(spec.n_bands)
        ]
        levels = case.tables.levels(0, q)
        assert [[None if v < 0 else v for v in row] for row in levels.tolist()] == expected


def test_every_truncation_is_corrupt() -> None:
    data = small_file().encode()
    for n in range(len(data)):
        with pytest.raises(Corrupt):
            TableSet(data[:n])


def test_every_flipped_bit_is_refused() -> None:
    data = small_file().encode()
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Corrupt, UnsupportedVersion)):
            TableSet(bytes(flipped))


NAN, INFINITY = struct.pack("<f", float("nan")), struct.pack("<f", float("inf"))
LADDER, TABLE_1, PLANE = 12, 12 + 16 + 16, 12 + 16 + 16 + 18 + 20
LAYER_MAP = PLANE + 8 + 2 + 4


@pytest.mark.parametrize(
    ("offset", "value", "error"),
    [
        (0, ord("X"), Corrupt),
        (4, 1, UnsupportedVersion),
        (5, 0, Corrupt),
        (5, 2, Corrupt),
        (5, 9, Corrupt),
        (6, 0, Corrupt),
        (6, 129, Corrupt),
        (7, 0, Corrupt),
        (8, struct.pack("<I", 0), Corrupt),
        (8, struct.pack("<I", 2**31), Corrupt),
        (LADDER, struct.pack("<f", 0.0), Corrupt),
        (LADDER, struct.pack("<f", -1.0), Corrupt),
        (LADDER + 4, struct.pack("<f", 0.5), Corrupt),
        (LADDER + 4, NAN, Corrupt),
        (LADDER + 12, INFINITY, Corrupt),
        (TABLE_1 + 1, 9, Corrupt),  # low bits
        (TABLE_1 + 1, 6, Corrupt),  # 60000 is a multiple of 2⁵
        (TABLE_1 - 15, 1, Corrupt),  # of a table without thresholds
        (TABLE_1 + 2, 1, UnsupportedVersion),
        (TABLE_1 + 4, struct.pack("<f", 0.0), Corrupt),
        (TABLE_1 + 4, struct.pack("<f", 2.0001), Corrupt),
        (TABLE_1 + 4, NAN, Corrupt),
        (TABLE_1 + 8, struct.pack("<f", -1.0001), Corrupt),
        (TABLE_1 + 8, INFINITY, Corrupt),
        (TABLE_1 + 12, struct.pack("<f", -0.0001), Corrupt),
        (TABLE_1 + 12, struct.pack("<f", 0.5001), Corrupt),
        (TABLE_1 + 12, NAN, Corrupt),
        (TABLE_1 + 16, struct.pack("<H", 0), Corrupt),
        (TABLE_1 + 18 + 18, struct.pack("<H", 40000), Corrupt),
        (TABLE_1 + 18 + 18, struct.pack("<H", 39999), Corrupt),
        (PLANE, 0, Corrupt),
        (PLANE, 65, Corrupt),
        (PLANE + 1, 0, Corrupt),
        (PLANE + 2, struct.pack("<H", 0), Corrupt),
        (PLANE + 2, struct.pack("<H", 4097), Corrupt),
        (PLANE + 2, 4, Corrupt),
        (PLANE + 4, 0, Corrupt),
        (PLANE + 4, 17, Corrupt),
        (PLANE + 5, 0, Corrupt),
        (PLANE + 5, 5, Corrupt),
        (PLANE + 6, 2, UnsupportedVersion),
        (PLANE + 7, 1, UnsupportedVersion),
        (PLANE + 10, 1, Corrupt),  # frequency 0 not in band 0
        (PLANE + 11, 0, Corrupt),  # frequency 1 beside it
        (PLANE + 13, 1, Corrupt),  # band 2 without a frequency
        (PLANE + 13, 3, Corrupt),  # a band beyond the last
        (LAYER_MAP, 2, Corrupt),
        (LAYER_MAP, 254, Corrupt),
    ],
)
def test_an_illegal_field_is_refused_with_its_kind(
    offset: int, value: int | bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        TableSet(with_byte(offset, value))


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (TABLE_1 + 4, struct.pack("<f", 2.0)),
        (TABLE_1 + 8, struct.pack("<f", -1.0)),
        (TABLE_1 + 12, struct.pack("<f", 0.0)),
        (TABLE_1 + 16, struct.pack("<H", 1)),
        (TABLE_1 + 16, struct.pack("<H", 65535)),
        (LAYER_MAP, 255),
        (PLANE + 8, 0x80),  # a layer shift of −128
    ],
)
def test_the_last_legal_values_are_taken(offset: int, value: int | bytes) -> None:
    TableSet(with_byte(offset, value))


@pytest.mark.parametrize("change", [lambda d: d + b"\0", lambda d: with_crc(d[:-4] + b"\0" + d[-4:])])
def test_bytes_too_many_are_refused(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Corrupt):
        TableSet(change(small_file().encode()))


def test_a_file_above_the_size_limit_is_refused() -> None:
    plane = small_plane(
        channels=4096, layer_map=np.zeros((3, 4096), np.uint8), class_map=np.zeros((3, 4096), np.uint8)
    )
    TableSet(TableFile([TableSpec(())], [plane] * 5).encode())
    with pytest.raises(Corrupt, match="length"):
        TableSet(TableFile([TableSpec(())], [plane] * 6).encode())


def test_an_integer_plane_may_have_its_mean_in_any_band() -> None:
    TableSet(small_file(kind=1, bands=(2, 1, 0, 0)).encode())


def test_an_error_says_where() -> None:
    with pytest.raises(Corrupt) as caught:
        TableSet(with_byte(LAYER_MAP + 3, 7))
    assert caught.value.offset == LAYER_MAP + 3
    assert "plane 0" in str(caught.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.plane(1),
        lambda t: t.points(3),
        lambda t: t.level(0, 3, 0, 2),
        lambda t: t.level(0, 0, 3, 2),
        lambda t: t.level(0, 0, 0, 0),  # e = −1
        lambda t: t.levels(0, 3),  # e = 4 in layer 1
        lambda t: t.coded(0, 2, 2),
        lambda t: t.coded(0, 0, 0),
    ],
)
def test_what_is_not_there_is_an_input_error(call: Callable[[TableSet], object]) -> None:
    with pytest.raises(InputError):
        call(TableSet(small_file().encode()))
