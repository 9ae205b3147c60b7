"""The settings of each rival, from the finest to the coarsest, and what was measured to choose them.

A setting is what the format calls quality, how many integer levels a standard deviation has, and how the bands are laid
out. Contrast is a free choice of the sender, and formats whose coarsest quality is still fine for eyes need it to reach low
rates: half the levels are twice the step. `python -m codec.evaluate.rate.pixels --choices` measures each choice again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from codec.evaluate.rate.pixels.layout import Layout


@dataclass(frozen=True, slots=True)
class Setting:
    """One rate."""

    name: str
    bits: int  # per sample
    levels: float  # integer levels per training standard deviation
    centre: int  # the integer that the training mean becomes
    layout: Layout
    quality: float  # of the format
    floor: float = 0.0  # KLT: components of less training variance are not sent (variance of a band: 1)


def psnr(bits: int, levels: float, error: float) -> float:
    """What OpenJPEG must be asked for so that the root mean squared error is `error` standard deviations. dB."""
    from math import log10

    return 20 * log10(((1 << bits) - 1) / (levels * error))


_J2K_ERRORS = (0.02, 0.04, 0.07, 0.12, 0.2, 0.3, 0.4, 0.48, 0.55, 0.62, 0.7, 0.9)


def _jpeg2000(error: float, layout: Layout, floor: float = 0.0) -> Setting:
    # 12 bits: with 9 … 16 bits and as many levels per deviation as leave room for clouds, sizes differ by 1 %.
    bits, levels = 12, 32.0
    return Setting(
        f"error {error:g}", bits, levels, 1 << (bits - 1), layout, psnr(bits, levels, error), floor
    )


def jpeg2000(tiled: bool) -> tuple[Setting, ...]:
    """Bands as components; in tile-by-tile files of low rate side by side in one, where an empty packet of each band and
    resolution is a byte: 316 bytes against 350 at an error of 0.118, 70 against 155 at 0.32.
    """
    return tuple(_jpeg2000(e, Layout.GREY if tiled and e >= 0.3 else Layout.COMPONENTS) for e in _J2K_ERRORS)


def klt_jpeg2000(tiled: bool) -> tuple[Setting, ...]:
    """Scenes: all components, one slope spends the bytes. Tiles: every empty packet is a byte, so components of less
    variance than the squared error, which would get next to nothing, are not sent: 12–15 % fewer bytes at an error of
    0.07 … 0.11. In scenes the same rule costs: 90 bytes against 50 at an error of 0.094 of the flood scene.
    """
    errors: tuple[float, ...]
    if not tiled:
        errors = (0.015, 0.03, 0.05, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.36, 0.44, 0.55)
        return tuple(_jpeg2000(e, Layout.COMPONENTS) for e in errors)
    errors = (0.015, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.8, 1.1, 1.5, 2.0)
    return tuple(_jpeg2000(e, Layout.GREY if e >= 0.35 else Layout.COMPONENTS, e * e) for e in errors)


def jpegxl(tiled: bool) -> tuple[Setting, ...]:
    """Grey above about 2 kB a tile, colour below. Effort 9 saves 3–8 % of effort 7 for 4.6 times its CPU time."""
    rows = [(q, n, Layout.GREY) for q, n in ((0.05, 112.0), (0.25, 112.0), (0.15, 28.0), (1.0, 112.0))]
    rows += [(q, n, Layout.COLOUR) for q, n in ((1.0, 112.0), (3.0, 112.0), (1.5, 28.0), (4.0, 28.0))]
    # At the coarsest distance little but the coarsest scale is left, and grey pays for one channel of it.
    rows += [(25.0, 28.0, Layout.GREY), (25.0, 28.0, Layout.COLOUR)]
    return tuple(
        Setting(f"distance {q:g}, {n:g} levels, {layout.value}", 12, n, 2048, layout, q)
        for q, n, layout in rows
    )


def avif(tiled: bool) -> tuple[Setting, ...]:
    """Colour below about 1.5 kB a tile, grey above. 10 bits: with 8, bright pixels are cut off or steps are too fine for
    low rates. Speed 3 saves 0–3 % of speed 4 for 1.8 times its CPU time; speed 6 costs 3–30 % more.
    A tile and setting take 0.05 CPU-seconds, 20 times JPEG 2000's, hence no more settings than a curve needs.
    """
    rows = [(q, 28.0, Layout.GREY) for q in (97, 88)]
    rows += [(q, 28.0, Layout.COLOUR) for q in (88, 72, 45, 25)]
    rows += [(q, 10.0, Layout.COLOUR) for q in (30, 0)]
    return tuple(
        Setting(f"quality {q}, {n:g} levels, {layout.value}", 10, n, 512, layout, q) for q, n, layout in rows
    )


def klt_avif(tiled: bool) -> tuple[Setting, ...]:
    """Components on a grid, grey: bits go where variance is because all have one step. Tiles leave out components that
    the coarser steps would not see (18 of 72 bytes at the coarsest quality, with 28 levels).
    """
    rows = [
        (97, 28.0, 0.0),
        (88, 28.0, 0.0),
        (72, 28.0, 0.0),
        (50, 28.0, 0.0),
        (30, 28.0, 0.02),
        (15, 28.0, 0.05),
        (30, 10.0, 0.1),
        (0, 10.0, 0.5),
    ]
    return tuple(
        Setting(f"quality {q}, {n:g} levels", 10, n, 512, Layout.GREY, q, floor if tiled else 0.0)
        for q, n, floor in rows
    )


def webp(tiled: bool) -> tuple[Setting, ...]:
    """Grey above about 1.3 kB a tile, colour below. 8 bits: the mean lies at 3/8, since pixels are brighter than the
    mean by more deviations than darker.
    """
    rows = [(q, 14.0, Layout.GREY) for q in (100, 95, 80)]
    rows += [(q, 14.0, Layout.COLOUR) for q in (85, 60, 30, 10)]
    rows += [(q, 7.0, Layout.COLOUR) for q in (30, 10, 0)]
    return tuple(
        Setting(f"quality {q}, {n:g} levels, {layout.value}", 8, n, 96, layout, q) for q, n, layout in rows
    )


@dataclass(frozen=True, slots=True)
class Rival:
    """A row of the registry, before bands and coding unit are chosen."""

    name: str
    format: str
    klt: bool
    settings: Callable[[bool], Sequence[Setting]]


RIVALS = (
    Rival("jpeg2000", "jpeg2000", False, jpeg2000),
    Rival("jpegxl", "jpegxl", False, jpegxl),
    Rival("avif", "avif", False, avif),
    Rival("webp", "webp", False, webp),
    Rival("klt-jpeg2000", "jpeg2000", True, klt_jpeg2000),
    Rival("klt-avif", "avif", True, klt_avif),
)


def with_layout(setting: Setting, layout: Layout) -> Setting:
    """The same setting with its bands laid out otherwise."""
    return replace(setting, name=f"{setting.name} as {layout.value}", layout=layout)
