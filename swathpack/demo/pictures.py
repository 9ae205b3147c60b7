"""Pictures one wants to look at: panels side by side, each with a title and, for classes, a legend."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from swathpack.demo.landsat import Ground

Rgb = npt.NDArray[np.uint8]  # H×W×3

INVALID = (40, 40, 46)
_INK, _PAPER = (235, 235, 238), (22, 22, 26)
_MARGIN, _TITLE = 14, 26


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture of a sheet."""

    title: str
    image: Rgb
    legend: tuple[tuple[str, tuple[int, int, int]], ...] = ()


def true_colour(pixels: npt.NDArray[np.float32], validity: npt.NDArray[np.bool_]) -> Rgb:
    """Red, green, blue reflectance 3×H×W for display: stretched to the 1st and 99th percentile of the valid pixels."""
    out = np.empty((*validity.shape, 3), np.uint8)
    for i in range(3):
        band = pixels[i]
        low, high = np.percentile(band[validity], (1, 99)) if validity.any() else (0.0, 1.0)
        scaled = np.clip((band - low) / max(float(high - low), 1e-6), 0, 1) ** 0.8
        out[..., i] = np.rint(scaled * 255)
    out[~validity] = INVALID
    return out


def classes(
    indices: npt.NDArray[np.integer], palette: Sequence[tuple[int, int, int]], valid: npt.NDArray[np.bool_]
) -> Rgb:
    """Class indices 0…K−1, H×W, in colours."""
    out = np.asarray(palette, np.uint8)[np.clip(indices, 0, len(palette) - 1)]
    out[~valid] = INVALID
    return np.asarray(out, np.uint8)


def agreement(same: npt.NDArray[np.bool_], valid: npt.NDArray[np.bool_]) -> Rgb:
    """Where two maps agree (dark) and where they do not (orange)."""
    out = np.where(same[..., None], np.array((52, 72, 66), np.uint8), np.array((240, 140, 40), np.uint8))
    out[~valid] = INVALID
    return np.asarray(out, np.uint8)


def sheet(panels: Sequence[Panel], height: int = 460, columns: int = 3) -> bytes:
    """A PNG with the panels in rows; images are scaled to one height with nearest neighbours, so that tokens stay
    visible as what they are."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=15)
    small = ImageFont.load_default(size=13)
    scaled = []
    for panel in panels:
        image = Image.fromarray(panel.image)
        width = max(1, round(image.width * height / image.height))
        scaled.append(image.resize((width, height), Image.Resampling.NEAREST))
    rows = [range(i, min(i + columns, len(panels))) for i in range(0, len(panels), columns)]
    legends = [max((len(panels[i].legend) for i in row), default=0) for row in rows]
    legend_rows = [-(-n // 3) for n in legends]
    cell = height + _TITLE + _MARGIN
    total_width = max(sum(scaled[i].width + _MARGIN for i in row) for row in rows) + _MARGIN
    total_height = sum(cell + n * 20 for n in legend_rows) + _MARGIN
    canvas = Image.new("RGB", (total_width, total_height), _PAPER)
    draw = ImageDraw.Draw(canvas)
    y = _MARGIN
    for row, extra in zip(rows, legend_rows, strict=True):
        x = _MARGIN
        for i in row:
            draw.text((x, y), panels[i].title, font=font, fill=_INK)
            canvas.paste(scaled[i], (x, y + _TITLE))
            step = max(90, scaled[i].width // 3)
            for k, (name, colour) in enumerate(panels[i].legend):
                left, top = x + (k % 3) * step, y + _TITLE + height + 5 + (k // 3) * 20
                draw.rectangle((left, top + 2, left + 12, top + 14), fill=colour)
                draw.text((left + 17, top), name, font=small, fill=_INK)
            x += scaled[i].width + _MARGIN
        y += cell + extra * 20
    out = io.BytesIO()
    canvas.save(out, format="PNG", optimize=True)
    return out.getvalue()


def product_panels(folder: Path) -> list[Panel]:
    """The station's own products: components of the embedding, and every map of classes."""
    import json

    import rasterio

    panels = []
    path = folder / "embedding_rgb.tif"
    if path.is_file():
        with rasterio.open(path) as source:
            image = source.read()
        rgb = image[:3].transpose(1, 2, 0).copy()
        rgb[image[3] == 0] = INVALID
        panels.append(Panel("what arrived: components of the embedding", rgb))
    report = json.loads((folder / "report.json").read_text())
    for head in report["heads"]:
        path = folder / f"{head['name']}.tif"
        if not path.is_file():
            continue
        with rasterio.open(path) as source:
            indices = source.read(1)
            valid = indices != source.nodata
            table = source.colormap(1) if source.colorinterp[0].name == "palette" else None
        if table is None:
            continue
        palette = [table[i][:3] for i in range(len(table)) if i < 255]
        panels.append(Panel(f"what it means: {head['name']}", classes(indices, palette, valid)))
    return panels


def landcover_panels(
    truth: Ground,
    before: npt.NDArray[np.uint8],
    after: npt.NDArray[np.uint8],
    received: npt.NDArray[np.bool_],
    names: tuple[str, ...],
    palette: Sequence[tuple[int, int, int]],
) -> list[Panel]:
    """Labels, the map after the link, and where it differs from the map before."""
    legend = tuple(zip(names, palette, strict=True))
    valid = truth.validity
    return [
        Panel(
            "labels (1996)",
            classes(truth.labels.astype(int) - 1, palette, valid & (truth.labels > 0)),
            legend,
        ),
        Panel(
            "land cover from what arrived", classes(after.astype(int) - 1, palette, valid & received), legend
        ),
        Panel(
            "same as before the link (dark) or not",
            agreement(after == before, valid & received),
            (("differs", (240, 140, 40)), ("same", (52, 72, 66)), ("not received", INVALID)),
        ),
    ]
