"""The product's encoder writes, to the byte, what the rules of §10 make of the same symbols and masks."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from nec_encoder.parts import COEFFICIENTS, COMPACT
from nec_encoder.payload import TileIn
from nec_encoder.rules import PlaneJob, cost, encode_records, symbol_cost
from nec_reference.header import decode_header
from nec_reference.tiles import own_tokens
from nec_vectors.files import draw, head
from nec_vectors.packages import INTEGER_NONE, LOW, MASK, ONE, ONE_LOW, THREE, TWO, WIDE, PackageOut

from codec.bitstream import coefficients, core
from codec.bitstream.header import FileHeader
from codec.types import Symbols

CASES: dict[str, tuple[PackageOut, tuple[int, int], int, int]] = {  # package, scene, ladder index, target
    "one-channel-coarse-counts": (ONE, (8, 8 * 700), 8, 60),
    "nothing-coded": (ONE, (8, 8 * 300), 10, 960),
    "layers-edges-masks": (THREE, (50, 70), 8, 120),
    "one-tile-a-record": (THREE, (50, 70), 6, 14),
    "two-planes": (TWO, (40, 40), 8, 200),
    "token-masks": (MASK, (45, 40), 8, 100),
    "eight-lanes": (WIDE, (8, 8 * 60), 8, 5000),
    "archive-64-lanes": (WIDE, (8, 8 * 500), 8, 61440),
    "integer": (INTEGER_NONE, (30, 30), 8, 90),
    "low-bits": (LOW, (8, 8 * 40), 8, 700),
    "low-bits-lanes": (LOW, (8, 8 * 300), 8, 61440),
}


def _jobs(package: PackageOut, header_bytes: bytes, ladder_index: int, seed: int) -> list[PlaneJob]:
    """Symbols and masks from a seed; one tile in eight is wholly masked, one in three partly."""
    rng = random.Random(seed)
    header = decode_header(header_bytes)
    wholly = [rng.random() < 1 / 8 for _ in range(header.n_tiles)]
    jobs = []
    for number, shape in enumerate(package.tables.planes):
        es = [ladder_index + shift for shift in shape.shift]
        tiles, own = [], []
        for tile in range(header.n_tiles):
            rect = own_tokens(header, header.planes[number], tile)
            own.append((rect.top, rect.bottom, rect.left, rect.right))
            inside = [(r, c) for r in range(rect.top, rect.bottom) for c in range(rect.left, rect.right)]
            masked = frozenset(token for token in inside if rng.random() < 1 / 4)
            if wholly[tile] or len(masked) == len(inside) or rng.random() < 2 / 3:
                masked = frozenset()
            spread = rng.choice((0.2, 1.0, 8.0))
            grid = draw(rng.getrandbits(30), package.tables, number, es, spread=spread)
            tiles.append(TileIn(grid, wholly=wholly[tile], masked=masked))
        jobs.append(PlaneJob(number, tiles, own))
    return jobs


def _symbols(job: PlaneJob, rows: int, cols: int) -> Symbols:
    validity = np.zeros((len(job.tiles), rows, cols), bool)
    for tile, (top, bottom, left, right) in enumerate(job.own):
        if not job.tiles[tile].wholly:
            validity[tile, top:bottom, left:right] = True
            for token in job.tiles[tile].masked:
                validity[tile, token[0], token[1]] = False
    return Symbols(job.plane, np.array([tile.symbols for tile in job.tiles], np.int16), validity)


@pytest.mark.parametrize(("package", "scene", "ladder_index", "target"), CASES.values(), ids=CASES)
def test_equal_symbols_and_masks_give_equal_records(
    package: PackageOut, scene: tuple[int, int], ladder_index: int, target: int
) -> None:
    header_bytes = head(package, scene=scene, ladder_index=ladder_index)
    jobs = _jobs(package, header_bytes, ladder_index, seed=1)
    expected = encode_records(package.tables, jobs, ladder_index, target)
    header, _ = FileHeader.decode(header_bytes)
    planes = package.tables.planes
    records = coefficients.encode_file_records(
        core.TableSet(package.tables_bytes),
        header,
        [_symbols(job, planes[job.plane].rows, planes[job.plane].cols) for job in jobs],
        target_bytes=target,
    )
    assert [record.data for record in records] == expected


def test_the_cases_reach_every_kind_of_record() -> None:
    counts, lanes, kinds = set(), set(), set()
    for package, scene, ladder_index, target in CASES.values():
        jobs = _jobs(package, head(package, scene=scene, ladder_index=ladder_index), ladder_index, seed=1)
        for record in encode_records(package.tables, jobs, ladder_index, target):
            counts.add(record[4])
            lanes.add(1 if record[0] & 7 == COMPACT else 1 << (record[1] >> 2 & 7))
            kinds.add(record[0] & 7)
    assert kinds == {COEFFICIENTS, COMPACT}
    assert max(counts) >= 128, "a coarse tile-count code"
    assert 1 in lanes
    assert max(lanes) == 64, "the most lanes that the rule gives"


def test_costs_are_the_logarithm_cut_off_at_8_binary_digits() -> None:
    # §10.2 by hand: powers of two are exact. log2(49152) = 15.58496…, cut off 15 + 149/256: 4096 − 3989 = 107.
    assert [cost(f) for f in (65536, 32768, 16384, 2, 1, 49152)] == [0, 256, 512, 3840, 4096, 107]
    for f in range(1, 65537, 7):
        digits = 4096 - cost(f)
        assert digits / 256 <= math.log2(f) + 1e-9
        # Each squaring rounds y down by less than 2⁻³¹ of it; the eighth digit can still only miss a tie.
        assert math.log2(f) < (digits + 1) / 256 + 1e-6


def test_the_cores_costs_are_those_of_the_text() -> None:
    tables = core.TableSet(THREE.tables_bytes)
    # Band 0 of channel 0 at ladder index 8 has level 7: K = 60. One symbol at a time, escapes included.
    table = THREE.tables.tables[7]
    values = [0, 1, -1, 2, 17, -59, 60, -60, 61, 62, 63, 100, -1000, 32767]
    symbols = np.zeros((len(values), 3, 4), np.int16)
    symbols[:, 0, 0] = values
    found = core.tile_costs(tables, 0, 0, 8, symbols)
    zeros = sum(cost(THREE.tables.tables[level].thresholds[0]) for level in (6, 5))
    assert found.tolist() == [symbol_cost(table, v) + zeros for v in values]


def test_the_cores_costs_of_low_bits_are_those_of_the_text() -> None:
    tables = core.TableSet(ONE_LOW.tables_bytes)
    values = [0, 1, -2, 4, -5, 8, 9, -16, 17, 100, -1000, 32767]
    symbols = np.array(values, np.int16)[:, None, None]
    for ladder_index, number in ((8, 2), (9, 1)):
        found = core.tile_costs(tables, 0, 0, ladder_index, symbols)
        assert found.tolist() == [symbol_cost(ONE_LOW.tables.tables[number], v) for v in values]
