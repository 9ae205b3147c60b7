"""What training decodes is what the codec decodes; bits are those of a Laplace density; gradients go straight through."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import laplace

from codec.nec.rate_aware.channel import Channel, laplace_bits, worth_of_a_bit
from codec.transform.maps import quant_maps

CPU = torch.device("cpu")


def tokens(n: int = 96, seed: int = 3) -> np.ndarray:
    """Smooth in space, with channels of falling size."""
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal((n, 2, 2, 16)).repeat(2, 1).repeat(2, 2) + 0.2 * rng.standard_normal(
        (n, 4, 4, 16)
    )
    return (coarse * 0.8 ** np.arange(16)).astype(np.float32)


@pytest.fixture(scope="module")
def channel() -> Channel:
    return Channel.fitted(tokens(), 60.0, 4.0, CPU)


def test_decoded_tokens_are_those_of_the_codec_itself(channel: Channel) -> None:
    x = tokens(seed=4)
    for index in (channel.indices.start, channel.indices.stop - 1):
        maps = quant_maps(channel.tables, 0, index)
        expected = channel.transform.synthesise(maps.reconstruct(maps.quantise(channel.transform.analyse(x))))
        sent = channel.send(torch.from_numpy(x).flatten(1, 2), index, learn=False)
        np.testing.assert_allclose(sent.tokens.numpy(), expected.reshape(len(x), 16, 16), atol=1e-4)
        assert sent.error == pytest.approx(float(((expected - x) ** 2).mean()), rel=1e-3)


def test_the_gradient_of_the_tokens_goes_straight_through(channel: Channel) -> None:
    x = torch.from_numpy(tokens(n=4, seed=5)).flatten(1, 2).requires_grad_()
    pull = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    (channel.send(x, channel.indices.stop - 1, learn=False).tokens * pull).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, pull, atol=1e-4, rtol=1e-4)


def test_arithmetic_is_float32_inside_autocast(channel: Channel) -> None:
    x = torch.from_numpy(tokens(n=4)).flatten(1, 2)
    outside = channel.send(x, channel.indices.start, learn=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = channel.send(x, channel.indices.start, learn=False)
    assert inside.tokens.dtype == torch.float32
    assert torch.equal(inside.tokens, outside.tokens)
    assert torch.equal(inside.bits, outside.bits)


@pytest.mark.parametrize("scale", [0.05, 1.0, 30.0])
@pytest.mark.parametrize("step", [0.1, 1.0, 8.0])
def test_bits_are_those_of_a_laplace_density(scale: float, step: float) -> None:
    values = np.array([0.0, 0.3 * step, 0.5 * step, 1.7 * step, -4.0 * step])
    with np.errstate(divide="ignore"):
        expected = -np.log2(
            laplace.cdf(np.abs(values) + step / 2, scale=scale)
            - laplace.cdf(np.abs(values) - step / 2, scale=scale)
        )
    found = laplace_bits(
        torch.from_numpy(values),
        torch.tensor(step, dtype=torch.float64),
        torch.tensor(scale, dtype=torch.float64),
    )
    near = np.isfinite(expected) & (expected < 40)  # beyond, the difference of the two has lost its digits
    np.testing.assert_allclose(found.numpy()[near], expected[near], rtol=1e-6, atol=1e-9)


def test_bits_and_their_slopes_are_finite_far_out_and_at_the_edge() -> None:
    values = torch.tensor([0.0, 1e-9, 0.5, 0.5000001, 1e6], requires_grad=True)
    bits = laplace_bits(values, torch.tensor(1.0), torch.tensor(1e-3))
    bits.sum().backward()
    assert values.grad is not None
    assert torch.isfinite(bits).all()
    assert torch.isfinite(values.grad).all()


def test_a_bit_is_worth_what_the_error_falls_by_at_fine_steps() -> None:
    """Halving the step of one of M coefficients costs one bit and takes ¾·step²/12/M away; by the slope at the step,
    2·ln 2·step²/12/M."""
    step = torch.full((2, 8), 0.25)
    worth = worth_of_a_bit(step, slope=3.0)
    per_bit = [3.0 * (0.25**2 - (0.25 * 2.0**-bit) ** 2) / 12 / 16 / bit for bit in (1e-3, 1e-4)]
    assert float(worth[0, 0]) == pytest.approx(per_bit[1], rel=1e-3)


def test_a_channel_survives_its_checkpoint(channel: Channel) -> None:
    again = Channel.of_state(channel.state(), CPU)
    x = torch.from_numpy(tokens(n=8, seed=6)).flatten(1, 2)
    a, b = (one.send(x, channel.indices.start, learn=False) for one in (channel, again))
    assert torch.equal(a.tokens, b.tokens)
    assert torch.equal(a.bits, b.bits)
    assert again.indices == channel.indices


def test_scales_follow_the_tokens_only_where_they_may(channel: Channel) -> None:
    own = Channel.of_state(channel.state(), CPU)
    x = torch.from_numpy(tokens(n=8) * 3).flatten(1, 2)
    own.send(x, own.indices.start, learn=False)
    assert torch.equal(own.scale, channel.scale)
    own.send(x, own.indices.start)
    assert float(own.scale.mean()) > float(channel.scale.mean())
