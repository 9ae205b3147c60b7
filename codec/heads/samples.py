"""Samples to fit and to score heads on: labelled tiles embedded with some of their bands and decoded at several rates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.data.bandsets import REPORTED
from codec.data.geometry import turn
from codec.data.labelled import BLOCKS_PER_PLACE, UNLABELLED, LabelledTiles
from codec.heads.linear import IntArray
from codec.heads.pooling import mean_and_spread
from codec.heads.rates import Rate, choose_rates, decoded
from codec.heads.tasks import Task
from codec.models.inference import Embeds, embed
from codec.package import Package
from codec.types import BoolArray, FloatArray, Tile

TURNS = 2  # orientations of each training tile
SUBSETS_PER_TURN = 2  # of the reported band subsets, besides all bands
MOST_SAMPLES = 60_000


@dataclass(frozen=True, slots=True)
class Planes:
    """Uncompressed embeddings of labelled tiles."""

    values: dict[str, FloatArray]  # plane → N×h×w×C
    validity: BoolArray  # N×h×w
    labels: IntArray  # N or N×h×w
    groups: IntArray  # N


@dataclass(frozen=True, slots=True)
class Samples:
    """n labelled, valid samples."""

    x: FloatArray  # n×F
    y: IntArray
    groups: IntArray
    plain: BoolArray  # from embeddings that were not compressed


def subsets_of(bands: Sequence[str]) -> dict[str, tuple[str, ...] | None]:
    """The reported band subsets that are less than all of `bands`, after `all` itself (None)."""
    return {
        name: keep for name, keep in REPORTED.items() if keep is None or set(keep) < set(bands)
    }  # fmt: skip


def embed_labelled(
    encoder: Embeds,
    tiles: LabelledTiles,
    keep: tuple[str, ...] | None,
    turns: npt.NDArray[np.int64] | None = None,
) -> Planes:
    """Embeddings of all tiles with only the bands of `keep`, each turned by its entry of `turns`."""
    bands, side, patch = encoder.config.bands, encoder.config.side, encoder.config.patch
    mask = np.array([keep is None or band in keep for band in bands])
    which = np.zeros(len(tiles.pixels), np.int64) if turns is None else turns

    def windows() -> Iterator[Tile]:
        for i, w in enumerate(which.tolist()):
            present = tiles.present[i] & mask
            pixels = turn(tiles.pixels[i] * present[:, None, None], w)
            yield Tile(i, pixels, turn(tiles.validity[i], w), present)

    valid = np.stack([turn(tiles.validity[i], w) for i, w in enumerate(which.tolist())])
    share = valid.reshape(-1, side, patch, side, patch).mean((2, 4))
    labels = tiles.labels
    if labels.ndim == 3:
        labels = np.stack([turn(labels[i], w) for i, w in enumerate(which.tolist())])
    return Planes(embed(encoder, windows()), share >= 0.5, labels, tiles.groups)


def features(task: Task, values: dict[str, FloatArray]) -> FloatArray:
    """What the head's graph computes from the planes: N×F per tile, N×h×w×F per token."""
    x = np.concatenate([values[name] for name in task.planes], axis=-1)
    return mean_and_spread(x) if task.level == "tile" else x


def samples(
    task: Task, planes: Planes, values: dict[str, FloatArray], rate: Rate, keep: BoolArray | None = None
) -> Samples:
    """The labelled, valid samples of planes decoded at one rate; of tokens only those of `keep` (N×h×w)."""
    x = features(task, values)
    if task.level == "tile":
        plain = np.full(len(x), rate.ladder_index is None)
        return Samples(x, planes.labels, planes.groups, plain)
    use = (planes.labels != UNLABELLED) & planes.validity
    if keep is not None:
        use &= keep
    groups = np.broadcast_to(planes.groups[:, None, None], use.shape)[use]
    plain = np.full(len(groups), rate.ladder_index is None)
    return Samples(x[use], planes.labels[use], np.asarray(groups, np.int64), plain)


def drawn_tokens(planes: Planes, most: int, rng: np.random.Generator) -> BoolArray:
    """N×h×w: a choice of about `most` labelled tokens, evenly from each place, with the classes as they are there.

    A few hundred EuroSAT tiles must not drown a place with a mask. Evening out the classes as well cost 2 points on val.
    """
    use = (planes.labels != UNLABELLED) & planes.validity
    place = np.broadcast_to((planes.groups // BLOCKS_PER_PLACE)[:, None, None], use.shape)[use]
    cell = np.unique(place, return_inverse=True)[1]
    counts = np.bincount(cell)
    # The largest share per cell that keeps the total: what small cells leave over goes to the larger ones.
    quota = max(q for q in range(1, most + 1) if np.minimum(counts, q).sum() <= max(most, len(counts)))
    order = rng.permutation(len(cell))
    order = order[np.argsort(cell[order], kind="stable")]
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rank = np.arange(len(cell)) - first[cell[order]]
    chosen = np.zeros(len(cell), np.bool_)
    chosen[order[rank < quota]] = True
    keep = np.zeros(use.shape, np.bool_)
    keep[use] = chosen
    return keep


def training_samples(
    task: Task, encoder: Embeds, package: Package, tiles: LabelledTiles, seed: int
) -> tuple[Samples, list[Rate]]:
    """Tiles in several orientations, with all bands and with subsets, at all rates; and those rates."""
    rng = np.random.default_rng([seed, len(task.name)])
    subsets = [keep for keep in subsets_of(encoder.config.bands).values() if keep is not None]
    n_subsets = min(SUBSETS_PER_TURN, len(subsets))
    parts: list[Samples] = []
    rates: list[Rate] = []
    for k in range(TURNS):
        turns = rng.integers(8, size=len(tiles.pixels)) if k else np.zeros(len(tiles.pixels), np.int64)
        drawn = rng.permutation(len(subsets))[:n_subsets]
        for keep in (None, *(subsets[int(i)] for i in drawn)):
            planes = embed_labelled(encoder, tiles, keep, turns)
            if not rates:
                rates = choose_rates(package, planes.values, planes.validity)
            most = MOST_SAMPLES // (TURNS * (1 + n_subsets) * len(rates))
            for rate, values in decoded(package, planes.values, planes.validity, rates):
                tokens = None if task.level == "tile" else drawn_tokens(planes, most, rng)
                parts.append(samples(task, planes, values, rate, tokens))
    return joined(parts), rates


def joined(parts: Sequence[Samples]) -> Samples:
    """Several sets of samples as one."""
    return Samples(
        np.concatenate([p.x for p in parts]),
        np.concatenate([p.y for p in parts]),
        np.concatenate([p.groups for p in parts]),
        np.concatenate([p.plain for p in parts]),
    )
