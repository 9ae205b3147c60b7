"""What the tests of the bitstream share: table files and headers built from the text, and strategies over them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from codec.bitstream import extensions as ext
from codec.bitstream.core import TableSet, crc32c
from codec.bitstream.header import FLAG_EMBEDDED_TABLES, FileHeader
from codec.types import Georeference, PlaneKind, PlaneSpec, Symbols, TileGrid

LADDER = tuple(2.0 ** ((i - 8) / 2) for i in range(16))
# K = 0, 1, 2, 4, 8: nothing coded, then ever wider tables.
THRESHOLDS = (
    (),
    (60000,),
    (48000, 62000),
    (30000, 50000, 60000, 65000),
    (12000, 24000, 34000, 43000, 51000, 58000, 62000, 65000),
)


@dataclass(frozen=True)
class PlaneTables:
    """One plane of a table file: bands by frequency, layer and class by band and channel."""

    rows: int
    cols: int
    channels: int
    layer_shift: tuple[int, ...]
    bands: tuple[int, ...]  # F
    layer_map: np.ndarray  # B×C uint8
    class_map: np.ndarray  # B×C uint8
    kind: int = 0

    def spec(self, number: int = 0) -> PlaneSpec:
        space_id = b"space_" + struct.pack("<H", number)
        n_layers = len(self.layer_shift)
        return PlaneSpec(self.rows, self.cols, self.channels, n_layers, PlaneKind(self.kind), space_id)

    def encode(self) -> bytes:
        n_bands = len(self.layer_map)
        head = struct.pack(
            "<BBHBBBB", self.rows, self.cols, self.channels, len(self.layer_shift), n_bands, self.kind, 0
        )
        shifts = struct.pack(f"<{len(self.layer_shift)}b", *self.layer_shift)
        return head + shifts + bytes(self.bands) + self.layer_map.tobytes() + self.class_map.tobytes()


def table_file(*planes: PlaneTables) -> bytes:
    """`tables.bin` as §6 lays it out."""
    body = b"".join(
        struct.pack("<BBHfff", len(t), 0, 0, 0.9, -0.1, 0.1) + struct.pack(f"<{len(t)}H", *t)
        for t in THRESHOLDS
    )
    body += b"".join(plane.encode() for plane in planes)
    ladder = struct.pack(f"<{len(LADDER)}f", *LADDER)
    length = 12 + len(ladder) + len(body) + 4
    head = b"NECT" + struct.pack("<BBBBI", 0, len(planes), len(THRESHOLDS), len(LADDER), length)
    data = head + ladder + body
    return data + struct.pack("<I", crc32c(data))


def uniform_plane(
    rows: int,
    cols: int,
    channels: int,
    n_layers: int = 2,
    *,
    classes: int = 11,
    layer_shift: tuple[int, ...] = (),
) -> PlaneTables:
    """Band 0 is the mean and layer 0; all other frequencies are band 1, spread over the other layers."""
    n_bands = 1 if rows * cols == 1 else 2
    layer_map = np.zeros((n_bands, channels), dtype=np.uint8)
    if n_bands == 2:
        layer_map[1] = 1 + np.arange(channels) % max(1, n_layers - 1) if n_layers > 1 else 0
    return PlaneTables(
        rows, cols, channels, layer_shift or (0,) * n_layers,
        (0,) + (1,) * (rows * cols - 1), layer_map, np.full((n_bands, channels), classes, dtype=np.uint8),
    )  # fmt: skip


SMALL = (uniform_plane(3, 2, 4, 3, layer_shift=(-2, 0, 1)), uniform_plane(1, 1, 5, 1))
SMALL_TABLES = table_file(*SMALL)


def header(*planes: PlaneTables, tiles: int = 5, **fields: object) -> FileHeader:
    """A header for these planes; without a `grid`, of a plain list of `tiles` tiles of 8×8 pixels."""
    values: dict[str, object] = {
        "sensor": "sentinel2-l2a", "codec_id": b"codec_id", "grid": TileGrid(8 * tiles, 8, 8, 8),
        "georeference": Georeference((10.0, 0.0, 5e5, 0.0, -10.0, 4e6), 32633),
        "planes": tuple(plane.spec(i) for i, plane in enumerate(planes or SMALL)), "ladder_index": 8,
    }  # fmt: skip
    return FileHeader(**(values | fields))  # type: ignore[arg-type]


def coded_positions(tables: TableSet, plane: int, ladder_index: int) -> np.ndarray:
    """C×F, True where the layer's table has a threshold at this ladder index (§5.2), worked out from the maps."""
    layout = tables.plane(plane)
    shift = np.append(np.asarray(layout["layer_shift"], dtype=int), [0] * (256 - len(layout["layer_shift"])))
    layer_map = np.asarray(layout["layer_map"], dtype=int)
    level = np.clip(
        np.asarray(layout["class_map"], dtype=int) - ladder_index - shift[layer_map], 0, len(THRESHOLDS) - 1
    )
    sent = (layer_map != 255) & (np.array([len(t) for t in THRESHOLDS])[level] > 0)
    return sent[np.asarray(layout["bands"])].T


