"""Table files that break a rule of §6; a decoder refuses them when it reads them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from nec_encoder.parts import PlaneIn, TableIn, TablesIn, table_file

from nec_vectors.files import Invalid
from nec_vectors.packages import ONE

LADDER = (0.5, 1.0, 2.0)
TABLE = TableIn((32768, 49152))
PLANE = PlaneIn(2, 2, 1, (0, 0), (0, 1, 1, 2), ((0,), (1,), (255,)), ((3,), (2,), (1,)))
SOUND = TablesIn(LADDER, (TableIn(()), TABLE), (PLANE,))


def vectors() -> list[Invalid]:
    """All refusals of a table file."""
    return [*_whole(), *_ladder_and_tables(), *_planes()]


def _file(name: str, reason: str, data: bytes, kind: str = "corrupt") -> Invalid:
    return Invalid(f"tables-{name}", reason, ONE, data, "tables", kind)


def _whole() -> list[Invalid]:
    sound = SOUND.encode()
    body = sound[12:-4]

    def head(name: str, reason: str, kind: str = "corrupt", **fields: Any) -> Invalid:
        counts = {"n_planes": 1, "n_tables": 2, "n_ladder": 3, **fields}
        return _file(name, reason, table_file(body, **counts), kind)

    return [
        head("magic", "a wrong magic", magic=b"NECU"),
        head("version-1", "a version from the future", "unsupported", version=1),
        head("planes-0", "no plane", n_planes=0),
        head("planes-2", "two planes and the bytes of one", n_planes=2),
        head("planes-9", "nine planes", n_planes=9),
        head("tables-0", "no table", n_tables=0),
        head("tables-129", "129 tables", n_tables=129),
        head("ladder-0", "no step", n_ladder=0),
        head("length-short", "a length one byte too small", length=len(sound) - 1),
        head("length-long", "a length one byte too large", length=len(sound) + 1),
        head("crc", "one bit of the CRC", crc_xor=1),
        _file("left-over", "a byte behind the CRC", sound + b"\0"),
        _file("left-over-inside", "a byte behind the last plane", table_file(body + b"\0", 1, 2, 3)),
        _file("overrun", "the last class map lacks its last byte", table_file(body[:-1], 1, 2, 3)),
        _file("cut", "ten bytes of a sound file", sound[:10]),
        _file("cut-inside", "a sound file without its last byte", sound[:-1]),
        _file("empty", "a head and a CRC and nothing between", table_file(b"", 1, 2, 3)),
    ]


def _ladder_and_tables() -> list[Invalid]:
    def ladder(name: str, reason: str, *steps: float) -> Invalid:
        return _file(f"ladder-{name}", reason, replace(SOUND, ladder=steps).encode())

    def table(name: str, reason: str, kind: str = "corrupt", **fields: Any) -> Invalid:
        tables = (TableIn(()), replace(TABLE, **fields))
        return _file(name, reason, replace(SOUND, tables=tables).encode(), kind)

    return [
        ladder("equal", "two equal steps", 0.5, 0.5, 1.0),
        ladder("falling", "a step smaller than the one before", 0.5, 1.0, 0.75),
        ladder("zero", "a step of 0", 0.0, 0.5, 1.0),
        ladder("negative", "a negative step", -1.0, 0.5, 1.0),
        ladder("nan", "a step that is no number", 0.5, math.nan, 1.0),
        ladder("infinite", "an infinite step", 0.5, 1.0, math.inf),
        table("low-bits-9", "more than eight low bits", low_bits=9, thresholds=(32768,)),
        table("low-bits-alone", "low bits of a table without thresholds", low_bits=1, thresholds=()),
        table(
            "low-bits-magnitude",
            "K = 128 with eight low bits: beyond the magnitude 32767",
            low_bits=8,
            thresholds=tuple(range(256, 129 * 256, 256)),
        ),
        table("low-bits-threshold", "T_2 is no multiple of 2³", low_bits=3, thresholds=(32768, 49156)),
        table("table-reserved", "a table's reserved u16", "unsupported", reserved=1),
        table("r1-zero", "r1 = 0", r1=0.0),
        table("r1-large", "r1 above 2", r1=2.25),
        table("r1-nan", "r1 is no number", r1=math.nan),
        table("r2-low", "r2 below −1", r2=-1.25),
        table("r2-high", "r2 above 1", r2=1.25),
        table("r2-nan", "r2 is no number", r2=math.nan),
        table("theta-negative", "θ below 0", theta=-0.125),
        table("theta-large", "θ above 0.5", theta=0.625),
        table("theta-nan", "θ is no number", theta=math.nan),
        table("threshold-zero", "T_1 = 0: symbol 0 has no frequency", thresholds=(0, 49152)),
        table("threshold-equal", "T_2 = T_1: symbol 1 has no frequency", thresholds=(32768, 32768)),
        table("threshold-falling", "T_2 < T_1", thresholds=(49152, 32768)),
    ]


def _planes() -> list[Invalid]:
    def plane(name: str, reason: str, refusal: str = "corrupt", **fields: Any) -> Invalid:
        return _file(
            f"plane-{name}", reason, replace(SOUND, planes=(replace(PLANE, **fields),)).encode(), refusal
        )

    one_band: dict[str, Any] = {"layer_map": ((0,),), "class_map": ((3,),)}
    return [
        plane("rows-0", "no token row", rows=0, band_of=()),
        plane("rows-65", "65 token rows", rows=65, band_of=(0, *[1] * 128, 2)),
        plane("cols-0", "no token column", cols=0, band_of=()),
        plane("cols-65", "65 token columns", cols=65, band_of=(0, *[1] * 128, 2)),
        plane("channels-0", "no channel", channels=0, layer_map=((), (), ()), class_map=((), (), ())),
        plane("layers-0", "no layer", shift=(), layer_map=((255,),) * 3),
        plane("layers-17", "17 layers", shift=(0,) * 17),
        plane("bands-0", "no band", layer_map=(), class_map=()),
        plane(
            "bands-5", "five bands of four frequencies",
            layer_map=((0,),) * 5, class_map=((0,),) * 5,
        ),
        plane("kind-2", "a plane kind from the future", "unsupported", kind=2),
        plane("reserved", "the plane's reserved byte", "unsupported", reserved=1),
        plane("band-absent", "band 2 of 3 has no frequency", band_of=(0, 1, 1, 1)),
        plane("band-beyond", "a frequency of band 3 of 3", band_of=(0, 1, 2, 3)),
        plane("mean-not-first", "frequency 0 in band 1, kind float", band_of=(1, 0, 2, 2)),
        plane("mean-not-alone", "frequency 1 beside the mean in band 0", band_of=(0, 0, 1, 2)),
        plane("one-band", "one band for all four frequencies, kind float", band_of=(0,) * 4, **one_band),
        plane("layer-beyond", "the layer map names layer 2 of 2", layer_map=((0,), (2,), (255,))),
        plane("layer-254", "254 is not 'never sent'", layer_map=((0,), (1,), (254,))),
    ]  # fmt: skip
