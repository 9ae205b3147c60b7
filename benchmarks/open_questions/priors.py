"""What priors that know more than a level would save on real symbols, as ideal code lengths; fitted on training windows,
asked of tiles outside the training part.

Against static tables, one per level, fitted to the very same windows: contexts of magnitudes beside; one of a few table
sets for each file or each tile; the tile mean foretold from neighbouring tiles or from a mean of the scene.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.open_questions.code_length import Bits, Symbols, counted, level_costs
from benchmarks.open_questions.contexts import KINDS, ContextTables
from benchmarks.open_questions.evidence import S2_SETS, SUITE, Bench, Sets
from benchmarks.open_questions.neighbour_means import MeanCoder, before, fit_gain, raster_tokens
from benchmarks.open_questions.table_mixture import Mixture, by_unit
from benchmarks.open_questions.windows import windows
from codec.data.readers import read_source
from codec.evaluate.intervals import bootstrap, mean_of
from codec.evaluate.rate.model_planes import planes_of
from codec.evaluate.rate.protocol import folds
from codec.evaluate.rate.types import IntArray
from codec.evaluate.rows import Row
from codec.models.vit import Encoder
from codec.transform.fit import FittedCodec, fit_planes
from codec.types import BoolArray, FloatArray


@dataclass(frozen=True)
class Priors:
    """What is measured."""

    encoders: tuple[str, ...] = ("s2-nano-b-0", "s2-nano-b-1", "s2-nano-b-2")
    budgets: tuple[float, ...] = (640, 320, 160, 80, 40)  # bytes a tile, of training windows
    fitted_on: int = 2500  # windows, evenly among all
    table_sets: int = 4
    file_tiles: int = 64
    rasters: tuple[str, ...] = (
        "beaufort",
        "cloud38",
        "naip",
        "landsat7",
        "lahinch",
        "terramind",
        "sen1floods11",
    )


CONFIG = Priors()


@dataclass(frozen=True)
class Asked:
    """Tiles that nothing was fitted on, of all sets, and all tiles of their scenes."""

    tokens: FloatArray  # N×h×w×C
    chosen: BoolArray  # N, outside the training part: what is counted
    usable: BoolArray  # N, wholly measured
    scene: IntArray  # N
    place: IntArray  # N×2
    groups: IntArray  # N
    lone: BoolArray  # N, tiles that are no part of a larger scene

    @property
    def files(self) -> IntArray:
        """N: number of the file a tile is in: scenes, and lone tiles 64 by 64."""
        lone = np.cumsum(self.lone) // CONFIG.file_tiles
        return np.unique(np.where(self.lone, -1 - lone, self.scene), return_inverse=True)[1].astype(np.int64)

    def only(self, keep: BoolArray) -> Asked:
        return Asked(
            self.tokens[keep], self.chosen[keep], self.usable[keep], self.scene[keep], self.place[keep],
            self.groups[keep], self.lone[keep],
        )  # fmt: skip


def asked(encoder: Encoder, of: Sets) -> Asked:
    """All wholly measured tiles of all sets."""
    parts = []
    for number, evidence in enumerate(of.evidence.values()):
        tiles, planes = evidence.tiles, planes_of(encoder, evidence.tiles)
        held = np.any([fold.held for fold in folds(evidence, "unseen")], axis=0)
        alone = np.bincount(tiles.scene)[tiles.scene] == 1
        offset = 10**9 * number
        usable = planes.validity.all(axis=(1, 2))
        parts.append(
            (
                planes.values["tokens"],
                held,
                usable,
                tiles.scene + offset,
                tiles.place,
                tiles.groups + offset,
                alone,
            )
        )
    whole = Asked(*(np.concatenate(side) for side in zip(*parts, strict=True)))
    return whole.only(whole.usable)


@dataclass(frozen=True)
class Found:
    """Bits of each counted tile, N, under the static tables and under others."""

    static: Bits
    other: Bits


def one_encoder(
    bench: Bench, name: str, encoder: Encoder, of: Sets, config: Priors
) -> dict[tuple[str, str], Found]:
    """(bytes, prior) → bits; of tile means those of tiles in scenes."""
    tokens = windows(bench, name).tokens
    codec = fit_planes({"tokens": tokens})
    transform = codec.transforms["tokens"]
    train = transform.analyse(tokens[:: -(-len(tokens) // config.fitted_on)])
    there = asked(encoder, of)
    latents = transform.analyse(there.tokens)
    tile = np.arange(len(train))
    gain, moved = fit_gain(_neighbours(bench, encoder, codec, config))
    found: dict[tuple[str, str], Found] = {}
    for budget in config.budgets:
        index = min(
            (i for i, size in codec.mean_bytes.items() if size <= budget), default=max(codec.mean_bytes)
        )
        fit, test = Symbols.of(codec, train, index), Symbols.of(codec, latents[there.chosen], index)
        costs = level_costs(counted(fit.levels, fit.bins, fit.n_levels))
        static = costs[test.levels.astype(np.int64), test.bins].sum(axis=1)
        at = f"{budget:g} B"
        for kind in KINDS:
            tables = ContextTables.fit(fit, transform.rows, kind, costs)
            found[at, f"magnitudes beside in {kind}"] = Found(static, tables.bits(test))
        for unit, of_train, of_test in (
            ("file", tile // config.file_tiles, np.unique(there.files[there.chosen], return_inverse=True)[1]),
            ("tile", tile, np.arange(len(static))),
        ):
            mixture = Mixture.fit(by_unit(fit, of_train), fit.n_levels, config.table_sets, seed=0)
            found[at, f"one of {config.table_sets} table sets a {unit}"] = Found(
                static, mixture.bits(test, of_test)
            )
        found |= {
            (at, k): v for k, v in _means(codec, index, costs, there, latents[:, :, 0], gain, moved).items()
        }
    return found


def _means(
    codec: FittedCodec,
    index: int,
    costs: Bits,
    there: Asked,
    means: FloatArray,
    gain: FloatArray,
    moved: npt.NDArray[np.int64],
) -> dict[str, Found]:
    """Layer 0 of tiles in scenes."""
    coder = MeanCoder(codec, index, costs)
    neighbours = before(there.scene, there.place, there.usable)
    counts = there.chosen & ~there.lone
    static = coder.bits(means)[counts]
    return {
        "layer 0 from the tiles beside": Found(
            static, coder.foretold(means, neighbours, gain, moved)[counts]
        ),
        "layer 0 about the mean of its scene": Found(static, coder.about_scene(means, there.scene)[counts]),
    }


def _neighbours(
    bench: Bench, encoder: Encoder, codec: FittedCodec, config: Priors
) -> list[tuple[FloatArray, npt.NDArray[np.int64]]]:
    """Means and neighbours of training rasters."""
    parts = []
    for source in config.rasters:
        for raster in read_source(source, bench.data, "train"):
            tokens, places = raster_tokens(encoder, raster)
            if len(tokens) > 1:
                means = codec.transforms["tokens"].analyse(tokens)[:, :, 0]
                parts.append(
                    (means, before(np.zeros(len(tokens), np.int64), places, np.ones(len(tokens), np.bool_)))
                )
    return parts


def rows(bench: Bench, config: Priors = CONFIG) -> Iterator[Row]:
    """Bits over those of static tables, and bytes of these, at every quality; over places and encoders."""
    encoders = bench.encoders(config.encoders)
    of = Sets(bench.data, S2_SETS, encoders[0].config.bands)
    each = [
        one_encoder(bench, name, e, of, config) for name, e in zip(config.encoders, encoders, strict=True)
    ]
    there = asked(encoders[0], of)
    places = {True: there.groups[there.chosen], False: there.groups[there.chosen & ~there.lone]}
    for at, prior in each[0]:
        pairs = [found[at, prior] for found in each]
        names, group = np.unique(places[len(pairs[0].static) == len(places[True])], return_inverse=True)
        sums = np.zeros((len(pairs), len(names), 2))
        for e, pair in enumerate(pairs):
            for part, side in enumerate((pair.other, pair.static)):
                sums[e, :, part] = np.bincount(group, side, len(names))
        ratio = bootstrap(sums, statistic=mean_of)
        case, seeds = f"priors/{at}/{prior}", ",".join(map(str, range(len(pairs))))
        yield Row(
            SUITE, case, "bits over static tables", ratio.value, ratio.low, ratio.high,
            "ratio [95% over places and encoders]", "one static table per level", len(group), seeds,
        )  # fmt: skip
        size = float(np.mean([pair.static.mean() for pair in pairs]) / 8)
        yield Row(
            SUITE, case, "bytes under static tables", size, unit="B/tile, ideal", n=len(group), seeds=seeds
        )
