"""PNG pictures of token maps: one token a square, invalid ones transparent, legends beside."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from codec.types import BoolArray, FloatArray
from ground.colours import Colour

SIDE = 512  # pixels that the longer side of a map has at least
_MARGIN, _SWATCH, _LINE = 12, 12, 18
_INK, _PAPER = (32, 32, 32), (255, 255, 255)
Rgb = npt.NDArray[np.uint8]


def stretch(values: FloatArray, validity: BoolArray) -> Rgb:
    """H×W×3 values to 0…255 between the 2nd and 98th percentile of the valid ones, each component by itself."""
    if not validity.any():
        return np.zeros(values.shape, np.uint8)
    low, high = np.percentile(values[validity].astype(np.float64), [2, 98], axis=0)
    scaled = (values - low) / np.maximum(high - low, 1e-12)
    return np.asarray(np.rint(np.clip(scaled, 0, 1) * 255), np.uint8)


def paint(classes: npt.NDArray[np.uint8], colours: Sequence[Colour]) -> Rgb:
    """H×W class numbers to H×W×3; numbers beyond the colours (nodata) become black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(colours)] = colours
    return table[classes]


def map_image(rgb: Rgb, validity: BoolArray) -> Image.Image:
    """RGBA picture, enlarged by a whole number so that its longer side has at least SIDE pixels."""
    alpha = np.where(validity, 255, 0).astype(np.uint8)
    image = Image.fromarray(np.dstack([rgb, alpha]), "RGBA")
    factor = max(1, -(-SIDE // max(image.size)))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def with_legend(image: Image.Image, title: str, entries: Sequence[tuple[str, Colour]]) -> Image.Image:
    """The picture under its title and above a legend, on white."""
    font = ImageFont.load_default()
    columns = max(1, image.width // 160)
    rows = -(-len(entries) // columns)
    top = _LINE + _MARGIN
    sheet = Image.new(
        "RGB", (image.width + 2 * _MARGIN, image.height + top + _MARGIN * 2 + rows * _LINE), _PAPER
    )
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN // 2), title, _INK, font)
    sheet.paste(image, (_MARGIN, top), image)
    for i, (name, colour) in enumerate(entries):
        x = _MARGIN + (i % columns) * (image.width // columns)
        y = top + image.height + _MARGIN + (i // columns) * _LINE
        draw.rectangle((x, y, x + _SWATCH, y + _SWATCH), colour, _INK)
        # Without FreeType, Pillow's own font knows Latin-1 only.
        draw.text((x + _SWATCH + 6, y), name.encode("latin-1", "replace").decode("latin-1"), _INK, font)
    return sheet


def side_by_side(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures in one row, on white."""
    sheet = Image.new("RGB", (sum(i.width for i in images), max(i.height for i in images)), _PAPER)
    x = 0
    for image in images:
        sheet.paste(image, (x, 0))
        x += image.width
    return sheet


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=False, compress_level=6)
    return buffer.getvalue()
