"""The GPU's entropy coder against the core, byte for byte; its kernels are interpreted here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from rans_cases import (
    Case,
    PlaneTableSpec,
    Records,
    TableFile,
    TableSpec,
    assert_same_decoding,
    cases,
    encoded,
    packed_header,
    raised,
)  # fmt: skip
from rans_memory import guard

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from codec.bitstream import backends, core  # noqa: E402
from kernels.rans import backend, decode, encode  # noqa: E402
from kernels.rans.opened import Fields, alone  # noqa: E402
from kernels.rans.tables import DeviceTables  # noqa: E402
from kernels.rans_one_lane import launch as one_lane  # noqa: E402

pytestmark = pytest.mark.usefixtures("interpreted")
CPU = torch.device("cpu")
quick = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of these tests touch nothing outside of their arrays."""
    guard(monkeypatch)


@quick
@given(cases(max_channels=9, max_tiles=4))
def test_what_the_core_writes_is_read_and_written_alike(case: Case) -> None:
    assert encoded(backend, case) == encoded(core, case)
    assert_same_decoding(case, case.encode())


@quick
@given(cases(max_channels=5, largest=200, max_tiles=4), st.sampled_from([np.int8, np.int16]))
def test_values_that_do_not_fit_are_refused_alike(case: Case, dtype: Any) -> None:
    assert_same_decoding(case, case.encode(), dtype)


@quick
@given(cases(max_channels=5, max_tiles=3), st.data())
def test_what_cannot_be_written_is_refused_alike(case: Case, data: st.DataObject) -> None:
    """Symbols where nothing is coded, −32768, masks that contradict each other."""
    where = tuple(data.draw(st.integers(0, size - 1)) for size in case.symbols.shape)
    case.symbols[where] = data.draw(st.sampled_from([1, -32768, 32767]))
    if data.draw(st.booleans()):
        case.tile_mask[where[0]] ^= True
    ours, theirs = raised(lambda: encoded(backend, case)), raised(lambda: encoded(core, case))
    assert ours == theirs
    if not theirs:
        assert encoded(backend, case) == encoded(core, case)


@settings(quick, max_examples=12)
@given(cases(max_channels=5, max_tiles=3))
def test_kernels_do_the_work(case: Case) -> None:
    """Without token masks no record is left to the core, whose every refusal would otherwise hide a kernel's."""
    assume(not (case.token_mask & ~case.doubled).any())
    records = case.encode()
    found = decode.decode_on(CPU, case.tables, records, case.ladder_index, case.n_tiles, 0)
    assert [one.number for one in sorted(found.held, key=lambda one: one.number)] == list(range(len(records)))
    by_token = torch.from_numpy(case.symbols).movedim(1, 2).contiguous()
    headers = np.array(case.headers, np.uint64)
    masks = case.tile_mask, case.token_mask, case.doubled
    written = encode.encode_on(case.tables, headers, case.ladder_index, by_token, *masks)
    assert written == dict(enumerate(records))


def test_lists_that_do_not_fit_together_take_several_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    given_ = Records([20000, 40000, 60000], 2, 2, 70, 0)  # 70 records of one tile: three programs
    launched = []
    monkeypatch.setattr(one_lane, "MOST_BYTES", 1)
    monkeypatch.setattr(
        one_lane, "_each", lambda calls: launched.append(len(calls)) or [call() for call in calls]
    )
    records = given_.encode(1)
    found = decode.decode_on(CPU, given_.tables, records, 0, 70, 0)
    assert len(found.held) == 70
    assert np.array_equal(found.symbols.movedim(1, 2).numpy(), given_.symbols)
    headers = np.array([packed_header(tile, 0) for tile in range(70)], np.uint64)
    by_token = torch.from_numpy(given_.symbols).to(torch.int16).movedim(1, 2).contiguous()
    written = encode.encode_on(
        given_.tables, headers, 0, by_token, np.zeros(70, bool), given_.none, given_.none
    )
    assert written == dict(enumerate(records))
    assert launched == [3, 3]


