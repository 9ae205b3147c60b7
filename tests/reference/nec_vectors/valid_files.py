"""Legal files that differ in what stands around the payloads: extensions, tables, seals, gaps, copies, tile counts."""

from __future__ import annotations

import hashlib

from nec_encoder import parts
from nec_encoder.payload import TileIn, encode_payload

from nec_vectors.expected import embed_three
from nec_vectors.files import Grid, Plan, Vector, assemble, draw, head, outcomes, plane
from nec_vectors.packages import ONE, SPECTRAL, THREE, PackageOut
from nec_vectors.valid import E_THREE, three_records

C_OK, T_OK, I_OK, S_OK = ("coefficients", "ok"), ("tables", "ok"), ("index", "ok"), ("seal", "ok")


def vectors() -> list[Vector]:
    """All of this file's vectors."""
    return [
        *_headers(),
        _mean_vector(),
        *_embedded_tables(),
        *_ends(),
        *_gaps(),
        *_indices(),
        *_copies(),
        *_tile_counts(),
    ]


def one_record(values: list[int], *, first: int = 0, e: int = 8, **more: int) -> bytes:
    """A record of package `one` at ladder index 8, or wherever `e` is."""
    payload = encode_payload(ONE.tables, [TileIn([[value]]) for value in values], e=e)
    return parts.record(payload, count=len(values), first_tile=first, **more)


def one_plane(values: list[int | None]) -> dict[str, object]:
    """Expectation of package `one`; None: the tile is missing."""
    return plane(
        [[] if v is None else [0] for v in values],
        ["0" if v is None else "1" for v in values],
        [None if v is None else [[v]] for v in values],
    )


def _headers() -> list[Vector]:
    wkt = 'LOCAL_CS["Zürich, a local grid",UNIT["metre",1]]'
    extensions = (
        parts.extension(2, wkt.encode("utf-8"), must=True)
        + parts.extension(5, b"reserved, optional", must=False)
        + parts.extension(6, "Lägern/2023-06-01.tif".encode(), must=False)
        + parts.extension(90, b"", must=False)
    )
    every_field = assemble(
        head(
            ONE,
            scene=(8, 8),
            extensions=extensions,
            sensor=b"a-sensor-name-16",
            band_mask=0b1000_0000_0101,
            run=0xFEDCBA98,
            time=1_700_000_000_123_456,
            affine=(0.5, -0.25, 1e6, -0.125, -2.0, -3e-7),
            epsg=0,
        ),
        [one_record([1])],
    )
    fields = {
        "sensor": "a-sensor-name-16",
        "band_mask": 0b1000_0000_0101,
        "run": 0xFEDCBA98,
        "height": 8,
        "width": 8,
        "core_height": 8,
        "core_width": 8,
        "ladder_index": 8,
        "time": 1_700_000_000_123_456,
        "affine": [0.5, -0.25, 1e6, -0.125, -2.0, -3e-7],
        "epsg": 0,
        "wkt": wkt,
        "source_name": "Lägern/2023-06-01.tif",
    }
    one = one_plane([1])
    bare = head(ONE, scene=(8, 8))
    same_as_epsg = parts.extension(2, b"an equal definition", must=False)
    wide = parts.extension(7, bytes([1, 0, 0, 0, 1 << 4, 0, 0, 0, 0, 1 << 3]), must=True)
    longest = parts.extension(100, bytes(800 - 142 - 3), must=False)
    return [
        Vector(
            "header-every-field", "every header field other than its default, unknown optional extensions skipped",
            ONE, every_field, Plan(records=outcomes(1), planes=[one], header=fields),
        ),
        Vector(
            "header-wkt-optional", "a CRS that EPSG says too", ONE,
            assemble(head(ONE, scene=(8, 8), extensions=same_as_epsg), [one_record([1])]),
            Plan(
                records=outcomes(1), planes=[one],
                header={"epsg": 32633, "wkt": "an equal definition", "time": -(2**63), "source_name": None},
            ),
        ),
        Vector(
            "header-800-bytes", "the longest header", ONE,
            assemble(head(ONE, scene=(8, 8), extensions=longest), [one_record([1])]),
            Plan(records=outcomes(1), planes=[one]),
        ),
        Vector(
            "header-wide-bands", "bands 3, 64, 100 and 139 of 140", SPECTRAL,
            assemble(head(SPECTRAL, scene=(8, 8), band_mask=1 << 3, extensions=wide), [one_record([1])]),
            Plan(
                records=outcomes(1), planes=[one],
                header={"band_mask": 1 << 3 | 1 << 64 | 1 << 100 | 1 << 139},
            ),
        ),
        Vector(
            "header-only", "no record has arrived yet: all tiles missing, not an error", ONE, bare,
            Plan(sealed=False, index=None, records=[], planes=[one_plane([None])]),
        ),
    ]  # fmt: skip


