"""The encode path: a scene in, a `.nec` out. Tiles stream through the engine in batches; memory is bounded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from codec.bitstream.extensions import MAX_SOURCE_NAME
from codec.bitstream.sensing_time import to_microseconds
from codec.errors import InputError
from codec.types import Latent, Tile, TileGrid

if TYPE_CHECKING:
    from codec.package import Package
    from codec.scene.scene import Scene
    from onboard.engine import Engine
    from onboard.skipping import Skipped, SkipRule, TokenSkipper

BATCH = 32  # tiles; on two cores larger batches gain nothing


@dataclass(slots=True)
class EncodeReport:
    """What an encode run says of itself."""

    tiles: int = 0
    tiles_without_data: int = 0
    tiles_invalid: int = 0  # with data, but latents that cannot be coded
    bands: list[str] = field(default_factory=list)
    bands_absent: list[str] = field(default_factory=list)
    raw_bytes: int = 0
    nec_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    engine: dict[str, object] = field(default_factory=dict)
    energy: dict[str, object] | None = None  # who runs the encoder measures it: `onboard.power.run`
    skipped: dict[str, object] | None = None  # where rules were given
    notes: list[str] = field(default_factory=list)

    @property
    def tiles_coded(self) -> int:
        """Tiles that have bytes of their own."""
        return self.tiles - self.tiles_without_data - self.tiles_invalid

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A finished `.nec` and what it took."""

    data: bytes
    grid: TileGrid
    latents: tuple[Latent, ...]
    report: EncodeReport
    skipped: Skipped | None = None  # where rules were given


