"""The receiver: a function of the set of packets; nothing that arrives breaks it or grows it without bound."""

from __future__ import annotations

import dataclasses
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nec_files import file_header, nec, nec_of, record, records_of

from codec.errors import Corrupt, InputError
from codec.link import (
    Assembler,
    Channel,
    Fec,
    Limits,
    LinkPacket,
    Outcome,
    assemble,
    build_packet,
    packetise,
    parse_packet,
    transmission,
)
from codec.link.block import Block, Symbol
from codec.link.packet import Code, block_check

RECORDS = records_of({0: 4, 1: 30, 2: 60}, low=100, high=320)
DATA = nec([*RECORDS, record(2, 100, 1500)])  # the last is a long one at a payload of 320
PACKETS = {fec: [p.data for p in packetise(DATA, payload=320, fec=fec)] for fec in Fec}
FILE_ID = file_header().file_id


def shuffled(packets: list[bytes], seed: int) -> list[bytes]:
    """Some of the packets, in any order, some of them repeatedly."""
    rng = random.Random(seed)
    kept = rng.sample(packets, rng.randrange(len(packets) + 1))
    kept += rng.choices(kept, k=len(kept) // 3) if kept else []
    rng.shuffle(kept)
    return kept


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), fec=st.sampled_from(Fec))
def test_order_and_copies_change_nothing(seed: int, fec: Fec) -> None:
    arrived = shuffled(PACKETS[fec], seed)
    assert assemble(arrived) == assemble(sorted(set(arrived)))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), stations=st.integers(1, 3))
def test_stations_and_passes_merge_to_the_union_of_their_packets(seed: int, stations: int) -> None:
    heard = [shuffled(PACKETS[Fec.RS], seed + i) for i in range(stations)]
    receiver = Assembler()
    for station in heard:
        for packet in station:
            receiver.feed(packet)
    assert receiver.result() == assemble({p for station in heard for p in station})


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), fec=st.sampled_from(Fec))
def test_events_bring_every_record_once_and_the_header_once(seed: int, fec: Fec) -> None:
    receiver = Assembler()
    events = [receiver.feed(p) for p in shuffled(PACKETS[fec], seed)]
    brought = [r for event in events for r in event.records]
    assert sorted(brought) == sorted(receiver.records(FILE_ID))
    headers = [event.header for event in events if event.header is not None]
    assert headers == [h for h in [receiver.header(FILE_ID)] if h is not None]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), fec=st.sampled_from(Fec))
def test_every_record_is_one_that_was_sent_and_whole_ones_are_never_lost(seed: int, fec: Fec) -> None:
    arrived = shuffled(PACKETS[fec], seed)
    sent = set(assemble(PACKETS[fec])[FILE_ID].records)
    got = set(assemble(arrived)[FILE_ID].records) if arrived else set()
    assert got <= sent
    bodies = [p.body for p in map(parse_packet, arrived) if p.is_source]
    assert {r for r in sent if any(r in body for body in bodies)} <= got


def test_more_packets_never_mean_fewer_records() -> None:
    order = shuffled(PACKETS[Fec.RS], 5)
    receiver = Assembler()
    before: set[bytes] = set()
    for packet in order:
        receiver.feed(packet)
        now = set(receiver.records(FILE_ID))
        assert before <= now
        before = now


def test_two_files_on_one_link_are_kept_apart() -> None:
    one, two = nec_of({0: 3, 1: 9}, run=1), nec_of({0: 3, 1: 9}, run=2, seed=9)
    mixed = [*packetise(one), *packetise(two)]
    random.Random(3).shuffle(mixed)
    assert sorted(f.to_nec() for f in assemble(mixed).values()) == sorted([one, two])


def test_the_same_file_in_two_forms_adds_up() -> None:
    """A second pass with another payload and another code: half of each is the whole."""
    first = [p for p in map(parse_packet, PACKETS[Fec.NONE]) if p.block % 2 == 0]
    second = list(packetise(DATA, payload=960))
    both = assemble([*first, *second])[FILE_ID]
    assert both.to_nec() == DATA


def test_repaired_counts_the_records_that_came_through_the_code_alone() -> None:
    packets = [parse_packet(p) for p in PACKETS[Fec.RS]]
    assert assemble(packets)[FILE_ID].repaired == 0
    victim = next(p for p in packets if p.layer_class == 1 and p.index == 3)
    held = sum(r.data in victim.body for r in RECORDS)
    assert held >= 1
    got = assemble(p for p in packets if p is not victim)[FILE_ID]
    assert got.to_nec() == DATA
    assert got.repaired == held
    assert [b.rebuilt for b in got.blocks if (b.layer_class, b.number) == (1, victim.block)] == [1]
    late = assemble([p for p in packets if p is not victim] + [victim])[FILE_ID]
    assert late.repaired == 0