@pytest.mark.parametrize("log2_lanes", [0, 3])
def test_records_for_which_there_is_no_room_together_are_the_same(
    log2_lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_ = Records([20000, 40000, 60000], 3, 3, 5, log2_lanes)
    headers = np.array([packed_header(tile, 0, log2_lanes=log2_lanes) for tile in range(5)], np.uint64)
    by_token = torch.from_numpy(given_.symbols).to(torch.int16).movedim(1, 2).contiguous()
    masks = np.zeros(5, bool), given_.none, given_.none
    for room, moved in ((2 * 8 * 27, 1 << 24), (1 << 31, 1), (1 << 31, 17), (0, 1)):
        monkeypatch.setattr(encode, "MOST_ROOM", room)
        monkeypatch.setattr(encode, "MOST_MOVED", moved)
        written = encode.encode_on(given_.tables, headers, 0, by_token, *masks)
        assert written == dict(enumerate(given_.encode(1)))


def test_records_that_say_the_same_come_in_their_turn() -> None:
    given_ = Records([30000, 50000, 60000], 3, 2, 4, 0)
    again = Records([30000, 50000, 60000], 3, 2, 4, 0, seed=7)
    records = [*given_.encode(2), again.encode(4)[0]]
    for order in (records, records[::-1]):
        found = {}
        for coder in (core, backend):
            out = np.zeros(given_.symbols.shape, np.int16)
            mask, layers = np.ones_like(given_.none), np.zeros(4, np.uint16)
            assert (
                coder.decode_records(given_.tables, order, 0, 4, given_.none, out, mask, layers, 0)
                == [None] * 3
            )
            found[coder] = out
        assert np.array_equal(found[core], found[backend])
    fields = Fields.of(np.array([packed_header(0, 1), packed_header(2, 1), packed_header(1, 0)], np.uint64))
    assert alone(fields, np.ones(3, bool), 4, 1).tolist() == [False, True, False]
    assert alone(fields, np.array([True, True, False]), 4, 1).tolist() == [True, True, False]


def test_a_payload_that_does_not_fit_is_refused_in_the_cores_words() -> None:
    """Every symbol an escape of 31 bits and no lane full: the strings are longer than a record."""
    f, n = 64, 5
    maps = np.zeros((1, 64), np.uint8)
    spec = PlaneTableSpec(8, 8, 64, 1, (0,) * f, maps, maps, (0,), 1)
    case = Case(
        TableFile([TableSpec((65535,))], [spec], [1.0]), 0, np.full((n, 64, f), -32767, np.int16), np.zeros(n, bool),
        np.zeros((n, f), bool), np.zeros((n, f), bool), [packed_header(0, n - 1, log2_lanes=7)], 0,
    )  # fmt: skip
    ours = raised(lambda: encoded(backend, case))
    assert ours == raised(lambda: encoded(core, case))
    assert "65536 bytes" in ours


def one_table(
    symbols: npt.NDArray[Any], headers: list[int], doubled: npt.NDArray[np.bool_] | None = None
) -> Case:
    """Symbols N×C×F of 4×4 tokens, coded by one table: 0, ±1, and escapes."""
    n, channels, f = symbols.shape
    maps = np.zeros((1, channels), np.uint8)
    spec = PlaneTableSpec(4, 4, channels, 1, (0,) * f, maps, maps, (0,), 1)
    none = np.zeros((n, f), np.bool_)
    return Case(
        TableFile([TableSpec((40000, 60000))], [spec], [1.0]), 0, symbols.astype(np.int16), np.zeros(n, np.bool_), none,
        none if doubled is None else doubled, headers, 0,
    )  # fmt: skip


def assert_kernels_write_the_records(case: Case) -> None:
    by_token = torch.from_numpy(case.symbols).movedim(1, 2).contiguous()
    masks = case.tile_mask, case.token_mask, case.doubled
    written = encode.encode_on(case.tables, np.array(case.headers, np.uint64), 0, by_token, *masks)
    assert written == dict(enumerate(case.encode()))


def test_the_form_changes_behind_the_16th_sign() -> None:
    """Records of 13 to 19 non-zero symbols, with and without an escape among them."""
    counts = [n for n in range(13, 20) for _ in range(2)]
    symbols = np.zeros((len(counts), 2, 16), np.int16)
    for number, n in enumerate(counts):
        symbols[number].flat[:n] = 1 - 2 * (np.arange(n) % 3 == 0)
        symbols[number, 0, 2] *= 1 + 8 * (number % 2)
    assert_kernels_write_the_records(
        one_table(symbols, [packed_header(tile, 0) for tile in range(len(counts))])
    )


@pytest.mark.parametrize("log2_lanes", [0, 2])
def test_escapes_begin_and_end_at_any_bit(log2_lanes: int) -> None:
    rng = np.random.default_rng(5)
    symbols = rng.choice([-1, 1], (4, 8, 16)) * (2 << rng.integers(0, 14, (4, 8, 16)))
    headers = [packed_header(0, 1, log2_lanes=log2_lanes), packed_header(2, 1, log2_lanes=log2_lanes)]
    assert_kernels_write_the_records(one_table(symbols, headers))


def test_own_tokens_that_are_no_rectangle_are_refused_alike() -> None:
    for gap in (
        (0, 5),
        (5, 6, 9, 10),
        (1, 5, 9, 13),
        (4, 5, 6, 7),
    ):  # a corner and a hole, a hole, a column, a row
        doubled = np.zeros((1, 16), np.bool_)
        doubled[0, list(gap)] = True
        case = one_table(np.ones((1, 2, 16)), [packed_header(0, 0)], doubled)
        ours = raised(lambda case=case: encoded(backend, case))  # type: ignore[misc]
        assert ours == raised(lambda case=case: encoded(core, case))  # type: ignore[misc]
        assert "not a rectangle" in ours
        by_token = torch.ones((1, 16, 2), dtype=torch.int16)
        masks = case.tile_mask, case.token_mask, case.doubled
        assert encode.encode_on(case.tables, np.array(case.headers, np.uint64), 0, by_token, *masks) is None


@pytest.mark.parametrize("low_bits", [0, 3])
def test_every_slot_is_found(low_bits: int) -> None:
    """Tables of many thresholds in one block of 256 slots, of thresholds at the ends of blocks, and of none."""
    step = 1 << low_bits
    thresholds = [
        tuple(range(step, 255 * step, step)), (256, 512, 65536 - step), (65536 - step,), (),
        tuple(range(65280 + step, 65536, step)),
    ]  # fmt: skip
    maps = np.zeros((1, 1), np.uint8)
    tables = core.TableSet(
        TableFile(
            [TableSpec(t[: 32767 // step], low_bits=low_bits if t else 0) for t in thresholds],
            [PlaneTableSpec(1, 1, 1, 1, (0,), maps, maps, (0,))],
            [1.0],
        ).encode()
    )
    found = DeviceTables.of(tables, CPU)
    assert DeviceTables.of(tables, CPU) is found
    slots = np.arange(65536)
    coarse, fine = found.coarse.numpy(), found.fine.numpy().astype(np.int64)
    for level in range(tables.n_tables):
        k = coarse[level, slots >> 8]
        k = np.where(k < 0, fine[np.maximum(-1 - k, 0), slots & 255], k)
        assert np.array_equal(k, np.searchsorted(tables.thresholds(level), slots, side="right"))


def test_it_is_found_by_its_name_and_says_so_where_no_gpu_is() -> None:
    assert "gpu" in backends.names()
    assert backends.load("gpu") is backend
    code = (
        "from codec.bitstream import backends\n"
        "from codec.errors import BackendUnavailable\n"
        "import torch; torch.cuda.is_available = lambda: False\n"
        "try: backends.load('gpu').device()\n"
        "except BackendUnavailable as error: print(error)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "needs an NVIDIA GPU" in said.stdout


def test_where_lanes_vote_each_is_a_thread() -> None:
    """A vote counts threads: of another layout it would count something else, and nobody would be told."""
    code = (
        "from kernels.rans_lanes.builds import builds\n"
        "from kernels.resources import compiled\n"
        "for build in builds():\n"
        "    if build.constants['BALLOT']: print(compiled(build, 90).layouts)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    layouts = re.findall(r"#ttg\.blocked<{(.*?)}>", said.stdout)
    assert len(layouts) >= 2  # of decoding and of encoding
    assert {"vote.sync.ballot" in part for part in said.stdout.split("module attributes")[1:]} == {True}
    for layout in layouts:
        sizes = dict(re.findall(r"(\w+) = \[(\d+)\]", layout))
        assert sizes == {"sizePerThread": "1", "threadsPerWarp": "32", "warpsPerCTA": "1", "order": "0"}
