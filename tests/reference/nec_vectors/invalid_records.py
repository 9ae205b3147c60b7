"""Intact records with an illegal header field, and indices and seals that are not what they must be."""

from __future__ import annotations

from typing import Any

from nec_encoder import parts
from nec_encoder.payload import TileIn, encode_payload

from nec_vectors.files import Invalid, assemble, head
from nec_vectors.packages import BIG, ONE, THREE
from nec_vectors.valid_files import one_record, table_chunks

ZERO = bytes.fromhex("00 01")


def vectors() -> list[Invalid]:
    """All refusals of a record for what stands around its payload."""
    return [*_fields(), *_ladder(), *_limit(), *_tables(), *_indices(), *_seals()]


def _one(name: str, reason: str, record: bytes, kind: str = "corrupt", *, n: int = 2) -> Invalid:
    """A sound record of tile 0, then `record`."""
    data = head(ONE, scene=(8, 8 * n)) + one_record([-1]) + record
    return Invalid(f"record-{name}", reason, ONE, data, "record", kind, 1, needs="file")


def _fields() -> list[Invalid]:
    def of(**fields: Any) -> bytes:
        return parts.record(ZERO, **fields)

    def masked(**fields: Any) -> bytes:
        """Kind 1: a tile mask with one bit, and the state."""
        return parts.record(bytes.fromhex("01 01 01"), **fields)

    return [
        _one("kind-5", "a refinement: reserved", of(kind=5, first_tile=1), "unsupported"),
        _one("kind-7", "a kind from the future, the last there can be", of(kind=7), "unsupported"),
        _one("kind-1-plane-beyond", "plane 1 of 1, a record with a mask", masked(plane=1)),
        _one("kind-1-layer-beyond", "layer 1 of 1, a record with a mask", masked(layer=1)),
        _one("kind-1-tile-beyond", "tile 2 of 2, a record with a mask", masked(first_tile=2)),
        _one("plane-beyond", "plane 1 of 1", of(plane=1)),
        _one("plane-7", "the last plane number there can be", of(plane=7)),
        _one("layer-beyond", "layer 1 of 1", of(layer=1)),
        _one("tiles-beyond", "tiles 1 and 2 of 2", of(first_tile=1, count=2)),
        _one("tile-beyond", "tile 2 of 2", of(first_tile=2)),
        _one("tile-65535", "the last tile number there can be", of(first_tile=65535)),
        _one("tiles-32768", "the largest count there can be", of(first_tile=0, count=32768)),
    ]


def _ladder() -> list[Invalid]:
    at_2 = encode_payload(ONE.tables, [TileIn([[-1]])], e=2)
    low = head(ONE, scene=(8, 16), ladder_index=2)
    high = head(ONE, scene=(8, 16), ladder_index=14)
    layer_1 = parts.record(encode_payload(THREE.tables, [TileIn([[0] * 4] * 3)], e=1, layer=1), layer=1)
    layer_2 = encode_payload(THREE.tables, [TileIn([[0] * 4] * 3)], e=15, layer=2)

    def refused(name: str, reason: str, data: bytes, package: Any = ONE) -> Invalid:
        return Invalid(f"record-{name}", reason, package, data, "record", "corrupt", 1)

    return [
        refused(
            "ladder-below", "ladder index 2 with offset −4",
            low + parts.record(at_2) + parts.record(at_2, ladder_offset=-4, first_tile=1),
        ),
        refused(
            "ladder-beyond", "ladder index 14 with offset +3, the ladder has 16 steps",
            high + parts.record(ZERO) + parts.record(ZERO, ladder_offset=3, first_tile=1),
        ),
        refused(
            "shift-below", "q = 1 is on the ladder, e = 1 − 2 is not",
            head(THREE, scene=(8, 8), ladder_index=1) + layer_1 + parts.record(ZERO), THREE,
        ),
        refused(
            "shift-beyond", "q = 15 is on the ladder, e = 15 + 1 is not",
            head(THREE, scene=(8, 8), ladder_index=15)
            + parts.record(encode_payload(THREE.tables, [TileIn([[0] * 4] * 3)], e=13))
            + parts.record(layer_2, layer=2),
            THREE,
        ),
    ]  # fmt: skip


