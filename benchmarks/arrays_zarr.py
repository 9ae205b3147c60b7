"""The Zarr serializer against int8 + zstd: size, CPU time of writing and reading, and what a probe loses.

    python -m benchmarks.arrays_zarr --data ../shared/data

The array: tokens of 400 EuroSAT tiles by the shipped encoder, laid side by side as a raster of 160×160 tokens × 128
float32 in chunks of 80×80×128. The codec is fitted to other pictures (runs/train_embeddings.npz, made by `python -m
codec.pretrain fit-codec --keep`). The rival is what an archive does today: one step per channel, int8, zstd (zarr's
default level); its reading is timed as it comes (int8) and with the multiplication that makes numbers of it. Timed is
CPU time of the process, whole arrays, files in the page cache, the two alternating; the spread is minimum and maximum. Every
array that is timed is compared first: the rival with its integers, ours with `unpack` of its chunks.

Probe: ridge regression on one-hot labels of the tiles, on the mean and deviation of a tile's tokens; trained on
uncompressed tokens of four fifths of the places, asked on decoded ones of the fifth. Agreement is with the answers on
uncompressed tokens; places are drawn again for its interval.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import ZstdCodec

from benchmarks.results import Row, save
from codec.arrays.pack import fit
from codec.arrays.unpack import unpack
from codec.arrays.zarr_codec import NecSerializer
from codec.errors import InputError, InternalError, SwathpackError
from codec.package import Package
from codec.types import FloatArray

SUITE = "arrays_zarr"
SIDE, CHUNK = 20, 80  # tiles and tokens a side
BITS = (0.25, 0.5, 1.0, 2.0)  # per number
RIDGE = 10.0
ARRAY = "s2-nano tokens of EuroSAT, 160x160x128"
RIVAL = "int8 + zstd"
DEQUANTISED = "int8 + zstd, dequantised"


@dataclass(frozen=True)
class Sample:
    """The array and what its tiles show."""

    raster: FloatArray  # 160×160×128
    labels: npt.NDArray[np.int64]  # 400
    groups: npt.NDArray[np.int64]  # 400, place


@dataclass(frozen=True)
class Spread:
    """Median, minimum and maximum of repeated timings, in CPU-seconds."""

    seconds: list[float]

    def rate(self, n: int) -> tuple[float, float, float]:
        """Million numbers a CPU-second."""
        rates = n / 1e6 / np.array(self.seconds)
        return float(np.median(rates)), float(rates.min()), float(rates.max())


def sample(package: Path, data: Path) -> Sample:
    """Tokens and labels of the first 400 tiles of all splits."""
    from codec.data.labelled import eurosat_scenes
    from codec.models.inference import embed
    from codec.models.weights import load_encoder
    from codec.types import Tile

    encoder = load_encoder(package / "encoder.safetensors")
    tokens, labels, groups = [], [], []
    for number, split in enumerate(("train", "val", "test")):
        scenes = eurosat_scenes(data, split, encoder.config.bands)
        tiles = (
            Tile(i, pixels, scenes.validity[i], scenes.present[i]) for i, pixels in enumerate(scenes.pixels)
        )
        tokens.append(embed(encoder, tiles)["tokens"])
        labels.append(scenes.labels)
        groups.append(scenes.groups + 10_000 * number)  # splits are apart in space
    n = SIDE * SIDE
    return Sample(
        _side_by_side(np.concatenate(tokens)[:n]), np.concatenate(labels)[:n], np.concatenate(groups)[:n]
    )


def _side_by_side(tiles: FloatArray) -> FloatArray:
    """400×8×8×C → 160×160×C."""
    x = tiles.reshape(SIDE, SIDE, 8, 8, -1).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(x.reshape(8 * SIDE, 8 * SIDE, -1))


def features(raster: FloatArray) -> npt.NDArray[np.float64]:
    """400×2C: mean and deviation of the tokens of each tile."""
    x = raster.astype(np.float64).reshape(SIDE, 8, SIDE, 8, -1).transpose(0, 2, 1, 3, 4)
    x = x.reshape(SIDE * SIDE, 64, -1)
    return np.concatenate([x.mean(axis=1), x.std(axis=1)], axis=1)


def answers(found: Sample, decoded: FloatArray) -> npt.NDArray[np.int64]:
    """Class of each tile of `decoded`, by a probe that saw the uncompressed tiles of other places."""
    clean, coded = features(found.raster), features(decoded)
    places = np.unique(found.groups)
    fold = np.random.default_rng(0).permutation(len(places)) % 5
    of_tile = fold[np.searchsorted(places, found.groups)]
    result = np.empty(len(clean), dtype=np.int64)
    targets = np.eye(int(found.labels.max()) + 1)[found.labels]
    for k in range(5):
        train = of_tile != k
        mean, spread = clean[train].mean(axis=0), clean[train].std(axis=0) + 1e-9
        x = (clean[train] - mean) / spread
        weights = np.linalg.solve(
            x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (targets[train] - targets[train].mean(0))
        )
        scores = ((coded[~train] - mean) / spread) @ weights + targets[train].mean(0)
        result[~train] = scores.argmax(axis=1)
    return result


def agreement(
    found: Sample, one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]
) -> tuple[float, float, float]:
    """Share of tiles with the same answer, and its 95 % interval by places."""
    same = (one == other).astype(np.float64)
    places, at = np.unique(found.groups, return_inverse=True)
    sums, counts = np.bincount(at, same), np.bincount(at)
    draws = np.random.default_rng(1).integers(0, len(places), (1000, len(places)))
    shares = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.quantile(shares, (0.025, 0.975))
    return float(same.mean()), float(low), float(high)


def timed(work: dict[str, Callable[[], Any]], repeats: int) -> dict[str, Spread]:
    """CPU time of each, alternating, after one round that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(repeats + 1):
        for name, call in work.items():
            start = time.process_time()
            call()
            if turn:
                found[name].append(time.process_time() - start)
    return {name: Spread(seconds) for name, seconds in found.items()}


