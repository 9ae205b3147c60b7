"""Command line of the evaluation room: `python -m codec.evaluate COMMAND --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from codec.errors import InputError, SwathpackError
from codec.evaluate import shared_options

MODEL_RESULTS = Path("benchmarks/results/model.csv")
CANDIDATE_RESULTS = Path("benchmarks/results/candidates.csv")
# Commands with a file of their own, which has their options (`add_arguments`) and entry (`run`).
OF_MODULES = {
    "rate": (
        "codec.evaluate.rate.command",
        "what is left of each task's use, byte for byte, by every method",
    ),
    "retrieval": (
        "codec.evaluate.rate.retrieval_command",
        "the same place in another year, by every method's bytes",
    ),
    "kinds": (
        "codec.evaluate.rate.kinds_command",
        "kinds of heads on the same bytes, at shares of the labels",
    ),
    "neuco": ("codec.evaluate.neuco.command", "NeuCo-Bench's protocol with a byte axis"),
    "demonstrate": (
        "codec.evaluate.demonstrations.command",
        "tasks that the collection has too little of to measure",
    ),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m codec.evaluate", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    encoder = commands.add_parser("encoder", help="score the seeds of one model, and its rivals beside them")
    shared_options.add_data(encoder)
    encoder.add_argument(
        "--encoder", type=Path, action="append", required=True, help="again for each further seed"
    )
    encoder.add_argument("--name", help="of the model in the rows (default: the folder of the first encoder)")
    encoder.add_argument("--seeds", help="training seeds in the rows, as 0,1,2 (default: counted)")
    encoder.add_argument(
        "--split", choices=("val", "test", "unseen"), default="val", help="all but val: a release"
    )
    encoder.add_argument(
        "--protocol", action="append", help="one of the protocols; again for more (default: all)"
    )
    encoder.add_argument("--rival", action="append", help="rivals to measure beside it (default: all)")
    encoder.add_argument(
        "--against", type=Path, action="append", default=[], help="encoder of another model (UC Merced)"
    )
    encoder.add_argument(
        "--margin", type=int, help="pixels of overlap in maps (default: the package's, or 0)"
    )
    encoder.add_argument(
        "--samples", type=Path, default=Path(".demo-data"), help="folder of the sample scenes"
    )
    shared_options.add_results(encoder)
    encoder.add_argument("--again", action="store_true", help="replace a release's rows of other encoders")
    shared_options.add_threads(encoder)

    compare = commands.add_parser("compare", help="two candidates, seeds of each, by the selection protocol")
    shared_options.add_data(compare)
    for side in ("ours", "rival"):
        compare.add_argument(
            f"--{side}",
            type=Path,
            action="append",
            required=True,
            help="weights, or a run's checkpoint.pt; again for each seed",
        )
        compare.add_argument(f"--{side}-name", required=True)
    compare.add_argument("--results", type=Path, help=f"as {CANDIDATE_RESULTS}")
    shared_options.add_threads(compare)

    candidates = commands.add_parser("candidates", help="write the table of candidates into a document")
    candidates.add_argument("--results", type=Path, default=CANDIDATE_RESULTS)
    candidates.add_argument("--document", type=Path, default=Path("docs/models.md"))
    candidates.add_argument("--check", action="store_true", help="fail where the document differs")

    packages = commands.add_parser("packages", help="bytes of the packages that ship")
    packages.add_argument("--package", type=Path, action="append", required=True)
    packages.add_argument("--results", type=Path, default=MODEL_RESULTS)

    for name, (module, about) in OF_MODULES.items():
        import_module(module).add_arguments(commands.add_parser(name, help=about))

    card = commands.add_parser("card", help="write card.md of a package from measured rows")
    card.add_argument("--package", type=Path, required=True)
    card.add_argument("--results", type=Path, default=MODEL_RESULTS)
    shared_options.add_data(card)
    return parser


def _margin(encoder: Path) -> int:
    """Of the package an encoder lies in; 0 for a loose file. Raises InputError for a package with an adapter."""
    from codec.package import load
    from codec.package.manifest import ADAPTER

    if not (encoder.parent / "manifest.json").is_file():
        return 0
    package = load(encoder.parent)
    if ADAPTER in package.names():
        raise InputError(
            f"package {package.name!r} has an adapter, which these protocols do not run",
            path=encoder,
            fix="use python -m codec.evaluate rate",
        )
    return package.tile.margin


def _encoder(options: argparse.Namespace) -> None:
    from codec.evaluate.bank import RIVALS, Bank
    from codec.evaluate.measured import Subject
    from codec.evaluate.protocols import PROTOCOLS, Setting, run
    from codec.evaluate.release import PACKAGES, RELEASE_SPLITS, identity, refuse_another, stamp
    from codec.evaluate.rows import as_text, save
    from codec.models.weights import load_encoder

    shared_options.use_threads(options.threads)
    paths: list[Path] = options.encoder
    name = options.name or paths[0].resolve().parent.name
    seeds = options.seeds or ",".join(str(i) for i in range(len(paths)))
    if len(seeds.split(",")) != len(paths):
        raise InputError("one seed per encoder is needed", expected=len(paths), found=seeds)
    subject = Subject(name, options.results.stem if options.results else "model", seeds)
    encoders = [load_encoder(path) for path in paths]
    found = identity(paths)
    if options.split in RELEASE_SPLITS and options.results:
        refuse_another(options.results, subject, found, again=options.again)
    stated = _margin(paths[0])
    margin = stated if options.margin is None else options.margin
    bank = Bank(subject, encoders, options.data, rivals=options.rival or RIVALS, margin=margin)
    others = {path.resolve().parent.name: [load_encoder(path)] for path in options.against}
    setting = Setting(options.split, options.samples, others)
    rows = run(options.protocol or tuple(PROTOCOLS), bank, setting)
    rows = [replace(row, versions=stamp(found), threads=options.threads) for row in rows]
    print(as_text(rows))
    if options.results:
        save(rows, options.results.parent, PACKAGES, per_machine=False)


def _compare(options: argparse.Namespace) -> None:
    from codec.evaluate.release import PACKAGES
    from codec.evaluate.rows import as_text, save
    from codec.evaluate.select import compare_rows
    from codec.pretrain.fit import open_encoder

    shared_options.use_threads(options.threads)
    ours, rival = ([open_encoder(path) for path in side] for side in (options.ours, options.rival))
    rows = compare_rows((options.ours_name, ours), (options.rival_name, rival), options.data)
    print(as_text(rows))
    if options.results:
        save(rows, options.results.parent, PACKAGES, per_machine=False)


def _candidates(options: argparse.Namespace) -> None:
    from codec.evaluate.candidates import fill

    if not fill(options.document, options.results, check=options.check) and options.check:
        raise InputError(
            "the table of candidates differs from the results",
            path=options.document,
            fix="run python -m codec.evaluate candidates",
        )


def _packages(options: argparse.Namespace) -> None:
    from codec.evaluate.properties import package_rows
    from codec.evaluate.rows import as_text, save

    rows = package_rows(options.package, options.results.stem)
    print(as_text(rows))
    save(rows, options.results.parent, per_machine=False)


def _card(options: argparse.Namespace) -> None:
    from codec.evaluate.card import write_card
    from codec.package import refresh

    write_card(options.package, options.results, options.data)
    refresh(options.package)


def _of_module(options: argparse.Namespace) -> None:
    import_module(OF_MODULES[options.command][0]).run(options)


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "encoder": _encoder,
    "compare": _compare,
    "candidates": _candidates,
    "packages": _packages,
    "card": _card,
    **dict.fromkeys(OF_MODULES, _of_module),
}


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
