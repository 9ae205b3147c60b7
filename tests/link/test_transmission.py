"""What a sender makes of a file: symbols, blocks, header copies, repair, order."""

from __future__ import annotations

from itertools import pairwise
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nec_files import file_header, nec, nec_of, record, records_of

from codec.errors import Corrupt, InputError, LimitExceeded, SwathpackError, Truncated
from codec.link import Fec, LinkPacket, assemble, packetise, parse_packet, transmission
from codec.link.layout import SymbolGroup, check_number_of_blocks
from codec.link.transmission import repair_count

DATA = nec_of({0: 6, 1: 40, 2: 90, 4: 30})


def parsed(data: bytes = DATA, **options: object) -> list[LinkPacket]:
    return [parse_packet(p.data) for p in packetise(data, **options)]  # type: ignore[arg-type]


def rebuilt(packets: list[LinkPacket]) -> bytes:
    (file,) = assemble(packets).values()
    return file.to_nec()


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 4), st.integers(13, 900)), max_size=40),
    payload=st.integers(64, 1200),
    fec=st.sampled_from(Fec),
    seal=st.booleans(),
)
def test_all_packets_give_the_file_back(
    sizes: list[tuple[int, int]], payload: int, fec: Fec, seal: bool
) -> None:
    records = [record(layer, tile, size) for tile, (layer, size) in enumerate(sizes)]
    records.sort(key=lambda r: (r.header.layer, r.header.first_tile))
    data = nec(records, seal=seal, index=seal)
    assert rebuilt(parsed(data, payload=payload, fec=fec)) == data


@pytest.mark.parametrize("fec", Fec)
def test_records_in_another_order_come_back_as_the_same_set(fec: Fec) -> None:
    records = records_of({0: 3, 1: 20})[::-1]
    (file,) = assemble(packetise(nec(records, seal=False, index=False), fec=fec)).values()
    assert set(file.records) == {r.data for r in records}


def test_packets_are_the_same_every_time() -> None:
    assert list(packetise(DATA)) == list(packetise(DATA))


@pytest.mark.parametrize("payload", [64, 320, 960, 4000])
@pytest.mark.parametrize("fec", Fec)
def test_no_body_is_longer_than_the_payload(payload: int, fec: Fec) -> None:
    assert max(len(p.body) for p in parsed(payload=payload, fec=fec)) <= payload


def test_every_block_begins_with_a_header_copy_and_has_repair() -> None:
    packets = parsed()
    starts = [p for p in packets if p.index == 0]
    header = file_header().encode()
    assert len(starts) >= 4
    assert all(p.body.startswith(header) for p in starts)
    assert all(p.r >= 1 for p in packets)


def test_a_record_that_fits_lies_whole_in_one_packet() -> None:
    bodies = [p.body for p in parsed() if p.is_source]
    for one in records_of({0: 6, 1: 40, 2: 90, 4: 30}):
        assert sum(one.data in body for body in bodies) == 1


def test_small_records_share_packets() -> None:
    data = nec_of({1: 100}, low=50, high=60)
    assert sum(p.is_source for p in parsed(data)) <= 100 * 60 // 960 + 3


def test_source_packets_are_trimmed_and_repair_packets_full() -> None:
    packets = parsed()
    for packet in packets:
        if packet.is_source:
            assert packet.body[-1:] != b"\0" or len(packet.body) == packet.symbol_size or packet.body in DATA
        else:
            assert len(packet.body) == packet.symbol_size
    assert any(len(p.body) < p.symbol_size for p in packets)


def test_symbols_are_no_longer_than_the_longest_content() -> None:
    for packet in (packets := parsed()):
        bodies = [
            len(p.body)
            for p in packets
            if p.is_source and (p.layer_class, p.block) == (packet.layer_class, packet.block)
        ]
        assert max(bodies) == packet.symbol_size


