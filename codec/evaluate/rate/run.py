"""One encoder's rate–utility run: every method on every set, the same bytes asked for every target."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec.errors import InputError
from codec.evaluate.rate import audit, origin, store
from codec.evaluate.rate.cache import PlaneCache
from codec.evaluate.rate.encoders import PlaneEncoder
from codec.evaluate.rate.features import Pooling, gathered
from codec.evaluate.rate.ground_features import BOTH, STATISTICS, ground_planes, received
from codec.evaluate.rate.protocol import Fold, codec_training, folds
from codec.evaluate.rate.scoring import Answers, answers, choose_penalty
from codec.evaluate.rate.sets import HELD_BACK
from codec.evaluate.rate.targets import Evidence, Samples, Target, samples
from codec.evaluate.rate.types import (
    Coded,
    EmbeddingMethod,
    FloatVector,
    PixelMethod,
    Planes,
    TileSet,
)
from codec.heads.regimes import REGIMES, UNCOMPRESSED, Regime
from codec.types import BoolArray, FloatArray

POOLINGS: tuple[Pooling, ...] = ("mean", "mean-std-max")


@dataclass(frozen=True)
class Setting:
    """How a run is made."""

    split: str = "val"
    blocked: int = 0  # folds over lone tiles instead of the collection's split
    resamples: int = 5
    seed: int = 0
    regimes: tuple[Regime, ...] = REGIMES[:2]
    all_places: bool = False  # score the training part of folded sets too: for encoders trained elsewhere

    @property
    def text(self) -> str:
        """All of it, as stored answers name it."""
        places = "all places" if self.all_places else "places outside training"
        return (
            f"{self.split}, {self.blocked} folds, {self.resamples} resamples, seed {self.seed}, "
            f"{'+'.join(self.regimes)}, {places}"
        )

    def folds(self, evidence: Evidence) -> list[Fold]:
        """Of a set, as this setting asks for."""
        return folds(evidence, self.split, blocked=self.blocked, seed=self.seed, all_places=self.all_places)


@dataclass(frozen=True)
class Entry:
    """A method as it runs: of an embedding, which planes it sends."""

    method: EmbeddingMethod | PixelMethod
    planes: tuple[str, ...] = ("tokens",)

    @property
    def name(self) -> str:
        return self.method.about.name + ("" if "spectral" not in self.planes else " + spectral")

    @property
    def sends(self) -> str:
        return self.method.about.sends


@dataclass(frozen=True)
class Seen:
    """What heads may see on the ground."""

    coded: list[Coded]
    plain: Mapping[str, FloatArray]  # plane → of what was never compressed
    planes: list[Mapping[str, FloatArray]]  # the same of each setting
    views: Mapping[str, tuple[str, ...]]  # view → planes it shows side by side


@dataclass(frozen=True)
class _Asked:
    """One target with its samples and folds, as every method meets them."""

    target: Target
    samples: Samples
    folds: list[tuple[BoolArray, BoolArray]]


class Run:
    """Holds the sets and their embeddings; `score` fills in one (set, method)."""

    def __init__(
        self, encoder: PlaneEncoder, sets: Mapping[str, Evidence], out: Path, setting: Setting | None = None
    ) -> None:
        self.encoder, self.sets, self.out = encoder, sets, Path(out)
        self.setting = setting or Setting()
        self._cache = PlaneCache(self.out / "planes")
        self._planes: dict[str, Planes] = {}
        self._penalties: dict[tuple[str, ...], list[float]] = {}
        self._allowed: dict[str, dict[str, BoolArray]] = {}
        self._code = origin.code()
        self._tiles = {name: origin.of_tiles(evidence) for name, evidence in sets.items()}

    def planes(self, name: str) -> Planes:
        if name not in self._planes:
            self._planes[name] = self._cache.planes(self.encoder, self.sets[name].tiles)
        return self._planes[name]

    def path(self, name: str, method: str) -> Path:
        return self.out / self.encoder.name / name / (re.sub(r"[^A-Za-z0-9.+-]+", "_", method) + ".npz")

    def origin(self, name: str, entry: Entry) -> dict[str, str]:
        """What the answers of an entry on a set depend on."""
        about = entry.method.about
        return {
            "encoder": f"{self.encoder.identity} {self.encoder.normalisation}",
            "method": f"{about.name}, {about.sends}, {'+'.join(entry.planes)}: {about.source}",
            "set": f"{name} {self._tiles[name]}",
            "fitted on": origin.of_training(self._training(name), self._tiles),
            "protocol": self.setting.text,
            "code": self._code,
        }

    def _training(self, name: str) -> dict[str, BoolArray]:
        """Tiles that a codec for this set may be fitted on, by set. Raises InternalError where one of them is scored."""
        if name not in self._allowed:
            allowed = codec_training(name, self.sets, HELD_BACK, blocked=self.setting.blocked)
            found = self.setting.folds(self.sets[name])
            audit.check_apart(name, self.sets, allowed, np.any([fold.held for fold in found], axis=0))
            self._allowed[name] = allowed
        return self._allowed[name]

    def is_scored(self, name: str, entry: Entry) -> bool:
        """Whether answers lie on disk."""
        return self.path(name, entry.name).exists()

    def score(self, name: str, entry: Entry) -> store.Scored:
        """Answers of every head for one entry on one set; from disk where they are there."""
        path = self.path(name, entry.name)
        here = self.origin(name, entry)
        if path.exists():
            return store.load(path, here)
        began = time.process_time()
        seen = self.seen(name, entry)
        spent = time.process_time() - began
        sizes = {c.setting: c.bytes_per_tile for c in seen.coded}
        found = store.Scored(
            entry.name,
            entry.sends,
            tuple(sizes),
            np.stack([c.sizes for c in seen.coded]),
            {
                plane: np.stack([_tile_errors(self.planes(name), plane, at[plane]) for at in seen.planes])
                for plane in self.planes(name).values
                if all(plane in at for at in seen.planes)
            },
            self._answers(name, sizes, seen),
            spent,
            self.planes(name).elements_per_tile,
        )
        store.save(path, here, found)
        return found

    def seen(self, name: str, entry: Entry) -> Seen:
        """A method at every setting, fitted on what this set allows. Raises InternalError for what the audit refuses."""
        found = self._embeddings(name, entry) if entry.sends == "embedding" else self._pixels(name, entry)
        audit.check_coded(entry.name, found.coded, len(self.sets[name].tiles))
        return found

    def _embeddings(self, name: str, entry: Entry) -> Seen:
        """A method that sends embeddings, at every setting, fitted on what this set allows."""
        parts = [
            _shown(self.planes(other).only(keep), entry.planes)
            for other, keep in self._training(name).items()
        ]
        planes = _shown(self.planes(name), entry.planes)
        train = _joined_planes(parts)
        coder = entry.method.fit(train)  # type: ignore[arg-type]
        audit.check_codec(entry.name, coder, train)  # type: ignore[arg-type]
        coded = [coder.code(planes, setting) for setting in coder.settings]  # type: ignore[arg-type]
        audit.check_received(entry.name, coded, planes, train)
        shown = [names for names in (("tokens",), ("tokens", "spectral")) if set(names) <= set(planes.values)]
        views = {"+".join(names): names for names in shown}
        return Seen(coded, planes.values, [c.planes for c in coded], views)

    def _pixels(self, name: str, entry: Entry) -> Seen:
        """A method that sends pixels; planes and statistics are made on the ground of what arrives."""
        tiles = self.sets[name].tiles
        allowed = self._training(name)
        train = _joined_tiles([_only(self.sets[other].tiles, keep) for other, keep in allowed.items()])
        coder = entry.method.fit(train)  # type: ignore[arg-type]
        coded = [coder.code(tiles, setting) for setting in coder.settings]  # type: ignore[arg-type]
        bands = coder.bands  # type: ignore[union-attr]
        audit.check_pixels(entry.name, coded, tiles, bands)
        whole = Coded(UNCOMPRESSED, np.zeros(len(tiles)), pixels=tiles.pixels)
        plain, *decoded = [
            ground_planes(self.encoder, received(tiles, c, bands)).values for c in (whole, *coded)
        ]
        if bands is None or set(tiles.bands) <= {*bands, *_absent(tiles)}:
            audit.check_ground(entry.name, plain, self.planes(name))
        return Seen(coded, plain, decoded, {view: (view,) for view in ("tokens", STATISTICS, BOTH)})

    def _answers(self, name: str, sizes: Mapping[str, float], seen: Seen) -> dict[store.Key, Answers]:
        evidence, validity = self.sets[name], self.planes(name).validity
        out = {}
        for asked in self._asked(name):
            dense = asked.target.level == "token"
            poolings: tuple[Pooling, ...] = ("mean",) if dense else POOLINGS
            for view, planes in seen.views.items():
                for pooling in poolings:
                    features = {
                        setting: gathered(at, planes, validity, evidence.tiles, asked.target, pooling)
                        for setting, at in zip(
                            (UNCOMPRESSED, *sizes), (seen.plain, *seen.planes), strict=True
                        )
                    }
                    label = view if dense else f"{view} {pooling}"
                    penalties = self._penalty(name, asked, label, features[UNCOMPRESSED])
                    for regime in self.setting.regimes:
                        out[store.Key(asked.target.name, label, regime)] = answers(
                            features,
                            sizes,
                            asked.samples,
                            asked.folds,
                            len(asked.target.classes),
                            regime,
                            n_resamples=self.setting.resamples,
                            seed=self.setting.seed,
                            penalties=penalties,
                        )
        return out

    def _penalty(self, name: str, asked: _Asked, label: str, x: FloatArray) -> list[float]:
        """One per fold, chosen on uncompressed features inside its training part; the same for all that have equal ones."""
        key = (name, asked.target.name, label, hashlib.sha256(x.tobytes()).hexdigest())
        if key not in self._penalties:
            self._penalties[key] = [
                choose_penalty(x[fit], asked.samples.part(fit), len(asked.target.classes), self.setting.seed)
                for fit, _ in asked.folds
            ]
        return self._penalties[key]

    def _asked(self, name: str) -> list[_Asked]:
        evidence = self.sets[name]
        found = self.setting.folds(evidence)
        out = []
        for target in evidence.targets:
            of = samples(target, evidence.tiles)
            sides = [(fold.fit[of.tile], fold.held[of.tile]) for fold in found if fold.held[of.tile].any()]
            if not sides:
                raise InputError(
                    f"no tile of {name!r} that may be scored has a label of {target.name!r}",
                    fix="choose another split, or score all places where the encoder saw none of them",
                )
            out.append(_Asked(target, of, sides))
        return out


def _absent(tiles: TileSet) -> set[str]:
    """Bands that no tile has."""
    return {name for i, name in enumerate(tiles.bands) if not tiles.present[:, i].any()}


def _tile_errors(planes: Planes, plane: str, decoded: FloatArray) -> FloatVector:
    """Squared error of each tile over the mean variance of a tile about the set's position mean."""
    known = planes.validity[..., None]
    x = planes.values[plane]
    centred = np.where(known, x - x.mean(0, dtype=np.float64).astype(np.float32), 0)
    variance = float(np.square(centred, dtype=np.float64).sum()) / len(x)
    difference = np.where(known, decoded - x, 0)
    return np.asarray(np.square(difference, dtype=np.float64).sum((1, 2, 3)) / variance, np.float64)


