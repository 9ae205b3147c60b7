"""Cauchy Reed–Solomon at k = 64, 13 repair symbols (20 %) of 1 KB, against Intel's ISA-L where it is installed.

Rates are bytes of the 64 source symbols per CPU-second, through numpy arrays. Decoding has lost 13 source symbols and
uses all 13 repair symbols.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.entropy import timing
from benchmarks.entropy.archive import GIGA
from benchmarks.entropy.machine import row
from benchmarks.entropy.missing import Missing
from benchmarks.entropy.settings import Settings
from benchmarks.results import Row
from codec.bitstream.core import rs_decode, rs_encode

K, REPAIR, SIZE = 64, 13, 1024
PATTERNS = 64
Bytes = npt.NDArray[np.uint8]


class IsaL:
    """ec_encode_data of Debian's libisal2: the same field (polynomial 0x11D), a Cauchy matrix of its own.

    It picks its instruction set itself, the widest there is: AVX-512 with GFNI in newer versions, whatever ours uses.
    """

    name = "ISA-L"

    def __init__(self) -> None:
        found = ctypes.util.find_library("isal")
        if not found:
            raise Missing("libisal is not here; apt-get install libisal2")
        self._library = ctypes.CDLL(found)
        self._matrix = np.zeros((K + REPAIR, K), dtype=np.uint8)
        self._library.gf_gen_cauchy1_matrix(_at(self._matrix), K + REPAIR, K)
        self._encoding = self._tables(np.ascontiguousarray(self._matrix[K:]))

    def _tables(self, rows: Bytes) -> Bytes:
        tables = np.zeros(32 * K * len(rows), dtype=np.uint8)
        self._library.ec_init_tables(K, len(rows), _at(rows), _at(tables))
        return tables

    def encoder(self, source: Bytes) -> Callable[[], Bytes]:
        """A call that encodes `source`; its pointers are built before, as a C caller would have them."""
        out = np.zeros((REPAIR, SIZE), dtype=np.uint8)
        sources, targets, tables = _rows(source), _rows(out), _at(self._encoding)

        def encode() -> Bytes:
            self._library.ec_encode_data(SIZE, K, REPAIR, tables, sources, targets)
            return out

        return encode

    def decoder(
        self, received: Bytes, indices: npt.NDArray[np.int64], lost: npt.NDArray[np.int64]
    ) -> tuple[Callable[[], Bytes], Callable[[], Bytes]]:
        """Two calls that give the lost source symbols: with the inversion of the received rows, and with it done before."""
        out = np.zeros((len(lost), SIZE), dtype=np.uint8)
        sources, targets = _rows(received), _rows(out)
        tables = np.zeros(32 * K * len(lost), dtype=np.uint8)
        inverse = np.zeros((K, K), dtype=np.uint8)

        def invert() -> None:
            rows = np.ascontiguousarray(self._matrix[indices])
            if self._library.gf_invert_matrix(_at(rows), _at(inverse), K):
                raise ValueError("ISA-L found a singular matrix")
            wanted = np.ascontiguousarray(inverse[lost])
            self._library.ec_init_tables(K, len(lost), _at(wanted), _at(tables))

        def again() -> Bytes:
            self._library.ec_encode_data(SIZE, K, len(lost), _at(tables), sources, targets)
            return out

        def decode() -> Bytes:
            invert()
            return again()

        return decode, again


def _rows(array: Bytes) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(array))(*(row.ctypes.data for row in array))


def _at(array: Bytes) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def measure(isa: str, settings: Settings) -> list[Row]:
    """Encode; decode with one loss pattern, and with another one at every call."""
    generator = np.random.default_rng(1)
    source = generator.integers(0, 256, (K, SIZE), dtype=np.uint8)
    coded = np.vstack([source, rs_encode(source, REPAIR)])
    lost = [np.sort(generator.permutation(K)[:REPAIR]) for _ in range(PATTERNS)]
    indices = [np.setdiff1d(np.arange(K + REPAIR), missing) for missing in lost]
    received = [np.ascontiguousarray(coded[there]) for there in indices]
    for there, symbols in zip(indices, received, strict=True):
        if not np.array_equal(rs_decode(symbols, there, K), source):
            raise ValueError("the erasure code does not give the source back")
    turn = iter(range(2**62))

    def fresh(_: int) -> Bytes:
        at = next(turn) % PATTERNS
        return rs_decode(received[at], indices[at], K)

    works = {
        "encode": lambda _: rs_encode(source, REPAIR),
        "decode, one loss pattern": lambda _: rs_decode(received[0], indices[0], K),
        f"decode, {PATTERNS} loss patterns by turns": fresh,
    }
    where = f"erasure, k {K}, {REPAIR} repair symbols of {SIZE} B, {isa}"
    rounds = settings.n_rounds(21)
    rows = []
    for metric, work in works.items():
        seconds = timing.alone(work, unit=source.nbytes, rounds=rounds, seconds=settings.seconds)
        rows.append(
            row(
                isa,
                where,
                metric,
                *(v / GIGA for v in timing.rate(seconds)),
                unit="GB/s of source, min/max",
                n=rounds,
            )
        )
    return rows


def against(isa: str, settings: Settings) -> list[Row]:
    """The same work by ISA-L, by turns with ours."""
    rival = IsaL()
    generator = np.random.default_rng(2)
    source = generator.integers(0, 256, (K, SIZE), dtype=np.uint8)
    lost = np.sort(generator.permutation(K)[:REPAIR])
    there = np.setdiff1d(np.arange(K + REPAIR), lost)
    encode = rival.encoder(source)
    ours = np.ascontiguousarray(np.vstack([source, rs_encode(source, REPAIR)])[there])
    theirs = np.ascontiguousarray(np.vstack([source, encode()])[there])
    decode, again = rival.decoder(theirs, there, lost)
    if not (np.array_equal(decode(), source[lost]) and np.array_equal(again(), source[lost])):
        raise ValueError("ISA-L does not give the source back")
    if not np.array_equal(rs_decode(ours, there, K), source):
        raise ValueError("the erasure code does not give the source back")
    where = f"erasure, k {K}, {REPAIR} repair symbols of {SIZE} B, {isa}"
    rounds = settings.n_rounds(21)
    rows = []
    for metric, mine, other, name in (
        ("encode", lambda _: rs_encode(source, REPAIR), lambda _: encode(), rival.name),
        (
            "decode",
            lambda _: rs_decode(ours, there, K),
            lambda _: decode(),
            f"{rival.name}, inverting at each call",
        ),
        ("decode", lambda _: rs_decode(ours, there, K), lambda _: again(), f"{rival.name}, inverted before"),
    ):
        found = timing.paired(mine, other, rounds=rounds, seconds=settings.seconds)
        rows.append(
            row(
                isa, where, f"{metric}, times as fast", *found.ratio(), unit="x, 95 %", rival=name, n=rounds,
                software=["libisal2"],
            )
        )  # fmt: skip
    return rows
