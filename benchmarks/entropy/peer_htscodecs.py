"""htscodecs: the SIMD rANS of the genomics world, through ctypes."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.entropy.byte_planes import Bytes, Symbols, byte_planes, from_byte_planes
from benchmarks.entropy.latents import LatentSet
from benchmarks.entropy.missing import Missing

ROOT = Path(__file__).resolve().parents[2]
# Bits of rans_set_cpu: SSE4 1, AVX2 2, AVX-512 4, NEON 8; the encoder's in byte 0, the decoder's in byte 1.
_HTSCODECS_ISAS = {"avx2": 0x0303, "avx512": 0x0404, "neon": 0x0808}


class Htscodecs:
    """rANS 32×16 of order 0 in htscodecs, one table for all bytes; `isa` is forced through its own switch."""

    images, rounds = 8, 31
    _ORDER_0_X32 = 0x04

    def __init__(self, isa: str = "avx2") -> None:
        self.name = f"htscodecs rANS 32x16 order 0, {isa}"
        self._library = _htscodecs()
        self._isa = _HTSCODECS_ISAS[isa]
        self._library.rans_set_cpu(self._isa)

    def version(self) -> str:
        return f"htscodecs {self._library.htscodecs_version().decode()}"

    def prepare(self, latents: LatentSet) -> None:
        self._input, self._shape = byte_planes(latents.symbols), latents.symbols.shape
        size = self._input.nbytes
        self._bound = self._library.rans_compress_bound_4x16(size, self._ORDER_0_X32)
        self._coded = ctypes.create_string_buffer(self._bound)
        self._output = np.zeros_like(self._input)

    def encode(self) -> memoryview:
        size = ctypes.c_uint(self._bound)
        data = self._input.ctypes.data_as(ctypes.c_void_p)
        done = self._library.rans_compress_to_4x16(
            data, self._input.nbytes, self._coded, ctypes.byref(size), self._ORDER_0_X32
        )
        if not done:
            raise RuntimeError("htscodecs refused to encode")
        return memoryview(self._coded)[: size.value]

    def decode(self, coded: memoryview) -> Bytes:
        size = ctypes.c_uint(self._output.nbytes)
        data = self._output.ctypes.data_as(ctypes.c_void_p)
        if not self._library.rans_uncompress_to_4x16(self._coded, len(coded), data, ctypes.byref(size)):
            raise RuntimeError("htscodecs refused to decode")
        return self._output

    def symbols(self, decoded: Bytes) -> Symbols:
        return from_byte_planes(decoded, self._shape).copy()

    def n_bytes(self, coded: memoryview) -> int:
        return len(coded)


def _htscodecs() -> Any:
    """The shared library, from HTSCODECS_LIBRARY, from what `make bench-peers` unpacked, or from the system."""
    unpacked = sorted((ROOT / "build" / "peers").glob("usr/lib/*/libhtscodecs.so.2"))
    named = os.environ.get("HTSCODECS_LIBRARY")
    found = named or (str(unpacked[0]) if unpacked else ctypes.util.find_library("htscodecs"))
    if not found:
        raise Missing("libhtscodecs is not here; make bench-peers, or apt-get install libhtscodecs2")
    try:
        library = ctypes.CDLL(found)
    except OSError as error:
        raise Missing(f"{found} cannot be loaded ({error}); apt-get install libhtscodecs2") from error
    pointer, size = ctypes.c_void_p, ctypes.c_uint
    library.htscodecs_version.restype = ctypes.c_char_p
    library.rans_set_cpu.argtypes = [ctypes.c_int]
    library.rans_set_cpu.restype = None
    library.rans_compress_bound_4x16.argtypes = [size, ctypes.c_int]
    library.rans_compress_bound_4x16.restype = size
    library.rans_compress_to_4x16.argtypes = [pointer, size, pointer, ctypes.POINTER(size), ctypes.c_int]
    library.rans_compress_to_4x16.restype = pointer
    library.rans_uncompress_to_4x16.argtypes = [pointer, size, pointer, ctypes.POINTER(size)]
    library.rans_uncompress_to_4x16.restype = pointer
    return library
