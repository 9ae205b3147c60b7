"""What the GPU's entropy coder must refuse: as the core does, in its words, reading nothing outside of the record."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rans_cases import (
    Case,
    PlaneTableSpec,
    Records,
    TableFile,
    TableSpec,
    assert_same_decoding,
    cases,
    decoded,
    encoded,
    packed_header,
    raised,
    sealed,
)
from rans_crafted import CHANNELS, CRAFTED, TABLES, TOKENS, Crafted
from rans_memory import guard

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from codec.bitstream import core  # noqa: E402
from codec.errors import TryAgain  # noqa: E402
from kernels.rans import backend, decode  # noqa: E402
from kernels.rans.opened import open_records  # noqa: E402
from kernels.rans.tables import PlanePlans  # noqa: E402

pytestmark = pytest.mark.usefixtures("interpreted")
quick = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of these tests touch nothing outside of their arrays."""
    guard(monkeypatch)


@quick
@given(cases(max_channels=5, max_tiles=3), st.data())
def test_damage_is_refused_alike(case: Case, data: st.DataObject) -> None:
    """Bits turned, bytes cut and added behind checks that are right: the core's words, and nothing of it left behind."""
    records = []
    for record in case.encode():
        payload = bytearray(record[8:-4])
        last = len(payload) - 1
        places = st.one_of(st.integers(0, last), st.integers(0, min(2, last)), st.just(last))
        for _ in range(data.draw(st.integers(0, 2))):
            payload[data.draw(places)] ^= 1 << data.draw(st.integers(0, 7))
        end = data.draw(st.sampled_from([0, 0, 1, 2]))
        payload = payload[: max(1, len(payload) - end)] + bytes(data.draw(st.sampled_from([0, 0, 1, 2])))
        records.append(sealed(record[:5], bytes(payload)))
    assert_same_decoding(case, records)


@quick
@given(cases(max_channels=3, max_tiles=3), st.data())
def test_damage_of_what_stands_around_the_payload_is_refused_alike(case: Case, data: st.DataObject) -> None:
    """Headers of other kinds, planes, layers, tiles; checks that do not match; records cut, and with a byte too many."""
    records = []
    for record in case.encode():
        one = bytearray(record)
        at = data.draw(st.sampled_from([0, 1, 2, 3, 4, 4]))
        one[at] ^= data.draw(st.sampled_from([0, 1, 2, 4, 8, 16, 32, 64, 128, 7]))
        one = bytearray(sealed(bytes(one[:5]), bytes(one[8:-4])))
        at = data.draw(st.sampled_from([7, len(one) - 1, 8]))
        one[at] ^= data.draw(st.sampled_from([0, 0, 0, 1]))
        cut = data.draw(st.sampled_from([0, 0, 0, 0, 1, len(one) - 3]))
        records.append(bytes(one[: len(one) - cut]) + bytes(data.draw(st.sampled_from([0, 0, 0, 1]))))
    assert_same_decoding(case, records)


@pytest.mark.parametrize("log2_lanes", [0, 1])
@pytest.mark.parametrize("seed", range(2))
def test_states_that_say_more_than_there_is_read_nothing_outside(log2_lanes: int, seed: int) -> None:
    """A few bytes that claim a hundred signs: where these would begin is before the record, and before its array."""
    records = Records([5000, 40000, 60000], 4, 6, 1, log2_lanes)
    rng = np.random.default_rng(seed)
    states = rng.integers(65536, 2**32, 1 << log2_lanes).astype("<u4").tobytes()
    head = records.encode(1)[0][:5]
    payload = (
        states if log2_lanes == 0 else b"\x1c" + states
    )  # one lane: the long form of four bytes is in the header
    outcomes = []
    for coder in (core, backend):
        out, mask = np.zeros(records.symbols.shape, np.int16), np.ones_like(records.none)
        outcomes += coder.decode_records(
            records.tables, [sealed(head, payload)], 0, 1, records.none, out, mask, np.zeros(1, np.uint16), 0
        )
        assert not out.any()
    assert outcomes[0] == outcomes[1]
    assert outcomes[0] is not None


