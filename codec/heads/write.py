"""Heads as files of a package: `heads/<name>.onnx` and its card `heads/<name>.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from codec.atomic import write_atomic
from codec.heads.card import card
from codec.heads.fit import FittedHead, fit_task
from codec.heads.graph import head_graph
from codec.heads.tasks import tasks_for
from codec.models.weights import load_encoder
from codec.package import load, refresh


def write_heads(
    folder: Path, data: Path, names: Iterable[str] | None = None, *, seed: int = 0, split: str = "val"
) -> list[FittedHead]:
    """Fit and write the heads made for the bands of a package whose manifest exists, then list them in the manifest.

    Each file appears whole; the manifest is renewed last. Raises what reading the package and the data raises.
    """
    package = load(folder)
    encoder = load_encoder(package.path("encoder.safetensors"))
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