def stored_bytes(array: zarr.Array[Any]) -> int:
    """Of the chunks of an array, without its metadata."""
    return int(array.nbytes_stored()) - len(asyncio.run(_metadata(array)))


async def _metadata(array: zarr.Array[Any]) -> bytes:
    found = await (array.store_path / "zarr.json").get()
    return b"" if found is None else found.to_bytes()


def measure(
    found: Sample,
    package: Package,
    exact: Callable[[npt.NDArray[np.int8]], Package],
    folder: Path,
    repeats: int,
) -> list[Row]:
    """All rows."""
    x, n = found.raster, found.raster.size
    clean = answers(found, x)
    rows = [
        Row(
            SUITE,
            f"{ARRAY}, float32",
            "probe accuracy",
            100 * float((clean == found.labels).mean()),
            unit="%",
            n=len(clean),
        )
    ]
    step = np.abs(x).max(axis=(0, 1)) / 127
    q = np.rint(x / step).astype(np.int8)
    common = {"shape": x.shape, "chunks": (CHUNK, CHUNK, x.shape[2]), "overwrite": True}
    rival = zarr.create_array(
        folder / "rival.zarr", dtype="int8", fill_value=-128, compressors=[ZstdCodec()], **common
    )

    def write_rival() -> None:
        rival[:] = np.rint(x / step).astype(np.int8)

    write_rival()
    if not np.array_equal(rival[:], q):
        raise InternalError("the rival's store does not give its integers back")
    rival_bytes = stored_bytes(rival)
    rows += quality(found, clean, RIVAL, q * step, rival_bytes, rival_bytes)

    for bits in (*BITS, None):
        case = f"{ARRAY}, {'default quality' if bits is None else f'{bits:g} bit'}"
        # A budget is met by trying qualities; a ladder index is not searched for.
        budget = {} if bits is None else {"bytes_per_vector": bits * x.shape[2] / 8}
        serializer = NecSerializer(package, **budget)
        ours = zarr.create_array(
            folder / f"{bits}.zarr",
            dtype="float32",
            fill_value=np.nan,
            serializer=serializer,
            compressors=None,
            **common,
        )

        def write(ours: Any = ours) -> None:
            ours[:] = x

        write()
        decoded = ours[:]
        chunk = (folder / f"{bits}.zarr" / "c" / "0" / "1" / "0").read_bytes()
        if not np.array_equal(unpack(chunk, package).values, decoded[:CHUNK, CHUNK:]):
            raise InternalError("a chunk of the store is not what unpack makes of it")
        rows += quality(found, clean, case, decoded, stored_bytes(ours), rival_bytes)
        work = {
            "ours": lambda ours=ours: ours[:], RIVAL: lambda: rival[:],
            DEQUANTISED: lambda: rival[:] * step.astype(np.float32),
            "write": write, "write rival": write_rival, "part": lambda ours=ours: ours[40:48, 40:48],
        }  # fmt: skip
        took = timed(work, repeats)
        rows += speeds(case, took, n)
    return rows + lossless(q, exact, rival_bytes, folder, repeats, common)


