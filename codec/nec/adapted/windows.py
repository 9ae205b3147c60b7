"""Windows that the codec of an adapted encoder is fitted to, in the bands of its adapter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from codec.adapt.spectra import interpolated
from codec.data.readers import read_source
from codec.errors import InputError
from codec.models.bands import RGB_BANDS, S2_NANO_BANDS
from codec.models.vit import EncoderConfig
from codec.package import TileLayout
from codec.pretrain.fit import CODEC_WINDOWS, DATA_OF_SOURCE
from codec.pretrain.own_windows import OwnScene, ReadScene, check_enough, read_windows
from codec.pretrain.windows import codec_tiles
from codec.scene.band_names import split_date, wavelength_nm
from codec.types import Tile


@dataclass(frozen=True, slots=True)
class FittedTo:
    """Windows, and what a manifest says of them."""

    tiles: Iterable[Tile]
    training_data: tuple[dict[str, str], ...]
    scenes: tuple[ReadScene, ...] = ()  # one's own


def collection_windows(config: EncoderConfig, data: Path, seed: int) -> FittedTo:
    """Of the data collection: those of packages for colour pictures, or of packages for many bands, by what the adapter
    reads. Between them they show every band that has constants of normalisation; bands known by wavelength are interpolated
    between the twelve of Sentinel-2, and the manifest says so.

    Raises InputError for bands of several dates, of which the collection has no windows.
    """
    dates = [band for band in config.bands if split_date(band)[1]]
    if dates:
        raise InputError(
            f"the collection has no windows of {dates[0]}, a band of another date",
            fix="give scenes of the same bands with --scenes",
        )
    plan = CODEC_WINDOWS[RGB_BANDS if set(config.bands) <= set(RGB_BANDS) else S2_NANO_BANDS]
    narrow = any(wavelength_nm(band) for band in config.bands)
    plan = replace(plan, guests=()) if narrow else plan
    images = {name: read_source(name, data, "train") for name in plan.sources}
    shown = S2_NANO_BANDS if narrow else config.bands
    tiles = codec_tiles(images, shown, plan, seed=seed, tile=config.tile)
    said = tuple(DATA_OF_SOURCE[name] for name in plan.sources)
    if not narrow:
        return FittedTo(tiles, said)
    noted = tuple({**one, "name": f"{one['name']}, narrow bands interpolated"} for one in said)
    return FittedTo(_with_narrow(tiles, config.bands), noted)


def _with_narrow(tiles: Iterable[Tile], bands: Sequence[str]) -> Iterator[Tile]:
    """Tiles of the twelve bands, those with all of them, as tiles of `bands`."""
    narrow = tuple(band for band in bands if wavelength_nm(band))
    twelve = {band: i for i, band in enumerate(S2_NANO_BANDS)}
    place = [twelve[band] if band in twelve else len(twelve) + narrow.index(band) for band in bands]
    for tile in tiles:
        if tile.bands_present.all():
            more = interpolated(tile.pixels[None], S2_NANO_BANDS, narrow)[0]
            pixels = np.concatenate([tile.pixels, more])[place]
            yield replace(tile, pixels=pixels, bands_present=np.ones(len(bands), np.bool_))


def scene_windows(
    config: EncoderConfig, scenes: Sequence[OwnScene], layout: TileLayout, seed: int, licence: str
) -> FittedTo:
    """Of one's own scenes, each window in eight orientations.

    Raises InputError for a band of the adapter that none of them has, and where wholly measured windows are too few.
    """
    read = read_windows(scenes, config.bands, core=layout.core, margin=layout.margin, seed=seed)
    shown = {band for scene in read.scenes for band in scene.bands}
    if missing := [band for band in config.bands if band not in shown]:  # a codec would know nothing of them
        raise InputError(
            f"none of the scenes has {', '.join(missing)}, which the adapter reads",
            expected=", ".join(config.bands), found=", ".join(sorted(shown)),
            fix="give scenes of the sensor that the adapter was trained for",
        )  # fmt: skip
    check_enough(read.scenes)
    names = ", ".join(scene.name for scene in read.scenes)
    entry = {"name": f"own scenes, of the codec alone: {names}", "licence": licence}
    return FittedTo(read.in_all_orientations(), (entry,), read.scenes)
