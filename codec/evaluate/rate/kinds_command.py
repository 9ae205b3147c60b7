"""Options and entry of `python -m codec.evaluate kinds`."""

from __future__ import annotations

import argparse
import sys

from codec.evaluate import shared_options

METHOD = "base"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    shared_options.add_data(parser)
    shared_options.add_encoder(parser)
    parser.add_argument("--set", action="append", help="again for more (default: eurosat)")
    parser.add_argument(
        "--method", action="append", help=f"of `rate`'s default suite; again for more (default: {METHOD})"
    )
    parser.add_argument("--kind", action="append", help="again for more (default: all that fit the level)")
    parser.add_argument("--share", type=float, nargs="+", help="of the labels (default: 0.01 0.05 0.1 1)")
    parser.add_argument("--regime", action="append", help="one or mixed; again for more (default: both)")
    parser.add_argument("--split", choices=("val", "test", "unseen"), default="val")
    parser.add_argument("--release", action="store_true", help="the set that is held back for releases too")
    parser.add_argument("--draws", type=int, default=2, help="of the labels of each share")
    parser.add_argument("--seed", type=int, default=0)
    shared_options.add_out(parser, holds="embeddings are kept there")
    shared_options.add_results(parser)
    shared_options.add_threads(parser)


def run(options: argparse.Namespace) -> None:
    """Fit and score every head of every set and method, print tables, and write the rows."""
    from codec.errors import InputError
    from codec.evaluate.rate.grids import grids
    from codec.evaluate.rate.kinds_report import Found, rows, table
    from codec.evaluate.rate.kinds_run import answered, kinds_for
    from codec.evaluate.rate.opened import opened
    from codec.evaluate.rate.run import Run, Setting
    from codec.evaluate.rate.sets import read
    from codec.evaluate.rate.suite import chosen, entries
    from codec.evaluate.rows import save
    from codec.heads.label_shares import SHARES
    from codec.heads.regimes import REGIMES, UNCOMPRESSED

    if options.draws < 1 or options.seed < 0:
        raise InputError("--draws is at least 1, --seed at least 0", found=(options.draws, options.seed))
    regimes = options.regime or REGIMES[:2]
    if unknown := [name for name in regimes if name not in REGIMES[:2]]:
        raise InputError(f"there is no regime {unknown[0]!r} here", expected=", ".join(REGIMES[:2]))
    shares = tuple(options.share or SHARES)
    shared_options.use_threads(options.threads)
    names = options.set or ["eurosat"]
    suite = chosen("rgb" if names == ["ucmerced"] else "default", names, release=options.release)
    if unknown := [name for name in names if name not in suite.sets]:
        raise InputError(f"there is no set {unknown[0]!r} here", expected=", ".join(suite.sets))
    found = opened(options.encoder, options.data)
    wanted = entries(suite, found.package, options.method or [METHOD])
    # Codecs of one set are fitted on others too: the same bytes as in `rate`.
    sets = read(suite.sets, options.data, found.bands)
    harness = Run(found.encoder, sets, options.out, Setting(split=options.split, seed=options.seed))
    out = []
    suite_name = options.results.stem if options.results else "kinds"
    for name in names:
        evidence, validity = sets[name], harness.planes(name).validity
        parts = harness.setting.folds(evidence)
        for entry in wanted:
            seen = harness.seen(name, entry)
            tokens = {UNCOMPRESSED: seen.plain["tokens"]}
            tokens |= {c.setting: at["tokens"] for c, at in zip(seen.coded, seen.planes, strict=True)}
            sizes = {c.setting: c.bytes_per_tile for c in seen.coded}
            for target in (target for target in evidence.targets if target.is_class):
                of = grids(evidence, target, validity)
                fitting = kinds_for(of)
                kinds = options.kind or fitting
                if unknown := [kind for kind in kinds if kind not in fitting]:
                    raise InputError(
                        f"head {unknown[0]!r} does not answer {target.name!r} of {name!r}",
                        expected=", ".join(fitting),
                    )
                folds = [(fold.fit[of.tile], fold.held[of.tile]) for fold in parts]
                heads = {}
                for head in answered(
                    of, tokens, sizes, [sides for sides in folds if sides[1].any()],
                    kinds=kinds, regimes=regimes, shares=shares, draws=options.draws, seed=options.seed,
                ):  # fmt: skip
                    heads[head.case] = head
                    done, total = len(heads), len(kinds) * len(regimes) * len(shares)
                    print(
                        f"{name}, {target.name}, {entry.name}: {done}/{total} {head.case.kind}, "
                        f"{head.case.regime}, {100 * head.case.share:g} % of the labels",
                        file=sys.stderr,
                        flush=True,
                    )
                linear = next(kind for kind in fitting if "linear" in kind)
                about = Found(
                    found.name, name, target.name, entry.name, len(target.classes), of.is_dense, linear, heads
                )
                coded = list(sizes)
                print(table(about, (UNCOMPRESSED, *dict.fromkeys((coded[len(coded) // 2], coded[-1])))))
                out += list(rows(about, suite_name, sizes))
    if options.results:
        save(out, options.results.parent, ("swathpack", "numpy", "torch", "onnxruntime"), per_machine=False)
