"""What the GPU's entropy coder must refuse: as the core does, in its words, reading nothing outside of the record."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rans_cases import Case, Records, assert_same_decoding, cases, sealed
from rans_crafted import CHANNELS, CRAFTED, TABLES, TOKENS, Crafted
from rans_memory import guard

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from codec.bitstream import core  # noqa: E402
from kernels.rans import backend, decode  # noqa: E402

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
