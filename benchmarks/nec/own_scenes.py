"""What a codec of a user's own scenes saves, by how many scenes they give: bytes at equal error over the package's codec.

The way is that of `python -m codec.pretrain fit-codec --scenes`: training pictures of a sensor are written as rasters and
read as `swathpack encode` reads them, their windows fitted in eight orientations. Each choice of one and of two pictures
counts, and all of them; `alone` leaves out what the package's codec expects, which the command adds. Tiles that are asked
are read the same way from pictures outside the training part. Bytes are integer costs with a mean vector a file where it
pays; errors are those of tokens, or of their mean in a tile for layer 0.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

from benchmarks.nec.costed import Codec, Costed, costed, nearest
from benchmarks.nec.equal_error import Point, ratio
from benchmarks.nec.held_out import Collection
from codec.data.raster import Raster
from codec.data.readers import read_source
from codec.data.sun import sine_of_sun_elevation
from codec.evaluate.rows import Row
from codec.models import load_encoder
from codec.models.inference import embed
from codec.package import Package
from codec.pretrain.fit import fit_embedded
from codec.pretrain.own_gain import held_out_ratio, with_prior
from codec.pretrain.own_prior import prior_embeddings
from codec.pretrain.own_windows import OwnScene, read_windows
from codec.pretrain.windows import ORIENTATIONS
from codec.transform.fit_checks import halves
from codec.types import FloatArray

SUITE = "windows"
RATES = (20.0, 100.0, 300.0)  # bytes a tile of the package's codec
MEAN_RATE = 20.0  # where layer 0 is looked at
_REACH = 0.6  # of the smallest error that is asked for: draws of places ask for others
_RIVAL = "the package's codec"


@dataclass(frozen=True)
class _Own:
    """A sensor of somebody's own: a source of the collection and how its rasters are read."""

    source: str
    sensor: str
    scaling: str
    sun: Callable[[Raster], float | None]  # degrees


def _sun_of_name(raster: Raster) -> float:
    """The elevation over a patch `PPPRRR_YYYYMMDD`: its row and date."""
    scene, day = Path(raster.name).stem.split("_")
    when = date(int(day[:4]), int(day[4:6]), int(day[6:]))
    return math.degrees(math.asin(sine_of_sun_elevation(int(scene[3:]), when)))


SENSORS = (
    _Own("cloud38", "landsat8", "l1-toa", _sun_of_name),
    _Own("naip", "naip", "dn8", lambda raster: None),
)


@dataclass(frozen=True)
class _Read:
    """Embeddings by plane, and the picture that each is of."""

    planes: Mapping[str, FloatArray]
    file: npt.NDArray[np.int64]


def rows(of: Collection) -> Iterator[Row]:
    """Of each sensor, rate and number of scenes one row; and how many windows they were."""
    prior = prior_embeddings(of.package)
    shipped = Codec(of.package.transforms["tokens"], of.package.table_file)
    for own in SENSORS:
        train = _read(of, own, ("train",), ORIENTATIONS)
        held = _read(of, own, ("val", "test"), 1)
        tokens, name = held.planes["tokens"], f"{of.package.name}/own scenes/{own.source}"
        base = list(_curve(shipped, tokens, held.file, most_bytes=1.2 * max(RATES)))
        finest = _REACH * nearest(base, max(RATES)).tokens.errors.sum()
        names = np.unique(train.file)
        for given in (1, 2, len(names)):
            label = f"{given} scene{'s' * (given > 1)}" if given < len(names) else "all scenes"
            choices = [np.isin(train.file, chosen) for chosen in combinations(names, given)]
            windows = float(np.mean([part.sum() / ORIENTATIONS for part in choices]))
            yield Row(SUITE, name, f"windows, {label}", windows, unit="windows", n=len(choices))
            for how in ("", ", alone"):
                if how and given == 2:
                    continue  # between the two others
                curves = []
                for part in choices:
                    chosen = {plane: values[part] for plane, values in train.planes.items()}
                    fitted = fit_embedded(chosen if how else with_prior(chosen, prior), freeze=False)
                    codec = Codec(fitted.transforms["tokens"], fitted.tables)
                    curves.append(list(_curve(codec, tokens, held.file, least_error=finest)))
                yield from _compared(name, label + how, curves, base, held.file)
        n = len(train.file) // ORIENTATIONS
        halves_of = {"windows": halves(n)[0], "scenes": train.file[::ORIENTATIONS] % 2 == 0}
        for what, first in halves_of.items():
            foreseen = held_out_ratio(of.package, train.planes, first, ORIENTATIONS)
            yield Row(
                SUITE, name, f"bytes at equal error at the default quality, {what} that a fit left out", foreseen,
                unit="ratio", rival=_RIVAL, n=n,
            )  # fmt: skip