def test_missing_records_are_counted_by_the_seal() -> None:
    packets = [parse_packet(p) for p in PACKETS[Fec.NONE]]
    lost = next(p for p in packets if p.layer_class == 1 and not p.body.startswith(b"\x89NEC"))
    held = sum(r.data in lost.body for r in RECORDS)
    assert assemble(packets)[FILE_ID].missing == 0
    assert assemble(p for p in packets if p is not lost)[FILE_ID].missing == held
    unsealed = nec(RECORDS, seal=False)
    assert assemble(packetise(unsealed))[FILE_ID].missing is None


def test_blocks_of_which_nothing_came_are_counted() -> None:
    packets = [parse_packet(p.data) for p in packetise(nec_of({1: 300}), payload=960)]
    assert max(p.block for p in packets) >= 3
    got = assemble(p for p in packets if p.layer_class != 1 or p.block not in (1, 2))
    assert got.popitem()[1].unseen_blocks == 2


def test_records_wait_for_a_header_that_did_not_come() -> None:
    packets = [p for p in map(parse_packet, PACKETS[Fec.NONE]) if b"\x89NEC" not in p.body]
    got = assemble(packets)[FILE_ID]
    assert got.header is None
    assert got.waits_for_header
    assert got.to_nec() == b""
    assert len(got.records) > 50
    assert not assemble(PACKETS[Fec.NONE])[FILE_ID].waits_for_header


def test_a_header_copy_with_another_hash_is_not_believed() -> None:
    packets = [dataclasses.replace(p, file_id=b"\0" * 8) for p in map(parse_packet, PACKETS[Fec.RS])]
    got = assemble(packets)[b"\0" * 8]
    assert got.header is None
    assert any(block.damaged for block in got.blocks)
    assert set(got.records) == set(assemble(PACKETS[Fec.RS])[FILE_ID].records)


LONG = nec([record(1, 0, 1000), record(1, 1, 150), record(1, 2, 100)], seal=False, index=False)


@pytest.mark.parametrize("fec", Fec)
def test_pieces_of_a_long_record_join_in_any_order(fec: Fec) -> None:
    packets = [
        p for p in map(parse_packet, (p.data for p in packetise(LONG, payload=320, fec=fec))) if p.is_source
    ]
    whole = set(assemble(packets).popitem()[1].records)
    assert len(whole) == 3
    for seed in range(20):
        random.Random(seed).shuffle(packets)
        receiver = Assembler()
        for packet in packets[:-1]:
            receiver.feed(packet)
        receiver.feed(packets[-1])
        assert set(receiver.records(FILE_ID)) == whole


@pytest.mark.parametrize("fec", Fec)
def test_a_long_record_joins_in_a_block_that_stays_incomplete(fec: Fec) -> None:
    packets = sorted(
        (p for p in (parse_packet(p.data) for p in packetise(LONG, payload=320, fec=fec)) if p.is_source),
        key=lambda p: p.index,
    )
    long = record(1, 0, 1000).data
    pieces = [p for p in packets if p.body in long or p.first_item in (320, 40)]
    assert len(pieces) == 4 < packets[0].k
    for seed in range(30):
        random.Random(seed).shuffle(pieces)
        got = assemble(pieces)[FILE_ID]
        assert not got.blocks[0].complete
        assert got.records[0] == long


def test_full_symbols_without_a_long_record_are_not_read_again_with_their_neighbours() -> None:
    """Each arrival costs one symbol, not the run of all before it: else a block costs the square of its length."""
    block = Block.of(LinkPacket(FILE_ID, 1, 0, 0, 20, 1, 100, 7, record(1, 0, 100).data))
    block.symbols = {i: [Symbol(record(1, i, 100).data, 0)] for i in range(20)}
    assert [block.run_of(i)[0] for i in range(20)] == list(range(20))
    assert [len(block.run_of(i)[1]) for i in range(20)] == [1] * 20


