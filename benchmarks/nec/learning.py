"""Transforms and steps by gradient descent, for rate at equal error, from the fitted ones on.

What is descended on is the codec's own tables under soft rounding: a coefficient within an eighth of a step of the border of
two bins is, in expectation, partly in both (non-subtractive dither over a quarter of a step), and costs and errs so. Noise
over a whole step, as is usual, would be another codec at a tenth of a bit a coefficient, where nearly all symbols are 0.
Between two levels costs are interpolated in the logarithm of scale over step, and scales follow the transform.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.nec.costed import Codec
from benchmarks.nec.learned_codec import Learned
from codec.transform.fit_cells import LOWEST_LEVEL
from codec.transform.layout import QUARTER_OCTAVES
from codec.transform.maps import QuantMaps, quant_maps
from codec.transform.rate import magnitude_costs
from codec.transform.tables import Tables
from codec.types import FloatArray

IntArray = npt.NDArray[np.int64]

_SOFT = 0.25  # steps that the dither is wide
_ROUNDS = 40
_TILES_OF_FREQUENCIES = 8.0  # of a group of F frequencies a round takes this share over F of the tiles
_ALIVE = 5  # scale over step, in quarter octaves over 1/16: below, non-zeros are negligible
_PACE = {"gains": 0.03, "orthonormal": 0.003, "free": 0.002}  # Adam's, falling to 0 along a cosine


@dataclass(frozen=True)
class Arm:
    """What is learned. Matrices that are not orthonormal have a decoder's matrix of its own, and gains in themselves."""

    matrices: Literal["fitted", "orthonormal", "free"] = "fitted"
    gains: Literal["equal", "levels", "bands"] = "equal"
    mean: bool = False  # layer 0 too; multipliers by level are common to all layers, as tables are


