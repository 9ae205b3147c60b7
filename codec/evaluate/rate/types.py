"""What travels through the harness: tile sets, their embeddings, what a method made of them, and one scored point.

    TileSet ──encoder──▶ Planes ──embedding method──▶ Coded ──▶ features ──head──▶ Point
    TileSet ──pixel method──▶ Coded ──encoder on the ground──▶ features ──head──▶ Point

N tiles, B bands, T×T pixels, h×w tokens, C channels. Sizes are bytes of complete records or files as they are sent, never
likelihoods; headers that all tiles of a method share are stripped from every method alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.types import BoolArray, FloatArray

IntArray = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]
UNLABELLED = -1


@dataclass(frozen=True, slots=True)
class TileSet:
    """Tiles of equal size. Tiles of one scene lie side by side; a lone tile is a scene of its own."""

    name: str
    bands: tuple[str, ...]  # canonical names
    pixels: FloatArray  # N×B×T×T reflectance, absent bands 0
    present: BoolArray  # N×B
    validity: BoolArray  # N×T×T, True where measured
    scene: IntArray  # N, number of the tile's scene
    place: IntArray  # N×2, row and column of the tile in its scene, in tiles
    groups: IntArray  # N, place and block: a group is never split between fitting and scoring
    gsd: float | None = None  # metres per pixel; None where it is not known

    def __post_init__(self) -> None:
        n = len(self.pixels)
        shapes = (
            self.present.shape == (n, len(self.bands)),
            self.validity.shape == (n, *self.pixels.shape[2:]),
            self.scene.shape == (n,),
            self.place.shape == (n, 2),
            self.groups.shape == (n,),
            self.pixels.ndim == 4 and self.pixels.shape[1] == len(self.bands),
        )
        if not all(shapes):
            raise InputError(f"the parts of tile set {self.name!r} differ in shape", found=self.pixels.shape)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def tile(self) -> int:
        """Side in pixels."""
        return int(self.pixels.shape[2])

    @property
    def km2_per_tile(self) -> float | None:
        """Ground area of one tile."""
        return None if self.gsd is None else (self.tile * self.gsd / 1000) ** 2


@dataclass(frozen=True, slots=True)
class Planes:
    """The frozen encoder's output for a tile set."""

    values: Mapping[str, FloatArray]  # plane → N×h×w×C, `tokens` and perhaps `spectral`
    validity: BoolArray  # N×h×w

    def __len__(self) -> int:
        return len(self.validity)

    def only(self, keep: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Planes:
        """Some of the tiles."""
        return Planes({name: x[keep] for name, x in self.values.items()}, self.validity[keep])

    @property
    def elements_per_tile(self) -> int:
        """Tokens × width of the encoder's own output, before any projection: what bits per element count."""
        return int(np.prod(self.values["tokens"].shape[1:]))


@dataclass(frozen=True, slots=True)
class Coded:
    """What the ground has after one method sent N tiles at one setting. Every answer was decoded from the bytes."""

    setting: str  # quality, as the method names it
    sizes: (
        FloatVector  # N, bytes of each tile; what tiles share is divided among them; the sum is what is sent
    )
    planes: Mapping[str, FloatArray] = field(default_factory=dict)  # decoded embeddings: plane → N×h×w×C
    pixels: FloatArray | None = None  # decoded N×B×T×T reflectance, of pixel methods

    @property
    def bytes_per_tile(self) -> float:
        return float(self.sizes.mean())


class EmbeddingCoder(Protocol):
    """A method that sends embeddings, fitted on training planes and on nothing else."""

    @property
    def settings(self) -> Sequence[str]:
        """From the finest to the coarsest."""

    def code(self, planes: Planes, setting: str) -> Coded:
        """Encode, count, decode. Tiles may share records or files; their order is that of a scene, row by row."""


class PixelCoder(Protocol):
    """A method that sends pixels."""

    @property
    def bands(self) -> tuple[str, ...] | None:
        """The bands that are sent; None: all that the set has."""

    @property
    def settings(self) -> Sequence[str]:
        """From the finest to the coarsest."""

    def code(self, tiles: TileSet, setting: str) -> Coded:
        """Encode, count, decode the bands that the set has."""


@dataclass(frozen=True, slots=True)
class Method:
    """One way to send tiles, before it is fitted."""

    name: str  # as rows and legends call it
    sends: Literal["embedding", "pixels"]
    source: str  # paper, library and version it follows


class EmbeddingMethod(Protocol):
    @property
    def about(self) -> Method: ...

    def fit(self, train: Planes) -> EmbeddingCoder: ...


class PixelMethod(Protocol):
    @property
    def about(self) -> Method: ...

    def fit(self, train: TileSet) -> PixelCoder: ...