def _compared(
    name: str, label: str, curves: Sequence[list[Costed]], base: list[Costed], place: npt.NDArray[np.int64]
) -> Iterator[Row]:
    for rate in RATES:
        parts = [("bytes", [[p.tokens for p in curve] for curve in curves], nearest(base, rate).tokens)]
        if rate == MEAN_RATE:
            point = min((p.mean for p in base), key=lambda p: abs(float(np.log(p.bytes.mean() / rate))))
            parts.append(("bytes of layer 0", [[p.mean for p in curve] for curve in curves], point))
        for what, ours, rival in parts:
            row = _row(
                f"{name}/near {rate:g} B", f"{what} at equal error, fitted on {label}", ours, rival, place
            )
            if np.isfinite(row.value):  # else a curve does not reach so far
                yield row


def _row(case: str, metric: str, ours: list[list[Point]], rival: Point, place: npt.NDArray[np.int64]) -> Row:
    """With fewer than three pictures to ask, the interval is that of the choices alone."""
    found = ratio(ours, [rival] * len(ours), place)
    if len(np.unique(place)) >= 3:
        unit, low, high = "ratio [95% over places and choices of scenes]", found.low, found.high
    else:
        each = [ratio([one], [rival], place).value for one in ours]
        unit, low, high = "ratio [min, max over choices of scenes]", min(each), max(each)
    several = len(ours) > 1 or unit.startswith("ratio [95%")
    return Row(
        SUITE, case, metric, found.value, low if several else None, high if several else None,
        unit if several else "ratio", _RIVAL, found.n,
    )  # fmt: skip


def _curve(
    codec: Codec,
    tokens: FloatArray,
    file: npt.NDArray[np.int64],
    *,
    most_bytes: float = math.inf,
    least_error: float = 0.0,
) -> Iterator[Costed]:
    """From the coarsest quality to one beyond either limit: the finest are slow to cost, and nobody asks for them here."""
    for index in codec.indices[::-3]:
        point = costed(codec, tokens, file, index)
        yield point
        if point.tokens.bytes.mean() > most_bytes or point.tokens.errors.sum() < least_error:
            return


def _read(of: Collection, own: _Own, splits: tuple[str, ...], turns: int) -> _Read:
    """Wholly measured windows, each in `turns` orientations, as `fit-codec --scenes` reads and embeds them."""
    package: Package = of.package
    encoder = load_encoder(package.path("encoder.safetensors"))
    tiles, file = [], []
    with tempfile.TemporaryDirectory(prefix="swathpack-own-") as folder:
        for number, raster in enumerate(
            r for split in splits for r in read_source(own.source, of.data, split)
        ):
            path = _written(raster, Path(folder) / f"{number}.tif")
            scene = OwnScene(path, own.sensor, scaling=own.scaling, sun_elevation_deg=own.sun(raster))
            found = read_windows([scene], package.bands, core=package.tile.core, margin=package.tile.margin)
            shown = list(found.in_all_orientations()) if turns > 1 else list(found.tiles)
            tiles += shown
            file += [number] * len(shown)
    return _Read(embed(encoder, tiles), np.array(file))


def _written(raster: Raster, path: Path) -> Path:
    """The picture as a raster with named bands, pixels as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", count=len(raster.bands), height=raster.height, width=raster.width,
            dtype=raster.native.dtype,
        ) as out:  # fmt: skip
            out.colorinterp = [ColorInterp.undefined] * len(
                raster.bands
            )  # else a fourth band of bytes is an alpha band
            out.descriptions = raster.bands
            out.write(raster.native)
    return path
