"""NEC's open questions: `python -m benchmarks.open_questions --data ../shared/data [--part depths …]`.

`depths`: several depths of an encoder as planes of one file. `cells`: a plane of 4-pixel cells for fine maps. `priors`: what
priors that know more would save. `change`: a score of change between dates, through the codec. `presence`: what a tile
holds, found through the codec. `train`: encoders of several sizes; `sizes`: their bytes and utility.

Rows go to benchmarks/results/questions.csv; docs/open_questions.md quotes them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from itertools import islice
from pathlib import Path

from benchmarks.open_questions.evidence import Bench
from benchmarks.results import FOLDER
from codec.errors import SwathpackError
from codec.evaluate.rows import Row, as_text, save

MODULES: Mapping[str, str] = {
    "depths": "depths",
    "cells": "fine_cells",
    "priors": "priors",
    "change": "change",
    "presence": "presence",
    "train": "small_encoders",
    "sizes": "encoder_sizes",
}
_AT_A_TIME = 4  # what an hour has measured is not lost with the next


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write, part by part."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.open_questions", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="trained encoders, pool of views")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the results")
    parser.add_argument(
        "--part", action="append", choices=list(MODULES), help="again for more (default: all)"
    )
    options = parser.parse_args(arguments)
    bench = Bench(options.data, options.runs)
    try:
        for part in options.part or MODULES:
            measure: Callable[[Bench], Iterable[Row]] = import_module(
                f"benchmarks.open_questions.{MODULES[part]}"
            ).rows
            rows = iter(measure(bench))
            while found := list(islice(rows, _AT_A_TIME)):
                print(as_text(found), flush=True)
                save(found, options.results, ("swathpack", "numpy", "torch"), per_machine=False)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
