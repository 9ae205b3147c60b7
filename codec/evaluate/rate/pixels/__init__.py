"""Rivals that send pixels: the encoder then runs on the ground, over what a picture codec left of them.

Names are `<rival>-<tile|scene>[-rgb]`: `jpeg2000`, `jpegxl`, `avif`, `webp`, `klt-jpeg2000`, `klt-avif`, each coded tile by
tile or scene by scene, for all bands or for red, green and blue only.
"""

from __future__ import annotations

from collections.abc import Sequence

from codec.errors import InputError
from codec.evaluate.rate.pixels.backend import backend_version
from codec.evaluate.rate.pixels.formats import FORMATS
from codec.evaluate.rate.pixels.rival import PixelRival, PixelRivalCoder
from codec.evaluate.rate.pixels.settings import RIVALS
from codec.evaluate.rate.types import Method
from codec.models.bands import RGB_BANDS

__all__ = ["PIXEL_METHODS", "PixelRival", "PixelRivalCoder", "pixel_methods"]

_UNITS = {"tile": False, "scene": True}
_BANDS = {"": None, "-rgb": RGB_BANDS}


def _registry() -> dict[str, PixelRival]:
    found = {}
    for rival in RIVALS:
        source = f"{FORMATS[rival.format].standard}, through {backend_version()}"
        if rival.klt:
            source = f"Karhunen–Loève transform over bands, then {source}"
        for unit, joined in _UNITS.items():
            for ending, bands in _BANDS.items():
                about = Method(f"{rival.name}-{unit}{ending}", "pixels", source)
                steps = tuple(rival.settings(not joined))
                found[about.name] = PixelRival(about, rival.format, rival.klt, joined, bands, steps)
    return found


_REGISTRY = _registry()
PIXEL_METHODS: tuple[str, ...] = tuple(_REGISTRY)


def pixel_methods(names: Sequence[str] | None = None) -> list[PixelRival]:
    """The rivals of these names, all by default. Raises InputError listing the known ones for another name."""
    unknown = [name for name in names or () if name not in _REGISTRY]
    if unknown:
        raise InputError(f"no pixel method {unknown[0]!r}", expected=", ".join(PIXEL_METHODS))
    return [_REGISTRY[name] for name in (PIXEL_METHODS if names is None else names)]
