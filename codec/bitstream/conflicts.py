"""Copies and contradictions among records (bitstream §4.3): the outcome depends on the set of records only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from codec.types import Record, TileRange

RIVALS = 4  # contradicting records per tile that are looked at, if some of their tiles have fewer
MAX_WORK = 16  # tiles decoded per tile of a group


def unique(records: Iterable[Record]) -> list[Record]:
    """Equal copies once, in an order that depends on the records and not on how they came."""
    first: dict[bytes, Record] = {}
    for record in records:
        first.setdefault(record.data, record)
    return sorted(first.values(), key=_place)


def clusters(records: Sequence[Record]) -> tuple[list[Record], list[list[Record]]]:
    """Split the records of one plane, as `unique` orders them, into those that share no tile with another one of
    their layer, and groups that do."""
    alone: list[Record] = []
    groups: list[list[Record]] = []
    group: list[Record] = []
    end = 0
    for record in records:
        first = record.header.first_tile
        if group and (record.header.layer != group[0].header.layer or first >= end):
            _finish(group, alone, groups)
            group, end = [], 0
        group.append(record)
        end = max(end, first + record.header.tile_count)
    _finish(group, alone, groups)
    return alone, groups


def losers_first(group: Iterable[Record]) -> tuple[list[Record], list[Record]]:
    """Contradicting records in the order to write them, and those that are left out.

    The winner of a tile, the record whose whole bytes have the smallest SHA-256, comes last. A record of 13 bytes may
    claim 32,768 tiles and there are millions of such records, so work is bounded, small digests first: left out is a
    record all of whose tiles RIVALS others claim before it, and what exceeds MAX_WORK times the tiles of the group.
    Honest rivals are a few; those left out are reported, and which they are depends on the set of records only.
    """
    ordered = sorted(group, key=lambda record: hashlib.sha256(record.data).digest())
    begin = min(record.header.first_tile for record in ordered)
    claims = np.zeros(max(r.header.first_tile + r.header.tile_count for r in ordered) - begin, dtype=np.int64)
    budget = MAX_WORK * len(claims)
    kept, left_out = [], []
    for record in ordered:
        first = record.header.first_tile - begin
        claimed = claims[first : first + record.header.tile_count]
        if claimed.min() < RIVALS and budget >= len(claimed):
            claimed += 1
            budget -= len(claimed)
            kept.append(record)
        else:
            left_out.append(record)
    return kept[::-1], left_out


def contested(records: Sequence[Record]) -> list[TileRange]:
    """Tile ranges that at least two of these records, all of one (plane, layer), claim."""
    steps: dict[int, int] = {}
    for record in records:
        first, end = record.header.first_tile, record.header.first_tile + record.header.tile_count
        steps[first] = steps.get(first, 0) + 1
        steps[end] = steps.get(end, 0) - 1
    ranges = []
    depth = begin = 0
    for tile in sorted(steps):
        before, depth = depth, depth + steps[tile]
        if before < 2 <= depth:
            begin = tile
        elif depth < 2 <= before:
            ranges.append(TileRange(records[0].header.plane, records[0].header.layer, begin, tile - begin))
    return ranges


def _place(record: Record) -> tuple[int, int, int, int, bytes]:
    header = record.header
    return header.plane, header.layer, header.first_tile, header.tile_count, record.data


def _finish(group: list[Record], alone: list[Record], groups: list[list[Record]]) -> None:
    if len(group) == 1:
        alone.extend(group)
    elif group:
        groups.append(group)
