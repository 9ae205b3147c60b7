"""What dependent (trellis-coded) quantisation would take: an offline estimate; no decoder of ours reads such a stream.

Two scalar quantisers, Q0 with points kΔ and Q1 with points (k − sgn(k)/2)Δ; which of them codes a coefficient follows from
the parities of the symbols before it in coding order, by Ungerboeck's trellises of 4 and 8 states (M. Marcellin, T. Fischer,
"Trellis coded quantization" (1990), with zero in both quantisers as in H.266). The encoder searches the path of least
(x − x̂)² + λ·bits (Viterbi). Rates are ideal: −log2 of the probability of a magnitude in its scale level and quantiser, from
training tiles, and a bit for each sign. What it is compared with is estimated the same way: plain rounding, and scalar
rate–distortion-optimised quantisation with tables of its own. Layer 0 stays out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.nec.equal_error import Point, ratio
from benchmarks.nec.held_out import SPLITS, Collection
from benchmarks.nec.rdo_error import RATES, WITH_TABLES, one_plane
from codec.evaluate.rows import Row
from codec.transform.maps import quant_maps
from codec.transform.tables import Tables
from codec.types import FloatArray

SUITE = "nec"
TRADEOFFS = (0.08,)  # λ of trellises in Δ² per bit
_MAGNITUDES = 48  # larger ones count as this, with an Exp-Golomb code behind
_TURNS = 3
_TRAIN_TILES, _TEST_TILES = 96, 36
_PRIOR = 16.0  # pseudo-observations of each table

IntArray = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trellis:
    """Next state by (state, parity), and the quantiser of each state. One state is plain scalar quantisation."""

    following: IntArray  # S×2
    quantiser: IntArray  # S

    @classmethod
    def of(cls, memory: int) -> Trellis:
        """0: scalar. 2, 3 bits: parity checks h0 = 5, h1 = 2 and h0 = 13, h1 = 4 (octal), in observer form."""
        if not memory:
            return cls(np.zeros((1, 2), dtype=np.int64), np.zeros(1, dtype=np.int64))
        h0, h1 = {2: (0o5, 0o2), 3: (0o13, 0o4)}[memory]
        n = 1 << memory
        following, quantiser = np.zeros((n, 2), dtype=np.int64), np.zeros(n, dtype=np.int64)
        for state in range(n):
            z0 = state & 1  # bit i of a state is w_(i+1)
            quantiser[state] = z0
            for z1 in (0, 1):
                shifted = state >> 1
                taps = (z0 * (h0 >> 1)) ^ (z1 * (h1 >> 1))
                following[state, z1] = shifted ^ taps
        return cls(following, quantiser)


def _value(k: IntArray, quantiser: int) -> FloatVector:
    """Points of magnitudes, in Δ, before centroids."""
    return np.asarray(k - 0.5 * quantiser * (k > 0), dtype=np.float64)


@dataclass
class Model:
    """Bits and points of every (level, quantiser, magnitude)."""

    bits: FloatVector  # L×2×M, signs included
    points: FloatVector  # L×2×M

    @classmethod
    def first(cls, n_levels: int) -> Model:
        """Laplace densities of each level's scale: level 16 is one Δ."""
        scale = 2.0 ** ((np.arange(n_levels) - 16) / 4)
        m = np.arange(_MAGNITUDES)
        points = np.stack([_value(m, q) for q in (0, 1)])
        p = np.exp(-np.sqrt(2.0) * points[None] / scale[:, None, None]) + 1e-9
        p[:, :, 1:] *= 2.0
        p /= p.sum(axis=2, keepdims=True)
        return cls(-np.log2(p) + (m > 0), np.broadcast_to(points, p.shape).copy())

    def refit(self, level: IntArray, used: IntArray, k: IntArray, a: FloatVector) -> Model:
        """From symbols k of scaled magnitudes a with quantisers `used`."""
        shape = self.bits.shape
        m = np.minimum(k, _MAGNITUDES - 1)
        flat = np.ravel_multi_index((level, used, m), shape)
        size = int(np.prod(shape))
        counts = np.bincount(flat, minlength=size).reshape(shape).astype(np.float64)
        sums = np.bincount(flat, a - _value(k, 0) + 0.5 * used * (k > 0), size).reshape(shape)
        old = 2.0 ** -(self.bits - (np.arange(_MAGNITUDES) > 0))
        p = counts + _PRIOR * old
        p /= p.sum(axis=2, keepdims=True)
        shift = np.zeros(shape)
        shift[:, :, 1] = sums[:, :, 1] / (counts[:, :, 1] + 1.0)
        shift[:, :, 2:] = (sums[:, :, 2:].sum(axis=2) / (counts[:, :, 2:].sum(axis=2) + 1.0))[:, :, None]
        base = np.stack([_value(np.arange(_MAGNITUDES), q) for q in (0, 1)])
        return Model(-np.log2(p) + (np.arange(_MAGNITUDES) > 0), base[None] + shift)


