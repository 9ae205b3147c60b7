"""A whole ViT-B/16 with four adapted layers, beside the frozen one: pixels on the GPU to tokens there.

    python -m pytest benchmarks/test_adapted_encoder.py -m gpu --benchmark-only

Both are compiled by PyTorch and timed by turns; the adapted one has our kernels in its adapted blocks, sees ten bands and
describes their pixels itself. Its tokens are held against those of the stacked form without kernels and compiler first.
Weights are random. Rows: `benchmarks/results/kernels.csv`; without a GPU they stay not measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.results import Row

if TYPE_CHECKING:
    from codec.adapt.adapted import Adapted
    from codec.adapt.deflect import Deflected

SUITE, CASE = "kernels", "adapted encoder/ViT-B 16, 224 px/4 of 12 layers/bf16"
FROZEN = "frozen, torch.compile"
TEN = ("blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "nir08", "swir16", "swir22")
SIDE, LAYERS = 224, (0, 1, 2, 3)
NEAR = 3e-2  # of tokens, error over length: what bfloat16 does in twelve blocks


@dataclass(frozen=True)
class Encoders:
    """Both on the same random weights, and pixels for each."""

    frozen: Adapted
    adapted: Deflected
    own: tuple[Any, Any, Any]  # pixels, present, validity of the base's bands
    every: tuple[Any, Any, Any]  # of ten

    @classmethod
    def drawn(cls, batch: int, device: str, kind: Any) -> Encoders:
        import torch
        from torch import nn

        from codec.adapt import apply, base_of
        from codec.models.foreign import build, read_layout

        torch.manual_seed(0)
        encoder = build(read_layout("mae_vit_base_patch16"))
        for name, value in encoder.named_parameters():
            if value.ndim > 1:
                nn.init.normal_(value, std=0.02)
            else:
                nn.init.constant_(value, 1.0 if name.endswith("weight") else 0.0)
        base = base_of(encoder.eval().requires_grad_(False))
        adapted: Any = apply(base, "deflect", TEN, layers=LAYERS)
        pixels = 0.4 * torch.rand(batch, len(TEN), SIDE, SIDE)
        every = pixels, torch.ones(batch, len(TEN)), torch.ones(batch, SIDE, SIDE)
        adapted.fit_statistics([tuple(x[:4] for x in every)])
        with torch.no_grad():
            for value in adapted.trained().values():  # zeros, with which it would be the frozen one
                value.add_(0.3 * torch.randn(value.shape))
        frozen = apply(base, "frozen", base.bands, inputs="own")
        bands = [TEN.index(band) for band in base.bands]
        own = pixels[:, bands], torch.ones(batch, len(bands)), every[2]
        where = {"device": device, "dtype": kind}
        return cls(
            frozen.eval().to(**where), adapted.eval().to(**where), tuple(x.to(**where) for x in own),
            tuple(x.to(**where) for x in every),
        )  # type: ignore[arg-type]  # fmt: skip


def apart(found: Any, expected: Any) -> float:
    """Of tokens, error over length."""
    found, expected = found.float(), expected.float()
    return float((found - expected).norm() / expected.norm())


@pytest.mark.gpu
@pytest.mark.usefixtures("compiler")
def test_adapted_encoder(benchmark: Any, record: Callable[[Row], None], cuda: str) -> None:
    import torch

    from benchmarks.entropy.timing import paired

    pytest.importorskip("spyndex")  # names the indices that patches are described by
    torch.compiler.reset()
    card = torch.cuda.get_device_properties(0)
    batch = 256 if card.total_memory > 30 * 2**30 and card.multi_processor_count >= 60 else 32
    both = Encoders.drawn(batch, cuda, torch.bfloat16)
    with torch.inference_mode():
        plain = both.adapted.use("stacked")(*both.every)["tokens"]
        both.adapted.use("fused")
        alone, adapted = (torch.compile(one, dynamic=False) for one in (both.frozen, both.adapted))
        frozen, error = alone(*both.own)["tokens"], apart(adapted(*both.every)["tokens"], plain)
        assert error < NEAR
        assert apart(frozen, both.frozen(*both.own)["tokens"]) < NEAR
        assert apart(frozen, plain) > 2 * error, "the adapter changes nothing"

    def run(network: Any, given: tuple[Any, Any, Any], _: int = 0) -> None:
        with torch.inference_mode():
            network(*given)
        torch.cuda.synchronize()

    ours, theirs = partial(run, adapted, both.every), partial(run, alone, both.own)
    # How many times as fast the frozen one is: that much longer the adapted one takes.
    pair = paired(theirs, ours, rounds=15, seconds=0.3, clock=time.perf_counter)
    benchmark.pedantic(ours, rounds=5, warmup_rounds=1)
    row = partial(Row, SUITE, CASE, isa_or_device=torch.cuda.get_device_name(), n=len(pair.ours))
    record(
        row("time beside the frozen one", *pair.ratio(), f"ratio [95 % interval; batches of {batch}]", FROZEN)
    )
