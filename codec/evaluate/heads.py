"""Held-out scores of the heads that ship, as rows: `python -m codec.evaluate.heads --package DIR --results DIR`.

Nothing is measured here: the rows are what the heads' cards say, and the cards are listed with their hashes in the package.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codec.errors import Corrupt, InputError, SwathpackError
from codec.evaluate.rows import Row, as_text, save
from codec.package import Package, load

SUITE = "heads"
PACKAGES = ("swathpack", "numpy", "torch")
_UNIT = "% [95% bootstrap over groups]"


def card_rows(package_name: str, card: Mapping[str, Any]) -> list[Row]:
    """Rows of one card: accuracy, gain over the majority class, mean IoU, calibration error; each rate and band subset."""
    held = card["held_out"]
    rows = []
    for score in held["scores"]:
        bands = "all" if score["bands"] == "all" else f"{score['bands']}-bands"
        rate = str(score["rate"]).replace(", ", "-").replace(" ", "-")
        case, n = f"{package_name}/{card['name']}/{held['split']}/{bands}/{rate}", int(score["n"])
        low, high, gain_low, gain_high = (
            100 * x for x in (*score["interval_95"], *score["gain_interval_95"])
        )
        rival = f"majority class {score['majority_class']}"
        gain = 100 * score["gain_over_majority"]
        rows += [
            Row(SUITE, case, "accuracy", 100 * score["accuracy"], low, high, _UNIT, n=n),
            Row(SUITE, case, "accuracy-gain", gain, gain_low, gain_high, _UNIT, rival, n),
            Row(SUITE, case, "mean-iou", 100 * score["mean_iou"], unit="%", n=n),
            Row(SUITE, case, "calibration-error", 100 * score["expected_calibration_error"], unit="%", n=n),
        ]
    return rows


def package_rows(package: Package) -> list[Row]:
    """Rows of all heads of a package. Raises InputError where it has none, Corrupt for a card without its scores."""
    names = [name for name in package.names("heads/") if name.endswith(".json")]
    if not names:
        raise InputError("the package has no heads", fix="run python -m codec.heads fit")
    rows: list[Row] = []
    for name in names:
        path = package.path(name)
        try:
            rows += card_rows(package.manifest.name, json.loads(path.read_bytes()))
        except (ValueError, KeyError, TypeError) as error:
            raise Corrupt(
                f"the card of a head lacks its scores ({type(error).__name__}: {error})",
                path=path,
                fix="run python -m codec.heads fit",
            ) from error
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the rows of the packages; a SwathpackError becomes one line and its exit code."""
    parser = argparse.ArgumentParser(prog="python -m codec.evaluate.heads", description=__doc__)
    parser.add_argument("--package", type=Path, action="append", required=True, help="again for more")
    parser.add_argument(
        "--results", type=Path, help="folder of the results; without it rows are printed only"
    )
    options = parser.parse_args(arguments)
    try:
        rows = [row for folder in options.package for row in package_rows(load(folder))]
        print(as_text(rows))
        if options.results:
            save(rows, options.results, PACKAGES, per_machine=False)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
