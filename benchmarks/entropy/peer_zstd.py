"""zstd: what an archive does without thinking."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from benchmarks.entropy.byte_planes import Bytes, Symbols, byte_planes, from_byte_planes
from benchmarks.entropy.latents import LatentSet
from benchmarks.entropy.missing import Missing


class Zstd:
    """zstd on the int8 array as it lies in memory, all images in one call; channels in arbitrary order, or sorted."""

    def __init__(self, level: int, *, in_order: bool = False) -> None:
        try:
            import zstandard
        except ImportError as error:
            raise Missing(f"zstandard cannot be loaded ({error}); pip install zstandard") from error
        self.name = f"zstd -{level}" + (", channels sorted" if in_order else "")
        self.images, self.rounds = (2, 5) if level > 9 else (8, 21)
        self._compressor = zstandard.ZstdCompressor(level=level)
        self._decompressor = zstandard.ZstdDecompressor()
        self._library = ".".join(map(str, zstandard.ZSTD_VERSION))
        self._in_order = in_order

    def version(self) -> str:
        return f"zstandard {version('zstandard')} (zstd {self._library})"

    def prepare(self, latents: LatentSet) -> None:
        self._latents = latents
        self._given = latents.symbols if self._in_order else latents.unsorted().symbols
        self._input = byte_planes(self._given)

    def encode(self) -> bytes:
        return self._compressor.compress(self._input.data)

    def decode(self, coded: bytes) -> Bytes:
        return np.frombuffer(self._decompressor.decompress(coded), dtype=np.uint8)

    def symbols(self, decoded: Bytes) -> Symbols:
        found = from_byte_planes(decoded, self._given.shape)
        if self._in_order or not np.array_equal(found, self._given):
            return found
        return self._latents.symbols  # the same, with the channels back in order

    def n_bytes(self, coded: bytes) -> int:
        return len(coded)
