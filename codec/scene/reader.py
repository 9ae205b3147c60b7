"""A scene: bands of files on one pixel grid, read by windows as reflectance with validity.

Grid: pixel size and position of the finest band opened; extent: the union of the finest bands. Bands of
other resolution are brought onto it through their transforms (`resample.py`). A pixel is valid when every band
*asked for* has data there, so a band that covers less makes the rest invalid only for those who use it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any

import numpy as np

from codec.errors import InputError
from codec.scene.georeference import Affine6
from codec.scene.pixel_sample import valid_dn
from codec.scene.resample import GridMap, bilinear
from codec.scene.scaling import Decoding
from codec.scene.sensors import Sensor
from codec.scene.sources import Source, gdal, open_dataset, read_pixels
from codec.types import BoolArray, FloatArray, Georeference

Window = tuple[int, int, int, int]  # row, col, height, width


@dataclass(frozen=True, slots=True)
class SceneBand:
    """One band ready to be read."""

    source: Source
    decoding: Decoding
    grid: GridMap  # scene pixel → source pixel
    raw_bytes: int  # of its native pixels inside the scene


class Scene:
    """Made by `open_scene`. A context manager: files are opened when first read and closed at the end."""

    def __init__(
        self,
        sensor: Sensor,
        bands: Mapping[str, SceneBand],
        height: int,
        width: int,
        georeference: Georeference,
        time: datetime | None,
        notes: list[str],
        medians: Mapping[str, float],
    ) -> None:
        self.sensor = sensor
        self.bands = tuple(bands)  # canonical names, in the sensor's order
        self.height = height
        self.width = width
        self.georeference = georeference
        self.time = time
        self.notes = notes  # what was decided, each said once
        self.medians = medians  # reflectance of sampled valid pixels, by band; for judging, not for results
        self._bands = dict(bands)
        self._open: dict[str, Any] = {}

    @property
    def transform(self) -> Affine6:
        return self.georeference.transform

    @property
    def raw_bytes(self) -> int:
        """`raw_bytes_of` all bands opened."""
        return self.raw_bytes_of(self.bands)

    def raw_bytes_of(self, bands: Sequence[str]) -> int:
        """Bytes of the native pixels of these bands inside the scene, uncompressed.

        A number counts what the sensor delivers (2 bytes; 1 for 8-bit products), even where the file spends
        more on it, so that a ratio against it never gains from a float64 file.
        """
        chosen = [self._bands[name] for name in bands]
        # A narrow band may stand for a broad one, too.
        return sum({(band.source.name, band.source.index): band.raw_bytes for band in chosen}.values())

    def read(self, window: Window, bands: Sequence[str]) -> tuple[FloatArray, BoolArray]:
        """Reflectance C×H×W float32 and validity H×W of a window of the scene's grid, in the order of `bands`.

        The window may reach beyond the scene; what is outside is invalid. Invalid pixels are 0 in all bands.
        Memory is that of the window at each band's own resolution. Raises InputError for a band that is not
        there and for pixels that cannot be read (a cut file).
        """
        row, col, height, width = window
        if height < 1 or width < 1:
            raise InputError("a window needs at least one pixel", found=f"{height}×{width}")
        missing = [name for name in bands if name not in self._bands]
        if missing or not bands:
            raise InputError(
                f"the scene has no band {', '.join(missing) or 'asked for'}",
                fix=f"it has {', '.join(self.bands)}",
            )
        pixels = np.zeros((len(bands), height, width), np.float32)
        validity = np.ones((height, width), np.bool_)
        groups: dict[tuple[str, GridMap], list[int]] = {}  # read the bands of one file together
        for position, name in enumerate(bands):
            band = self._bands[name]
            groups.setdefault((band.source.name, band.grid), []).append(position)
        with gdal():
            for (_, grid), positions in groups.items():
                members = [self._bands[bands[p]] for p in positions]
                top, left, tall, wide = grid.needed(row, col, height, width)
                for position, member, (values, valid) in zip(
                    positions, members, self._read_native(members, top, left, tall, wide), strict=True
                ):
                    reflectance = values * member.decoding.gain + member.decoding.offset
                    if not grid.aligned:
                        reflectance, valid = bilinear(
                            reflectance,
                            valid,
                            grid.rows.centres(row, height) - top,
                            grid.cols.centres(col, width) - left,
                        )
                    pixels[position] = reflectance
                    validity &= valid
        rows, cols = np.arange(row, row + height), np.arange(col, col + width)
        validity &= ((rows >= 0) & (rows < self.height))[:, None] & ((cols >= 0) & (cols < self.width))[
            None, :
        ]
        pixels[:, ~validity] = 0.0
        return pixels, validity

    def _read_native(
        self, members: Sequence[SceneBand], top: int, left: int, tall: int, wide: int
    ) -> list[tuple[Any, BoolArray]]:
        """DN as float64 and validity of a window of the bands' own grid; outside the file: 0 and False."""
        from rasterio.windows import Window as RasterWindow

        source = members[0].source
        out = [
            (np.zeros((tall, wide), np.float64), np.zeros((tall, wide), np.bool_))
            for _ in range(len(members))
        ]
        r0, r1 = max(top, 0), min(top + tall, source.height)
        c0, c1 = max(left, 0), min(left + wide, source.width)
        if r0 >= r1 or c0 >= c1:
            return out
        dataset = self._open.get(source.name)
        if dataset is None:
            dataset = self._open[source.name] = open_dataset(source.name, source.file)
        indexes = [member.source.index for member in members]
        inside = RasterWindow(c0, r0, c1 - c0, r1 - r0)
        data = read_pixels(dataset, source, indexes, window=inside)
        mask = dataset.read_masks(indexes, window=inside) if source.has_mask else None
        place = np.s_[r0 - top : r1 - top, c0 - left : c1 - left]
        for k, member in enumerate(members):
            dn = data[k].astype(np.float64)
            valid = valid_dn(dn, member.source, member.decoding.invalid)
            if mask is not None:
                valid &= mask[k] != 0
            self._note_not_finite(member, dn)
            out[k][0][place] = np.where(valid, dn, 0.0)
            out[k][1][place] = valid
        return out

    def _note_not_finite(self, member: SceneBand, dn: Any) -> None:
        """Say once for each band what of its numbers is none, unless that is its declared nodata value."""
        source = member.source
        if not source.dtype.startswith("float"):
            return
        nodata = np.nan if source.nodata is None else float(source.nodata)
        declared_nan = source.nodata is not None and np.isnan(nodata)
        for kind, found in (
            ("NaN", np.isnan(dn).any() and not declared_nan),
            ("infinite", (np.isinf(dn) & (dn != nodata)).any()),
        ):
            note = f"{source.file} band {source.index} holds {kind} pixels, taken as not measured"
            if found and note not in self.notes:
                self.notes.append(note)

    def close(self) -> None:
        for dataset in self._open.values():
            dataset.close()
        self._open.clear()

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
