"""Given the record header, the encoding is canonical (docs/bitstream.md §5.6), and the CRC is not what makes it so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nec_encoder import parts
from nec_encoder.bits import escape_bits, pack_bits
from nec_encoder.payload import TileIn, encode_payload
from nec_reference.bits import BitReader, exp_golomb
from nec_reference.header import decode_header
from nec_reference.payload import TileSymbols, decode_payload, split_form, step_index
from nec_reference.records import Record, scan
from nec_reference.refusals import Refusal
from nec_reference.tables import decode_tables
from nec_reference.tiles import own_tokens
from nec_vectors.packages import PACKAGES
from test_vectors import INDEX, VECTORS

from codec.bitstream import core

PACKAGE = {package.name: package for package in PACKAGES}
TABLES = {package.name: decode_tables(package.tables_bytes) for package in PACKAGES}
# Forms, lanes and masks; small enough to flip every bit.
FLIPPED = (
    "three-signs",
    "one-word",
    "long-17-signs",
    "long-escapes",
    "tile-mask",
    "two-lanes-one-channel",
    "lanes-idle-sign",
    "lanes-32-signs",
    "lanes-41-signs",
    "lanes-escape-signs",
    "token-mask-repeats",
    "edge-tiles-token-mask",
    "three-layers",
    "integer-none",
    "all-masked",
    "all-k0",
    "low-bits-escape",
    "low-bits-few",
    "low-bits-word",
    "low-bits-two-lanes-escape",
    "low-bits-lane",
)


class Case:
    """The coefficient records of one legal vector, with what their payloads depend on."""

    def __init__(self, entry: dict[str, Any]) -> None:
        data = (VECTORS / entry["file"]).read_bytes()
        self.package = entry["package"]
        self.header = decode_header(data)
        self.records = [
            record for record in scan(data, self.header.length)[0] if record.header.has_coefficients
        ]

    def own(self, record: Record) -> list[Any]:
        plane = self.header.planes[record.header.plane]
        first = record.header.first_tile
        return [own_tokens(self.header, plane, t) for t in range(first, first + record.header.count)]

    def decode(self, record: Record, payload: bytes) -> list[TileSymbols]:
        fields = record.header
        return decode_payload(
            payload[0],
            payload[1:],
            TABLES[self.package],
            fields.plane,
            fields.layer,
            fields.lanes,
            self.header.ladder_index,
            fields.ladder_offset,
            self.own(record),
        )

    def verdict(self, record: Record, payload: bytes) -> list[TileSymbols] | Refusal:
        try:
            return self.decode(record, payload)
        except Refusal as refusal:
            return refusal

    def encode(self, record: Record, tiles: list[TileSymbols]) -> bytes:
        fields = record.header
        plane = self.header.planes[fields.plane]
        inputs = [
            TileIn(
                [
                    [tile.symbols.get((c, f), 0) for f in range(plane.rows * plane.cols)]
                    for c in range(plane.channels)
                ],
                wholly=tile.wholly_masked,
                masked=frozenset(divmod(token, plane.cols) for token in tile.masked),
            )
            for tile in tiles
        ]
        return encode_payload(
            PACKAGE[self.package].tables,
            inputs,
            e=step_index(
                TABLES[self.package],
                fields.plane,
                fields.layer,
                self.header.ladder_index,
                fields.ladder_offset,
            ),
            plane=fields.plane,
            layer=fields.layer,
            lanes=fields.lanes,
            own=[(own.top, own.bottom, own.left, own.right) for own in self.own(record)],
        )


def with_form(record: Record) -> bytes:
    """The payload with the form in front, wherever the record has it (§5.1)."""
    form, rest = split_form(record)
    return bytes([form]) + rest


def changed(payload: bytes) -> list[bytes]:
    """The payload with each bit flipped, with a byte more, and with a byte less."""
    others = [payload + b"\0", payload + b"\1", payload[:-1]]
    for bit in range(8 * len(payload)):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        others.append(bytes(flipped))
    return [other for other in others if other]


def _entries(names: tuple[str, ...] | None = None) -> list[Any]:
    return [
        pytest.param(entry, id=Path(entry["file"]).stem)
        for entry in INDEX["valid"]
        if (Path(entry["file"]).stem in names if names else entry["package"] != "big")
    ]


@pytest.mark.parametrize("entry", _entries())
def test_encoding_what_was_decoded_gives_the_same_bytes(entry: dict[str, Any]) -> None:
    case = Case(entry)
    for record in case.records:
        if record.header.count < 1000:  # tens of thousands of tiles show nothing new
            assert case.encode(record, case.decode(record, with_form(record))) == with_form(record)


@pytest.mark.parametrize("entry", _entries(FLIPPED))
def test_a_changed_payload_is_refused_or_is_the_only_encoding_of_what_it_says(entry: dict[str, Any]) -> None:
    # Past the CRC on purpose: payloads of one flipped bit, of a byte less, of a byte more.
    case = Case(entry)
    accepted = 0
    for record in case.records:
        for other in changed(with_form(record)):
            tiles = case.verdict(record, other)
            if isinstance(tiles, Refusal):
                continue
            accepted += 1
            assert case.encode(record, tiles) == other, other.hex()
    # Bits of signs, states and masks do give other legal payloads; were there none, nothing would have been tested.
    if Path(entry["file"]).stem not in ("all-k0", "all-masked"):
        assert accepted


@pytest.mark.parametrize("entry", _entries(FLIPPED))
def test_the_core_judges_changed_payloads_as_the_reference_does(entry: dict[str, Any]) -> None:
    case = Case(entry)
    tables = core.TableSet(PACKAGE[case.package].tables_bytes)
    for record in case.records:
        fields = record.header
        plane = case.header.planes[fields.plane]
        n, c, f = case.header.n_tiles, plane.channels, plane.rows * plane.cols
        own = [own_tokens(case.header, plane, tile) for tile in range(n)]
        derived = np.array([[not rect.holds(*divmod(t, plane.cols)) for t in range(f)] for rect in own])
        shape = TABLES[case.package].planes[fields.plane]
        of_layer = np.array(
            [[shape.layer_map[band][ch] == fields.layer for band in shape.band_of] for ch in range(c)]
        )
        tiles_of = np.zeros(n, bool)
        tiles_of[fields.first_tile : fields.first_tile + fields.count] = True
        for other in changed(with_form(record)):
            out, masked, layers = (
                np.full((n, c, f), 77, np.int16),
                np.ones((n, f), bool),
                np.zeros(n, np.uint16),
            )
            (refusal,) = core.decode_records(
                tables,
                [_again(record, other)],
                case.header.ladder_index,
                n,
                derived,
                out,
                masked,
                layers,
                fields.plane,
            )
            tiles = case.verdict(record, other)
            if isinstance(tiles, Refusal):
                assert refusal is not None, f"{other.hex()}: {tiles}"
                assert refusal[0] == tiles.kind, other.hex()
                assert (out == 77)[:, ~of_layer].all(), "a refused record spares other layers"
                assert np.isin(out[tiles_of], (0, 77)).all(), "a refused record writes zeros at most"
                assert (out == 77)[~tiles_of].all(), "a refused record spares other tiles"
                assert masked.all()
                assert not layers.any()
                continue
            assert refusal is None, f"{other.hex()}: {refusal}"
            for number, tile in enumerate(tiles, fields.first_tile):
                assert {
                    (int(ch), int(at)): int(out[number, ch, at])
                    for ch, at in np.argwhere((out[number] != 0) & of_layer)
                } == tile.symbols
                if fields.layer == 0:
                    valid = {
                        t
                        for t in range(f)
                        if own[number].holds(*divmod(t, plane.cols))
                        and not tile.wholly_masked
                        and t not in tile.masked
                    }
                    assert set(np.flatnonzero(~(masked[number] | derived[number]))) == valid


def _again(record: Record, payload: bytes) -> bytes:
    """The record around another payload, form included, with sums that hold; the kind is what the form demands."""
    fields = record.header
    return parts.record(
        payload,
        plane=fields.plane,
        layer=fields.layer,
        log2_lanes=fields.lanes.bit_length() - 1,
        ladder_offset=fields.ladder_offset,
        first_tile=fields.first_tile,
        count=fields.count,
    )


def test_escape_codes_are_those_of_the_text() -> None:
    # §5.3, by hand: v + 1 = 1, 10, 11, 100, 110 in binary; the lower digits go least significant first.
    by_hand = {0: "1", 1: "010", 2: "011", 3: "00100", 4: "00110", 5: "00101", 6: "00111"}
    for v, bits in by_hand.items():
        assert "".join(map(str, escape_bits(v))) == bits
        assert exp_golomb(BitReader(pack_bits(escape_bits(v)), 0)) == v
