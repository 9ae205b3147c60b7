"""Colours of classes and of layers received."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

Colour = tuple[int, int, int]

# Layers received of the most a file can have: from "only the tile's mean" to "all".
FEW, ALL = (68, 1, 84), (253, 231, 37)
MISSING = (200, 200, 200)  # layer 0 has not arrived


def class_colours(n_classes: int, given: Sequence[str] = ()) -> list[Colour]:
    """One colour per class: the card's where it names them, else hues a golden angle apart, in two brightnesses."""
    if len(given) == n_classes:
        return [_from_hex(text) for text in given]
    colours = []
    for i in range(n_classes):
        hue = (i * 0.61803398875 + 0.33) % 1.0
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.62, 0.92 if i % 2 == 0 else 0.68)
        colours.append((round(red * 255), round(green * 255), round(blue * 255)))
    return colours


def layer_colour(count: int, n_layers: int) -> Colour:
    """Colour of `count` layers of `n_layers`, count ≥ 1."""
    share = 1.0 if n_layers < 2 else (count - 1) / (n_layers - 1)
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(FEW, ALL, strict=True))
    return red, green, blue


def _from_hex(text: str) -> Colour:
    value = int(text.lstrip("#"), 16)
    return value >> 16 & 255, value >> 8 & 255, value & 255
