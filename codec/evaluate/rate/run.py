"""One encoder's rate–utility run: every method on every set, the same bytes asked for every target."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec.evaluate.rate import audit, store
from codec.evaluate.rate.cache import PlaneCache
from codec.evaluate.rate.encoders import PlaneEncoder
from codec.evaluate.rate.features import Pooling, gathered
from codec.evaluate.rate.plain_encoders import patch_statistics
from codec.evaluate.rate.protocol import codec_training, folds
from codec.evaluate.rate.scoring import Answers, answers, choose_penalty
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

Views = Mapping[str, tuple[str, ...]]  # view → planes it shows side by side
POOLINGS: tuple[Pooling, ...] = ("mean", "mean-std-max")


@dataclass(frozen=True)
class Setting:
    """How a run is made."""

    split: str = "val"
    blocked: int = 0  # folds over lone tiles instead of the collection's split
    resamples: int = 5
    seed: int = 0
    regimes: tuple[Regime, ...] = REGIMES[:2]

    def origin(self, encoder: PlaneEncoder, evidence: Evidence) -> dict[str, str]:
        """What answers depend on besides the method."""
        return {
            "encoder": f"{encoder.identity} {encoder.normalisation}",
            "set": evidence.tiles.name,
            "tiles": str(len(evidence.tiles)),
            "split": self.split,
            "blocked": str(self.blocked),
            "resamples": str(self.resamples),
            "seed": str(self.seed),
            "regimes": ",".join(self.regimes),
        }


@dataclass(frozen=True)
class Entry:
    """A method as it runs: of an embedding, which planes it sends."""

    method: EmbeddingMethod | PixelMethod
    planes: tuple[str, ...] = ("tokens",)

    @property
    def name(self) -> str:
        return self.method.about.name + ("" if "spectral" not in self.planes else " + spectral")


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
        self._plain: dict[tuple[str, str, str], list[float]] = {}

    def planes(self, name: str) -> Planes:
        if name not in self._planes:
            self._planes[name] = self._cache.planes(self.encoder, self.sets[name].tiles)
        return self._planes[name]

    def path(self, name: str, method: str) -> Path:
        return self.out / self.encoder.name / name / (re.sub(r"[^A-Za-z0-9.+-]+", "_", method) + ".npz")

    def score(self, name: str, entry: Entry) -> store.Scored:
        """Answers of every head for one entry on one set; from disk where they are there."""
        method = entry.method
        path = self.path(name, entry.name)
        origin = self.setting.origin(self.encoder, self.sets[name])
        if path.exists():
            return store.load(path, origin)
        began = time.process_time()
        coded = self._coded(name, entry)
        spent = time.process_time() - began
        views, features = self._seen(name, method.about.sends, coded)
        found = store.Scored(
            entry.name,
            method.about.sends,
            tuple(c.setting for c in coded),
            np.stack([c.sizes for c in coded]),
            {
                plane: np.stack([_tile_errors(self.planes(name), plane, at[plane]) for at in features])
                for plane in self.planes(name).values
                if all(plane in at for at in features)
            },
            self._answers(name, {c.setting: c.bytes_per_tile for c in coded}, views, features),
            spent,
        )
        store.save(path, origin, found)
        return found

    def _coded(self, name: str, entry: Entry) -> list[Coded]:
        """Every setting of a method fitted on what this set allows, on all tiles of the set."""
        allowed, method = codec_training(name, self.sets), entry.method
        if method.about.sends == "embedding":
            parts = [_shown(self.planes(other).only(keep), entry.planes) for other, keep in allowed.items()]
            planes = _shown(self.planes(name), entry.planes)
            coder = method.fit(_joined_planes(parts))  # type: ignore[arg-type]
            coded = [coder.code(planes, setting) for setting in coder.settings]  # type: ignore[arg-type]
            audit.check_planes(entry.name, coded, planes)
        else:
            tiles = self.sets[name].tiles
            train = _joined_tiles([_only(self.sets[other].tiles, keep) for other, keep in allowed.items()])
            pixel_coder = method.fit(train)  # type: ignore[arg-type]
            coded = [pixel_coder.code(tiles, setting) for setting in pixel_coder.settings]  # type: ignore[arg-type]
            audit.check_pixels(entry.name, coded, tiles)
        audit.check_coded(entry.name, coded, len(self.sets[name].tiles))
        return coded

    def _seen(
        self, name: str, sends: str, coded: Sequence[Coded]
    ) -> tuple[Views, list[Mapping[str, FloatArray]]]:
        """What heads may see on the ground of each setting: planes by name, and the views made of them."""
        if sends == "embedding":
            first = coded[0].planes
            shown: list[tuple[str, ...]] = [("tokens",), ("tokens", "spectral")]
            return {"+".join(n): n for n in shown if all(p in first for p in n)}, [c.planes for c in coded]
        decoded: list[Mapping[str, FloatArray]] = []
        for c in coded:
            tiles = _with_pixels(self.sets[name].tiles, c.pixels)
            planes = dict(self.encoder(tiles).values)
            decoded.append({**planes, "statistics": patch_statistics(tiles)})
        views = {
            "tokens": ("tokens",),
            "statistics": ("statistics",),
            "tokens+statistics": ("tokens", "statistics"),
        }
        return views, decoded

    def _uncompressed(self, name: str) -> dict[str, FloatArray]:
        return {
            **self.planes(name).values,
            "statistics": patch_statistics(self.sets[name].tiles),
        }

    def _answers(
        self,
        name: str,
        sizes: Mapping[str, float],
        views: Views,
        decoded: Sequence[Mapping[str, FloatArray]],
    ) -> dict[store.Key, Answers]:
        evidence, plain = self.sets[name], self._uncompressed(name)
        validity = self.planes(name).validity
        out = {}
        for asked in self._asked(name):
            poolings: tuple[Pooling, ...] = ("mean",) if asked.target.level == "token" else POOLINGS
            for view, planes in views.items():
                for pooling in poolings:
                    features = {
                        setting: gathered(at, planes, validity, evidence.tiles, asked.target, pooling)
                        for setting, at in ((UNCOMPRESSED, plain), *zip(sizes, decoded, strict=True))
                    }
                    label = view if asked.target.level == "token" else f"{view} {pooling}"
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
        """One per fold, chosen on uncompressed features inside its training part; the same for every method."""
        key = (name, asked.target.name, label)
        if key not in self._plain:
            self._plain[key] = [
                choose_penalty(x[fit], asked.samples.part(fit), len(asked.target.classes), self.setting.seed)
                for fit, _ in asked.folds
            ]
        return self._plain[key]

    def _asked(self, name: str) -> list[_Asked]:
        evidence = self.sets[name]
        found = folds(evidence, self.setting.split, blocked=self.setting.blocked, seed=self.setting.seed)
        out = []
        for target in evidence.targets:
            of = samples(target, evidence.tiles)
            out.append(_Asked(target, of, [(fold.fit[of.tile], fold.held[of.tile]) for fold in found]))
        return out


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


def _with_pixels(tiles: TileSet, pixels: FloatArray | None) -> TileSet:
    assert pixels is not None  # pixel methods give pixels
    return TileSet(
        tiles.name, tiles.bands, pixels, tiles.present, tiles.validity, tiles.scene, tiles.place,
        tiles.groups, tiles.gsd,
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
