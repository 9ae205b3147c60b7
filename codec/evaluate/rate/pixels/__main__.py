"""What the pixel rivals cost and lose: `python -m codec.evaluate.rate.pixels --data DIR [--set eurosat|water] [NAME …]`.

Fitted on EuroSAT train. Bytes per tile, and the mean squared error in the encoders' units over the variance of the training
pixels in them. `--choices` prints other layouts and efforts beside the chosen ones, which is how they were chosen.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from codec.errors import SwathpackError
from codec.evaluate.rate.pixels import PIXEL_METHODS, PixelRivalCoder, pixel_methods
from codec.evaluate.rate.pixels.formats import Avif, Format, JpegXl
from codec.evaluate.rate.pixels.layout import Layout
from codec.evaluate.rate.pixels.settings import with_layout
from codec.evaluate.rate.sets import water
from codec.evaluate.rate.types import TileSet
from codec.evaluate.scenes import eurosat
from codec.models.bands import REFLECTANCE_SPREAD, S2_NANO_BANDS
from codec.types import BoolArray, FloatArray

_SETS = ("eurosat", "water")


def lone(data: Path, split: str) -> TileSet:
    """EuroSAT tiles of a split, each a scene of its own."""
    found = eurosat(data, (split,))
    n, t = len(found.labels), found.tiles
    number, place = np.arange(n), np.zeros((n, 2), np.int64)
    return TileSet("eurosat", found.bands, t.pixels, t.present, t.validity, number, place, t.groups, 10.0)


def kept(tiles: TileSet, keep: BoolArray) -> TileSet:
    """Some of the tiles."""
    parts = ("pixels", "present", "validity", "scene", "place", "groups")
    return replace(tiles, **{name: getattr(tiles, name)[keep] for name in parts})


def variance(train: TileSet, sends: BoolArray) -> float:
    """Of training pixels in encoder units, mean over the bands."""
    spread = np.array([REFLECTANCE_SPREAD[band] for band in train.bands])
    return float((train.pixels.var(axis=(0, 2, 3), dtype=np.float64) / spread**2)[sends].mean())


def error(tiles: TileSet, found: FloatArray, sends: BoolArray) -> float:
    """Mean squared error in encoder units over valid pixels of the bands that were sent."""
    spread = np.array([REFLECTANCE_SPREAD[band] for band in tiles.bands], np.float32)[:, None, None]
    known = (tiles.present & sends)[:, :, None, None] & tiles.validity[:, None]
    return float(np.square((found - tiles.pixels) / spread, dtype=np.float64)[known].mean())


def curve(coder: PixelRivalCoder, tiles: TileSet, scale: float) -> Iterator[tuple[str, float, float]]:
    """Setting, bytes per tile, relative error."""
    for step in coder.steps:
        coded = coder.code_at(tiles, step)
        assert coded.pixels is not None
        yield step.name, coded.bytes_per_tile, error(tiles, coded.pixels, coder.sends) / scale


def variants(coder: PixelRivalCoder) -> Iterator[tuple[str, PixelRivalCoder]]:
    """The coder, and what else was tried at the same qualities."""
    yield "as chosen", coder
    for layout in Layout:
        if layout is Layout.COMPONENTS and coder.format.name != "jpeg2000":
            continue
        if layout is Layout.COLOUR and (coder.format.name == "jpeg2000" or coder.klt):
            continue
        steps = tuple(with_layout(step, layout) for step in coder.steps)
        yield f"all {layout.value}", replace(coder, steps=steps)
    efforts: dict[str, tuple[Format, ...]] = {
        "jpegxl": (JpegXl(effort=9),),
        "avif": (Avif(speed=6), Avif(speed=3)),
    }
    for other in efforts.get(coder.format.name, ()):
        yield str(other), replace(coder, format=other)
    if coder.klt:
        steps = tuple(replace(step, floor=0.0) for step in coder.steps)
        yield "all components sent", replace(coder, steps=steps)


def main(arguments: Sequence[str] | None = None) -> int:
    """A SwathpackError becomes one line and its exit code."""
    parser = argparse.ArgumentParser(prog="python -m codec.evaluate.rate.pixels", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(PIXEL_METHODS)}")
    parser.add_argument("--data", type=Path, required=True, help="folder of the collection")
    parser.add_argument("--set", choices=_SETS, default="eurosat", help="EuroSAT val, or the flood scene")
    parser.add_argument("--every", type=int, default=1, help="every n-th tile of EuroSAT only")
    parser.add_argument("--choices", action="store_true", help="also what was not chosen")
    options = parser.parse_args(arguments)
    try:
        methods = pixel_methods(options.names or None)
        train = lone(options.data, "train")
        if options.set == "eurosat":
            whole = lone(options.data, "val")
            tiles = kept(whole, np.arange(len(whole)) % options.every == 0)
        else:
            tiles = water(options.data, S2_NANO_BANDS).tiles
        print(f"{len(tiles)} tiles of {tiles.name}; setting, bytes per tile, relative error")
        for method in methods:
            coder = method.fit(train)
            scale = variance(train, coder.sends)
            for label, one in variants(coder) if options.choices else [("", coder)]:
                began = time.process_time()
                rows = list(curve(one, tiles, scale))
                print(f"\n{method.about.name} {label} ({time.process_time() - began:.1f} CPU-s)")
                for name, size, lost in rows:
                    print(f"  {name:<44} {size:9.1f} {lost:8.4f}", flush=True)
    except SwathpackError as failure:
        print(f"error: {failure}", file=sys.stderr)
        return int(failure.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
