"""The kernels, interpreted on the CPU, and their twin against the codec's own transform, quantiser and costs."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import lru_cache

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from quantise_tables import picture_tables  # noqa: E402

from codec.bitstream import core  # noqa: E402
from codec.errors import InputError  # noqa: E402
from codec.transform.klt import fit_transform  # noqa: E402
from codec.transform.maps import quant_maps  # noqa: E402
from codec.transform.plane import PlaneTransform  # noqa: E402
from codec.transform.quantiser import quantise  # noqa: E402
from codec.transform.rotations import fit_rotations  # noqa: E402
from kernels.quantise_projection import (  # noqa: E402
    PlaneMatrices,
    op,
    quantise_projection,
    quantise_projection_twin,
)
from kernels.quantise_projection.launch import Tile, obstacle, run_quantise_projection  # noqa: E402
from kernels.quantiser import Cells, Quantised  # noqa: E402
from kernels.quantiser.cells import LEVELS  # noqa: E402

Tensor = torch.Tensor
SMALL = Tile(16, 16, 16, 4, 2)


@pytest.fixture(params=["kernel", "twin"])
def form(request: pytest.FixtureRequest) -> str:
    """Kernels and twin answer the same questions."""
    if request.param == "kernel":
        request.getfixturevalue("interpreted")
    return str(request.param)


def arguments(m: PlaneMatrices, cells: Cells) -> tuple[object, ...]:
    return (
        m.mean, m.dct, m.bases, m.frequencies, m.starts, cells.inv_step, cells.theta, cells.code, cells.costs,
        cells.n_layers, "ieee",
    )  # fmt: skip


def run(form: str, x: Tensor, matrices: PlaneMatrices, cells: Cells) -> Quantised:
    given = arguments(matrices, cells)
    if form == "twin":
        return quantise_projection_twin(x, *given)
    return run_quantise_projection(x, *given, tile=SMALL)


@lru_cache
def fitted(
    rows: int, cols: int, channels: int, tokens: str = "dct", rotations: bool = False
) -> PlaneTransform:
    """Of correlated embeddings with a mean."""
    rng = np.random.default_rng(rows * 100 + channels)
    x = rng.normal(size=(24, rows, cols, channels)) @ rng.normal(size=(channels, channels)) + 3
    x = x.astype(np.float32)
    transform, _ = fit_transform(x, np.ones(x.shape[:3], bool), position_mean=True, tokens=tokens)  # type: ignore[arg-type]
    if not rotations:
        return transform
    turn = fit_rotations(transform.analyse(x), rows, cols)
    return PlaneTransform(transform.mean, transform.basis, "dct", turn)


# One token; grids and widths that no tile of a product has; a list of tokens; rotations of three groups.
PLANES = {
    "one token": (1, 1, 20, "dct", False),
    "odd grid": (3, 5, 17, "dct", False),
    "a list": (2, 3, 33, "none", False),
    "rotations": (4, 3, 24, "dct", True),
    "wide": (2, 2, 70, "dct", False),
}


@pytest.mark.parametrize("plane", PLANES.values(), ids=list(PLANES))
@pytest.mark.parametrize("kind", [torch.int8, torch.int16], ids=str)
def test_symbols_and_costs_are_those_of_the_codec(
    form: str, plane: tuple[int, int, int, str, bool], kind: torch.dtype
) -> None:
    rows, cols, channels = plane[:3]
    transform, tables = fitted(*plane), picture_tables(rows, cols, channels)
    maps = quant_maps(tables, 0, 4)
    rng = np.random.default_rng(7)
    latents = (
        rng.laplace(size=(5, channels, rows * cols)) * 8 * maps.step * (20 if kind == torch.int16 else 1)
    )
    embeddings = transform.synthesise(latents.astype(np.float32))
    expected = maps.quantise(transform.analyse(embeddings)).astype(int).transpose(0, 2, 1)
    cells = Cells.of(maps, tables.levels, 4, kind, "cpu")
    x = torch.from_numpy(embeddings.reshape(5, rows * cols, channels))
    found = run(form, x, PlaneMatrices.of(transform, "cpu"), cells).checked()
    assert found.symbols.dtype == kind
    apart = np.abs(found.symbols.numpy().astype(int) - expected)
    # Sums of products in another order: what lies within some units in the last place of a half may go to the other side.
    assert apart.max() <= 1
    assert np.count_nonzero(apart) <= 1e-3 * apart.size
    table_set = core.TableSet(tables.encode())
    for layer in range(4):
        costs = core.tile_costs(table_set, 0, layer, 4, found.symbols.numpy(), "token")
        np.testing.assert_array_equal(found.tile_costs[:, layer].numpy(), costs.astype(np.int64))
    np.testing.assert_array_equal(found.largest.numpy(), found.symbols.abs().amax((1, 2)).numpy())


def identity(f: int, c: int) -> PlaneMatrices:
    """A transform that leaves latents as they are, to the bit."""
    return PlaneMatrices(
        torch.zeros(f, c), torch.eye(f), torch.eye(c)[None], torch.arange(f, dtype=torch.int32),
        torch.tensor([0, f], dtype=torch.int32),
    )  # fmt: skip


def test_equal_latents_give_the_symbols_of_the_reference(form: str) -> None:
    """Half-integers, edges of dead zone and clamp, subnormals, −0, each with its own step and dead zone: to the bit."""
    rng = np.random.default_rng(8)
    f, c = 9, 18
    inv_step = rng.choice([1, 2, 1 / 3, 0.7, 333.3, 2**-10, 1e6], (f, c)).astype(np.float32)
    theta = rng.choice([0, 0.5, 0.1, 0.3333], (f, c)).astype(np.float32)
    magnitude = rng.choice([0, 0.5, 1.5, 2.5, 126.5, 32766.5, 32767.5, 40000], (6, f, c))
    latents = ((magnitude + theta) / inv_step * rng.choice([-1, 1], magnitude.shape)).astype(np.float32)
    latents[5] = rng.choice([0.0, -0.0, 1e-45, -1e-40, 1.2e-38], (f, c))
    costs = torch.zeros((32768, LEVELS), dtype=torch.int16)
    code = torch.zeros((f, c), dtype=torch.int16)
    cells = Cells(torch.from_numpy(inv_step), torch.from_numpy(theta), code, costs, 1)
    found = run(form, torch.from_numpy(latents), identity(f, c), cells)
    np.testing.assert_array_equal(found.symbols.numpy(), quantise(latents, inv_step, theta))


@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_no_number_is_flagged(form: str) -> None:
    """In its tile alone: products mix what a tile has, and nothing else."""
    cells = Cells(
        torch.ones(4, 5), torch.zeros(4, 5), torch.zeros((4, 5), dtype=torch.int16),
        torch.zeros((256, LEVELS), dtype=torch.int16), 1,
    )  # fmt: skip
    x = torch.ones((4, 4, 5))
    x[1, 3, 2] = torch.nan
    x[2, 0, 0] = -torch.inf
    x[3, 2, 4] = 200
    found = run(form, x, identity(4, 5), cells)
    assert found.largest.isnan().tolist() == [False, True, True, False]
    assert found.largest[[0, 3]].tolist() == [1, 128]
    with pytest.raises(InputError, match="a latent of tile 1 is not a number"):
        found.checked()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_that_of_the_embeddings_alone(form: str, kind: torch.dtype) -> None:
    transform, tables = fitted(3, 4, 24, rotations=True), picture_tables(3, 4, 24)
    maps = quant_maps(tables, 0, 4)
    x = torch.randn((3, 12, 24), generator=torch.Generator().manual_seed(9)).to(kind)
    expected = maps.quantise(transform.analyse(x.float().numpy().reshape(3, 3, 4, 24))).transpose(0, 2, 1)
    cells = Cells.of(maps, tables.levels, 4, torch.int16, "cpu")
    found = run(form, x, PlaneMatrices.of(transform, "cpu"), cells).symbols.numpy()
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (found != expected).mean() < 2e-3  # two of some hundred


def test_tiles_change_nothing_but_rounding(interpreted: None) -> None:
    transform, tables = fitted(4, 4, 40, rotations=True), picture_tables(4, 4, 40)
    cells = Cells.of(quant_maps(tables, 0, 4), tables.levels, 4, torch.int16, "cpu")
    given = arguments(PlaneMatrices.of(transform, "cpu"), cells)
    x = torch.randn((3, 16, 40), generator=torch.Generator().manual_seed(10))
    first, other = (run_quantise_projection(x, *given, tile=tile) for tile in (SMALL, Tile(64, 32, 32, 4, 2)))
    assert float((first.symbols != other.symbols).float().mean()) < 1e-3
    assert float((first.tile_costs - other.tile_costs).abs().max()) < 10_000


def plane(kind: torch.dtype = torch.int16) -> tuple[Tensor, PlaneMatrices, Cells]:
    transform, tables = fitted(2, 3, 10, rotations=True), picture_tables(2, 3, 10)
    cells = Cells.of(quant_maps(tables, 0, 4), tables.levels, 4, kind, "cpu")
    x = torch.randn((2, 6, 10), generator=torch.Generator().manual_seed(11))
    return x, PlaneMatrices.of(transform, "cpu"), cells


def test_the_op_takes_what_the_kernel_gives(interpreted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: through the dispatcher, whose results may not share memory; in the tiles that run there."""
    monkeypatch.setattr(op, "on_gpu", lambda first, obstacle: not obstacle)
    monkeypatch.setattr(op, "quantise_projection_twin", None)
    x, matrices, cells = plane()
    found = quantise_projection(x, matrices, cells)
    expected = run("twin", x, matrices, cells)
    assert int((found.symbols - expected.symbols).abs().max()) <= 1
    assert found.largest.shape == (2,)


