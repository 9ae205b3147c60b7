"""What freezing costs: integer tables against the density they were made of, and whole records against it.

*Frozen*: expected bits of training coefficients under the tables over those under the fitted density, at every quality; and
what tables of one half of the windows cost on the other half. *Records*: bytes of real records of 64 tiles, with their
headers, check values and final states, over the cross-entropy of held-out tiles under the density, in floating point.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from benchmarks.nec.band_cases import Tiles
from benchmarks.nec.held_out import Collection
from codec.bitstream import coefficients
from codec.evaluate.rate.embedding.records import RecordCoder
from codec.evaluate.rows import Row
from codec.pretrain.fit import CODEC_WINDOWS
from codec.transform.fit import FittedCodec, fit_planes
from codec.transform.fit_cells import LOWEST_LEVEL, Cells, cells_of, frozen_losses, held_out_losses
from codec.transform.fit_checks import DENSE_BITS
from codec.transform.layout import QUARTER_OCTAVES, PlaneLayout
from codec.transform.levels import density, histogram
from codec.transform.maps import quant_maps
from codec.transform.rate import choose_ladder_index
from codec.types import FloatArray, Symbols

SUITE = "nec"
RATES = (60.0, 100.0, 300.0, 1000.0)  # bytes of tokens
MEAN_RATES = (15.0, 20.0, 30.0, 45.0)  # of layer 0 alone
TILES = 64  # of a record
_ARCHIVE = 61440  # bytes that a record may take
_FITTED = 2048  # windows that scales and tables come from
FloatVector = npt.NDArray[np.float64]


def rows(of: Collection) -> Iterator[Row]:
    """Worst qualities, and bytes over cross-entropy at some rates."""
    tiles = Tiles(of)
    train = tiles.planned(CODEC_WINDOWS[tiles.bands])
    codec = fit_planes({"tokens": train})
    latents = codec.transforms["tokens"].analyse(train[:: -(-len(train) // _FITTED)])
    plane, usable = codec.tables.planes[0], codec.tables.usable_indices()
    cells = cells_of(plane, latents, codec.tables.ladder)
    name = f"{of.package.name}/frozen tables"
    losses = frozen_losses(cells, codec.tables.levels, usable)
    dense = [found.loss for found in losses.values() if found.bits > DENSE_BITS]
    worst = 100 * max(found.loss for found in losses.values())
    yield Row(SUITE, name, "bits over the fitted density, worst quality", worst, unit="%", n=len(losses))
    yield Row(
        SUITE, name, f"bits over the fitted density, worst quality above {DENSE_BITS} bit a coefficient",
        100 * max(dense), unit="%", n=len(dense),
    )  # fmt: skip
    index = choose_ladder_index(usable, codec.mean_bytes.__getitem__, 300.0)
    halves = held_out_losses({"tokens": latents}, codec.tables, {"tokens": PlaneLayout()}, index)
    yield Row(
        SUITE,
        name,
        "bits of windows by tables of the other half, over their own",
        100 * halves["tokens"],
        unit="%",
    )
    yield Row(SUITE, name, "bytes of tables.bin, tokens", float(len(codec.tables_bytes)), unit="B")
    held = codec.transforms["tokens"].analyse(np.concatenate([one.tokens for one in of.held]))
    held = held[: len(held) // TILES * TILES]
    layers = len(plane.layer_shift)
    densities = {number: _density(codec, cells, number) for number in range(len(codec.tables.levels))}
    for what, rates, sent in (("tokens", RATES, layers), ("layer 0", MEAN_RATES, 1)):
        found = {i: _records(codec, densities, held, i, sent) for i in list(usable)[8:]}
        for rate in rates:
            size, entropy = min(found.values(), key=lambda pair: abs(np.log(pair[0] / rate)))
            case = f"{of.package.name}/records of {TILES} tiles/{what} near {rate:g} B"
            yield Row(SUITE, case, "bytes", size, unit="B/tile", n=len(held))
            yield Row(
                SUITE,
                case,
                "bytes over float cross-entropy",
                100 * (size / entropy - 1),
                unit="%",
                n=len(held),
            )


def _records(
    codec: FittedCodec, densities: Mapping[int, FloatVector], held: FloatArray, index: int, layers: int
) -> tuple[float, float]:
    """Bytes of a tile in real records, and by cross-entropy."""
    tables, coder = codec.tables, RecordCoder.of(codec.tables)
    maps = quant_maps(tables, 0, index)
    symbols = maps.quantise(held)
    sent = maps.coded & (maps.layer < layers)
    symbols[:, ~sent] = 0
    total, plane = 0, tables.planes[0]
    for start in range(0, len(held), TILES):
        part = symbols[start : start + TILES].astype(np.int16)
        valid = np.ones((len(part), plane.rows, plane.cols), dtype=bool)
        header = coder.header(len(part), index)
        given = Symbols(0, part, valid)
        records = coefficients.encode_plane(coder.parsed, header, 0, given, target_bytes=_ARCHIVE)
        total += sum(len(r.data) for r in records if r.header.layer < layers)
    bits = 0.0
    for number in np.unique(maps.level[sent]).tolist():
        p = densities[number]
        magnitude = np.minimum(np.abs(symbols[:, sent & (maps.level == number)].astype(np.int64)), len(p) - 1)
        bits += float((-np.log2(p[magnitude]) + (magnitude > 0)).sum())
    return total / len(held), max(bits, 1.0) / 8 / len(held)


def _density(codec: FittedCodec, cells: list[Cells], number: int) -> FloatVector:
    ratio = 2.0 ** ((number - LOWEST_LEVEL) / QUARTER_OCTAVES)
    usable = codec.tables.usable_indices()
    pools = [c.pool for c in cells if any(c.klass - q - c.shift == number for q in usable)]
    return density(histogram(pools, ratio), ratio)