def test_the_copy_of_a_symbol_that_was_trimmed_less_replaces_the_other() -> None:
    """Zeros at the end of a symbol that a long record goes on from: a sender may not trim them, but one might."""
    from codec.bitstream import record as rec
    from codec.types import RecordHeader, RecordKind

    payload = bytes([1]) * 200 + bytes(200)  # symbol 0 of 320 bytes ends in zeros
    long = rec.build(RecordHeader(RecordKind.COEFFICIENTS, 0, 1, 0, 0, 0, 1, 400), payload).data
    head = LinkPacket(FILE_ID, 1, 0, 0, 3, 1, 320, 7, long[:320], 0)
    rest = LinkPacket(FILE_ID, 1, 0, 1, 3, 1, 320, 7, long[320:], len(long) - 320)
    trimmed = dataclasses.replace(head, body=head.body.rstrip(b"\0"))
    for order in ([trimmed, head, rest], [rest, head, trimmed], [head, trimmed, rest]):
        assert assemble(order)[FILE_ID].records == (long,)


def test_tables_come_first_and_the_seal_last_in_canonical_order() -> None:
    from codec.bitstream import record as rec
    from codec.types import RecordKind

    tables = rec.numbered(RecordKind.TABLES, 0, 1, b"tables")
    data = nec([tables, *records_of({0: 2, 1: 3})])
    packets = [parse_packet(p.data) for p in packetise(data)]
    random.Random(0).shuffle(packets)
    got = assemble(packets)[FILE_ID]
    assert [r[0] & 7 for r in got.records] == [2, 1, 6, 1, 6, 1, 3, 4]
    assert got.to_nec() == data
    assert any(tables.data in p.body for p in packets if p.layer_class == 0 and p.is_source)


@pytest.mark.parametrize("lost", range(1, 5))
def test_a_lost_piece_of_a_long_record_costs_that_record_and_what_its_packet_held(lost: int) -> None:
    packets = sorted(
        (p for p in (parse_packet(p.data) for p in packetise(LONG, payload=320)) if p.is_source),
        key=lambda p: p.index,
    )
    long, follower = record(1, 0, 1000).data, record(1, 1, 150).data
    pieces = [i for i, p in enumerate(packets) if p.body in long or p.first_item in (320, 40)]
    assert len(pieces) == 4
    got = set(assemble(p for i, p in enumerate(packets) if i != pieces[lost - 1])[FILE_ID].records)
    assert long not in got
    assert (follower in got) == (follower not in packets[pieces[lost - 1]].body)


def test_a_rest_without_its_beginning_gives_no_false_records() -> None:
    """The payload of the long record holds a perfect record; only the first-item offset tells it from a real one."""
    from codec.bitstream import record as rec
    from codec.types import RecordHeader, RecordKind

    inner = record(1, 9, 100).data
    payload = bytes(320 - 8) + inner + bytes(500)
    outer = rec.build(RecordHeader(RecordKind.COEFFICIENTS, 0, 1, 0, 0, 0, 1, len(payload)), payload)
    packets = [parse_packet(p.data) for p in packetise(nec([outer], seal=False, index=False), payload=320)]
    rest = [p for p in packets if inner in p.body and p.is_source]
    assert len(rest) == 1
    assert assemble(rest)[FILE_ID].records == ()


def test_flipped_bits_lose_packets_and_nothing_else() -> None:
    channel = Channel(bit_error=2e-4, seed=11)
    arrived = channel.send(packetise(DATA, payload=320))
    receiver = Assembler()
    for packet in arrived:
        receiver.feed(packet)
    report = receiver.report()
    assert channel.report.damaged > 20
    assert sum(report.rejected.values()) == channel.report.damaged
    assert set(receiver.records(FILE_ID)) <= set(assemble(PACKETS[Fec.RS])[FILE_ID].records)


def test_what_is_no_packet_of_ours_is_counted_by_kind_and_never_raises() -> None:
    receiver = Assembler()
    good = PACKETS[Fec.RS][0]
    from test_packet import DOCUMENTED, with_crc

    future = with_crc(DOCUMENTED[:8] + b"\x01" + DOCUMENTED[9:-4])
    foreign = bytes.fromhex("0001C00000FF") + bytes(256)
    events = [receiver.feed(p) for p in (good, good, good[:-1], good[:-1] + b"\0", foreign, future, b"")]
    assert [e.outcome for e in events[:2]] == [Outcome.TAKEN, Outcome.DUPLICATE]
    assert all(e.outcome is Outcome.REJECTED and e.error is not None for e in events[2:])
    assert receiver.report().rejected == {
        "corrupt": 1,
        "foreign": 1,
        "truncated": 2,
        "unsupported-version": 1,
    }
    assert receiver.report().fed == 7


