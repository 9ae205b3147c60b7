"""How near every engine is to PyTorch, and how fast it runs here: `export.csv`.

    python -m benchmarks.export_parity --model s2-nano --model rgb-small

Parity is that of the export gate (`onboard.parity`), on its own tiles, written down whether it passes or not. Speed: all
engines that ONNX Runtime runs, same tiles, two threads, in turns within one process, median with the fastest and slowest
round; the timed region is `Engine.run`, input checks included, outputs of symbols not asked for.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.results import Row, save
from codec.errors import SwathpackError
from codec.package import Package, load
from onboard.engine import Engine, OnnxRuntimeEngine
from onboard.export import export
from onboard.parity import GATES
from onboard.parity_tiles import ParityTiles, calibration_tiles, parity_tiles

SUITE = "export"
ROUNDS = 9
BATCH = 32
THREADS = 2
_PACKAGES = ("swathpack", "numpy", "onnxruntime", "onnx", "torch")


def parity_rows(case: str, report: dict[str, Any]) -> Iterator[Row]:
    """Everything the gate looked at, as rows."""
    tiles = report["tiles"]["n"]

    def row(metric: str, value: float, unit: str, n: int = tiles, rival: str = "PyTorch float32") -> Row:
        return Row(SUITE, case, metric, value, unit=unit, n=n, rival=rival, isa_or_device="cpu")

    yield row("passed its gate", float(report["passed"]), "1 = yes")
    yield row("real tiles", float(tiles if report["tiles"]["real"] else 0), "tiles", rival="")
    for name in ("default", "finest"):
        quality = report[name]
        yield row(f"{name}: symbols that differ", 100 * quality["differ"], "%")
        yield row(f"{name}: bytes", 100 * quality["bytes_change"], "% of PyTorch's")
        for plane in quality["planes"]:
            what = f"{name}, {plane['plane']}"
            yield row(f"{what}: symbols of layer 0 that differ", 100 * plane["differ_layer0"], "%")
            yield row(f"{what}: largest step outside layer 0", float(plane["largest_step"]), "steps")
            yield row(f"{what}: latent error", plane["relative_rms"], "rms, share of the latent's")
        for head in quality["heads"]:
            what, unit = f"{name}, head {head['head']}", f"% of {head['level']}s"
            yield row(f"{what}: agreement", 100 * head["agreement"], unit, head["n"])
            uncompressed = "PyTorch float32, uncompressed"
            yield row(f"{what}: fidelity", 100 * head["fidelity_engine"], unit, head["n"], uncompressed)
            loss = 100 * (head["fidelity_reference"] - head["fidelity_engine"])
            yield row(f"{what}: fidelity lost", loss, "points", head["n"], uncompressed)


def speed_rows(cases: dict[str, Engine], tiles: ParityTiles) -> Iterator[Row]:
    """Tiles per second of every engine, in turns."""
    batches = list(tiles.batches(BATCH))
    seconds: dict[str, list[float]] = {case: [] for case in cases}
    for turn in range(ROUNDS + 1):
        for case, engine in cases.items():
            start = time.perf_counter()
            for batch in batches:
                engine.run(*batch)
            if turn:  # the first is a warm-up
                seconds[case].append(time.perf_counter() - start)
    for case, taken in seconds.items():
        rates = [len(tiles) / s for s in taken]
        yield Row(
            SUITE, case, "encoder speed", statistics.median(rates), min(rates), max(rates),
            unit="tiles/s (min…max)", n=len(tiles), isa_or_device="cpu", threads=THREADS,
        )  # fmt: skip


def measure(package: Package, engines: list[str], folder: Path, *, speed: bool) -> list[Row]:
    """Export, compare, time. Files go into `folder`."""
    tiles = parity_tiles(package)
    rows, runners = [], {}
    for engine in engines:
        case, out = f"{package.name}, {engine}", folder / engine
        calibration = calibration_tiles(package) if engine == "int8" else None
        report = export(package, engine, out, tiles, calibration=calibration, force=True)
        rows += parity_rows(case, report)
        size = (out / "encoder.onnx").stat().st_size
        rows.append(Row(SUITE, case, "graph", size / 1e6, unit="MB", isa_or_device="cpu"))
        if report["backend"] == "onnxruntime":
            runners[case] = OnnxRuntimeEngine(out / "encoder.onnx", threads=THREADS)
        print(f"{case}: {'passed' if report['passed'] else 'refused: ' + '; '.join(report['reasons'])}")
    if speed:
        rows += speed_rows(runners, tiles)
    return rows


def main() -> int:
    """Rows of every model and engine asked for into `benchmarks/results/export.csv`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export_parity", description=__doc__)
    parser.add_argument(
        "--model", action="append", help="package name or folder; may repeat (default s2-nano)"
    )
    parser.add_argument("--engine", action="append", choices=list(GATES), help="may repeat (default all)")
    parser.add_argument("--no-speed", action="store_true", help="parity only, e.g. on a machine that is busy")
    options = parser.parse_args()
    rows: list[Row] = []
    try:
        for model in options.model or ["s2-nano"]:
            with tempfile.TemporaryDirectory(prefix="swathpack-parity-") as folder:
                rows += measure(
                    load(model), options.engine or list(GATES), Path(folder), speed=not options.no_speed
                )
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    for path in save(rows, packages=_PACKAGES):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
