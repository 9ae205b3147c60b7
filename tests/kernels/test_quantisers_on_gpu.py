"""Quantising kernels as they run: the reference's symbols on fresh latents, outputs that begin as nonsense. Needs a GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codec.package import load  # noqa: E402
from codec.transform.quantiser import quantise  # noqa: E402
from kernels.plane_quantiser import PlaneQuantiser  # noqa: E402
from kernels.quantise_diagonal import op as diagonal_op  # noqa: E402
from kernels.quantise_diagonal import quantise_diagonal, quantise_diagonal_twin  # noqa: E402
from kernels.quantise_projection import PlaneMatrices, quantise_projection, quantise_projection_twin  # noqa: E402
from kernels.quantise_projection import op as projection_op  # noqa: E402
from kernels.quantiser import Cells  # noqa: E402
from kernels.quantiser.cells import DENSE, LEVELS  # noqa: E402

pytestmark = pytest.mark.gpu
Tensor = torch.Tensor
KINDS = (torch.float32, torch.float16, torch.bfloat16)


@pytest.fixture(autouse=True)
def gpu(fresh_on_gpu: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs must be the kernel."""
    monkeypatch.setattr(diagonal_op, "quantise_diagonal_twin", None)
    monkeypatch.setattr(projection_op, "quantise_projection_twin", None)


def drawn_cells(shape: tuple[int, ...], kind: torch.dtype) -> Cells:
    """Steps, dead zones, layers, levels and costs at random; a twentieth is not coded."""
    code = torch.randint(0, 4 * LEVELS, shape, device="cuda")
    code = torch.where(torch.rand(shape, device="cuda") < 0.05, -1, code).to(torch.int16)
    costs = torch.randint(0, 14336, (DENSE[kind], LEVELS), device="cuda").to(torch.int16)
    inv_step = torch.rand(shape, device="cuda") * 20 + 0.05
    return Cells(inv_step, torch.rand(shape, device="cuda") / 2, code, costs, 4)


def reference(y: Tensor, cells: Cells) -> np.ndarray:
    """By numpy, on the processor."""
    symbols = quantise(y.float().cpu().numpy(), cells.inv_step.cpu().numpy(), cells.theta.cpu().numpy())
    return np.where(cells.code.cpu().numpy() < 0, 0, symbols)


def costs_of(symbols: np.ndarray, cells: Cells) -> np.ndarray:
    """Looked up one by one, N×layers."""
    code, table = cells.code.cpu().numpy(), cells.costs.cpu().numpy().astype(np.int64)
    cost = table[np.abs(symbols.astype(int)), np.broadcast_to(code & (LEVELS - 1), symbols.shape)]
    return np.stack([np.where(code >> 7 == layer, cost, 0).sum(axis=(1, 2)) for layer in range(4)], axis=1)


def near_halves(shape: tuple[int, ...], cells: Cells, most: int) -> Tensor:
    """Latents at and beside the places where a symbol changes, subnormals, zeros of both signs."""
    steps = torch.randint(0, most, shape, device="cuda") + 0.5
    at = (steps + cells.theta) / cells.inv_step
    beside = at * (1 + torch.randint(-2, 3, shape, device="cuda") * 2.0**-23)
    small = torch.randint(-5, 6, shape, device="cuda").float() * 1.4e-45
    where = torch.rand(shape, device="cuda")
    signs = torch.randint(0, 2, shape, device="cuda") * 2 - 1
    return torch.where(where < 0.1, small, torch.where(where < 0.5, at, beside)) * signs


