"""Opening a scene: from files to bands, a grid, reflectance, and notes on everything that was decided."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from codec.errors import InputError
from codec.scene.georeference import Affine6, same_place, to_georeference
from codec.scene.names import find
from codec.scene.own_names import names_itself, own_bands
from codec.scene.pixel_sample import sample_dn
from codec.scene.plausible import check_plausible
from codec.scene.product_names import ProductName
from codec.scene.reader import Scene, SceneBand
from codec.scene.resample import GridMap, grid_map
from codec.scene.resolve import choose_sensor, read_products, resolve, without_alpha
from codec.scene.safe import SafeProduct, is_safe, read_safe
from codec.scene.scaling import SceneFacts, choose_decodings, invalid_numbers
from codec.scene.sensors import NAMED_BANDS, Role, Sensor
from codec.scene.sensors import sensor as sensor_named
from codec.scene.sources import RASTER_SUFFIXES, Source, probe, probe_name

__all__ = ["Scene", "open_scene"]

_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Grid:
    height: int
    width: int
    transform: Affine6


def open_scene(
    paths: Sequence[Path],
    *,
    sensor: str | None = None,
    bands: Mapping[str, str] | None = None,
    time: datetime | None = None,
    use: Sequence[str] | None = None,
    scaling: str | None = None,
    sun_elevation_deg: float | None = None,
    zoom: int = 1,
) -> Scene:
    """Open one raster file, one file per band, a folder of them, a `.SAFE` folder or its zip.

    Args:
        paths: what to open.
        sensor: name from `sensors.SENSORS`; needed where no metadata and no product name tells.
        bands: band name (any spelling) → place, where the files do not name their bands: a band number of the
            only file (`"3"`), a file, or `file#number`. `names.bands_in_order` makes one from a list.
        time: sensing time; UTC if it has no zone. Else from metadata or the product's name, else None.
        use: bands to open, any spelling. Default: all that see the ground (no cirrus, thermal, panchromatic).
        scaling: how numbers become reflectance (`sensors.Sensor.scalings`), overriding what the files say.
        sun_elevation_deg: for products that need it.
        zoom: sample the pixels bilinearly at 1/zoom of their size.

    Returns a Scene; its `notes` say what was decided on what grounds. Raises InputError for anything missing,
    unreadable, contradictory, or open to more than one reading.
    """
    paths = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    if not paths:
        raise InputError("no file is given", fix="name a raster file, a folder or a .SAFE product")
    if zoom < 1 or zoom != int(zoom):
        raise InputError("zoom must be a whole number from 1 on", found=zoom)
    notes: list[str] = []
    safe = read_safe(paths[0]) if len(paths) == 1 and is_safe(paths[0]) else None
    if safe is not None:
        what, product, named = _from_safe(safe, sensor)
        notes.append(f"{safe.title} is {what.name}")
    else:
        files, strict = _files(paths)
        sources = [source for file in files for source in probe(file)]
        if sensor is None:
            sensor, product, reason = choose_sensor(sources, paths)
            notes.append(f"sensor {sensor}: {reason}")
        else:
            product = read_products(paths, sources)
            if product.sensor not in (None, sensor):
                notes.append(f"taken as {sensor}, though the name {product.source} says {product.sensor}")
        what = sensor_named(sensor)
        own = what.name == NAMED_BANDS
        sources, said = without_alpha(what, sources, bands, names_itself if own else None)
        notes += said
        if own:
            what, named, said = own_bands(sources, bands, strict=strict)
        else:
            named, said = resolve(what, sources, bands, strict=strict)
        notes += said
    chosen = _chosen(what, named, use, explicit=bands is not None)
    notes += dict.fromkeys(note for source in chosen.values() for note in source.notes)
    crs, said = _common_crs(list(chosen.values()))
    notes += said
    time = time or (safe.time if safe else product.time)
    if time is not None and time.tzinfo is None:
        time = time.replace(tzinfo=timezone.utc)
    # All bands found are sampled: cirrus, though not opened, tells most about the offset.
    samples = sample_dn(
        named, {name: invalid_numbers(source, what.scalings[0]) for name, source in named.items()}
    )
    facts = SceneFacts(scaling, product, safe, time, sun_elevation_deg)
    decodings, said = choose_decodings(what, chosen, samples, facts)
    notes += said
    medians = {
        name: float(np.median(samples[name])) * decoding.gain + decoding.offset
        for name, decoding in decodings.items()
        if samples[name].size
    }
    notes += check_plausible(medians, asked_for=scaling is not None)
    grid = _grid(list(chosen.values()))
    native_transform = grid.transform
    if zoom > 1:
        a, b, c, d, e, f = grid.transform
        grid = _Grid(grid.height * zoom, grid.width * zoom, (a / zoom, b / zoom, c, d / zoom, e / zoom, f))
        notes.append(f"sampled at ×{zoom}")
    georeference = to_georeference(grid.transform, crs)
    if not georeference.has_crs:
        notes.append("the raster has no CRS: what is made of it cannot be put on the map")
    coarser = [
        name for name, s in chosen.items() if not grid_map(native_transform, s.transform, s.file).aligned
    ]
    if coarser:
        notes.append(f"resampled onto the grid of the finest band: {', '.join(coarser)}")
    ready = {}
    for name, source in chosen.items():
        placed = grid_map(grid.transform, source.transform, source.file)
        ready[name] = SceneBand(source, decodings[name], placed, _raw_bytes(what, source, placed, grid))
    return Scene(what, ready, grid.height, grid.width, georeference, time, notes, medians)


def _from_safe(safe: SafeProduct, sensor: str | None) -> tuple[Sensor, ProductName, dict[str, Source]]:
    if sensor not in (None, safe.sensor):
        raise InputError(
            f"the product is {safe.sensor}, not {sensor}", path=safe.title, fix="leave the sensor out"
        )
    what = sensor_named(safe.sensor)
    named = {}
    for band in what.bands:
        place = safe.images.get(band.native)
        if place is not None:
            named[band.name] = probe_name(place, place.rpartition("/")[2], band.native)[0]
    return what, ProductName(), named


def _files(paths: Sequence[Path]) -> tuple[list[Path], bool]:
    """The raster files meant, and whether each was named (then each must be used)."""
    folders = [path for path in paths if path.is_dir()]
    if not folders:
        return list(paths), True
    if len(paths) > 1:
        raise InputError(
            "a folder stands beside other paths", path=folders[0], fix="give one folder, or files"
        )
    files = sorted(file for file in folders[0].iterdir() if file.suffix.lower() in RASTER_SUFFIXES)
    if not files:
        raise InputError(
            "no raster file in this folder", path=folders[0], fix="give the folder of the band files"
        )
    return files, False


def _chosen(
    what: Sensor, named: Mapping[str, Source], use: Sequence[str] | None, *, explicit: bool
) -> dict[str, Source]:
    """The bands to open: those asked for, else those named explicitly, else those that see the ground."""
    if use is not None:
        wanted = {find(what, text).name for text in use}
        missing = [name for name in what.band_names if name in wanted and name not in named]
        if missing:
            raise InputError(
                f"the files have no band {', '.join(missing)}", fix=f"they have {', '.join(named)}"
            )
        return {name: source for name, source in named.items() if name in wanted}
    chosen = {n: s for n, s in named.items() if explicit or what.band(n).role is Role.SURFACE}
    if not chosen:
        raise InputError(
            f"only {', '.join(named)} found, and no band that sees the ground", fix="ask for them by name"
        )
    return chosen


def _common_crs(sources: Sequence[Source]) -> tuple[Any, list[str]]:
    """The one CRS of all bands; those that differ in name only are one."""
    base = next((source for source in sources if source.crs), None)
    if base is None:
        if any(s.transform != _IDENTITY and s.transform != sources[0].transform for s in sources):
            raise InputError("the bands have neither a CRS nor one common grid", path=sources[0].file)
        return None, []
    notes: dict[str, None] = {}
    for source in sources:
        if not source.crs:
            if source.transform != base.transform:
                raise InputError(
                    "it has no CRS and another grid than the bands that have one",
                    path=source.file,
                    fix="write its CRS into it",
                )
            notes[f"{source.file} has no CRS; it has the grid of {base.file}, whose CRS is used"] = None
            continue
        shift = same_place(base.crs, source.crs, source.transform, source.height, source.width)
        if shift is None:
            raise InputError(
                f"its CRS is {source.crs.to_string()[:60]}, that of {base.file} is {base.crs.to_string()[:60]}",
                path=source.file,
                fix="warp the bands to one CRS first",
            )
        if base.crs != source.crs:
            notes[
                f"{source.file} is in {source.crs.to_string()[:60]}, {base.file} in {base.crs.to_string()[:60]}: "
                f"{shift:.3f} pixels apart, taken as one"
            ] = None
    return base.crs, list(notes)


def _grid(sources: Sequence[Source]) -> _Grid:
    """Pixels of the first of the finest bands, over the union of what the finest bands cover."""
    if any(source.transform == _IDENTITY for source in sources):
        shapes = {(source.height, source.width, source.transform) for source in sources}
        if len(shapes) > 1:
            raise InputError(
                "bands of different shape and no georeference: nothing tells how they lie on each other",
                path=sources[0].file,
                fix="georeference them, or give bands of one shape",
            )
    finest = min(source.pixel_m for source in sources)
    members = [source for source in sources if source.pixel_m <= finest * (1 + 1e-6)]
    base = members[0]
    top = left = math.inf
    bottom = right = -math.inf
    for source in members:
        placed = grid_map(source.transform, base.transform, source.file)  # its pixels → pixels of the base
        rows = sorted((placed.rows.shift, placed.rows.scale * source.height + placed.rows.shift))
        cols = sorted((placed.cols.shift, placed.cols.scale * source.width + placed.cols.shift))
        top, bottom = min(top, _down(rows[0])), max(bottom, _up(rows[1]))
        left, right = min(left, _down(cols[0])), max(right, _up(cols[1]))
    a, b, c, d, e, f = base.transform
    moved = (a, b, c + a * left + b * top, d, e, f + d * left + e * top)
    return _Grid(int(bottom - top), int(right - left), moved)


def _down(edge: float) -> int:
    return math.floor(edge + 1e-3)  # edges that differ by rounding only are one edge


def _up(edge: float) -> int:
    return math.ceil(edge - 1e-3)


def _raw_bytes(what: Sensor, source: Source, placed: GridMap, grid: _Grid) -> int:
    sides = []
    for axis, extent, native in (
        (placed.rows, grid.height, source.height),
        (placed.cols, grid.width, source.width),
    ):
        low, high = sorted((axis.shift, axis.scale * extent + axis.shift))
        sides.append(max(0, min(native, _up(high)) - max(0, _down(low))))
    delivered = 1 if what.dn_max is not None else 2
    return sides[0] * sides[1] * min(delivered, np.dtype(source.dtype).itemsize)
