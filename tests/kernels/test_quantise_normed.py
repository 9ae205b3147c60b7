"""The LayerNorm before a plane's products, interpreted on the CPU, against PyTorch's and the other quantiser's."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codec.errors import InputError  # noqa: E402
from codec.transform.quantiser import quantise  # noqa: E402
from kernels.quantise_diagonal import quantise_diagonal_twin  # noqa: E402
from kernels.quantise_diagonal.launch import run_quantise_diagonal  # noqa: E402
from kernels.quantise_projection import (  # noqa: E402
    PlaneMatrices,
    op,
    quantise_projection,
    quantise_projection_twin,
)
from kernels.quantise_projection.launch import (  # noqa: E402
    Tile,
    norm_tile_for,
    obstacle,
    run_quantise_projection,
    run_token_norm,
)
from kernels.quantiser import Cells, Quantised  # noqa: E402
from kernels.quantiser.cells import LEVELS  # noqa: E402

Tensor = torch.Tensor
SMALL = Tile(16, 16, 16, 4, 2)
EPS = 1e-6


@pytest.fixture(params=["kernel", "twin"])
def form(request: pytest.FixtureRequest) -> str:
    """Kernels and twin answer the same questions."""
    if request.param == "kernel":
        request.getfixturevalue("interpreted")
    return str(request.param)


def arguments(
    m: PlaneMatrices, cells: Cells, gain: Tensor | None, offset: Tensor | None, eps: float | None
) -> tuple[object, ...]:
    return (
        m.mean, m.dct, m.bases, m.frequencies, m.starts, cells.inv_step, cells.theta, cells.code, cells.costs,
        cells.n_layers, "ieee", gain, offset, eps,
    )  # fmt: skip


def run(form: str, x: Tensor, matrices: PlaneMatrices, cells: Cells, gain: Tensor | None = None,
        offset: Tensor | None = None, eps: float | None = EPS) -> Quantised:  # fmt: skip
    given = arguments(matrices, cells, gain, offset, eps)
    if form == "twin":
        return quantise_projection_twin(x, *given)
    return run_quantise_projection(x, *given, tile=SMALL)


def plane(f: int, c: int, dct: bool = True, seed: int = 0) -> tuple[PlaneMatrices, Cells, Tensor, Tensor]:
    """Any orthogonal transform, a mean, cells of some steps each; gain and offset."""
    rng = torch.Generator().manual_seed(100 * f + c + seed)
    tokens, bases = (torch.linalg.qr(torch.randn((*n, n[-1]), generator=rng))[0] for n in ((f,), (2, c)))
    edges = torch.tensor([0, f // 2, f], dtype=torch.int32)
    order = torch.randperm(f, generator=rng).int()
    mean = torch.randn((f, c), generator=rng)
    matrices = PlaneMatrices(mean, tokens if dct else None, bases.contiguous(), order, edges)
    code = torch.zeros((f, c), dtype=torch.int16)
    costs = torch.arange(32768 * LEVELS).reshape(32768, LEVELS).remainder(14336).short()
    inv_step = torch.rand((f, c), generator=rng) * 8 + 2
    cells = Cells(inv_step, torch.rand((f, c), generator=rng) / 2, code, costs, 1)
    gain, offset = torch.randn((2, c), generator=rng)
    return matrices, cells, gain, offset


def tokens(n: int, f: int, c: int, kind: torch.dtype) -> Tensor:
    """Of means and deviations that differ from token to token, far from 0 and 1."""
    rng = torch.Generator().manual_seed(c)
    of_token = torch.rand((2, n, f, 1), generator=rng) * 6 + 0.5
    return (torch.randn((n, f, c), generator=rng) * of_token[0] + 3 * of_token[1]).to(kind)


def in_float64(x: Tensor, m: PlaneMatrices, cells: Cells, gain: Tensor, offset: Tensor) -> np.ndarray:
    """PyTorch's norm and products, the codec's quantiser."""
    c = x.shape[2]
    y = (
        torch.nn.functional.layer_norm(x.double(), (c,), gain.double(), offset.double(), EPS)
        - m.mean.double()
    )
    y = y if m.dct is None else m.dct.double() @ y
    latents = torch.empty_like(y)
    for group in range(2):
        of_group = m.frequencies[m.starts[group] : m.starts[group + 1]].long()
        latents[:, of_group] = y[:, of_group] @ m.bases[group].double().T
    return quantise(latents.float().numpy(), cells.inv_step.numpy(), cells.theta.numpy()).astype(int)


@pytest.mark.parametrize("kind", [torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize(
    ("f", "c", "dct"),
    [(1, 20, True), (15, 17, True), (12, 70, True), (6, 33, False)],
    ids=["one token", "odd", "wide", "a list"],
)
def test_symbols_are_those_behind_pytorchs_norm(
    form: str, f: int, c: int, dct: bool, kind: torch.dtype
) -> None:
    """Sums in another order move a latent by some units in the last place: hardly a symbol, none further than the next."""
    matrices, cells, gain, offset = plane(f, c, dct)
    x = tokens(4, f, c, kind)
    expected = in_float64(x, matrices, cells, gain, offset)
    found = run(form, x, matrices, cells, gain, offset).checked().symbols.numpy().astype(int)
    assert np.abs(found - expected).max() <= 1
    assert np.count_nonzero(found != expected) <= max(1, 1e-3 * found.size)
    assert np.abs(expected).max() > 10


@pytest.mark.parametrize("kind", [torch.float16, torch.float32], ids=str)
def test_kernels_and_twin_agree(interpreted: None, kind: torch.dtype) -> None:
    """Symbols, costs and largest; with each of norm, gain and offset, and without."""
    matrices, cells, gain, offset = plane(15, 17)
    x = tokens(3, 15, 17, kind)
    answers = []
    for given in (
        (None, None, None), (None, None, EPS), (gain, None, EPS), (None, offset, EPS), (gain, offset, EPS),
        (gain, offset, None), (gain, offset, 5.0),
    ):  # fmt: skip
        kernel, twin = (run(form, x, matrices, cells, *given) for form in ("kernel", "twin"))
        assert int((kernel.symbols - twin.symbols).abs().max()) <= 1
        assert int((kernel.symbols != twin.symbols).sum()) <= 1
        answers.append(twin.symbols)
    # Each of them matters.
    for number, one in enumerate(answers):
        assert all(float((one != other).float().mean()) > 0.3 for other in answers[:number])


@pytest.mark.parametrize("channels", [18, 80])
def test_the_norm_is_that_of_the_other_quantiser(form: str, channels: int) -> None:
    """Behind it a transform that leaves latents as they are, to the bit."""
    f = 9
    one = torch.arange(f, dtype=torch.int32)
    matrices = PlaneMatrices(
        torch.zeros(f, channels), torch.eye(f), torch.eye(channels)[None], one, torch.tensor([0, f], dtype=torch.int32)
    )  # fmt: skip
    _, cells, gain, offset = plane(f, channels)
    cells = replace(cells, **{name: getattr(cells, name)[:1].repeat(f, 1) for name in ("inv_step", "theta")})
    x = tokens(5, f, channels, torch.float32)
    of_channels = cells.per_channel()
    given = (of_channels.inv_step, of_channels.theta, of_channels.code, cells.costs, 1, gain, offset, EPS)
    expected = (quantise_diagonal_twin if form == "twin" else run_quantise_diagonal)(x, *given)
    found = run(form, x, matrices, cells, gain, offset)
    assert int((found.symbols - expected.symbols).abs().max()) <= 1
    assert int((found.symbols != expected.symbols).sum()) <= 1
    assert int(expected.symbols.abs().max()) > 10


@pytest.mark.parametrize("channels", [1, 5, 80, 192, 2000])
def test_a_tokens_numbers_are_its_mean_and_deviation(interpreted: None, channels: int) -> None:
    """Within some units in the last place, of a token far from 0 too: the mean goes off before squares are taken."""
    x = tokens(3, 11, channels, torch.float32)
    x[1] += 1000
    found = run_token_norm(x, EPS).double()
    exact = x.double()
    torch.testing.assert_close(found[..., 0], exact.mean(-1), rtol=1e-6, atol=0)
    deviation = (exact.var(-1, correction=0) + EPS).sqrt()
    torch.testing.assert_close(found[..., 1] * deviation, torch.ones_like(deviation), rtol=2e-6, atol=0)


def test_eps_is_added_to_a_variance(form: str) -> None:
    """Tokens that are all one number, and such as vary no more than it."""
    row = torch.tensor([-3.0, -2, -1, 1, 2, 3])
    x = torch.stack([torch.full((6,), 5.0), row])[None]
    one = torch.arange(2, dtype=torch.int32)
    starts = torch.tensor([0, 2], dtype=torch.int32)
    matrices = PlaneMatrices(torch.zeros(2, 6), torch.eye(2), torch.eye(6)[None], one, starts)
    cells = Cells(
        torch.full((2, 6), 64.0), torch.zeros(2, 6), torch.zeros((2, 6), dtype=torch.int16),
        torch.zeros((32768, LEVELS), dtype=torch.int16), 1,
    )  # fmt: skip
    found = run(form, x, matrices, cells, eps=20.0).symbols[0]
    assert found[0].tolist() == [0] * 6
    root = math.sqrt(28 / 6 + 20)
    assert found[1].tolist() == [round(64 * each / root) for each in row.tolist()]


@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_no_number_stays_in_its_tile(form: str) -> None:
    matrices, cells, gain, offset = plane(7, 10)
    x = tokens(4, 7, 10, torch.float32)
    x[1, 6, 9], x[2, 0, 0] = torch.nan, torch.inf
    found = run(form, x, matrices, cells, gain, offset)
    assert found.largest.isnan().tolist() == [False, True, True, False]


def test_rows_of_a_program_fit_its_threads() -> None:
    for channels in range(1, 4097):
        tile = norm_tile_for(channels)
        assert channels <= tile.wide < 2 * channels
        assert tile.wide * tile.rows <= 16 * 32 * tile.warps
    assert "5000 channels" in obstacle(torch.zeros(1, 1, 5000), 1e-6)
    assert obstacle(torch.zeros(1, 1, 5000)) == ""


def test_the_op_takes_what_the_kernels_give(interpreted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: through the dispatcher, in the tiles that run there."""
    monkeypatch.setattr(op, "on_gpu", lambda first, obstacle: not obstacle)
    monkeypatch.setattr(op, "quantise_projection_twin", None)
    matrices, cells, gain, offset = plane(6, 10)
    x = tokens(2, 6, 10, torch.float16)
    turned = x.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    wide = torch.stack([gain, offset], 1)
    expected = run("twin", x, matrices, cells, gain, offset).symbols
    for each, g, o in ((x, gain, offset), (turned, wide[:, 0], wide[:, 1])):
        found = quantise_projection(each, matrices, cells, gain=g, offset=o, eps=EPS).symbols
        assert int((found - expected).abs().max()) <= 1
        assert int((found != expected).sum()) <= 1


