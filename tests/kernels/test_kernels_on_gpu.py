"""Kernels as they run: fresh inputs, outputs that begin as NaN, against the twins in float64. Needs a GPU: `make gpu`."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from kernels.constrained_projection import constrained_projection, constrained_projection_twin  # noqa: E402
from kernels.constrained_projection import op as projection_op  # noqa: E402
from kernels.dual_attention import dual_attention, dual_attention_twin  # noqa: E402
from kernels.dual_attention import op as attention_op  # noqa: E402

pytestmark = pytest.mark.gpu
Tensor = torch.Tensor
# Of bfloat16 and half precision by what rounding the operands does to sums of a head's products; of single precision by the
# order of its sums.
NEAR = {torch.bfloat16: (2e-2, 5e-3), torch.float16: (4e-3, 1e-3), torch.float32: (1e-4, 1e-5)}


@pytest.fixture(autouse=True)
def gpu(fresh_on_gpu: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs must be the kernel."""
    for op in (attention_op, projection_op):
        for name in ("dual_attention_twin", "constrained_projection_twin"):
            monkeypatch.setattr(op, name, None, raising=False)


def assert_near(found: Tensor, expected: Tensor, kind: torch.dtype) -> None:
    """Largest error, and error over length (Frobenius)."""
    absolute, relative = NEAR[kind]
    difference = found.double() - expected
    assert not found.isnan().any()
    assert float(difference.abs().max()) <= absolute * max(1.0, float(expected.abs().max()))
    assert float(difference.norm() / expected.norm()) <= relative


def attention_inputs(
    batch: int, heads: int, n: int, width: int, rank: int, kind: torch.dtype, ups: float
) -> list[Tensor]:
    qkv = torch.randn((batch, n, 3, heads, width), device="cuda").to(kind)
    code = torch.randn((batch, n, rank), device="cuda").to(kind)
    more = [(ups * torch.randn((heads, rank, width), device="cuda")).to(kind) for _ in range(3)]
    return [*qkv.permute(2, 0, 3, 1, 4), code, *more]


# Every kind, width and rank is a kernel of its own, and so is a count of tokens that is 1 or a multiple of 16: a second each
# to compile, several on a Jetson. So all counts go through one width and rank, and all widths and ranks through one count.
COUNTS = [(1, 1), (2, 49), (1, 196), (2, 1023), (1, 4096)]
SHAPES = [
    *((2, 257, rank, width) for rank in (8, 16, 32) for width in (32, 64, 80)),
    *((batch, n, 16, 64) for batch, n in COUNTS),
    *((batch, n, 32, 80) for batch, n in COUNTS[1:3]),
]


@pytest.mark.parametrize("kind", NEAR, ids=str)
@pytest.mark.parametrize(("batch", "n", "rank", "width"), SHAPES)
def test_dual_attention(batch: int, n: int, rank: int, width: int, kind: torch.dtype) -> None:
    given = attention_inputs(batch, 3, n, width, rank, kind, 0.1)
    found = dual_attention(*given, width**-0.5)
    expected = dual_attention_twin(*(x.double() for x in given), width**-0.5)
    for a, b in zip(found, expected, strict=True):
        assert_near(a, b, kind)
    again = dual_attention(*given, width**-0.5)
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))  # no order is left to chance


@pytest.mark.parametrize("kind", NEAR, ids=str)
def test_dual_attention_starts_as_the_frozen_block(kind: torch.dtype) -> None:
    found = dual_attention(*attention_inputs(3, 12, 197, 64, 16, kind, 0.0), 0.125)
    assert torch.equal(found.reference_square, found.adapted_square)


@pytest.mark.parametrize("kind", NEAR, ids=str)
@pytest.mark.parametrize("shape", [(2, 49, 3, 64), (3, 197, 12, 64), (1, 1023, 16, 80)], ids=str)
def test_constrained_projection(shape: tuple[int, int, int, int], kind: torch.dtype) -> None:
    batch, n, heads, width = shape
    d = heads * width
    stream, displacement = (
        torch.randn(size, device="cuda").to(kind) for size in ((batch, n, d), (batch, n, heads, width))
    )
    squares = [torch.rand((batch, n, heads), device="cuda") + 0.1 for _ in range(2)]
    weight, bias = (torch.randn(size, device="cuda").to(kind) for size in ((d, d), (d,)))
    weight = weight * d**-0.5
    found = constrained_projection(stream, displacement, *squares, weight, bias)
    given = [x.double() for x in (stream, displacement, *squares, weight, bias)]
    assert_near(found, constrained_projection_twin(*given), kind)


def test_a_compiled_block_calls_the_kernel() -> None:
    given = attention_inputs(2, 3, 65, 64, 16, torch.float16, 0.1)
    whole = torch.compile(lambda *x: dual_attention(*x, 0.125).adapted * 2, fullgraph=True)
    expected = 2 * dual_attention_twin(*(x.double() for x in given), 0.125).adapted
    assert_near(whole(*given), expected, torch.float16)
