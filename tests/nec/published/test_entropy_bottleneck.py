"""CompressAI's bottleneck behind its seam, against our own density."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from small_nec import needs_compressai
from torch import Tensor

from codec.errors import BackendUnavailable, ExitCode, InputError
from codec.nec import bottleneck as seam
from codec.nec.bottleneck import STRING_OVERHEAD, Bottleneck
from codec.nec.density import TAIL, FactorisedDensity, counts

SPREADS = (0.05, 0.3, 1.0, 4.0)  # of the channels


def normal(n: int, seed: int = 0) -> Tensor:
    """1×n×4, channels of different spread and mean 0.3."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((1, n, len(SPREADS)), generator=generator) * torch.tensor(SPREADS) + 0.3


@pytest.fixture(scope="module")
def trained() -> Bottleneck:
    """Fitted to `normal` by its own likelihood; its quantiles were never moved."""
    torch.manual_seed(0)
    found = Bottleneck(len(SPREADS))
    optimiser = torch.optim.Adam(found.density(), lr=0.05)
    for step in range(300):
        optimiser.zero_grad()
        found(normal(512, step), noise=True)[1].mean().backward()
        optimiser.step()
    return found.eval()


def test_without_compressai_the_error_names_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == "compressai"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(seam.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match="make setup") as caught:
        Bottleneck(4)
    assert caught.value.exit_code == ExitCode.BACKEND


