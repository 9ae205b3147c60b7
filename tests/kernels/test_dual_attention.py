"""The kernel, interpreted on the CPU, against the twin in float64; the op as PyTorch's tools see it; the twin against the
four products that the method writes.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from codec.errors import InputError  # noqa: E402
from kernels.constrained_projection import constrained_projection  # noqa: E402
from kernels.dual_attention import (  # noqa: E402
    dual_attention,
    dual_attention_twin,
    op,
)
from kernels.dual_attention.launch import Tile, obstacle, parts_of, run_dual_attention  # noqa: E402

Tensor = torch.Tensor
SMALL = Tile(16, 16, 4, 2)


def tensors(
    batch: int,
    heads: int,
    n: int,
    width: int,
    rank: int,
    kind: torch.dtype,
    *,
    ups: float = 0.1,
    seed: int = 0,
) -> list[Tensor]:
    """q, k, v as views of one projection, code and the three U, NaN-free and of the size that LayerNorm leaves."""
    generator = torch.Generator().manual_seed(seed)
    qkv = torch.randn((batch, n, 3, heads, width), generator=generator).to(kind)
    code = torch.randn((batch, n, rank), generator=generator).to(kind)
    more = [(ups * torch.randn((heads, rank, width), generator=generator)).to(kind) for _ in range(3)]
    return [*qkv.permute(2, 0, 3, 1, 4), code, *more]


def four_products(given: list[Tensor], scale: float) -> list[Tensor]:
    """As the method writes it: softmax((q + q_A)·(k + k_A)) (v + v_A), and the frozen one beside it."""
    q, k, v, code, up_q, up_k, up_v = (x.double() for x in given)
    c = code[:, None]
    q_a, k_a, v_a = c @ up_q, c @ up_k, c @ up_v
    logits = q @ k.mT + q @ k_a.mT + q_a @ k.mT + q_a @ k_a.mT
    adapted = torch.softmax(logits * scale, -1) @ (v + v_a)
    reference = torch.softmax(q @ k.mT * scale, -1) @ v
    squares = [x.square().sum(-1).transpose(1, 2) for x in (reference, adapted)]
    return [adapted.transpose(1, 2), *squares]


def test_the_twin_is_the_method() -> None:
    given = [x.double() for x in tensors(2, 3, 21, 16, 5, torch.float32)]
    for found, expected in zip(dual_attention_twin(*given, 0.25), four_products(given, 0.25), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


# Awkward on purpose: one token, a token beyond a tile, fewer codes than a product wants, heads of 64 + 16.
SHAPES = [(1, 1, 1, 32, 8), (2, 2, 17, 32, 8), (1, 2, 49, 80, 16), (1, 1, 33, 64, 32), (2, 1, 16, 64, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_kernel_is_the_twin(interpreted: None, shape: tuple[int, int, int, int, int]) -> None:
    given = tensors(*shape, torch.float32)
    found = run_dual_attention(*given, shape[3] ** -0.5, tile=SMALL)
    expected = dual_attention_twin(*(x.double() for x in given), shape[3] ** -0.5)
    for a, b in zip(found, expected, strict=True):
        assert not a.isnan().any()
        # Sums of some hundred float32 products of size 1.
        torch.testing.assert_close(a.double(), b, atol=5e-6, rtol=5e-6)


@pytest.mark.parametrize(
    ("kind", "upcast", "near"), [(torch.float16, False, 3e-3), (torch.bfloat16, True, 2e-2)], ids=str
)
def test_half_precision_is_as_near_as_its_digits(
    interpreted: None, kind: torch.dtype, upcast: bool, near: float
) -> None:
    """Of bfloat16, which the interpreter multiplies wrongly, only what is read and written is of that kind."""
    given = tensors(1, 2, 37, 64, 16, kind)
    found = run_dual_attention(*given, 0.125, tile=SMALL, upcast=upcast)
    expected = dual_attention_twin(*(x.double() for x in given), 0.125)
    assert found.adapted.dtype == kind
    torch.testing.assert_close(found.adapted.double(), expected.adapted, atol=near, rtol=near)
    torch.testing.assert_close(
        found.reference_square.double(), expected.reference_square, atol=near, rtol=near
    )


def test_the_op_takes_what_the_kernel_gives(interpreted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: through the dispatcher, whose results may not share memory."""
    monkeypatch.setattr(op, "on_gpu", lambda first, obstacle: not obstacle)
    monkeypatch.setattr(op, "dual_attention_twin", None)
    given = tensors(1, 1, 1, 32, 8, torch.float32)  # one token of one picture: integers that are 1
    for a, b in zip(dual_attention(*given, 0.2), dual_attention_twin(*given, 0.2), strict=True):
        torch.testing.assert_close(a, b, atol=5e-6, rtol=5e-6)