@pytest.mark.parametrize("one", CRAFTED, ids=lambda one: one.name)
def test_payloads_that_no_encoder_writes_are_refused(one: Crafted) -> None:
    record = one.record()
    none = np.zeros((one.tiles, TOKENS), bool)
    said: list[Any] = []
    for coder in (core, backend):
        out = np.zeros((one.tiles, CHANNELS, TOKENS), np.int16)
        masks = np.ones_like(none), np.zeros(one.tiles, np.uint16)
        outcomes = coder.decode_records(TABLES, [record], 0, one.tiles, none, out, *masks, 0)
        said.append((outcomes, out.tolist(), masks[0].tolist(), masks[1].tolist()))
    assert (said[0][0] == [None]) == one.holds, said[0][0]
    assert said[0] == said[1]
    held = decode.decode_on(torch.device("cpu"), TABLES, [record], 0, one.tiles, 0).held
    assert bool(held) == one.holds


@pytest.mark.parametrize("log2_lanes", [0, 1])
def test_every_check_around_the_payload_refuses_alone(log2_lanes: int) -> None:
    """A record that holds but for one field, one check or one byte."""
    records = Records([20000, 40000, 60000], 2, 2, 9, log2_lanes)
    whole = records.encode(9)[0]
    head, payload = whole[:5], whole[8:-4]

    def changed(at: int, flip: int) -> bytes:
        return sealed(bytes(one ^ flip if i == at else one for i, one in enumerate(head)), payload)

    wrong_check = whole[:7] + bytes([whole[7] ^ 1]) + whole[8:-4]
    wrong_check += core.crc32c(wrong_check).to_bytes(4, "little")
    # Of kind 1, whose payload begins with the form.
    with_mask = bytes([head[0] & ~7 | 1, head[1] & ~28 | log2_lanes << 2]) + head[2:]
    form = 29 if log2_lanes else 1
    wrong = {
        "check byte": wrong_check, "checksum": whole[:-1] + bytes([whole[-1] ^ 1]), "plane": changed(0, 8),
        "layer": changed(0, 64), "kind": changed(0, 2), "offset": changed(1, 32), "first tile": changed(2, 1),
        "tiles": changed(4, 15), "cut": whole[:-1], "longer": whole + b"\x00",
        "mask cut": sealed(with_mask, bytes([form, 1])), "states cut": sealed(with_mask, bytes([form, 1, 0])),
    }  # fmt: skip
    for name, record in wrong.items():
        said: list[Any] = []
        for coder in (core, backend):
            out = np.zeros(records.symbols.shape, np.int16)
            masks = np.ones_like(records.none), np.zeros(9, np.uint16)
            outcomes = coder.decode_records(records.tables, [record], 0, 9, records.none, out, *masks, 0)
            said.append((*outcomes, out.any(), masks[0].all(), masks[1].any()))
        assert said[0][0] is not None, name
        assert said[0] == said[1], name


@pytest.mark.parametrize(("tiles", "opens"), [(4, True), (5, False)])
def test_a_record_of_more_symbols_than_2_to_the_26_is_left_to_the_core(tiles: int, opens: bool) -> None:
    maps = np.zeros((1, 4096), np.uint8)
    spec = PlaneTableSpec(64, 64, 4096, 1, (0,) * 4096, maps, maps, (0,), 1)
    plans = PlanePlans(core.TableSet(TableFile([TableSpec((30000,))], [spec], [1.0]).encode()), 0)
    header = packed_header(0, tiles - 1, log2_lanes=1).to_bytes(8, "little")[:5]
    record = sealed(header, b"\x1c" + (65536).to_bytes(4, "little") * 2)
    assert bool(open_records(plans, [record], 0, tiles, 0)) == opens


def two_tiles() -> Case:
    """Two records of a tile, the second one's with a token mask: kernels take the first alone."""
    maps = np.zeros((1, 3), np.uint8)
    spec = PlaneTableSpec(2, 2, 3, 1, (0,) * 4, maps, maps, (0,), 1)
    token_mask = np.zeros((2, 4), bool)
    token_mask[1, 0] = True
    return Case(
        TableFile([TableSpec((30000, 60000))], [spec], [1.0]), 0, np.ones((2, 3, 4), np.int16), np.zeros(2, bool),
        token_mask, np.zeros((2, 4), bool), [packed_header(tile, 0) for tile in range(2)], 0,
    )  # fmt: skip


