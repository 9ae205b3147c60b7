"""The entropy coder as it runs: many records at once, fresh symbols, against the core. Needs a GPU: `make gpu`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rans_cases import Case, PlaneTableSpec, TableFile, TableSpec, packed_header

torch = pytest.importorskip("torch")

from codec.bitstream import core  # noqa: E402
from kernels.rans import backend, decode, encode  # noqa: E402

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def seed(fresh_on_gpu: int) -> int:
    return fresh_on_gpu


def drawn(seed: int, log2_lanes: int, tiles: int, tiles_each: int, low_bits: int) -> Case:
    """A plane of 64 tokens and 48 channels; a symbol in a hundred is an escape."""
    rng = np.random.default_rng(seed)
    step = 1 << low_bits
    tables = []
    for scale in np.geomspace(0.2, 4, 8):
        tail = np.exp(-(np.arange(1, 12) - 0.5) / scale)
        edges = np.unique(np.clip(65536 * (1 - tail) // step * step, step, 65536 - step).astype(int))
        tables.append(TableSpec(tuple(edges.tolist()), low_bits=low_bits))
    bands = (0, *rng.integers(1, 6, 58).tolist(), 1, 2, 3, 4, 5)
    maps = np.zeros((6, 48), np.uint8)
    classes = rng.integers(0, 8, (6, 48)).astype(np.uint8)
    spec = PlaneTableSpec(8, 8, 48, 1, bands, maps, classes, (0,))
    magnitude = np.rint(rng.exponential(1.0, (tiles, 48, 64))).astype(np.int64)
    magnitude = np.where(
        rng.random(magnitude.shape) < 0.001, rng.integers(0, 32768, magnitude.shape), magnitude
    )
    symbols = (magnitude * rng.choice([-1, 1], magnitude.shape)).astype(np.int16)
    masked = rng.random(tiles) < 0.1
    symbols[masked] = 0
    headers = [
        packed_header(t, min(tiles_each, tiles - t) - 1, log2_lanes=log2_lanes)
        for t in range(0, tiles, tiles_each)
    ]
    none = np.zeros((tiles, 64), bool)
    return Case(TableFile(tables, [spec], [1.0]), 0, symbols, masked, none, none, headers, 0, 0, log2_lanes)


@pytest.mark.parametrize("low_bits", [0, 2])
@pytest.mark.parametrize("log2_lanes", range(8))
def test_many_records(seed: int, log2_lanes: int, low_bits: int) -> None:
    case = drawn(seed, log2_lanes, 4000, 1 if log2_lanes == 0 else 7, low_bits)
    headers = np.array(case.headers, np.uint64)
    masks: tuple[Any, ...] = (case.tile_mask, case.token_mask, case.doubled)
    records = core.encode_records(case.tables, headers, 0, case.symbols, *masks, threads=8)
    by_token = torch.from_numpy(case.symbols).cuda().movedim(1, 2).contiguous()
    written = encode.encode_on(case.tables, headers, 0, by_token, *masks)
    assert written is not None
    assert [written[number] for number in range(len(headers))] == records
    found = decode.decode_on(by_token.device, case.tables, records, 0, case.n_tiles, 0)
    assert len(found.held) == len(records)
    assert torch.equal(found.symbols, by_token)


@pytest.mark.parametrize("log2_lanes", [0, 5, 6])
def test_damage(seed: int, log2_lanes: int) -> None:
    """Nothing is read or written outside, and nothing damaged is taken: the back end says what the core says."""
    from rans_cases import sealed

    case = drawn(seed, log2_lanes, 600, 1 if log2_lanes == 0 else 4, 0)
    rng = np.random.default_rng(seed)
    records = []
    for one in case.encode():
        payload = bytearray(one[8:-4])
        for _ in range(int(rng.integers(0, 3))):
            payload[int(rng.integers(0, len(payload)))] ^= 1 << int(rng.integers(0, 8))
        payload = payload[: max(1, len(payload) - int(rng.integers(0, 3)))]
        records.append(sealed(one[:5], bytes(payload)))
    arrays = []
    for coder in (core, backend):
        out = np.full(case.symbols.shape, 99, np.int16)
        mask, layers = np.ones_like(case.token_mask), np.zeros(case.n_tiles, np.uint16)
        said = coder.decode_records(case.tables, records, 0, case.n_tiles, case.doubled, out, mask, layers, 0)
        arrays.append((said, out, mask, layers))
    assert arrays[0][0] == arrays[1][0]
    assert all(np.array_equal(a, b) for a, b in zip(arrays[0][1:], arrays[1][1:], strict=True))


def test_payloads_that_no_encoder_writes_are_refused() -> None:
    from rans_crafted import CHANNELS, CRAFTED, TABLES, TOKENS

    for one in CRAFTED:
        none = np.zeros((one.tiles, TOKENS), bool)
        said = []
        for coder in (core, backend):
            out = np.zeros((one.tiles, CHANNELS, TOKENS), np.int16)
            masks = np.ones_like(none), np.zeros(one.tiles, np.uint16)
            outcomes = coder.decode_records(TABLES, [one.record()], 0, one.tiles, none, out, *masks, 0)
            said.append((outcomes, out.tolist(), masks[0].tolist(), masks[1].tolist()))
        assert said[0] == said[1], one.name
        on_device = decode.decode_on(torch.device("cuda"), TABLES, [one.record()], 0, one.tiles, 0)
        assert bool(on_device.held) == one.holds, one.name
