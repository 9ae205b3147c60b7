"""The kernel, interpreted on the CPU, against the codec's own quantiser and costs: equal latents, equal symbols."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from quantise_tables import list_tables  # noqa: E402

from codec.bitstream import core  # noqa: E402
from codec.errors import InputError  # noqa: E402
from codec.transform.maps import QuantMaps, quant_maps  # noqa: E402
from codec.transform.quantiser import quantise  # noqa: E402
from codec.transform.tables import Tables  # noqa: E402
from kernels.quantise_diagonal import op, quantise_diagonal, quantise_diagonal_twin  # noqa: E402
from kernels.quantise_diagonal.launch import (  # noqa: E402
    Tile,
    chunk_for,
    obstacle,
    parts_of,
    run_quantise_diagonal,
    tile_for,
)
from kernels.quantise_projection import quantise_projection_twin  # noqa: E402
from kernels.quantise_projection.launch import run_quantise_projection  # noqa: E402
from kernels.quantiser import Cells, Quantised  # noqa: E402
from kernels.quantiser.cells import LEVELS  # noqa: E402

Tensor = torch.Tensor
FORMS = {"kernel": run_quantise_diagonal, "twin": quantise_diagonal_twin}


@pytest.fixture(params=list(FORMS))
def form(request: pytest.FixtureRequest) -> str:
    """Kernel and twin answer the same questions."""
    if request.param == "kernel":
        request.getfixturevalue("interpreted")
    return str(request.param)


def run(form: str, x: Tensor, cells: Cells, gain: Tensor | None = None, offset: Tensor | None = None,
        eps: float | None = None) -> Quantised:  # fmt: skip
    arguments = (cells.inv_step, cells.theta, cells.code, cells.costs, cells.n_layers, gain, offset, eps)
    return FORMS[form](x, *arguments)


def cells_of(tables: Tables, kind: torch.dtype, index: int = 4) -> tuple[QuantMaps, Cells]:
    maps = quant_maps(tables, 0, index)
    return maps, Cells.of(maps, tables.levels, len(tables.planes[0].layer_shift), kind, "cpu").per_channel()


def plain_cells(inv_step: Tensor, theta: Tensor, kind: torch.dtype = torch.int16) -> Cells:
    """One layer, a level that costs nothing."""
    costs = torch.zeros((256 if kind == torch.int8 else 32768, LEVELS), dtype=torch.int16)
    return Cells(inv_step, theta, torch.zeros(inv_step.shape, dtype=torch.int16), costs, 1)


def edges(inv_step: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Rows × channels: latents at and beside every place where a rounding decides."""
    tiny = np.float32(1e-45)
    steps = np.array(
        [0, 0.5, 1, 1.5, 2.5, 3.5, 126.5, 127, 127.5, 2**15 - 1.5, 32766.5, 32767, 32767.5, 40000, 1e30]
    )
    at = ((steps[:, None] + theta) / inv_step).astype(np.float32)
    at = np.concatenate([at, np.nextafter(at, np.float32(np.inf)), np.nextafter(at, np.float32(0))])
    special = np.array([0.0, tiny, 7 * tiny, 1.1e-38, 3.4e38, np.inf], np.float32)
    at = np.concatenate([at, np.repeat(special[:, None], len(inv_step), 1)])
    return np.concatenate([at, -at]).astype(np.float32)


# Channels: a width that is no power of two, steps from subnormal-making to huge, all dead zones.
INV_STEP = np.array([1, 2, 0.5, 3, 1 / 3, 0.7, 1e-3, 333.3, 1e6, 2**-126, 1e38, 2**100], np.float32)
THETA = np.array([0, 0.5, 0.25, 0.1, 0.3333333, 0.5, 0, 0.2, 0.5, 0.4, 0, 0.5], np.float32)


