"""What a method puts on the link, and how it is counted. The rules are the same for every method of this folder.

Counted: every byte string that leaves the transmitter, whole: compressed frames, packed indices, complete records with
header and CRC, the mean vector of a file, minimum and maximum of a batch, the mask of unmeasured tokens where a method's
own format has none. A byte string that several tiles share is divided among them.

Not counted, for every method alike: what is the same for all tiles and known before the first is sent. That is the file
header without its extensions, a frame's magic, the shape and number of tiles, the name of the setting, and the shared
side information that a fit makes: means, bases, steps, tables, codebooks. They are the method's *package*.

Every answer is decoded from those byte strings by a function that sees them, the fitted state, the setting and the
number of tiles, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from codec.errors import InputError
from codec.evaluate.rate.embedding import frames
from codec.evaluate.rate.types import Coded, EmbeddingCoder, FloatVector, Method, Planes
from codec.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Part:
    """One byte string as it is sent, and the tiles first … first+count−1 that share it."""

    data: bytes
    first: int
    count: int
    shares: FloatVector | None = None  # of each of these tiles, sum 1; None: equal


def sizes(parts: Sequence[Part], n_tiles: int) -> FloatVector:
    """Bytes of each of N tiles; their sum is the length of all parts."""
    result = np.zeros(n_tiles)
    for part in parts:
        share = 1.0 / part.count if part.shares is None else part.shares
        result[part.first : part.first + part.count] += len(part.data) * share
    return result


class PlaneCoder(Protocol):
    """How a method codes one plane; the fitted state is in the object."""

    carries_validity: ClassVar[bool]  # its parts say which tokens are valid, or it sends none of them

    @property
    def settings(self) -> Sequence[str]:
        """From the finest to the coarsest."""

    def encode(self, values: FloatArray, validity: BoolArray, setting: str) -> list[Part]:
        """N×h×w×C and N×h×w; invalid tokens hold the training mean of their channel."""

    def decode(self, parts: Sequence[bytes], setting: str, n_tiles: int) -> FloatArray:
        """The parts' bytes, in the order of `encode` → N×h×w×C float32."""


def whole_tiles(train: Planes) -> BoolArray:
    """The tiles a fit uses: those without an unmeasured token. Raises InputError where there are fewer than two."""
    whole: BoolArray = np.asarray(train.validity.all(axis=(1, 2)), dtype=np.bool_)
    if whole.sum() < 2:
        raise InputError(
            "a fit needs at least two wholly measured training tiles",
            found=f"{int(whole.sum())} of {len(train)}",
        )
    for name, values in train.values.items():
        check_finite(name, values, train.validity)
    return whole


def check_finite(name: str, values: FloatArray, validity: BoolArray) -> None:
    """Raises InputError where a measured token of plane `name` holds a number that is not finite."""
    wrong = ~np.isfinite(values).all(axis=3) & validity
    if wrong.any():
        raise InputError(
            f"plane {name!r} holds numbers that are not finite, first in tile {int(np.argwhere(wrong)[0, 0])}",
            fix="mark such tokens invalid",
        )


def check_setting(settings: Sequence[str], setting: str) -> None:
    """Raises InputError for a setting that a method does not have."""
    if setting not in settings:
        raise InputError("the method has no such setting", expected=", ".join(settings), found=setting)


def check_planes(planes: Planes, fitted: Mapping[str, tuple[int, ...]]) -> None:
    """Raises InputError unless there are tiles, whose planes are those of the fit by name and shape, and finite."""
    if not len(planes):
        raise InputError("there is no tile to code")
    found = {name: tuple(values.shape[1:]) for name, values in planes.values.items()}
    if found != dict(fitted):
        raise InputError("the planes are not those that were fitted", expected=dict(fitted), found=found)
    for name, values in planes.values.items():
        check_finite(name, values, planes.validity)


@dataclass(frozen=True)
class Planewise:
    """A method that codes every plane for itself, with one setting for all of them."""

    about: Method
    fit_plane: Callable[[FloatArray], PlaneCoder]  # from N×h×w×C of whole training tiles

    def fit(self, train: Planes) -> EmbeddingCoder:
        """Fitted on the whole tiles of `train` alone."""
        whole = whole_tiles(train)
        coders = {name: self.fit_plane(values[whole]) for name, values in train.values.items()}
        fill = {
            name: values[whole].mean(axis=(0, 1, 2), dtype=np.float64).astype(np.float32)
            for name, values in train.values.items()
        }
        shapes = {name: tuple(values.shape[1:]) for name, values in train.values.items()}
        return PlanewiseCoder(coders, fill, shapes)


@dataclass(frozen=True)
class PlanewiseCoder:
    """Coders of all planes; the settings are those of the first."""

    coders: Mapping[str, PlaneCoder]
    fill: Mapping[str, FloatArray]  # C, what stands in tokens that were not measured
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def settings(self) -> Sequence[str]:
        return next(iter(self.coders.values())).settings

    def encode(self, planes: Planes, setting: str) -> tuple[list[Part], dict[str, list[Part]]]:
        """The mask, where some format needs it and some token is invalid; and the parts of every plane."""
        check_setting(self.settings, setting)
        check_planes(planes, self.shapes)
        masked = not planes.validity.all()
        needs_mask = masked and not all(coder.carries_validity for coder in self.coders.values())
        mask = [Part(frames.compress(np.packbits(~planes.validity).tobytes()), 0, len(planes))]
        parts = {}
        for name, coder in self.coders.items():
            values = planes.values[name]
            if masked:
                values = np.where(planes.validity[..., None], values, self.fill[name])
            parts[name] = coder.encode(values, planes.validity, setting)
        return mask if needs_mask else [], parts

    def decode(
        self, mask: Sequence[bytes], parts: Mapping[str, Sequence[bytes]], setting: str, n_tiles: int
    ) -> dict[str, FloatArray]:
        """Planes from bytes; tokens that the mask names are 0."""
        decoded = {name: coder.decode(parts[name], setting, n_tiles) for name, coder in self.coders.items()}
        for name, coder in self.coders.items():
            if mask and not coder.carries_validity:
                shape = decoded[name].shape[:3]
                packed = frames.decompress(mask[0], -(-int(np.prod(shape)) // 8))
                bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=int(np.prod(shape)))
                decoded[name][bits.reshape(shape).astype(bool)] = 0
        return decoded

    def code(self, planes: Planes, setting: str) -> Coded:
        """Encode, count, decode."""
        mask, parts = self.encode(planes, setting)
        planes_back = self.decode(
            [part.data for part in mask],
            {name: [part.data for part in own] for name, own in parts.items()},
            setting,
            len(planes),
        )
        everything = [*mask, *(part for own in parts.values() for part in own)]
        return Coded(setting, sizes(everything, len(planes)), planes_back)
