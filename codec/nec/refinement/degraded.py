"""Training embeddings as a receiver would have them: any quality, any layers that came, any ladder offsets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.nec.refinement.recipe import Recipe
from codec.package import Package
from codec.transform.maps import QuantMaps, quant_maps
from codec.transform.rate import bytes_per_tile, choose_ladder_index
from codec.types import BoolArray, FloatArray

_COST_TILES = 128  # that say what a quality costs
_LARGEST_OFFSET = 2  # of records in training; a file's rate control seldom asks for more


@dataclass(frozen=True)
class Quality:
    """What one group of tiles was sent with."""

    ladder_index: int
    offsets: tuple[tuple[int, ...], ...]  # per plane, one per layer
    arrived: tuple[tuple[bool, ...], ...]  # per plane, one per layer


@dataclass(frozen=True)
class Group:
    """Tiles of one quality: what the network is given, and what it should have been. Float32 throughout."""

    planes: Mapping[str, FloatArray]  # decoded, N×h×w×C, 0 where invalid
    validity: FloatArray  # N×h×w in {0, 1}
    steps: FloatArray  # N×Λ: step of every layer of every plane, planes in order, in embedding units
    arrived: FloatArray  # N×Λ in {0, 1}
    truth: FloatArray  # of the first plane


@dataclass(frozen=True)
class Windows:
    """Training windows: embeddings N×h×w×C by plane in the package's order, and their latents N×C×F."""

    package: Package
    planes: Mapping[str, FloatArray]
    validity: BoolArray
    latents: Mapping[str, FloatArray]
    identity: str  # SHA-256 over codec and embeddings: what a resumed run is checked against
    indices: range  # ladder indices that are trained
    _maps: dict[tuple[int, int, tuple[int, ...]], QuantMaps] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def of(
        cls, package: Package, planes: Mapping[str, FloatArray], validity: BoolArray, recipe: Recipe
    ) -> Windows:
        """Raises InputError for planes that are not the package's, or not finite, and for packages of other than two planes
        of one token grid.
        """
        grids = {(entry.spec.rows, entry.spec.cols) for entry in package.planes}
        if len(package.planes) != 2 or len(grids) != 1:
            raise InputError(
                f"package {package.name!r} cannot have this refinement",
                expected="two planes of one token grid: embeddings, and what is sent beside them",
                found=", ".join(f"{e.name} {e.spec.rows}×{e.spec.cols}" for e in package.planes),
            )
        digest = hashlib.sha256(package.codec_id + validity.tobytes())
        mine, latents = {}, {}
        for entry in package.planes:
            x = planes.get(entry.name)
            shape = (len(validity), entry.spec.rows, entry.spec.cols, entry.spec.channels)
            if x is None or x.shape != shape or validity.shape != shape[:3]:
                raise InputError(
                    f"the embeddings are not those of package {package.name!r}: plane {entry.name!r}",
                    expected=shape,
                    found=None if x is None else x.shape,
                )
            x = np.where(validity[..., None], x, np.float32(0)).astype(np.float32)
            if not np.isfinite(x).all():
                raise InputError(f"plane {entry.name!r} holds numbers that are not finite")
            mine[entry.name], latents[entry.name] = (
                x,
                package.transforms[entry.name].analyse(x, validity),
            )
            digest.update(x.tobytes())
        whole = np.flatnonzero(validity.all((1, 2)))
        some = {0: latents[package.planes[0].name][whole[:: -(-len(whole) // _COST_TILES)]]}
        least = package.ladder_indices.stop - 1

        def index_for(budget: float) -> int:
            floor = bytes_per_tile(package.table_file, some, least)
            return choose_ladder_index(
                package.ladder_indices,
                lambda i: bytes_per_tile(package.table_file, some, i),
                max(budget, floor),
            )

        indices = range(index_for(recipe.finest_bytes), index_for(recipe.coarsest_bytes) + 1)
        return cls(package, mine, validity, latents, digest.hexdigest(), indices)

    def draw(self, recipe: Recipe, rng: np.random.Generator) -> Quality:
        """A quality: its index alike likely over the trained range, then what arrives of it."""
        index = int(rng.integers(self.indices.start, self.indices.stop))
        counts = [entry.spec.n_layers for entry in self.package.planes]
        kind = rng.random()
        if kind < recipe.whole:
            arrived = [(True,) * n for n in counts]
        elif kind < recipe.whole + recipe.prefix:
            # The first plane has its layer 0, or there is nothing to refine; others may be missing.
            first = [
                int(rng.integers(1, counts[0] + 1)),
                *(int(rng.integers(0, n + 1)) for n in counts[1:]),
            ]
            arrived = [tuple(i < k for i in range(n)) for k, n in zip(first, counts, strict=True)]
        else:
            arrived = [tuple(bool(b) for b in rng.random(n) < 0.5) for n in counts]
            arrived[0] = (True, *arrived[0][1:])
        low, high = 0, 0
        if rng.random() < recipe.offsets:
            allowed = self.package.ladder_indices
            low = -min(_LARGEST_OFFSET, index - allowed.start)
            high = min(_LARGEST_OFFSET, allowed.stop - 1 - index)
        offsets = [tuple(int(o) for o in rng.integers(low, high + 1, n)) for n in counts]
        return Quality(index, tuple(offsets), tuple(arrived))

    def degrade(self, tiles: npt.NDArray[np.int64], quality: Quality) -> Group:
        """The tiles as they decode at this quality (`codec.pipeline.decode` gives the same numbers)."""
        decoded, steps = {}, []
        for number, entry in enumerate(self.package.planes):
            offsets = quality.offsets[number]
            maps = self._quant_maps(number, quality.ladder_index, offsets)
            symbols = maps.quantise(self.latents[entry.name][tiles])
            layers = np.uint16(sum(1 << i for i, there in enumerate(quality.arrived[number]) if there))
            values = maps.reconstruct(symbols, np.full(len(tiles), layers, np.uint16))
            x = self.package.transforms[entry.name].synthesise(values)
            there = self.validity[tiles] & bool(layers & 1)
            x[~there] = 0
            decoded[entry.name] = x
            steps.append(layer_steps(self.package, number, quality.ladder_index, offsets))
        every = np.concatenate(steps)
        arrived = np.array([there for plane in quality.arrived for there in plane], np.float32)
        shape = (len(tiles), len(every))
        return Group(
            decoded,
            self.validity[tiles].astype(np.float32),
            np.broadcast_to(every, shape).copy(),
            np.broadcast_to(arrived, shape).copy(),
            self.planes[self.package.planes[0].name][tiles],
        )

    def _quant_maps(self, plane: int, index: int, offsets: tuple[int, ...]) -> QuantMaps:
        key = plane, index, offsets
        if any(offsets):
            return quant_maps(self.package.table_file, plane, index, offsets)
        if key not in self._maps:
            self._maps[key] = quant_maps(self.package.table_file, plane, index)
        return self._maps[key]


def layer_steps(package: Package, plane: int, ladder_index: int, offsets: tuple[int, ...]) -> FloatArray:
    """Step of each layer of a plane, in embedding units."""
    tables = package.table_file
    shift = np.array(tables.planes[plane].layer_shift, np.int64) + np.array(offsets, np.int64)
    return np.asarray(tables.ladder[ladder_index + shift], np.float32)


def read_embeddings(path: Path) -> tuple[dict[str, FloatArray], BoolArray]:
    """Planes and `token_validity` of an .npz of `python -m codec.pretrain embed`. Raises InputError for anything else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return arrays, arrays.pop("token_validity").astype(np.bool_)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"not a file of training embeddings: {type(error).__name__}: {error}",
            path=path,
            fix="make one: python -m codec.pretrain embed",
        ) from error
