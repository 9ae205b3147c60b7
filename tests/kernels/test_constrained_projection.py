"""The kernel, interpreted on the CPU, against the twin in float64; the twin against DEFLECT in its readable form."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from codec.adapt.deflection import length_ratio  # noqa: E402
from codec.adapt.types import NormSwitches  # noqa: E402
from codec.errors import InputError  # noqa: E402
from kernels.constrained_projection import (  # noqa: E402
    constrained_projection,
    constrained_projection_twin,
    op,
    token_scale,
)
from kernels.constrained_projection.launch import Tile, run_constrained_projection  # noqa: E402

Tensor = torch.Tensor
SMALL = Tile(16, 16, 16, 4, 2)


def tensors(
    batch: int, n: int, heads: int, width: int, kind: torch.dtype, *, out: int | None = None, seed: int = 0
) -> list[Tensor]:
    """stream, displacement, both squares, weight, bias."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    d = heads * width if out is None else out
    displacement = drawn(batch, n, heads, width)
    reference = (0.7 * drawn(batch, n, heads, width)).square().sum(-1)
    squares = [reference, displacement.square().sum(-1)]
    weight = drawn(d, heads * width) * (heads * width) ** -0.5
    return [drawn(batch, n, d).to(kind), displacement.to(kind), *squares, weight.to(kind), drawn(d).to(kind)]


@pytest.mark.parametrize("mode", ["match", "clip"])
def test_the_twin_is_deflection(mode: str) -> None:
    stream, displacement, reference, _, weight, bias = (
        x.double() for x in tensors(2, 7, 3, 8, torch.float32)
    )
    frozen = torch.randn(2, 7, 3, 8, dtype=torch.float64) * reference.sqrt()[..., None]
    squares = [x.square().sum(-1) for x in (frozen, displacement)]
    switches = NormSwitches(mode=mode)  # type: ignore[arg-type]
    scale = length_ratio(frozen, displacement, (2, 3), switches)
    expected = stream + (scale * displacement).flatten(2) @ weight.T + bias
    found = constrained_projection_twin(stream, displacement, *squares, weight, bias, clip=mode == "clip")
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


def test_equal_lengths_scale_by_one_to_the_bit() -> None:
    squares = torch.rand(5, 9, 12) + 0.1
    assert torch.equal(token_scale(squares, squares.clone(), clip=False), torch.ones(5, 9))


# One token; a row and a column beyond a tile; three heads, which no range has; a projection to another width.
SHAPES = [(1, 1, 1, 32, None), (2, 17, 3, 16, None), (1, 33, 2, 40, 50)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("clip", [False, True], ids=["match", "clip"])
def test_the_kernel_is_the_twin(
    interpreted: None, shape: tuple[int, int, int, int, int | None], clip: bool
) -> None:
    given = tensors(*shape[:4], torch.float32, out=shape[4])
    found = run_constrained_projection(*given, clip, tile=SMALL)
    expected = constrained_projection_twin(*(x.double() for x in given), clip)
    assert not found.isnan().any()
    torch.testing.assert_close(found.double(), expected, atol=5e-6, rtol=5e-6)


@pytest.mark.parametrize(
    ("kind", "upcast", "near"), [(torch.float16, False, 4e-3), (torch.bfloat16, True, 3e-2)], ids=str
)
def test_half_precision_is_as_near_as_its_digits(
    interpreted: None, kind: torch.dtype, upcast: bool, near: float
) -> None:
    given = tensors(1, 19, 2, 32, kind)
    found = run_constrained_projection(*given, tile=SMALL, upcast=upcast)
    expected = constrained_projection_twin(*(x.double() for x in given))
    assert found.dtype == kind
    torch.testing.assert_close(found.double(), expected, atol=near, rtol=near)


def test_without_a_bias_none_is_read(interpreted: None) -> None:
    given = tensors(1, 18, 2, 16, torch.float32)
    found = run_constrained_projection(*given[:5], None, tile=SMALL)
    torch.testing.assert_close(found, constrained_projection_twin(*given[:5], None), atol=5e-6, rtol=5e-6)


def test_a_displacement_of_nothing_leaves_the_stream(interpreted: None) -> None:
    """No direction: nothing is divided by zero."""
    given = tensors(1, 5, 2, 16, torch.float32)
    given[1], given[3] = torch.zeros_like(given[1]), torch.zeros_like(given[3])
    found = run_constrained_projection(*given[:5], None, tile=SMALL)
    torch.testing.assert_close(found, given[0])


def test_the_op_takes_what_the_kernel_gives(interpreted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: through the dispatcher, whose results may not share memory."""
    monkeypatch.setattr(op, "on_gpu", lambda first, obstacle: not obstacle)
    monkeypatch.setattr(op, "constrained_projection_twin", None)
    given = tensors(1, 1, 2, 16, torch.float32)  # a batch of one token: integers that are 1
    found = constrained_projection(*given)
    torch.testing.assert_close(found, constrained_projection_twin(*given), atol=5e-6, rtol=5e-6)


def test_a_gradient_of_a_gradient_is_refused() -> None:
    """The backward pass is made without one; silence would be a wrong number."""
    given = [x.requires_grad_() for x in tensors(1, 3, 2, 4, torch.float32)]
    (first,) = torch.autograd.grad(constrained_projection(*given).square().sum(), given[1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.square().sum().backward()


def test_a_stream_that_lies_otherwise_is_taken() -> None:
    given = tensors(2, 3, 2, 8, torch.float32)
    given[0] = given[0].transpose(1, 2).contiguous().transpose(1, 2)
    torch.library.opcheck(torch.ops.swathpack.constrained_projection, (*given, False))


def test_gradients_are_those_of_the_method() -> None:
    given = [x.double().requires_grad_() for x in tensors(1, 3, 2, 4, torch.float32)]
    assert torch.autograd.gradcheck(constrained_projection, given)
    assert torch.autograd.gradcheck(lambda *x: constrained_projection(*x, None), given[:5])


def test_the_op_is_what_pytorchs_tools_take_it_for() -> None:
    given = [x.requires_grad_() for x in tensors(1, 5, 2, 16, torch.float32)]
    torch.library.opcheck(torch.ops.swathpack.constrained_projection, (*given, False))


@pytest.mark.parametrize(
    ("place", "wrong", "words"),
    [
        (1, torch.zeros(2, 6, 3, 8), "B×n×h×hd"),
        (2, torch.zeros(2, 5, 2), "square for each token and head"),
        (4, torch.zeros(24, 16), "does not fit the displacement"),
        (5, torch.zeros(16), "bias does not fit the stream"),
        (3, torch.zeros(2, 5, 3, dtype=torch.float16), "squares are kept in single precision"),
        (4, torch.zeros(24, 24, dtype=torch.float16), "one kind"),
    ],
    ids=["tokens", "squares", "weight", "bias", "kind of squares", "kind"],
)
def test_what_does_not_belong_together_is_refused(place: int, wrong: Tensor, words: str) -> None:
    given = tensors(2, 5, 3, 8, torch.float32)
    given[place] = wrong
    with pytest.raises(InputError, match=words):
        constrained_projection(*given)


def test_what_the_benchmark_times_gives_one_answer() -> None:
    """On the CPU all contenders are plain PyTorch; bfloat16 leaves them some thousandths apart."""
    from benchmarks.test_adapted_segment import Segment, apart, eager, fused, stacked

    given = Segment.drawn(10, 2, "cpu")
    assert apart(eager, given) < 2e-2
    assert apart(fused, given) < 2e-2
    assert apart(lambda s: 1.1 * stacked(s), given) > 5e-2
