"""The small packages that the vectors use, chosen so that a person can follow the numbers."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from nec_encoder.parts import PlaneIn, TableIn, TablesIn
from nec_reference.manifest import codec_id

LADDER = tuple(2.0 ** (i - 8) for i in range(16))  # step 1.0 at index 8


def squares(n: int) -> tuple[int, ...]:
    """K = n thresholds, T_k = 65536 − ⌊65536·((n+1−k)/(n+1))²⌋: small magnitudes are the likely ones."""
    return tuple(65536 - 65536 * (n + 1 - k) ** 2 // (n + 1) ** 2 for k in range(1, n + 1))


# Levels 0 … 7: K = 0, 1, 2, 3, 5, 8, 20, 60; the points are exact in binary.
EIGHT = tuple(
    TableIn(squares(n), r1=1 - i / 64, r2=-i / 128, theta=i / 32)
    for i, n in enumerate((0, 1, 2, 3, 5, 8, 20, 60))
)

# Tables a person can code with: zero has probability 3/4 or 1/2.
HAND = (
    TableIn(()),
    TableIn((49152,), r1=0.75, r2=-0.25),
    TableIn((32768, 49152), r1=0.75, r2=-0.25),
    TableIn((32768, 49152, 57344, 61440, 63488), r1=0.75, r2=-0.25),
)


@dataclass(frozen=True)
class PackageOut:
    """A package: its table file's source, and the transform of each plane of kind float."""

    name: str
    reason: str
    tables: TablesIn
    transforms: tuple[tuple[list[list[list[float]]], list[list[float]]] | None, ...]  # (mean, basis)
    n_bands: int = 12
    lifting: str = "none"
    more: tuple[tuple[str, str, Any], ...] = ()  # further arrays of the archive: name, dtype, values

    @property
    def tables_bytes(self) -> bytes:
        return self.tables.encode()

    @property
    def transform_bytes(self) -> bytes:
        arrays: dict[str, Any] = {}
        for plane, transform in enumerate(self.transforms):
            if transform is not None:
                arrays[f"plane{plane}.mean"] = np.array(transform[0], np.float32)
                arrays[f"plane{plane}.basis"] = np.array(transform[1], np.float32)
        for name, dtype, values in self.more:
            arrays[name] = np.array(values, dtype)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()

    @property
    def transform_sha256(self) -> str:
        return hashlib.sha256(self.transform_bytes).hexdigest()

    @property
    def codec_id(self) -> bytes:
        return codec_id(self.tables_bytes, self.transform_sha256)


def _identity(rows: int, cols: int, channels: int) -> tuple[list[list[list[float]]], list[list[float]]]:
    mean = [[[0.0] * channels for _ in range(cols)] for _ in range(rows)]
    return mean, [[float(i == j) for j in range(channels)] for i in range(channels)]


# One token, one channel, one layer. Class 10: ladder index 7 → level 3 (K=5), 8 → K=2, 9 → K=1, 10 → K=0.
ONE = PackageOut(
    "one",
    "1×1 tokens × 1 channel; the ladder index picks the table: 7 → K=5, 8 → K=2, 9 → K=1, 10 → K=0",
    TablesIn(LADDER, HAND, (PlaneIn(1, 1, 1, (0,), (0,), ((0,),), ((10,),)),)),
    (([[[0.5]]], [[-1.0]]),),
)
SPECTRAL = replace(ONE, name="spectral", reason="`one` of a spectrometer's 140 bands", n_bands=140)

_THREE_PLANE = PlaneIn(
    rows=2,
    cols=2,
    channels=3,
    shift=(-2, 0, 1),
    band_of=(0, 1, 1, 2),
    layer_map=((0, 0, 0), (1, 1, 2), (2, 1, 255)),
    class_map=((13, 12, 11), (12, 11, 13), (11, 9, 9)),
)
# basis rows are the latent's channels; a 3-4-5 rotation and a sign, so that a transposed basis shows.
_THREE_TRANSFORM = (
    [[[0.0, 1.0, 2.0], [0.5, -1.0, 0.0]], [[4.0, 0.0, 0.25], [0.0, 0.0, -8.0]]],
    [[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, -1.0]],
)
THREE = PackageOut(
    "three",
    "2×2 tokens × 3 channels, three layers with shifts −2, 0, +1, three bands, one channel never sent",
    TablesIn(LADDER, EIGHT, (_THREE_PLANE,)),
    (_THREE_TRANSFORM,),
)

