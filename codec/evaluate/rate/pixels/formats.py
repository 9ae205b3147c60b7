"""The four picture formats: encode, decode, and the header rule of a shape and setting.

All take and give H×W×c integers. One thread: with more the bytes may depend on the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from codec.errors import InputError, LimitExceeded
from codec.evaluate.rate.pixels.backend import picture_codecs
from codec.evaluate.rate.pixels.headers import AvifRule, HeaderRule, Jpeg2000Rule, JpegXlRule, WebpRule
from codec.evaluate.rate.pixels.layout import Picture

_FEW_BLOCKS = 256 * 256  # pixels; code-blocks have at most 64×64
_MORE_DB = (0.0, 1.5, 3.5)
_ONE_GROUP = 256  # a JPEG XL picture up to this side has one section


class Format(Protocol):
    """A picture codec at its own best settings; `quality` is what it calls quality."""

    @property
    def name(self) -> str: ...

    @property
    def standard(self) -> str:
        """The document it follows, and the library."""

    def dtype(self, bits: int) -> npt.DTypeLike:
        """Of pictures with so many bits a sample."""

    def encode(self, picture: Picture, quality: float, bits: int) -> bytes:
        """A complete file."""

    def decode(self, file: bytes, shape: tuple[int, int, int]) -> Picture:
        """The picture of a complete file, in the shape that the ground expects; InputError if it has another."""

    def rule(self, shape: tuple[int, int, int], quality: float, bits: int) -> HeaderRule:
        """What the ground knows of every such file."""


def _shaped(picture: npt.NDArray[Any], shape: tuple[int, int, int]) -> Picture:
    if picture.shape[:2] != shape[:2] or picture.size != np.prod(shape):
        raise InputError("a decoded picture has another shape", expected=shape, found=picture.shape)
    return picture.reshape(shape)


def _three_sides(picture: Picture) -> tuple[int, int, int]:
    height, width, channels = picture.shape
    return height, width, channels


def _flat(shape: tuple[int, int, int], bits: int, dtype: npt.DTypeLike) -> Picture:
    return np.full(shape, 1 << (bits - 1), dtype)


def _references(shape: tuple[int, int, int], bits: int, dtype: npt.DTypeLike) -> list[Picture]:
    """Flat, a ramp, and for small pictures another ramp and two noises: what their files share is not content."""
    middle, quarter = 1 << (bits - 1), 1 << (bits - 2)
    rows, cols = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float64)
    ramps = [middle + quarter * (x / max(1, x.max()) - 0.5) for x in (rows + cols, rows)]
    found = [_flat(shape, bits, dtype)]
    small = max(shape[:2]) <= _ONE_GROUP
    found += [np.broadcast_to(np.rint(x)[..., None], shape).astype(dtype) for x in ramps[: 1 + small]]
    if small:
        rng = np.random.default_rng(0)
        found += [
            np.clip(np.rint(middle + s * rng.standard_normal(shape)), 0, 2 * middle - 1).astype(dtype)
            for s in (quarter / 16, quarter / 2)
        ]
    return [np.ascontiguousarray(x) for x in found]


@lru_cache(maxsize=256)
def _kept(
    make: Callable[[Any, tuple[int, int, int], float, int], HeaderRule],
    which: Any,
    shape: tuple[int, int, int],
    quality: float,
    bits: int,
) -> HeaderRule:
    return make(which, shape, quality, bits)


@dataclass(frozen=True, slots=True)
class Jpeg2000:
    """OpenJPEG: irreversible 9/7, PSNR-controlled over all components together, no component transform, one layer.

    `quality` is the PSNR in dB against 2^bits − 1: one slope for all components, so bits go where variance is. Six
    resolutions or as many as the picture allows: from four on, 64-pixel tiles cost the same, pictures profit.
    """

    name: str = "jpeg2000"
    standard: str = "ISO/IEC 15444-1, OpenJPEG"

    def dtype(self, bits: int) -> npt.DTypeLike:
        return np.uint16

    def encode(self, picture: Picture, quality: float, bits: int) -> bytes:
        if picture.shape[0] * picture.shape[1] > _FEW_BLOCKS:
            return self.plainly(picture, quality, bits)
        # OpenJPEG stops one truncation point short of the error it is asked for. Where a picture has few of them, a tile
        # may lose even its mean: so the best of some qualities at a slope of the asked error, three times the 2 ln 2 · D a
        # bit of high rates (once was tried: no gain). EuroSAT, bytes at equal error: with a KLT −10 … −22 %, three bands
        # −10 … −25 %, all bands without a KLT 0 … −9 %.
        asked = ((1 << bits) - 1) ** 2 / 10 ** (quality / 10)
        best, least = b"", np.inf
        for more in _MORE_DB:
            file = self.plainly(picture, quality + more, bits)
            difference = self.decode(file, _three_sides(picture)).astype(np.float64) - picture
            cost = float(np.square(difference).sum()) + 48 * np.log(2) * asked * len(file)
            if cost < least:
                best, least = file, cost
        return best

    def plainly(self, picture: Picture, quality: float, bits: int) -> bytes:
        """One call of the library."""
        return bytes(
            picture_codecs().jpeg2k_encode(
                picture if picture.shape[2] > 1 else picture[..., 0],
                level=quality,
                codecformat="j2k",
                mct=False,
                reversible=False,
                bitspersample=bits,
                resolutions=6,
                numthreads=1,
            )
        )

    def decode(self, file: bytes, shape: tuple[int, int, int]) -> Picture:
        return _shaped(picture_codecs().jpeg2k_decode(file, numthreads=1), shape)

    def rule(self, shape: tuple[int, int, int], quality: float, bits: int) -> HeaderRule:
        # The main header does not depend on the quality.
        return _kept(_jpeg2000_rule, self, shape, 40.0, bits)


def _jpeg2000_rule(which: Jpeg2000, shape: tuple[int, int, int], quality: float, bits: int) -> HeaderRule:
    return Jpeg2000Rule.of(which.plainly(_flat(shape, bits, which.dtype(bits)), quality, bits))


@dataclass(frozen=True, slots=True)
class JpegXl:
    """libjxl, bare code stream, VarDCT. `quality` is the distance (25 is the coarsest it has)."""

    name: str = "jpegxl"
    standard: str = "ISO/IEC 18181-1, libjxl"
    effort: int = 7

    def dtype(self, bits: int) -> npt.DTypeLike:
        return np.uint16 if bits > 8 else np.uint8

    def encode(self, picture: Picture, quality: float, bits: int) -> bytes:
        return bytes(
            picture_codecs().jpegxl_encode(
                picture if picture.shape[2] > 1 else picture[..., 0],
                distance=quality,
                effort=self.effort,
                lossless=False,
                bitspersample=bits,
                usecontainer=False,
                numthreads=1,
            )
        )

    def decode(self, file: bytes, shape: tuple[int, int, int]) -> Picture:
        return _shaped(picture_codecs().jpegxl_decode(file, numthreads=1), shape)

    def rule(self, shape: tuple[int, int, int], quality: float, bits: int) -> HeaderRule:
        return _kept(_jpegxl_rule, self, shape, quality, bits)


def _jpegxl_rule(which: JpegXl, shape: tuple[int, int, int], quality: float, bits: int) -> HeaderRule:
    pictures = _references(shape, bits, which.dtype(bits))
    return JpegXlRule.of([which.encode(picture, quality, bits) for picture in pictures])


def _three(picture: Picture) -> Picture:
    """Grey as three equal channels, for libraries that code only colour; the chroma planes then are constant."""
    return picture if picture.shape[2] == 3 else np.ascontiguousarray(np.repeat(picture, 3, axis=2))


def _grey_or_colour(picture: npt.NDArray[Any], shape: tuple[int, int, int]) -> Picture:
    return _shaped(np.ascontiguousarray(picture if shape[2] == 3 else picture[..., 1:2]), shape)


@dataclass(frozen=True, slots=True)
class Avif:
    """libaom through libavif. `quality` 0 … 99 (100 is another, lossless mode); colour 4:4:4."""

    name: str = "avif"
    standard: str = "AV1 Image File Format 1.1, libavif and libaom"
    speed: int = 4

    def dtype(self, bits: int) -> npt.DTypeLike:
        return np.uint16 if bits > 8 else np.uint8

    def encode(self, picture: Picture, quality: float, bits: int) -> bytes:
        # Monochrome would be the format's own way to code grey, but imagecodecs codes it without loss at every level.
        return bytes(
            picture_codecs().avif_encode(
                _three(picture),
                level=int(quality),
                speed=self.speed,
                bitspersample=bits,
                pixelformat="yuv444" if picture.shape[2] == 3 else "yuv420",
                numthreads=1,
            )
        )

    def decode(self, file: bytes, shape: tuple[int, int, int]) -> Picture:
        return _grey_or_colour(picture_codecs().avif_decode(file, numthreads=1), shape)

    def rule(self, shape: tuple[int, int, int], quality: float, bits: int) -> HeaderRule:
        return _kept(_avif_rule, self, shape, quality, bits)


def _avif_rule(which: Avif, shape: tuple[int, int, int], quality: float, bits: int) -> HeaderRule:
    return AvifRule.of(which.encode(_flat(shape, bits, which.dtype(bits)), quality, bits))


@dataclass(frozen=True, slots=True)
class Webp:
    """libwebp's lossy mode (VP8), method 6. `quality` 0 … 100; chroma 4:2:0, the format has no other."""

    name: str = "webp"
    standard: str = "RFC 9649, libwebp"

    def dtype(self, bits: int) -> npt.DTypeLike:
        return np.uint8

    def encode(self, picture: Picture, quality: float, bits: int) -> bytes:
        if max(picture.shape[:2]) > 16_383:
            raise LimitExceeded("a WebP picture has at most 16383 pixels a side", found=picture.shape[:2])
        return bytes(
            picture_codecs().webp_encode(
                _three(picture), level=quality, method=6, lossless=False, numthreads=1
            )
        )

    def decode(self, file: bytes, shape: tuple[int, int, int]) -> Picture:
        return _grey_or_colour(picture_codecs().webp_decode(file), shape)

    def rule(self, shape: tuple[int, int, int], quality: float, bits: int) -> HeaderRule:
        return _kept(_webp_rule, self, shape, 50.0, bits)


def _webp_rule(which: Webp, shape: tuple[int, int, int], quality: float, bits: int) -> HeaderRule:
    return WebpRule.of(which.encode(_flat(shape, bits, np.uint8), quality, bits))


FORMATS: dict[str, Format] = {f.name: f for f in (Jpeg2000(), JpegXl(), Avif(), Webp())}
