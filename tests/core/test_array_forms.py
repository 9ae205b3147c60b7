"""Arrays by token, float ends and threads: other ways to the same records and the same numbers, on every back end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from array_forms import ISAS, by_token, many_records, random_latents, symbols_of, using, values_of
from coding_cases import Case, Decoded, cases, sent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table_files import PlaneTableSpec, TableFile, TableSpec, packed_header

from _swathpack_core import decode_records, encode_records, isa, set_isa, tile_costs
from codec.errors import InputError

SOME = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WIDE = {"max_channels": 40, "max_tiles": 4}


def masks_and_layers(decoded: Decoded) -> tuple[Any, ...]:
    return decoded.outcomes, decoded.token_mask.tolist(), decoded.layers.tolist()


@pytest.mark.parametrize("name", ISAS)
@SOME
@given(case=cases(**WIDE))
def test_arrays_by_token_are_the_transposed_ones_by_tile(name: str, case: Case) -> None:
    with using(name):
        records = case.encode()
        assert case.encode(by_token(case.symbols), "token") == records
        tile, token = case.decode(records), case.decode(records, order="token")
        np.testing.assert_array_equal(token.symbols, by_token(tile.symbols))
        assert masks_and_layers(token) == masks_and_layers(tile)
        q = case.ladder_index + case.offset
        np.testing.assert_array_equal(
            tile_costs(case.tables, 0, case.layer, q, by_token(case.symbols), "token"),  # type: ignore[arg-type]
            tile_costs(case.tables, 0, case.layer, q, case.symbols),
        )


@pytest.mark.parametrize("name", ISAS)
@pytest.mark.parametrize("order", ["tile", "token"])
@SOME
@given(case=cases(**WIDE), seed=st.integers(0, 2**32 - 1))
def test_latents_are_coded_as_the_reference_quantiser_rounds_them(
    name: str, order: Any, case: Case, seed: int
) -> None:
    latents = random_latents(case, seed)
    given_in = latents if order == "tile" else by_token(latents)
    symbols = np.where(sent(case)[None], symbols_of(case, latents), 0).astype(np.int16)
    with using(name):
        assert case.encode(given_in, order) == case.encode(symbols)


@pytest.mark.parametrize("name", ISAS)
@pytest.mark.parametrize("order", ["tile", "token"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@SOME
@given(case=cases(**WIDE, largest=127))
def test_values_are_those_of_the_reference_reconstruction(
    name: str, order: Any, dtype: Any, case: Case
) -> None:
    records = case.encode()
    wanted = values_of(case, case.expected_symbols()).astype(dtype)
    wanted = np.where(sent(case)[None], wanted, np.asarray(99, dtype))
    with using(name):
        decoded = case.decode(records, dtype, order)
    assert decoded.outcomes == [None] * len(records)
    np.testing.assert_array_equal(decoded.symbols, wanted if order == "tile" else by_token(wanted))
    assert masks_and_layers(decoded) == masks_and_layers(case.decode(records))


def one_channel(step_index: int = 0, n: int = 1) -> Case:
    """One coefficient in each tile, r1 = 1 and r2 = 0: a value is the symbol times 2^step_index."""
    cells = np.zeros((1, 1), np.uint8)
    plane = PlaneTableSpec(1, 1, 1, 1, (0,), cells, cells, (0,))
    tokens = np.zeros((n, 1), np.bool_)
    headers = [packed_header(t, 0) for t in range(n)]
    symbols = np.zeros((n, 1, 1), np.int16)
    return Case(
        TableFile([TableSpec((60000,))], [plane]),
        step_index, symbols, np.zeros(n, np.bool_), tokens, tokens, headers, 0,
    )  # fmt: skip


@pytest.mark.parametrize("name", ISAS)
def test_a_value_beyond_float16_is_refused_for_a_float16_array_only(name: str) -> None:
    # 511 · 128 = 65408 is below 65504, the largest float16; 512 · 128 = 65536 would round to infinity.
    case = one_channel(7, n=2)
    case.symbols[:, 0, 0] = 511, -512
    records = case.encode()
    with using(name):
        assert case.decode(records, np.float32).symbols.ravel().tolist() == [65408.0, -65536.0]
        half = case.decode(records, np.float16)
    assert [outcome and outcome[0] for outcome in half.outcomes] == [None, "bad-input"]
    assert half.symbols[0] == 65408.0
    assert np.isfinite(half.symbols).all()
    assert half.layers.tolist() == [1, 0]


@pytest.mark.parametrize("name", ISAS)
@pytest.mark.parametrize("order", ["tile", "token"])
def test_a_latent_that_is_not_a_number_is_refused_with_its_record(name: str, order: Any) -> None:
    case = one_channel(n=3)
    latents = np.zeros((3, 1, 1), np.float32)
    latents[1] = np.nan
    with using(name), pytest.raises(InputError, match="number") as caught:
        case.encode(latents, order)
    assert caught.value.record == 1


@pytest.mark.parametrize("threads", [2, 3, 64])
@pytest.mark.parametrize("log2_lanes", [0, 5])
def test_bytes_and_arrays_do_not_depend_on_the_number_of_threads(log2_lanes: int, threads: int) -> None:
    case = many_records(log2_lanes)
    records = case.encode()
    assert case.encode(threads=threads) == records
    damaged = [r if t % 7 else r[:-1] + bytes([r[-1] ^ 1]) for t, r in enumerate(records)]
    one, several = case.decode(damaged), case.decode(damaged, threads=threads)
    np.testing.assert_array_equal(several.symbols, one.symbols)
    assert masks_and_layers(several) == masks_and_layers(one)
    assert [o is None for o in several.outcomes] == [bool(t % 7) for t in range(40)]


def test_with_threads_too_a_later_record_of_the_same_tile_overwrites_an_earlier_one() -> None:
    case = many_records(0)
    case.headers = [packed_header(3, 0)]
    versions = []
    for value in range(30):
        case.symbols[3] = value
        versions += case.encode()
    for _ in range(20):
        assert (case.decode(versions, threads=4).symbols[3] == 29).all()


def test_with_threads_too_the_first_record_that_cannot_be_written_is_named() -> None:
    case = many_records(0)
    case.symbols[[11, 12, 30], 5, 2] = -32768
    for threads in (1, 4):
        with pytest.raises(InputError) as caught:
            case.encode(threads=threads)
        assert caught.value.record == 11


def arguments(case: Case) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those of encode_records and of decode_records."""
    n, c, f = case.symbols.shape
    common = {"tables": case.tables, "ladder_index": case.ladder_index, "doubled": case.doubled}
    encode = {
        "headers": np.array(case.headers, np.uint64), "symbols": case.symbols, "tile_mask": case.tile_mask,
        "token_mask": case.token_mask,
    }  # fmt: skip
    decode = {
        "records": case.encode(), "n_tiles": n, "out": np.zeros((n, c, f), np.int16),
        "out_token_mask": np.ones((n, f), np.bool_), "out_layers": np.zeros(n, np.uint16),
    }  # fmt: skip
    return {**common, **encode}, {**common, **decode}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"order": "plane"}, "order"),
        ({"order": ""}, "order"),
        ({"order": "Token"}, "order"),
        ({"threads": 0}, "threads"),
        ({"threads": -1}, "threads"),
        ({"threads": 1025}, "threads"),
    ],
)
def test_an_order_or_a_number_of_threads_that_is_not_there_is_named(change: Any, name: str) -> None:
    encode, decode = arguments(many_records(0))
    with pytest.raises(InputError, match=name):
        encode_records(**{**encode, **change})
    with pytest.raises(InputError, match=name):
        decode_records(**{**decode, **change})
    if "order" in change:
        with pytest.raises(InputError, match=name):
            tile_costs(encode["tables"], 0, 0, 0, encode["symbols"], **change)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.float64, ">i2", ">f4"])
