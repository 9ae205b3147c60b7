"""Where tiles and tokens lie on the map and on the globe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from codec.errors import InputError
from codec.types import Georeference, PlaneSpec, TileGrid

LonLat = tuple[float, float]
_DIGITS = 7  # of a degree: about a centimetre
_EDGE_POINTS = 8  # a straight edge of the scene is curved on the globe


@dataclass(frozen=True, slots=True)
class Pixels:
    """A rectangle of scene pixels."""

    top: int
    left: int
    bottom: int  # exclusive
    right: int


def patch_of(grid: TileGrid, plane: PlaneSpec) -> int | None:
    """Pixels along one side of a token; None where tokens are no squares of whole pixels and make no map."""
    patch = grid.core_height // plane.rows
    square = patch * plane.rows == grid.core_height and patch * plane.cols == grid.core_width
    return patch if square and patch > 0 else None


def owned(grid: TileGrid, tile_index: int) -> Pixels:
    """The pixels of the scene that belong to a tile: its core without what is doubled or beyond the scene."""
    top, left = grid.origin(tile_index)
    down, right = grid.doubled(tile_index)
    return Pixels(
        top + down,
        left + right,
        min(top + grid.core_height, grid.height),
        min(left + grid.core_width, grid.width),
    )


class Globe:
    """Turns pixels of a scene into longitude and latitude. Raises InputError when there is no CRS that PROJ knows."""

    def __init__(self, georeference: Georeference) -> None:
        from codec.scene.georeference import to_crs

        self._crs = to_crs(georeference)
        self._transform = georeference.transform

    def ring(self, box: Pixels, points: int = 1) -> list[LonLat]:
        """The closed outline of a rectangle, counter-clockwise on a north-up map, `points` points a side."""
        corners = [(box.top, box.left), (box.bottom, box.left), (box.bottom, box.right), (box.top, box.right)]
        outline = []
        for (row0, col0), (row1, col1) in zip(corners, corners[1:] + corners[:1], strict=True):
            outline += [
                (row0 + (row1 - row0) * i / points, col0 + (col1 - col0) * i / points) for i in range(points)
            ]
        ring = self._project([*outline, outline[0]])
        # RFC 7946 wants the outer ring counter-clockwise; a transform with a flipped axis turns it.
        return ring if _area(ring) >= 0 else ring[::-1]

    def scene_ring(self, grid: TileGrid) -> list[LonLat]:
        return self.ring(Pixels(0, 0, grid.height, grid.width), _EDGE_POINTS)

    def _project(self, pixels: Sequence[tuple[float, float]]) -> list[LonLat]:
        from rasterio.errors import RasterioError
        from rasterio.warp import transform

        a, b, c, d, e, f = self._transform
        xs = [a * col + b * row + c for row, col in pixels]
        ys = [d * col + e * row + f for row, col in pixels]
        try:
            lons, lats = transform(self._crs, "EPSG:4326", xs, ys)
        except RasterioError as error:
            raise InputError("the scene's place cannot be given as longitude and latitude") from error
        if not all(abs(lon) <= 360 and abs(lat) <= 90 for lon, lat in zip(lons, lats, strict=True)):
            raise InputError("the scene's transform leads off the globe", found=self._transform)
        return [(round(lon, _DIGITS), round(lat, _DIGITS)) for lon, lat in zip(lons, lats, strict=True)]


def bounds(ring: Sequence[LonLat]) -> list[float]:
    """West, south, east, north."""
    lons, lats = zip(*ring, strict=True)
    return [min(lons), min(lats), max(lons), max(lats)]


def polygon(ring: Sequence[LonLat]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[list(point) for point in ring]]}


def _area(ring: Sequence[LonLat]) -> float:
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring)) / 2
