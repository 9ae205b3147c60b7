"""Embeddings as the ground would decode them, at several rates: what heads are trained and scored on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np

from codec.errors import InputError
from codec.package import Package
from codec.transform.rate import bytes_per_tile, choose_ladder_index
from codec.types import BoolArray, FloatArray

TARGET_BYTES = (640.0, 320.0, 160.0, 80.0, 40.0)  # payload per tile, all planes


@dataclass(frozen=True, slots=True)
class Rate:
    """One quality: None is the uncompressed embedding; `layers` counts those that arrive (None: all)."""

    ladder_index: int | None
    bytes_per_tile: float  # estimated payload, all planes; infinite where nothing was compressed
    layers: int | None = None

    @property
    def label(self) -> str:
        if self.ladder_index is None:
            return "uncompressed"
        return f"index {self.ladder_index}" + ("" if self.layers is None else f", first {self.layers} layers")


def latents(package: Package, planes: Mapping[str, FloatArray], validity: BoolArray) -> dict[int, FloatArray]:
    """Plane number → N×C×F of the package's planes."""
    names = [plane.name for plane in package.planes]
    return {i: package.transforms[name].analyse(planes[name], validity) for i, name in enumerate(names)}


def choose_rates(package: Package, planes: Mapping[str, FloatArray], validity: BoolArray) -> list[Rate]:
    """Uncompressed, the finest index within each of `TARGET_BYTES` on these embeddings, layer 0 alone at the default."""
    some = slice(None, None, -(-len(validity) // 256))  # enough tiles for an average
    values = latents(package, {name: x[some] for name, x in planes.items()}, validity[some])

    @cache
    def cost(index: int) -> float:
        return bytes_per_tile(package.table_file, values, index)

    chosen = set()
    for budget in TARGET_BYTES:
        with suppress(InputError):  # the coarsest quality is dearer than the smallest budgets on some data
            chosen.add(choose_ladder_index(package.ladder_indices, cost, budget))
    default = package.default_ladder_index
    return [
        Rate(None, float("inf")),
        *(Rate(index, cost(index)) for index in sorted(chosen)),
        Rate(default, cost(default), layers=1),
    ]


def decoded(
    package: Package, planes: Mapping[str, FloatArray], validity: BoolArray, rates: Sequence[Rate]
) -> Iterator[tuple[Rate, dict[str, FloatArray]]]:
    """The planes after each rate; the token values of invalid tokens mean nothing."""
    values = latents(package, planes, validity)
    for rate in rates:
        if rate.ladder_index is None:
            yield rate, dict(planes)
            continue
        out = {}
        for number, plane in enumerate(package.planes):
            maps = package.maps(number, rate.ladder_index)
            symbols = maps.quantise(values[number])
            arrived = (
                None if rate.layers is None else np.full(len(symbols), (1 << rate.layers) - 1, np.uint16)
            )
            out[plane.name] = package.transforms[plane.name].synthesise(maps.reconstruct(symbols, arrived))
        yield rate, out
