"""What this device can do at most, and what share of it the kernels have.

    python -m pytest benchmarks/test_roofline.py -m gpu --benchmark-only

Ceilings are measured: a copy within the device's memory, a large matrix product. A kernel's share is the least time that its
bytes and operations take by these, over the time it took; results are held against the twin first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.latency import SUITE
from benchmarks.results import Row
from benchmarks.roofline import Roofline, attention_work, measured, projection_work
from benchmarks.test_adapted_segment import HEADS, RANK, SHAPES, WIDTH, Segment

if TYPE_CHECKING:
    from benchmarks.measuring import Conditions

KERNELS = "kernels"
Record = Callable[[Row], None]


@pytest.fixture(scope="module")
def ceiling(cuda: str) -> Roofline:
    return measured(cuda)


@pytest.mark.cpu
def test_ceilings_of_a_processor(
    benchmark: Any, record: Record, conditions: Callable[[bool], Conditions]
) -> None:
    pytest.importorskip("torch")
    found = benchmark.pedantic(measured, ("cpu",), {"megabytes": 256, "side": 1024}, rounds=1)
    _record(found, record, conditions(False))


@pytest.mark.gpu
def test_ceilings_of_a_gpu(
    benchmark: Any, record: Record, ceiling: Roofline, conditions: Callable[[bool], Conditions]
) -> None:
    benchmark.pedantic(lambda: ceiling, rounds=1)
    _record(ceiling, record, conditions(True))


def _record(found: Roofline, record: Record, at: Conditions) -> None:
    place, kind = at.place(), "bfloat16" if at.gpu else "float32"
    for metric, value, unit in (
        ("copy bandwidth", found.bytes_per_s / 1e9, "GB/s, read and written"),
        (f"matrix products, {kind}", found.flops_per_s / 1e12, "TFLOP/s"),
    ):
        record(Row(SUITE, f"ceiling/{'gpu' if at.gpu else 'cpu'}", metric, value, unit=unit, **place))


@pytest.mark.gpu
@pytest.mark.parametrize(("n", "batch"), SHAPES)
@pytest.mark.parametrize("kernel", ["dual attention", "constrained projection"])
def test_share_of_the_roofline(
    benchmark: Any, record: Record, ceiling: Roofline, conditions: Callable[[bool], Conditions], kernel: str,
    n: int, batch: int,
) -> None:  # fmt: skip
    triton = pytest.importorskip("triton")
    import torch

    from kernels.constrained_projection import constrained_projection, constrained_projection_twin
    from kernels.dual_attention import dual_attention, dual_attention_twin

    s = Segment.drawn(n, batch)
    given: tuple[Any, ...]
    attended = dual_attention(s.q, s.k, s.v, s.code, *s.ups, WIDTH**-0.5)
    if kernel == "dual attention":
        given, work = (
            (s.q, s.k, s.v, s.code, *s.ups, WIDTH**-0.5),
            attention_work(batch, n, HEADS, WIDTH, RANK),
        )
        run, twin = lambda: dual_attention(*given)[0], lambda: dual_attention_twin(*given)[0]
    else:
        squares = (attended.reference_square, attended.adapted_square)
        given = (s.stream, attended.adapted, *squares, s.weight, s.bias)
        work = projection_work(batch, n, HEADS, WIDTH)
        run, twin = lambda: constrained_projection(*given), lambda: constrained_projection_twin(*given)
    with torch.inference_mode():
        found, expected = run().float(), twin().float()
        assert float((found - expected).norm() / expected.norm()) < 2e-2
        took = [
            1e-3 * ms for ms in triton.testing.do_bench(run, warmup=100, rep=400, quantiles=(0.5, 0.2, 0.8))
        ]
        benchmark.pedantic(lambda: (run(), torch.cuda.synchronize()), rounds=5, warmup_rounds=1)
    place = conditions(True).place()
    case = f"{kernel}/ViT-B/n {n}/batch {batch}/bf16"
    for metric, (middle, low, high), unit in (
        ("memory moved", tuple(work[0] / t / 1e9 for t in (took[0], took[2], took[1])), "GB/s [20 to 80 % of calls]"),
        ("share of the roofline", tuple(ceiling.share(t, *work) for t in (took[0], took[2], took[1])),
         "of the measured ceilings [20 to 80 % of calls]"),
    ):  # fmt: skip
        record(Row(KERNELS, case, metric, middle, low, high, unit, **place))
