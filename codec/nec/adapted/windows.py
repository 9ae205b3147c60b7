"""Windows that the codec of an adapted encoder is fitted to, in the bands of its adapter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from codec.data.readers import read_source
from codec.errors import InputError
from codec.models.bands import RGB_BANDS, S2_NANO_BANDS
from codec.models.vit import EncoderConfig
from codec.package import TileLayout
from codec.pretrain.fit import CODEC_WINDOWS, DATA_OF_SOURCE
from codec.pretrain.own_windows import OwnScene, ReadScene, check_enough, read_windows
from codec.pretrain.windows import codec_tiles
from codec.types import Tile


@dataclass(frozen=True, slots=True)
class FittedTo:
    """Windows, and what a manifest says of them."""

    tiles: Iterable[Tile]
    training_data: tuple[dict[str, str], ...]
    scenes: tuple[ReadScene, ...] = ()  # one's own


def collection_windows(config: EncoderConfig, data: Path, seed: int) -> FittedTo:
    """Of the data collection: those of packages for colour pictures, or of packages for many bands, by what the adapter
    reads. Between them they show every band that has constants of normalisation.
    """
    plan = CODEC_WINDOWS[RGB_BANDS if set(config.bands) <= set(RGB_BANDS) else S2_NANO_BANDS]
    images = {name: read_source(name, data, "train") for name in plan.sources}
    return FittedTo(
        codec_tiles(images, config.bands, plan, seed=seed, tile=config.tile),
        tuple(DATA_OF_SOURCE[name] for name in plan.sources),
    )


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