@pytest.mark.parametrize("kind", [torch.int8, torch.int16], ids=str)
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 49, 80), (64, 196, 768), (2, 7, 1023), (1, 5, 4096)], ids=str
)
def test_equal_latents_give_the_symbols_of_the_reference(
    shape: tuple[int, int, int], kind: torch.dtype
) -> None:
    cells = drawn_cells(shape[2:], kind)
    x = near_halves(shape, cells, 126 if kind == torch.int8 else 32768)
    found = quantise_diagonal(x, cells)
    expected = reference(x, cells)
    np.testing.assert_array_equal(found.symbols.cpu().numpy(), expected)
    np.testing.assert_array_equal(found.tile_costs.cpu().numpy(), costs_of(expected, cells))
    np.testing.assert_array_equal(found.largest.cpu().numpy(), np.abs(expected.astype(int)).max(axis=(1, 2)))
    assert all(torch.equal(a, b) for a, b in zip(found, quantise_diagonal(x, cells), strict=True))


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("channels", [80, 192, 768])
def test_the_norm_before_it_moves_few(channels: int, kind: torch.dtype) -> None:
    cells = drawn_cells((channels,), torch.int16)
    x = (torch.randn((16, 49, channels), device="cuda") * 3 + 1).to(kind)
    gain, offset = torch.randn((2, channels), device="cuda")
    found = quantise_diagonal(x, cells, gain=gain, offset=offset, eps=1e-6)
    y = torch.nn.functional.layer_norm(x.double(), (channels,), gain.double(), offset.double(), 1e-6)
    apart = np.abs(found.symbols.cpu().numpy().astype(int) - reference(y, cells))
    assert apart.max() <= 1
    assert np.count_nonzero(apart) < 1e-4 * apart.size
    given = (cells.inv_step, cells.theta, cells.code, cells.costs, 4, gain, offset, 1e-6)
    twin = quantise_diagonal_twin(x, *given).symbols
    assert float((found.symbols != twin).float().mean()) < 1e-4


def identity(f: int, c: int) -> PlaneMatrices:
    """A transform that leaves latents as they are, to the bit."""
    one = torch.arange(f, dtype=torch.int32, device="cuda")
    starts = torch.tensor([0, f], dtype=torch.int32, device="cuda")
    eyes = torch.eye(f, device="cuda"), torch.eye(c, device="cuda")[None]
    return PlaneMatrices(torch.zeros((f, c), device="cuda"), *eyes, one, starts)


@pytest.mark.parametrize(("f", "c"), [(1, 16), (49, 80), (196, 768)])
def test_the_projection_ends_in_the_same_quantiser(f: int, c: int) -> None:
    """Each coefficient with its own step and dead zone; exact products leave subnormals as they are."""
    cells = drawn_cells((f, c), torch.int16)
    x = near_halves((5, f, c), cells, 32768)
    found = quantise_projection(x, identity(f, c), cells, precision="ieee")
    expected = reference(x, cells)
    np.testing.assert_array_equal(found.symbols.cpu().numpy(), expected)
    np.testing.assert_array_equal(found.tile_costs.cpu().numpy(), costs_of(expected, cells))


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("list_of_tokens", [False, True], ids=["picture", "list"])
@pytest.mark.parametrize(("f", "c"), [(1, 16), (49, 80), (196, 768), (7, 1023)])
def test_the_norm_before_the_products_moves_few(
    f: int, c: int, list_of_tokens: bool, kind: torch.dtype
) -> None:
    """A picture's tokens are normalised as the first product loads them, a list's by PyTorch; against float64."""
    cells = drawn_cells((f, c), torch.int16)
    dct, basis = (torch.linalg.qr(torch.randn((n, n), device="cuda"))[0].contiguous() for n in (f, c))
    plain = identity(f, c)
    mean = torch.randn((f, c), device="cuda")
    matrices = replace(plain, mean=mean, dct=None if list_of_tokens else dct, bases=basis[None])
    x = (torch.randn((9, f, c), device="cuda") * 3 + 5 * torch.rand((9, f, 1), device="cuda")).to(kind)
    gain, offset = torch.randn((2, c), device="cuda")
    found = quantise_projection(x, matrices, cells, gain=gain, offset=offset, eps=1e-6)
    y = torch.nn.functional.layer_norm(x.double(), (c,), gain.double(), offset.double(), 1e-6) - mean
    y = (y if list_of_tokens else dct.double() @ y) @ basis.double().T
    symbols = found.checked().symbols.cpu().numpy().astype(int)
    apart = np.abs(symbols - reference(y, cells))
    assert apart.max() <= 1
    assert np.count_nonzero(apart) <= max(1, 1e-4 * apart.size)
    np.testing.assert_array_equal(found.tile_costs.cpu().numpy(), costs_of(symbols, cells))