def encode_scene(
    scene: Scene,
    package: Package,
    engine: Engine,
    *,
    ladder_index: int | None = None,
    bytes_per_tile: float | None = None,
    total_bytes: int | None = None,
    importance: Sequence[float] | np.ndarray | None = None,
    tradeoff: float = 0.0,
    digits: int | None = None,
    skip: Sequence[SkipRule] = (),
    target_bytes: int = 960,
    run: int = 0,
    source_name: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Encoded:
    """Encode all tiles of `scene`.

    Quality: `ladder_index`, or a budget as `codec.pipeline.encode` spends it (`bytes_per_tile`, or `total_bytes` of the
    file; tiles of greater `importance` first, one number per tile, row by row), else the default of the package.
    `tradeoff` chooses symbols by rate and distortion instead of rounding. `digits`: how many planes that refine others
    are sent, where the package has some (None: all; with a budget none). `skip`: which tokens are left out as if they had
    not been measured, where that saves bytes (`onboard.skipping`; with a budget, at the default quality); a scene of which
    nothing is left gives a file of masks alone. `target_bytes` is the size records approach.
    `progress` is called with (tiles done, tiles in all). Raises InputError when the scene has no band of the package, or no
    data at all, where no tile with data has latents that can be coded, and for a budget that cannot be met. Single tiles
    of which they cannot (NaN, infinity, beyond every quality) are marked invalid, counted and said.
    """
    from codec.pipeline import encode
    from codec.pipeline.sources import codable
    from codec.scene.tiling import grid_for, tiles

    present = np.array([band in scene.bands for band in package.bands])
    if not present.any():
        raise InputError(
            "the scene has no band of the model",
            expected=" ".join(package.bands),
            found=" ".join(scene.bands) or "none",
            fix="name the bands with --band NAME=PLACE",
        )
    skipper = _skipper(package, skip)
    report = EncodeReport(
        bands=[b for b, there in zip(package.bands, present, strict=True) if there],
        bands_absent=[b for b, there in zip(package.bands, present, strict=True) if not there],
        raw_bytes=scene.raw_bytes_of([b for b in package.bands if b in scene.bands]),
        engine={
            "backend": engine.info.backend,
            "version": engine.info.version,
            "provider": engine.info.provider,
        },
    )
    grid = grid_for(scene, package.tile.core)
    clock = _Clock(report.seconds)
    stream = clock.iterate(
        "read", tiles(scene, package.bands, core=package.tile.core, margin=package.tile.margin, grid=grid)
    )
    latents = _run_engine(stream, grid, package, engine, report, clock, progress)
    if report.tiles_without_data == report.tiles:
        raise InputError("the scene has no valid pixel", fix="check its nodata value")
    latents, unusable = codable(package, latents, grid)
    report.tiles_invalid = int(unusable.sum())
    skipped = None
    if skipper is not None:
        with clock.measure("skip"):
            at = package.default_ladder_index if ladder_index is None else ladder_index
            skipped = skipper.skip(latents, grid, ladder_index=at)
        latents, report.skipped = list(skipped.latents), skipped.as_json()
    with clock.measure("code"):
        data = encode(
            package,
            latents,
            grid=grid,
            georeference=scene.georeference,
            sensor=scene.sensor.name,
            band_mask=sum(1 << int(i) for i in np.flatnonzero(present)),
            time_us=to_microseconds(scene.time),
            ladder_index=ladder_index,
            bytes_per_tile=bytes_per_tile,
            total_bytes=total_bytes,
            importance=importance,
            tradeoff=tradeoff,
            digits=digits,
            target_bytes=target_bytes,
            run=run,
            source_name=_fitting(source_name),
        )
    report.nec_bytes = len(data)
    report.notes = [*scene.notes, *_remarks(report), *(skipped.notes if skipped else ())]
    return Encoded(data, grid, tuple(latents), report, skipped)


def _skipper(package: Package, rules: Sequence[SkipRule]) -> TokenSkipper | None:
    if not rules:
        return None
    from onboard.skipping import TokenSkipper  # it needs onnxruntime, which engines of other kinds do not

    return TokenSkipper(package, rules)


def _remarks(report: EncodeReport) -> list[str]:
    """What the caller should hear once: nothing is left out in silence."""
    remarks = []
    if report.bands_absent:
        remarks.append(f"bands of the model that the scene lacks: {', '.join(report.bands_absent)}")
    if report.tiles_without_data:
        remarks.append(f"{report.tiles_without_data} of {report.tiles} tiles hold no data and are not coded")
    if report.tiles_invalid:
        remarks.append(
            f"{report.tiles_invalid} of {report.tiles} tiles are marked invalid: what the encoder gave for them is not "
            "finite, or beyond all that can be coded"
        )
    return remarks


def _fitting(name: str) -> str:
    """A file's name as the header can hold it: whole characters, 128 bytes of UTF-8 at most."""
    return name.encode("utf-8", "replace")[:MAX_SOURCE_NAME].decode("utf-8", "ignore")


def _run_engine(
    stream: Iterable[Tile],
    grid: TileGrid,
    package: Package,
    engine: Engine,
    report: EncodeReport,
    clock: _Clock,
    progress: Callable[[int, int], None] | None,
) -> list[Latent]:
    from codec.scene.tiling import token_validity

    values: dict[str, list[np.ndarray]] = {plane.name: [] for plane in package.planes}
    valid: list[np.ndarray] = []
    margin = package.tile.margin
    core = slice(margin, margin + package.tile.core)
    for batch in _batches(stream, BATCH):
        with clock.measure("engine"):
            latents = _latents(batch, package, engine)
        for plane, array in latents.items():
            values[plane].append(array)
        valid.extend(token_validity(t.validity[core, core], package.tile.patch) for t in batch)
        report.tiles += len(batch)
        if progress:
            progress(report.tiles, grid.n_tiles)
    tokens = np.stack(valid)
    report.tiles_without_data = int((~tokens.any(axis=(1, 2))).sum())
    return [
        Latent(package.plane_index(plane), np.concatenate(arrays), plane_validity(tokens, package, plane))
        for plane, arrays in values.items()
    ]


def _latents(batch: list[Tile], package: Package, engine: Engine) -> dict[str, np.ndarray]:
    """Latents of a batch; tiles without a valid pixel are not worth the engine's energy and stay 0."""
    latents = {
        plane.name: np.zeros((len(batch), plane.spec.channels, plane.spec.n_frequencies), np.float32)
        for plane in package.planes
    }
    used = [i for i, tile in enumerate(batch) if tile.validity.any()]
    if used:
        pixels = np.stack([np.where(batch[i].validity, batch[i].pixels, 0).astype(np.float32) for i in used])
        bands = np.stack([batch[i].bands_present for i in used]).astype(np.float32)
        validity = np.stack([batch[i].validity for i in used]).astype(np.float32)
        for plane, array in engine.run(pixels, bands, validity).items():
            latents[plane][used] = array
    return latents


def plane_validity(tokens: np.ndarray, package: Package, plane: str) -> np.ndarray:
    """Token validity at the plane's own resolution: a coarser token is valid when any of its patches is."""
    spec = package.planes[package.plane_index(plane)].spec
    n, rows, cols = tokens.shape
    if (rows, cols) == (spec.rows, spec.cols):
        return tokens
    parts = tokens.reshape(n, spec.rows, rows // spec.rows, spec.cols, cols // spec.cols)
    return np.asarray(parts.any(axis=(2, 4)))


def _batches(stream: Iterable[Tile], size: int) -> Iterator[list[Tile]]:
    iterator = iter(stream)
    while batch := list(islice(iterator, size)):
        yield batch


class _Clock:
    """Seconds per stage."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds

    def measure(self, stage: str) -> _Span:
        return _Span(self.seconds, stage)

    def iterate(self, stage: str, source: Iterable[Tile]) -> Iterator[Tile]:
        iterator = iter(source)
        while True:
            with self.measure(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item


class _Span:
    def __init__(self, seconds: dict[str, float], stage: str) -> None:
        self.seconds, self.stage = seconds, stage

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.stage] = self.seconds.get(self.stage, 0.0) + time.perf_counter() - self.start