class _Tables:
    """What a magnitude costs in bits and decodes to in steps, by level; where a level has no table all is 0."""

    def __init__(self, tables: Tables, n: int) -> None:
        bits = np.stack([magnitude_costs(level, n) for level in tables.levels]) / 256
        points = np.stack([np.r_[0, e.r1, np.arange(2, n) + e.r2] for e in tables.levels])
        points[[not e.thresholds for e in tables.levels]] = 0
        self.n, self.top = n, len(bits) - 2
        self.bits = torch.tensor(bits, dtype=torch.float32).ravel()
        self.more = torch.tensor(np.diff(bits, axis=0), dtype=torch.float32).ravel()  # at the next level
        self.points = torch.tensor(points, dtype=torch.float32).ravel()

    def expected(self, z: torch.Tensor, step: torch.Tensor, bands: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Of N×F×K: bits, sum; expectation and variance of what is decoded, N×F×K. `bands` F×F takes means over bands."""
        power = bands @ z.square().mean(dim=0) + 1e-30
        level = QUARTER_OCTAVES / 2 * torch.log2(power / step.square()) + LOWEST_LEVEL
        level = level.clamp(0, self.top + 0.999)
        low = level.detach().floor()
        upper = level - low  # F×K, what the scale's gradient comes by
        row = low.long() * self.n
        nearest_row = level.detach().round().long() * self.n
        size = z.abs() / step
        k = size.detach().round().clamp(max=self.n - 2).long()
        other = (k + torch.where(size.detach() > k, 1, -1)).abs()
        share = torch.relu((size - k).abs() - (1 - _SOFT) / 2).clamp(max=_SOFT) / _SOFT
        here, there = (self.bits[row + m] + upper * self.more[row + m] for m in (k, other))
        a, b = (step * self.points[nearest_row + m] for m in (k, other))
        bits = (here + share * (there - here)).sum()
        return bits, (a + share * (b - a)) * z.detach().sign(), share * (1 - share) * (b - a).square()


class _Group:
    """One group of frequencies at one quality: its training latents, and what is learned of its matrices."""

    def __init__(
        self, number: int, latents: FloatArray, where: IntArray, maps: QuantMaps, tables: Tables
    ) -> None:
        plane = tables.planes[0]
        alive = (maps.level[:, where] >= _ALIVE).any(axis=1)
        self.depth = max(2, 1 + int(np.flatnonzero(alive).max(initial=0)))
        values = latents[:, : self.depth][:, :, where].transpose(0, 2, 1)
        self.y = torch.tensor(np.ascontiguousarray(values))  # N×F×K
        same = plane.bands[where][:, None] == plane.bands[where]
        self.bands = torch.tensor(same / same.sum(axis=1, keepdims=True), dtype=torch.float32)
        self.step = torch.tensor(maps.step[: self.depth, where].T.copy())  # F×K
        largest = float((self.y.abs() / self.step).max())
        self.tables = _Tables(tables, int(largest * 1.5) + 8)
        self.number, self.where, self.price = number, where, 1.0

    def cost(
        self,
        gain: torch.Tensor | float = 1.0,
        forward: torch.Tensor | None = None,
        back: torch.Tensor | None = None,
        tiles: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Bits and squared error of a tile. `gain` F×K; `back` where it is not the transpose of `forward`."""
        y = self.y if tiles is None else self.y[tiles]
        z = y if forward is None else y @ forward.T
        bits, mean, variance = self.tables.expected(z, self.step / gain, self.bands)
        if back is None:
            error = (z - mean).square().sum() + variance.sum()
        else:
            error = (y - mean @ back.T).square().sum() + (
                variance.sum(dim=(0, 1)) * back.square().sum(dim=0)
            ).sum()
        return bits / len(y), error / len(y)


def _groups(codec: Codec, latents: FloatArray, index: int) -> list[_Group]:
    """All groups at one quality, with the price of a bit in layer 0, and above it."""
    maps, rotations = quant_maps(codec.tables, 0, index), codec.transform.rotations
    assert rotations is not None
    found = [
        _Group(g, latents, np.flatnonzero(rotations.group == g), maps, codec.tables)
        for g in range(len(rotations.matrices))
    ]
    for part in (found[:1], found[1:]):
        fine, coarse = (
            torch.tensor([[float(x) for x in g.cost(gain)] for g in part]).sum(dim=0)
            for gain in (2 ** (1 / QUARTER_OCTAVES), 2 ** (-1 / QUARTER_OCTAVES))
        )
        for g in part:
            g.price = float((coarse[1] - fine[1]) / (fine[0] - coarse[0]))
    return found


def _gain_number(arm: Arm, codec: Codec, index: int) -> tuple[IntArray, int]:
    """Which of the learned gains each coefficient has at one quality, C×F, and how many there are."""
    maps, rotations = quant_maps(codec.tables, 0, index), codec.transform.rotations
    if arm.gains == "levels":
        return maps.level.astype(np.int64), len(codec.tables.levels)
    assert rotations is not None
    octave = np.floor(np.log2(np.arange(codec.transform.channels) + 1)).astype(np.int64)
    number = octave[:, None] + (octave[-1] + 1) * rotations.group.astype(np.int64)
    return number, int(number.max()) + 1


def learn(codec: Codec, latents: FloatArray, index: int, arm: Arm) -> Learned:
    """Of training latents N×C×F, at one quality; deterministic."""
    torch.manual_seed(0)
    groups = _groups(codec, latents, index)
    by, n_gains = _gain_number(arm, codec, index)
    gains = torch.zeros(n_gains, requires_grad=True)
    turns = [torch.zeros(2, g.depth, g.depth, requires_grad=True) for g in groups]
    numbers = [torch.tensor(by[: g.depth, g.where].T.copy()) for g in groups]
    # Groups come in the order of frequencies: the first is layer 0.
    learning = groups if arm.mean or arm.gains == "levels" else groups[1:]

    def cost(g: _Group, tiles: torch.Tensor | None = None) -> torch.Tensor:
        gain = torch.exp(gains[numbers[g.number]]) if arm.gains != "equal" else 1.0
        bits, error = g.cost(gain, *_matrices(arm, turns[g.number]), tiles)
        return bits + error / g.price

    with torch.no_grad():
        before = sum(float(cost(g)) for g in learning)
        bits = sum(float(g.cost()[0]) for g in groups)
    learned = []
    if arm.gains != "equal":
        learned.append({"params": [gains], "lr": _PACE["gains"]})
    if arm.matrices != "fitted":
        learned.append({"params": [turns[g.number] for g in learning], "lr": _PACE[arm.matrices]})
    adam = torch.optim.Adam(learned)
    falls = torch.optim.lr_scheduler.CosineAnnealingLR(adam, _ROUNDS)
    for _ in range(_ROUNDS):
        adam.zero_grad()
        for g in learning:
            share = min(1.0, _TILES_OF_FREQUENCIES / len(g.where))
            tiles = None if share == 1 else torch.randperm(len(latents))[: int(share * len(latents))]
            cost(g, tiles).backward()
        adam.step()
        falls.step()
    with torch.no_grad():
        after = sum(float(cost(g)) for g in learning)
        matrices = [_matrices(arm, turn) for turn in turns]
    gain = torch.exp(gains.detach()).numpy()
    flat = np.ones_like(latents[0])
    found = Learned(
        codec,
        gain[by] if arm.gains == "bands" else flat,
        gain.astype(np.float64) if arm.gains == "levels" else np.ones(len(codec.tables.levels)),
        promised=1 - (before - after) / bits,
    )
    if arm.matrices != "fitted":
        channels = codec.transform.channels
        forward = np.stack([_whole(m, channels) for m, _ in matrices])
        back = np.stack([_whole(m.T if b is None else b, channels) for m, b in matrices])
        found = replace(found, forward=forward, back=back)
    return found.with_tables(latents)


def _matrices(arm: Arm, turn: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Forward and back, the identity at 0: by Cayley's map of a skew matrix, or freely."""
    if arm.matrices == "fitted":
        return None, None
    one = torch.eye(turn.shape[1])
    if arm.matrices == "free":
        return one + turn[0], one + turn[1]
    skew = turn[0] - turn[0].T
    return torch.linalg.solve(one + skew, one - skew), None


def _whole(matrix: torch.Tensor | None, channels: int) -> FloatArray:
    """C×C: channels behind the learned ones stay as they are."""
    assert matrix is not None
    result = np.eye(channels, dtype=np.float32)
    result[: len(matrix), : len(matrix)] = matrix.numpy()
    return result
