"""Heads as files of a package: `heads/<name>.onnx` and its card `heads/<name>.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from codec.atomic import write_atomic
from codec.heads.fit import FittedHead, fit_task
from codec.heads.graph import head_graph
from codec.heads.tasks import TASKS
from codec.models.weights import load_encoder
from codec.package import Package, load, refresh


def card(fitted: FittedHead, package: Package) -> dict[str, Any]:
    """What a user must know of a head; the ground binds it to planes by `space_ids`."""
    task = fitted.task
    rates = [
        {
            "ladder_index": rate.ladder_index,
            "bytes_per_tile": None if rate.ladder_index is None else round(rate.bytes_per_tile, 1),
            "layers": rate.layers,
        }
        for rate in fitted.rates
    ]
    scores = [
        {
            "bands": s.bands,
            "rate": s.rate.label,
            "accuracy": round(s.accuracy, 4),
            "interval_95": [round(s.low, 4), round(s.high, 4)],
            "mean_iou": round(s.mean_iou, 4),
            "n": s.n,
        }
        for s in fitted.scores
    ]
    return {
        "name": task.name,
        "task": task.title,
        "level": task.level,
        "classes": list(fitted.classes),
        "colours": [task.colours[c] for c in fitted.classes],
        "planes": list(task.planes),
        "space_ids": {name: package.space_ids[name].hex() for name in task.planes},
        "training_data": list(task.training_data),
        "training_rates": rates,
        "training_bands": "all bands of each tile and the subsets scored below",
        "penalty": fitted.penalty,
        "held_out": {
            "split": fitted.held_out,
            "interval": "95 % bootstrap over places and column blocks",
            "scores": scores,
        },
        "must_not_be_used_for": task.not_for,
        "licence": "Apache-2.0",
    }


def write_heads(
    folder: Path, data: Path, names: Iterable[str] | None = None, *, seed: int = 0
) -> list[FittedHead]:
    """Fit and write the heads of a package whose manifest exists, then list them in the manifest.

    Each file appears whole; the manifest is renewed last. Raises what reading the package and the data raises.
    """
    package = load(folder)
    encoder = load_encoder(package.path("encoder.safetensors"))
    wanted = set(names) if names is not None else None
    channels = {plane.name: plane.spec.channels for plane in package.planes}
    fitted = [
        fit_task(task, encoder, package, data, seed=seed)
        for task in TASKS
        if wanted is None or task.name in wanted
    ]
    (folder / "heads").mkdir(exist_ok=True)
    for result in fitted:  # all written together: until the manifest is renewed the package does not load
        task = result.task
        model = head_graph(result.head, task.level, [(name, channels[name]) for name in task.planes])
        text = json.dumps(card(result, package), indent=2, ensure_ascii=False) + "\n"
        write_atomic(folder / "heads" / f"{task.name}.onnx", model)
        write_atomic(folder / "heads" / f"{task.name}.json", text.encode())
    refresh(folder)
    return fitted
