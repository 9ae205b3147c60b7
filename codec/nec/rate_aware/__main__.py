"""Command line: `python -m codec.nec.rate_aware train`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from codec.errors import ExitCode, SwathpackError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m codec.nec.rate_aware", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="adapt an encoder to the rate; resumes by itself")
    train.add_argument("--recipe", type=Path, help="a .yaml file (default: the shipped recipe)")
    train.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one value; may repeat"
    )
    train.add_argument("--fast", action="store_true", help="a check that it runs: results mean nothing")
    train.add_argument("--pool", type=Path, required=True, help="labelled views of the run it starts from")
    train.add_argument(
        "--start", type=Path, required=True, help="checkpoint.pt of python -m codec.pretrain train"
    )
    train.add_argument("--out", type=Path, required=True, help="checkpoint and report go here")
    train.add_argument(
        "--encoder", type=Path, help="write the adapted encoder here (safetensors, half precision)"
    )
    train.add_argument(
        "--minutes",
        type=float,
        default=float("inf"),
        help="stop after so long, with a checkpoint and exit code 75; the same command goes on",
    )
    train.add_argument("--threads", type=int, default=2)
    return parser


def _train(options: argparse.Namespace) -> ExitCode:
    import torch

    from codec.models.weights import save_encoder
    from codec.nec.rate_aware.recipe import load_adaptation
    from codec.nec.rate_aware.run import RateAwareRun
    from codec.pretrain.labels import load_pool
    from codec.pretrain.run import train

    torch.set_num_threads(options.threads)
    adaptation = load_adaptation(options.recipe, options.set, fast=options.fast)
    run = RateAwareRun(load_pool(options.pool), options.start, adaptation)
    if not train(run, options.out, stop_after_s=60 * options.minutes):
        print("train: stopped in time; the same command goes on", flush=True)
        return ExitCode.TRY_AGAIN
    if options.encoder:
        save_encoder(run.encoder.cpu(), options.encoder, half=True)
    return ExitCode.OK


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; a SwathpackError becomes one line and its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(_train(options))
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
