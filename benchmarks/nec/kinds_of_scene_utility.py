"""A basis for each kind of scene against one for all, by what heads make of equal bytes, in the harness.

Both codecs are fitted on all training windows of the package, as a package's are: the harness' own training tiles are too
few for so many bases. Tables are common, so records are those of the format as it is, and real: the ground reads all
symbols, decodes layer 0, and turns each tile back as its kind has it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.nec.costed import Codec
from benchmarks.nec.held_out import Collection
from benchmarks.nec.kinds import Kinds, Labels, Own, fit_kinds
from codec.evaluate.rate.curve_intervals import Bootstrap, utility_intervals
from codec.evaluate.rate.embedding import base
from codec.evaluate.rate.embedding.curves import LayerCosts
from codec.evaluate.rate.embedding.records import RecordCoder
from codec.evaluate.rate.embedding.sent import Part, check_planes, check_setting
from codec.evaluate.rate.run import Entry
from codec.evaluate.rate.store import Key, Scored
from codec.evaluate.rate.types import Method, Planes
from codec.evaluate.rate.utility import Judge, Utility
from codec.evaluate.rows import Row
from codec.transform.maps import QuantMaps, quant_maps
from codec.types import FloatArray, SymbolArray

SUITE = "nec"
SIZES = (32, 64, 128, 256, 512, 1024)  # bytes a tile
COUNT = 16
_DRAWS = 300
_ROUNDS = 9
_REGIME = "mixed"
_VIEWS = {"token": ("tokens",), "tile": ("tokens mean", "tokens mean-std-max"), "scene": ()}


@dataclass(frozen=True)
class OnWindows(base.Base):
    """`base`, fitted on other tokens than the harness'."""

    windows: FloatArray

    def fit(self, train: Planes) -> base.BaseCoder:
        n, rows, cols, _ = self.windows.shape
        found = super().fit(Planes({"tokens": self.windows}, np.ones((n, rows, cols), np.bool_)))
        assert isinstance(found, base.BaseCoder)
        return found


