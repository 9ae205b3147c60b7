"""Pictures one wants to look at: panels side by side, each with a title and, for classes, a legend."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ground.colours import MISSING, class_colours, layer_colour

if TYPE_CHECKING:
    from codec.package import Package
    from swathpack.demo.landsat import Truth
    from swathpack.demo.rival import Pixels

Rgb = npt.NDArray[np.uint8]  # H×W×3
Legend = tuple[tuple[str, tuple[int, int, int]], ...]

INVALID = (40, 40, 46)
_INK, _PAPER = (235, 235, 238), (22, 22, 26)
_MARGIN, _TITLE, _LEGEND_LINE, _LEGEND_COLUMNS = 14, 26, 20, 3
_HEIGHT, _WIDTH = 460, 520  # of a panel, at most


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture of a sheet."""

    title: str
    image: Rgb
    legend: Legend = ()


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


def sheet(panels: Sequence[Panel], columns: int = 3) -> bytes:
    """A PNG with the panels in rows; images are scaled to one height with nearest neighbours, so that tokens stay
    visible as what they are."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=15)
    small = ImageFont.load_default(size=13)
    widest = max(panel.image.shape[1] / panel.image.shape[0] for panel in panels)
    height = max(60, min(_HEIGHT, round(_WIDTH / widest)))
    scaled = []
    for panel in panels:
        image = Image.fromarray(panel.image)
        width = max(1, round(image.width * height / image.height))
        scaled.append(image.resize((width, height), Image.Resampling.NEAREST))
    rows = [range(i, min(i + columns, len(panels))) for i in range(0, len(panels), columns)]
    legends = [max((len(panels[i].legend) for i in row), default=0) for row in rows]
    legend_rows = [-(-n // _LEGEND_COLUMNS) for n in legends]
    cell = height + _TITLE + _MARGIN
    total_width = max(sum(scaled[i].width + _MARGIN for i in row) for row in rows) + _MARGIN
    total_height = sum(cell + n * _LEGEND_LINE for n in legend_rows) + _MARGIN
    canvas = Image.new("RGB", (max(total_width, 420), total_height), _PAPER)
    draw = ImageDraw.Draw(canvas)
    y = _MARGIN
    for row, extra in zip(rows, legend_rows, strict=True):
        x = _MARGIN
        for i in row:
            draw.text((x, y), panels[i].title, font=font, fill=_INK)
            canvas.paste(scaled[i], (x, y + _TITLE))
            step = max(90, scaled[i].width // _LEGEND_COLUMNS)
            for k, (name, colour) in enumerate(panels[i].legend):
                left = x + (k % _LEGEND_COLUMNS) * step
                top = y + _TITLE + height + 5 + (k // _LEGEND_COLUMNS) * _LEGEND_LINE
                draw.rectangle((left, top + 2, left + 12, top + 14), fill=colour)
                draw.text((left + 17, top), name, font=small, fill=_INK)
            x += scaled[i].width + _MARGIN
        y += cell + extra * _LEGEND_LINE
    out = io.BytesIO()
    canvas.save(out, format="PNG", optimize=True)
    return out.getvalue()


def scene_panels(pixels: Pixels | None, products: Path | None) -> list[Panel]:
    """What the camera saw, and what the station made of what arrived: the embedding, and how much of it there is."""
    panels = []
    if pixels is not None:
        colours = [pixels.bands.index(b) for b in ("red", "green", "blue") if b in pixels.bands]
        n = len(pixels.bands)
        order = colours if len(colours) == 3 else [0, min(1, n - 1), min(2, n - 1)]
        panels.append(Panel("what the camera saw", true_colour(pixels.values[order], pixels.validity)))
    if products is not None:
        n_layers = len(json.loads((products / "report.json").read_text())["planes"][0]["tiles_with_layer"])
        legend = [("missing", MISSING)]
        legend += [(f"{i} of {n_layers}", layer_colour(i, n_layers)) for i in range(1, n_layers + 1)]
        panels += _product(products, "embedding.png", "what arrived: components of the embedding", ())
        panels += _product(products, "layers.png", "what arrived: layers of each tile", tuple(legend))
    return panels


def head_panels(package: Package, products: Path | None) -> list[Panel]:
    """The station's maps of every head that speaks of tokens."""
    from ground.heads import load_heads

    panels = []
    for head in load_heads(package) if products is not None else ():
        legend = zip(head.classes, class_colours(len(head.classes), head.colours), strict=True)
        panels += _product(
            products, f"{head.name}.png", f"shipped head {head.name}: no labels here", tuple(legend)
        )
    return panels


def _product(products: Path | None, name: str, title: str, legend: Legend) -> list[Panel]:
    """A picture of the station as a panel; none when the station did not make it."""
    from PIL import Image

    if products is None or not (products / name).is_file():
        return []
    with Image.open(products / name) as image:
        rgba = np.asarray(image.convert("RGBA"))
    rgb = rgba[..., :3].copy()
    rgb[rgba[..., 3] == 0] = INVALID
    return [Panel(title, rgb, legend)]


def landcover_panels(
    truth: Truth,
    before: npt.NDArray[np.uint8],
    after: npt.NDArray[np.uint8],
    received: npt.NDArray[np.bool_],
    palette: Legend,
) -> list[Panel]:
    """Labels, the map after the link, and where it differs from the map before."""
    colours = [colour for _, colour in palette]
    valid = truth.pixels.validity
    labels = classes(truth.labels.astype(int) - 1, colours, valid & (truth.labels > 0))
    return [
        Panel("labels (1996)", labels, palette),
        Panel("land cover from what arrived", classes(after.astype(int) - 1, colours, received), palette),
        Panel(
            "where it differs from the map before the link",
            agreement(after == before, received),
            (("differs", (240, 140, 40)), ("same", (52, 72, 66)), ("not received", INVALID)),
        ),
    ]
