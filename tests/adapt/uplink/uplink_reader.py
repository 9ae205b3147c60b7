"""A receiver of uplink packs written from docs/uplink.md alone: slow, plain, and without a line of the code under test."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def body_of(data: bytes) -> bytes:
    """§2: all pieces of the one pack in `data`."""
    found: dict[int, bytes] = {}
    at = data.find(b"\x89\x4e\x55\x50")
    count = identity = None
    while at >= 0:
        version, zero, index, body, size, zeros = struct.unpack_from("<BBHIHH", data, at + 4)
        assert (version, zero, zeros) == (0, 0, 0)
        count, identity = -(-body // size), data[at + 16 : at + 24]
        end = at + 24 + min(size, body - index * size)
        assert hashlib.sha256(data[at:end]).digest()[:8] == data[end : end + 8]
        found[index] = data[at + 24 : end]
        at = data.find(b"\x89\x4e\x55\x50", end + 8)
    assert sorted(found) == list(range(count or 0))
    whole = b"".join(found[index] for index in sorted(found))
    assert hashlib.sha256(whole).digest()[:8] == identity
    return whole


def receive(body: bytes, base: Path) -> dict[str, bytes]:
    """§3 to §6: every file of the result, by path."""
    sent, expanded = struct.unpack_from("<II", body)
    text = zlib.decompress(body[8 : 8 + sent])
    assert len(text) == expanded
    head = json.loads(text)
    assert (head["format"], head["version"]) == ("swathpack-uplink", 0)
    assert hashlib.sha256((base / "manifest.json").read_bytes()).hexdigest() == head["base"]["manifest"]
    streams = _streams(head, body[8 + sent :])
    small = io.BytesIO(next(streams))
    made: dict[str, bytes] = {}
    for file in head["files"]:
        data = b""
        for kind, *rest in file["parts"]:
            if kind == "data":
                data += next(streams)
            elif kind == "small":
                data += small.read(rest[0])
            else:
                name, offset, length = rest
                source = {
                    "base": lambda name: (base / name).read_bytes(),
                    "made": lambda name: made[name],
                    "view": lambda name: _view(
                        name, made.get("transform.npz") or (base / "transform.npz").read_bytes()
                    ),
                }[kind](name)
                assert offset + length <= len(source)
                data += source[offset : offset + length]
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["bytes"], file["sha256"])
        made[file["path"]] = data
    assert small.read() == b""
    assert hashlib.sha256(made["manifest.json"]).hexdigest() == head["result"]["manifest"]
    for name, entry in json.loads(made["manifest.json"])["files"].items():
        made.setdefault(name, (base / name).read_bytes() if (base / name).is_file() else b"")
        assert hashlib.sha256(made[name]).hexdigest() == entry["sha256"]
    return made


def _streams(head: dict[str, Any], data: bytes) -> Iterator[bytes]:
    named = [head["small"]] + [p[1:] for f in head["files"] for p in f["parts"] if p[0] == "data"]
    assert sum(stream[3] for stream in named) == len(data)
    for length, kind, coder, sent in named:
        part, data = data[:sent], data[sent:]
        if coder == "zlib":
            part = zlib.decompress(part)
        elif coder == "lzma":
            part = lzma.decompress(
                part, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 23}]
            )
        if kind != "none":
            width = int(kind[-1]) if kind.startswith("shuffle") else 4
            n = len(part) // width
            part = bytes(part[byte * n + i] for i in range(n) for byte in range(width))
        if kind.startswith("fixed"):
            unsigned = struct.unpack(f"<{len(part) // 4}I", part)
            numbers = (u // 2 if u % 2 == 0 else -(u + 1) // 2 for u in unsigned)
            part = b"".join(struct.pack("<f", n * 2.0 ** -int(kind[5:])) for n in numbers)
        assert len(part) == length
        yield part


def _view(plane: str, transform: bytes) -> bytes:
    """§5.1, for a plane of the archive."""
    arrays = np.load(io.BytesIO(transform))
    basis = arrays[f"{plane}.basis"].astype(np.float64)
    if f"{plane}.rotations" not in arrays:
        return arrays[f"{plane}.basis"].T.astype("<f4").tobytes()
    groups = []
    for rotation in arrays[f"{plane}.rotations"].astype(np.float64):
        total = np.zeros(basis.shape)
        for k in range(len(basis)):
            total = total + np.multiply.outer(basis[k], rotation[:, k])
        groups.append(total.astype("<f4"))
    return np.stack(groups).tobytes()
