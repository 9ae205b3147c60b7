"""The data types that travel between the rooms: scene → tiles → latents → symbols → records → packets, and back.

Frozen dataclasses; arrays carry their axes in the field's comment. N tiles, C bands or channels, H×W pixels,
h×w tokens, F = h·w token frequencies in raster order (F = 0 is the tile mean, "DC").
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from codec.errors import InputError

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
SymbolArray = npt.NDArray[np.int16]

MAX_TILES = 65_536  # the record header numbers tiles with 16 bits
MAX_PLANES = 8
MAX_LAYERS = 16
MAX_CHANNELS = 4096
MAX_TOKENS_SIDE = 64


@dataclass(frozen=True, slots=True)
class Georeference:
    """Where the pixels lie: the affine transform of pixel corners, and the CRS.

    `transform` is (a, b, c, d, e, f) of x = a·col + b·row + c, y = d·col + e·row + f, as GDAL and rasterio order
    it by rows. `epsg` 0 means that the CRS, if any, is only in `wkt`. Both empty: the raster has no CRS.
    """

    transform: tuple[float, float, float, float, float, float]
    epsg: int = 0
    wkt: str = ""

    def __post_init__(self) -> None:
        if len(self.transform) != 6 or not all(math.isfinite(v) for v in self.transform):
            raise InputError("the affine transform must be six finite numbers", found=self.transform)
        if not 0 <= self.epsg <= 0xFFFFFFFF:
            raise InputError("the EPSG code must be an unsigned 32-bit number", found=self.epsg)

    @property
    def has_crs(self) -> bool:
        return bool(self.epsg or self.wkt)


@dataclass(frozen=True, slots=True)
class TileGrid:
    """Non-overlapping core windows that cover a scene, numbered row by row.

    The last row and column of tiles shift inward so that no window leaves the scene; what they double is masked
    there (`doubled`) and belongs to the earlier tile. All in pixels. A scene smaller than one core window is
    one tile that reaches beyond the scene: the rest of it is invalid.
    """

    height: int
    width: int
    core_height: int
    core_width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise InputError("a scene needs at least one pixel", found=f"{self.height}×{self.width}")
        if self.core_height < 1 or self.core_width < 1:
            raise InputError("a tile needs at least one pixel", found=f"{self.core_height}×{self.core_width}")
        if self.n_tiles > MAX_TILES:
            raise InputError(
                f"{self.n_tiles} tiles exceed the {MAX_TILES} of one file",
                fix="cut the strip and start a new file for the rest",
            )

    @property
    def n_rows(self) -> int:
        return -(-self.height // self.core_height)

    @property
    def n_cols(self) -> int:
        return -(-self.width // self.core_width)

    @property
    def n_tiles(self) -> int:
        return self.n_rows * self.n_cols

    def origin(self, tile_index: int) -> tuple[int, int]:
        """Row and column of the tile's first core pixel; never negative."""
        row, col = divmod(tile_index, self.n_cols)
        return (
            max(0, min(row * self.core_height, self.height - self.core_height)),
            max(0, min(col * self.core_width, self.width - self.core_width)),
        )

    def doubled(self, tile_index: int) -> tuple[int, int]:
        """How many first rows and columns of the tile's core belong to the tile before it."""
        row, col = divmod(tile_index, self.n_cols)
        top, left = self.origin(tile_index)
        return row * self.core_height - top, col * self.core_width - left


@dataclass(frozen=True, slots=True)
class Tile:
    """One window of a scene, as the encoder takes it: the core and its margin."""

    index: int  # in the scene's TileGrid
    pixels: FloatArray  # C×H×W reflectance (1.0 = 100 %), in the package's band order; absent bands are 0
    validity: BoolArray  # H×W, True where measured
    bands_present: BoolArray  # C
    time: datetime | None = None


