"""`tables.bin` (bitstream §6) as plain records: what a fit builds and what quantisation looks up.

Validating is the compiled core's `TableSet`, which also codes. `Tables.decode` only reads what the core has accepted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.bitstream.core import crc32c
from codec.types import FloatArray, PlaneKind

UInt8Array = npt.NDArray[np.uint8]
MAX_BYTES = 131_072
NEVER_SENT = 255  # in a layer map
TOTAL = 65_536  # frequencies of one table sum to this


@dataclass(frozen=True, slots=True)
class Level:
    """One static table: indices 0 … K−1 have frequencies T_(k+1) − T_k, the escape has what is left of 65536.

    Index 0 is the value 0; each other one stands for 2^`low_bits` magnitudes that share its frequency equally.
    """

    thresholds: tuple[int, ...]  # T_1 < … < T_K, multiples of 2^low_bits; empty: all is 0, nothing is coded
    r1: float  # reconstruction of magnitude 1, in steps
    r2: float  # added to larger magnitudes, in steps
    theta: float = 0.0  # dead zone, in steps
    low_bits: int = 0

    @property
    def frequencies(self) -> npt.NDArray[np.int64]:
        """Frequencies of 0 … K (the escape last), sum 65536."""
        edges = np.array([0, *self.thresholds, TOTAL], dtype=np.int64)
        return edges[1:] - edges[:-1]

    def encode(self) -> bytes:
        k = len(self.thresholds)
        head = struct.pack("<BBHfff", k, self.low_bits, 0, self.r1, self.r2, self.theta)
        return head + struct.pack(f"<{k}H", *self.thresholds)


def index_of(magnitude: npt.NDArray[np.int64], low_bits: int) -> npt.NDArray[np.int64]:
    """The index of each magnitude in a table of so many low bits, escapes counted on from K (bitstream §5.3)."""
    return np.where(magnitude > 0, ((magnitude - 1) >> low_bits) + 1, 0)


@dataclass(frozen=True)
class PlaneMaps:
    """What the file says about one plane."""

    rows: int
    cols: int
    channels: int
    kind: PlaneKind
    layer_shift: tuple[int, ...]  # one per layer, added to the ladder index
    bands: UInt8Array  # F: band of each token frequency
    layer_map: UInt8Array  # B×C: layer, or NEVER_SENT
    class_map: UInt8Array  # B×C: scale level at ladder position 0

    def encode(self) -> bytes:
        head = struct.pack(
            "<BBHBBBB",
            self.rows,
            self.cols,
            self.channels,
            len(self.layer_shift),
            len(self.layer_map),
            int(self.kind),
            0,
        )
        shift = struct.pack(f"<{len(self.layer_shift)}b", *self.layer_shift)
        return head + shift + self.bands.tobytes() + self.layer_map.tobytes() + self.class_map.tobytes()


@dataclass(frozen=True)
class Tables:
    """A whole table file before it is bytes."""

    ladder: FloatArray  # m step widths, strictly increasing, latent units
    levels: tuple[Level, ...]
    planes: tuple[PlaneMaps, ...]

    def encode(self) -> bytes:
        """The bytes of `tables.bin`; equal fits give equal bytes."""
        body = np.asarray(self.ladder, dtype="<f4").tobytes()
        body += b"".join(level.encode() for level in self.levels)
        body += b"".join(plane.encode() for plane in self.planes)
        head = struct.pack("<4sBBBB", b"NECT", 0, len(self.planes), len(self.levels), len(self.ladder))
        data = head + struct.pack("<I", 12 + len(body) + 4) + body
        return data + struct.pack("<I", crc32c(data))

    @classmethod
    def decode(cls, data: bytes) -> Tables:
        """Read a table file that the core's TableSet has accepted; nothing is checked a second time."""
        n_planes, n_levels, n_ladder = data[5], data[6], data[7]
        ladder = np.frombuffer(data, dtype="<f4", count=n_ladder, offset=12).astype(np.float32)
        at = 12 + 4 * n_ladder
        levels = []
        for _ in range(n_levels):
            k, low_bits, _, r1, r2, theta = struct.unpack_from("<BBHfff", data, at)
            levels.append(Level(struct.unpack_from(f"<{k}H", data, at + 16), r1, r2, theta, low_bits))
            at += 16 + 2 * k
        planes = []
        for _ in range(n_planes):
            rows, cols, channels, n_layers, n_bands, kind, _ = struct.unpack_from("<BBHBBBB", data, at)
            at += 8
            shift = struct.unpack_from(f"<{n_layers}b", data, at)
            at += n_layers
            n_frequencies, n_map = rows * cols, n_bands * channels
            raw = np.frombuffer(data, dtype=np.uint8, count=n_frequencies + 2 * n_map, offset=at)
            bands, layer_map, class_map = np.split(raw, [n_frequencies, n_frequencies + n_map])
            shape = (n_bands, channels)
            at += len(raw)
            planes.append(
                PlaneMaps(
                    rows,
                    cols,
                    channels,
                    PlaneKind(kind),
                    shift,
                    bands,
                    layer_map.reshape(shape),
                    class_map.reshape(shape),
                )
            )
        return cls(ladder, tuple(levels), tuple(planes))

    def usable_indices(self) -> range:
        """The ladder indices at which every layer of every plane lies on the ladder (bitstream §5.2)."""
        shifts = [0, *(s for plane in self.planes for s in plane.layer_shift)]
        return range(-min(shifts), len(self.ladder) - max(shifts))