@pytest.mark.filterwarnings("ignore:overflow")
def test_equal_latents_give_the_symbols_of_the_reference(form: str) -> None:
    """Half-integers, the dead zone's edge, the clamp's edge, subnormals, infinities, −0: to the bit."""
    with np.errstate(over="ignore"):
        latents = edges(INV_STEP, THETA)
    expected = quantise(latents, INV_STEP, THETA)
    found = run(form, torch.from_numpy(latents)[None], plain_cells(*map(torch.from_numpy, (INV_STEP, THETA))))
    np.testing.assert_array_equal(found.symbols[0].numpy(), expected)
    assert found.largest.item() == np.abs(expected.astype(int)).max() == 32767
    assert {0, 1, 2, 127, 32766} <= set(np.abs(expected.astype(int)).ravel())


def test_random_latents_give_the_symbols_of_the_reference(form: str) -> None:
    """Where a product and a difference rounded once, some of these would be others."""
    rng = np.random.default_rng(1)
    inv_step = rng.uniform(0.3, 40, 80).astype(np.float32)
    theta = rng.uniform(0, 0.5, 80).astype(np.float32)
    magnitude = rng.integers(0, 40, (2, 90, 80)) + 0.5 + theta
    latents = (magnitude / inv_step * rng.choice([-1, 1], magnitude.shape)).astype(np.float32)
    expected = quantise(latents, inv_step, theta)
    found = run(form, torch.from_numpy(latents), plain_cells(*map(torch.from_numpy, (inv_step, theta))))
    np.testing.assert_array_equal(found.symbols.numpy(), expected)
    once = np.rint(np.maximum(np.abs(latents).astype(np.float64) * inv_step - theta, 0))
    assert (once != np.abs(expected)).any(), "these latents do not tell one rounding from two"


