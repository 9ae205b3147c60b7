"""Heads as files of a package: `heads/<name>.onnx` and its card `heads/<name>.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from codec.atomic import write_atomic
from codec.errors import InputError
from codec.heads.card import card
from codec.heads.fit import FittedHead, fit_task
from codec.heads.graph import head_graph
from codec.heads.tasks import tasks_for
from codec.models.inference import Embeds
from codec.models.weights import load_encoder
from codec.package import Package, load, refresh


def plain_encoder(package: Package) -> Embeds:
    """The package's encoder. Raises InputError where an adapter belongs to it, whose tokens are others."""
    if package.manifest.adapter_sha256 is not None:
        raise InputError(
            f"package {package.name!r} has an adapter, which this command does not run",
            path=package.folder,
            fix="python -m codec.nec.adapted.heads fit",
        )
    return load_encoder(package.path("encoder.safetensors"))


def write_heads(
    folder: Path,
    data: Path,
    names: Iterable[str] | None = None,
    *,
    seed: int = 0,
    split: str = "val",
    encoder_of: Callable[[Package], Embeds] = plain_encoder,
) -> list[FittedHead]:
    """Fit and write the heads made for the bands of a package whose manifest exists, then list them in the manifest.

    Each file appears whole; the manifest is renewed last. `encoder_of` opens the package's encoder. Raises what it and
    reading the package and the data raise.
    """
    package = load(folder)
    encoder = encoder_of(package)
    channels = {plane.name: plane.spec.channels for plane in package.planes}
    tasks = tasks_for(package.bands, names)
    fitted = [fit_task(task, encoder, package, data, seed=seed, split=split) for task in tasks]
    (folder / "heads").mkdir(exist_ok=True)
    for result in fitted:  # all written together: until the manifest is renewed the package does not load
        task = result.task
        model = head_graph(result.head, task.level, [(name, channels[name]) for name in task.planes])
        text = json.dumps(card(result, package), indent=2, ensure_ascii=False) + "\n"
        write_atomic(folder / "heads" / f"{task.name}.onnx", model)
        write_atomic(folder / "heads" / f"{task.name}.json", text.encode())
    refresh(folder)
    return fitted