def forged_like(packet: LinkPacket, seed: int) -> LinkPacket:
    """An intact packet that claims the same place with another symbol."""
    return dataclasses.replace(packet, body=random.Random(seed).randbytes(packet.symbol_size), first_item=0)


@pytest.mark.parametrize("seed", range(10))
def test_one_forged_symbol_in_a_block_never_matters_once_k_good_ones_came(seed: int) -> None:
    rng = random.Random(seed)
    block = [p for p in map(parse_packet, PACKETS[Fec.RS]) if (p.layer_class, p.block) == (1, 0)]
    whole = assemble(block)[FILE_ID]
    kept = rng.sample(block, block[0].k)
    victim = rng.choice(kept if seed % 2 else [p for p in block if p not in kept])
    packets = [*kept, forged_like(victim, seed)]
    rng.shuffle(packets)
    got = assemble(packets)[FILE_ID]
    assert got.records == whole.records
    assert got.blocks[0].complete


def test_a_forged_block_check_gives_no_block_and_keeps_its_records() -> None:
    block = [p for p in map(parse_packet, PACKETS[Fec.RS]) if (p.layer_class, p.block) == (1, 0)]
    wrong = [dataclasses.replace(p, block_check=p.block_check ^ 1) for p in block]
    got = assemble(wrong)[FILE_ID]
    assert not got.blocks[0].complete
    assert got.records == assemble(block)[FILE_ID].records  # all sources are there; each record proves itself
    without = assemble(p for p in wrong if p.index)[FILE_ID]
    assert not without.blocks[0].complete
    assert without.repaired == 0


def test_tries_at_a_contradictory_block_are_bounded() -> None:
    """Every packet of the block is noise: k + r packets must not cost k + r rebuilds each."""
    rng = random.Random(0)
    receiver = Assembler()
    for index in range(128):
        receiver.feed(LinkPacket(b"f" * 8, 0, 0, index, 64, 64, 1000, 1, rng.randbytes(1000)))
    block = next(iter(receiver._files[b"f" * 8].blocks.values()))
    spent = (1 << 30) - block.work
    assert not block.complete
    assert spent <= (1 << 30) + 2 * 64 * 64 * 1000 + (1 << 21)


def test_huge_claims_cost_no_memory() -> None:
    """k·S at the limit in each of 300 packets of 40 bytes: nothing is set aside for what is only announced."""
    packets = [
        build_packet(LinkPacket(i.to_bytes(8, "little"), 0, 0, 0, 64, 64, 65_507, i, b"\x01", 0)).data
        for i in range(300)
    ]
    receiver = Assembler()
    tracemalloc.start()
    for packet in packets:
        assert receiver.feed(packet).outcome is Outcome.TAKEN
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300 * 8192 + 4 * 65_507


def test_trimmed_tiny_symbols_of_a_huge_block_take_at_most_the_4_mib_of_one_block() -> None:
    padded = b"".join(bytes([i + 1]).ljust(65_507, b"\0") for i in range(64))
    check = block_check(padded, 64, 0, 65_507)
    receiver = Assembler()
    packets = [
        LinkPacket(b"f" * 8, 0, 0, i, 64, 0, 65_507, check, bytes([i + 1]), 0, Code.NONE) for i in range(64)
    ]
    tracemalloc.start()
    for packet in packets:
        receiver.feed(packet)
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * (4 << 20)
    assert now < 1 << 20
    assert receiver.assembled(b"f" * 8).blocks[0].complete


def test_packets_beyond_the_limit_are_dropped_and_counted_and_memory_stays() -> None:
    limits = Limits(file_bytes=100_000, total_bytes=250_000)
    receiver = Assembler(limits)
    rng = random.Random(1)
    packets = [
        LinkPacket(bytes([i % 5]) * 8, 0, i, 0, 2, 1, 900, rng.getrandbits(32), rng.randbytes(900))
        for i in range(2000)
    ]
    outcomes = [receiver.feed(p).outcome for p in packets]
    report = receiver.report()
    assert report.over_limit == outcomes.count(Outcome.OVER_LIMIT) > 1500
    assert report.held_bytes <= limits.total_bytes
    assert report.over_limit + report.taken == 2000