class PlaneKind(IntEnum):
    """How the integers of a plane become an embedding (bitstream §3.2)."""

    FLOAT = 0  # KLT over channels, DCT over tokens, steps
    INTEGER = 1  # identity or integer lifting, step 1, exact


@dataclass(frozen=True, slots=True)
class PlaneSpec:
    """One embedding grid of a tile: what the header says of it."""

    rows: int  # tokens
    cols: int
    channels: int
    n_layers: int
    kind: PlaneKind
    space_id: bytes  # 8 bytes; what heads bind to

    def __post_init__(self) -> None:
        if not (1 <= self.rows <= MAX_TOKENS_SIDE and 1 <= self.cols <= MAX_TOKENS_SIDE):
            raise InputError(
                f"a plane has 1 to {MAX_TOKENS_SIDE} tokens a side", found=f"{self.rows}×{self.cols}"
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise InputError(f"a plane has 1 to {MAX_CHANNELS} channels", found=self.channels)
        if not 1 <= self.n_layers <= MAX_LAYERS:
            raise InputError(f"a plane has 1 to {MAX_LAYERS} layers", found=self.n_layers)
        if len(self.space_id) != 8:
            raise InputError("a space id has 8 bytes", found=len(self.space_id))

    @property
    def n_frequencies(self) -> int:
        return self.rows * self.cols


@dataclass(frozen=True, slots=True)
class Latent:
    """What the engine gives for one plane: coefficients after the analysis transform, before quantisation."""

    plane: int
    values: FloatArray  # N×C×F, F in raster order of the token frequencies
    token_validity: BoolArray  # N×h×w


@dataclass(frozen=True, slots=True)
class Symbols:
    """The integers the entropy coder sees, one plane of N tiles."""

    plane: int
    values: SymbolArray  # N×C×F
    token_validity: BoolArray  # N×h×w


class RecordKind(IntEnum):
    """First three bits of a record (bitstream §4)."""

    PADDING = 0
    COEFFICIENTS = 1
    TABLES = 2
    INDEX = 3
    SEAL = 4
    REFINEMENT = 5  # reserved: refused by name
    COMPACT = 6  # coefficients in one lane without masks


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """The fixed 8 bytes before a payload (bitstream §4.1)."""

    kind: RecordKind
    plane: int
    layer: int
    log2_lanes: int  # 0 in kind COMPACT
    ladder_offset: int  # −4…3 against the file's ladder index
    first_tile: int
    tile_count: int
    payload_length: int  # bytes, 1…65536
    state_form: int = 0  # of kind COMPACT: bits 2–4 of the form (§5.1), which other kinds have in the payload

    @property
    def is_coefficients(self) -> bool:
        """Of either kind (bitstream §4.1)."""
        return self.kind in (RecordKind.COEFFICIENTS, RecordKind.COMPACT)

    @property
    def lanes(self) -> int:
        return 1 << self.log2_lanes


@dataclass(frozen=True, slots=True)
class Record:
    """One length-prefixed, checksummed unit of a `.nec`: header, payload and CRC as they stand in the file."""

    header: RecordHeader
    data: bytes  # the complete record: 8 + payload + 4 bytes
    offset: int = 0  # in the file or packet it came from


@dataclass(frozen=True, slots=True)
class Embedding:
    """What the ground decodes: one plane of all tiles of a scene.

    Tiles without layer 0 are *missing*: their values are 0 and their validity is False everywhere.
    """

    plane: int
    values: FloatArray  # N×h×w×C
    validity: BoolArray  # N×h×w, True where measured and decoded
    layers: npt.NDArray[np.uint16]  # N, bit l = layer l received


@dataclass(frozen=True, slots=True)
class TileRange:
    """Tiles first … first+count−1 of one (plane, layer)."""

    plane: int
    layer: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Packet:
    """One CCSDS space packet as sent, primary header included (docs/link.md)."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Product:
    """A file handed to a user."""

    name: str
    media_type: str
    data: bytes = field(repr=False)
