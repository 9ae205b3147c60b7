"""Which way an op goes: the kernel where there is a GPU that runs it, elsewhere its twin, and why not is said once."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from kernels import launch  # noqa: E402
from kernels.constrained_projection import constrained_projection, constrained_projection_twin  # noqa: E402
from kernels.dual_attention import dual_attention, dual_attention_twin  # noqa: E402

Tensor = torch.Tensor


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A tensor of a GPU, as far as the choice looks; warnings are as in a fresh process."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    for kept in (launch.has_triton, launch.said_once):
        kept.cache_clear()
    yield SimpleNamespace(device=SimpleNamespace(type="cuda"))
    for kept in (launch.has_triton, launch.said_once):
        kept.cache_clear()


def test_a_gpu_without_triton_runs_twins_and_says_so_once(card: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)  # as if it were not installed
    with pytest.warns(UserWarning, match="triton is not installed"):
        assert not launch.on_gpu(card, "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not launch.on_gpu(card, "")


def test_a_gpu_with_triton_runs_the_kernel_and_says_nothing(card: Any) -> None:
    pytest.importorskip("triton")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert launch.on_gpu(card, "")
        assert not launch.on_gpu(torch.zeros(1), "no kernel for this")  # of the processor nothing is said


def test_each_thing_that_a_kernel_cannot_do_is_said_once(card: Any) -> None:
    pytest.importorskip("triton")
    for what in ("heads of width 24", "rank 40"):
        with pytest.warns(UserWarning, match=f"{what}: its PyTorch twin runs instead"):
            assert not launch.on_gpu(card, what)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not launch.on_gpu(card, "rank 40")


def test_an_older_gpu_runs_twins(card: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    with pytest.warns(UserWarning, match=r"compute capability 8\.0"):
        assert not launch.on_gpu(card, "")


def test_a_compiled_block_is_one_graph_and_learns_as_its_twins() -> None:
    """Forward and backward, without a break that would split the graph."""
    torch.manual_seed(0)
    n, heads, width, rank = 5, 2, 8, 3
    d = heads * width
    shapes = [(2, n, d), (d, d), *[(2, heads, n, width)] * 3, (2, n, rank), *[(heads, rank, width)] * 3]
    given = [torch.randn(shape) for shape in shapes]

    def block(attention: Any, projection: Any, stream: Tensor, weight: Tensor, *rest: Tensor) -> Tensor:
        found = attention(*rest, 0.3)
        squares = found.reference_square, found.adapted_square
        return projection(stream, found.adapted, *squares, weight, None)

    def learned(run: Any, attention: Any, projection: Any) -> tuple[Tensor, ...]:
        inputs = [x.clone().requires_grad_() for x in given]
        out = run(attention, projection, *inputs)
        return out, *torch.autograd.grad(out.square().sum(), inputs)

    whole = torch.compile(block, backend="aot_eager", fullgraph=True)
    found = learned(whole, dual_attention, constrained_projection)
    expected = learned(block, dual_attention_twin, constrained_projection_twin)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)
