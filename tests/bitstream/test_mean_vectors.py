"""The mean vector of a plane in the header: round trip, and damage that a right header CRC does not show."""

from __future__ import annotations

import numpy as np
import pytest
from nec_cases import SMALL_TABLES, header

from codec.bitstream import mean_vector
from codec.bitstream.core import TableSet
from codec.bitstream.extensions import mean_vector_extension
from codec.bitstream.header import FileHeader
from codec.errors import Corrupt, InputError

TABLES = TableSet(SMALL_TABLES)
MEAN = np.zeros((4, 6), dtype=np.int16)
MEAN[:, 0] = [3, -100, 0, 7]  # frequency 0 is layer 0 of this plane


def with_mean(*vectors: tuple[int, bytes]) -> FileHeader:
    return header(extensions=tuple(mean_vector_extension(plane, payload) for plane, payload in vectors))


def test_a_mean_vector_round_trips_through_the_header() -> None:
    pooled = np.array([[1], [0], [-2], [0], [30]], dtype=np.int16)
    head = with_mean(
        (0, mean_vector.encode(TABLES, 0, 8, MEAN)), (1, mean_vector.encode(TABLES, 1, 8, pooled))
    )
    found = mean_vector.decode(TABLES, FileHeader.decode(head.encode())[0])
    assert sorted(found) == [0, 1]
    np.testing.assert_array_equal(found[0], MEAN)
    np.testing.assert_array_equal(found[1], pooled)


def test_a_file_without_mean_vectors_has_none() -> None:
    assert mean_vector.decode(TABLES, header()) == {}


@pytest.mark.parametrize(
    "payload", [b"\x00", b"\x20\x01", b"\x01\x01\x01", b"\x02\x01\x01", b"\x00\x00", b"\x00\x01\x00"]
)
def test_a_damaged_mean_vector_is_corrupt_for_the_whole_file(payload: bytes) -> None:
    with pytest.raises(Corrupt, match="mean vector of plane 0"):
        mean_vector.decode(TABLES, with_mean((0, payload)))


def test_only_layer_0_of_one_tile_is_sent() -> None:
    values = np.array(MEAN)
    values[:, 1:] = 5
    payload = mean_vector.encode(TABLES, 0, 8, values)
    np.testing.assert_array_equal(mean_vector.decode(TABLES, with_mean((0, payload)))[0], MEAN)


def test_a_mean_vector_of_the_wrong_shape_is_refused() -> None:
    for values in (MEAN[None], MEAN[:3]):
        with pytest.raises(InputError):
            mean_vector.encode(TABLES, 0, 8, values)