def test_a_long_record_takes_whole_consecutive_symbols_and_others_follow_its_rest() -> None:
    long, short = record(1, 0, 2000), record(1, 1, 100)
    packets = sorted(
        (p for p in parsed(nec([long, short], seal=False, index=False), payload=320) if p.is_source),
        key=lambda p: p.index,
    )
    assert [len(p.body) for p in packets] == [142 + 100, 320, 320, 320, 320, 320, 320, 80]
    assert [p.first_item for p in packets] == [0, 0, 320, 320, 320, 320, 320, 80]
    assert b"".join(p.body for p in packets[1:]) == long.data


def test_layers_above_3_share_a_class_and_seal_and_index_have_theirs() -> None:
    by_class: dict[int, set[bytes]] = {}
    for packet in parsed():
        if packet.is_source:
            by_class.setdefault(packet.layer_class, set()).add(packet.body)
    assert sorted(by_class) == [0, 1, 2, 3]
    *_, index, seal = assemble(parsed())[file_header().file_id].records
    assert seal[0] & 7 == 4
    assert any(seal in body for body in by_class[0])
    assert index[0] & 7 == 3
    assert index[:960] in by_class[3]  # 1340 bytes: a long record


def test_blocks_of_a_class_are_about_equally_long() -> None:
    for packets in (parsed(), parsed(nec_of({1: 65})), parsed(nec_of({1: 300}, low=100, high=900))):
        for layer_class in {p.layer_class for p in packets}:
            ks = {p.block: p.k for p in packets if p.layer_class == layer_class}
            assert max(ks.values()) <= 64
            assert max(ks.values()) - min(ks.values()) <= len(ks) + 2


def test_layer_0_is_protected_most_and_repair_falls_with_the_layer() -> None:
    shares = [repair_count(c, 64, ratio) / 64 for c, ratio in enumerate((1.25, 0.53, 0.39, 0.25))]
    assert shares == sorted(shares, reverse=True)
    packets = parsed()
    sent = [max(p.r / p.k for p in packets if p.layer_class == c) for c in range(4)]
    assert sent[0] >= 1.0
    assert sent == sorted(sent, reverse=True)


def test_default_repair_keeps_the_promised_probability() -> None:
    """Binomial tail of an ideal code, at the block sizes and losses that docs/link.md §7.3 names."""
    for layer_class, ratio, k, loss in (
        (0, 1.25, 32, 0.2),
        (1, 0.53, 32, 0.1),
        (2, 0.39, 64, 0.1),
        (3, 0.25, 64, 0.05),
    ):
        n = k + repair_count(layer_class, k, ratio)
        lost = sum(comb(n, i) * loss**i * (1 - loss) ** (n - i) for i in range(n - k + 1, n + 1))
        assert lost < 1e-6