@dataclass(frozen=True)
class _Best:
    """Of every coefficient, quantiser and parity the best candidate: loss and magnitude, N×K each."""

    loss: npt.NDArray[np.float32]  # 2×2×N×K
    k: npt.NDArray[np.int32]  # 2×2×N×K


def best_candidates(a: FloatVector, level: IntArray, model: Model, tradeoff: float, plain: bool) -> _Best:
    loss = np.full((2, 2, *a.shape), np.inf, dtype=np.float32)
    best = np.zeros(loss.shape, dtype=np.int32)
    for q in (0, 1):
        below = np.floor(a + 0.5 * q).astype(np.int64)
        tried = (
            [np.rint(a).astype(np.int64)]
            if plain
            else [below + 1, below, np.maximum(below - 1, 0), below * 0]
        )
        for k in tried:
            m = np.minimum(k, _MAGNITUDES - 1)
            point = model.points[level, q, m] + (k - m)
            bits = model.bits[level, q, m] + np.where(k > m, 2 * np.floor(np.log2(k - m + 1.0)) + 1, 0)
            j = (np.square(a - point) + tradeoff * bits).astype(np.float32)
            for parity in (0, 1):
                better = ((k & 1) == parity) & (j < loss[q, parity])
                loss[q, parity] = np.where(better, j, loss[q, parity])
                best[q, parity] = np.where(better, k, best[q, parity])
    return _Best(loss, best)


def search(best: _Best, trellis: Trellis) -> tuple[IntArray, IntArray]:
    """The path of least loss of each of N sequences: magnitudes and quantisers, N×K."""
    _, _, n, length = best.loss.shape
    n_states = len(trellis.quantiser)
    branches = [  # of each state: the (state, parity) that lead to it
        [(s, z) for s in range(n_states) for z in (0, 1) if trellis.following[s, z] == to]
        for to in range(n_states)
    ]
    before = np.array([[s for s, _ in b] for b in branches]).T  # 2×S
    parity = np.array([[z for _, z in b] for b in branches]).T
    total = np.full((n, n_states), np.float32(1e9))
    total[:, 0] = 0
    came = np.zeros((length, n, n_states), dtype=bool)
    steps = np.ascontiguousarray(np.moveaxis(best.loss, 3, 0))  # K×2×2×N
    for t in range(length):
        step = steps[t]
        two = [total[:, before[i]] + step[trellis.quantiser[before[i]], parity[i]].T for i in (0, 1)]
        came[t] = two[1] < two[0]
        total = np.where(came[t], two[1], two[0])
    state = total.argmin(axis=1)
    k, used = np.zeros((n, length), dtype=np.int64), np.zeros((n, length), dtype=np.int64)
    rows = np.arange(n)
    for t in range(length - 1, -1, -1):
        which = came[t, rows, state].astype(np.int64)
        z, state = parity[which, state], before[which, state]
        used[:, t] = trellis.quantiser[state]
        k[:, t] = best.k[used[:, t], z, rows, t]
    return k, used


