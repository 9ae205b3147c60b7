"""The erasure code of docs/link.md §5, against slow arithmetic written from the text, through whole packets."""

from __future__ import annotations

import functools
import itertools
import random
from pathlib import Path

import pytest
from nec_files import nec_of

from codec.link import Assembler, LinkPacket, assemble, packetise, parse_packet, transmission


def times(a: int, b: int) -> int:
    """Product in GF(2^8) by shift and add, modulo x^8 + x^4 + x^3 + x^2 + 1."""
    product = 0
    for bit in range(8):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(14, 7, -1):
        if product >> bit & 1:
            product ^= 0x11D << (bit - 8)
    return product


INVERSE = {a: next(b for b in range(1, 256) if times(a, b) == 1) for a in range(1, 256)}


def repair_symbol(source: list[bytes], index: int) -> bytes:
    """p_i = Σ s_j / (i ⊕ j), byte by byte."""
    result = bytearray(len(source[0]))
    for j, symbol in enumerate(source):
        factor = INVERSE[index ^ j]
        for place, byte in enumerate(symbol):
            result[place] ^= times(factor, byte)
    return bytes(result)


def one_block(n_records: int, ratio: float) -> list[LinkPacket]:
    """Packets of a file whose class 1 is one block; that block alone."""
    data = nec_of({1: n_records}, low=30, high=40, seed=n_records)
    packets = [parse_packet(p.data) for p in packetise(data, payload=150, repair={1: ratio})]
    return sorted((p for p in packets if p.layer_class == 1), key=lambda p: p.index)


@pytest.mark.parametrize("n_records", [1, 9, 60])
def test_repair_packets_are_those_of_the_text(n_records: int) -> None:
    block = one_block(n_records, 0.7)
    source = [p.padded for p in block if p.is_source]
    assert len(source) == block[0].k
    for packet in block[len(source) :]:
        assert packet.body == repair_symbol(source, packet.index)


def test_the_documented_example_holds() -> None:
    source = [bytes.fromhex(h) for h in ("4E00", "4501", "43FF")]
    assert repair_symbol(source, 3) == bytes.fromhex("D571")
    assert repair_symbol(source, 4) == bytes.fromhex("4B03")


def product(factors: list[int]) -> int:
    return functools.reduce(times, factors, 1)


def restoring(lost: list[int], used: list[int], inputs: list[int]) -> list[list[int]]:
    """F_b · W_z / (z ⊕ y_b) for each lost source symbol and each symbol used (docs/link.md §8)."""
    rows = []
    for y in lost:
        of_lost = times(product([x ^ y for x in used]), INVERSE[product([m ^ y for m in lost if m != y])])
        of_input = [
            times(product([m ^ z for m in lost]), INVERSE[product([x ^ z for x in used if x != z])])
            for z in inputs
        ]
        rows.append([times(times(of_lost, w), INVERSE[z ^ y]) for w, z in zip(of_input, inputs, strict=True)])
    return rows


def test_the_documented_coefficients_restore_the_example(root: Path) -> None:
    rows = restoring([0, 2], [3, 4], [3, 1, 4])
    came = [bytes.fromhex(h) for h in ("D571", "4501", "4B03")]
    for row, expected in zip(rows, ("4E00", "43FF"), strict=True):
        sums = [0, 0]
        for factor, symbol in zip(row, came, strict=True):
            sums = [total ^ times(factor, byte) for total, byte in zip(sums, symbol, strict=True)]
        assert bytes(sums) == bytes.fromhex(expected)
    said = " ".join((root / "docs" / "link.md").read_text(encoding="utf-8").split())
    first, second = (", ".join(f"{c:02X}" for c in row) for row in rows)
    assert f"s₀ has the coefficients {first} and s₂ has {second}." in said


def test_every_k_of_k_plus_r_symbols_rebuild_a_small_block() -> None:
    block = one_block(14, 1.0)
    k, r = block[0].k, block[0].r
    assert (k, r) == (6, 6)
    whole = assemble(block).popitem()[1]
    assert len(whole.records) == 14 + 1  # the index travels with the highest class
    for kept in itertools.combinations(block, k):
        result = assemble(kept).popitem()[1]
        assert result.records == whole.records
        assert result.header == whole.header
        assert result.blocks[0].complete
        assert result.blocks[0].rebuilt == sum(not p.is_source for p in kept)


def test_no_block_is_rebuilt_from_fewer_than_k_symbols() -> None:
    block = one_block(14, 1.0)
    for kept in itertools.combinations(block, block[0].k - 1):
        result = assemble(kept).popitem()[1]
        assert not result.blocks[0].complete
        assert result.blocks[0].lost == sum(p.is_source for p in block) - sum(p.is_source for p in kept)


@pytest.mark.parametrize("seed", range(40))
def test_any_k_symbols_rebuild_a_block_of_the_usual_size(seed: int) -> None:
    rng = random.Random(seed)
    data = nec_of({1: 62}, low=900, high=960, seed=seed)
    sent = transmission(data, repair={1: rng.choice([0.1, 0.39, 1.0, 2.9])}, payload=960)
    packets = [parse_packet(p.data) for p in sent.packets]
    block = [p for p in packets if p.layer_class == 1]
    assert len({p.block for p in block}) == 1
    rest = [p for p in packets if p.layer_class != 1]
    kept = rng.sample(block, block[0].k)
    assert assemble(kept + rest).popitem()[1].to_nec() == data


def test_a_block_of_254_symbols_is_rebuilt_when_its_repair_packet_stands_for_any_one() -> None:
    # The header has 3 symbols of 64 bytes, the record 251: of 255 numbers one is left for repair.
    data = nec_of({0: 1}, low=64 * 251 - 30, high=64 * 251 - 30)
    packets = [parse_packet(p.data) for p in packetise(data, payload=64)]
    packets = [p for p in packets if p.block == 0]
    k, r = packets[0].k, packets[0].r
    assert (k, r) == (254, 1)
    whole = assemble(packets).popitem()[1]
    for lost in (0, 1, k // 2, k - 1):
        kept = [p for p in packets if p.index != lost]
        assert assemble(kept).popitem()[1].records == whole.records


def test_symbols_of_two_encodings_never_mix() -> None:
    """Same header, same block numbers, different records: what is kept apart by the block check alone."""
    one = [parse_packet(p.data) for p in packetise(nec_of({1: 14}, low=30, high=40, seed=1), payload=150)]
    two = [parse_packet(p.data) for p in packetise(nec_of({1: 14}, low=30, high=40, seed=2), payload=150)]
    assert one[0].file_id == two[0].file_id
    k = next(p.k for p in one if p.layer_class == 1)
    mixed = [p for p in one if p.layer_class == 1][: k - 1] + [p for p in two if p.layer_class == 1][
        -(k - 1) :
    ]
    receiver = Assembler()
    for packet in mixed:
        receiver.feed(packet)
    result = receiver.result().popitem()[1]
    assert len(result.blocks) == 2
    assert not any(block.complete for block in result.blocks)
    either = set(assemble(one).popitem()[1].records) | set(assemble(two).popitem()[1].records)
    assert set(result.records) <= either