def test_repair_ratios_can_be_chosen_by_layer_and_never_vanish() -> None:
    packets = parsed(repair={0: 2.0, 1: 0.0, 2: 1000 / 255})
    assert {(p.layer_class, p.r) for p in packets if p.layer_class == 1} == {(1, 1)}
    assert all(p.r == 2 * p.k for p in packets if p.layer_class == 0)
    assert all(p.r == min(-(-1000 * p.k // 255), 255 - p.k) for p in packets if p.layer_class == 2)


def header_places(packets: list[LinkPacket]) -> list[int]:
    """Numbers of the packets in which a header copy begins."""
    header = file_header().encode()
    return [i for i, p in enumerate(packets) if header[: len(p.body)] in p.body]


@pytest.mark.parametrize("n_records", [0, 1, 2, 15, 16, 17, 40, 64, 65, 300])
def test_without_a_code_header_copies_are_first_last_every_16th_and_at_least_three(n_records: int) -> None:
    packets = parsed(nec_of({1: n_records}, low=900, high=960), fec="none")
    places = header_places(packets)
    assert places[0] == 0
    assert places[-1] == len(packets) - 1
    assert len(places) >= 3
    assert all(later - earlier <= 16 for earlier, later in pairwise(places))
    assert all(p.r == 0 and p.code == 0 for p in packets)


def test_without_a_code_a_long_record_is_not_broken_by_a_copy() -> None:
    data = nec([record(1, 0, 960 * 40), record(1, 1, 500)])
    packets = parsed(data, fec="none")
    assert rebuilt(packets) == data
    assert header_places(packets)[-1] == len(packets) - 1


@pytest.mark.parametrize("fec", Fec)
def test_a_header_longer_than_the_payload_travels_in_several_packets(fec: Fec) -> None:
    header = file_header(source_name="s" * 128)
    assert len(header.encode()) > 2 * 64
    data = nec(records_of({0: 2, 1: 10}, low=40, high=200), header=header)
    assert rebuilt(parsed(data, payload=64, fec=fec)) == data


def test_sequence_counts_go_up_by_one_and_wrap() -> None:
    packets = parsed(sequence_start=16380, apid=77)
    assert [p.sequence for p in packets] == [(16380 + i) % 16384 for i in range(len(packets))]
    assert {p.apid for p in packets} == {77}


def test_layers_are_sent_in_order_and_repair_after_its_sources() -> None:
    packets = parsed()
    classes = [p.layer_class for p in packets if p.is_source]
    assert classes == sorted(classes)
    for layer_class in range(4):
        own = [p.is_source for p in packets if p.layer_class == layer_class]
        assert own == sorted(own, reverse=True)


def test_what_protects_layer_0_is_spread_over_the_rest_of_the_transmission() -> None:
    packets = parsed()
    places = [i for i, p in enumerate(packets) if p.layer_class == 0 and not p.is_source]
    assert places[-1] == len(packets) - 1
    steps = [b - a for a, b in pairwise(places)]
    assert max(steps) - min(steps) <= 2
    assert places[0] >= len(packets) // 5


def test_a_burst_as_long_as_sixteen_blocks_are_interleaved_takes_one_symbol_of_each() -> None:
    packets = parsed(nec_of({1: 1100}, low=900, high=960))
    sources = [p for p in packets if p.is_source]
    n_blocks = len({p.block for p in sources})
    assert n_blocks >= 16
    for start in range(0, 16 * min(p.k for p in sources) - 16, 37):
        assert len({p.block for p in sources[start : start + 16]}) == 16


def test_a_burst_of_100_packets_anywhere_costs_nothing_with_many_blocks() -> None:
    data = nec_of({0: 30, 1: 600, 2: 700}, low=900, high=960)
    packets = parsed(data)
    for start in range(0, len(packets), 97):
        assert rebuilt(packets[:start] + packets[start + 100 :]) == data


@pytest.mark.parametrize("fec", Fec)
@pytest.mark.parametrize("payload", [320, 960])
def test_dropping_the_first_fifth_leaves_everything_after_decodable(fec: Fec, payload: int) -> None:
    records = records_of({0: 6, 1: 40, 2: 90, 4: 30}, low=payload // 2, high=payload)
    packets = parsed(nec(records), fec=fec, payload=payload)
    kept = packets[len(packets) // 5 :]
    (file,) = assemble(kept).values()
    assert file.header == file_header().encode()
    bodies = [p.body for p in kept if p.is_source]
    whole = {r.data for r in records if any(r.data in b for b in bodies)}
    assert len(whole) > 100
    assert whole <= set(file.records)


@pytest.mark.parametrize("n_first", [1, 3, 30, 300])
def test_dropping_the_first_fifth_costs_nothing_of_layer_0_with_the_code(n_first: int) -> None:
    records = records_of({0: n_first, 1: 4 * n_first, 2: 9 * n_first})
    packets = parsed(nec(records))
    dropped = packets[: len(packets) // 5]
    assert n_first == 1 or sum(p.layer_class == 0 and p.is_source for p in dropped) >= n_first
    (file,) = assemble(packets[len(packets) // 5 :]).values()
    assert {r.data for r in records if r.header.layer == 0} <= set(file.records)


def test_fill_tells_used_bytes_of_the_payload() -> None:
    # One packet for the header and a record of 338 bytes: 480 of 960; one record of 960.
    data = nec([record(1, 0, 960), record(1, 1, 338)], seal=False, index=False)
    sent = transmission(data)
    assert sent.n_source == 2
    assert sent.fill.mean == (480 + 960) / (2 * 960)
    assert sent.fill.histogram == (0, 0, 0, 0, 0, 1, 0, 0, 0, 1)
    assert sent.n_bytes == sum(len(p.data) for p in sent.packets)
    assert sent.n_records == 2


def test_packets_of_a_link_profile_file_are_well_filled() -> None:
    assert transmission(nec_of({0: 10, 1: 60, 2: 200}, low=900, high=960)).fill.mean > 0.9


def test_a_damaged_stretch_is_left_out_and_told() -> None:
    records = records_of({1: 10})
    data = bytearray(nec(records, seal=False, index=False))
    place = data.index(records[4].data)
    data[place + 100] ^= 1
    sent = transmission(bytes(data))
    assert len(sent.gaps) == 1
    first, last = sent.gaps[0]
    assert place <= first + 1
    assert last < place + len(records[4].data)
    (file,) = assemble(sent.packets).values()
    assert set(file.records) == {r.data for r in records if r is not records[4]}


def test_intact_records_of_reserved_kinds_are_carried() -> None:
    from codec.bitstream.core import crc8, crc32c

    head = bytearray(record(2, 0, 40).data[:8])
    head[0] = head[0] & 0xF8 | 5
    head[7] = crc8(bytes(head[:7]))
    body = bytes(head) + bytes(range(28))
    reserved = body + crc32c(body).to_bytes(4, "little")
    data = file_header().encode() + reserved + record(0, 0, 50).data
    (file,) = assemble(packetise(data)).values()
    assert reserved in file.records


def test_a_header_alone_is_sent() -> None:
    data = file_header().encode()
    for fec in Fec:
        (file,) = assemble(packetise(data, fec=fec)).values()
        assert file.to_nec() == data


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"apid": 2047}, "APID"), ({"apid": -1}, "APID"), ({"payload": 63}, "payload"), ({"payload": 65_508}, "payload"),
        ({"fec": "raptorq"}, "erasure code"), ({"repair": {4: 0.5}}, "classes"), ({"repair": {1: -0.1}}, "ratio"),
        ({"repair": {1: float("nan")}}, "ratio"), ({"sequence_start": -1}, "sequence"),
    ],
)  # fmt: skip
def test_arguments_out_of_range_are_refused_by_name(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        packetise(DATA, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("fec", Fec)
def test_a_record_that_no_block_can_hold_is_refused_with_the_way_out(fec: Fec) -> None:
    with pytest.raises(InputError, match="larger payload"):
        packetise(nec([record(1, 0, 64 * 256)]), payload=64, fec=fec)


def test_more_blocks_than_numbers_are_refused() -> None:
    with pytest.raises(LimitExceeded, match="65536"):
        check_number_of_blocks([SymbolGroup(64)] * 65_537)


@pytest.mark.parametrize("cut", [0, 7, 60, 141])
def test_a_cut_header_is_refused_as_truncated(cut: int) -> None:
    with pytest.raises(Truncated):
        packetise(DATA[:cut])


def test_what_is_no_nec_file_is_refused() -> None:
    with pytest.raises(Corrupt, match=r"not a \.nec file"):
        packetise(b"\x89PNG\r\n\x1a\n" + bytes(200))


def test_a_file_cut_anywhere_behind_its_header_is_sent_as_far_as_it_goes() -> None:
    for cut in range(142, len(DATA), 9973):
        (file,) = assemble(packetise(DATA[:cut])).values()
        assert DATA.startswith(file.to_nec())
        assert len(file.to_nec()) > cut - 1000
    with pytest.raises(SwathpackError):
        packetise(DATA[:141])