@dataclass(frozen=True)
class Coder:
    """One kind of quantiser at one quality: what is coded, and how it was trained."""

    tables: Tables
    trellis: Trellis
    tradeoff: float  # 0 with one state: plain rounding

    def point(self, train: FloatArray, test: FloatArray, index: int) -> Point:
        """Ideal bytes and squared error above layer 0 of each test tile; the model is fitted on training tiles."""
        maps = quant_maps(self.tables, 0, index)
        cells = maps.coded & (maps.layer > 0)
        order = np.argsort(
            self.tables.planes[0].bands, kind="stable"
        )  # coding order: band, channel, frequency
        channel, frequency = np.nonzero(cells[:, order])
        frequency = order[frequency]
        by_band = np.lexsort((frequency, channel, self.tables.planes[0].bands[frequency]))
        channel, frequency = channel[by_band], frequency[by_band]
        level, step = maps.level[channel, frequency].astype(np.int64), maps.step[channel, frequency]
        model = Model.first(len(self.tables.levels))
        for _ in range(_TURNS):
            a = np.abs(train[:, channel, frequency]) / step
            k, used = self._choose(a, level, model)
            model = model.refit(
                np.broadcast_to(level, k.shape).ravel(), used.ravel(), k.ravel(), a.astype(np.float64).ravel()
            )
        a = np.abs(test[:, channel, frequency]) / step
        k, used = self._choose(a, level, model)
        m = np.minimum(k, _MAGNITUDES - 1)
        bits = model.bits[level, used, m] + np.where(k > m, 2 * np.floor(np.log2(k - m + 1.0)) + 1, 0)
        error = np.square((a - model.points[level, used, m] - (k - m)) * step).sum(axis=1)
        left_out = (maps.layer > 0) & ~maps.coded
        return Point(
            bits.sum(axis=1) / 8 + 1e-9, error + np.square(test[:, left_out], dtype=np.float64).sum(axis=1)
        )

    def _choose(self, a: FloatVector, level: IntArray, model: Model) -> tuple[IntArray, IntArray]:
        plain = not self.tradeoff
        if len(self.trellis.quantiser) > 1:
            return search(best_candidates(a, level, model, self.tradeoff, plain), self.trellis)
        best = best_candidates(a, level, model, self.tradeoff, plain)
        odd = best.loss[0, 1] < best.loss[0, 0]
        return np.where(odd, best.k[0, 1], best.k[0, 0]).astype(np.int64), np.zeros(a.shape, dtype=np.int64)


def rows(of: Collection) -> Iterator[Row]:
    """Bytes above layer 0 at equal error, over plain rounding and over scalar optimisation, on all held-out sets."""
    tables = one_plane(of.package.table_file)
    values, parts = of.training("tokens")
    transform = of.package.transforms["tokens"]
    latents = np.concatenate([one.latents[:_TEST_TILES] for one in of.held])
    groups = np.concatenate([one.groups[:_TEST_TILES] + 10**9 * i for i, one in enumerate(of.held)])
    trained = [
        transform.analyse(values[part][:: max(1, int(part.sum()) // _TRAIN_TILES)][:_TRAIN_TILES])
        for part in parts
    ]
    plain, scalar = Coder(tables, Trellis.of(0), 0.0), Coder(tables, Trellis.of(0), WITH_TABLES)
    for rate in RATES:
        index = _index_near(plain, trained[0], rate)
        reference = [plain.point(train, latents, index) for train in trained]
        others = [
            [scalar.point(train, latents, index + k) for k in (-5, -4, -3, -2, -1, 0)] for train in trained
        ]
        case = f"{of.package.name}/all sets/above layer 0 near {rate:g} B"
        found = ratio(others, reference, groups)
        yield _row(case, "scalar rdo, ideal tables (estimate)", "plain rounding", found)
        for name, memory in (("4 states", 2), ("8 states", 3)):
            curves = []
            for train in trained:
                curve = []
                for k in (-3, -2, -1, 0, 1, 2):  # a trellis has less error at one step
                    curve += [
                        Coder(tables, Trellis.of(memory), t).point(train, latents, index + k)
                        for t in TRADEOFFS
                    ]
                curves.append(_frontier(curve))
            found = ratio(curves, reference, groups)
            yield _row(case, f"trellis of {name} (estimate)", "plain rounding", found)
            middle = [o[3] for o in others]
            yield _row(case, f"trellis of {name} (estimate)", "scalar rdo", ratio(curves, middle, groups))


def _index_near(plain: Coder, train: FloatArray, rate: float) -> int:
    usable = plain.tables.usable_indices()
    sizes = {
        i: plain.point(train[:40], train[:40], i).bytes.mean()
        for i in range(usable.start + 8, usable.stop - 4, 2)
    }
    return min(sizes, key=lambda i: abs(float(np.log(sizes[i] / rate))))


def _frontier(points: list[Point]) -> list[Point]:
    """Those that no other one beats in both bytes and error."""
    totals = [(p.bytes.sum(), p.errors.sum()) for p in points]
    return [
        p
        for p, (b, e) in zip(points, totals, strict=True)
        if not any(b2 <= b and e2 <= e and (b2, e2) != (b, e) for b2, e2 in totals)
    ]


def _row(case: str, label: str, rival: str, found: object) -> Row:
    from benchmarks.nec.equal_error import Ratio

    assert isinstance(found, Ratio)
    return Row(
        SUITE, case, f"bytes at equal error, {label}", found.value, found.low, found.high,
        f"ratio [95% over places and {SPLITS} training parts; no format]", rival, found.n,
        ",".join(map(str, range(SPLITS))),
    )  # fmt: skip
