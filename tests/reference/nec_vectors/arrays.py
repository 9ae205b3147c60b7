"""Files about arrays (§9.2), lifting `linear` and planes without token transform (§8.3), self-contained files (§4.5)."""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import replace
from typing import Any

import numpy as np
from nec_encoder import parts
from nec_encoder.payload import TileIn, encode_payload
from nec_reference.manifest import codec_id

from nec_vectors.files import Grid, Invalid, Plan, Vector, assemble, head, outcomes, plane
from nec_vectors.packages import INTEGER_CHANNELS, INTEGER_LINEAR, INTEGER_NEIGHBOURS, LIST, PackageOut
from nec_vectors.valid import three_records

# Lifting `linear` on paper. Symbols of the two channels, tokens 0 … 5 of 2 rows × 3 columns:
SYMBOLS: Grid = [[10, -4, 7, 100, -60, 2], [1, -2, 3, -4, 5, -6]]
# Channel 0 (b = 3, nothing below it, so r = symbol); ⌊(512 + Σ)/1024⌋ of ½ left + ¼ above + ¼ above right, against b:
#   t0: no neighbour                          → 3 + 0 + 10 = 13
#   t1: left 13 for all: 10 · 1 = 10.5 → 10   → 3 + 10 − 4 = 9
#   t2: left 9: 6.5 → 6                       → 3 + 6 + 7 = 16
#   t3: left and above 13, right of it 9: ½·10 + ¼·10 + ¼·6 = 9, + ½ → 9        → 3 + 9 + 100 = 112
#   t4: left 112, above 9, above right 16: 54.5 + 1.5 + 3.25 = 59.25, + ½ → 59  → 3 + 59 − 60 = 2
#   t5: left 2, above 16 twice (last column): −0.5 + 3.25 + 3.25 = 6, + ½ → 6   → 3 + 6 + 2 = 11
# Channel 1 (b = −5, r = wrap(symbol + ⌊½ − 1.5 r0⌋)): −15, 6, −10, −150, 90, −3 → r = −14, 4, −7, −154 + 256 = 102, 95, −9;
# then left + above − above left, against b:
#   t0: −5 − 14 = −19          t1: −14 (−13.5 down) → −5 − 14 + 4 = −15       t2: −10 (−9.5 down) → −5 − 10 − 7 = −22
#   t3: −14 → −5 − 14 + 102 = 83
#   t4: 88 − 10 + 14 = 92 → −5 + 92 + 95 = 182, − 256 = −74                   t5: −69 − 17 + 10 = −76 → −5 − 76 − 9 = −90
VALUES: Grid = [[13, 9, 16, 112, 2, 11], [-19, -15, -22, 83, -74, -90]]

# Without weights over channels channel 0 is the same, and channel 1 has r = symbol: 1, −2, 3, −4, 5, −6. Against b = −5:
#   t0: 1   t1: 1 − 2 = −1   t2: −1 + 3 = 2   t3: 1 − 4 = −3   t4: −3 − 1 − 1 + 5 = 0   t5: 0 + 2 + 1 − 6 = −3
NEIGHBOURS_ONLY: Grid = [[13, 9, 16, 112, 2, 11], [-4, -6, -3, -8, -5, -8]]
# Without weights over neighbours x = b + r: channel 0 is 3 + symbol, channel 1 −5 + r of the first example's r.
CHANNELS_ONLY: Grid = [[13, -1, 10, 103, -57, 5], [-19, -1, -12, 97, 90, -14]]


def _tokens(values: Grid) -> list[list[list[int]]]:
    return [[[values[c][row * 3 + col] for c in range(2)] for col in range(3)] for row in range(2)]


def array_extension(
    *shape: int, layout: int = 2, kind: int = 3, quantisation: int = 0, has: int = 0, nodata: float = 0.0
) -> bytes:
    """Content of extension 8."""
    return struct.pack("<BBBBd", layout, kind, quantisation, has, nodata) + struct.pack(
        f"<{len(shape)}I", *shape
    )


