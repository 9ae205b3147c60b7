"""Command line of the evaluation room: `python -m codec.evaluate encoder|card`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from codec.errors import SwathpackError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m codec.evaluate", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    encoder = commands.add_parser("encoder", help="probes against pixel statistics and a random twin")
    encoder.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    encoder.add_argument("--encoder", type=Path, default=Path("models/s2-nano/encoder.safetensors"))
    encoder.add_argument("--split", choices=("val", "test"), default="val", help="test: once, for a release")
    encoder.add_argument("--results", type=Path, help="CSV of results to write the rows to")
    encoder.add_argument("--threads", type=int, default=2)

    card = commands.add_parser("card", help="write card.md of a package from measured rows")
    card.add_argument("--package", type=Path, required=True)
    card.add_argument("--results", type=Path, default=Path("benchmarks/results/model.csv"))
    card.add_argument("--data", type=Path, required=True)
    return parser


def _card(options: argparse.Namespace) -> None:
    from codec.data.readers import read_source
    from codec.evaluate.card import write_card
    from codec.package import refresh
    from codec.pretrain.windows import origins

    sentinel = ("eurosat", "terramind", "sen1floods11", "lahinch", "beaufort")
    windows = sum(1 for s in sentinel for image in read_source(s, options.data) for _ in origins(image, 64))
    write_card(options.package, options.results, windows=windows)
    refresh(options.package)


def _encoder(options: argparse.Namespace) -> None:
    import torch

    from codec.evaluate.classification import classification, properties
    from codec.evaluate.report import table, write_rows
    from codec.models.weights import load_encoder

    torch.set_num_threads(options.threads)
    encoder = load_encoder(options.encoder)
    rows = classification(encoder, options.data, options.split) + properties(encoder, options.data)
    print(table(rows))
    if options.results:
        write_rows(options.results, "model", rows, seeds="0", threads=options.threads)


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {"encoder": _encoder, "card": _card}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a SwathpackError becomes one line and its exit code."""
    options = _parser().parse_args(arguments)
    try:
        COMMANDS[options.command](options)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
