"""How tiles share records, and what a record takes in either of two ways to code it, by integer costs alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codec.bitstream import grouping
from codec.bitstream import record as rec
from codec.bitstream.masks import PlaneMasks
from codec.package import Package
from codec.pipeline.mixture import Group
from codec.pipeline.quantising import Costs
from codec.pipeline.sources import Source
from codec.transform.budget import FloatVector, Int64Array, Sizes, by_importance, mean_importance

LayerCosts = Sequence[Sequence[Costs]]  # of every plane and layer, N each


class Estimated:
    """Two costs of every tile in every (plane, layer), as records."""

    def __init__(
        self,
        package: Package,
        sources: Sequence[Source],
        masks: Sequence[PlaneMasks],
        low: LayerCosts,
        high: LayerCosts,
    ) -> None:
        self._package, self._sources, self._masks = package, sources, masks
        self._costs = (low, high)
        self._estimates = {
            (source.number, layer): tuple(
                grouping.Estimates(costs[source.number][layer], masks[source.number], token_mask=layer == 0)
                for costs in (low, high)
            )
            for source in sources
            for layer in range(package.plane_specs[source.number].n_layers)
        }

    def groups(self, target_bytes: int) -> list[Group]:
        """Records in file order (bitstream §10.3), cut by the dearer of each tile's two costs: either choice fits."""
        found = []
        for layer in range(max(spec.n_layers for spec in self._package.plane_specs)):
            for source in self._sources:
                plane = source.number
                if (plane, layer) not in self._estimates:
                    continue
                maps = self._package.maps(plane, self._package.ladder_indices[-1])
                runs = grouping.runs(
                    np.maximum(*(costs[plane][layer] for costs in self._costs)),
                    self._masks[plane],
                    layer=layer,
                    coefficients_per_tile=int((maps.layer == layer).sum()),
                    target_bytes=target_bytes,
                )
                found += [Group(plane, layer, run.first, run.count) for run in runs]
        return found

    def sizes(self, groups: Sequence[Group], importance: FloatVector) -> Sizes:
        """Whole records in bytes, and the order in which they are coded finer: by the mean weight of their tiles."""
        low, high = (np.array([self.size(g, finer) for g in groups], dtype=np.int64) for finer in (0, 1))
        layer, plane, first, count = (
            np.array([getattr(g, name) for g in groups], dtype=np.int64)
            for name in ("layer", "plane", "first", "count")
        )
        weight = np.zeros(len(groups))
        for source in self._sources:
            own = plane == source.number
            weight[own] = mean_importance(importance, source.coded, first[own], count[own])
        return Sizes(low, high, by_importance(weight, layer, plane, first))

    def lanes(self, group: Group, finer: int) -> int:
        """log2 of the lanes of a record."""
        return grouping.log2_lanes(int(self._payload(group, finer)[0]))

    def size(self, group: Group, finer: int) -> int:
        """Bytes of a whole record."""
        payload = int(self._payload(group, finer)[0])
        return payload + rec.OVERHEAD + _of_lanes(grouping.log2_lanes(payload))

    def cut(self, group: Group, growth: int) -> tuple[Group, Group] | None:
        """The record in two, of which the first may be coded finer; together they grow by at most `growth` bytes.

        The first is as long as may be; None where not even one tile can be finer.
        """
        counts = np.arange(1, group.count)
        writable = [_is_writable(k) and _is_writable(group.count - k) for k in counts.tolist()]
        counts = counts[np.array(writable, dtype=bool)]
        estimates = self._estimates[group.plane, group.layer]
        first = np.full(len(counts), group.first, dtype=np.int64)
        sizes = (
            estimates[1].of(first, counts)
            + estimates[0].of(first + counts, group.count - counts)
            + 2 * rec.OVERHEAD
        )
        fitting = counts[sizes - self.size(group, 0) <= growth]
        if not len(fitting):
            return None
        k = int(fitting[-1])
        return (
            Group(group.plane, group.layer, group.first, k),
            Group(group.plane, group.layer, group.first + k, group.count - k),
        )

    def _payload(self, group: Group, finer: int) -> Int64Array:
        estimates = self._estimates[group.plane, group.layer][finer]
        return estimates.of(np.array([group.first]), np.array([group.count]))


def _of_lanes(log2: int) -> int:
    """Bytes that several lanes add to the one-lane estimate: about one each, as a final state wastes seven bits."""
    return 1 << log2 if log2 else 0


def _is_writable(count: int) -> bool:
    """Whether one record can carry so many tiles (bitstream §4.2)."""
    return rec.largest_writable(count) == count
