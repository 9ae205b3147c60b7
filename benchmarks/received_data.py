"""What a refit is worth on real data, what drift flags there, and how good a preview is: `received.csv`.

`python -m benchmarks.received_data --data DATA`. Five Sentinel-2 dates of one place (Lahinch, 2017), at ×2 and ×1, with the
shipped model: tables are refitted from four dates and used for the fifth, five times; and the same with latents that vary
more or less than the model's, as of a sensor that drifted. Sizes are those of whole files, errors those of the decoded
tokens; bytes at equal error by interpolation over six qualities. Preview: scores of a decoder that is fitted here.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.results import Row, save
from codec.bitstream.reader import read_bytes
from codec.package import Package, load
from codec.pipeline import decode, encode
from codec.pipeline.drift import pass_drift
from codec.pipeline.received import ReceivedSymbols, symbols_of
from codec.pipeline.refit import refit_tables, write_refitted
from codec.types import Georeference, Latent, TileGrid

SUITE = "received"
BANDS = (
    "coastal", "blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "nir08", "nir09", "cirrus",
    "swir16", "swir22",
)  # fmt: skip
INDEX = 42
INDICES = range(36, 52, 3)
SCALES = (1.0, 0.7, 1.5, 2.0)


@dataclass(frozen=True)
class Pass:
    """One date at one zoom: what the encoder gave."""

    latents: tuple[Latent, ...]
    grid: TileGrid
    georeference: Georeference
    run: int

    def scaled(self, scale: float) -> Pass:
        return replace(
            self, latents=tuple(replace(x, values=x.values * np.float32(scale)) for x in self.latents)
        )

    def nec(self, package: Package, index: int) -> bytes:
        return encode(
            package, self.latents, grid=self.grid, georeference=self.georeference, sensor="sentinel2-l1c", band_mask=0,
            time_us=0, ladder_index=index, run=self.run,
        )  # fmt: skip


def passes(data: Path, package: Package) -> list[list[Pass]]:
    """Of every date, the pass at ×2 and at ×1."""
    from codec.scene.scene import open_scene
    from onboard.encode import encode_scene
    from onboard.engine import open_engine

    engine = open_engine(package.path("encoder.onnx"), threads=1)
    found: list[list[Pass]] = []
    places = {band: str(i) for i, band in enumerate(BANDS, 1)}
    for date, path in enumerate(sorted((data / "s2_series_lahinch").glob("*_s2.jp2"))):
        found.append([])
        for zoom in (2, 1):
            with open_scene(
                [path], sensor="sentinel2-l1c", bands=places, scaling="no-offset", zoom=zoom
            ) as scene:
                done = encode_scene(scene, package, engine, ladder_index=INDEX)
                found[-1].append(Pass(done.latents, done.grid, scene.georeference, 2 * date + zoom))
    return found


def received(package: Package, data: Sequence[bytes]) -> list[ReceivedSymbols]:
    files = [read_bytes(one) for one in data]
    return [symbols_of(package, file.header, [r.data for r in file.scan.records]) for file in files]


def curve(package: Package, sent: Pass) -> tuple[np.ndarray, np.ndarray]:
    """File sizes and mean squared errors of the tokens over the qualities."""
    sizes, errors = [], []
    truth = package.transforms["tokens"].synthesise(sent.latents[package.plane_index("tokens")].values)
    for index in INDICES:
        data = sent.nec(package, index)
        file = read_bytes(data)
        found = decode(package, file.header, [r.data for r in file.scan.records]).embeddings["tokens"]
        sizes.append(len(data))
        errors.append(float(np.square(found.values - truth)[found.validity].mean()))
    return np.array(sizes), np.array(errors)


def at_error(found: tuple[np.ndarray, np.ndarray], error: float) -> float:
    """Bytes at which this error is reached."""
    sizes, errors = found
    if not errors[0] <= error <= errors[-1]:
        raise ValueError("the error lies outside the curve: nothing is extrapolated")
    return float(np.exp(np.interp(np.log(error), np.log(errors), np.log(sizes))))


def refits(package: Package, dates: list[list[Pass]]) -> list[Row]:
    rows = []
    for scale in SCALES:
        size, error, equal, before, after = [], [], [], [], []
        for held_out in range(len(dates)):
            others = [p.scaled(scale) for i, date in enumerate(dates) if i != held_out for p in date]
            sent = dates[held_out][0].scaled(scale)
            files = received(package, [p.nec(package, INDEX) for p in others])
            with tempfile.TemporaryDirectory() as folder:
                new = write_refitted(package, refit_tables(package, files), files, Path(folder))
                old_curve, new_curve = curve(package, sent), curve(new, sent)
                again = received(new, [p.nec(new, INDEX) for p in others])
                after.append(len(pass_drift(new, again).flagged))
            before.append(len(pass_drift(package, files).flagged))
            at = INDICES.index(INDEX)
            size.append(new_curve[0][at] / old_curve[0][at])
            error.append(new_curve[1][at] / old_curve[1][at])
            equal.append(at_error(new_curve, float(old_curve[1][at])) / old_curve[0][at])
        case = "refit from four dates, used for the fifth" + (f", latents × {scale:g}" if scale != 1 else "")
        for metric, values, unit in (
            ("file size at one index", size, "ratio, min/max of dates"),
            ("error at one index", error, "ratio, min/max of dates"),
            ("file size at equal error", equal, "ratio, min/max of dates"),
            ("rows flagged before", before, "rows, min/max of dates"),
            ("rows flagged after", after, "rows, min/max of dates"),
        ):
            rows.append(
                Row(
                    SUITE, case, metric, round(float(np.mean(values)), 4), float(min(values)), float(max(values)), unit,
                    "tables as shipped" if unit.startswith("ratio") else "", n=len(values), threads=1,
                )
            )  # fmt: skip
            print(f"{case}: {metric} {rows[-1].value} ({rows[-1].lo:.4g} to {rows[-1].hi:.4g})", flush=True)
    return rows


def previews(package: Package, data: Path) -> list[Row]:
    from codec.pretrain.preview import fit_and_score, table

    found = fit_and_score(package, data)
    print(table(found), flush=True)
    size = Row(SUITE, "preview of s2-nano", "size", len(found.encode()), unit="bytes")
    rows = [size]
    for band, row in found.scores["by_band"].items():
        for metric, unit in (
            ("psnr_db", "dB"),
            ("explained", "share"),
            ("explained_by_patch_means", "share"),
        ):
            rows.append(
                Row(SUITE, f"preview of s2-nano, {band}", metric, row[metric], unit=unit, n=row["tokens"])
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    options = parser.parse_args()
    package = load("s2-nano")
    rows = refits(package, passes(options.data, package))
    save([*rows, *previews(package, options.data)])


if __name__ == "__main__":
    main()