def _limit() -> list[Invalid]:
    # 17,408 is the first writable count above 2²⁶/4096 = 16,384. Zeros alone leave the state at 1, so that the two
    # bytes would decode to 71 million symbols.
    header = head(BIG, scene=(64, 64 * 17409), core=(64, 64))
    data = header + parts.record(ZERO) + parts.record(ZERO, first_tile=1, count=17408)
    reason = "17,408 tiles of 4096 symbols are more than 2²⁶ in one record"
    return [Invalid("record-too-many-symbols", reason, BIG, data, "record", "limit", 1)]


def _tables() -> list[Invalid]:
    header = head(ONE, scene=(8, 8), flags=1)
    chunk = table_chunks(ONE, 1)[0]
    bad = parts.record(ONE.tables_bytes, kind=parts.TABLES, first_tile=1, count=1)
    lanes = parts.record(ONE.tables_bytes, kind=parts.TABLES, log2_lanes=1)
    return [
        Invalid(
            "record-chunk-beyond", "chunk 1 of 1 of the embedded tables",
            ONE, header + chunk + bad + one_record([1]), "record", "corrupt", 1, "file",
        ),
        Invalid(
            "record-chunk-lanes", "embedded tables with two lanes",
            ONE, header + chunk + lanes + one_record([1]), "record", "corrupt", 1, "file",
        ),
    ]  # fmt: skip


def _indices() -> list[Invalid]:
    entry = one_record([-1])[:8]

    def index(name: str, reason: str, payload: bytes, **fields: Any) -> Invalid:
        return _one(f"index-{name}", reason, parts.record(payload, kind=parts.INDEX, **fields))

    return [
        index("length", "an index of 7 bytes", entry[:7]),
        index("length-9", "an index of 9 bytes", entry + b"\0"),
        index("plane", "an index that names a plane", entry, plane=1),
        index("layer", "an index that names a layer", entry, layer=1),
        index("lanes", "an index that names lanes", entry, log2_lanes=1),
        index("offset", "an index that names a ladder offset", entry, ladder_offset=-1),
        index("count", "an index with a tile-count code", entry, count=2),
    ]


def _seals() -> list[Invalid]:
    before = head(ONE, scene=(8, 8)) + one_record([-1])
    sound = parts.seal(before, 1)
    payload = sound[8:-4]
    inserted = before + b"\0"  # a padding byte that came later

    def seal(name: str, reason: str, data: bytes) -> Invalid:
        return Invalid(f"record-seal-{name}", reason, ONE, data, "record", "corrupt", 1, needs="file")

    def of(payload: bytes, **fields: Any) -> bytes:
        return parts.record(payload, kind=parts.SEAL, **fields)

    removed = assemble(head(ONE, scene=(8, 16)), [one_record([-1]), one_record([1], first=1)], index=False)
    second = len(head(ONE, scene=(8, 16))) + len(one_record([-1]))
    removed = removed[:second] + removed[second + len(one_record([1], first=1)) :]
    return [
        seal("count", "a seal that counts one record too many", before + parts.seal(before, 2)),
        seal("place", "a seal that was written one byte further on", before + parts.seal(before, 1, offset=len(before) + 1)),
        seal("sha", "a seal of other bytes", before + parts.seal(before, 1, digest_xor=1)),
        seal("inserted", "a padding byte was inserted before the seal", inserted + sound),
        seal("removed", "a record was taken out before the seal", removed),
        seal("length", "a seal of 23 bytes", before + of(payload[:23])),
        seal("length-25", "a seal of 25 bytes", before + of(payload + b"\0")),
        seal("reserved", "a seal whose last u32 is not 0", before + parts.seal(before, 1, reserved=1)),
        seal("first-tile", "a seal with a first tile", before + parts.seal(before, 1, first_tile=1)),
        seal("count-code", "a seal with a tile-count code", before + of(payload, count=2)),
    ]  # fmt: skip