def _mean_vector() -> Vector:
    # Layer 0 has e = 6, step 2⁻² = 0.25: 9, −4, 1 add 2.25, −1.0, 0.25 to frequency 0 of the three channels.
    # Other frequencies of the virtual tile are not in layer 0 and have no symbols.
    mean = [[9, 0, 0, 0], [-4, 0, 0, 0], [1, 0, 0, 0]]
    payload = encode_payload(THREE.tables, [TileIn(mean)], e=6)
    grids = [draw(700 + t, THREE.tables, 0, E_THREE) for t in range(2)]
    data = assemble(
        head(THREE, scene=(8, 16), extensions=parts.extension(1, b"\x00" + payload, must=True)),
        three_records(THREE, grids),
    )
    planes = [plane([[0, 1, 2]] * 2, ["1111"] * 2, list(grids))]
    planes[0]["mean_vector"] = [[0, 0, 9], [1, 0, -4], [2, 0, 1]]  # channel, frequency, symbol
    planes[0]["embeddings"] = {
        str(t): embed_three(grid, mean_vector=(2.25, -1.0, 0.25)) for t, grid in enumerate(grids)
    }
    reason = "symbols × step of layer 0 are added to every tile's layer-0 coefficients"
    return Vector("mean-vector", reason, THREE, data, Plan(records=outcomes(3), planes=planes))


