"""What `swathpack encode --skip cloud=P` saves, and what it wrongly leaves out: `skipping.csv`.

`python -m benchmarks.skipping --data DATA`. The scenes of the validation part that have cloud masks: one date of a coast
(Sentinel-2) and one Landsat 8 patch, read as `encode` reads them. Decisions are compared with the masks, tokens of which
the mask has no clear majority left out. Bytes are those of real files of both planes; the error is that of the decoded
`tokens` over those that the head does not rule out, in every file alike. Bytes at equal error: of coefficient records,
shared among tiles by their costs, on a curve through every third ladder index; no row where the curve ends before.
Intervals draw whole tiles of one scene: they say nothing of other scenes.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.nec.equal_error import Point, Ratio, ratio, times
from benchmarks.received_data import BANDS
from benchmarks.results import Row, save
from codec.bitstream import record as rec
from codec.bitstream.derived import derived_invalid
from codec.bitstream.reader import read_bytes
from codec.data import masks
from codec.data.labelled import UNLABELLED, token_labels
from codec.data.readers import read_array
from codec.data.splits import rows as split_rows
from codec.data.sun import sine_of_sun_elevation
from codec.evaluate.rate.embedding.records import shared_by_cost
from codec.evaluate.rate.embedding.sent import sizes
from codec.package import Package, load
from codec.pipeline import decode, encode
from codec.pipeline.received import decoded_symbols
from codec.scene.scene import Scene, open_scene
from codec.types import BoolArray, FloatArray, Georeference, Latent, TileGrid
from onboard.encode import encode_scene
from onboard.engine_package import engine_for
from onboard.skipping import SkipRule, TokenSkipper

SUITE = "skipping"
PLANE = "tokens"
THRESHOLDS = (0.5, 0.9, 0.99, 0.999)
ASKED = (36, 42, 48)  # ladder indices: finer than the default, the default, coarser
CURVE = range(27, 58, 3)
CLEAR, CLOUD = 0, 1
_RIVAL = "all tokens sent"


@dataclass(frozen=True)
class Measured:
    """One scene: what the encoder gave for it, and what its mask says."""

    name: str
    latents: tuple[Latent, ...]
    grid: TileGrid
    georeference: Georeference
    sensor: str
    own: BoolArray  # N×h×w
    truth: FloatArray  # N×h×w×C, embeddings before the codec
    labels: npt.NDArray[np.int64]  # N×h×w, −1 none

    def file(self, package: Package, latents: Sequence[Latent], index: int) -> bytes:
        return encode(
            package, latents, grid=self.grid, georeference=self.georeference, sensor=self.sensor, band_mask=1,
            time_us=0, ladder_index=index,
        )  # fmt: skip


def _coast(data: Path) -> Iterator[tuple[AbstractContextManager[Scene], npt.NDArray[np.int64]]]:
    places = {band: str(i) for i, band in enumerate(BANDS, 1)}
    for image, mask in masks.coast(data, "val", {1: CLEAR, 2: CLEAR, 3: CLOUD}):
        path = data / "s2_series_lahinch" / f"{image.name}_s2.jp2"
        yield open_scene([path], sensor="sentinel2-l1c", bands=places, scaling="no-offset"), mask


def _landsat(data: Path) -> Iterator[tuple[AbstractContextManager[Scene], npt.NDArray[np.int64]]]:
    places = {"red": "1", "green": "2", "blue": "3", "nir08": "4"}
    for row in split_rows(data, "cloud38", "val"):
        place, day = Path(row["image"]).stem.split("_")
        sine = sine_of_sun_elevation(int(place[3:]), date(int(day[:4]), int(day[4:6]), int(day[6:])))
        scene = open_scene(
            [data / "cloud38" / row["image"]], sensor="landsat8", bands=places, scaling="l1-toa",
            sun_elevation_deg=math.degrees(math.asin(sine)),
        )  # fmt: skip
        yield scene, read_array(data / "cloud38" / row["mask"])[0].astype(np.int64)


def scenes(package: Package, data: Path) -> Iterator[Measured]:
    engine = engine_for(package, threads=1)
    number = package.plane_index(PLANE)
    spec = package.planes[number].spec
    for name, found in (("Sentinel-2 coast", _coast(data)), ("Landsat 8", _landsat(data))):
        for opened, mask in found:
            with opened as scene:
                done = encode_scene(scene, package, engine)
                where, sensor = scene.georeference, scene.sensor.name
            side = package.tile.core
            cuts = [done.grid.origin(tile) for tile in range(done.grid.n_tiles)]
            labels = np.stack(
                [token_labels(mask[r : r + side, c : c + side], package.tile.patch) for r, c in cuts]
            )
            own = done.latents[number].token_validity & ~derived_invalid(done.grid, spec)
            truth = package.transforms[PLANE].synthesise(done.latents[number].values)
            yield Measured(
                name, done.latents, done.grid, where, sensor, own, truth, np.where(own, labels, UNLABELLED)
            )


def point(package: Package, data: bytes, truth: FloatArray, asked: BoolArray) -> Point:
    """Bytes and squared error of each tile of a file, the latter over the tokens asked of, which must all be there."""
    nec = read_bytes(data)
    given = [record.data for record in nec.records]
    tables, _, planes = decoded_symbols(package, nec.header, given)
    records = [r for r in map(rec.parse, given) if r.header.is_coefficients]
    taken = np.zeros(nec.header.n_tiles)
    for plane in planes:
        own = [record for record in records if record.header.plane == plane.plane]
        parts = shared_by_cost(tables, own, plane.plane, nec.header.ladder_index, plane.values)
        taken += sizes(parts, nec.header.n_tiles)
    found = decode(package, nec.header, given).embeddings[PLANE]
    if (asked & ~found.validity).any():
        raise ValueError("a token that should have been sent is not in the file")
    errors = np.square(found.values.astype(np.float64) - truth).sum(axis=3)
    return Point(taken, np.where(asked, errors, 0).sum(axis=(1, 2)))


def decisions(case: str, scene: Measured, out: BoolArray) -> Iterator[Row]:
    """What the head rules out against the mask, as shares over tokens."""
    cloud, clear = scene.labels == CLOUD, scene.labels == CLEAR
    for metric, part, whole in (
        ("tokens ruled out", out, scene.own),
        ("of those ruled out, cloud", out & cloud, out & (cloud | clear)),
        ("of cloud, ruled out", out & cloud, cloud),
        ("of clear, ruled out", out & clear, clear),
    ):
        with np.errstate(invalid="ignore"):  # draws without such a token: then no interval is given
            share = times(part.sum(axis=(1, 2)), whole.sum(axis=(1, 2)), np.arange(len(out)))
        yield _row(case, metric, share, "share [95% over tiles]", "", int(whole.sum()))


def _row(case: str, metric: str, found: Ratio, unit: str, rival: str, n: int) -> Row:
    if not (np.isfinite(found.low) and np.isfinite(found.high)):
        return Row(SUITE, case, metric, found.value, unit=unit.split(" [")[0], rival=rival, n=n, threads=1)
    return Row(SUITE, case, metric, found.value, found.low, found.high, unit, rival, n=n, threads=1)


def measured(package: Package, scene: Measured) -> Iterator[Row]:
    n_own = int(scene.own.sum())
    plain = {index: scene.file(package, scene.latents, index) for index in ASKED}
    for threshold in THRESHOLDS:
        case = f"{package.name}/{scene.name}, cloud above {threshold:g}"
        skipper = TokenSkipper(package, [SkipRule("cloud", threshold)])
        everywhere = skipper.skip(scene.latents, scene.grid)
        number = package.plane_index(PLANE)
        out = scene.own & ~everywhere.latents[number].token_validity
        yield from decisions(case, scene, out)
        asked = scene.own & ~out
        where_it_saves = {
            k: skipper.skip(scene.latents, scene.grid, ladder_index=k) for k in {*CURVE, *ASKED}
        }
        ways = {
            "": {k: found.latents for k, found in where_it_saves.items()},
            ", all that is ruled out": dict.fromkeys(where_it_saves, everywhere.latents),
        }
        for label, latents in ways.items():
            files = {k: scene.file(package, of, k) for k, of in latents.items()}
            curve = [point(package, files[k], scene.truth, asked) for k in CURVE]
            for index in ASKED:
                of = where_it_saves[index].skipped_tokens if not label else int(out.sum())
                at = f"index {index}{label}"
                yield Row(SUITE, case, f"tokens skipped, {at}", of / n_own, unit="share", n=n_own, threads=1)
                share = len(files[index]) / len(plain[index])
                yield Row(
                    SUITE, case, f"file size, {at}", share, unit="ratio", rival=_RIVAL, n=scene.grid.n_tiles,
                    threads=1,
                )  # fmt: skip
                rival = point(package, plain[index], scene.truth, asked)
                with np.errstate(divide="ignore", invalid="ignore"):  # draws of skipped tiles alone
                    equal = ratio([curve], [rival], np.arange(scene.grid.n_tiles))
                if np.isfinite(equal.value):
                    yield _row(
                        case, f"bytes at equal error of what is kept, {at}", equal, "ratio [95% over tiles]", _RIVAL,
                        scene.grid.n_tiles,
                    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    options = parser.parse_args()
    package = load("s2-nano")
    rows = []
    for scene in scenes(package, options.data):
        for row in measured(package, scene):
            print(f"{row.case}: {row.metric} {row.value:.4g} [{row.lo}, {row.hi}]", flush=True)
            rows.append(row)
    save(rows, packages=("swathpack", "numpy", "onnxruntime"))


if __name__ == "__main__":
    main()