@needs_compressai
class TestAgainstTheTwin:
    def test_a_channel_has_58_parameters(self) -> None:
        assert sum(p.numel() for p in Bottleneck(7).density()) == 58 * 7
        assert sum(p.numel() for p in FactorisedDensity(7).parameters()) == 58 * 7

    def test_likelihoods_agree(self, trained: Bottleneck) -> None:
        y = normal(200, 999)
        _, bits = trained(y, noise=False)
        twin = FactorisedDensity.of_state(trained.core.state_dict())
        own = -twin.likelihood(trained.rounded(y)[1][0].T.double()).log2().T[None]
        # Below 2^-16 CompressAI's float32 difference near 1 begins to lose digits.
        likely = own < 16
        torch.testing.assert_close(bits[likely].double(), own[likely], atol=0.02, rtol=0.002)

    def test_noise_stays_within_half_a_step(self, trained: Bottleneck) -> None:
        y = normal(300)
        moved = (trained(y, noise=True)[0] - y).abs()
        assert 0.4 < float(moved.max().detach()) <= 0.5

    def test_bisection_finds_the_twin_quantiles(self, trained: Bottleneck) -> None:
        trained.freeze("bisection")
        twin = FactorisedDensity.of_state(trained.core.state_dict())
        for place, share in enumerate((TAIL, 0.5, 1 - TAIL)):
            torch.testing.assert_close(
                trained.quantiles.detach()[:, 0, place].double(), twin.quantile(share), atol=0.02, rtol=0.002
            )

    def test_real_bytes_are_the_cross_entropy_within_one_percent(self, trained: Bottleneck) -> None:
        trained.freeze("bisection")
        y = normal(20_000, 77)
        with torch.no_grad():
            expected = float(trained(y, noise=False)[1].sum()) / 8
        (string,) = trained.compress(y)
        assert len(string) - STRING_OVERHEAD == pytest.approx(expected, rel=0.01)

    def test_integer_tables_say_the_bytes(self, trained: Bottleneck) -> None:
        trained.freeze("bisection")
        y = normal(20_000, 78)
        (string,) = trained.compress(y)
        assert len(string) == pytest.approx(float(trained.table_bits(y).sum()) / 8, rel=1e-3, abs=9)

    def test_escapes_are_counted_as_they_are_written(self, trained: Bottleneck) -> None:
        trained.freeze("bisection")
        y = normal(4000, 79)
        y[0, ::10, 2] += 900.0  # far outside the table
        y[0, 5::10, 3] -= 70_000.0
        (string,) = trained.compress(y)
        torch.testing.assert_close(trained.decompress([string], 4000), trained.rounded(y)[1])
        assert len(string) == pytest.approx(float(trained.table_bits(y).sum()) / 8, rel=2e-3, abs=9)

    def test_frozen_with_quantiles_as_they_began_a_narrow_channel_has_a_needlessly_wide_table(
        self, trained: Bottleneck
    ) -> None:
        """Defect 8: the table is as wide as it began, whatever the density became."""
        trained.quantiles.data.copy_(torch.tensor([-10.0, 0.0, 10.0]).expand(len(SPREADS), 1, 3))
        trained.freeze("adam")
        assert trained.core._cdf_length.tolist() == [23] * 4  # −10 … 10, escape, end
        low, high = trained.tail_mass()
        assert float(high[3]) > 1e-4  # spread 4: one value in thousands escapes
        assert float(low[0]) < TAIL  # spread 0.05: nothing does
        trained.freeze("bisection")
        assert trained.core._cdf_length[0] < 23 < trained.core._cdf_length[3]

    def test_a_density_without_tails_in_reach_is_refused_and_says_by_how_much(self) -> None:
        lost = Bottleneck(3)
        with torch.no_grad():
            lost.core.biases[4][1] = 1e9
        with pytest.raises(InputError, match=r"channel 1 has not converged: 1 of it.*1 of 3 channels"):
            lost.freeze("bisection")

    def test_tables_of_the_twin_lose_next_to_nothing(self, trained: Bottleneck) -> None:
        twin = FactorisedDensity.of_state(trained.core.state_dict())
        rng = np.random.default_rng(3)
        for channel, (first, table) in enumerate(twin.tables()):
            assert table.sum() == 1 << 16
            assert table.min() >= 1
            median = float(twin.quantile(0.5)[channel])
            values = rng.normal(0.3, SPREADS[channel], 50_000)
            symbols = np.rint(values - median).astype(int) - first
            bits = 16 - np.log2(table[symbols]).mean()
            exact = twin.likelihood(
                torch.from_numpy(symbols + first + median)[None].expand(len(SPREADS), -1)
            )[channel]
            assert bits == pytest.approx(float(-exact.detach().log2().mean()), rel=0.01, abs=2e-3)

    def test_what_is_not_finite_is_refused(self, trained: Bottleneck) -> None:
        trained.freeze("bisection")
        y = normal(4)
        y[0, 2, 1] = float("nan")
        with pytest.raises(InputError, match="not finite"):
            trained.compress(y)


def test_likelihoods_of_the_upper_tail_keep_their_digits() -> None:
    """Issue of the plain difference: sigmoid(upper) − sigmoid(lower) is 0 in float32 beyond a logit of 17."""
    twin = FactorisedDensity(1)
    far = torch.tensor([[-60.0, 60.0]])
    middle = float(twin.quantile(0.5)[0])
    low, high = twin.likelihood(far + middle)[0].tolist()
    assert low > 0
    assert high > 0
    exact = FactorisedDensity.of_state(twin.state_dict()).likelihood((far + middle).double())[0]
    assert high == pytest.approx(float(exact[1]), rel=1e-3)


def test_a_monotone_density_sums_to_one() -> None:
    twin = FactorisedDensity(2).double()
    symbols = torch.arange(-4000.0, 4001.0, dtype=torch.float64).expand(2, -1)
    torch.testing.assert_close(
        twin.likelihood(symbols).sum(1), torch.ones(2, dtype=torch.float64), atol=1e-6, rtol=0
    )


def test_counts_fill_the_total_and_leave_nothing_out() -> None:
    table = counts(np.array([1e-12, 0.5, 0.25, 0.25 - 1e-12, 0.0]))
    assert table.sum() == 65536
    assert table.min() == 1
    assert table[1] == pytest.approx(32768, abs=4)
