"""The recipe's checks of finished points as rows: `python -m codec.evaluate.rate.adapted.checks`.

    python -m codec.evaluate.rate.adapted.checks nec-2024=RUN,RUN,… --pool DIR --start-weights START.pt --results FILE.csv

What `python -m codec.nec check` says of one point, of many and in numbers: measured on views that training never saw. Exit
code 1 where a check does not hold; its row is written all the same.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from codec.errors import InternalError, SwathpackError, UsageError
from codec.evaluate import shared_options
from codec.evaluate.rows import Row, as_text, save
from codec.nec.checks import LOWEST, judged
from codec.nec.coding import Coder
from codec.nec.measure import measure, with_quantiles_converged
from codec.nec.point import Place, open_point
from codec.nec.samples import Samples
from codec.pretrain.labels import load_pool


def check_rows(suite: str, encoder: str, name: str, coder: Coder, samples: Samples) -> Iterator[Row]:
    """Case as the point's other rows have it. The last row counts the checks that do not hold."""
    found, converged = measure(coder, samples), with_quantiles_converged(coder, samples)
    case, seed = f"{encoder}/{name}/points/{found.bits_real:.3g} bit", str(coder.recipe.seed)
    tables = f"% of Σ −log2 p, strings less 8 B, {coder.recipe.switches.quantiles}"
    values = {
        "real bytes, converged tables": (
            100 * (converged.real_over_density - 1), "% of Σ −log2 p, strings less 8 B, bisection",
        ),
        "real bytes, tables as frozen": (100 * (found.real_over_density - 1), tables),
        "our own density": (100 * (found.bits_twin / found.bits_density - 1), "% of CompressAI's bits"),
        "rounding instead of noise": (
            100 * (found.distortion_rounded / found.distortion_noise - 1), "% of D",
        ),
        "all tokens instead of a quarter": (
            100 * (found.bits_noise / found.bits_noise_masked - 1), "% of bits with noise",
        ),
    }  # fmt: skip
    if found.bits_real < LOWEST:
        values["zero symbols at the lowest point"] = 100 * found.zero_share, "%"
    for metric, (value, unit) in values.items():
        yield Row(suite, case, metric, value, unit=unit, n=found.tiles, seeds=seed)
    said = list(judged(found, converged, coder))
    missed = sum(not one.holds for one in said)
    yield Row(suite, case, "checks that do not hold", missed, unit=f"of {len(said)}", seeds=seed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; a SwathpackError becomes one line and its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m codec.evaluate.rate.adapted.checks", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("points", nargs="+", metavar="NAME=RUN,RUN,…", help="a method and its points")
    parser.add_argument("--pool", type=Path, required=True, help="views that the points were trained on")
    parser.add_argument("--start-weights", dest="start", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="the data collection, for galileo_nano")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of model packages")
    shared_options.add_results(parser)
    options = parser.parse_args(arguments)
    try:
        rows = list(_all(options))
        print(as_text(rows))
        if options.results:
            packages = ("swathpack", "numpy", "torch", "compressai")
            save(rows, options.results.parent, packages, per_machine=False)
        missed = [row.case for row in rows if row.metric == "checks that do not hold" and row.value]
        if missed:
            raise InternalError(f"checks of {len(missed)} points do not hold", found=", ".join(missed))
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


def _all(options: argparse.Namespace) -> Iterator[Row]:
    import torch

    torch.set_num_threads(1)
    pool, place = load_pool(options.pool), Place(options.models, options.data, options.start)
    suite = options.results.stem if options.results else "nec-2024"
    for text in options.points:
        name, equals, runs = text.partition("=")
        if not (name and equals and runs):
            raise UsageError(f"{text}: give NAME=RUN,RUN,…")
        for run in runs.split(","):
            coder = open_point(Path(run), place)
            encoder = coder.recipe.start.encoder.replace("/", "_")
            yield from check_rows(suite, encoder, name, coder, Samples.of(pool, coder.model.encoder))


if __name__ == "__main__":
    sys.exit(main())