@dataclass(frozen=True)
class ByKind(OnWindows):
    """The same with a basis for each kind of scene above layer 0."""

    def fit(self, train: Planes) -> base.BaseCoder:
        one = super().fit(train)
        codec = Codec(one.codec.transforms["tokens"], one.codec.tables)
        kinds = fit_kinds(codec, self.windows, COUNT, Own(turns=True, scales=False))
        coder = RecordCoder.of(kinds.first.tables)
        sample = self.windows[:: -(-len(self.windows) // base.COST_TILES)]
        latents = [kinds.first.transform.analyse(sample)]  # chooses the points alone
        costs = LayerCosts(
            kinds.first.tables, coder.parsed, latents, range(1), int(np.prod(sample.shape[1:]))
        )
        return KindsCoder(one.codec, coder, one.shapes, self.choose(costs), kinds)


@dataclass(frozen=True)
class KindsCoder(base.BaseCoder):
    """Records of common tables; what the symbols above layer 0 mean, the tile's kind says."""

    kinds: Kinds

    def encode(self, planes: Planes, setting: str) -> list[Part]:
        """Records of tokens, the token mask in layer 0's."""
        check_setting(self.settings, setting)
        check_planes(planes, self.shapes)
        index, layers = self.points[setting]
        maps = quant_maps(self.kinds.first.tables, 0, index)
        tokens, validity = planes.values["tokens"], planes.validity
        symbols = maps.quantise(self.kinds.first.transform.analyse(tokens, validity))
        label = self._kind(maps, symbols)
        for kind in np.unique(label):
            mine = label == kind
            found = self.kinds.codecs[kind].transform.analyse(tokens[mine], validity[mine])
            symbols[mine, :, 1:] = maps.quantise(found)[:, :, 1:]
        return self.coder.encode(symbols, validity, ladder_index=index, layers=layers)

    def decode(self, parts: Sequence[bytes], setting: str, n_tiles: int) -> dict[str, FloatArray]:
        """Tokens N×h×w×C from records; 0 where they were not measured."""
        index, _ = self.points[setting]
        plane = self.coder.decode(parts, n_tiles, ladder_index=index).planes[0]
        maps = quant_maps(self.kinds.first.tables, 0, index)
        latents, label = maps.reconstruct(plane.values, plane.layers), self._kind(maps, plane.values)
        result = np.empty((n_tiles, *self.shapes["tokens"]), np.float32)
        for kind in np.unique(label):
            result[label == kind] = self.kinds.codecs[kind].transform.synthesise(latents[label == kind])
        result[~plane.token_validity] = 0
        return {"tokens": result}

    def _kind(self, maps: QuantMaps, symbols: SymbolArray) -> Labels:
        return self.kinds.means(maps.reconstruct(symbols)[:, :, 0])


def rows(of: Collection) -> Iterator[Row]:
    """Score, and agreement with what heads say of uncompressed embeddings, at equal bytes less that of one basis.

    Of every class target of tiles and tokens, heads of mixed rates; and the time of encoding.
    """
    one, many = methods(of)
    yield encoding_time(of, one, many)
    for held in of.held:
        before, after = (of.run.score(held.name, Entry(method)) for method in (one, many))
        for target in filter(lambda t: t.is_class, of.run.sets[held.name].targets):
            for view in _VIEWS[target.level]:
                judge = Judge.of_target(of.run.sets[held.name], target, before, view)
                key = Key(target.name, view, _REGIME)
                yield from _gains(of, f"{held.name}, {view}", judge, key, before, after)


def _gains(of: Collection, what: str, judge: Judge, key: Key, before: Scored, after: Scored) -> Iterator[Row]:
    """Of one head at each size."""
    utilities: tuple[Utility, ...] = ("score", "agreement")
    for utility in utilities:
        how = replace(Bootstrap(), draws=_DRAWS, statistic=judge.statistic(utility))
        theirs, ours = (judge.measured(scored, key, utility) for scored in (before, after))
        for size, gain in zip(SIZES, utility_intervals(ours, theirs, SIZES, how), strict=True):
            if np.isfinite((gain.value, gain.low, gain.high)).all():
                yield Row(
                    SUITE, f"{of.package.name}/kinds/{what}", f"{utility}-difference at {size} B", gain.value, gain.low,
                    gain.high, f"{judge.unit(utility)} [95% interval]", "one codec",
                    int(judge.held.sum()), str(of.run.setting.resamples),
                )  # fmt: skip


def methods(of: Collection) -> tuple[OnWindows, ByKind]:
    """One basis, and one for each kind."""
    windows, _ = of.training("tokens")
    source = f"{base.BASE.about.source} on {len(windows)} training windows"
    one = OnWindows(Method("base on windows", "embedding", source), base.BASE.choose, windows)
    many = ByKind(
        Method(f"base, {COUNT} kinds", "embedding", f"{source}; a basis for each of {COUNT} kinds"),
        base.BASE.choose,
        windows,
    )
    return one, many


def encoding_time(of: Collection, one: OnWindows, many: ByKind) -> Row:
    """Processor time from tokens to records, the two in turn; with kinds every tile is analysed a second time as a whole."""
    planes = of.run.planes("eurosat").only(np.arange(256))
    tokens = Planes({"tokens": planes.values["tokens"]}, planes.validity)
    coders = [method.fit(tokens) for method in (many, one)]
    spent = np.empty((_ROUNDS, 2))
    for around in range(_ROUNDS):
        for number, coder in enumerate(coders):
            setting = coder.settings[len(coder.settings) // 2]
            began = time.process_time()
            coder.encode(tokens, setting)
            spent[around, number] = time.process_time() - began
    found = spent[:, 0] / spent[:, 1]
    return Row(
        SUITE, f"{of.package.name}/kinds", f"time from tokens to records, {COUNT} bases by tile", float(np.median(found)),
        float(found.min()), float(found.max()), "ratio [min, max]", "one codec", len(tokens), threads=1,
    )  # fmt: skip
