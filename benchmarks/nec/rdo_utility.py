"""Symbols chosen by rate and distortion against plain rounding: bytes at equal utility of heads, in the harness."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.nec.coded import Way
from benchmarks.nec.held_out import Collection
from benchmarks.nec.rdo_error import ENCODER_ALONE, WITH_TABLES, fitted, one_plane, pools_by_level
from codec.evaluate.rate.curve_intervals import Bootstrap, bytes_interval
from codec.evaluate.rate.embedding.curves import COST_TILES, LayerCosts, qualities
from codec.evaluate.rate.embedding.sent import sizes
from codec.evaluate.rate.report import LOSSES, NUMBER_LOSS
from codec.evaluate.rate.run import Entry
from codec.evaluate.rate.store import Key, Scored
from codec.evaluate.rate.types import Coded, EmbeddingCoder, Method, Planes
from codec.evaluate.rate.utility import Judge
from codec.evaluate.rows import Row
from codec.transform.plane import PlaneTransform

SUITE = "nec"
_DRAWS = 100


@dataclass(frozen=True)
class WayCoder:
    """Tokens by one way, at ladder indices chosen on training tiles."""

    way: Way
    transform: PlaneTransform
    indices: dict[str, int]

    @property
    def settings(self) -> Sequence[str]:
        return tuple(self.indices)

    def code(self, planes: Planes, setting: str) -> Coded:
        """Encode, count, decode."""
        index, n = self.indices[setting], len(planes)
        latents = self.transform.analyse(planes.values["tokens"], planes.validity)
        parts, _ = self.way.encode(latents, index, validity=planes.validity)
        decoded = self.transform.synthesise(self.way.decode([part.data for part in parts], n, index))
        decoded[~planes.validity] = 0
        return Coded(setting, sizes(parts, n), {"tokens": decoded})


@dataclass(frozen=True)
class WayMethod:
    """A way as a method of the harness; its tables are the package's or were fitted to the training windows."""

    about: Method
    way: Way
    transform: PlaneTransform

    def fit(self, train: Planes) -> EmbeddingCoder:
        """Training tiles choose the ladder indices, and nothing else."""
        tokens = train.values["tokens"][train.validity.all(axis=(1, 2))]
        latents = self.transform.analyse(tokens[:: -(-len(tokens) // COST_TILES)])
        costs = LayerCosts(self.way.tables, self.way.coder.parsed, [latents], (0,), tokens[0].size)
        points = qualities(costs)
        return WayCoder(self.way, self.transform, {name: index for name, (index, _) in points.items()})


def methods(of: Collection) -> dict[str, WayMethod]:
    """Plain rounding first."""
    tables, transform = one_plane(of.package.table_file), of.package.transforms["tokens"]
    values, _ = of.training("tokens")
    traded = fitted(tables, pools_by_level(tables, transform.analyse(values[::3])), WITH_TABLES)
    ways = {
        "plain rounding": Way.of(tables),
        "rdo, encoder alone": Way.of(tables, ENCODER_ALONE),
        "rdo, with tables": Way.of(traded, WITH_TABLES, mean_too=True),
    }
    source = f"package {of.package.name} {of.package.codec_id.hex()}"
    return {
        name: WayMethod(Method(name, "embedding", f"{source}; {name}, λ {way.tradeoff:g}"), way, transform)
        for name, way in ways.items()
    }


def rows(of: Collection) -> Iterator[Row]:
    """Times fewer bytes than plain rounding at the losses of the harness, for every target and both regimes."""
    how = replace(Bootstrap(), draws=_DRAWS)
    entries = {name: Entry(method) for name, method in methods(of).items()}
    for held in reversed(of.held):  # the large set last
        scored = {name: of.run.score(held.name, entry) for name, entry in entries.items()}
        plain = scored["plain rounding"]
        evidence = of.run.sets[held.name]
        for target in evidence.targets:
            view = "tokens" if target.level == "token" else "tokens mean"
            judge = Judge.of_target(evidence, target, plain, view)
            losses = LOSSES[target.level] if target.is_class else NUMBER_LOSS
            for regime in of.run.setting.regimes:
                key = Key(target.name, view, regime)
                yield from _compared(of, judge, key, scored, losses, how)


def _compared(
    of: Collection,
    judge: Judge,
    key: Key,
    scored: dict[str, Scored],
    losses: Sequence[float],
    how: Bootstrap,
) -> Iterator[Row]:
    reference = judge.uncompressed("score")
    how = replace(how, statistic=judge.statistic("score"))
    rival = judge.measured(scored["plain rounding"], key, "score")
    for loss in losses:
        case = f"{of.package.name}/{judge.evidence.tiles.name}/{key.target}/{key.view}/{key.regime}"
        own = bytes_interval(rival, None, -loss, how, reference=reference)
        yield Row(
            SUITE, case, f"bytes at −{100 * loss:g}, plain rounding", own.value, own.low, own.high,
            f"B/tile [{own.note}]", n=int(judge.held.sum()), seeds=str(of.run.setting.resamples),
        )  # fmt: skip
        for name in scored:
            if name == "plain rounding":
                continue
            found = bytes_interval(
                judge.measured(scored[name], key, "score"), rival, -loss, how, reference=reference
            )
            if not np.isfinite(found.value):
                continue
            yield Row(
                SUITE, case, f"times fewer bytes at −{100 * loss:g}, {name}", found.value, found.low, found.high,
                f"ratio [{found.note}]", "plain rounding", int(judge.held.sum()), str(of.run.setting.resamples),
            )  # fmt: skip
