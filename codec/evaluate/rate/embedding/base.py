"""Our training-free base, fitted here: position mean, channel KLT, token DCT, protected mean, static tables by scale.

Three curves of one codec: `base`, all layers at several qualities; `base mean`, layer 0 alone (the tile mean, finer than
the rest) at several qualities; `base prefixes`, one file of which only the first layers arrive. Layer 0 alone decodes to
the position mean shifted by the tile's own mean: tokens differ by position and in nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codec.evaluate.rate.embedding.curves import (
    COST_TILES,
    Choice,
    LayerCosts,
    Points,
    means,
    prefixes,
    qualities,
)
from codec.evaluate.rate.embedding.records import RecordCoder
from codec.evaluate.rate.embedding.sent import Part, check_planes, check_setting, sizes, whole_tiles
from codec.evaluate.rate.types import Coded, EmbeddingCoder, Method, Planes
from codec.transform.fit import FittedCodec, fit_planes
from codec.transform.maps import quant_maps
from codec.types import FloatArray


@dataclass(frozen=True)
class BaseCoder:
    """A fitted codec and the points at which it is scored."""

    codec: FittedCodec
    coder: RecordCoder
    shapes: Mapping[str, tuple[int, ...]]
    points: Points

    @property
    def settings(self) -> Sequence[str]:
        return tuple(self.points)

    def encode(self, planes: Planes, setting: str) -> list[Part]:
        """Records of all planes, the token mask in layer 0's."""
        check_setting(self.settings, setting)
        check_planes(planes, self.shapes)
        index, layers = self.points[setting]
        validity = None if planes.validity.all() else planes.validity
        parts = []
        for number, name in enumerate(self.codec.plane_names):
            latents = self.codec.transforms[name].analyse(planes.values[name], validity)
            symbols = quant_maps(self.codec.tables, number, index).quantise(latents)
            parts += self.coder.encode(
                symbols, planes.validity, ladder_index=index, plane=number, layers=layers
            )
        return parts

    def decode(self, parts: Sequence[bytes], setting: str, n_tiles: int) -> dict[str, FloatArray]:
        """Planes N×h×w×C from records; 0 in tokens that were not measured."""
        index, _ = self.points[setting]
        found = self.coder.decode(parts, n_tiles, ladder_index=index)
        result = {}
        for plane, name in zip(found.planes, self.codec.plane_names, strict=True):
            maps = quant_maps(self.codec.tables, plane.plane, index)
            latents = maps.reconstruct(plane.values, plane.layers)
            result[name] = self.codec.transforms[name].synthesise(latents)
            result[name][~plane.token_validity] = 0
        return result

    def code(self, planes: Planes, setting: str) -> Coded:
        """Encode, count, decode."""
        parts = self.encode(planes, setting)
        decoded = self.decode([part.data for part in parts], setting, len(planes))
        return Coded(setting, sizes(parts, len(planes)), decoded)


@dataclass(frozen=True)
class Base:
    """The base as a method; `choose` picks the points that are scored."""

    about: Method
    choose: Choice

    def fit(self, train: Planes) -> EmbeddingCoder:
        """Fitted on the whole tiles of `train` alone."""
        whole = whole_tiles(train)
        values = {name: x[whole] for name, x in train.values.items()}
        codec = fit_planes(values)
        coder = RecordCoder.of(codec.tables)
        shapes = {name: tuple(x.shape[1:]) for name, x in values.items()}
        sample = slice(None, None, -(-int(whole.sum()) // COST_TILES))
        latents = [codec.transforms[name].analyse(x[sample]) for name, x in values.items()]
        elements = sum(int(np.prod(shape)) for shape in shapes.values())
        costs = LayerCosts(codec.tables, coder.parsed, latents, range(len(latents)), elements)
        return BaseCoder(codec, coder, shapes, self.choose(costs))


_SOURCE = "our base (position mean, KLT, DCT, protected mean), fitted here"
BASE = Base(Method("base", "embedding", _SOURCE), qualities)
BASE_MEAN = Base(Method("base mean", "embedding", f"{_SOURCE}; layer 0 alone"), means)
BASE_PREFIXES = Base(Method("base prefixes", "embedding", f"{_SOURCE}; first layers of one file"), prefixes)
