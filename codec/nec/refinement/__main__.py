"""Command line: `python -m codec.nec.refinement train|export|install`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from codec.errors import ExitCode, SwathpackError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m codec.nec.refinement", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    train = commands.add_parser("train", help="train on embeddings decoded at all rates; resumes by itself")
    train.add_argument("--recipe", type=Path, help="a .yaml file (default: the shipped recipe)")
    train.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one value; may repeat"
    )
    train.add_argument(
        "--minutes",
        type=float,
        default=float("inf"),
        help="stop after so long, with a checkpoint and exit code 75; the same command goes on",
    )
    export = commands.add_parser(
        "export", help="write a finished run as decoder.onnx, proven equal to PyTorch"
    )
    export.add_argument("--graph", type=Path, required=True, help="the file to write")
    for command in (train, export):
        command.add_argument("--package", required=True, help="name or folder of the package it refines")
        command.add_argument(
            "--embeddings", type=Path, required=True, help=".npz of `python -m codec.pretrain embed`"
        )
        command.add_argument("--out", type=Path, required=True, help="folder of checkpoint and report")
        command.add_argument("--threads", type=int, default=1)

    install = commands.add_parser("install", help="make a graph a package's decoder.onnx, listed by its hash")
    install.add_argument("--graph", type=Path, required=True)
    install.add_argument("--package", type=Path, required=True, help="folder of the package")
    return parser


def _train(options: argparse.Namespace) -> ExitCode:
    import torch

    from codec.nec.refinement.degraded import Windows, read_embeddings
    from codec.nec.refinement.recipe import load_recipe
    from codec.nec.refinement.run import Run, train
    from codec.package import load

    torch.set_num_threads(options.threads)
    recipe = load_recipe(options.recipe, options.set)
    planes, validity = read_embeddings(options.embeddings)
    run = Run(Windows.of(load(options.package), planes, validity, recipe), recipe)
    if not train(run, options.out, stop_after_s=60 * options.minutes):
        print("refinement: stopped in time; the same command goes on", flush=True)
        return ExitCode.TRY_AGAIN
    return ExitCode.OK


def _export(options: argparse.Namespace) -> None:
    import torch

    from codec.atomic import write_atomic
    from codec.nec.refinement.export import exported
    from codec.package import load

    torch.set_num_threads(options.threads)
    found = exported(load(options.package), options.embeddings, options.out)
    write_atomic(options.graph, found.graph)
    print(
        f"export: {options.graph}, {len(found.graph)} bytes, largest difference to PyTorch {found.difference:.2g}"
    )


def _install(options: argparse.Namespace) -> None:
    from codec.nec.refinement.install import install

    package = install(options.package, options.graph)
    print(f"install: {package.name} lists decoder.onnx; codec id {package.codec_id.hex()} as before")


COMMANDS: dict[str, Callable[[argparse.Namespace], ExitCode | None]] = {
    "train": _train,
    "export": _export,
    "install": _install,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a SwathpackError becomes one line and its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(COMMANDS[options.command](options) or ExitCode.OK)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
