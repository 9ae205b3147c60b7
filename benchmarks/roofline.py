"""What a device can do at most, measured: bytes copied and operations done in a second; and what share a kernel has."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_ROUNDS = 20
_WARM_UP_S = 0.3  # until clocks have risen
_HALF, _SINGLE = 2, 4  # bytes of bfloat16 and of float32


@dataclass(frozen=True, slots=True)
class Roofline:
    """Two measured ceilings."""

    bytes_per_s: float  # of a copy, what is read and what is written counted
    flops_per_s: float  # of a large matrix product, two for each multiplication and addition

    def seconds(self, n_bytes: float, flops: float = 0.0) -> float:
        """The least time of work that moves so many bytes and does so many operations."""
        return max(n_bytes / self.bytes_per_s, flops / self.flops_per_s)

    def share(self, seconds: float, n_bytes: float, flops: float = 0.0) -> float:
        """How much of the roofline work has that took `seconds`; 1 is all of it."""
        return self.seconds(n_bytes, flops) / seconds


def measured(device: str, *, megabytes: int = 1024, side: int = 8192) -> Roofline:
    """Of "cpu" (float32) or "cuda" (bfloat16). The copy must be far larger than all caches."""
    return Roofline(copy_rate(device, megabytes), product_rate(device, side))


def copy_rate(device: str, megabytes: int) -> float:
    """Bytes read and written per second by a copy within the device's memory, median."""
    import torch

    source = torch.ones(megabytes << 20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    took = _seconds(lambda: target.copy_(source), device)
    if not torch.equal(source, target):
        raise AssertionError("the copy differs from what was copied")
    return 2 * source.numel() / took


def product_rate(device: str, side: int) -> float:
    """Operations per second of a square matrix product, median."""
    import torch

    kind = torch.bfloat16 if device.startswith("cuda") else torch.float32
    a, b = (torch.randn((side, side), device=device, dtype=kind) for _ in range(2))
    out = torch.empty_like(a)
    took = _seconds(lambda: torch.mm(a, b, out=out), device)
    row, exact = out[0].double(), a[0].double() @ b.double()
    if float((row - exact).norm() / exact.norm()) > 1e-2:
        raise AssertionError("the product is wrong")
    return 2 * side**3 / took


def attention_work(batch: int, n: int, heads: int, width: int, rank: int) -> tuple[float, float]:
    """Least bytes and operations of dual attention in bfloat16: queries B×heads×n×width, a code of B×n×rank."""
    # q, k, v and the code once, the output and two lengths a token and head; the up-projections stay in the cache.
    n_bytes = batch * n * (_HALF * (4 * heads * width + rank) + 2 * _SINGLE * heads)
    # Scores and mixtures of both branches, the adapted one `rank` wider; three up-projections of codes.
    flops = 2 * batch * heads * n * (n * (4 * width + 2 * rank) + 3 * rank * width)
    return n_bytes, flops


def projection_work(batch: int, n: int, heads: int, width: int) -> tuple[float, float]:
    """The same of the constrained projection: stream and displacement in, stream out, a product with a d×d matrix."""
    tokens, d = batch * n, heads * width
    n_bytes = tokens * (3 * _HALF * d + 2 * _SINGLE * heads) + _HALF * d * d
    return n_bytes, 2 * tokens * d * d


def _seconds(run: Callable[[], Any], device: str) -> float:
    """Of one call: by events on a GPU, so that launching is not counted."""
    import torch

    for _ in range(3):
        run()
    if not device.startswith("cuda"):
        took = []
        for _ in range(_ROUNDS):
            start = time.perf_counter()
            run()
            took.append(time.perf_counter() - start)
        return statistics.median(took)
    start = time.perf_counter()
    while time.perf_counter() - start < _WARM_UP_S:
        run()
        torch.cuda.synchronize()
    pairs = [
        (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(_ROUNDS)
    ]
    for first, last in pairs:
        first.record()
        run()
        last.record()
    torch.cuda.synchronize()
    return statistics.median(first.elapsed_time(last) for first, last in pairs) * 1e-3
