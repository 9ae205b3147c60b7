"""One rival that sends pixels: reflectance → integers → a picture file's bytes → reflectance.

    tiles ─join─▶ picture C×H×W ─standardise─(KLT)─▶ integers ─lay out─▶ file ─strip─▶ bytes that are sent
    bytes ─restore─▶ file ─decode─▶ integers ─(inverse KLT)─▶ reflectance ─cut─▶ tiles

The ground has the fitted statistics, the setting, and what is known there for every method: validity, bands, places. How
long a file is comes with its packet; it costs the rivals nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codec.errors import InputError
from codec.evaluate.rate.pixels.formats import FORMATS, Format
from codec.evaluate.rate.pixels.headers import received, sent
from codec.evaluate.rate.pixels.layout import laid, picture_shape, taken
from codec.evaluate.rate.pixels.mosaic import assembled, blocks, disassembled
from codec.evaluate.rate.pixels.settings import Setting
from codec.evaluate.rate.pixels.spectrum import Spectrum, fitted
from codec.evaluate.rate.types import Coded, FloatVector, Method, TileSet
from codec.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Transform:
    """Standardised bands, or the KLT components of them that are sent."""

    basis: FloatVector | None  # K×B, orthonormal rows; None: the bands themselves

    @classmethod
    def of(cls, spectrum: Spectrum, index: BoolArray, *, klt: bool, floor: float) -> Transform:
        if not klt:
            return cls(None)
        variance, basis = spectrum.klt(index)
        return cls(basis[: max(1, int((variance > floor).sum()))])

    def forward(self, bands: FloatArray) -> FloatArray:
        """B×H×W → K×H×W."""
        if self.basis is None:
            return bands
        return np.asarray(np.einsum("kb,bhw->khw", self.basis, bands), np.float32)

    def inverse(self, components: FloatArray) -> FloatArray:
        """K×H×W → B×H×W; components that were not sent count as their mean, 0."""
        if self.basis is None:
            return components
        return np.asarray(np.einsum("kb,khw->bhw", self.basis, components), np.float32)

    def n_components(self, bands: int) -> int:
        return bands if self.basis is None else len(self.basis)


@dataclass(frozen=True, slots=True)
class PixelRivalCoder:
    """A fitted rival."""

    name: str
    format: Format
    klt: bool
    joined: bool  # scene-coded
    spectrum: Spectrum
    sends: BoolArray  # B, bands that it sends where a tile has them
    steps: tuple[Setting, ...]

    @property
    def settings(self) -> Sequence[str]:
        """From the finest to the coarsest."""
        return tuple(step.name for step in self.steps)

    @property
    def bands(self) -> tuple[str, ...]:
        """The only bands there are on the ground."""
        return tuple(name for name, one in zip(self.spectrum.bands, self.sends, strict=True) if one)

    def encode(self, picture: FloatArray, index: BoolArray, step: Setting) -> bytes:
        """Reflectance C×H×W of the bands of `index`, every pixel known, to the bytes that are sent."""
        transform = Transform.of(self.spectrum, index, klt=self.klt, floor=step.floor)
        values = transform.forward(self.spectrum.standardised(picture, index)) * step.levels + step.centre
        integers = np.clip(np.rint(values), 0, (1 << step.bits) - 1).astype(self.format.dtype(step.bits))
        flat = laid(integers, step.layout)
        file = self.format.encode(flat, step.quality, step.bits)
        return sent(file, self.format.rule(_shape(flat.shape), step.quality, step.bits))

    def decode(self, data: bytes, size: tuple[int, int], index: BoolArray, step: Setting) -> FloatArray:
        """Reflectance C×H×W from the bytes, the fitted statistics and what the ground knows."""
        transform = Transform.of(self.spectrum, index, klt=self.klt, floor=step.floor)
        channels = transform.n_components(int(index.sum()))
        shape = picture_shape((channels, *size), step.layout)
        file = received(data, self.format.rule(shape, step.quality, step.bits))
        integers = taken(self.format.decode(file, shape), channels, step.layout)
        values = (integers.astype(np.float32) - step.centre) / np.float32(step.levels)
        return self.spectrum.reflectance(transform.inverse(values), index)

    def step(self, setting: str) -> Setting:
        """By its name."""
        for step in self.steps:
            if step.name == setting:
                return step
        raise InputError(f"{self.name} has no setting {setting!r}", expected=", ".join(self.settings))

    def code(self, tiles: TileSet, setting: str) -> Coded:
        """Encode, count, decode. Absent bands and bands that are not sent come out as 0.

        A picture's bytes are shared equally among its tiles, which are of equal area.
        """
        if tiles.bands != self.spectrum.bands:
            raise InputError(
                "tiles have other bands than in training", expected=self.spectrum.bands, found=tiles.bands
            )
        return self.code_at(tiles, self.step(setting))

    def code_at(self, tiles: TileSet, step: Setting) -> Coded:
        """As `code`, at a setting that need not be one of the rival's own."""
        sizes, out = np.zeros(len(tiles)), np.zeros(tiles.pixels.shape, np.float32)
        for block in blocks(tiles, joined=self.joined):
            index = block.present & self.sends
            if not index.any():
                raise InputError(
                    f"a tile of {tiles.name!r} has none of the bands of {self.name}",
                    expected=self.bands,
                    found=f"tile {int(block.index[0])}",
                )
            parts = tiles.pixels[block.index][:, index]
            validity = tiles.validity[block.index]
            if not np.isfinite(parts[np.broadcast_to(validity[:, None], parts.shape)]).all():
                raise InputError(f"a measured pixel of {tiles.name!r} is not finite")
            picture = assembled(parts, validity, block)
            data = self.encode(picture, index, step)
            found = disassembled(self.decode(data, _size(picture.shape), index, step), block)
            out[np.ix_(block.index, np.flatnonzero(index))] = found
            sizes[block.index] = len(data) / len(block.index)
        return Coded(step.name, sizes, pixels=out)


def _shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return shape[0], shape[1], shape[2]


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[1], shape[2]


@dataclass(frozen=True, slots=True)
class PixelRival:
    """A rival before it is fitted; `bands` None: all that a tile has."""

    about: Method
    format: str
    klt: bool
    joined: bool
    bands: tuple[str, ...] | None
    steps: tuple[Setting, ...]

    def fit(self, train: TileSet) -> PixelRivalCoder:
        """Centre, width and correlation of the bands from training pixels, nothing else."""
        if self.bands is not None and not set(self.bands) <= set(train.bands):
            raise InputError(
                f"{self.about.name} needs bands that {train.name!r} does not list",
                expected=self.bands,
                found=train.bands,
            )
        listed = np.array([self.bands is None or name in self.bands for name in train.bands])
        sends = np.asarray(listed & train.present.any(0), np.bool_)
        if self.bands is not None and not sends[listed].all():
            raise InputError(
                f"no tile of {train.name!r} has all bands of {self.about.name}", expected=self.bands
            )
        spectrum = fitted(train, sends)
        return PixelRivalCoder(
            self.about.name, FORMATS[self.format], self.klt, self.joined, spectrum, sends, self.steps
        )
