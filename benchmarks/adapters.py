"""DEFLECT and its rivals on the evidence tasks: `python -m benchmarks.adapters`.

    python -m benchmarks.adapters --data ../shared/data --steps 200                  # all methods, three seeds
    python -m benchmarks.adapters --data ../shared/data --steps 200 --part galileo   # from its RGB group to all groups
    python -m benchmarks.adapters --data ../shared/data --steps 100 --part ranks     # of W_A: 2 … 32
    python -m benchmarks.adapters --data ../shared/data --steps 100 --part layers    # which are adapted
    python -m benchmarks.adapters --data ../shared/data --steps 100 --part switches  # what the paper leaves open
    python -m benchmarks.adapters --data ../shared/data --steps 100 --part seeds     # ten of them, DEFLECT and LoRA
    python -m benchmarks.adapters --data ../shared/data --steps 100 --part narrow    # 120 interpolated narrow bands
    python -m benchmarks.adapters --data ../shared/data --steps 100 --part starts    # of the rivals' further filters

The base is `rgb-small`, which saw red, green and blue alone; tiles have twelve bands. `native` is `s2-nano`, which was
trained on them, frozen; of Galileo, the encoder with all its groups. Every answer is by a model that saw no tile of that
place (`benchmarks.adapter_tasks`); answers are kept, so the same command goes on after anything. Rows are written at the
end of a part, those of the average over all tasks among them; their `n` counts places. Intervals are paired and draw
places and seeds; `sky` and `landuse` have so few places that theirs come out too narrow.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.adapter_rows import NATIVE, OURS, RGB_ONLY, rows_of, summary
from benchmarks.adapter_tasks import ALL_GROUPS, GALILEO, TASKS, Answered, Arm, Folders, Task, answer
from benchmarks.command import finished
from benchmarks.results import FOLDER
from codec.adapt.training import TaskRecipe
from codec.errors import TryAgain
from codec.evaluate.rows import as_text, save

_LORA = Arm("lora r 8", "lora", settings={"rank": 8})
_DEFLECT = Arm(OURS, "deflect")
METHODS = (
    Arm(RGB_ONLY, "frozen", settings={"inputs": "own"}),
    Arm("frozen", "frozen"),
    Arm("norm tuning", "norm"),
    Arm("bitfit", "bitfit"),
    _LORA,
    Arm("lora r 16", "lora"),
    Arm("slr r 8", "slr", settings={"rank": 8}),
    Arm("full", "full", rate=3e-4),
    _DEFLECT,
    Arm("deflect + lora r 2", "deflect", settings={"lora_rank": 2}),
    Arm(NATIVE, "frozen", encoder="s2-nano", settings={"inputs": "own"}),
)
# Held against the default, as it is called there.
RANKS = tuple(
    Arm(f"deflect r {rank}", "deflect", settings={"uatt__rank": rank}, beside="deflect r 16")
    for rank in (2, 4, 8, 16, 32)
)
LAYERS = tuple(
    Arm(f"deflect {rule}", "deflect", settings={"layers": rule}, beside="deflect first-half")
    for rule in ("first-3", "first-half", "every-second", "last", "all")
)
# One switch at a time, but for the diff stream, which begins with x_A in the stream (A18); the first is what all of them are
# held against.
SWITCHES = (
    _DEFLECT,
    *(
        Arm(f"{name} {text}", "deflect", settings=settings)
        for name, text, settings in (
            ("A1", "bands beyond rgb", {"upe__bands": "aux"}),
            ("A1", "no indices", {"upe__indices": ()}),
            ("A1", "min and max too", {"upe__stats": ("mean", "std", "min", "max")}),
            ("A2", "mlp", {"upe__map": "mlp"}),
            ("A3", "twin stream", {"uatt__stream": "twin"}),
            ("A3", "diff stream", {"uatt__stream": "diff", "upe__add_to_stream": True}),
            ("A4", "own down-projections", {"uatt__share_down": False}),
            ("A5", "separate products", {"uatt__products": "separate"}),
            ("A6", "no auxiliary values", {"uatt__value_aux": False}),
            ("A8", "after the projection", {"norm__where": "post"}),
            ("A8", "per head", {"norm__per": "head"}),
            ("A9", "reference of a run without adapter", {"norm__ref": "z_P"}),
            ("A10", "mlp held too", {"norm__mlp": True}),
            ("A13", "norms learn", {"train_norms": True}),
            ("A13", "biases learn", {"train_bias": True}),
            ("A14", "reference detached", {"norm__detach_ref": True}),
            ("A15", "upper bound", {"norm__mode": "clip"}),
            ("A15", "no norm held", {"norm__mode": "off"}),
            ("A17", "code normalised", {"uatt__ln_aux": True}),
            ("A18", "in the stream", {"upe__add_to_stream": True}),
        )
    ),
)
STARTS = tuple(
    Arm(
        f"{arm.name} {inputs}",
        arm.method,
        settings={**arm.settings, "inputs": inputs},
        beside=f"{arm.name} repeat",
    )
    for arm in (Arm("frozen", "frozen"), _LORA)
    for inputs in ("repeat", "rgb+random")
)
GROUPS = (
    Arm(RGB_ONLY, "frozen", GALILEO, {"inputs": "own"}),
    Arm("frozen", "frozen", GALILEO),
    Arm("bitfit", "bitfit", GALILEO),
    Arm("lora r 8", "lora", GALILEO, {"rank": 8}),
    Arm("full", "full", GALILEO, rate=3e-4),
    Arm(OURS, "deflect", GALILEO),
    Arm(NATIVE, "frozen", ALL_GROUPS),
)
# Bands of a spectrometer: interpolated, so they hold no more than the twelve; what is asked is whether more cost anything.
# Rivals have no filter for a band without constants of normalisation: LoRA stands beside them with the twelve.
NARROW = (
    Arm(RGB_ONLY, "frozen", settings={"inputs": "own"}),
    _DEFLECT,
    Arm("deflect, 120 narrow bands", "deflect", narrow=120),
    _LORA,
)
PARTS: Mapping[str, tuple[Sequence[Arm], int]] = {  # arms, and seeds of each
    "methods": (METHODS, 3),
    "galileo": (GROUPS, 3),
    "ranks": (RANKS, 3),
    "layers": (LAYERS, 3),
    "starts": (STARTS, 3),
    "seeds": ((_DEFLECT, _LORA), 10),
    "switches": (SWITCHES, 3),
    "narrow": (NARROW, 3),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.adapters", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    parser.add_argument("--part", choices=tuple(PARTS), default="methods")
    parser.add_argument("--task", choices=TASKS, action="append", help="again for more (default: all)")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of model packages")
    parser.add_argument("--steps", type=int, default=TaskRecipe().steps)
    parser.add_argument("--out", type=Path, default=Path("runs/adapters"), help="answers are kept here")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the results")
    parser.add_argument(
        "--minutes", type=float, default=math.inf,
        help="stop after so long with exit code 75; the same command goes on",
    )  # fmt: skip
    return parser


def _run(options: argparse.Namespace) -> None:
    arms, seeds = PARTS[options.part]
    tasks = [Task.read(name, options.data) for name in options.task or TASKS]
    where = Folders(options.data, options.models)
    until = time.monotonic() + 60 * options.minutes
    found: dict[tuple[str, str], list[Answered]] = {}
    for seed in range(seeds):
        recipe = TaskRecipe(steps=options.steps, seed=seed)
        for arm in arms:
            for task in tasks:
                if time.monotonic() > until:
                    raise TryAgain("stopped in time", path=options.out, fix="the same command goes on")
                one = answer(arm, task, recipe, where, options.out)
                found.setdefault((arm.name, task.name), []).append(one)
                name, statistic = task.score
                score = float(statistic(task.sums(one.answers[None]).sum(1))[0])
                print(f"adapters: {task.name}, {arm.name}, seed {seed}: {name} {score:.3f}", flush=True)
    beside = {arm.name: arm.beside for arm in arms}
    one_of_many = options.part == "switches"
    rows = list(
        rows_of(options.part, tasks, found, beside=beside, averaged=not options.task, at_once=one_of_many)
    )
    if options.part in ("methods", "galileo") and not options.task:
        rows += summary(options.part, rows, tasks, found)
    print(as_text(rows))
    save(rows, options.results, ("swathpack", "numpy", "torch"), per_machine=False)


def main(arguments: list[str] | None = None) -> int:
    """Run what is left; a SwathpackError becomes one line and its exit code."""
    options = _parser().parse_args(arguments)
    return finished(partial(_run, options))


if __name__ == "__main__":
    sys.exit(main())
