"""Kinds of scene: one codec's layer 0, and for each kind a basis and scales of its own above it; or whole codecs by kind.

Kinds are k-means of the tile means of training windows. A kind's basis is a rotation of the first channels behind the
common transform at every group of frequencies, in half precision and made orthonormal again, as a package could carry it.
Steps, layers and the list of tables stay common, so that one quality means the same error for all kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.cluster.vq import kmeans2

from benchmarks.nec.costed import Codec
from codec.transform.fit_cells import Cells, cells_of, classes_of, fit_levels
from codec.transform.levels import Pool
from codec.transform.maps import quant_maps
from codec.transform.plane import PlaneTransform
from codec.transform.rotations import Rotations
from codec.transform.tables import PlaneMaps
from codec.types import FloatArray

Labels = npt.NDArray[np.int64]

TURNED = 64  # channels that a kind's rotations turn: the others cost little, and would be three quarters of its bytes
_TOLD_BY = 24  # channels of the mean that tell kinds apart, each over the root of its deviation
# How many windows the covariance of all counts for beside a kind's own. Of 0, 32, 64, 128 and 256 the best for 16 kinds,
# fitted on one third of the training windows and measured on another (0.854 of the bytes near 135 B, 0.866 with 0).
COMMON = 32.0


@dataclass(frozen=True)
class Means:
    """How a tile's mean names its kind: the nearest of K centres."""

    weight: FloatArray  # of the first channels
    centres: FloatArray  # K×channels, weighted

    @classmethod
    def of(cls, means: FloatArray, n: int) -> Means:
        """From N×C, deterministic."""
        first = means[:, :_TOLD_BY].astype(np.float64)
        weight = 1 / np.sqrt(first.std(axis=0))
        centres, _ = kmeans2(first * weight, n, minit="++", seed=1)
        return cls(weight.astype(np.float32), centres.astype(np.float32))

    def __call__(self, means: FloatArray) -> Labels:
        """Kinds of N×C."""
        apart = (means[:, :_TOLD_BY] * self.weight)[:, None] - self.centres
        return np.asarray(np.square(apart).sum(axis=2).argmin(axis=1), np.int64)


@dataclass(frozen=True)
class Kinds:
    """Codecs by kind, with common steps, layers and tables."""

    means: Means
    first: Codec  # layer 0 of every kind; of whole codecs by kind: what all tiles have in common
    codecs: tuple[Codec, ...]

    def of(self, tokens: FloatArray, index: int) -> Labels:
        """The kind of each tile N×h×w×C as the ground finds it: by the mean that layer 0 decodes to at a quality.

        Without a mean vector of the file, which moves what is decoded by less than a step.
        """
        maps = quant_maps(self.first.tables, 0, index)
        return self.means(maps.reconstruct(maps.quantise(self.first.transform.analyse(tokens)))[:, :, 0])

    @property
    def package_bytes(self) -> int:
        """What a package carries besides: matrices and centres in half precision, a map of scales for each kind."""
        plane, matrices = self.first.tables.planes[0], 0
        for codec in self.codecs:
            mine, shared = codec.transform.rotations, self.first.transform.rotations
            assert mine is not None
            assert shared is not None
            own = mine.matrices != shared.matrices
            matrices += int(own.any(axis=(1, 2)).sum()) * TURNED**2
            if codec.transform.mean is not self.first.transform.mean:
                matrices += codec.transform.mean.size
        scales = sum(
            plane.class_map.size
            for codec in self.codecs
            if codec.tables.planes[0].class_map is not self.first.tables.planes[0].class_map
        )
        return 2 * matrices + 2 * self.means.centres.size + scales


@dataclass(frozen=True)
class Own:
    """What each kind has of its own above layer 0; `whole`: everything, its mean and layer 0 included."""

    turns: bool = True
    scales: bool = True
    whole: bool = False


