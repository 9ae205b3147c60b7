"""Utility against bytes, one picture each: log bytes per tile below, per square kilometre above, intervals as bands."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from codec.atomic import write_atomic
from codec.errors import BackendUnavailable, InputError
from codec.evaluate.rate.types import FloatVector

WIDTH, HEIGHT, DPI = 10.0, 5.0, 110
_COLOURS = 256  # of the palette that a picture is reduced to: half the bytes; with fewer, hues run together
_DASHES = {"embedding": "-", "pixels": "--"}


@dataclass(frozen=True, slots=True)
class Line:
    """One method: utility at each rate with its 95 % interval, any order of rates."""

    label: str
    sends: str  # embedding or pixels: solid or dashed
    bytes_per_tile: FloatVector
    value: FloatVector
    low: FloatVector
    high: FloatVector


def check_drawable() -> None:
    """Raises BackendUnavailable without matplotlib: to be asked before hours of scoring, not after."""
    if find_spec("matplotlib") is None:
        raise BackendUnavailable(
            "plots need matplotlib", fix="install the `bench` extra: pip install 'swathpack[bench]'"
        )


def draw(
    path: Path,
    lines: Sequence[Line],
    *,
    title: str,
    utility: str,
    reference: float | None = None,
    km2_per_tile: float | None = None,
) -> None:
    """Write one picture as PNG. `reference`: the utility of the uncompressed embedding, a level line.

    Equal lines give equal bytes of the file. Raises InputError without lines and BackendUnavailable without matplotlib.
    """
    if not lines:
        raise InputError("there is nothing to draw", path=path)
    check_drawable()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    for line in lines:
        order = np.argsort(line.bytes_per_tile)
        x = line.bytes_per_tile[order]
        (drawn,) = axes.plot(
            x,
            line.value[order],
            _DASHES[line.sends],
            marker="o",
            markersize=3,
            linewidth=1.4,
            label=line.label,
        )
        axes.fill_between(
            x, line.low[order], line.high[order], color=drawn.get_color(), alpha=0.08, linewidth=0
        )
    if reference is not None:
        axes.axhline(reference, color="black", linewidth=0.8, linestyle=":", label="uncompressed embedding")
    axes.set_xscale("log")
    axes.set_xlabel("bytes per tile, as sent")
    axes.set_ylabel(utility)
    axes.set_title(title, fontsize=10)
    axes.grid(True, which="both", linewidth=0.3, alpha=0.5)
    figure.legend(fontsize=7.5, loc="outside right upper")
    if km2_per_tile is not None:
        area = km2_per_tile
        above = axes.secondary_xaxis(
            "top", functions=(lambda b: np.divide(b, area), lambda b: np.multiply(b, area))
        )
        above.set_xlabel("bytes per km²")
    FigureCanvasAgg(figure)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI, metadata={"Software": None})
    write_atomic(path, _reduced(out.getvalue()))


def _reduced(png: bytes) -> bytes:
    """The picture with a palette."""
    from PIL import Image

    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(_COLOURS).save(out, format="PNG", optimize=True)
    return out.getvalue()
