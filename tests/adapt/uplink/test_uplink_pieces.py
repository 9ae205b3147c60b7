"""Pieces of an uplink pack: any order, any number of copies, anything in between; and what is refused."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.adapt import uplink_pieces
from codec.adapt.uplink_pieces import MAGIC, MAX_BODY, OVERHEAD, collect, cut, ranges
from codec.errors import Corrupt, InputError, LimitExceeded, TryAgain, UnsupportedVersion

BODY = bytes(range(256)) * 5 + MAGIC * 3 + b"the end"  # the magic may stand inside a payload


def test_a_piece_is_laid_out_as_the_document_says() -> None:
    # Written from docs/uplink.md §2, not from the code.
    (piece,) = cut(b"hello", 64)
    expected = (
        b"\x89NUP"
        + struct.pack("<BBHIHH", 0, 0, 0, 5, 32, 0)
        + hashlib.sha256(b"hello").digest()[:8]
        + b"hello"
    )
    assert piece == expected + hashlib.sha256(expected).digest()[:8]


@settings(max_examples=80, deadline=None)
@given(st.data(), st.integers(64, 400))
def test_any_order_and_any_copies_give_the_body(data: st.DataObject, size: int) -> None:
    pieces = cut(BODY, size)
    assert all(len(piece) == size for piece in pieces[:-1])
    order = data.draw(st.permutations(pieces))
    again = data.draw(st.lists(st.sampled_from(pieces), max_size=5))
    found = collect([b"".join(order[:2]), b"noise" + b"\x89NU".join([*order[2:], *again])]).only()
    assert found.body() == BODY
    assert found.duplicates == len(again)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 12), min_size=1))
def test_what_is_missing_is_named(lost: set[int]) -> None:
    pieces = cut(BODY, 132)
    assert len(pieces) == 13
    kept = [piece for number, piece in enumerate(pieces) if number not in lost]
    if not kept:
        return
    found = collect(kept).only()
    assert found.missing() == sorted(lost)
    with pytest.raises(TryAgain, match=f"{len(lost)} of 13 pieces"):
        found.body()


def test_every_flipped_bit_costs_one_piece_and_no_more() -> None:
    pieces = cut(BODY[:300], 132)
    for place in range(len(pieces[1])):
        for bit in range(8):
            damaged = bytearray(pieces[1])
            damaged[place] ^= 1 << bit
            found = collect([pieces[0] + bytes(damaged) + pieces[2]])
            assert len(found.packs) == 1
            assert found.packs[0].missing() == [1]


def test_every_cut_of_the_bytes_keeps_the_whole_pieces() -> None:
    data = b"".join(cut(BODY, 132))
    for end in range(0, len(data), 7):
        found = collect([data[:end]])
        assert sum(len(pack.pieces) for pack in found.packs) == end // 132


def test_pieces_of_two_packs_are_told_apart() -> None:
    mixed = collect([b"".join(cut(BODY, 132) + cut(BODY[1:], 132))])
    assert len(mixed.packs) == 2
    with pytest.raises(InputError, match="several packs"):
        mixed.only()


def test_pieces_that_agree_on_an_id_and_not_on_the_body_are_corrupt() -> None:
    pieces = cut(BODY, 1000)
    head = bytearray(pieces[0][:24]) + b"\0" * 968  # another first piece under the same id
    forged = bytes(head) + hashlib.sha256(bytes(head)).digest()[:8]
    with pytest.raises(Corrupt, match="do not make the pack"):
        collect([forged, *pieces[1:]]).only().body()


def test_nothing_intact_is_corrupt() -> None:
    with pytest.raises(Corrupt, match="no intact piece"):
        collect([b"", b"text"]).only()
    with pytest.raises(Corrupt, match="1 damaged"):
        collect([cut(BODY, 132)[0][:-1]]).only()


def test_a_later_version_is_named() -> None:
    piece = bytearray(cut(BODY, 132)[0])
    piece[4] = 1
    with pytest.raises(UnsupportedVersion, match="later version"):
        collect([bytes(piece)])


@pytest.mark.parametrize(
    ("index", "body", "size", "why"),
    [
        (0, 0, 32, "no body"),
        (0, MAX_BODY + 1, 32, "a body beyond the limit"),
        (0, 100, 0, "no payload"),
        (4, 100, 32, "an index beyond the last"),
        (0, 1 << 22, 1, "more pieces than there may be"),
    ],
)
def test_headers_that_promise_what_cannot_be_are_damage(index: int, body: int, size: int, why: str) -> None:
    head = MAGIC + struct.pack("<BBHIHH8s", 0, 0, index, body, size, 0, b"12345678")
    for length in (0, 1, 4, 32):
        data = head + b"x" * length
        found = collect([data + hashlib.sha256(data).digest()[:8]])
        assert not found.packs, why


def test_sizes_that_no_piece_has_are_refused() -> None:
    for size in (0, 63, 65_001):
        with pytest.raises(InputError, match="64 to 65000"):
            cut(BODY, size)
    with pytest.raises(LimitExceeded, match="0 pieces"):
        cut(b"", 64)
    with pytest.raises(LimitExceeded, match="use larger pieces"):
        cut(bytes((64 - OVERHEAD) * uplink_pieces.MAX_PIECES + 1), 64)


def test_ranges_are_short() -> None:
    assert ranges([0, 1, 2, 7, 9, 10]) == "0–2, 7, 9–10"
    assert ranges(list(range(0, 100, 2)), most=2) == "0, 2 and 48 more ranges"