def quality(
    found: Sample, clean: npt.NDArray[np.int64], case: str, decoded: FloatArray, size: int, rival: int
) -> list[Row]:
    """Bytes, error and probe of one way to store the array."""
    got = answers(found, decoded)
    share, low, high = agreement(found, clean, got)
    x = found.raster
    error = float(np.square(x - decoded).mean() / np.square(x - x.mean(axis=(0, 1))).mean())
    name = case if case != RIVAL else f"{ARRAY}, {RIVAL}"
    rows = [
        Row(SUITE, name, "stored", size, unit="bytes"),
        Row(SUITE, name, "bits per number", 8 * size / x.size, unit="bit"),
        Row(SUITE, name, "relative squared error", error),
        Row(SUITE, name, "probe accuracy", 100 * float((got == found.labels).mean()), unit="%", n=len(got)),
        Row(SUITE, name, "agreement with float32", 100 * share, 100 * low, 100 * high, "%, 95 %", n=len(got)),
    ]  # fmt: skip
    if case != RIVAL:
        rows.append(Row(SUITE, name, "times smaller", rival / size, rival=RIVAL))
    return rows


def speeds(case: str, took: dict[str, Spread], n: int) -> list[Row]:
    """Million numbers a CPU-second, and their ratios to the rival of the same run."""
    unit = "million numbers/CPU-s, min/max"
    rows = []
    for metric, name, rivals in (
        ("read", "ours", (RIVAL, DEQUANTISED)),
        ("write", "write", ("write rival",)),
    ):
        middle, low, high = took[name].rate(n)
        rows.append(Row(SUITE, case, metric, middle, low, high, unit, n=len(took[name].seconds), threads=1))
        for rival in rivals:
            ratio = np.array(took[rival].seconds) / np.array(took[name].seconds)
            rows.append(
                Row(
                    SUITE, case, f"{metric} speed ratio", float(np.median(ratio)), float(ratio.min()), float(ratio.max()),
                    "x, min/max", RIVAL if rival == "write rival" else rival, n=len(ratio), threads=1,
                )
            )  # fmt: skip
    if "part" in took:
        seconds = 1000 * np.array(took["part"].seconds)
        rows.append(
            Row(
                SUITE, case, "read of 8x8 tokens", float(np.median(seconds)), float(seconds.min()), float(seconds.max()),
                "CPU-ms, min/max", n=len(seconds), threads=1,
            )
        )  # fmt: skip
    return rows


def lossless(
    q: npt.NDArray[np.int8], exact: Callable[[npt.NDArray[np.int8]], Package], rival_bytes: int, folder: Path, repeats: int,
    common: dict[str, Any],
) -> list[Row]:  # fmt: skip
    """The rival's own integers, coded exactly."""
    case = f"{ARRAY}, int8 exactly"
    ours = zarr.create_array(
        folder / "exact.zarr",
        dtype="int8",
        fill_value=-128,
        serializer=NecSerializer(exact(q)),
        compressors=None,
        **common,
    )
    rival = zarr.open_array(folder / "rival.zarr")

    def write() -> None:
        ours[:] = q

    def write_rival() -> None:
        rival[:] = q

    write()
    if not np.array_equal(ours[:], q):
        raise InternalError("the exact store does not give its integers back")
    size = stored_bytes(ours)
    took = timed(
        {
            "ours": lambda: ours[:], RIVAL: lambda: rival[:], DEQUANTISED: lambda: rival[:], "write": write,
            "write rival": write_rival,
        },
        repeats,
    )  # fmt: skip
    kept = [row for row in speeds(case, took, q.size) if row.rival != DEQUANTISED]
    return [
        Row(SUITE, case, "stored", size, unit="bytes"),
        Row(SUITE, case, "times smaller", rival_bytes / size, rival=RIVAL),
        *kept,
    ]


def main(arguments: list[str] | None = None) -> int:
    """Measure and save; prints the rows."""
    from codec.evaluate.rows import as_text

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.arrays_zarr", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="the data collection")
    parser.add_argument(
        "--train", type=Path, default=Path("runs/train_embeddings.npz"), help="to fit the codec"
    )
    parser.add_argument("--package", type=Path, default=Path("models/s2-nano"), help="with the encoder")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args(arguments)
    try:
        if not options.train.is_file():
            raise InputError(
                "no embeddings to fit to",
                path=options.train,
                fix="make them: python -m codec.pretrain fit-codec --keep",
            )
        train = np.load(options.train)["tokens"]
        found = sample(options.package, options.data)
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            package = fit(train, name="zarr-floats", folder=root / "floats", axes="thwc")

            def exact(q: npt.NDArray[np.int8]) -> Package:
                step = np.abs(found.raster).max(axis=(0, 1)) / 127
                side = int(np.sqrt(len(train)))
                x = train[: side * side].reshape(side, side, 8, 8, -1).transpose(0, 2, 1, 3, 4)
                raster = x.reshape(8 * side, 8 * side, -1)[:256, :256]
                integers = np.clip(np.rint(raster / step), -127, 127).astype(np.int8)
                return fit(integers, name="zarr-exact", folder=root / "exact", axes="hwc", nodata=-128)

            rows = measure(found, package, exact, root, options.repeats)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    save(rows, packages=("swathpack", "numpy", "zarr", "numcodecs"))
    print(as_text(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