def _shown(planes: Planes, names: Sequence[str]) -> Planes:
    """Only the named planes that there are; without a spectral plane an entry that sends it sends tokens alone."""
    return Planes({name: planes.values[name] for name in names if name in planes.values}, planes.validity)


def _joined_planes(parts: Sequence[Planes]) -> Planes:
    names = [name for name in parts[0].values if all(name in part.values for part in parts)]
    values = {name: np.concatenate([part.values[name] for part in parts]) for name in names}
    return Planes(values, np.concatenate([part.validity for part in parts]))


def _only(tiles: TileSet, keep: BoolArray) -> TileSet:
    return TileSet(
        tiles.name, tiles.bands, tiles.pixels[keep], tiles.present[keep], tiles.validity[keep],
        tiles.scene[keep], tiles.place[keep], tiles.groups[keep], tiles.gsd,
    )  # fmt: skip


def _joined_tiles(parts: Sequence[TileSet]) -> TileSet:
    """One training set; scenes stay apart."""
    first, offset, scene = parts[0], 0, []
    for part in parts:
        scene.append(part.scene + offset)
        offset += int(part.scene.max()) + 1
    return TileSet(
        "+".join(part.name for part in parts),
        first.bands,
        np.concatenate([part.pixels for part in parts]),
        np.concatenate([part.present for part in parts]),
        np.concatenate([part.validity for part in parts]),
        np.concatenate(scene),
        np.concatenate([part.place for part in parts]),
        np.concatenate([part.groups for part in parts]),
        first.gsd,
    )
