"""What callers of ours get wrong is an InputError with a sentence; nothing is converted or written in silence."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from coding_cases import Case
from table_files import PlaneTableSpec, TableFile, TableSpec, packed_header

from _swathpack_core import decode_records, encode_records, rs_encode, tile_costs
from codec.errors import InputError, LimitExceeded, SwathpackError


def make_case(n: int = 3) -> Case:
    """2×2 tokens; band 0 of channel 1 has a table without thresholds."""
    layer_map, class_map = np.zeros((2, 2), np.uint8), np.array([[1, 0], [1, 1]], np.uint8)
    plane = PlaneTableSpec(2, 2, 2, 1, (0, 1, 1, 1), layer_map, class_map, (0,))
    tokens = np.zeros((n, 4), np.bool_)
    return Case(
        TableFile([TableSpec(()), TableSpec((50000,))], [plane]),
        0,
        np.zeros((n, 2, 4), np.int16),
        np.zeros(n, np.bool_),
        tokens,
        tokens.copy(),
        [packed_header(0, n - 1)],
        0,
    )


def encode_with(case: Case, **changes: Any) -> list[bytes]:
    arguments: dict[str, Any] = {
        "headers": np.array(case.headers, np.uint64),
        "ladder_index": case.ladder_index,
        "symbols": case.symbols,
        "tile_mask": case.tile_mask,
        "token_mask": case.token_mask,
        "doubled": case.doubled,
    }
    return encode_records(case.tables, **{**arguments, **changes})


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"headers": [1]}, "headers"),
        ({"headers": np.array([1], np.int64)}, "headers"),
        ({"symbols": np.zeros((3, 2, 4), np.int32)}, "symbols"),
        ({"symbols": np.zeros((3, 2, 4), np.uint8)}, "symbols"),
        ({"symbols": np.zeros((3, 2, 4), ">i2")}, "symbols"),
        ({"symbols": np.zeros((3, 2, 5), np.int16)}, "symbols"),
        ({"symbols": np.zeros((3, 8), np.int16)}, "symbols"),
        ({"symbols": np.zeros((3, 4, 2), np.int16).swapaxes(1, 2)}, "symbols"),
        ({"tile_mask": np.zeros(2, np.bool_)}, "tile_mask"),
        ({"token_mask": np.zeros((3, 5), np.bool_)}, "token_mask"),
        ({"doubled": np.zeros((3, 4), np.float32)}, "doubled"),
        ({"ladder_index": 8}, "ladder index"),
        ({"ladder_index": -1}, "ladder index"),
    ],
)
def test_a_wrong_argument_of_the_encoder_is_named(change: dict[str, Any], name: str) -> None:
    with pytest.raises(InputError, match=name):
        encode_with(make_case(), **change)


@pytest.mark.parametrize(
    "header",
    [
        packed_header(0, 0, kind=2),
        packed_header(0, 3),
        packed_header(3, 0),
        packed_header(0, 0, layer=1),
        packed_header(0, 0, offset=-1),
        packed_header(0, 0) | 1 << 40,
        packed_header(0, 0) | 1 << 56,
    ],
)
def test_a_header_that_does_not_fit_is_refused_with_its_place(header: int) -> None:
    case = make_case()
    headers = np.array([packed_header(0, 0), header], np.uint64)
    with pytest.raises(InputError) as caught:
        encode_with(case, headers=headers)
    assert caught.value.record == 1


def test_records_of_two_planes_in_one_call_are_refused() -> None:
    headers = np.array([packed_header(0, 0), packed_header(0, 0, plane=1)], np.uint64)
    with pytest.raises(InputError, match="plane"):
        encode_with(make_case(), headers=headers)


def test_no_header_gives_no_record() -> None:
    assert encode_with(make_case(), headers=np.zeros(0, np.uint64)) == []


def test_a_symbol_that_cannot_be_written_is_refused_by_name() -> None:
    case = make_case()
    case.symbols[2, 1, 0] = 1
    with pytest.raises(InputError, match="tile 2, channel 1, frequency 0") as caught:
        case.encode()
    assert caught.value.exit_code == 3
    case.tile_mask[2] = True
    case.encode()  # what a masked tile holds does not matter


def test_the_smallest_int16_is_refused() -> None:
    case = make_case()
    case.symbols[0, 0, 1] = -32768
    with pytest.raises(InputError, match="-32767"):
        case.encode()


def test_a_tile_without_valid_token_must_be_in_the_tile_mask() -> None:
    case = make_case()
    case.doubled[1, :2] = True
    case.token_mask[1, 2:] = True
    with pytest.raises(InputError, match="tile 1"):
        case.encode()
    case.tile_mask[1] = True
    case.encode()


@pytest.mark.parametrize("own", [[0, 3], [], [0, 1, 2]])
def test_own_tokens_that_are_no_rectangle_are_refused(own: list[int]) -> None:
    case = make_case()
    case.doubled[0] = True
    case.doubled[0, own] = False
    with pytest.raises(InputError, match="rectangle"):
        case.encode()


def test_a_payload_above_its_length_field_is_a_limit() -> None:
    cells = np.zeros((1, 4096), np.uint8)
    plane = PlaneTableSpec(3, 3, 4096, 1, (0,) * 9, cells, cells, (0,), kind=1)
    tokens = np.zeros((1, 9), np.bool_)
    for log2_lanes in (0, 6):
        headers = np.array([packed_header(0, 0, log2_lanes=log2_lanes)], np.uint64)
        file = TableFile([TableSpec((1,))], [plane])
        symbols = np.full((1, 4096, 9), 32767, np.int16)
        case = Case(file, 0, symbols, np.zeros(1, np.bool_), tokens, tokens, [], 0)
        with pytest.raises(LimitExceeded, match="65536"):
            encode_with(case, headers=headers)


@pytest.mark.parametrize("log2_lanes", [0, 6])
def test_the_largest_payload_is_65536_bytes_exactly(log2_lanes: int) -> None:
    cells = np.zeros((1, 4096), np.uint8)
    plane = PlaneTableSpec(4, 4, 4096, 1, (0,) * 16, cells, cells, (0,), kind=1)
    file = TableFile([TableSpec(tuple(range(65536 - 255, 65536)))], [plane])  # a 1 takes 16 bits and its sign
    tokens = np.zeros((1, 16), np.bool_)
    header = packed_header(0, 0, log2_lanes=log2_lanes)
    symbols = np.zeros((1, 4096, 16), np.int16)
    case = Case(file, 0, symbols, np.zeros(1, np.bool_), tokens, tokens, [header], 0)
    low, high = 0, symbols.size  # so many ones fit, so many do not
    sizes = {}
    while high - low > 1:
        middle = (low + high) // 2
        symbols.reshape(-1)[:] = np.arange(symbols.size) < middle
        try:
            sizes[middle] = len(case.encode()[0]) - 12
            low = middle
        except LimitExceeded:
            high = middle
    assert 65536 - 3 <= sizes[low] <= 65536
    symbols.reshape(-1)[:] = np.arange(symbols.size) < low
    assert case.decode(case.encode()).outcomes == [None]


def test_a_record_of_another_plane_is_not_this_calls_business() -> None:
    one = make_case()
    file = TableFile(one.file.tables, [one.file.planes[0], one.file.planes[0]])
    two = Case(
        file, 0, one.symbols, one.tile_mask, one.token_mask, one.doubled, [packed_header(0, 2, plane=1)], 0
    )
    (first,), (second,) = one.encode(), two.encode()
    for plane, kinds in ((0, [None, "bad-input"]), (1, ["bad-input", None])):
        arrays = np.zeros((3, 2, 4), np.int16), np.ones((3, 4), np.bool_), np.zeros(3, np.uint16)
        outcomes = decode_records(two.tables, [first, second], 0, 3, one.doubled, *arrays, plane)
        assert [outcome and outcome[0] for outcome in outcomes] == kinds


@pytest.mark.parametrize(
    "change",
    [
        {"out": np.zeros((3, 2, 4), np.int32)},
        {"out": np.zeros((2, 2, 4), np.int16)},
        {"out": np.zeros((3, 2, 5), np.int16)},
        {"out": np.zeros((3, 3, 4), np.int16)},
        {"out": np.zeros((3, 4, 2), np.int16).swapaxes(1, 2)},
        {"out_token_mask": np.ones((3, 3), np.bool_)},
        {"out_layers": np.zeros(3, np.int16)},
        {"out_layers": np.zeros(2, np.uint16)},
        {"doubled": np.zeros((2, 4), np.bool_)},
        {"n_tiles": 0},
        {"n_tiles": 65537},
        {"ladder_index": 8},
        {"plane": 1},
        {"plane": -1},
        {"plane": 2**40},
    ],
)
def test_a_wrong_argument_of_the_decoder_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        decode_with(make_case(), [], **change)


def decode_with(case: Case, records: list[Any], **changes: Any) -> list[Any]:
    arguments: dict[str, Any] = {
        "ladder_index": 0,
        "n_tiles": 3,
        "doubled": case.doubled,
        "out": np.zeros((3, 2, 4), np.int16),
        "out_token_mask": np.ones((3, 4), np.bool_),
        "out_layers": np.zeros(3, np.uint16),
    }
    return decode_records(case.tables, records, **{**arguments, **changes})


def test_a_read_only_output_is_refused() -> None:
    out = np.zeros((3, 2, 4), np.int16)
    out.flags.writeable = False
    with pytest.raises(InputError, match="read-only"):
        decode_with(make_case(), [], out=out)


def test_records_may_be_any_buffer_and_none_at_all() -> None:
    case = make_case()
    (record,) = case.encode()
    assert decode_with(case, []) == []
    assert decode_with(case, [bytearray(record), memoryview(record)]) == [None, None]
    with pytest.raises(TypeError):
        decode_with(case, ["text"])


def test_uint8_masks_are_taken_like_bool_ones() -> None:
    case = make_case()
    case.token_mask[1, 0] = True
    masks = {name: getattr(case, name).astype(np.uint8) for name in ("tile_mask", "token_mask", "doubled")}
    assert encode_with(case, **masks) == case.encode()


def test_an_error_is_one_line_with_what_was_found() -> None:
    with pytest.raises(SwathpackError) as caught:
        tile_costs(make_case().tables, 0, 0, 0, np.zeros((1, 2, 3), np.int16))
    assert str(caught.value) == (
        "symbols has the wrong type or shape (expected int8 or int16 any×2×4, C-contiguous, found int16 1×2×3)"
    )


def test_threads_may_call_at_the_same_time() -> None:
    cases = [make_case() for _ in range(4)]
    for i, case in enumerate(cases):
        case.symbols[:, 0, 1:] = i + 1
    results: list[list[bytes]] = [[] for _ in cases]

    def work(i: int) -> None:
        for _ in range(300):
            results[i] = cases[i].encode()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [case.encode() for case in cases]


def test_an_array_of_another_type_is_no_source_of_a_block() -> None:
    with pytest.raises(InputError, match="source"):
        rs_encode(np.zeros((2, 4), np.int8), 1)  # type: ignore[arg-type]
