"""Layer 0 below the end of its ladder, against product quantisation of the same vector.

The ladder ends at 64 deviations of a token, and layer 0 lies 8 times finer on it: that, and nothing else, is its least size.
Here layer 0 goes on to the ladder's own end. Both are fitted on the same training windows. Bytes: of layer 0 integer costs
and a 64th of a record's 16 bytes; of product quantisation its indices behind zstd. Utility: a head on uncompressed means,
asked of decoded ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.nec.band_cases import Tiles
from benchmarks.nec.costed import Codec, curve
from benchmarks.nec.held_out import Collection
from codec.evaluate.probes import fit_probe
from codec.evaluate.rate.embedding.pooled import MEAN_OPQ
from codec.evaluate.rate.run import Setting
from codec.evaluate.rate.types import Planes
from codec.evaluate.rows import Row
from codec.pretrain.fit import CODEC_WINDOWS
from codec.transform.fit import fit_planes
from codec.transform.layout import PlaneLayout
from codec.transform.maps import quant_maps
from codec.types import FloatArray

SUITE, SET = "nec", "eurosat"
BYTES = (4, 6, 8, 10, 12, 15, 20)
_RECORD_SHARE = 16 / 64  # bytes
_DRAWS = 1000
FloatVector = npt.NDArray[np.float64]
Measured = Callable[[FloatArray], FloatVector]


@dataclass(frozen=True)
class _Points:
    """Of S settings, in order of bytes: bytes a tile, and per tile the relative error and two utilities."""

    bytes: FloatVector  # S
    per_tile: FloatVector  # 3×S×N: error, right answers, answers that stay


MEASURES = (("error of the mean", 1.0, ""), ("accuracy", 100.0, "%"), ("agreement", 100.0, "%"))


def rows(of: Collection) -> Iterator[Row]:
    """At every size both reach: either, and the difference."""
    tiles = Tiles(of)
    train = tiles.planned(CODEC_WINDOWS[tiles.bands])
    evidence, planes = of.run.sets[SET], of.run.planes(SET)
    held = np.any([f.held for f in Setting("unseen").folds(evidence)], axis=0)
    held &= planes.validity.all((1, 2))
    fit = evidence.split == "train"
    tokens = np.asarray(planes.values["tokens"])
    means = tokens.mean(axis=(1, 2))
    target = next(t for t in evidence.targets if t.name == "class")
    head = fit_probe(means[fit], target.labels[fit], evidence.tiles.groups[fit], len(target.classes))
    truth, said, label = means[held], head.predict(means[held]), target.labels[held]
    variance = float(np.square(truth - means[fit].mean(axis=0)).sum(axis=1).mean())

    def measured(decoded: FloatArray) -> FloatVector:
        answers = head.predict(decoded)
        error = np.square(decoded - truth, dtype=np.float64).sum(axis=1) / variance
        return np.stack([error, answers == label, answers == said]).astype(np.float64)

    found = {
        "layer 0": _layer_0(train, tokens[held], measured),
        "product quantisation": _quantised(train, tokens[held], measured),
    }
    case = f"{of.package.name}/{SET}/tile mean, layer 0 to the end of the ladder"
    for name, points in found.items():
        yield Row(SUITE, case, f"fewest bytes, {name}", float(points.bytes[0]), unit="B/tile")
    _, place = np.unique(evidence.tiles.groups[held], return_inverse=True)
    n = int(place.max()) + 1
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=_DRAWS)[:, place].astype(float)
    for size in BYTES:
        at = {name: _at(points, size) for name, points in found.items()}
        for k, (measure, scale, unit) in enumerate(MEASURES):
            for name, values in at.items():
                if values is not None:
                    yield _row(case, f"{measure} at {size} B, {name}", scale * values[k], weights, unit)
            ours, rival = at["layer 0"], at["product quantisation"]
            if ours is not None and rival is not None:
                metric = f"{measure}-difference at {size} B, layer 0"
                row = _row(case, metric, scale * (ours[k] - rival[k]), weights, unit.replace("%", "points"))
                yield replace(row, rival="product quantisation")


def _layer_0(train: FloatArray, tokens: FloatArray, measured: Measured) -> _Points:
    fitted = fit_planes({"tokens": train}, layouts={"tokens": PlaneLayout(dc_shift=0)})
    codec = Codec(fitted.transforms["tokens"], fitted.tables)
    lone = np.arange(len(tokens))  # no file has a mean vector: these tiles belong to no scene
    latents = codec.transform.analyse(tokens)
    found = []
    for index, costed in zip(codec.indices[::-1], curve(codec, tokens, lone)[::-1], strict=True):
        maps = quant_maps(codec.tables, 0, index)
        values = maps.reconstruct(maps.quantise(latents))
        values[:, maps.layer > 0] = 0
        found.append(
            (costed.mean.bytes.mean() + _RECORD_SHARE, codec.transform.synthesise(values).mean((1, 2)))
        )
    return _points([(size, measured(decoded)) for size, decoded in found if 0.5 < size < 64])


def _quantised(train: FloatArray, tokens: FloatArray, measured: Measured) -> _Points:
    everywhere = [np.ones(x.shape[:3], dtype=bool) for x in (train, tokens)]
    coder = MEAN_OPQ.fit(Planes({"tokens": train}, everywhere[0]))
    found = []
    for setting in coder.settings:
        coded = coder.code(Planes({"tokens": tokens}, everywhere[1]), setting)
        assert coded.planes is not None
        found.append((coded.bytes_per_tile, measured(coded.planes["tokens"].mean((1, 2)))))
    return _points(found)


def _points(found: list[tuple[float, FloatVector]]) -> _Points:
    ordered = sorted(found, key=lambda point: point[0])
    return _Points(np.array([size for size, _ in ordered]), np.stack([m for _, m in ordered], axis=1))


def _at(points: _Points, size: float) -> FloatVector | None:
    """3×N between the two neighbouring settings, by the logs of their bytes; None off the curve."""
    if not points.bytes[0] <= size <= points.bytes[-1]:
        return None
    above = int(np.clip(np.searchsorted(points.bytes, size), 1, len(points.bytes) - 1))
    low, high = np.log(points.bytes[above - 1 : above + 1])
    share = (np.log(size) - low) / (high - low)
    return np.asarray((1 - share) * points.per_tile[:, above - 1] + share * points.per_tile[:, above])


def _row(case: str, metric: str, values: FloatVector, weights: FloatVector, unit: str) -> Row:
    low, high = np.percentile((weights @ values) / weights.sum(axis=1), (2.5, 97.5))
    return Row(
        SUITE, case, metric, float(values.mean()), float(low), float(high), f"{unit} [95% over places]".strip(),
        n=len(values),
    )  # fmt: skip