def test_the_op_is_what_pytorchs_tools_take_it_for() -> None:
    x, matrices, cells = plane(torch.int8)
    torch.library.opcheck(torch.ops.swathpack.quantise_projection, (x, *arguments(matrices, cells)))


@pytest.mark.parametrize("tokens", ["dct", "none"])
def test_what_lies_another_way_gives_the_same(form: str, tokens: str) -> None:
    """Tokens and matrices of any strides; symbols lie one behind another, as PyTorch's tools are told that they do."""
    x, matrices, cells = plane()
    if tokens == "none":
        matrices = replace(matrices, dct=None)
    expected = run(form, x, matrices, cells)
    apart = {
        f.name: spread(each) for f in fields(matrices) if (each := getattr(matrices, f.name)) is not None
    }
    of_cells = {name: spread(getattr(cells, name)) for name in ("inv_step", "theta", "code", "costs")}
    found = run(
        form,
        x.permute(2, 1, 0).contiguous().permute(2, 1, 0),
        replace(matrices, **apart),
        replace(cells, **of_cells),
    )
    assert all(each.is_contiguous() for each in found)
    # The order of a product's sums may follow the strides.
    assert int((found.symbols - expected.symbols).abs().max()) <= 1
    assert float((found.symbols != expected.symbols).float().mean()) < 0.02


