"""The rivals, each behind the same methods. A rival that is not installed says how to install it.

Every rival gets what suits it best: its own array layout, prepared outside the timed part, and the exact distributions
where it can use one per channel (ours must share 128 tables). What is timed is the call a user makes, arrays to bytes and
back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from benchmarks.entropy.byte_planes import Symbols
from benchmarks.entropy.latents import LatentSet
from benchmarks.entropy.peer_compressai import CompressAIAns, CompressAIBottleneck
from benchmarks.entropy.peer_constriction import ConstrictionAns
from benchmarks.entropy.peer_htscodecs import Htscodecs
from benchmarks.entropy.peer_zstd import Zstd


class Peer(Protocol):
    """One rival with one setting."""

    name: str
    images: int  # how many it is measured on: few where it is slow
    rounds: int

    def version(self) -> str:
        """Its name and version, for the row."""

    def prepare(self, latents: LatentSet) -> None:
        """Tables and arrays in its own layout; not timed."""

    def encode(self) -> Any:
        """The prepared symbols, coded."""

    def decode(self, coded: Any) -> Any:
        """What it makes of `coded`, in its own form."""

    def symbols(self, decoded: Any) -> Symbols:
        """`decoded` as images × tokens × channels, to compare with what went in."""

    def n_bytes(self, coded: Any) -> int:
        """Length of `coded`."""


PEERS: dict[str, Callable[[], Peer]] = {
    "bottleneck": CompressAIBottleneck,
    "ans": CompressAIAns,
    "ans-shared": lambda: CompressAIAns(shared=True),
    "constriction": ConstrictionAns,
    "htscodecs-avx2": lambda: Htscodecs("avx2"),
    "htscodecs-avx512": lambda: Htscodecs("avx512"),
    "zstd-1": lambda: Zstd(1),
    "zstd-1-sorted": lambda: Zstd(1, in_order=True),
    "zstd-19": lambda: Zstd(19),
    "zstd-19-sorted": lambda: Zstd(19, in_order=True),
}


def check(peer: Peer, latents: LatentSet) -> int:
    """Bytes of a round trip that gave every symbol back; ValueError where it did not."""
    coded = peer.encode()
    size = peer.n_bytes(coded)
    if not np.array_equal(peer.symbols(peer.decode(coded)), latents.symbols):
        raise ValueError(f"{peer.name} does not give back what it was given")
    return size