TWO = PackageOut(
    "two",
    "two planes: that of `three`, and a pooled vector of 4 channels",
    TablesIn(
        LADDER,
        EIGHT,
        (
            _THREE_PLANE,
            PlaneIn(1, 1, 4, (-1,), (0,), ((0, 0, 0, 0),), ((14, 13, 12, 7),), space_id=b"\x01space_1"),
        ),
    ),
    (_THREE_TRANSFORM, _identity(1, 1, 4)),
)

_WIDE = 131
_WIDE_CLASSES = tuple(3 if c == 9 else 9 + c % 7 for c in range(_WIDE))  # channel 9: level 0, nothing coded
WIDE = PackageOut(
    "wide",
    "2×1 tokens × 131 channels: band 0 codes 129 of them (7 is never sent, 9 has K=0), band 1 the 68 below 70",
    TablesIn(
        LADDER,
        EIGHT,
        (
            PlaneIn(
                2,
                1,
                _WIDE,
                (0,),
                (0, 1),
                (
                    tuple(255 if c == 7 else 0 for c in range(_WIDE)),
                    tuple(255 if c == 7 or c >= 70 else 0 for c in range(_WIDE)),
                ),
                (_WIDE_CLASSES, _WIDE_CLASSES),
            ),
        ),
    ),
    (_identity(2, 1, _WIDE),),
)

MASK = PackageOut(
    "mask",
    "4×3 tokens × 1 channel: token masks, derived-invalid tokens, a DCT whose sides are no equal powers of two",
    TablesIn(
        LADDER,
        EIGHT,
        (PlaneIn(4, 3, 1, (0,), (0, *[1] * 11), ((0,), (0,)), ((14,), (10,))),),
    ),
    (_identity(4, 3, 1),),
)

_INTEGER_PLANE = PlaneIn(
    rows=2,
    cols=3,
    channels=2,
    shift=(0, 0),
    band_of=(0, 1, 0, 1, 0, 1),
    layer_map=((0, 0), (0, 1)),
    class_map=((14, 15), (13, 12)),
    kind=1,
)
INTEGER_NONE = PackageOut(
    "integer-none",
    "kind integer, lifting none; 2×3 tokens × 2 channels, two layers",
    TablesIn(LADDER, EIGHT, (_INTEGER_PLANE,)),
    (None,),
)
INTEGER_LEFT = PackageOut(
    "integer-left",
    "the same with lifting left",
    TablesIn(LADDER, EIGHT, (_INTEGER_PLANE,)),
    (None,),
    lifting="left",
)

# Numbers that a person can follow: channel 0 takes half of the left neighbour and a quarter each of those above and above
# right; channel 1 the plane through left, above and above left, and −3/2 of what channel 0 had left.
INTEGER_LINEAR = PackageOut(
    "integer-linear",
    "the same with lifting linear: int8 range, both channels predicted from neighbours, channel 1 from channel 0",
    TablesIn(LADDER, EIGHT, (_INTEGER_PLANE,)),
    (None,),
    lifting="linear",
    more=(
        ("plane0.range", "<i4", [-128, 256]),
        ("plane0.start", "<i2", [3, -5]),
        ("plane0.neighbours", "<i2", [[512, 256, 0, 256], [1024, 1024, -1024, 0]]),
        ("plane0.channels", "<i2", [[0, 0], [-1536, 0]]),
    ),
)
# The same numbers with one kind of weights left out: those that are absent are 0.
_LINEAR_PARTS = {name: (name, dtype, values) for name, dtype, values in INTEGER_LINEAR.more}
INTEGER_NEIGHBOURS = PackageOut(
    "integer-neighbours",
    "`integer-linear` without `plane0.channels`: nothing is predicted from the channel below",
    TablesIn(LADDER, EIGHT, (_INTEGER_PLANE,)),
    (None,),
    lifting="linear",
    more=tuple(_LINEAR_PARTS[f"plane0.{part}"] for part in ("range", "start", "neighbours")),
)
INTEGER_CHANNELS = PackageOut(
    "integer-channels",
    "`integer-linear` without `plane0.neighbours`: nothing is predicted from neighbours",
    TablesIn(LADDER, EIGHT, (_INTEGER_PLANE,)),
    (None,),
    lifting="linear",
    more=tuple(_LINEAR_PARTS[f"plane0.{part}"] for part in ("range", "start", "channels")),
)
LIST = PackageOut(
    "list",
    "the plane of `three`, its tokens a list of vectors: no transform over tokens",
    TablesIn(LADDER, EIGHT, (_THREE_PLANE,)),
    (_THREE_TRANSFORM,),
    more=(("plane0.tokens", "|u1", [0]),),
)