def spread(each: Tensor) -> Tensor:
    """The same numbers with others between them."""
    wide = torch.full((*each.shape, 2), 77, dtype=each.dtype)
    wide[..., 0] = each
    return wide[..., 0]


def test_nothing_that_comes_out_has_a_gradient() -> None:
    x, matrices, cells = plane()
    found = quantise_projection(x.requires_grad_(), matrices, cells)
    assert not any(each.requires_grad for each in found)
    with pytest.raises(RuntimeError):
        found.symbols.float().sum().backward()


def test_it_is_exported_whole() -> None:
    x, matrices, cells = plane()

    class Encoder(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return quantise_projection(x, matrices, cells).symbols

    program = torch.export.export(Encoder(), (x,))
    assert any("swathpack.quantise_projection" in str(node.target) for node in program.graph.nodes)
    assert torch.equal(program.module()(x), Encoder()(x))


def test_autocast_takes_no_digits(form: str) -> None:
    x, matrices, cells = plane()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = quantise_projection(x, matrices, cells)
    assert torch.equal(found.symbols, quantise_projection(x, matrices, cells).symbols)


def test_what_no_kernel_takes_is_named() -> None:
    assert "float64" in obstacle(torch.zeros(1, 1, 1, dtype=torch.float64))
    assert obstacle(torch.zeros(1, 1, 1, dtype=torch.bfloat16)) == ""


def test_what_does_not_belong_together_is_refused() -> None:
    x, matrices, cells = plane()
    of_channels = Cells(cells.inv_step[0], cells.theta[0], cells.code[0], cells.costs, 4)
    for wrong, words in (
        ((x[:, :5], matrices, cells), "channels of the plane"),
        ((x.int(), matrices, cells), "embeddings are floats"),
        ((x, matrices, of_channels), "one cell for each coefficient"),
    ):
        with pytest.raises(InputError, match=words):
            quantise_projection(*wrong)
    with pytest.raises(InputError, match="unknown precision 'bf16'"):
        quantise_projection(x, matrices, cells, precision="bf16")
    with pytest.raises(InputError, match="do not belong together: bases"):
        PlaneMatrices(matrices.mean, None, matrices.bases[:, :5], matrices.frequencies, matrices.starts)


def test_what_the_benchmark_times_gives_one_answer() -> None:
    from benchmarks.test_quantise_pack import Embeddings, flipped, fused_transform, transformed

    given = Embeddings.drawn(2, 4, 40, "cpu")
    expected = transformed(given)
    assert flipped(fused_transform(given), expected) < 1e-3
    assert 10 < int(expected.abs().max()) < 127
