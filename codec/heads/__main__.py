"""Command line of the heads: `python -m codec.heads fit --package models/s2-nano --data DIR`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codec.errors import SwathpackError

if TYPE_CHECKING:  # --help must not load torch
    from codec.models.inference import Embeds
    from codec.package import Package


def main(
    arguments: Sequence[str] | None = None,
    *,
    prog: str = "python -m codec.heads",
    encoder_of: Callable[[Package], Embeds] | None = None,
) -> int:
    """Fit the heads; a SwathpackError becomes one line and its exit code. `encoder_of`: as in `write_heads`."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    fit = commands.add_parser("fit", help="fit heads on embeddings decoded at several rates")
    fit.add_argument("--package", type=Path, required=True, help="folder of a model package with a manifest")
    fit.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    fit.add_argument("--head", action="append", help="only this one; may be repeated")
    fit.add_argument("--seed", type=int, default=0)
    fit.add_argument(
        "--split",
        choices=("val", "test", "unseen"),
        default="val",
        help="part the cards' scores are from; all but val: once for a release",
    )
    fit.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    try:
        import torch

        from codec.heads.write import plain_encoder, write_heads

        torch.set_num_threads(options.threads)
        for fitted in write_heads(
            options.package, options.data, options.head, seed=options.seed, split=options.split,
            encoder_of=encoder_of or plain_encoder,
        ):  # fmt: skip
            for score in fitted.scores:
                print(
                    f"{fitted.task.name:10} {score.bands:>3} bands, {score.rate.label:32} "
                    f"{100 * score.accuracy:5.1f} % [{100 * score.low:.1f}, {100 * score.high:.1f}], "
                    f"over {fitted.classes[score.majority]} alone {100 * score.gain:+.1f} "
                    f"[{100 * score.gain_low:+.1f}, {100 * score.gain_high:+.1f}], "
                    f"mIoU {100 * score.mean_iou:.1f}, calibration error {100 * score.calibration_error:.1f}, n {score.n}"
                )
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