def test_one_full_file_does_not_keep_others_out() -> None:
    receiver = Assembler(Limits(file_bytes=50_000, total_bytes=10_000_000))
    rng = random.Random(1)
    for i in range(200):
        receiver.feed(LinkPacket(b"greedy!!", 0, i, 0, 2, 1, 900, rng.getrandbits(32), rng.randbytes(900)))
    assert receiver.report().over_limit > 100
    data = nec_of({0: 2, 1: 5})
    for packet in packetise(data):
        assert receiver.feed(packet).outcome is Outcome.TAKEN
    assert receiver.assembled(FILE_ID).to_nec() == data


def test_held_bytes_return_to_nothing_when_files_are_forgotten() -> None:
    receiver = Assembler()
    for fec in Fec:
        for packet in shuffled(PACKETS[fec], 2):
            receiver.feed(packet)
    assert receiver.report().held_bytes > 10_000
    receiver.forget(FILE_ID)
    receiver.forget(FILE_ID)
    assert receiver.report().held_bytes == 0
    assert receiver.file_ids == ()


def test_symbols_of_a_complete_block_are_let_go() -> None:
    data = nec_of({1: 600}, low=900, high=960)
    receiver = Assembler()
    for packet in packetise(data):
        receiver.feed(packet)
    assert receiver.report().held_bytes < 2 * len(data)
    assert all(not block.symbols for block in receiver._files[FILE_ID].blocks.values())


def test_a_file_of_which_nothing_came_is_refused() -> None:
    with pytest.raises(InputError, match="no packet of this file"):
        Assembler().assembled(FILE_ID)
    assert Assembler().records(FILE_ID) == ()
    assert Assembler().header(FILE_ID) is None


def test_ten_percent_loss_in_bursts_is_repaired() -> None:
    data = nec_of({0: 20, 1: 200, 2: 500}, low=900, high=960)
    sent = transmission(data)
    for seed in range(5):
        arrived = Channel(loss=0.1, burst=4, reorder=30, duplicate=0.05, seed=seed).send(sent.packets)
        got = assemble(arrived)[FILE_ID]
        assert got.to_nec() == data
        assert got.repaired > 0


def test_a_record_damaged_before_it_was_sent_is_not_passed_on() -> None:
    """An intact block may hold a broken item: it is noticed by its own check, and its neighbours live."""
    good = [record(1, i, 100).data for i in range(3)]
    broken = bytearray(good[1])
    broken[50] ^= 1
    source = good[0] + bytes(broken) + b"".ljust(60, b"\0")
    symbols = [source, good[2].ljust(260, b"\0")]
    check = block_check(b"".join(symbols), 2, 0, 260)
    got = assemble(
        LinkPacket(FILE_ID, 1, 0, i, 2, 0, 260, check, symbol, 0, Code.NONE)
        for i, symbol in enumerate(symbols)
    )[FILE_ID]
    assert set(got.records) == {good[0], good[2]}
    assert got.blocks[0].damaged


def test_link_packets_and_bytes_may_be_mixed() -> None:
    packets = PACKETS[Fec.RS]
    mixed = [parse_packet(p) if i % 2 else p for i, p in enumerate(packets)]
    assert assemble(mixed) == assemble(packets)
    with pytest.raises(Corrupt):
        parse_packet(packets[0][:-1] + b"\0\0")


@st.composite
def any_packets(draw: st.DrawFn) -> LinkPacket:
    """Intact packets made by nobody: few places, so that they meet and contradict each other."""
    code = draw(st.sampled_from(Code))
    k = draw(st.integers(1, 4))
    r = draw(st.integers(1, 3)) if code else 0
    size = draw(st.sampled_from([1, 30, 64]))
    index = draw(st.integers(0, k + r - 1))
    piece = draw(
        st.sampled_from([file_header().encode(), record(0, 0, 40).data, record(1, 1, 150).data, b"\0\1"])
    )
    start = draw(st.integers(0, len(piece) - 1))
    body = piece[start : start + size] if index < k else piece[:size].ljust(size, b"\0")
    first = draw(st.integers(0, size)) if index < k else 0
    return LinkPacket(FILE_ID, 0, 0, index, k, r, size, draw(st.sampled_from([0, 1])), body, first, code)


@settings(max_examples=150, deadline=None)
@given(st.lists(any_packets(), max_size=30))
def test_packets_that_contradict_each_other_raise_nothing_and_invent_nothing(
    packets: list[LinkPacket],
) -> None:
    receiver = Assembler()
    for packet in packets:
        receiver.feed(build_packet(packet).data)
    legal = {record(0, 0, 40).data, record(1, 1, 150).data}
    assert set(receiver.records(FILE_ID)) <= legal
    assert receiver.header(FILE_ID) in (None, file_header().encode())
