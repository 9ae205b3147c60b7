"""Latents of the shipped model at three rates: the sample scenes, and EuroSAT where the data collection is.

Symbols are those that the product's quantiser makes of the token plane; all its layers are coded. Rivals get the same
symbols in tile, channel, frequency order, which puts what is alike side by side: int8 where that holds them, else int16,
of which byte coders get all low bytes, then all high bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.entropy import buffers, ideal, timing
from benchmarks.entropy.latents import LARGEST, TOTAL, Int64Array, LatentSet
from benchmarks.entropy.machine import row
from benchmarks.entropy.missing import Missing
from benchmarks.entropy.peers import PEERS, check
from benchmarks.entropy.plane_coder import (
    ARCHIVE_TARGET,
    LINK_TARGET,
    OVERHEAD,
    TILE_ORDER,
    TOKEN_ORDER,
    PlaneCoder,
)
from benchmarks.entropy.settings import Settings
from benchmarks.results import Row
from codec.types import FloatArray

PACKAGE, PLANE = "s2-nano", "tokens"
QUARTER_OCTAVES = (
    -8,
    0,
    8,
)  # against the package's default ladder index: steps 4 times finer, default, 4 times coarser
NAMES = ("fine", "default", "coarse")
SOURCES = ("sample-scenes", "eurosat")
TARGETS = {"archive": ARCHIVE_TARGET, "link": LINK_TARGET}


@dataclass(frozen=True)
class Symbols:
    """Quantised latents of the token plane."""

    package: Any
    plane: int
    ladder_index: int
    values: npt.NDArray[np.int8] | npt.NDArray[np.int16]  # N×C×F


def make_latents(source: str, folder: Path, threads: int = 1) -> FloatArray:
    """Token latents N×C×F of the shipped encoder over all tiles of a source."""
    from codec.package import load
    from onboard.engine import open_engine

    package = load(PACKAGE)
    pixels, present = _eurosat(folder, package) if source == "eurosat" else _samples(folder, package)
    engine = open_engine(package.path("encoder.onnx"), threads=threads)
    parts = []
    for start in range(0, len(pixels), 32):
        part = slice(start, start + 32)
        x = pixels[part]
        parts.append(engine.run(x, present[part], np.ones((len(x), 64, 64), np.float32))[PLANE])
    return np.concatenate(parts)


def _samples(folder: Path, package: Any) -> tuple[FloatArray, FloatArray]:
    from codec.scene.samples import SAMPLES
    from codec.scene.tiling import tiles

    pixels, present = [], []
    for sample in SAMPLES.values():
        with sample.open(folder, zoom=2) as scene:
            for tile in tiles(scene, package.bands, core=64, margin=0):
                if tile.validity.all():
                    pixels.append(tile.pixels)
                    present.append(tile.bands_present.astype(np.float32))
    return np.stack(pixels), np.stack(present)


def _eurosat(folder: Path, package: Any) -> tuple[FloatArray, FloatArray]:
    from codec.data.labelled import eurosat_scenes

    scenes = [eurosat_scenes(folder, split, package.bands) for split in ("train", "val", "test")]
    return (
        np.concatenate([s.pixels for s in scenes]),
        np.concatenate([s.present for s in scenes]).astype(np.float32),
    )


def quantised(latents: FloatArray, offset: int) -> Symbols:
    """The product's symbols, `offset` quarter octaves from its default quality."""
    from codec.package import load

    package = load(PACKAGE)
    index = min(
        max(package.default_ladder_index + offset, package.ladder_indices.start),
        package.ladder_indices.stop - 1,
    )
    values = package.maps(PLANE, index).quantise(latents)
    if np.abs(values).max() <= 127:
        values = values.astype(np.int8)
    return Symbols(package, package.plane_index(PLANE), index, values)


def as_set(found: Symbols) -> LatentSet:
    """The same symbols as one token of C·F channels per tile, with the product's own static distributions."""
    maps = found.package.maps(PLANE, found.ladder_index)
    table = np.stack([_signed(level) for level in found.package.table_file.levels])
    frequencies = table[np.where(maps.coded, maps.level, 0).ravel()]
    frequencies[~maps.coded.ravel()] = _signed(None)
    return LatentSet("real", found.values.reshape(len(found.values), 1, -1), frequencies)


def _signed(level: Any) -> Int64Array:
    """Frequencies of −60 … 60 for a table of magnitudes; what it escapes is left to the rival's own escape."""
    result = np.zeros(2 * LARGEST + 1, dtype=np.int64)
    if level is not None and level.low_bits:
        raise ValueError("a table with low bits: rivals' tables are made of frequencies of single magnitudes")
    f = np.array([TOTAL]) if level is None or not level.thresholds else level.frequencies[:-1]
    f = f[: LARGEST + 1]
    result[LARGEST : LARGEST + len(f)] = f
    result[LARGEST + 1 :] //= 2
    result[:LARGEST] = result[LARGEST + 1 :][::-1]
    result[LARGEST] += TOTAL - int(result.sum())
    return result


