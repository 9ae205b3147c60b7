"""The preview as a product: pixels painted from the embedding, marked as synthetic in tags, band names and picture.

Off where the package has no `preview.npz`. Never used by a head: heads see embeddings.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from codec.bitstream.header import FileHeader
from codec.package import Package
from codec.pipeline.preview import NAME, SYNTHETIC, Preview
from codec.scene.cog import encode_cog
from codec.scene.tiling import mosaic
from codec.types import BoolArray, Embedding, FloatArray
from ground import pictures

COG_NAME, PICTURE_NAME = "preview.tif", "preview.png"
NODATA = 0
SCALE = 10_000  # of reflectance in the GeoTIFF
WATERMARK = "SYNTHETIC"
_RGB = ("red", "green", "blue")
_GAP = 96  # pixels between watermarks


@dataclass(frozen=True)
class Painted:
    """A scene's pixels as the preview has them."""

    pixels: FloatArray  # H×W×bands reflectance; 0 where not valid
    validity: BoolArray  # H×W
    bands: tuple[str, ...]  # those that the scene had
    preview: Preview


def paint_scene(
    preview: Preview, header: FileHeader, package: Package, embeddings: Mapping[str, Embedding]
) -> Painted:
    """The whole scene, pixel for pixel; only bands that the scene had are painted.

    Raises InputError where the planes do not fit the preview.
    """
    pixels, validity = preview.paint(embeddings)
    mask = header.band_mask
    there = [
        i
        for i, band in enumerate(preview.bands)
        if not mask or (band in package.bands and mask >> package.bands.index(band) & 1)
    ]
    scene, valid = mosaic(header.grid, 1, pixels[..., there], validity)
    return Painted(scene, valid, tuple(preview.bands[i] for i in there), preview)


def as_cog(painted: Painted, header: FileHeader, path: object = None) -> bytes:
    """Cloud-Optimised GeoTIFF, uint16 reflectance × 10000, 0 = not measured. Raises InputError without a CRS."""
    values = np.clip(np.rint(painted.pixels * SCALE), 1, 65535)
    values = np.where(painted.validity[..., None], values, NODATA).astype(np.uint16)
    tags = {
        "SWATHPACK_FILE_ID": header.file_id.hex(),
        "SWATHPACK_SYNTHETIC": SYNTHETIC,
        "SWATHPACK_SCORES": score_text(painted.preview),
    }
    names = [f"{band} (synthetic)" for band in painted.bands]
    return encode_cog(values.transpose(2, 0, 1), header.georeference, NODATA, names, tags, True, False, path)


def picture(painted: Painted) -> Image.Image:
    """Red, green and blue (or the first band in grey), stretched, with the watermark all over it."""
    at = [painted.bands.index(band) for band in _RGB if band in painted.bands]
    chosen = at if len(at) == len(_RGB) else [0, 0, 0]
    # The root lifts land beside clouds; a picture for eyes, as all of it.
    lifted = np.sqrt(painted.pixels[..., chosen])
    stretched = pictures.stretch(lifted, painted.validity)
    image = pictures.map_image(stretched, painted.validity)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default()
    wide = int(draw.textlength(WATERMARK, font))
    for row, top in enumerate(range(8, image.height, _GAP)):
        for left in range(8 + (row % 2) * _GAP, max(image.width - wide, 9), wide + _GAP):
            # White on black reads on any ground.
            draw.text((left + 1, top + 1), WATERMARK, (0, 0, 0, 255), font)
            draw.text((left, top), WATERMARK, (255, 255, 255, 255), font)
    return image


def as_png(painted: Painted) -> bytes:
    """The picture under a title that says what it is; the same in the file's text."""
    image = pictures.with_legend(picture(painted), title(painted), [])
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", SYNTHETIC)
    info.add_text("Scores", score_text(painted.preview))
    out = io.BytesIO()
    image.save(out, "PNG", pnginfo=info, optimize=False, compress_level=6)
    return out.getvalue()


def decides(package: Package) -> list[bytes]:
    """What a preview adds to the name of a version; nothing where the package has none."""
    entry = package.manifest.files.get(NAME)
    return [] if entry is None else [b"preview", entry.sha256.encode()]


def title(painted: Painted) -> str:
    rows = [painted.preview.scores.get("by_band", {}).get(band) for band in painted.bands]
    known = [row for row in rows if row]
    if not known:
        return "SYNTHETIC preview from the embedding, not scored"
    low, high = (f(row["psnr_db"] for row in known) for f in (min, max))
    return f"SYNTHETIC preview from the embedding, {low:.0f} to {high:.0f} dB on validation windows"


def score_text(preview: Preview) -> str:
    """The scores in one line."""
    known: dict[str, Any] = preview.scores.get("by_band", {})
    rows = {band: known[band] for band in preview.bands if band in known}
    return (
        "; ".join(
            f"{band} {row['psnr_db']:.1f} dB, {row['explained']:.3f} of the variance"
            for band, row in rows.items()
        )
        or "not scored"
    )


def report_part(painted: Painted) -> dict[str, Any]:
    """What the report says of it."""
    return {
        "synthetic": SYNTHETIC,
        "bands": list(painted.bands),
        "scores": dict(painted.preview.scores),
        "fitted_on": painted.preview.fitted_on,
    }
