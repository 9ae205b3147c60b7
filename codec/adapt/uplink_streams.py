"""Bytes of a pack that no source on board has: filtered, compressed, and expanded to the size that is stated, no further
(docs/uplink.md §4).
"""

from __future__ import annotations

import lzma
import re
import zlib
from dataclasses import dataclass

import numpy as np

from codec.errors import Corrupt

_FIXED = re.compile(r"fixed([1-9]|1[0-9]|2[0-4])")
_DICTIONARY = 1 << 23  # bytes that a decoder must hold
_LZMA: list[dict[str, int]] = [{"id": lzma.FILTER_LZMA2, "dict_size": _DICTIONARY}]
_SETTINGS = (
    {"preset": 9 | lzma.PRESET_EXTREME, "lc": 3, "lp": 0, "pb": 0},
    {"preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 0, "pb": 0},  # noise: contexts would only dilute
)


@dataclass(frozen=True, slots=True)
class Stream:
    """Bytes as they are sent."""

    length: int  # when expanded
    filter: str
    coder: str
    data: bytes


def shrink(raw: bytes) -> Stream:
    """The smallest that was found; equal bytes give an equal stream with equal libraries.

    LZMA, which is slow, is tried on the bytes as they are and on what zlib found the best way to filter them.
    """
    best = Stream(len(raw), "none", "stored", raw)
    filtered = _filtered(raw)
    tried = {kind: zlib.compress(data, 9) for kind, data in filtered.items()}
    winner = min(tried, key=lambda kind: len(tried[kind]))
    found = [Stream(len(raw), winner, "zlib", tried[winner])]
    for kind in dict.fromkeys((winner, "none")):
        found += [Stream(len(raw), kind, "lzma", _lzma(filtered[kind], settings)) for settings in _SETTINGS]
    smallest = min(found, key=lambda stream: len(stream.data))
    return smallest if len(smallest.data) < len(raw) else best


def expand(stream: Stream) -> bytes:
    """The way back. Never holds more than the stated length and one byte; Corrupt where that is not what comes out."""
    data = _decoded(stream)
    if len(data) != stream.length:
        raise Corrupt("a stream has another length than stated", expected=stream.length, found=len(data))
    if stream.filter == "none":
        return data
    if stream.filter in ("shuffle2", "shuffle4"):
        return _unshuffled(data, int(stream.filter[-1]))
    found = _FIXED.fullmatch(stream.filter)
    if found is None or len(data) % 4:
        raise Corrupt("a stream has an unknown filter", found=repr(stream.filter[:20]))
    folded = np.frombuffer(_unshuffled(data, 4), "<u4").astype(np.int64)
    numbers = (folded >> 1) ^ -(folded & 1)
    return (numbers.astype(np.float64) * 2.0 ** -int(found[1])).astype("<f4").tobytes()


def _decoded(stream: Stream) -> bytes:
    limit = stream.length + 1
    try:
        if stream.coder == "stored":
            return stream.data
        if stream.coder == "zlib":
            inflater = zlib.decompressobj()
            data = inflater.decompress(stream.data, limit)
            whole = inflater.eof and not inflater.unused_data
        elif stream.coder == "lzma":
            expander = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_LZMA)
            data = expander.decompress(stream.data, limit)
            whole = expander.eof and not expander.unused_data
        else:
            raise Corrupt("a stream has an unknown coder", found=repr(stream.coder[:20]))
    except (zlib.error, lzma.LZMAError, EOFError) as error:
        raise Corrupt(f"a stream does not expand: {error}") from error
    if not whole:
        raise Corrupt("a stream does not end where it is stated to", expected=stream.length)
    return data


def _filtered(raw: bytes) -> dict[str, bytes]:
    kinds = {"none": raw}
    for width in (2, 4):
        if raw and len(raw) % width == 0:
            kinds[f"shuffle{width}"] = _shuffled(raw, width)
    fixed = _fixed(raw)
    return kinds if fixed is None else {**kinds, fixed[0]: fixed[1]}


def _fixed(raw: bytes) -> tuple[str, bytes] | None:
    """Float32 that are all integers over 2^k, as these integers; None where they are not, or no floats."""
    if len(raw) < 64 or len(raw) % 4:
        return None
    values = np.frombuffer(raw, "<f4")
    if not np.isfinite(values).all() or not 0 < np.abs(values).max() < 2**15:
        return None
    for bits in range(1, 25):
        scaled = values.astype(np.float64) * 2.0**bits
        if (scaled == np.rint(scaled)).all():
            if np.abs(scaled).max() >= 2**30 or np.signbit(values[values == 0]).any():  # −0 is another float
                return None
            numbers = scaled.astype(np.int64)
            # 0, −1, 1, −2, … as 0, 1, 2, 3, …: small numbers of either sign have zeros on top.
            folded = (numbers << 1) ^ (numbers >> 63)
            return f"fixed{bits}", _shuffled(folded.astype("<u4").tobytes(), 4)
    return None


def _lzma(data: bytes, settings: dict[str, int]) -> bytes:
    return lzma.compress(data, lzma.FORMAT_RAW, filters=[{**_LZMA[0], **settings}])


def _shuffled(raw: bytes, width: int) -> bytes:
    """All first bytes of the numbers, then all second ones, …"""
    return np.frombuffer(raw, np.uint8).reshape(-1, width).T.tobytes()


def _unshuffled(data: bytes, width: int) -> bytes:
    if len(data) % width:
        raise Corrupt(
            "a stream is not made of whole numbers", expected=f"a multiple of {width}", found=len(data)
        )
    return np.frombuffer(data, np.uint8).reshape(width, -1).T.tobytes()
