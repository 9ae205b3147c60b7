"""How near a file comes to the bytes it was given, and integer costs to real bytes, on real scenes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from benchmarks.nec.file_mean import scenes
from benchmarks.nec.held_out import Collection
from codec import pipeline
from codec.bitstream.masks import plane_masks
from codec.bitstream.reader import read_bytes
from codec.errors import InputError
from codec.evaluate.rows import Row
from codec.pipeline.estimated import Estimated
from codec.pipeline.quantising import Quantiser
from codec.pipeline.sources import sources
from codec.types import Georeference, Latent, RecordKind, TileGrid

SUITE = "nec"
_OTHERS = (RecordKind.TABLES, RecordKind.INDEX, RecordKind.SEAL)
_LEAST = 4096  # bytes from which estimates and budgets are promised
_BUDGETS = 12  # of each scene, from 4 KiB to 2000 bytes a tile
_NOWHERE = Georeference((1.0, 0.0, 0.0, 0.0, 1.0, 0.0))


def rows(of: Collection) -> Iterator[Row]:
    """Share of the budget that files take, and estimated over real bytes of records, with minimum and maximum."""
    package = of.package
    spent: list[float] = []
    estimated: list[float] = []
    refused, seconds = 0, 0.0
    for held in of.held:
        planes = of.run.planes(held.name)
        for _, chosen in scenes(of.run.sets[held.name]):
            valid, core = planes.validity[chosen], package.tile.core
            latents = [
                Latent(package.plane_index(name), package.transforms[name].analyse(x[chosen], valid), valid)
                for name, x in planes.values.items()
            ]
            grid = TileGrid(len(valid) * core, core, core, core)
            settings = {
                "grid": grid,
                "georeference": _NOWHERE,
                "sensor": "benchmark",
                "band_mask": 0,
                "time_us": 0,
            }
            for budget in np.geomspace(_LEAST, max(2000 * len(valid), 8192), _BUDGETS).astype(int).tolist():
                began = time.process_time()
                try:
                    data = pipeline.encode(package, latents, total_bytes=budget, **settings)  # type: ignore[arg-type]
                except InputError:
                    refused += 1  # below layer 0
                    continue
                seconds += time.process_time() - began
                spent.append(len(data) / budget)
            given = sources(package, latents, grid)
            masks = [
                plane_masks(grid, s, g.validity) for s, g in zip(package.plane_specs, given, strict=True)
            ]
            for index in list(package.ladder_indices)[2::9]:
                costs = [
                    Quantiser(package, s, index).costs(range(package.plane_specs[s.number].n_layers))
                    for s in given
                ]
                guess = Estimated(package, given, masks, costs, costs)
                expected = sum(guess.size(group, 0) for group in guess.groups(960))
                data = pipeline.encode(package, latents, ladder_index=index, file_mean=False, **settings)  # type: ignore[arg-type]
                found = [r for r in read_bytes(data).records if r.header.kind not in _OTHERS]
                real = sum(len(r.data) for r in found)
                if real >= _LEAST:
                    estimated.append(expected / real)
    case = f"{package.name}/scenes of all sets"
    for metric, values in (("bytes over the budget", spent), ("estimated over real bytes", estimated)):
        yield Row(
            SUITE, case, metric, float(np.mean(values)), min(values), max(values), "ratio [min, max]", n=len(values)
        )  # fmt: skip
    yield Row(
        SUITE, case, "budgets below layer 0, refused", float(refused), unit="files", n=refused + len(spent)
    )
    yield Row(
        SUITE,
        case,
        "CPU seconds of encoding to a budget",
        seconds / len(spent),
        unit="s per file",
        n=len(spent),
    )
