"""Copies and contradictions among records (bitstream §4.3): the outcome depends on the set of records only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from codec.types import Record, TileRange


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


def losers_first(records: Iterable[Record]) -> list[Record]:
    """The order in which to write contradicting records so that for each tile the winner is written last: the one
    whose whole bytes have the smallest SHA-256."""
    return sorted(records, key=lambda record: hashlib.sha256(record.data).digest(), reverse=True)


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
