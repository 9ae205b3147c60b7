"""Encoder output → symbols and costs: the quantising kernels against the memory, PyTorch's chains and the bare product.

    python -m pytest benchmarks/test_quantise_pack.py -m gpu --benchmark-only

Rivals make symbols alone, without costs or a look for NaN, and are held to the same symbols before any of them is timed: in
all but one of some thousand, since they add in other orders and the compiled one contracts. All are timed as CUDA graphs of
calls on copies that the cache does not hold together: the norm's kernel takes less time than Python needs to launch it.
Rows: `benchmarks/results/kernels.csv`; without a GPU they stay not measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmarks.results import Row
from benchmarks.roofline import copy_rate

if TYPE_CHECKING:
    from kernels.quantise_projection import PlaneMatrices
    from kernels.quantiser import Cells

SUITE = "kernels"
SIDE, CHANNELS, EPS = 14, 768, 1e-6  # ViT-B/16
BATCHES = (64, 256)
EAGER, COMPILED = "eager chain", "the same chain, torch.compile max-autotune"
PRODUCT, TF32 = "bare product, torch.mm float32", "bare product, torch.mm TF32"


@dataclass(frozen=True)
class Tokens:
    """What a norm and the quantiser are given: the last stream of an encoder, bfloat16."""

    x: Any  # N×F×C
    cells: Cells  # of C
    gain: Any
    offset: Any

    @classmethod
    def drawn(cls, batch: int, side: int = SIDE, channels: int = CHANNELS, device: str = "cuda") -> Tokens:
        import torch

        torch.manual_seed(batch)
        x = torch.randn((batch, side * side, channels), device=device).bfloat16()
        gain, offset = torch.rand(channels, device=device) + 0.5, torch.randn(channels, device=device) * 0.1
        return cls(x, drawn_cells(1, channels, device).per_channel(), gain, offset)


@dataclass(frozen=True)
class Embeddings:
    """What a plane's transform and the quantiser are given, bfloat16."""

    x: Any  # N×F×C
    matrices: PlaneMatrices
    edges: tuple[int, ...]  # its `starts`, which the rival needs on the host and a graph may not ask for
    cells: Cells  # of F×C

    @classmethod
    def drawn(
        cls, batch: int, side: int = SIDE, channels: int = CHANNELS, device: str = "cuda"
    ) -> Embeddings:
        import torch

        from codec.transform.plane import PlaneTransform
        from codec.transform.rotations import Rotations, group_of_frequency
        from kernels.quantise_projection import PlaneMatrices

        torch.manual_seed(batch)
        group = group_of_frequency(side, side)
        turns = np.stack(
            [torch.linalg.qr(torch.randn(channels, channels))[0].numpy() for _ in range(int(group.max()) + 1)]
        )
        mean = 0.1 * torch.randn((side, side, channels)).numpy()
        transform = PlaneTransform(mean, np.eye(channels, dtype=np.float32), "dct", Rotations(turns, group))
        x = torch.randn((batch, side * side, channels), device=device).bfloat16()
        matrices = PlaneMatrices.of(transform, device)
        cells = drawn_cells(side * side, channels, device)
        return cls(x, matrices, tuple(matrices.starts.tolist()), cells)


