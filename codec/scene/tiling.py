"""A scene as tiles, and token maps of tiles as one map of the scene."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.scene.band_names import check_names
from codec.scene.reader import Scene
from codec.types import BoolArray, FloatArray, Georeference, Tile, TileGrid


def grid_for(scene: Scene, core: int) -> TileGrid:
    """Square cores of `core` pixels over the whole scene."""
    return TileGrid(scene.height, scene.width, core, core)


def tiles(
    scene: Scene, band_list: Sequence[str], *, core: int, margin: int, grid: TileGrid | None = None
) -> Iterator[Tile]:
    """The scene's tiles row by row: windows of core + 2·margin pixels, bands in the order of `band_list`.

    Bands that the scene lacks are 0 and not present; a pixel is valid when all bands present have data there.
    What lies outside the scene is invalid. Raises InputError when no band of the list is there, or a name is
    not canonical.
    """
    grid = grid or grid_for(scene, core)
    if (grid.height, grid.width) != (scene.height, scene.width) or core not in (
        grid.core_height,
        grid.core_width,
    ):
        raise InputError(
            "the tile grid is another than the scene's",
            expected=f"{scene.height}×{scene.width}, core {core}",
            found=f"{grid.height}×{grid.width}, core {grid.core_height}×{grid.core_width}",
        )
    if margin < 0:
        raise InputError("the margin cannot be negative", found=margin)
    check_names(band_list)
    positions = [i for i, name in enumerate(band_list) if name in scene.bands]
    if not positions:
        raise InputError(
            f"the scene has none of the bands {', '.join(band_list)}", fix=f"it has {', '.join(scene.bands)}"
        )
    present = np.zeros(len(band_list), np.bool_)
    present[positions] = True
    names = [band_list[i] for i in positions]
    height, width = grid.core_height + 2 * margin, grid.core_width + 2 * margin
    for index in range(grid.n_tiles):
        row, col = grid.origin(index)
        read, validity = scene.read((row - margin, col - margin, height, width), names)
        pixels = np.zeros((len(band_list), height, width), np.float32)
        pixels[positions] = read
        yield Tile(index, pixels, validity, present.copy(), scene.time)


def token_validity(validity: BoolArray, patch: int) -> BoolArray:
    """h×w of H×W pixels: a token is valid when at least half of its patch × patch pixels are."""
    height, width = validity.shape
    _whole_patches(height, width, patch)
    counts = validity.reshape(height // patch, patch, width // patch, patch).sum(axis=(1, 3))
    valid: BoolArray = 2 * counts >= patch * patch
    return valid


def doubled_tokens(grid: TileGrid, patch: int, tile_index: int) -> BoolArray:
    """h×w of the core: tokens that are another tile's, or wholly outside a scene smaller than a tile.

    These are the derived-invalid tokens of docs/bitstream.md §3.1: a token that only begins in another tile's
    pixels stays, so that every pixel of the scene is in some token.
    """
    _whole_patches(grid.core_height, grid.core_width, patch)
    double_rows, double_cols = grid.doubled(tile_index)
    rows = np.arange(grid.core_height // patch)
    cols = np.arange(grid.core_width // patch)
    bad_rows = ((rows + 1) * patch <= double_rows) | (rows * patch >= min(grid.height, grid.core_height))
    bad_cols = ((cols + 1) * patch <= double_cols) | (cols * patch >= min(grid.width, grid.core_width))
    doubled: BoolArray = bad_rows[:, None] | bad_cols[None, :]
    return doubled


def mosaic(
    grid: TileGrid, patch: int, values: FloatArray, validity: BoolArray
) -> tuple[FloatArray, BoolArray]:
    """Tokens N×h×w×C of the cores and their validity N×h×w → the scene's map rows×cols×C and rows×cols.

    One value for each patch × patch pixels of the scene, counted from its corner; the last row and column may
    reach beyond it. Each cell takes the token that contains its centre pixel, of the tile that owns this pixel.
    Where a shifted tile's origin is no multiple of the patch, this is the nearest token, at most half a patch
    off. Invalid cells are 0.
    """
    _whole_patches(grid.core_height, grid.core_width, patch)
    expected = (grid.n_tiles, grid.core_height // patch, grid.core_width // patch)
    if values.ndim != 4 or values.shape[:3] != expected or validity.shape != expected:
        raise InputError(
            "the tokens do not fit the tile grid",
            expected=expected,
            found=f"{values.shape} and {validity.shape}",
        )
    tile_rows, token_rows = owners(grid.height, grid.core_height, patch)
    tile_cols, token_cols = owners(grid.width, grid.core_width, patch)
    tile = tile_rows[:, None] * grid.n_cols + tile_cols[None, :]
    place = (tile, token_rows[:, None], token_cols[None, :])
    valid: BoolArray = validity[place]
    return np.where(valid[..., None], values[place], values.dtype.type(0)), valid


def mosaic_georeference(georeference: Georeference, patch: int) -> Georeference:
    """Where the cells of `mosaic` lie."""
    a, b, c, d, e, f = georeference.transform
    return Georeference(
        (a * patch, b * patch, c, d * patch, e * patch, f), georeference.epsg, georeference.wkt
    )


def owners(extent: int, core: int, patch: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each cell of `mosaic` along one axis: its tile along the axis, and the token in the tile's core.

    `extent` and `core` are the scene's and the core's pixels along the axis; `patch` divides `core`.
    """
    first = np.arange(0, extent, patch)
    centre = np.minimum(first + patch // 2, extent - 1)
    tile = centre // core
    origin = np.maximum(0, np.minimum(tile * core, extent - core))
    return tile, (centre - origin) // patch


def _whole_patches(height: int, width: int, patch: int) -> None:
    if patch < 1 or height % patch or width % patch:
        raise InputError("a tile must hold whole patches", found=f"{height}×{width} pixels, patch {patch}")