def _linear_records() -> list[bytes]:
    return [
        parts.record(encode_payload(INTEGER_LINEAR.tables, [TileIn(SYMBOLS)], e=8, layer=layer), layer=layer)
        for layer in range(2)
    ]


def _linear_plan(n_tables: int = 0, values: Grid = VALUES) -> Plan:
    planes = [plane([[0, 1]], ["111111"], [SYMBOLS])]
    planes[0]["embeddings"] = {"0": _tokens(values)}
    return Plan(records=[("tables", "ok")] * n_tables + outcomes(2), planes=planes)


def _chunks(data: bytes, count: int) -> list[bytes]:
    ends = [len(data) * (i + 1) // count for i in range(count)]
    return [
        parts.record(data[a:b], kind=parts.TABLES, first_tile=i, count=count)
        for i, (a, b) in enumerate(zip([0, *ends[:-1]], ends, strict=True))
    ]


def vectors() -> list[Vector]:
    """Legal ones."""
    tile = {"scene": (2, 3), "core": (2, 3)}
    embedded = INTEGER_LINEAR.tables_bytes + INTEGER_LINEAR.transform_bytes
    extension = parts.extension(8, array_extension(2, 3, 2, has=1, nodata=-128.0), must=False)
    return [
        Vector(
            "integer-linear", "predicted from neighbours and from the channel below, with a wrap in each direction",
            INTEGER_LINEAR, assemble(head(INTEGER_LINEAR, scene=(8, 8)), _linear_records()), _linear_plan(),
        ),
        Vector(
            "self-contained-array", "tables and transform in three chunks, and an int8 raster of one tile",
            INTEGER_LINEAR,
            assemble(
                head(INTEGER_LINEAR, flags=9, extensions=extension, **tile),
                [*_chunks(embedded, 3), *_linear_records()],
            ),
            _linear_plan(3), needs="file",
        ),
        Vector(
            "integer-without-channels", "the archive has no weights over channels: they are 0", INTEGER_NEIGHBOURS,
            assemble(head(INTEGER_NEIGHBOURS, scene=(8, 8)), _linear_records()), _linear_plan(values=NEIGHBOURS_ONLY),
        ),
        Vector(
            "integer-without-neighbours", "the archive has no weights over neighbours: they are 0", INTEGER_CHANNELS,
            assemble(head(INTEGER_CHANNELS, scene=(8, 8)), _linear_records()), _linear_plan(values=CHANNELS_ONLY),
        ),
        Vector(
            "self-contained-without-channels", "an int8 raster whose archive holds range, start and neighbours only",
            INTEGER_NEIGHBOURS,
            assemble(
                head(INTEGER_NEIGHBOURS, flags=9, extensions=extension, **tile),
                [
                    *_chunks(INTEGER_NEIGHBOURS.tables_bytes + INTEGER_NEIGHBOURS.transform_bytes, 2),
                    *_linear_records(),
                ],
            ),
            _linear_plan(2, NEIGHBOURS_ONLY), needs="file",
        ),
        _list(),
    ]  # fmt: skip


def _list() -> Vector:
    grid: Grid = [[3, -1, 0, 1], [2, 0, -2, 0], [0, 1, 0, 0]]
    records = three_records(LIST, [grid], e=(6, 8, 9))
    planes = [plane([[0, 1, 2]], ["1111"], [grid])]
    planes[0]["embeddings"] = {"0": _vectors_of(grid)}
    return Vector(
        "tokens-are-a-list", "the coefficients of a token are its own: only the channel transform is undone", LIST,
        assemble(head(LIST, scene=(8, 8)), records), Plan(records=outcomes(3), planes=planes),
    )  # fmt: skip


def _vectors_of(grid: Grid) -> Any:
    """§8.1 and the last line of §8.3, written out: step 2^(e − 8) with e = 8 + (−2, 0, 1) by layer."""
    shape = LIST.tables.planes[0]
    coefficients = np.zeros((3, 4))
    for c in range(3):
        for f in range(4):
            band = shape.band_of[f]
            layer = shape.layer_map[band][c]
            if layer == 255 or grid[c][f] == 0:
                continue
            e = 8 + shape.shift[layer]
            table = LIST.tables.tables[LIST.tables.level(0, band, c, e)]
            size = abs(grid[c][f])
            coefficients[c, f] = math.copysign(
                2.0 ** (e - 8) * (table.r1 if size == 1 else size + table.r2), grid[c][f]
            )
    mean, basis = (np.array(part) for part in LIST.transforms[0])  # type: ignore[union-attr]
    return (mean + (coefficients.T @ basis).reshape(2, 2, 3)).tolist()


def invalid() -> list[Invalid]:
    """Files refused as a whole."""
    tile = {"scene": (2, 3), "core": (2, 3)}

    def extended(name: str, reason: str, content: bytes, *, must: bool = False, **more: Any) -> Invalid:
        header = head(INTEGER_LINEAR, extensions=parts.extension(8, content, must=must), **{**tile, **more})
        return Invalid(
            f"array-{name}", reason, INTEGER_LINEAR, assemble(header, _linear_records()), "file", "corrupt", needs="file"
        )  # fmt: skip

    def carried(
        name: str, reason: str, data: bytes, kind: str, codec: PackageOut | bytes = INTEGER_LINEAR
    ) -> Invalid:
        more = {"codec_id": codec} if isinstance(codec, bytes) else {}
        header = head(INTEGER_LINEAR, flags=9, **tile, **more)
        return Invalid(
            f"self-contained-{name}", reason, INTEGER_LINEAR, assemble(header, [*_chunks(data, 2), *_linear_records()]),
            "file", kind, needs="identity",
        )  # fmt: skip

    tables, transform = INTEGER_LINEAR.tables_bytes, INTEGER_LINEAR.transform_bytes
    junk = b"no archive"
    three = replace(
        INTEGER_NEIGHBOURS, more=(*INTEGER_NEIGHBOURS.more, ("plane0.channels", "<i2", [[0] * 3] * 3))
    )
    return [
        extended("mandatory", "an array extension that must be understood", array_extension(2, 3, 2), must=True),
        extended("empty", "an array extension of no bytes", b""),
        extended("layout-4", "an unknown layout", array_extension(2, 3, 2, layout=4)),
        extended("type-6", "an unknown type", array_extension(2, 3, 2, kind=6)),
        extended("quantisation-3", "an unknown quantisation", array_extension(2, 3, 2, quantisation=3)),
        extended("axes", "a raster of two axes", array_extension(2, 3)),
        extended("nothing", "an axis of nothing", array_extension(0, 3, 2)),
        extended("other-shape", "a raster of other rows than the scene's", array_extension(3, 3, 2)),
        extended("other-channels", "three channels, plane 0 has two", array_extension(2, 3, 3)),
        extended("floats", "floats in a plane of integers", array_extension(2, 3, 2, kind=1)),
        extended("nodata-unasked", "a nodata value where there is none", array_extension(2, 3, 2, nodata=1.0)),
        extended("nodata-129", "a nodata value that int8 does not have", array_extension(2, 3, 2, has=1, nodata=129.0)),
        extended("alphaearth-nodata", "alphaearth without its nodata", array_extension(2, 3, 2, quantisation=1)),
        extended("tessera-alone", "tessera without a plane of scales", array_extension(2, 3, 2, quantisation=2)),
        extended("other-core", "tiles of other tokens than plane 0", array_extension(2, 3, 2), core=(2, 2)),
        carried("other-codec", "other contents than the header's codec_id", tables + transform, "identity", bytes(8)),
        carried(
            "no-archive", "what follows the tables is no archive", tables + junk, "corrupt",
            codec_id(tables, hashlib.sha256(junk).hexdigest()),
        ),
        carried(
            "other-weights", "weights over three channels, the plane has two", tables + three.transform_bytes, "corrupt",
            three,
        ),
    ]  # fmt: skip
