"""Records of a scene that fill a budget of bytes, some of them one rung finer than the file's quality.

The file's ladder index q is the finest at which everything fits. Records are then taken one rung finer, by the ladder
offset −1 in their headers, the more important tiles first, until the budget is spent. Where even the coarsest quality
does not fit, symbols of the layers above layer 0 are left at zero instead, record by record, and coded where there is
room. How tiles share records follows from integer costs at the finer of the two qualities, so that either choice fits
the size that records approach; coded sizes only decide which of the two a record has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from codec.bitstream import core
from codec.bitstream.masks import PlaneMasks, plane_masks
from codec.errors import InputError
from codec.package import Package
from codec.pipeline.estimated import Estimated
from codec.pipeline.mixture import Choice, Coding, Mixture
from codec.pipeline.quantising import Costs, Mean, Quantiser, check_reach, chosen_mean
from codec.pipeline.sources import Source
from codec.transform.budget import FloatVector
from codec.transform.quantiser import MAX_MAGNITUDE
from codec.types import BoolArray, Record, TileGrid

# What is left of a budget, as a share of it, that is worth a record more or another order.
_WORTH = 0.01
# What `codec.pipeline.encode` promises: so much of a budget is spent, if it has so many bytes or as many records.
_PROMISED, _PROMISED_BYTES, _PROMISED_RECORDS = 0.98, 4096, 16
_PLANS = 8  # made again, by what records really took
_TRIALS = 24  # records coded both ways at the end, to use up what estimates left over

# Bytes of everything in the file but coefficient records that counts, given the means and the number of such records.
Overhead = Callable[[Sequence[Mean | None], int], int]


@dataclass(frozen=True)
class Filled:
    """What came out: the quality, the mean vectors of the planes, and the records in file order."""

    ladder_index: int
    means: list[Mean | None]
    records: list[Record]
    bytes: int  # with the overhead
    expected: int  # the same by estimates


@dataclass
class Mixer:
    """Mixtures of one scene's records. `importance`: a weight per tile."""

    package: Package
    sources: list[Source]
    grid: TileGrid
    importance: FloatVector
    overhead: Overhead
    target_bytes: int
    file_mean: bool | None
    backend: str
    tradeoff: float = 0.0
    _masks: list[PlaneMasks] = field(init=False)
    _costs: dict[tuple[int, int], list[list[Costs]]] = field(init=False, default_factory=dict)
    _means: dict[int, list[Mean | None]] = field(init=False, default_factory=dict)
    _indices: range = field(init=False)

    def __post_init__(self) -> None:
        specs = self.package.plane_specs
        self._masks = [plane_masks(self.grid, specs[s.number], s.validity) for s in self.sources]
        self._indices = self._reached()

    def fill(self, budget: int, per: int = 1) -> Filled:
        """Records whose bytes, with the overhead, are at most `budget`, and as near as records allow.

        Less is used where even the finest quality takes less. Raises InputError with the smallest possible size where
        layer 0 alone, at the coarsest quality, takes more; it speaks of bytes over `per` tiles.
        """
        found = self._planned(budget, budget)
        if found is None:
            mixture, finer = self._mixture(self._indices[-1], budget, emptied=True)
            found = self._coded(mixture, finer, budget)
            if found is None:
                least = mixture.overhead + self._coding(mixture).size
                a_tile = "" if per == 1 else " a tile"
                raise InputError(
                    f"a budget of {budget / per:g} bytes{a_tile} cannot be met: layer 0 at the coarsest quality takes "
                    f"{math.ceil(100 * least / per) / 100:g}",
                    fix="allow more bytes, or send fewer tiles",
                )
        return self._spent(found, budget)

    def _planned(self, plan: int, budget: int) -> Filled | None:
        """Records whose estimates come near `plan` and whose bytes are at most `budget`; None where there are none."""
        index = self._finest_within(plan)
        while index is not None and index in self._indices:
            # Estimates that are known to mislead are no reason for another order than that of importance.
            mixture, finer = self._mixture(index, plan, reorder=plan == budget)
            if mixture.least <= plan:
                found = self._coded(mixture, finer, budget)
                if found is not None:
                    return found
            # By a fraction of a percent: it was grouped for a finer quality, or coded larger than estimated.
            index += 1
        return None

    def _spent(self, found: Filled, budget: int) -> Filled:
        """The same, or what spends more of the budget where estimates were too high by more than the promise allows.

        Zeros before a lane's first other symbol cost nothing, as its state is still small: a record of nothing but zeros
        has some bytes, and its estimate hundreds. A tradeoff leaves many such records.
        """
        good, bad = budget, 0  # plans: the best so far, and one beyond it that came out no better
        for _ in range(_PLANS):
            is_promised = budget >= _PROMISED_BYTES or len(found.records) >= _PROMISED_RECORDS
            is_finest = found.ladder_index == self._indices.start
            if found.bytes >= _PROMISED * budget or is_finest or not is_promised:
                break
            further = max(budget + found.expected - found.bytes, good + budget - found.bytes)
            plan = (good + bad) // 2 if bad else further
            other = self._planned(plan, budget)
            if other is None or other.bytes <= found.bytes:
                bad = plan
            else:
                good, found = plan, other
        return found

    def _reached(self) -> range:
        """The ladder indices at which no latent is clamped. Raises InputError where even the coarsest does."""
        indices = self.package.ladder_indices
        if all(self._is_far_from(MAX_MAGNITUDE, s, indices.start) for s in self.sources):
            return indices
        for index in indices:
            # The mean vector may be that of the index itself or, for records one rung finer, of the next.
            files = [at for at in (index, index + 1) if at in indices]
            if not any(q.clamped().any() for at in files for q in self._quantisers(index, at)):
                break
        check_reach(self._quantisers(index, index))
        return range(index, indices.stop)

    def _is_far_from(self, magnitude: int, source: Source, index: int) -> bool:
        """Whether no symbol comes near, whatever mean is taken off: that at most doubles a latent."""
        largest = np.maximum(source.values.max(axis=0, initial=0), -source.values.min(axis=0, initial=0))
        return bool((2 * largest <= magnitude * self.package.maps(source.number, index).step).all())

    def _quantisers(self, index: int, file_index: int) -> list[Quantiser]:
        """Of every plane, for records at `index` in a file of `file_index`, which decides on the mean vectors."""
        return [
            Quantiser(self.package, source, index, mean, self.tradeoff)
            for source, mean in zip(self.sources, self._means_at(file_index), strict=True)
        ]

    def _coding(self, mixture: Mixture) -> Coding:
        return Coding(self.package, self.sources, self._masks, mixture, self.backend, self.tradeoff)

    def _finest_within(self, budget: int) -> int | None:
        """The finest index at which all records fit by estimates; None where there is none."""
        indices = self._indices
        low, high = indices.start, indices.stop - 1
        if self._total(high) > budget:
            return None
        while low < high:
            middle = (low + high) // 2
            if self._total(middle) <= budget:
                high = middle
            else:
                low = middle + 1
        return high

    def _total(self, index: int) -> int:
        costs = self._costs_at(index, index)
        found = Estimated(self.package, self.sources, self._masks, costs, costs)
        groups = found.groups(self.target_bytes)
        return self.overhead(self._means_at(index), len(groups)) + sum(found.size(g, 0) for g in groups)

    def _means_at(self, index: int) -> list[Mean | None]:
        if index not in self._means:
            self._means[index] = [chosen_mean(self.package, s, index, self.file_mean) for s in self.sources]
        return self._means[index]

    def _costs_at(self, index: int, file_index: int) -> list[list[Costs]]:
        """Costs of every plane and layer at `index` in a file of `file_index`."""
        key = (index, file_index)
        if key not in self._costs:
            self._costs[key] = [
                quantiser.costs(self._layers(quantiser.source.number))
                for quantiser in self._quantisers(index, file_index)
            ]
        return self._costs[key]

    def _layers(self, plane: int) -> range:
        return range(self.package.plane_specs[plane].n_layers)

    def _mixture(
        self, index: int, budget: int, *, emptied: bool = False, reorder: bool = True
    ) -> tuple[Mixture, BoolArray]:
        """The records of a file at `index`, and which of them shall take the finer of their two choices.

        The choices: one rung finer or not; `emptied`: above layer 0 coded or zero. `reorder`: records that grow most may
        come first, where that spends more.
        """
        plain, finest = Choice(0), index == self._indices.start
        low = high = self._costs_at(index, index)
        choices = (plain, plain)
        if emptied:
            choices, low = (Choice(0, zero=True), plain), self._emptied(index, high)
        elif not finest:
            choices, high = (plain, Choice(-1)), self._costs_at(index - 1, index)
        found = Estimated(self.package, self.sources, self._masks, low, high)
        means, groups = self._means_at(index), found.groups(self.target_bytes)
        sizes, overhead = found.sizes(groups, self.importance), self.overhead(means, len(groups))
        finer = sizes.spend(budget - overhead, worth=int(_WORTH * budget) if reorder else budget)
        left = budget - overhead - sizes.taken(finer)
        if left > _WORTH * budget and not finest:
            growth = left - (self.overhead(means, len(groups) + 1) - overhead)
            for number in sizes.order.tolist():
                pair = None if finer[number] else found.cut(groups[number], growth)
                if pair is not None:
                    groups[number : number + 1] = pair
                    finer = np.insert(finer, number, True)
                    sizes, overhead = (
                        found.sizes(groups, self.importance),
                        self.overhead(means, len(groups)),
                    )
                    break
        lanes = [(found.lanes(group, 0), found.lanes(group, 1)) for group in groups]
        return Mixture(index, means, choices, groups, lanes, sizes, overhead), finer

    def _emptied(self, index: int, whole: list[list[Costs]]) -> list[list[Costs]]:
        """Costs where all symbols above layer 0 are zero: the same for every coded tile."""
        result = []
        for source, costs in zip(self.sources, whole, strict=True):
            nothing = np.zeros((1, *source.values.shape[1:]), dtype=np.int16)
            own = [costs[0]]
            for layer in self._layers(source.number)[1:]:
                each = core.tile_costs(self.package.tables, source.number, layer, index, nothing)[0]
                own.append(np.where(source.coded, each, np.uint64(0)))
            result.append(own)
        return result

    def _coded(self, mixture: Mixture, finer: BoolArray, budget: int) -> Filled | None:
        """Real records within the budget; None where the mixture's lower choices take more."""
        coding, sizes = self._coding(mixture), mixture.sizes
        coding.set(finer)
        left = budget - mixture.overhead - coding.size
        order = sizes.order.tolist()
        while left < 0 and any(coding.finer):
            left -= coding.recode(sizes.to_give_up(coding.finer, -left), finer=False)
        if left < 0:
            return None
        trials = [number for number in order if not coding.finer[number]][:_TRIALS]
        for number in trials:
            before = coding.parts[number]
            extra = coding.recode(number, finer=True)
            if extra <= left:
                left -= extra
            else:
                coding.undo(number, before)
        expected = mixture.overhead + sizes.taken(np.array(coding.finer, dtype=bool))
        return Filled(mixture.ladder_index, mixture.means, coding.records(), budget - left, expected)