@pytest.mark.parametrize("precision", ["tf32x3", "ieee"])
@pytest.mark.parametrize("name", ["s2-nano", "rgb-small"])
def test_a_packages_planes_are_quantised_as_the_codec_does(root: Path, name: str, precision: str) -> None:
    """Fewer than one symbol in ten thousand is another, and none further than the next."""
    package = load(root / "models" / name)
    index = package.default_ladder_index
    for plane, entry in enumerate(package.planes):
        maps, transform = package.maps(plane, index), package.transforms[entry.name]
        latents = np.random.default_rng(torch.initial_seed()).laplace(size=(100, *maps.step.shape))
        embeddings = transform.synthesise((latents * 3 * maps.step).astype(np.float32))
        expected = maps.quantise(transform.analyse(embeddings))
        quantiser = PlaneQuantiser.of(package, plane, kind=torch.int8, precision=precision)
        found = quantiser.symbols(torch.from_numpy(embeddings).cuda()).values
        apart = np.abs(found.astype(int) - expected)
        assert apart.max() <= 1
        assert np.count_nonzero(apart) < 1e-4 * apart.size


@pytest.mark.parametrize("where", ["norm", "latents", "projection", "norm, projection"])
def test_what_is_no_number_is_flagged(where: str) -> None:
    cells = drawn_cells((9, 33) if "projection" in where else (33,), torch.int8)
    x = torch.zeros((70, 9, 33), device="cuda")
    x[11, 4, 5], x[12, 8, 32] = torch.nan, -torch.nan
    if "projection" in where:
        eps = 1e-6 if "norm" in where else None
        found = quantise_projection(x, identity(9, 33), cells, eps=eps)
    else:
        found = quantise_diagonal(x, cells, eps=1e-6 if where == "norm" else None)
    assert found.largest.isnan().nonzero().flatten().tolist() == [11, 12]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_half_precision_is_that_of_the_embeddings_alone(kind: torch.dtype) -> None:
    cells = drawn_cells((12, 96), torch.int16)
    bases = torch.linalg.qr(torch.randn((3, 96, 96), device="cuda"))[0].contiguous()
    dct = torch.linalg.qr(torch.randn((12, 12), device="cuda"))[0].contiguous()
    order = torch.randperm(12, device="cuda").int()
    starts = torch.tensor([0, 1, 5, 12], dtype=torch.int32, device="cuda")
    matrices = PlaneMatrices(torch.randn((12, 96), device="cuda"), dct, bases, order, starts)
    x = torch.randn((33, 12, 96), device="cuda").to(kind)
    found = quantise_projection(x, matrices, cells).symbols.cpu()
    host = [t.cpu() for t in (matrices.mean, dct, bases, order, starts)]
    given = [t.cpu() for t in (cells.inv_step, cells.theta, cells.code, cells.costs)]
    expected = quantise_projection_twin(x.cpu(), *host, *given, 4).symbols
    apart = (found.int() - expected.int()).abs()
    assert int(apart.max()) <= 1
    assert float((apart > 0).float().mean()) < 1e-4


def test_a_compiled_encoder_calls_the_kernel() -> None:
    cells = drawn_cells((192,), torch.int8)
    x = torch.randn((4, 50, 192), device="cuda", dtype=torch.bfloat16)
    whole = torch.compile(lambda x: quantise_diagonal(x * 2, cells, eps=1e-6).symbols, fullgraph=True)
    assert torch.equal(whole(x), quantise_diagonal(x * 2, cells, eps=1e-6).symbols)
