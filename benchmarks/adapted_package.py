"""What it takes to send an adapted encoder up: `python -m benchmarks.adapted_package --data ../shared/data`.

DEFLECT (rank 16, first half of the blocks) learns a task on `rgb-small`, is stored in float, 8 and 4 bits, becomes a
package each time (`codec.nec.adapted`), gets its graph (`onboard.export`, proven equal to PyTorch), and is packed against
the one that flies. Every pack is applied before its size is printed; what comes out must be the package, by every hash.
Rows: `adapters.csv`, cases `package/TASK/PACKING`. Sizes are those of pieces of 960 bytes, headers included.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.adapter_tasks import TASKS, Task
from benchmarks.results import FOLDER, Row
from codec.adapt import Adapted, apply, uplink, uplink_pieces
from codec.adapt.files import save_adapter
from codec.adapt.packing import Packing
from codec.adapt.training import TaskRecipe, train
from codec.adapt.uplink_views import rounded
from codec.errors import InternalError, SwathpackError
from codec.evaluate.rows import save
from codec.models.bands import S2_NANO_BANDS
from codec.models.weights import load_encoder
from codec.nec.adapted.package import fit_adapted
from codec.nec.adapted.windows import collection_windows
from codec.package import Package, load
from codec.package.files import sha256_of
from onboard.export import main as export_main

SUITE = "adapters"
PACKINGS: dict[str, Packing | None] = {"float": None, "int8": "int8", "int4": "int4"}
PIECE = 960
FILES = {
    "adapter.safetensors": "adapter",
    "encoder.onnx": "graph",
    "transform.npz": "transform",
    "tables.bin": "tables",
}


def learned(base: Package, task: Task, steps: int) -> Adapted:
    """DEFLECT after a task."""
    adapted = apply(load_encoder(base.path("encoder.safetensors")), "deflect", S2_NANO_BANDS)
    train(adapted, task.data, TaskRecipe(steps=steps), tell=_tell)
    return adapted


def flown(base: Package, adapter: Path, data: Path, folder: Path) -> Package:
    """The package of the adapter, its graph in it."""
    fit_adapted(base, adapter, partial(collection_windows, data=data, seed=0), folder)
    engine = folder.with_name(f"{folder.name}-fp32")
    if export_main(["--model", str(folder), "--out", str(engine), "--into-package"]):
        raise InternalError("the adapted encoder was not exported")
    return load(folder)


def sizes(base: Package, new: Package, scratch: Path) -> tuple[int, dict[str, int]]:
    """Bytes of all pieces, and of what is sent of each file; the pack was applied and gave the package."""
    pack = uplink.make(base, new)
    made = uplink.apply(pack.body, base, scratch)
    if made.manifest.raw != new.manifest.raw:
        raise InternalError("the pack does not make the package")
    sent = {row["path"]: int(row["sent_bytes"]) for row in uplink.described(pack.parsed)}
    return sum(map(len, uplink_pieces.cut(pack.body, PIECE))), sent


def rows_of(name: str, base: Package, adapter: Path, new: Package, scratch: Path) -> Iterator[Row]:
    row = partial(Row, SUITE, f"package/{name}", seeds="0")
    yield row("adapter file", adapter.stat().st_size, unit="bytes")
    whole = sum(new.manifest.files[file].size for file in new.manifest.files)
    yield row("package", 8 * whole / 1e6, unit="Mbit")
    (scratch / "rounded").mkdir(parents=True)
    for title, package in (
        ("uplink pack", new),
        ("uplink pack, transform rounded", rounded(new, scratch / "rounded")),
    ):
        total, sent = sizes(base, package, scratch / title)
        yield row(title, 8 * total / 1e6, unit="Mbit")
        for file, what in FILES.items():
            yield row(f"{title}: {what}", sent.get(file, 0), unit="bytes, less parts shorter than 1 KiB")


def _tell(step: int, loss: float) -> None:
    if step % 100 == 0:
        print(f"step {step}, loss {loss:.3f}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the rows; a SwathpackError becomes one line and its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.adapted_package", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    parser.add_argument("--task", choices=TASKS, default="water")
    parser.add_argument("--base", default="rgb-small", help="name or folder of the package that flies")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the results")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    try:
        import torch

        torch.set_num_threads(options.threads)
        base = load(options.base)
        adapted = learned(base, Task.read(options.task, options.data), options.steps)
        rows: list[Row] = []
        with tempfile.TemporaryDirectory(prefix="swathpack-adapted-") as temporary:
            for name, packing in PACKINGS.items():
                folder = Path(temporary) / name
                folder.mkdir()
                adapter = folder / f"{options.task}.safetensors"
                encoder = sha256_of(base.path("encoder.safetensors"))
                save_adapter(adapted, adapter, encoder_sha256=encoder, packing=packing)
                new = flown(base, adapter, options.data, folder / "new")
                rows += rows_of(f"{options.task}/{name}", base, adapter, new, folder / "packs")
        for row in rows:
            print(f"{row.case:24} {row.metric:44} {row.value:12,.3f} {row.unit}")
        save(rows, options.out, packages=("swathpack", "numpy", "torch", "onnx"), per_machine=False)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
