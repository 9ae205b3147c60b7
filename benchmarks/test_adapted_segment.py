"""An adapted block from q, k, v and code to the stream behind its projection: kernels against what PyTorch makes of it.

    python -m pytest benchmarks/test_adapted_segment.py -m gpu --benchmark-only

Rivals, all on the same tensors and held to the same answer before any of them is timed: the eager chain as the method writes
it, and one stacked attention call compiled under max-autotune, with CUDA graphs or without, whichever is faster.
Rows: `benchmarks/results/kernels.csv`; without a GPU they stay not measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from benchmarks.results import Row

SUITE = "kernels"
# Batches that fill an H200; ViT-B.
SHAPES = ((196, 256), (1024, 48))
HEADS, WIDTH, RANK = 12, 64, 16
RIVALS = {"compiled": "one stacked call, torch.compile max-autotune", "eager": "eager chain"}


@dataclass(frozen=True)
class Segment:
    """What all contenders are given, bfloat16."""

    stream: Any  # B×n×d
    q: Any
    k: Any
    v: Any
    code: Any
    ups: tuple[Any, Any, Any]
    weight: Any
    bias: Any

    @classmethod
    def drawn(cls, n: int, batch: int, device: str = "cuda") -> Segment:
        import torch

        torch.manual_seed(n)
        d = HEADS * WIDTH

        def normal(*shape: int, size: float = 1.0) -> Any:
            return (size * torch.randn(shape, device=device)).bfloat16()

        q, k, v = normal(batch, n, 3, HEADS, WIDTH).permute(2, 0, 3, 1, 4)
        ups = (
            normal(HEADS, RANK, WIDTH, size=0.1),
            *(normal(HEADS, RANK, WIDTH, size=0.1) for _ in range(2)),
        )
        return cls(
            normal(batch, n, d), q, k, v, normal(batch, n, RANK), ups, normal(d, d, size=d**-0.5), normal(d)
        )  # fmt: skip


def fused(s: Segment) -> Any:
    from kernels.constrained_projection import constrained_projection
    from kernels.dual_attention import dual_attention

    found = dual_attention(s.q, s.k, s.v, s.code, *s.ups, WIDTH**-0.5)
    return constrained_projection(
        s.stream, found.adapted, found.reference_square, found.adapted_square, s.weight, s.bias
    )


def stacked(s: Segment) -> Any:
    from kernels.constrained_projection import constrained_projection_twin
    from kernels.dual_attention import dual_attention_twin

    found = dual_attention_twin(s.q, s.k, s.v, s.code, *s.ups, WIDTH**-0.5)
    return constrained_projection_twin(
        s.stream, found.adapted, found.reference_square, found.adapted_square, s.weight, s.bias
    )


def eager(s: Segment) -> Any:
    """Keys and values rebuilt, two attentions, lengths, projection."""
    from torch.nn.functional import linear, scaled_dot_product_attention

    c = s.code.unsqueeze(1)
    reference = scaled_dot_product_attention(s.q, s.k, s.v)
    adapted = scaled_dot_product_attention(s.q + c @ s.ups[0], s.k + c @ s.ups[1], s.v + c @ s.ups[2])
    squares = [x.float().square().sum((1, 3)) for x in (reference, adapted)]
    scale = (squares[0] / squares[1].clamp(min=1e-24)).sqrt()[:, :, None].to(adapted.dtype)
    merged = adapted.transpose(1, 2).flatten(2)
    return s.stream + linear(scale * merged, s.weight, s.bias)


def apart(contender: Callable[[Segment], Any], given: Segment) -> float:
    """Of what is added to the stream, how far a contender is from the stacked form, over its length."""
    import torch

    alone = replace(given, stream=torch.zeros_like(given.stream), bias=torch.zeros_like(given.bias))
    answer = stacked(alone).float()
    return float((contender(alone).float() - answer).norm() / answer.norm())


def memory(run: Callable[[], Any]) -> int:
    """Bytes that a call holds at most beyond what it is given."""
    import torch

    run()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated() - before)


@pytest.mark.gpu
@pytest.mark.parametrize(("n", "batch"), SHAPES)
def test_adapted_segment(benchmark: Any, record: Callable[[Row], None], n: int, batch: int) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU with its driver: these rows stay not measured")
    triton = pytest.importorskip("triton")
    given = Segment.drawn(n, batch)
    compiled = torch.compile(stacked, mode="max-autotune")
    # Graphs keep their memory in a pool of their own, where it is not seen. And they copy what they are given into it, which
    # for tensors of this size takes longer than the launches that they save: the rival is the faster of the two.
    without_graphs = torch.compile(stacked, mode="max-autotune-no-cudagraphs")
    with torch.inference_mode():
        for contender in (fused, eager, compiled, without_graphs):
            assert apart(contender, given) < 2e-2, contender
        held = {
            name: memory(partial(of, given)) for name, of in (("ours", fused), ("theirs", without_graphs))
        }
        contenders = {"ours": fused, "graphs": compiled, "no graphs": without_graphs, "eager": eager}
        times = {
            name: triton.testing.do_bench(partial(of, given), warmup=100, rep=500, quantiles=(0.5, 0.2, 0.8))
            for name, of in contenders.items()
        }
        times["compiled"] = min(times["graphs"], times["no graphs"])  # by the median, which comes first
        benchmark.pedantic(lambda: (fused(given), torch.cuda.synchronize()), rounds=5, warmup_rounds=1)
    case = f"adapted segment/ViT-B/n {n}/batch {batch}/bf16"
    row = partial(Row, SUITE, case, isa_or_device=torch.cuda.get_device_name())
    ours = times["ours"]
    middle, low, high = (1e3 * ms / batch for ms in ours)
    record(row("time", middle, low, high, "µs an image [20 to 80 % of calls]"))
    for name, rival in RIVALS.items():
        theirs = times[name]
        low, high = theirs[1] / ours[2], theirs[2] / ours[1]
        record(row("times as fast", theirs[0] / ours[0], low, high, "x [20 to 80 % of calls]", rival))
    record(row("memory held", held["ours"] / held["theirs"], unit="ratio", rival=RIVALS["compiled"]))