@pytest.mark.parametrize("order", ["tile", "token"])
def test_another_type_is_refused_and_not_converted(dtype: Any, order: Any) -> None:
    encode, decode = arguments(many_records(0))
    shape = (40, 70, 4) if order == "tile" else (40, 4, 70)
    with pytest.raises(InputError, match="symbols"):
        encode_records(**{**encode, "symbols": np.zeros(shape, dtype)}, order=order)
    with pytest.raises(InputError, match="out"):
        decode_records(**{**decode, "out": np.zeros(shape, dtype)}, order=order)
    with pytest.raises(InputError, match="symbols"):
        tile_costs(encode["tables"], 0, 0, 0, np.zeros(shape, dtype), order)


def test_an_array_in_the_other_order_is_refused() -> None:
    encode, decode = arguments(many_records(0))
    with pytest.raises(InputError, match="symbols"):
        encode_records(**encode, order="token")
    with pytest.raises(InputError, match="out"):
        decode_records(**decode, order="token")
    with pytest.raises(InputError, match="symbols"):
        tile_costs(encode["tables"], 0, 0, 0, encode["symbols"], "token")


@pytest.mark.parametrize("name", ["", "avx1024", "AVX2", "scalar "])
def test_an_unknown_back_end_is_refused_and_the_one_in_use_stays(name: str) -> None:
    before = isa()
    with pytest.raises(InputError, match="instruction set"):
        set_isa(name)
    assert isa() == before