def random_symbols(
    tables: TableSet, head: FileHeader, plane: int, seed: int, *, spread: float = 1.5, valid: float = 0.8
) -> Symbols:
    """Symbols that can be sent, some large, and a validity with whole, partly masked and masked tiles."""
    rng = np.random.default_rng(seed)
    spec = head.planes[plane]
    values = np.rint(rng.laplace(0, spread, (head.n_tiles, spec.channels, spec.n_frequencies)))
    values[rng.random(values.shape) < 0.002] *= 2000
    values = np.clip(values, -32767, 32767).astype(np.int16)
    values *= coded_positions(tables, plane, head.ladder_index)
    validity = rng.random((head.n_tiles, spec.rows, spec.cols)) < valid
    mood = rng.random(head.n_tiles)
    validity[mood < 0.5] = True
    validity[mood > 0.85] = False
    return Symbols(plane, values, validity)


def canonical(tables: TableSet, head: FileHeader, symbols: Symbols, tile_mask: np.ndarray) -> np.ndarray:
    """What a decoder sees of symbols: those of masked tiles are 0."""
    values = np.array(symbols.values)
    values[tile_mask] = 0
    return values


@st.composite
def file_headers(draw: st.DrawFn) -> FileHeader:
    """Any header of at most 800 bytes."""
    grid = TileGrid(
        draw(st.integers(1, 5000)),
        draw(st.integers(1, 5000)),
        draw(st.integers(32, 65535)),
        draw(st.integers(32, 65535)),
    )
    planes = draw(
        st.lists(
            st.builds(
                PlaneSpec, st.integers(1, 64), st.integers(1, 64), st.integers(1, 4096), st.integers(1, 16),
                st.sampled_from(PlaneKind), st.binary(min_size=8, max_size=8),
            ),
            min_size=1, max_size=8,
        )
    )  # fmt: skip
    finite = st.floats(allow_nan=False, allow_infinity=False)
    epsg = draw(st.sampled_from([0, 4326, 32633, 2**32 - 1]))
    wkt = draw(st.text(max_size=60))
    floats = [i for i, plane in enumerate(planes) if plane.kind == PlaneKind.FLOAT]
    averaged = sorted(draw(st.sets(st.sampled_from(floats)))) if floats else []
    extensions = [ext.mean_vector_extension(p, draw(st.binary(min_size=1, max_size=12))) for p in averaged]
    if wkt and epsg and draw(st.booleans()):  # the text and the code differ
        extensions.append(ext.Extension(2, True, wkt.encode()))
    if draw(st.booleans()):
        extensions.append(ext.source_name_extension(draw(st.text(min_size=1, max_size=20))))
    unknown = sorted(draw(st.sets(st.integers(9, 127), max_size=3)))
    extensions += [ext.Extension(number, False, draw(st.binary(max_size=20))) for number in unknown]
    return FileHeader(
        sensor=draw(st.from_regex(r"[a-z0-9-]{1,16}", fullmatch=True)),
        codec_id=draw(st.binary(min_size=8, max_size=8)),
        grid=grid,
        georeference=Georeference(draw(st.tuples(*[finite] * 6)), epsg, wkt),
        planes=tuple(planes),
        ladder_index=draw(st.integers(0, 254)),
        band_mask=draw(st.integers(0, 2**64 - 1)),
        run=draw(st.integers(0, 2**32 - 1)),
        time_us=draw(st.integers(-(2**63), 2**63 - 1)),
        flags=draw(st.sampled_from([0, FLAG_EMBEDDED_TABLES])),
        extensions=tuple(extensions),
    )