def drawn_cells(n_frequencies: int, channels: int, device: str) -> Cells:
    """Steps of a tenth to a half of the deviation, as at the rates of archives; four layers; tables of a real size."""
    from codec.transform.maps import QuantMaps
    from codec.transform.tables import Level
    from codec.types import PlaneKind
    from kernels.quantiser import Cells

    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(channels)
    scales = np.geomspace(0.5, 12, 32)
    levels = []
    for scale in scales:
        tail = np.exp(-(np.arange(1, 40) - 0.5) / scale)  # of a magnitude that is not smaller
        edges = np.unique(np.clip(np.rint(65536 * (1 - tail)), 1, 65535).astype(int))
        levels.append(Level(tuple(edges.tolist()), 1.0, 0.0, 0.2))
    level = np.sort(rng.integers(0, len(levels), channels))[::-1].astype(np.int16)  # larger scales first
    shape = (channels, n_frequencies)
    level = np.broadcast_to(level[:, None], shape)
    layer = np.broadcast_to((np.arange(channels) * 4 // channels).astype(np.uint8)[:, None], shape)
    step = np.broadcast_to((1 / scales[level[:, 0]]).astype(np.float32)[:, None], shape)
    theta, one = np.full(shape, 0.2, np.float32), np.ones(shape, np.float32)
    maps = QuantMaps(
        layer, np.ones(shape, bool), level, step, np.float32(1) / step, theta, one, one, PlaneKind.FLOAT
    )
    return Cells.of(maps, levels, 4, torch.int8, device)


def fused_norm(t: Tokens) -> Any:
    from kernels.quantise_diagonal import quantise_diagonal

    return quantise_diagonal(t.x, t.cells, gain=t.gain, offset=t.offset, eps=EPS).symbols


def chain(t: Tokens) -> Any:
    """As a user writes it."""
    import torch

    y = torch.nn.functional.layer_norm(t.x.float(), t.x.shape[2:], t.gain, t.offset, EPS)
    return packed(y, t.cells)


def packed(y: Any, cells: Cells) -> Any:
    import torch

    magnitude = (y.abs() * cells.inv_step - cells.theta).clamp(0, 127).round()
    return magnitude.copysign(y).to(torch.int8)


def fused_transform(e: Embeddings) -> Any:
    from kernels.quantise_projection import quantise_projection

    return quantise_projection(e.x, e.matrices, e.cells).symbols


def transformed(e: Embeddings) -> Any:
    """The transform as products of whole tensors, in float32."""
    m = e.matrices
    spectrum = m.dct @ (e.x.float() - m.mean)
    y = spectrum.new_empty(spectrum.shape)
    for basis, first, last in zip(m.bases, e.edges, e.edges[1:], strict=False):
        group = m.frequencies[first:last].long()
        y[:, group] = spectrum[:, group] @ basis.T
    return packed(y, e.cells)


def flipped(found: Any, expected: Any) -> float:
    """Share of symbols that are not equal; 1 where some are further apart than a rounding."""
    apart = (found.int() - expected.int()).abs()
    return float((apart > 0).float().mean()) if int(apart.max()) <= 1 else 1.0


def copies(given: Any) -> list[Any]:
    """Of its tokens, until the last level of the cache holds a quarter of them at most."""
    import torch

    cache = torch.cuda.get_device_properties(0).L2_cache_size
    n = max(2, -(-4 * cache // given.x.nbytes))
    return [replace(given, x=given.x.clone()) for _ in range(n)]


def timed(run: Callable[[Any], Any], given: list[Any]) -> tuple[float, float, float]:
    """Milliseconds of a call: median, and where the fastest and the slowest fifth of replays end."""
    import triton

    def every() -> None:
        for one in given:
            run(one)

    found = triton.testing.do_bench_cudagraph(every, rep=50, quantiles=(0.5, 0.2, 0.8))
    middle, low, high = (ms / len(given) for ms in found)
    return middle, low, high


@pytest.mark.gpu
@pytest.mark.parametrize("batch", BATCHES)
def test_norm_quantise_pack(benchmark: Any, record: Callable[[Row], None], cuda: str, batch: int) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("triton")
    given = Tokens.drawn(batch)
    compiled = torch.compile(chain, mode="max-autotune-no-cudagraphs")
    with torch.inference_mode():
        expected = chain(given)
        assert int(expected.abs().max()) < 127  # int8 holds them
        for contender in (fused_norm, compiled):
            assert flipped(contender(given), expected) < 1e-3, contender
        many = copies(given)
        ours, theirs, made = (timed(run, many) for run in (fused_norm, chain, compiled))
        benchmark.pedantic(lambda: (fused_norm(given), torch.cuda.synchronize()), rounds=5, warmup_rounds=1)
    row = partial(
        Row,
        SUITE,
        f"norm, quantise, pack/ViT-B/batch {batch}/bf16 to int8",
        isa_or_device=torch.cuda.get_device_name(),
    )
    unit = "[20 to 80 % of replays]"
    record(row("time", *(1e3 * ms / batch for ms in ours), f"µs an image {unit}"))
    n_bytes, ceiling = 3 * given.x.numel(), copy_rate(cuda, 1024)
    middle, low, high = (1e3 * n_bytes / ms / ceiling for ms in (ours[0], ours[2], ours[1]))
    record(row("share of the copy bandwidth", middle, low, high, f"of a copy's bytes a second {unit}"))
    for rival, times in ((EAGER, theirs), (COMPILED, made)):
        record(
            row(
                "times as fast",
                times[0] / ours[0],
                times[1] / ours[2],
                times[2] / ours[1],
                f"x {unit}",
                rival,
            )
        )


@pytest.mark.gpu
@pytest.mark.parametrize("batch", BATCHES)
def test_transform_quantise_pack(
    benchmark: Any, record: Callable[[Row], None], cuda: str, batch: int
) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("triton")
    given = Embeddings.drawn(batch)
    rows = torch.randn((batch * SIDE * SIDE, CHANNELS), device=cuda)
    basis, before = given.matrices.bases[0], torch.backends.cuda.matmul.allow_tf32

    def product(allow: bool, given: Any) -> None:
        torch.backends.cuda.matmul.allow_tf32 = allow
        torch.mm(given, basis)

    try:
        with torch.inference_mode():
            torch.backends.cuda.matmul.allow_tf32 = False
            expected = transformed(given)
            assert int(expected.abs().max()) < 127
            assert flipped(fused_transform(given), expected) < 1e-3
            many = copies(given)
            ours, theirs = timed(fused_transform, many), timed(transformed, many)
            bare = {
                name: timed(partial(product, allow), [rows, rows.clone()])
                for name, allow in ((PRODUCT, False), (TF32, True))
            }
            benchmark.pedantic(
                lambda: (fused_transform(given), torch.cuda.synchronize()), rounds=5, warmup_rounds=1
            )
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    row = partial(
        Row,
        SUITE,
        f"transform, quantise, pack/ViT-B/batch {batch}/bf16 to int8",
        isa_or_device=torch.cuda.get_device_name(),
    )
    unit = "[20 to 80 % of replays]"
    record(row("time", *(1e3 * ms / batch for ms in ours), f"µs an image {unit}"))
    for metric, rival, times in (
        ("times as fast", EAGER, theirs),
        ("share of the bare product's speed", PRODUCT, bare[PRODUCT]),
        ("share of the bare product's speed", TF32, bare[TF32]),
    ):
        record(
            row(metric, times[0] / ours[0], times[1] / ours[2], times[2] / ours[1], f"ratio {unit}", rival)
        )