def test_the_op_is_what_pytorchs_tools_take_it_for() -> None:
    matrices, cells, gain, offset = plane(6, 10)
    x = tokens(2, 6, 10, torch.float32)
    for norm in ((gain, offset, EPS), (None, None, EPS), (gain, None, None)):
        torch.library.opcheck(
            torch.ops.swathpack.quantise_projection, (x, *arguments(matrices, cells, *norm))
        )


def test_it_is_compiled_and_exported_whole() -> None:
    matrices, cells, gain, offset = plane(6, 10)
    x = tokens(2, 6, 10, torch.float32)

    class Encoder(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return quantise_projection(x * 2, matrices, cells, gain=gain, offset=offset, eps=EPS).symbols

    program = torch.export.export(Encoder(), (x,))
    assert any("swathpack.quantise_projection" in str(node.target) for node in program.graph.nodes)
    compiled = torch.compile(Encoder(), backend="aot_eager", fullgraph=True)
    for form in (program.module(), compiled):
        assert torch.equal(form(x), Encoder()(x))


def test_a_norms_weights_get_no_gradient() -> None:
    matrices, cells, *_ = plane(6, 10)
    norm = torch.nn.LayerNorm(10)
    found = quantise_projection(
        tokens(2, 6, 10, torch.float32), matrices, cells, gain=norm.weight, offset=norm.bias, eps=norm.eps
    )
    assert not any(each.requires_grad for each in found)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"gain": torch.zeros(9)}, "gain: there is one"),
        ({"offset": torch.zeros(10, dtype=torch.float64)}, "offset: there is one"),
        ({"eps": 0.0}, "finite number above 0"),
        ({"eps": float("inf")}, "finite number above 0"),
    ],
    ids=str,
)
def test_what_does_not_belong_together_is_refused(changed: dict[str, object], words: str) -> None:
    matrices, cells, *_ = plane(6, 10)
    with pytest.raises(InputError, match=words):
        quantise_projection(torch.zeros(2, 6, 10), matrices, cells, **changed)  # type: ignore[arg-type]