def zero_blocks(found: Symbols, lanes: int = 64, steps: int = 32) -> float:
    """Share of the coder's work in blocks of only zeros: what a flag per block could save, at the very most."""
    coded = found.package.maps(PLANE, found.ladder_index).coded
    idle = total = 0
    for frequency in range(found.values.shape[2]):
        channels = np.flatnonzero(coded[:, frequency])
        for first in range(0, len(channels), lanes):
            group = found.values[:, channels[first : first + lanes], frequency]
            for tile in range(0, len(group), steps):
                block = group[tile : tile + steps]
                total += block.size
                idle += 0 if block.any() else block.size
    return idle / total


def measure(
    isa: str, settings: Settings, *, source: str, latents: str, rate: str, peers: list[str]
) -> list[Row]:
    """Ours at one quality, in records for archives and for links, and the rivals that are there. `latents`: an .npy file."""
    found = quantised(np.load(latents), QUARTER_OCTAVES[NAMES.index(rate)])
    rows = []
    for profile, target in TARGETS.items():
        rivals = peers if profile == "archive" else []
        rows += _profile(isa, settings, source, rate, profile, target, found, rivals, TILE_ORDER)
        rows += _profile(isa, settings, source, rate, profile, target, found, [], TOKEN_ORDER)
    return rows


def _profile(
    isa: str,
    settings: Settings,
    source: str,
    rate: str,
    profile: str,
    target: int,
    found: Symbols,
    peers: list[str],
    order: str,
) -> list[Row]:
    tables, values = found.package.table_file, found.values
    bits = ideal.static_bits(tables, values, plane=found.plane, ladder_index=found.ladder_index)
    if order == TOKEN_ORDER:
        values = np.ascontiguousarray(values.transpose(0, 2, 1))
    coder = PlaneCoder(tables, len(values), found.plane, found.ladder_index, order=order, target_bytes=target)
    records = coder.check(values, (0, 1))
    out = buffers.empty(values.shape, values.dtype, 0)
    where = f"real, {source} {rate}, {profile}, {isa}, {order} order"
    n = len(values)
    size, apart = sum(map(len, records)), OVERHEAD * len(records)
    # A record's header and CRC are shared by its tiles; every layer has records of its own.
    tiles_in_records = sum(_tiles(int(word)) for word in coder.headers)
    rows = [
        row(isa, where, "bytes of a tile", size / n, unit="B, mean", n=n),
        row(isa, where, "entropy", bits / values.size, unit="bit/symbol under static tables", n=n),
        row(isa, where, "payload over static tables", 100 * (8 * (size - apart) / bits - 1), unit="%", n=n),
        row(
            isa, where, "all but static cross-entropy, a tile and layer", (size - bits / 8) / tiles_in_records,
            unit="B, mean", n=tiles_in_records,
        ),
        row(isa, where, "records", len(records), n=n),
        row(
            isa, where, "blocks of 64 lanes and 32 steps without a non-zero symbol",
            100 * zero_blocks(found), unit="%", n=n,
        ),
    ]  # fmt: skip
    rounds = settings.n_rounds(15)
    for metric, work in (
        ("decode", lambda _: coder.decode(records, out)),
        ("encode", lambda _: coder.encode(values)),
    ):
        seconds = timing.alone(work, unit=values.size, rounds=rounds, seconds=settings.seconds)
        rows.append(
            row(
                isa, where, metric, *(v / 1e9 for v in timing.rate(seconds)), unit="Gsym/s, min/max", n=rounds
            )
        )
    for key in peers:
        rows += _against(isa, settings, where, key, found, coder, records, size)
    return rows


def _against(
    isa: str,
    settings: Settings,
    where: str,
    key: str,
    found: Symbols,
    coder: PlaneCoder,
    records: list[bytes],
    size: int,
) -> list[Row]:
    try:
        rival = PEERS[key]()
    except Missing:
        return []
    same = as_set(found)
    rival.prepare(same)
    theirs = check(rival, same)
    coded = rival.encode()
    out = buffers.empty(found.values.shape, found.values.dtype, 0)
    rounds = settings.n_rounds(rival.rounds)
    common: dict[str, Any] = {"rival": rival.name, "software": [rival.version()]}
    rows = []
    if not key.startswith("ans"):  # its tables here end at ±60; what it saves or loses by that says nothing
        rows.append(row(isa, where, "bytes, ratio", size / theirs, unit="x", n=len(found.values), **common))
    for metric, mine, other in (
        ("decode", lambda _: coder.decode(records, out), lambda _: rival.decode(coded)),
        ("encode", lambda _: coder.encode(found.values), lambda _: rival.encode()),
    ):
        pair = timing.paired(mine, other, rounds=rounds, seconds=settings.seconds)
        rows.append(
            row(isa, where, f"{metric}, times as fast", *pair.ratio(), unit="x, 95 %", n=rounds, **common)
        )
    return rows


def _tiles(word: int) -> int:
    from codec.bitstream.record import TILE_COUNTS

    return int(TILE_COUNTS[word >> 32 & 0xFF])