SHAPES = [(1, 1, 1, 192), (3, 1, 5, 80), (2, 3, 3, 768), (1, 2, 2, 1024), (2, 1, 1, 3), (1, 5, 7, 64)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", [torch.int8, torch.int16], ids=str)
def test_symbols_and_costs_are_those_of_the_codec(
    form: str, shape: tuple[int, int, int, int], kind: torch.dtype
) -> None:
    """One token, odd grids, widths that no range has; three layers, channels that are never sent, levels without a table."""
    n, rows, cols, channels = shape
    tables = list_tables(rows, cols, channels)
    maps, cells = cells_of(tables, kind)
    rng = np.random.default_rng(2)
    size = 100.0 if kind == torch.int8 else 3000.0
    latents = (rng.laplace(size=(n, channels, rows * cols)) * size / 10 * maps.step).astype(np.float32)
    latents = np.clip(latents, -size * maps.step, size * maps.step)
    expected = maps.quantise(latents)
    found = run(form, torch.from_numpy(latents.transpose(0, 2, 1).copy()), cells).checked()
    assert found.symbols.dtype == kind
    np.testing.assert_array_equal(found.symbols.numpy(), expected.transpose(0, 2, 1))
    table_set = core.TableSet(tables.encode())
    for layer in range(cells.n_layers):
        costs = core.tile_costs(table_set, 0, layer, 4, found.symbols.numpy(), "token")
        np.testing.assert_array_equal(found.tile_costs[:, layer].numpy(), costs.astype(np.int64))
    np.testing.assert_array_equal(found.largest.numpy(), np.abs(expected.astype(int)).max(axis=(1, 2)))


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("channels", [192, 70])
def test_the_norm_before_it_is_pytorchs(form: str, kind: torch.dtype, channels: int) -> None:
    """Sums in another order move a latent by some units in the last place: a symbol in ten thousand."""
    rng = torch.Generator().manual_seed(3)
    x = (torch.randn((2, 37, channels), generator=rng) * 3 + 1).to(kind)
    gain, offset = (torch.randn(channels, generator=rng) for _ in range(2))
    cells = plain_cells(torch.full((channels,), 10.0), torch.full((channels,), 0.2))
    y = torch.nn.functional.layer_norm(x.double(), (channels,), gain.double(), offset.double(), 1e-6).float()
    expected = quantise(y.numpy(), 10.0, 0.2).astype(int)
    found = run(form, x, cells, gain, offset, 1e-6).symbols.numpy().astype(int)
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 2e-4
    assert np.abs(expected).max() > 20


def test_the_norm_adds_eps_to_a_variance(form: str) -> None:
    """Tokens that are all one number, and such as vary no more than eps: the root of both is what divides."""
    x = torch.stack([torch.full((6,), 5.0), torch.tensor([-3.0, -2, -1, 1, 2, 3])])[None]
    cells = plain_cells(torch.full((6,), 64.0), torch.zeros(6))
    found = run(form, x, cells, eps=20.0).symbols[0]
    assert found[0].tolist() == [0] * 6
    root = (28 / 6 + 20) ** 0.5
    assert found[1].tolist() == [round(64 * each / root) for each in (-3, -2, -1, 1, 2, 3)]


def test_each_of_128_levels_and_16_layers_pays_its_own(form: str) -> None:
    rng = torch.Generator().manual_seed(13)
    costs = torch.randint(0, 14336, (256, LEVELS), generator=rng).short()
    code = torch.randperm(16 * LEVELS, generator=rng)[:96].short()
    cells = Cells(torch.ones(96), torch.zeros(96), code, costs, 16)
    x = torch.randint(-127, 128, (2, 3, 96), generator=rng).float()
    expected = torch.zeros((2, 16), dtype=torch.int64)
    for (tile, _, channel), value in np.ndenumerate(x.numpy()):
        layer, level = divmod(int(code[channel]), LEVELS)
        expected[tile, layer] += int(costs[abs(int(value)), level])
    assert torch.equal(run(form, x, cells).tile_costs, expected)
    given = (torch.zeros(1, 96), None, torch.eye(96)[None], torch.zeros(1, dtype=torch.int32))
    row = [each[None] for each in (cells.inv_step, cells.theta, code)]
    of_one = x.flatten(0, 1)[:, None]  # the other quantiser has cells of coefficients
    starts = torch.tensor([0, 1], dtype=torch.int32)
    run_other = run_quantise_projection if form == "kernel" else quantise_projection_twin
    found = run_other(of_one, *given, starts, *row, costs, 16, "ieee")
    assert torch.equal(found.tile_costs.view(2, 3, 16).sum(1), expected)


def test_gain_and_offset_may_be_left_out(form: str) -> None:
    x = torch.randn((1, 6, 20), generator=torch.Generator().manual_seed(4))
    gain, offset = torch.linspace(-2, 2, 20), torch.linspace(3, -3, 20)
    cells = plain_cells(torch.full((20,), 7.0), torch.zeros(20))
    for g, o in ((None, None), (gain, None), (None, offset), (gain, offset)):
        y = x if g is None else x * g
        y = y if o is None else y + o
        np.testing.assert_array_equal(
            run(form, x, cells, g, o).symbols.numpy(), quantise(y.numpy(), 7.0, 0.0)
        )


@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_no_number_is_flagged(form: str) -> None:
    """In the tile that has it, and where nothing is coded too, as the reference refuses it there."""
    cells = plain_cells(torch.ones(5), torch.zeros(5))
    cells.code[3] = -1
    x = torch.ones((4, 3, 5))
    x[1, 2, 0] = torch.nan
    x[2, 0, 3] = -torch.nan
    x[3, 1, 3] = torch.inf  # nothing is coded there: it is 0, and no fault
    found = run(form, x, cells)
    assert found.largest.isnan().tolist() == [False, True, True, False]
    assert found.symbols[3, 1].tolist() == [1, 1, 1, 0, 1]
    with pytest.raises(InputError, match="a latent of tile 1 is not a number"):
        found.checked()
    x[0, 0, 1] = torch.inf
    assert (
        run(form, x, cells, eps=1e-6).largest.isnan().tolist() == [True] * 4
    )  # a norm spreads it over its row


def test_what_int8_does_not_hold_is_flagged_and_never_clamped(form: str) -> None:
    cells = plain_cells(torch.ones(3), torch.zeros(3), torch.int8)
    x = torch.tensor([[[127.4, -127.4, 0]], [[-127.5, 0, 0]], [[1.0, 2.0, 1e9]], [[0, -torch.inf, 0]]])
    found = run(form, x, cells)
    assert found.largest.tolist() == [127, 128, 128, 128]
    assert found.symbols[0].tolist() == [[127, -127, 0]]
    with pytest.raises(InputError, match="a symbol of tile 1 is larger than int8 holds"):
        found.checked()
    assert (
        Quantised(found.symbols[:1], found.tile_costs[:1], found.largest[:1]).checked().symbols.shape[0] == 1
    )


def test_chunks_and_tiles_change_nothing(interpreted: None) -> None:
    """Rows that do not fill a step are counted once."""
    tables = list_tables(1, 11, 24)
    _, cells = cells_of(tables, torch.int8)
    x = 0.3 * torch.randn((2, 11, 24), generator=torch.Generator().manual_seed(5))
    arguments = (cells.inv_step, cells.theta, cells.code, cells.costs, 3, None, None, None)
    expected = quantise_diagonal_twin(x, *arguments)
    for rows in (1, 4, 16):
        found = run_quantise_diagonal(x, *arguments, tile=Tile(rows, 4))
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_channels_are_cut_into_powers_of_two() -> None:
    """One, or three of one width, which leave less beyond the end."""
    parts = {channels: parts_of(channels) for channels in (1, 2, 3, 80, 192, 700, 768, 769, 1024, 4096)}
    assert parts == {
        1: (1, 1), 2: (2, 1), 3: (1, 3), 80: (32, 3), 192: (64, 3), 700: (256, 3), 768: (256, 3), 769: (1024, 1),
        1024: (1024, 1), 4096: (4096, 1),
    }  # fmt: skip
    for channels in range(1, 4097):
        width, number = parts_of(channels)
        tile = tile_for(channels)
        assert channels <= width * number < 2 * channels
        assert width * number * tile.rows <= 12 * 32 * tile.warps  # numbers that a thread holds


def test_a_program_has_no_more_rows_than_its_costs_fit() -> None:
    """32 bits hold 32 rows of 4096 escapes; and one tile alone is spread over many programs."""
    for channels in (3, 192, 768, 4096):
        tile = tile_for(channels)
        chunks = {chunk_for(n, rows, tile) for n in (1, 64, 65536) for rows in (1, 49, 196, 4096)}
        assert max(chunks) * channels * 14336 < 2**31
        assert all(chunk % tile.rows == 0 for chunk in chunks)
    assert chunk_for(1, 196, tile_for(768)) == tile_for(768).rows


def test_the_op_takes_what_the_kernel_gives(interpreted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: through the dispatcher, whose results may not share memory."""
    monkeypatch.setattr(op, "on_gpu", lambda first, obstacle: not obstacle)
    monkeypatch.setattr(op, "quantise_diagonal_twin", None)
    _, cells = cells_of(list_tables(1, 1, 10), torch.int16)
    x = torch.randn((1, 1, 10), generator=torch.Generator().manual_seed(6))
    found = quantise_diagonal(x, cells)
    expected = run("twin", x, cells)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_the_op_is_what_pytorchs_tools_take_it_for() -> None:
    _, cells = cells_of(list_tables(2, 2, 10), torch.int8)
    given = (torch.randn(3, 4, 10), cells.inv_step, cells.theta, cells.code, cells.costs, 3)
    torch.library.opcheck(torch.ops.swathpack.quantise_diagonal, (*given, None, None, None))
    torch.library.opcheck(
        torch.ops.swathpack.quantise_diagonal, (*given, torch.ones(10), torch.zeros(10), 1e-6)
    )


def test_tokens_that_lie_another_way_give_symbols_that_lie_one_behind_another(form: str) -> None:
    """As PyTorch's tools are told that they do, and as the coder takes them."""
    tables = list_tables(2, 2, 10)
    _, cells = cells_of(tables, torch.int16)
    x = torch.randn((10, 4, 6), generator=torch.Generator().manual_seed(12))
    turned = x.permute(2, 1, 0)[::2]
    found, expected = run(form, turned, cells), run(form, turned.contiguous(), cells)
    assert all(each.is_contiguous() for each in found)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    whole = torch.compile(
        lambda x: quantise_diagonal(x, cells).symbols + 1, backend="aot_eager", fullgraph=True
    )
    assert torch.equal(whole(turned), expected.symbols + 1)


def test_nothing_that_comes_out_has_a_gradient() -> None:
    """Integers and a flag: who would train through them is told by PyTorch."""
    _, cells = cells_of(list_tables(2, 2, 10), torch.int16)
    x = torch.randn(3, 4, 10, requires_grad=True)
    weight = torch.nn.Parameter(torch.ones(10))
    found = quantise_diagonal(x, cells, gain=weight, offset=weight, eps=1e-6)
    assert not any(each.requires_grad for each in found)
    with pytest.raises(RuntimeError):
        found.symbols.float().sum().backward()


def test_it_is_exported_whole() -> None:
    _, cells = cells_of(list_tables(2, 2, 10), torch.int16)

    class Encoder(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return quantise_diagonal(x, cells, eps=1e-5).symbols

    x = torch.randn(3, 4, 10)
    program = torch.export.export(Encoder(), (x,))
    assert any("swathpack.quantise_diagonal" in str(node.target) for node in program.graph.nodes)
    assert torch.equal(program.module()(x), Encoder()(x))


def test_on_the_cpu_the_twin_runs_and_says_nothing() -> None:
    _, cells = cells_of(list_tables(2, 2, 10), torch.int16)
    x = torch.randn(3, 4, 10, dtype=torch.float64)  # no kernel would take these
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = quantise_diagonal(x, cells)
    assert torch.equal(found.symbols, run("twin", x, cells).symbols)
    assert "float64" in obstacle(x)
    assert "5000 channels" in obstacle(torch.zeros(1, 1, 5000))


def test_a_plane_whose_frequencies_differ_is_refused() -> None:
    tables = list_tables(2, 2, 10)
    tables.planes[0].class_map[1] += 1
    maps = quant_maps(tables, 0, 4)
    with pytest.raises(InputError, match="quantises its tokens differently"):
        Cells.of(maps, tables.levels, 3, torch.int16, "cpu").per_channel()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x": torch.zeros(3, 10)}, "tiles × tokens × channels"),
        ({"x": torch.zeros(3, 4, 10, dtype=torch.int8)}, "tokens are floats"),
        ({"x": torch.zeros(3, 0, 10)}, "tiles × tokens × channels"),
        ({"x": torch.zeros(3, 4, 11)}, "cells: there is one"),
        ({"gain": torch.zeros(9)}, "gain: there is one"),
        ({"offset": torch.zeros(10, dtype=torch.float64)}, "offset: there is one"),
        ({"eps": 0.0}, "finite number above 0"),
    ],
    ids=str,
)
def test_what_does_not_belong_together_is_refused(changed: dict[str, object], words: str) -> None:
    _, cells = cells_of(list_tables(2, 2, 10), torch.int16)
    given = {"x": torch.zeros(3, 4, 10), **changed}
    with pytest.raises(InputError, match=words):
        quantise_diagonal(given.pop("x"), cells, **given)  # type: ignore[arg-type]


def test_what_the_benchmark_times_gives_one_answer() -> None:
    """On the CPU all contenders are plain PyTorch, and sums of one order."""
    from benchmarks.test_quantise_pack import Tokens, chain, flipped, fused_norm

    given = Tokens.drawn(2, 5, 80, "cpu")
    expected = chain(given)
    assert flipped(fused_norm(given), expected) < 1e-3
    assert flipped(expected + 2 * (expected == 3), expected) == 1
    assert 10 < int(expected.abs().max()) < 127