def table_chunks(package: PackageOut, n: int) -> list[bytes]:
    """The package's table file in n records of nearly equal size."""
    data = package.tables_bytes
    size = -(-len(data) // n)
    return [
        parts.record(data[at : at + size], kind=parts.TABLES, first_tile=number, count=n)
        for number, at in enumerate(range(0, len(data), size))
    ]


def _embedded_tables() -> list[Vector]:
    grids = [draw(800, THREE.tables, 0, E_THREE)]
    coefficients = three_records(THREE, grids)
    chunks = table_chunks(THREE, 3)
    header = head(THREE, scene=(8, 8), flags=1)
    full = plane([[0, 1, 2]], ["1111"], list(grids))
    full["embeddings"] = {"0": embed_three(grids[0])}
    return [
        Vector(
            "embedded-tables", "the file brings its tables in three chunks", THREE,
            assemble(header, [*chunks, *coefficients]),
            Plan(records=[T_OK] * 3 + outcomes(3), planes=[full]),
        ),
        Vector(
            "embedded-tables-last", "chunks in reverse order behind the coefficients, one of them twice", THREE,
            assemble(header, [*coefficients, *chunks[::-1], chunks[1]]),
            Plan(records=[C_OK] * 3 + [T_OK] * 4 + [I_OK, S_OK], planes=[full]),
        ),
        Vector(
            "embedded-tables-chunk-missing", "without chunk 1 the coefficients wait; nothing is corrupt", THREE,
            assemble(header, [chunks[0], chunks[2], *coefficients]),
            Plan(
                records=[T_OK] * 2 + [("coefficients", "waiting")] * 3 + [I_OK, S_OK],
                planes=[plane([[]], ["0000"], [None])],
            ),
            needs="file",
        ),
        Vector(
            "tables-without-flag", "tables in a file that does not announce them are ignored", ONE,
            assemble(head(ONE, scene=(8, 8)), [*table_chunks(THREE, 1), one_record([1])]),
            Plan(records=[("tables", "ignored"), C_OK, I_OK, S_OK], planes=[one_plane([1])]),
        ),
    ]  # fmt: skip


def _ends() -> list[Vector]:
    header = head(ONE, scene=(8, 16))
    first, second = one_record([1]), one_record([-2], first=1)
    sealed = assemble(header, [first])
    unsealed = header + first + second
    appended = sealed + second
    both = one_plane([1, -2])
    again = appended + parts.seal(appended, 4)
    return [
        Vector(
            "unsealed", "no seal, no index", ONE, unsealed,
            Plan(sealed=False, index=None, records=[C_OK, C_OK], planes=[both]),
        ),
        Vector(
            "appended-after-a-seal", "a record behind the seal: the file is unsealed again", ONE, appended,
            Plan(sealed=False, records=[C_OK, I_OK, S_OK, C_OK], planes=[both]),
        ),
        Vector(
            "sealed-again", "two seals; the one at the very end counts and counts the first", ONE, again,
            Plan(records=[C_OK, I_OK, S_OK, C_OK, S_OK], planes=[both]),
        ),
        Vector(
            "padding-behind-the-seal", "a seal that does not end the file does not count", ONE, sealed + bytes(3),
            Plan(sealed=False, records=outcomes(1), planes=[one_plane([1, None])]),
        ),
        Vector(
            "padding-between-records", "zero bytes before every record", ONE,
            assemble(header, [first, second], padding=5), Plan(records=outcomes(2), planes=[both]),
        ),
        Vector(
            "kinds-0-only", "nothing but padding behind the header", ONE, header + bytes(40),
            Plan(sealed=False, index=None, records=[], planes=[one_plane([None, None])]),
        ),
    ]  # fmt: skip


def _gaps() -> list[Vector]:
    header = head(ONE, scene=(8, 24))
    records = [one_record([1]), one_record([-2], first=1), one_record([2], first=2)]
    at = len(header) + len(records[0])
    broken = bytearray(records[1])
    broken[8] ^= 0x40  # in the payload: the CRC no longer holds
    cut = header + records[0] + records[1] + records[2][:-1]
    # A state of four bytes, all but the last zero, would go on: 8 bytes of header, form 0C, one zero.
    cut_zeros = header + records[0] + parts.record(bytes.fromhex("0C 00 00 00 01"), first_tile=1)[:10]
    stray = b"\x99\x00\x00\x98"
    return [
        Vector(
            "gap-damaged-record", "a damaged record is a gap; those around it decode", ONE,
            header + records[0] + bytes(broken) + records[2],
            Plan(
                sealed=False, index=None, records=[C_OK, C_OK], planes=[one_plane([1, None, 2])],
                gaps=[(at, at + len(broken) - 1, False)],
            ),
        ),
        Vector(
            "gap-cut-record", "the last record lacks its last byte", ONE, cut,
            Plan(
                sealed=False, index=None, records=[C_OK, C_OK], planes=[one_plane([1, -2, None])],
                gaps=[(len(header) + len(records[0] + records[1]), len(cut) - 1, True)],
            ),
        ),
        Vector(
            "gap-cut-record-zeros", "a cut record whose last bytes are zeros reaches to the end of the file", ONE,
            cut_zeros,
            Plan(
                sealed=False, index=None, records=[C_OK], planes=[one_plane([1, None, None])],
                gaps=[(at, at + 9, True)],
            ),
        ),
        Vector(
            "gap-stray-bytes", "stray bytes with zeros inside are one gap; zeros behind are padding", ONE,
            header + records[0] + stray + bytes(2) + records[1],
            Plan(
                sealed=False, index=None, records=[C_OK, C_OK], planes=[one_plane([1, -2, None])],
                gaps=[(at, at + 3, False)],
            ),
        ),
    ]  # fmt: skip


def _indices() -> list[Vector]:
    header = head(ONE, scene=(8, 16))
    records = [one_record([1]), one_record([-2], first=1)]
    body = header + b"".join(records)
    parts_of_index = parts.index(records[:1]) + parts.index(records[1:], part=1)
    in_parts = body + parts_of_index
    wrong = body + parts.index(records[::-1])
    both = one_plane([1, -2])
    return [
        Vector(
            "index-in-two-parts", "parts in order list the records before the first part", ONE,
            in_parts + parts.seal(in_parts, 4),
            Plan(records=[C_OK, C_OK, I_OK, I_OK, S_OK], planes=[both]),
        ),
        Vector(
            "index-disagrees", "an index that does not list the file is a wrong convenience, not a refusal", ONE,
            wrong + parts.seal(wrong, 3),
            Plan(index=False, records=outcomes(2), planes=[both]),
        ),
    ]  # fmt: skip


def _copies() -> list[Vector]:
    header = head(ONE, scene=(8, 32))
    whole = one_record([1, -1, 2, 0])
    middle = one_record([-2, 1], first=1)
    first_wins = hashlib.sha256(whole).digest() < hashlib.sha256(middle).digest()
    values: list[int | None] = [1, -1, 2, 0] if first_wins else [1, -2, 1, 0]
    conflicts = [(0, 0, 1), (0, 0, 2)]
    return [
        Vector(
            "duplicate-records", "equal copies count once, and conflict with nothing", ONE,
            assemble(header, [whole, whole, whole]), Plan(records=outcomes(3), planes=[one_plane([1, -1, 2, 0])]),
        ),
        Vector(
            "conflict", "two records differ in tiles 1 and 2: the smaller SHA-256 wins there", ONE,
            assemble(header, [whole, middle]),
            Plan(records=outcomes(2), planes=[one_plane(values)], conflicts=conflicts),
        ),
        Vector(
            "conflict-other-order", "the same two records the other way round: the same result", ONE,
            assemble(header, [middle, whole]),
            Plan(records=outcomes(2), planes=[one_plane(values)], conflicts=conflicts),
        ),
    ]  # fmt: skip


def _tile_counts() -> list[Vector]:
    zero_heavy = [(t % 17 == 0) * (1 - 2 * (t % 2)) for t in range(300)]
    numbers: list[Grid | None] = [[[value]] for value in zero_heavy]
    records = [one_record(zero_heavy[:272]), one_record(zero_heavy[272:], first=272)]
    # Ladder index 10: K=0 everywhere, so that a record of 32,768 tiles has two bytes of payload.
    nothing = bytes.fromhex("00 01")
    most = [parts.record(nothing, count=32768, first_tile=first) for first in (0, 32768)]
    uniform = {"tiles": 65536, "layers": [0], "validity": "1", "symbols": [[0]]}
    counts = (128, 136, 144, 256, 272, 288, 512, 544)
    starts = [sum(counts[:i]) for i in range(len(counts))]
    ladder = [
        parts.record(nothing, count=count, first_tile=start)
        for count, start in zip(counts, starts, strict=True)
    ]
    each = {"tiles": sum(counts), "layers": [0], "validity": "1", "symbols": [[0]]}
    return [
        Vector(
            "tile-count-272", "300 tiles in records of 272 (a coarse code) and 28", ONE,
            assemble(head(ONE, scene=(8 * 15, 8 * 20)), records),
            Plan(records=outcomes(2), planes=[plane([[0]] * 300, ["1"] * 300, numbers)]),
        ),
        Vector(
            "tile-count-codes", "the counts where the code's step changes, side by side", ONE,
            assemble(head(ONE, scene=(1, sum(counts)), core=(1, 1), ladder_index=10), ladder),
            Plan(records=outcomes(len(counts)), planes=[{"uniform": each}]),
        ),
        Vector(
            "tiles-65536", "the most tiles of a file, in two records of the largest count", ONE,
            assemble(head(ONE, scene=(256, 256), core=(1, 1), ladder_index=10), most),
            Plan(records=outcomes(2), planes=[{"uniform": uniform}]),
        ),
    ]  # fmt: skip
