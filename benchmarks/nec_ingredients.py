"""What ingredients of our codec are worth, each by itself, on embeddings that nothing was fitted on.

    python -m benchmarks.nec_ingredients --data ../shared/data [--part rdo …]

`rdo`: symbols chosen by rate and distortion, bytes at equal embedding error. `utility`: the same at equal utility of heads.
`rotations`: channel transforms by frequency, bytes at equal error; `rotations-utility`: heads at equal bytes. `learned`:
transforms and steps by gradient descent against those. `kinds`: a choice among trained bases, by tile, file and sensor;
`kinds-utility`: heads at equal bytes. `trellis`: what a dependent quantiser would take, an estimate. `mean`: a mean vector
per file. `pq`: product quantisation of the tile mean; `small-mean`: against it, layer 0 below its ladder. `spectral`: what
the spectral plane costs, and tokens predicted from it. `bands`: which windows a codec is fitted on. `transfer`: codecs of
one source on another. `own-scenes`: a codec of one's own scenes. `frozen`: what integers and records cost. `budget`: how
near files come to their bytes; `traded-budget`: the error there with symbols chosen by rate and distortion.

Training embeddings (runs/train_embeddings.npz, made by `python -m codec.pretrain embed`) fit tables; sets, splits and
heads are those of `python -m codec.evaluate rate`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path

from benchmarks.nec import (
    bands,
    budget,
    file_mean,
    frozen,
    kinds_of_scene,
    kinds_of_scene_utility,
    learned,
    mean_vector_pq,
    own_scenes,
    rdo_error,
    rdo_utility,
    rotations,
    rotations_utility,
    small_mean,
    spectral,
    traded_budget,
    transfer,
    trellis,
)
from benchmarks.nec.held_out import Collection, open_collection
from benchmarks.results import FOLDER, Row
from codec.errors import SwathpackError
from codec.evaluate.rows import as_text, save

PARTS: Mapping[str, Callable[[Collection], Iterable[Row]]] = {
    "rdo": rdo_error.rows,
    "utility": rdo_utility.rows,
    "rotations": rotations.rows,
    "rotations-utility": rotations_utility.rows,
    "learned": learned.rows,
    "kinds": kinds_of_scene.rows,
    "kinds-utility": kinds_of_scene_utility.rows,
    "trellis": trellis.rows,
    "mean": file_mean.rows,
    "pq": mean_vector_pq.rows,
    "small-mean": small_mean.rows,
    "spectral": spectral.rows,
    "bands": bands.rows,
    "transfer": transfer.rows,
    "own-scenes": own_scenes.rows,
    "frozen": frozen.rows,
    "budget": budget.rows,
    "traded-budget": traded_budget.rows,
}

_AT_A_TIME = 4


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write benchmarks/results/nec.csv (bands and transfer: windows.csv), part by part."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.nec_ingredients", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    parser.add_argument("--package", default="s2-nano")
    parser.add_argument("--train", type=Path, default=Path("runs/train_embeddings.npz"))
    parser.add_argument("--out", type=Path, default=Path("runs/nec"), help="what is computed once")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the results")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="again for more (default: all)")
    options = parser.parse_args(arguments)
    try:
        of = open_collection(options.package, options.data, options.out, options.train)
        for part in options.part or PARTS:
            rows = iter(PARTS[part](of))
            while found := list(
                islice(rows, _AT_A_TIME)
            ):  # what an hour has measured is not lost with the next
                print(as_text(found), flush=True)
                save(found, options.results, ("swathpack", "numpy", "torch"), per_machine=False)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
