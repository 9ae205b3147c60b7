"""A mean vector per file: bytes of layer 0 of whole scenes with it, without it, and by the pipeline's own rule.

Whole files are counted: header, its extensions, records, index and seal. The rule is `file_mean=None` of
`codec.pipeline.encode`: the vector is sent where integer costs say that it saves more than it takes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.nec.held_out import Collection
from codec import pipeline
from codec.bitstream.reader import read_bytes
from codec.evaluate.rate.targets import Evidence
from codec.evaluate.rows import Row
from codec.types import BoolArray, FloatArray, Georeference, Latent, TileGrid

SUITE = "nec"
PAYLOADS = (300.0, 100.0, 50.0)  # bytes per tile, all planes, at which the quality is chosen
_NOWHERE = Georeference((1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
_LONE = 64  # tiles a file where tiles belong to no scene


def scenes(evidence: Evidence) -> Iterator[tuple[str, BoolArray]]:
    """Whole scenes of a set, by name; lone tiles in files of 64, which share a continent and nothing else."""
    tiles = evidence.tiles
    n_scenes = len(np.unique(tiles.scene))
    if n_scenes == len(tiles):
        for start in range(0, len(tiles) - _LONE + 1, _LONE):
            yield f"lone tiles {start // _LONE}", np.isin(np.arange(len(tiles)), range(start, start + _LONE))
        return
    for number in np.unique(tiles.scene):
        yield f"scene {number}", tiles.scene == number


def _layer_0(data: bytes) -> int:
    """Bytes of records of layer 0 and of the header's extensions."""
    file = read_bytes(data)
    return sum(e.size for e in file.header.extensions) + sum(
        len(r.data) for r in file.records if r.header.layer == 0
    )


def _error(of: Collection, data: bytes, truth: FloatArray, valid: BoolArray) -> float:
    file = read_bytes(data)
    found = pipeline.decode(of.package, file.header, [r.data for r in file.records], max_layers=1)
    return float(np.square((found.embeddings["tokens"].values - truth)[valid], dtype=np.float64).mean())


def rows(of: Collection) -> Iterator[Row]:
    """Bytes of layer 0 over those without a mean vector, one row per scene and quality, and the mean of each set."""
    package = of.package
    for held in of.held:
        evidence, planes = of.run.sets[held.name], of.run.planes(held.name)
        for payload in PAYLOADS:
            shares: list[dict[str, float]] = []
            for _, chosen in scenes(evidence):
                valid = planes.validity[chosen]
                latents = [
                    Latent(
                        package.plane_index(name), package.transforms[name].analyse(x[chosen], valid), valid
                    )
                    for name, x in planes.values.items()
                ]
                grid = TileGrid(
                    len(valid) * package.tile.core, package.tile.core, package.tile.core, package.tile.core
                )
                settings = {
                    "grid": grid,
                    "georeference": _NOWHERE,
                    "sensor": "benchmark",
                    "band_mask": 0,
                    "time_us": 0,
                }
                probe = read_bytes(pipeline.encode(package, latents, bytes_per_tile=payload, **settings))  # type: ignore[arg-type]
                index = probe.header.ladder_index
                files = {
                    how: pipeline.encode(package, latents, ladder_index=index, file_mean=how, **settings)  # type: ignore[arg-type]
                    for how in (False, True, None)
                }
                truth = np.asarray(planes.values["tokens"][chosen])
                errors = {how: _error(of, files[how], truth, valid) for how in (False, True)}
                shares.append(
                    {
                        "always": _layer_0(files[True]) / _layer_0(files[False]),
                        "by the rule": _layer_0(files[None]) / _layer_0(files[False]),
                        "whole file, by the rule": len(files[None]) / len(files[False]),
                        "error": errors[True] / errors[False],
                    }
                )
            case = f"{package.name}/{held.name}/{payload:g} B a tile"
            for name, metric in (
                ("always", "bytes of layer 0, mean vector always sent"),
                ("by the rule", "bytes of layer 0, mean vector by the pipeline's rule"),
                ("whole file, by the rule", "bytes of the whole file, mean vector by the pipeline's rule"),
                ("error", "token error of layer 0 with the mean vector"),
            ):
                values = np.array([share[name] for share in shares])
                yield Row(
                    SUITE, case, metric, float(np.exp(np.log(values).mean())), float(values.min()), float(values.max()),
                    "ratio [min, max over files]", "no mean vector", len(values),
                )  # fmt: skip
