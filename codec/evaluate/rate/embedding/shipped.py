"""Our base as a model package ships it: its own transform and tables, whole files through `codec.pipeline`.

Training planes choose at which ladder indices it is scored, and nothing else. A plane of the package that is not asked
for is sent masked and its records are left out, as a receiver may.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codec import pipeline
from codec.bitstream import coefficients, extensions, reader
from codec.bitstream.header import FileHeader
from codec.errors import InputError
from codec.evaluate.rate.embedding.curves import (
    COST_TILES,
    Choice,
    LayerCosts,
    Points,
    means,
    prefixes,
    qualities,
)
from codec.evaluate.rate.embedding.records import shared_by_cost
from codec.evaluate.rate.embedding.sent import Part, check_planes, check_setting, sizes, whole_tiles
from codec.evaluate.rate.types import Coded, EmbeddingCoder, Method, Planes
from codec.package import Package
from codec.types import FloatArray, Georeference, Latent, TileGrid

_NOWHERE = Georeference((1.0, 0.0, 0.0, 0.0, 1.0, 0.0))


@dataclass(frozen=True)
class ShippedCoder:
    """A package, the planes that are sent, and the points at which it is scored."""

    package: Package
    names: tuple[str, ...]
    points: Points

    @property
    def settings(self) -> Sequence[str]:
        return tuple(self.points)

    def encode(self, planes: Planes, setting: str) -> tuple[bytes, list[Part]]:
        """The file's header; and what is counted: its extensions, then the records of the planes and layers sent."""
        check_setting(self.settings, setting)
        check_planes(planes, {name: self._shape(name) for name in self.names})
        index, layers = self.points[setting]
        n, core = len(planes), self.package.tile.core
        file = reader.read_bytes(
            pipeline.encode(
                self.package,
                [self._latent(number, planes) for number in range(len(self.package.planes))],
                grid=TileGrid(n * core, core, core, core),
                georeference=_NOWHERE,
                sensor="benchmark",
                band_mask=0,
                time_us=0,
                ladder_index=index,
                index=False,
                seal=False,
            )
        )
        # Mean vectors: no two files have the same, so they are no common header.
        parts = [Part(extensions.encode(file.header.extensions), 0, n)]
        tables = self.package.tables
        found = coefficients.decode(tables, file.header, file.records)
        for number in map(self.package.plane_index, self.names):
            sent = [
                r
                for r in file.records
                if r.header.is_coefficients and (r.header.plane, r.header.layer < layers) == (number, True)
            ]
            parts += shared_by_cost(tables, sent, number, index, found.planes[number].values)
        return file.header.encode(), parts

    def decode(self, header: bytes, records: Sequence[bytes]) -> dict[str, FloatArray]:
        """Planes N×h×w×C, 0 in tokens that were not measured."""
        found = pipeline.decode(self.package, FileHeader.decode(header)[0], records)
        return {name: found.embeddings[name].values for name in self.names}

    def code(self, planes: Planes, setting: str) -> Coded:
        """Encode, count, decode."""
        header, parts = self.encode(planes, setting)
        decoded = self.decode(header, [part.data for part in parts[1:]])
        return Coded(setting, sizes(parts, len(planes)), decoded)

    def _shape(self, name: str) -> tuple[int, ...]:
        spec = self.package.planes[self.package.plane_index(name)].spec
        return spec.rows, spec.cols, spec.channels

    def _latent(self, number: int, planes: Planes) -> Latent:
        entry, n = self.package.planes[number], len(planes)
        if entry.name in self.names:
            validity = None if planes.validity.all() else planes.validity
            latents = self.package.transforms[entry.name].analyse(planes.values[entry.name], validity)
            return Latent(number, latents, planes.validity)
        spec = entry.spec
        nothing = np.zeros((n, spec.channels, spec.n_frequencies), np.float32)
        return Latent(number, nothing, np.zeros((n, spec.rows, spec.cols), bool))


@dataclass(frozen=True)
class Shipped:
    """A package as a method."""

    about: Method
    package: Package
    choose: Choice

    def fit(self, train: Planes) -> EmbeddingCoder:
        """Training planes choose the ladder indices. Raises InputError for planes that the package does not have."""
        known = {entry.name: entry.spec for entry in self.package.planes}
        for name, values in train.values.items():
            spec = known.get(name)
            expected = None if spec is None else (spec.rows, spec.cols, spec.channels)
            if tuple(values.shape[1:]) != expected:
                raise InputError(
                    f"package {self.package.name!r} is for other embeddings: its plane {name!r}",
                    expected=expected or f"one of {', '.join(known)}",
                    found=values.shape[1:],
                    fix="leave the shipped methods out, or use the package's own encoder",
                )
        whole = np.flatnonzero(whole_tiles(train))
        sample = whole[:: -(-len(whole) // COST_TILES)]
        latents = [
            self.package.transforms[name].analyse(values[sample]) for name, values in train.values.items()
        ]
        elements = sum(int(np.prod(values.shape[1:])) for values in train.values.values())
        numbers = [self.package.plane_index(name) for name in train.values]
        costs = LayerCosts(self.package.table_file, self.package.tables, latents, numbers, elements)
        return ShippedCoder(self.package, tuple(train.values), self.choose(costs))


def _shipped(suffix: str, what: str, package: Package, choose: Choice) -> Shipped:
    source = f"package {package.name} {package.codec_id.hex()}, its own transform and tables{what}"
    return Shipped(Method(f"shipped{suffix}", "embedding", source), package, choose)


def shipped(package: Package) -> Shipped:
    """All layers at several qualities."""
    return _shipped("", "", package, qualities)


def shipped_mean(package: Package) -> Shipped:
    """Layer 0 alone at several qualities."""
    return _shipped(" mean", "; layer 0 alone", package, means)


def shipped_prefixes(package: Package) -> Shipped:
    """First layers of one file."""
    return _shipped(" prefixes", "; first layers of one file", package, prefixes)
