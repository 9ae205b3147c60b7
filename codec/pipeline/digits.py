"""Planes and those that refine them: symbols from latents, the order of a file's records, what a decoder puts together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codec.bitstream.decoded import PlaneSymbols
from codec.bitstream.derived import derived_invalid
from codec.errors import InputError
from codec.package import Package
from codec.pipeline.quantising import Quantiser
from codec.transform.digits import quantise
from codec.types import Record, Symbols, TileGrid, TileRange

_CHUNK = 256  # tiles whose digits are made at a time


def chain_symbols(quantiser: Quantiser, grid: TileGrid, n_digits: int | None) -> list[Symbols]:
    """Symbols of a plane and of all planes that refine it, of which the first `n_digits` are used (None: all).

    The others are all 0 and are not meant to be sent. With digits behind it a symbol is rounded to the nearest, whatever
    else the quantiser would choose. Masks of refining planes name tiles, never tokens: what is valid is the plane's to say.
    """
    package, source, mean = quantiser.package, quantiser.source, quantiser.mean
    numbers = package.chain(source.number)
    used = numbers[: None if n_digits is None else 1 + n_digits]
    if len(used) == 1:
        values = [quantiser.all()]
    else:
        maps = [package.maps(number, quantiser.ladder_index) for number in used]
        values = [np.empty(source.values.shape, dtype=np.int16) for _ in used]
        for start in range(0, len(source.values), _CHUNK):
            part = slice(start, start + _CHUNK)
            latents = source.values[part]
            if mean is not None:
                latents = latents - mean.values
            for whole, found in zip(values, quantise(latents, maps), strict=True):
                whole[part] = found
        for whole in values:
            whole[~source.coded] = 0
    spec = package.plane_specs[source.number]
    tiles = source.coded[:, None, None] & ~derived_invalid(grid, spec)
    nothing = np.zeros(source.values.shape, dtype=np.int16)
    rest = [
        Symbols(number, values[place] if place < len(used) else nothing, tiles)
        for place, number in enumerate(numbers)
        if place
    ]
    return [Symbols(source.number, values[0], source.validity), *rest]


def check_digits(package: Package, n_digits: int | None) -> int | None:
    """How many digits shall be sent. Raises InputError above what the package has."""
    most = max(len(package.chain(number)) - 1 for number in range(len(package.planes)))
    if n_digits is not None and not 0 <= n_digits <= most:
        raise InputError(
            f"package {package.name!r} has other refinements of its planes",
            expected=f"0 to {most}",
            found=n_digits,
        )
    return n_digits


def in_order(package: Package, records: Sequence[Record], n_digits: int | None = None) -> list[Record]:
    """Records in the order of a file (bitstream §10.3), those of refining planes beyond `n_digits` left out.

    The first digit of the mean stands before the other layers: heads on mean tokens need no more, and the others are worth
    little before it.
    """
    depth = depths(package)

    def key(record: Record) -> tuple[int, int, int, int]:
        head = record.header
        return (*place_in_prefix(depth[head.plane], head.layer), head.plane)

    kept = [
        r
        for r in records
        if (n_digits is None or depth[r.header.plane] <= n_digits)
        and not _is_empty(package, r.header.plane, r.header.layer)
    ]
    return sorted(kept, key=key)


def place_in_prefix(depth: int, layer: int) -> tuple[int, int, int]:
    """What layers of planes are sorted by: how many planes their plane refines one after another, and their number."""
    return (0, 0, depth) if layer == 0 and depth < 2 else (depth, 1, layer)


def depths(package: Package) -> list[int]:
    """Of every plane of a file: how many planes it refines one after another; 0 of those that are embeddings."""
    found = [0] * len(package.planes)
    for entry in package.refining:
        found.append(0 if entry.refines is None else found[entry.refines] + 1)
    return found


def finer_planes(package: Package, planes: Sequence[PlaneSymbols], number: int) -> list[PlaneSymbols]:
    """The planes of a file that refine plane `number`, from the coarse to the fine; up to the last that has arrived."""
    chain = [planes[n] for n in package.chain(number)[1:]]
    while chain and not chain[-1].layers.any():
        chain.pop()
    return chain


def reported(
    package: Package, planes: Sequence[PlaneSymbols], missing: Sequence[TileRange]
) -> tuple[TileRange, ...]:
    """Without what is not sent of refining planes: those of which nothing has arrived, and their empty layers."""
    silent = {p.plane for p in planes if p.plane >= len(package.planes) and not p.layers.any()}
    return tuple(m for m in missing if m.plane not in silent and not _is_empty(package, m.plane, m.layer))


def _is_empty(package: Package, plane: int, layer: int) -> bool:
    """A layer of a refining plane that has no coefficient: nothing is sent for it."""
    return plane >= len(package.planes) and not (package.table_file.planes[plane].layer_map == layer).any()
