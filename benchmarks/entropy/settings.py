"""How much is measured: everything, or just enough to see that the harness runs (SWATHPACK_BENCH_QUICK=1)."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Sizes and repetitions."""

    dense_images: int = 14  # 56 tiles, seven to a record: eight full records of 60 KiB
    sparse_images: int = 64  # three records of 60 KiB
    link_records: int = 4096
    tiny_records: int = 1024
    rounds: float = 1.0  # times what a rival asks for
    seconds: float = 0.03  # CPU time of one timed span, at least

    def images(self, name: str) -> int:
        return self.dense_images if name == "dense" else self.sparse_images

    def n_rounds(self, wanted: int) -> int:
        return max(3, round(wanted * self.rounds))


FULL = Settings()
QUICK = Settings(
    dense_images=2, sparse_images=32, link_records=256, tiny_records=64, rounds=0.2, seconds=0.003
)


def chosen() -> Settings:
    """What the environment asks for."""
    return QUICK if os.environ.get("SWATHPACK_BENCH_QUICK") == "1" else FULL