BIG = PackageOut(
    "big",
    "kind integer, 64×64 tokens × 1 channel in one band: 16,385 tiles are more than 2²⁶ symbols",
    TablesIn(LADDER, HAND, (PlaneIn(64, 64, 1, (0,), (0,) * 4096, ((0,),), ((10,),), kind=1),)),
    (None,),
)

_DIGIT_PLANES = tuple(
    PlaneIn(
        1, 1, 2, (0, 0), (0,), (layers,), ((klass, klass),), space_id=b"\x00digit_" + bytes([48 + number])
    )
    for number, (layers, klass) in enumerate((((0, 1), 11), ((0, 1), 10), ((255, 1), 9)))
)
DIGITS = PackageOut(
    "digits",
    "1×1 tokens × 2 channels, two layers; plane 1 refines plane 0, plane 2 refines plane 1 in layer 1 alone",
    TablesIn(LADDER, HAND, _DIGIT_PLANES),
    (_identity(1, 1, 2), None, None),
    more=(("plane1.refines", "|u1", [0]), ("plane2.refines", "|u1", [1])),
)
DIGITS_ASTRAY = PackageOut(
    "digits-astray",
    "that of `digits`, whose archive says of plane 1 that it refines itself",
    TablesIn(LADDER, HAND, _DIGIT_PLANES),
    (_identity(1, 1, 2), None, None),
    more=(("plane1.refines", "|u1", [1]), ("plane2.refines", "|u1", [1])),
)

_TURNED_TABLES = TablesIn(
    LADDER, HAND, (PlaneIn(2, 1, 2, (0,), (0, 1), ((0, 0), (0, 0)), ((11, 11), (11, 11))),)
)
_TURN = ("plane0.rotation", "|u1", [0, 1])
TURNED = PackageOut(
    "turned",
    "2×1 tokens × 2 channels; the mean's channels change places, one with its sign, those of the other frequency turn",
    _TURNED_TABLES,
    (_identity(2, 1, 2),),
    more=(_TURN, ("plane0.rotations", "<f4", [[[0, 1], [-1, 0]], [[0.6, 0.8], [-0.8, 0.6]]])),
)
TURNED_SKEW = PackageOut(
    "turned-skew",
    "that of `turned`, whose second rotation is not orthonormal",
    _TURNED_TABLES,
    (_identity(2, 1, 2),),
    more=(_TURN, ("plane0.rotations", "<f4", [[[0, 1], [-1, 0]], [[0.6, 0.8], [0.8, 0.6]]])),
)


def equal_parts(n: int, low_bits: int) -> tuple[int, ...]:
    """n thresholds as far apart from each other as multiples of 2^low_bits can be."""
    slots = 65536 >> low_bits
    return tuple((slots * k // (n + 1)) << low_bits for k in range(1, n + 1))


# As `one`: class 10 and the ladder index pick the table.
_HAND_LOW = (
    TableIn(()),
    TableIn((49152,), r1=0.75, r2=-0.25, low_bits=3),
    TableIn((32768, 49152), r1=0.75, r2=-0.25, low_bits=2),
)
ONE_LOW = PackageOut(
    "one-low",
    "`one` with low bits; the ladder index picks the table: 8 → K=2 and 2 bits, 9 → K=1 and 3 bits, 10 → K=0",
    TablesIn(LADDER, _HAND_LOW, (PlaneIn(1, 1, 1, (0,), (0,), ((0,),), ((10,),)),)),
    (([[[0.5]]], [[-1.0]]),),
)

_LOW_TABLES = tuple(
    TableIn(squares(n) if b == 0 else equal_parts(n, b), r1=1 - b / 64, r2=-b / 128, low_bits=b)
    for n, b in ((0, 0), (8, 0), (3, 1), (5, 2), (20, 3), (2, 4), (255, 7), (127, 8))
)
_LOW_CLASSES = tuple(8 + c * 3 % 8 for c in range(70))
LOW = PackageOut(
    "low",
    "2×1 tokens × 70 channels: tables of 0 to 8 low bits side by side, up to K=255, one of K=0",
    TablesIn(
        LADDER,
        _LOW_TABLES,
        (PlaneIn(2, 1, 70, (0,), (0, 1), ((0,) * 70,) * 2, (_LOW_CLASSES, _LOW_CLASSES[::-1])),),
    ),
    (_identity(2, 1, 70),),
)

PACKAGES = (
    ONE, SPECTRAL, THREE, TWO, WIDE, MASK, INTEGER_NONE, INTEGER_LEFT, INTEGER_LINEAR, INTEGER_NEIGHBOURS, INTEGER_CHANNELS,
    LIST, BIG, DIGITS, DIGITS_ASTRAY, TURNED, TURNED_SKEW, ONE_LOW, LOW,
)  # fmt: skip