def test_a_gradient_of_a_gradient_is_refused() -> None:
    given = [x.detach().clone().requires_grad_() for x in tensors(1, 2, 4, 8, 3, torch.float32)]
    (first,) = torch.autograd.grad(
        dual_attention(*given, 0.3).adapted.square().sum(), given[4], create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.square().sum().backward()


def test_without_an_adapter_both_branches_are_the_same_bits(interpreted: None) -> None:
    """What the method starts from: the token's scale is then exactly 1."""
    given = tensors(2, 2, 35, 80, 16, torch.float32, ups=0.0)
    found = run_dual_attention(*given, 0.1, tile=SMALL)
    assert torch.equal(found.reference_square, found.adapted_square)


def test_tiles_change_nothing_but_rounding(interpreted: None) -> None:
    given = tensors(1, 1, 70, 32, 8, torch.float32)
    first = run_dual_attention(*given, 0.2, tile=SMALL)
    other = run_dual_attention(*given, 0.2, tile=Tile(32, 64, 4, 2))
    for a, b in zip(first, other, strict=True):
        torch.testing.assert_close(a, b, atol=2e-6, rtol=2e-6)


def test_logits_of_any_size_are_taken(interpreted: None) -> None:
    """Softmax weights of 0 and 1: maxima are taken off before anything is raised to a power."""
    given = tensors(1, 1, 19, 32, 8, torch.float32)
    given[0], given[1] = given[0] * 300, given[1] * 300
    found = run_dual_attention(*given, 1.0, tile=SMALL)
    expected = dual_attention_twin(*(x.double() for x in given), 1.0)
    torch.testing.assert_close(found.adapted.double(), expected.adapted, atol=1e-4, rtol=1e-4)


def test_gradients_are_those_of_the_method() -> None:
    given = [x.double().requires_grad_() for x in tensors(1, 2, 5, 8, 3, torch.float32)]
    assert torch.autograd.gradcheck(lambda *x: tuple(dual_attention(*x, 0.3)), given)


def test_what_does_not_learn_has_no_gradient() -> None:
    given = tensors(1, 2, 5, 8, 3, torch.float32)
    for up in given[4:]:
        up.requires_grad_()
    dual_attention(*given, 0.3).adapted.sum().backward()
    assert all(x.grad is None for x in given[:4])
    assert all(x.grad is not None and bool(x.grad.abs().sum() > 0) for x in given[4:])


def test_the_op_is_what_pytorchs_tools_take_it_for() -> None:
    """Schema, fake tensors, autograd registration and ahead-of-time dispatch (`torch.library.opcheck`)."""
    given = [x.requires_grad_() for x in (y.clone() for y in tensors(1, 2, 5, 32, 4, torch.float32))]
    torch.library.opcheck(torch.ops.swathpack.dual_attention, (*given, 0.3))


def test_it_is_exported_whole() -> None:
    class Block(torch.nn.Module):
        def forward(self, *given: Tensor) -> Tensor:
            return dual_attention(*given, 0.3).adapted

    given = tuple(tensors(1, 2, 5, 32, 4, torch.float32))
    program = torch.export.export(Block(), given)
    assert any("swathpack.dual_attention" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(*given), Block()(*given))


def test_in_onnx_it_is_plain_operators(tmp_path: Path) -> None:
    """A block of both kernels, exported: no operator of ours, and the same numbers."""
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")

    class Block(torch.nn.Module):
        def forward(self, stream: Tensor, weight: Tensor, *given: Tensor) -> Tensor:
            found = dual_attention(*given, 0.125)  # type: ignore[arg-type]
            return constrained_projection(
                stream, found.adapted, found.reference_square, found.adapted_square, weight, None, clip=True
            )

    torch.manual_seed(3)
    given = [torch.randn(2, 3, 5, 16) for _ in range(3)] + [torch.randn(2, 5, 8)]
    given = [torch.randn(2, 5, 48), torch.randn(48, 48), *given, *(torch.randn(3, 8, 16) for _ in range(3))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(Block(), tuple(given), dynamo=True, verbose=False)
    path = tmp_path / "block.onnx"
    program.save(str(path))
    assert {node.domain for node in onnx.load(path).graph.node} <= {"", "ai.onnx"}
    session = onnxruntime.InferenceSession(path)
    names = [one.name for one in session.get_inputs()]
    (found,) = session.run(None, dict(zip(names, (x.numpy() for x in given), strict=True)))
    assert torch.allclose(torch.from_numpy(found), Block()(*given), atol=1e-4)


def test_on_the_cpu_the_twin_runs_and_says_nothing() -> None:
    given = tensors(1, 2, 9, 24, 40, torch.float32)  # no kernel would take these
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = dual_attention(*given, 0.2)
    assert torch.equal(found.adapted, dual_attention_twin(*given, 0.2).adapted)


@pytest.mark.parametrize(("width", "rank", "word"), [(48, 8, "width 48"), (64, 33, "rank 33"), (64, 8, "")])
def test_what_the_kernel_does_not_take_is_named(width: int, rank: int, word: str) -> None:
    given = tensors(1, 1, 2, width, rank, torch.float32)
    found = obstacle(given[0], given[3])
    assert word in found
    assert bool(found) == bool(word)


def test_heads_are_cut_into_powers_of_two() -> None:
    assert [parts_of(width) for width in (32, 64, 80)] == [(32, 0), (64, 0), (64, 16)]
    assert all(math.log2(part).is_integer() for width in (32, 64, 80) for part in parts_of(width) if part)


def spoiled(**changed: Tensor) -> list[Tensor]:
    names = ("q", "k", "v", "code", "up_q", "up_k", "up_v")
    given = dict(zip(names, tensors(2, 3, 5, 32, 4, torch.float32), strict=True))
    return list({**given, **changed}.values())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"k": torch.zeros(2, 3, 6, 32)}, "equal"),
        ({"code": torch.zeros(2, 6, 4)}, "one code for each token"),
        ({"code": torch.zeros(2, 5, 0)}, "one code for each token"),
        ({"up_v": torch.zeros(3, 4, 16)}, "h×r×hd"),
        ({"up_q": torch.zeros(3, 4, 32, dtype=torch.float16)}, "one kind"),
    ],
    ids=["keys", "codes", "no code", "up", "kind"],
)
def test_what_does_not_belong_together_is_refused(changed: dict[str, Tensor], words: str) -> None:
    with pytest.raises(InputError, match=words):
        dual_attention(*spoiled(**changed), 0.2)