@pytest.mark.parametrize("value", [127, 128, -128, -129])
def test_an_int8_array_takes_what_it_can_hold(value: int) -> None:
    case = two_tiles()
    case.token_mask[:] = False
    case.symbols[1, 1, 2] = value
    records = encoded(core, case)
    assert_same_decoding(case, records, np.int8)
    outcomes, _ = decoded(backend, case, records, np.int8)
    assert [outcome is None for outcome in outcomes] == [True, -128 <= value <= 127]


@pytest.mark.parametrize("derived", [[0, 0, 0, 0], [1, 0, 0, 1], [1, 1, 1, 1]])
def test_masks_that_leave_a_tile_nothing_or_no_rectangle_are_refused(derived: list[int]) -> None:
    case = two_tiles()
    case.token_mask[:] = True
    case.doubled[1] = derived
    ours = raised(lambda: encoded(backend, case))
    assert ours == raised(lambda: encoded(core, case)) != ""
    case.token_mask[:] = False
    assert raised(lambda: encoded(backend, case)) == raised(lambda: encoded(core, case))


def test_a_refusal_names_the_record_by_its_number_in_the_call() -> None:
    case = two_tiles()
    case.symbols[1, 0, 1] = -32768
    ours = raised(lambda: encoded(backend, case))
    assert ours == raised(lambda: encoded(core, case))
    assert "record 1" in ours


def test_arguments_are_refused_in_the_cores_words() -> None:
    """Also where kernels could go on: a ladder index that an offset leads back from, arrays that are not in one piece."""
    case = two_tiles()
    records = encoded(core, case)
    wide = np.ones((2, 3, 8), np.int16)
    writing: list[dict[str, Any]] = [
        {"ladder_index": -1, "headers": [packed_header(0, 0, offset=1)]}, {"symbols": wide[:, :, ::2]},
        {"symbols": case.symbols[:, ::-1]}, {"symbols": wide}, {"symbols": case.symbols.astype(np.int32)},
        {"tile_mask": np.zeros(3, bool)}, {"tile_mask": np.zeros((2, 1), bool)}, {"token_mask": np.zeros((2, 4))},
        {"doubled": np.zeros((4, 2), bool)}, {"headers": [packed_header(0, 0) | 1 << 3]},
    ]  # fmt: skip
    for changed in writing:
        wrong = two_tiles()
        for name, value in changed.items():
            setattr(wrong, name, value)
        said = raised(lambda: encoded(backend, wrong))  # noqa: B023
        assert said == raised(lambda: encoded(core, wrong)) != ""  # noqa: B023

    into = np.zeros((2, 3, 4), np.int16), np.ones((2, 4), bool), np.zeros(2, np.uint16)
    reading: list[tuple[Any, ...]] = [
        (-1, 2, case.doubled, *into, 0), (0, 3, case.doubled, *into, 0), (0, 2, case.doubled, *into, 1),
        (0, 2, case.doubled, into[0].astype(np.int64), *into[1:], 0), (0, 2, case.doubled[:, :3], *into, 0),
        (0, 2, case.doubled, into[0], into[1][:1], into[2], 0),
    ]  # fmt: skip
    for arguments in reading:
        said = raised(lambda: backend.decode_records(case.tables, records, *arguments))  # noqa: B023
        assert said == raised(lambda: core.decode_records(case.tables, records, *arguments)) != ""  # noqa: B023
    assert not any(array.any() for array in (into[0], into[2]))


@pytest.mark.filterwarnings("error")
def test_arrays_that_cannot_be_written_can_be_coded() -> None:
    case = two_tiles()
    expected = encoded(core, case)
    for array in (case.symbols, case.tile_mask, case.token_mask, case.doubled):
        array.flags.writeable = False
    assert encoded(backend, case) == expected


def test_a_gpu_without_room_says_nothing_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 19.7 GiB.")

    case = two_tiles()
    records = encoded(core, case)
    monkeypatch.setattr(backend, "decode_on", full)
    monkeypatch.setattr(backend, "encode_on", full)
    for call in (lambda: encoded(backend, case), lambda: decoded(backend, case, records)):
        with pytest.raises(TryAgain, match="too little memory"):
            call()
