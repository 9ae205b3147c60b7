"""One method learns one task with one seed: adapter, head and report in a folder of their own.

OUT/deflect-seed-0/adapter.safetensors   codec.adapt.files
                   head.safetensors      mean, inverse_spread, linear.weight, linear.bias; class names in the header
                   report.json           recipe, score, trained share, versions, seconds
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from codec.adapt.files import save_adapter
from codec.adapt.registry import apply
from codec.adapt.tasks.encoders import Opened, tile_side
from codec.adapt.tasks.published import percent
from codec.adapt.tasks.reading import read_split
from codec.adapt.tasks.recipe import PaperTask
from codec.adapt.tasks.scoring import score_of, scored
from codec.adapt.tasks.tiling import training_tiles
from codec.adapt.training import Labelled, fit_statistics, train
from codec.adapt.types import Method, settings_of
from codec.atomic import write_atomic
from codec.data.samples import SampleSet
from codec.errors import InputError
from codec.models.weights import sorted_header

REPORT = "report.json"
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """What every method and seed of a task shares."""

    task: PaperTask
    opened: Opened
    tile: int
    train: Labelled
    test: SampleSet
    names_sha256: str  # of the pictures' names, both splits
    seconds: float

    @classmethod
    def read(cls, task: PaperTask, opened: Opened, data: Path) -> Prepared:
        """Open both splits and cut what is learned from. Raises as `read_split`, and where the bands do not fit."""
        started = time.monotonic()
        opened.base.require_bands(task.bands)
        tile = tile_side(opened.base, task)
        learned, test = (read_split(task, data, split) for split in ("train", "test"))  # type: ignore[arg-type]
        names = "\n".join((*learned.names, "", *test.names))
        tiles = training_tiles(learned, task, tile, opened.base.stride)
        digest = hashlib.sha256(names.encode()).hexdigest()
        return cls(task, opened, tile, tiles, test, digest, time.monotonic() - started)


def run(
    prepared: Prepared, method: Method, seed: int, out: Path, tell: Tell, *, fast: bool
) -> dict[str, Any]:
    """The report; where `out` has that of the same run already, that one. InputError: `out` has one of another run."""
    task, base = prepared.task, prepared.opened.base
    folder = Path(out) / f"{method}-seed-{seed}"
    settings = settings_of(method, {"seed": seed, **task.methods.get(method, {})})
    about = {
        "task": task.model_copy(update={"training": task.learned(method, seed)}).model_dump(mode="json"),
        "method": method,
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "encoder": {"name": prepared.opened.name, "sha256": prepared.opened.sha256},
        "pictures_sha256": prepared.names_sha256,
        "fast": fast,
    }
    kept = _kept(folder / REPORT, about)
    if kept is not None:
        tell(f"{method}, seed {seed}: kept from {folder}")
        return kept

    adapted = apply(base, method, task.bands, settings)
    _make(folder)
    torch.manual_seed(seed)
    started = time.monotonic()
    constant = fit_statistics(adapted, prepared.train)
    if constant:
        tell(
            f"{method}, seed {seed}: the same in all training tiles, so nothing is learned of it: {constant}"
        )
    head = train(adapted, prepared.train, task.learned(method, seed), _every_tenth(task, method, seed, tell))
    learned = time.monotonic()
    matrix = scored(adapted, head, prepared.test, task, prepared.tile)
    value, of_classes = score_of(matrix, task)
    size = save_adapter(adapted, folder / "adapter.safetensors", encoder_sha256=prepared.opened.sha256)
    state = {name: tensor.contiguous() for name, tensor in sorted(head.state_dict().items())}
    header = {"classes": json.dumps(prepared.train.classes), "task": task.name}
    write_atomic(folder / "head.safetensors", sorted_header(save(state, metadata=header)))
    report = {
        **about,
        "score": {
            "metric": task.metric,
            "value": value,
            "unit": "%",
            "classes": {
                name: None if np.isnan(share) else float(share)
                for name, share in zip(prepared.test.classes, of_classes, strict=True)
            },
            "confusion": matrix.tolist(),
        },
        "trained": {
            "parameters": adapted.n_trained,
            "share": adapted.share,
            "head": sum(p.numel() for p in head.parameters()),
            "adapter_bytes": size,
        },
        "tile": prepared.tile,
        "training_tiles": len(prepared.train),
        "constant": constant,
        "test_pictures": len(prepared.test),
        "seconds": {
            "reading": prepared.seconds,
            "training": learned - started,
            "scoring": time.monotonic() - learned,
        },
        "versions": _versions(),
    }
    write_atomic(folder / REPORT, (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode())
    tell(
        f"{method}, seed {seed}: {task.metric} {value:.1f} %, {percent(100 * adapted.share)} trained, {size} bytes"
    )
    return report


def _make(folder: Path) -> None:
    """A folder that can be written, before hours are spent. Raises InputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}", path=folder, fix="choose a folder you may write to"
        ) from error


def _kept(path: Path, about: Mapping[str, Any]) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        report = json.loads(path.read_bytes())
        differing = [name for name in about if report[name] != about[name]]
        value = report["score"]["value"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "no report of a run", path=path, found=type(error).__name__, fix="remove it"
        ) from None
    if differing or not isinstance(value, float):
        name = differing[0] if differing else "score"
        raise InputError(f"the folder holds a run with another {name}", path=path, fix="choose another --out")
    return dict(report)


def _every_tenth(task: PaperTask, method: str, seed: int, tell: Tell) -> Callable[[int, float], None]:
    steps = task.training.steps
    often = max(1, steps // 10)

    def one(step: int, loss: float) -> None:
        if (step + 1) % often == 0:
            tell(f"{method}, seed {seed}: step {step + 1} of {steps}, loss {loss:.3f}")

    return one


def _versions() -> dict[str, str]:
    try:
        own = metadata.version("swathpack")
    except metadata.PackageNotFoundError:  # run from a checkout
        own = "not installed"
    return {
        "swathpack": own,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
