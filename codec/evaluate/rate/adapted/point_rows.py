"""What trained points are by themselves, as rows: rate, real bytes, what rounding and unmasking change, energy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from codec.errors import InputError
from codec.evaluate.rows import Row
from codec.nec.coding import recipe_of
from codec.nec.measure import Measured
from codec.nec.point import MEASURES
from codec.nec.train import REPORT

# Of `Measured`: unit of each number that is a row.
UNITS = {
    "bits_noise_masked": "bit per element",
    "bits_noise": "bit per element",
    "bits_density": "bit per element",
    "bits_tables": "bit per element",
    "bits_real": "bit per element, strings less 8 B",
    "bytes_per_tile": "B, one string a tile",
    "bytes_per_tile_grouped": "B, 64 tiles a string",
    "real_over_density": "ratio",
    "zero_share": "share of symbols",
    "escaped_share": "share of symbols",
    "tail_mass": "largest probability outside a table",
    "distortion_noise": "masked squared error, normalised pixels",
    "distortion_rounded": "masked squared error, normalised pixels",
}


def point_rows(suite: str, encoder: str, name: str, runs: tuple[Path, ...]) -> Iterator[Row]:
    """Case `encoder/method/points/rate bit`. Raises InputError for a folder without a finished point."""
    for run in runs:
        recipe = recipe_of(run / "point.pt")
        try:
            found = Measured(**json.loads((run / MEASURES).read_text()))
            report = json.loads((run / REPORT).read_text())
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"no finished point ({type(error).__name__})", path=run) from error
        case = f"{encoder}/{name}/points/{found.bits_real:.3g} bit"
        seed = str(recipe.seed)
        for metric, unit in UNITS.items():
            yield Row(
                suite,
                case,
                metric.replace("_", " "),
                getattr(found, metric),
                unit=unit,
                n=found.tiles,
                seeds=seed,
            )
        yield Row(suite, case, "weight of the distortion", recipe.rate.weight, seeds=seed)
        yield Row(suite, case, "trained share", report["trained"]["share"], unit="of parameters", seeds=seed)
        energy = report["energy"]
        yield Row(suite, case, "CPU time", energy["cpu_s"], unit="s", seeds=seed)
        yield Row(suite, case, "energy", 1000 * energy["kwh"], unit=f"Wh, {energy['basis']}", seeds=seed)
