"""What programs leave of a tile, put together: sums of 64 bits, NaN in its own tile, no launch but the kernels' own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from kernels.quantise_diagonal import launch as diagonal_launch  # noqa: E402
from kernels.quantise_diagonal import quantise_diagonal_twin  # noqa: E402
from kernels.quantise_diagonal.launch import Tile, chunk_for, run_quantise_diagonal  # noqa: E402
from kernels.quantise_projection import launch as projection_launch  # noqa: E402
from kernels.quantise_projection.launch import run_quantise_projection  # noqa: E402
from kernels.quantiser import totals  # noqa: E402
from kernels.quantiser.cells import LEVELS  # noqa: E402
from kernels.quantiser.totals import block_for, with_totals  # noqa: E402

Tensor = torch.Tensor


def put_together(largest: Tensor, costs: Tensor) -> tuple[Tensor, Tensor]:
    """Of float32 and int32, with symbols that nobody reads."""
    found = with_totals(torch.zeros(len(largest), 1, 1, dtype=torch.int8), largest.view(torch.int32), costs)
    return found.largest, found.tile_costs


# One and one layer; a block that is not full; full ones; more than a block holds, by one and by a block.
@pytest.mark.parametrize("n_layers", [1, 5, 16])
@pytest.mark.parametrize("partials", [1, 3, 64, 512, 513, 1030])
def test_what_is_partial_adds_up_to_its_tile_and_nothing_of_its_neighbours(
    interpreted: None, partials: int, n_layers: int
) -> None:
    """Costs whose sums 32 bits do not hold."""
    rng = np.random.default_rng(partials)
    costs = rng.integers(2**30, 2**31, (4, partials, n_layers), dtype=np.int64)
    magnitudes = (rng.integers(0, 2**20, (4, partials)) / 32).astype(np.float32)
    largest, added = put_together(torch.from_numpy(magnitudes), torch.from_numpy(costs.astype(np.int32)))
    np.testing.assert_array_equal(added.numpy(), costs.sum(axis=1))
    np.testing.assert_array_equal(largest.numpy(), np.rint(magnitudes.max(axis=1)))
    assert added.dtype == torch.int64
    assert largest.dtype == torch.float32


def test_all_axes_between_are_added(interpreted: None) -> None:
    """Rows and blocks of channels of a product."""
    costs = torch.randint(0, 99, (3, 7, 2, 4), generator=torch.Generator().manual_seed(0)).int()
    largest = torch.rand((3, 7, 2), generator=torch.Generator().manual_seed(1)) * 50
    found, added = put_together(largest, costs)
    assert torch.equal(added, costs.long().sum((1, 2)))
    assert torch.equal(found, largest.amax((1, 2)).round())


def test_the_largest_is_rounded_half_to_even(interpreted: None) -> None:
    """Up to what the quantiser limits to; what no latent left the dead zone of is 0, not −0."""
    given = torch.tensor([-0.5, -0.0, 0.0, 0.49, 0.5, 0.5000001, 1.5, 2.5, 127.5, 128, 32766.5, 32767])
    found, _ = put_together(given[:, None], torch.zeros((len(given), 1, 1), dtype=torch.int32))
    assert found.tolist() == [0, 0, 0, 0, 0, 1, 2, 2, 128, 128, 32766, 32767]
    assert not found.signbit().any()


@pytest.mark.parametrize("other", [0.0, torch.inf], ids=str)
def test_what_is_no_number_in_any_of_them_flags_its_tile_alone(interpreted: None, other: float) -> None:
    """Among 600, in two blocks: the first and the last, and at their edge."""
    at = (0, 1, 511, 512, 599)
    largest = torch.full((2 * len(at), 600), other)
    for number, partial in enumerate(at):
        largest[2 * number, partial] = torch.nan
    found, _ = put_together(largest, torch.zeros((len(largest), 600, 1), dtype=torch.int32))
    assert found.isnan().tolist() == [True, False] * len(at)


def test_a_latent_in_any_chunk_counts_in_its_tile(interpreted: None) -> None:
    """Four programs a tile, the last of one row: each row has a NaN once, and its tile alone is flagged."""
    channels, rows, tile = 70, 7, Tile(2, 1)
    assert chunk_for(rows + 1, rows, tile) == 2
    rng = torch.Generator().manual_seed(2)
    costs = torch.randint(0, 14336, (256, LEVELS), generator=rng).short()
    code = torch.randint(0, 3 * LEVELS, (channels,), generator=rng).short()
    cells = torch.ones(channels), torch.zeros(channels), code, costs, 3, None, None, None
    x = torch.randint(-127, 128, (rows + 1, rows, channels), generator=rng).float()
    found, expected = run_quantise_diagonal(x, *cells, tile=tile), quantise_diagonal_twin(x, *cells)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    for row in range(rows):
        x[row, row, 10 * row] = torch.nan
    assert run_quantise_diagonal(x, *cells, tile=tile).largest.isnan().tolist() == [True] * rows + [False]


def test_a_thread_holds_few_costs() -> None:
    for partials in (1, 2, 33, 512, 513, 10**6):
        for n_layers in range(1, 17):
            block = block_for(partials, n_layers)
            assert n_layers <= block.wide
            assert min(partials, 512) <= block.partials <= 512
            assert block.partials * block.wide <= 16 * 32 * block.warps
            assert block.warps <= 16


class Asked(TorchDispatchMode):
    """What PyTorch itself is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Callable[..., object], types: object, args: tuple[object, ...] = (), kwargs: object = None
    ) -> object:
        self.names.add(str(func))
        return func(*args, **(kwargs or {}))  # type: ignore[dict-item]


@pytest.mark.parametrize(("case", "launches"), [("diagonal", 2), ("dct", 3), ("list", 2)])
def test_pytorch_launches_nothing_of_its_own(
    monkeypatch: pytest.MonkeyPatch, case: str, launches: int
) -> None:
    """But the difference from a mean, which no kernel of ours takes where tokens are a list: one operation."""
    launched: list[str] = []

    class Kernel:
        def __init__(self, name: str) -> None:
            self.name = name

        def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
            return lambda *given, **options: launched.append(self.name)

    for each in (diagonal_launch, projection_launch, totals):
        monkeypatch.setattr(each, "jitted", lambda function: Kernel(function.__name__))
    x = torch.zeros(3, 50, 40, dtype=torch.bfloat16)
    costs = torch.zeros(256, LEVELS, dtype=torch.int16)
    one, code = torch.ones(50, 40), torch.zeros(50, 40, dtype=torch.int16)
    of_channels = one[0], one[0], code[0], costs, 5, one[0], one[0], 1e-6
    dct = torch.eye(50) if case == "dct" else None
    eyes, order, starts = torch.eye(40)[None], torch.arange(50).int(), torch.tensor([0, 50]).int()
    with Asked() as asked:
        if case == "diagonal":
            run_quantise_diagonal(x, *of_channels)
        else:
            run_quantise_projection(x, one, dct, eyes, order, starts, one, one, code, costs, 5)
    assert len(launched) == launches
    assert launched[-1] == "totals_kernel"
    made = {name for name in asked.names if not name.startswith("aten.empty")}
    assert made == ({"aten.sub.Tensor"} if case == "list" else set())
