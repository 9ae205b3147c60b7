"""Command line of the DEFLECT paper's five tasks: `python -m codec.adapt train|compare|published`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codec.errors import ExitCode, SwathpackError, UsageError

if TYPE_CHECKING:  # --help must not load torch
    from codec.adapt.tasks.recipe import PaperTask
    from codec.adapt.tasks.run import Prepared
    from codec.adapt.types import Method

_say = partial(print, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m codec.adapt", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="a method learns a task: adapter, head, score and report")
    compare = commands.add_parser("compare", help="several methods, beside the authors' figures")
    for command in (train, compare):
        command.add_argument(
            "task", help="so2sat, brick-kiln, forestnet, burn-scars, mados, or a .yaml file of your own"
        )
        command.add_argument("--data", type=Path, required=True, help="folder of the set, as distributed")
        command.add_argument(
            "--encoder",
            required=True,
            help="a package, an encoder.safetensors, or a checkpoint with --layout",
        )
        command.add_argument("--layout", help="of the checkpoint, e.g. scalemae_vit_large (docs/foreign.md)")
        command.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE",
            help="change one value of the recipe, e.g. training.steps=500, methods.deflect.layers=all; may repeat",
        )  # fmt: skip
        command.add_argument("--out", type=Path, required=True, help="a folder; runs in it are kept")
        command.add_argument("--fast", action="store_true", help="a check that it runs: results mean nothing")
        command.add_argument("--threads", type=int, default=1)
    train.add_argument("--method", default="deflect", help="deflect (default), frozen, lora, …")
    train.add_argument("--seed", type=int, action="append", help="again for more seeds (default: 0)")
    compare.add_argument("--method", action="append", help="again for more (default: all)")
    compare.add_argument("--seeds", type=int, default=3, help="0, 1, … (default: 3 of them)")
    commands.add_parser("published", help="print the authors' figures")
    return parser


def _prepared(options: argparse.Namespace, task: PaperTask) -> Prepared:
    import torch

    from codec.adapt.tasks.encoders import open_encoder
    from codec.adapt.tasks.run import Prepared

    if options.threads < 1:
        raise UsageError("threads are one or more", found=options.threads)
    torch.set_num_threads(options.threads)
    prepared = Prepared.read(task, open_encoder(options.encoder, options.layout, task), options.data)
    notes = "; ".join(prepared.test.notes)
    _say(
        f"{task.name}: {len(prepared.train)} tiles of {prepared.tile} pixels to learn from, {len(prepared.test)} "
        f"pictures to score{f'; {notes}' if notes else ''}"
    )
    return prepared


def _methods(asked: Sequence[str] | None) -> tuple[Method, ...]:
    from codec.adapt.types import METHODS

    for name in asked or ():
        if name not in METHODS:
            raise UsageError(f"no adapter is called {name!r}", expected=", ".join(METHODS), found=name)
    return tuple(name for name in METHODS if asked is None or name in asked)


def _runs(
    options: argparse.Namespace, methods: Sequence[Method], seeds: Sequence[int]
) -> tuple[PaperTask, dict[Method, list[dict[str, Any]]]]:
    from codec.adapt.tasks.recipe import load_task
    from codec.adapt.tasks.run import run
    from codec.adapt.types import settings_of

    if min(seeds, default=-1) < 0 or len(set(seeds)) != len(seeds):
        raise UsageError("seeds are different numbers from 0", found=", ".join(map(str, seeds)) or "none")
    task = load_task(options.task, options.set, fast=options.fast)
    for method in methods:  # before gigabytes are read
        settings_of(method, task.methods.get(method, {}))
    prepared = _prepared(options, task)
    found: dict[Method, list[dict[str, Any]]] = {}
    for seed in seeds:
        for method in methods:
            report = run(prepared, method, seed, options.out, _say, fast=options.fast)
            found.setdefault(method, []).append(report)
    if options.fast:
        _say("a check that it runs: the scores mean nothing")
    return task, found


def _scores(reports: Sequence[dict[str, Any]]) -> list[float]:
    return [report["score"]["value"] for report in reports]


def _summary(task: PaperTask, found: dict[Method, list[dict[str, Any]]], fast: bool) -> dict[str, Any]:
    return {
        "task": task.name,
        "metric": task.metric,
        "fast": fast,
        "methods": {
            method: {
                "scores": {str(report["seed"]): report["score"]["value"] for report in reports},
                "trained_share": reports[0]["trained"]["share"],
                "adapter_bytes": reports[0]["trained"]["adapter_bytes"],
            }
            for method, reports in found.items()
        },
    }


def _train(options: argparse.Namespace) -> None:
    from codec.adapt.tasks.published import spread
    from codec.atomic import write_atomic

    methods = _methods([options.method])
    task, found = _runs(options, methods, options.seed if options.seed is not None else [0])
    text = json.dumps(_summary(task, found, options.fast), indent=1)
    write_atomic(options.out / "report.json", f"{text}\n".encode())
    for method, reports in found.items():
        _say(f"{task.name}, {method}: {task.metric} {spread(_scores(reports))} %, {len(reports)} seeds")


def _compare(options: argparse.Namespace) -> None:
    from codec.adapt.tasks.published import beside, published
    from codec.atomic import write_atomic

    task, found = _runs(options, _methods(options.method), range(options.seeds))
    poster = published()
    summary = _summary(task, found, options.fast)
    summary["authors"] = {
        "source": poster.source,
        **{method: figure for method in found if (figure := poster.figure(method, task.name)) is not None},
    }
    write_atomic(options.out / "compare.json", f"{json.dumps(summary, indent=1)}\n".encode())
    ours = {
        method: (100 * reports[0]["trained"]["share"], _scores(reports)) for method, reports in found.items()
    }
    _say(beside(task.name, task.metric, ours), end="")


def _published(_: argparse.Namespace) -> None:
    from codec.adapt.tasks.published import poster_table

    _say(poster_table(), end="")


COMMANDS = {"train": _train, "compare": _compare, "published": _published}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a SwathpackError becomes one line and its exit code."""
    options = _parser().parse_args(arguments)
    try:
        COMMANDS[options.command](options)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return int(ExitCode.OK)


if __name__ == "__main__":
    sys.exit(main())