def fit_kinds(base: Codec, tokens: FloatArray, n: int, own: Own, common: float = COMMON) -> Kinds:
    """Of windows N×h×w×C that `base` was fitted on."""
    shared = base.transform
    latents = shared.analyse(tokens)
    means = Means.of(latents[:, :, 0], n)
    label = means(latents[:, :, 0])
    transforms = []
    for kind in range(n):
        mine = latents[label == kind]
        transform = shared
        if own.whole:
            at = (mine.sum(axis=0) / (len(mine) + common))[None]
            transform = replace(shared, mean=shared.synthesise(at)[0])
            mine = mine - at
        if own.turns:
            transform = replace(transform, rotations=_turned(transform, latents, mine, own.whole, common))
        transforms.append(transform)
    turned = [t.analyse(tokens[label == kind]) for kind, t in enumerate(transforms)]
    return Kinds(means, *_tabled(base, transforms, turned, own, common))


def _turned(
    shared: PlaneTransform, latents: FloatArray, mine: FloatArray, first_too: bool, common: float
) -> Rotations:
    """The shared rotations, then for each group the KLT of a kind's windows in the first channels."""
    rotations = shared.rotations
    assert rotations is not None
    matrices = rotations.matrices.copy()
    for number in range(0 if first_too else 1, len(matrices)):
        where = rotations.group == number
        every, own = (_moments(x[:, :TURNED, where]) for x in (latents, mine))
        mixed = (len(mine) * own + common * every) / (len(mine) + common)
        matrices[number, :TURNED] = carried(np.linalg.eigh(mixed)[1].T[::-1]) @ matrices[number, :TURNED]
    return Rotations(matrices, rotations.group)


def carried(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The orthonormal matrix nearest to what half precision leaves of one."""
    left, _, right = np.linalg.svd(matrix.astype(np.float16).astype(np.float64))
    return np.asarray(left @ right, np.float64)


def _moments(x: FloatArray) -> npt.NDArray[np.float64]:
    rows = x.transpose(0, 2, 1).reshape(-1, x.shape[1]).astype(np.float64)
    return np.asarray(rows.T @ rows / max(1, len(rows)), np.float64)


def _tabled(
    base: Codec, transforms: Sequence[PlaneTransform], turned: Sequence[FloatArray], own: Own, common: float
) -> tuple[Codec, tuple[Codec, ...]]:
    """Scales and tables for latents that each kind has turned its own way: by kind, or one map for all."""
    tables, ladder = base.tables, base.tables.ladder
    plane = tables.planes[0]
    powers = [np.square(x, dtype=np.float64).sum(axis=0) for x in turned]
    every = np.add.reduce(powers) / sum(map(len, turned))

    def maps_of(power: npt.NDArray[np.float64]) -> PlaneMaps:
        scales = classes_of(np.sqrt(power)[None].astype(np.float32), plane.bands, ladder, flat=False)
        if not own.whole:
            scales[0] = shared[0]
        return replace(plane, class_map=scales)

    shared = classes_of(np.sqrt(every)[None].astype(np.float32), plane.bands, ladder, flat=False)
    one = replace(plane, class_map=shared)
    planes = [
        maps_of((power + common * every) / (len(x) + common)) if own.scales else one
        for power, x in zip(powers, turned, strict=True)
    ]
    cells = _joined(
        [c for p, x in zip(planes, turned, strict=True) if len(x) for c in cells_of(p, x, ladder)]
    )
    levels = fit_levels(cells, tables.usable_indices(), len(tables.levels))
    first = Codec(base.transform, replace(tables, levels=levels, planes=(one,)))
    return first, tuple(
        Codec(t, replace(tables, levels=levels, planes=(p,))) for t, p in zip(transforms, planes, strict=True)
    )


def _joined(cells: Sequence[Cells]) -> list[Cells]:
    """Cells of all kinds that meet the same tables in one: the fit is the same, and takes a fraction of the time."""
    found: dict[tuple[int, int], list[Cells]] = {}
    for cell in cells:
        found.setdefault((cell.klass, cell.shift), []).append(cell)
    return [
        replace(of[0], pool=Pool.of(np.concatenate([cell.pool.magnitudes for cell in of])))
        for of in found.values()
    ]
