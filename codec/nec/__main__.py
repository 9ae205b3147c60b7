"""Command line of the published recipe: `python -m codec.nec start|train|search|compress|decompress|check`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from codec.errors import ExitCode, InputError, SwathpackError, UsageError

if TYPE_CHECKING:  # --help must not load torch
    from codec.nec.coding import Coder
    from codec.nec.point import Place
    from codec.nec.recipe import Recipe
    from codec.nec.samples import Views

_say = partial(print, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m codec.nec", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="train the decoder beside the frozen encoder: where all begin")
    train = commands.add_parser(
        "train", help="train one point, build its tables, measure it; resumes by itself"
    )
    search = commands.add_parser("search", help="train points until the four published rates are met")
    for command in (start, train, search):
        command.add_argument("recipe", help="a .yaml file, or nec-2024, nec-2024-repaired")
        command.add_argument(
            "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change one value"
        )
        command.add_argument("--fast", action="store_true", help="a check that it runs: results mean nothing")
        _add_views(command)
    for command in (train, search):
        command.add_argument("--out", type=Path, required=True, help="checkpoint, curves, point and report")
        command.add_argument(
            "--minutes", type=float, default=float("inf"),
            help="stop after so long with a checkpoint and exit code 75; the same command goes on",
        )  # fmt: skip
    start.add_argument("--weights", type=Path, help="a published masked autoencoder's file, with its decoder")
    start.add_argument("--layout", help="of that file, e.g. rvsa_millionaid_mae_vit_base (docs/foreign.md)")
    search.add_argument("--attempts", type=int, default=5, help="runs a rate, at most")
    search.add_argument("--tolerance", type=float, default=0.15, help="of the rate, in its logarithm")
    compress = commands.add_parser("compress", help="tiles of an .npz to bytes")
    compress.add_argument(
        "tiles",
        type=Path,
        help=".npz with pixels N×B×T×T reflectance; present N×B, validity N×T×T if not all",
    )
    decompress = commands.add_parser("decompress", help="bytes to tokens in an .npz")
    decompress.add_argument("file", type=Path)
    check = commands.add_parser("check", help="the recipe's checks on views kept back")
    _add_views(check)
    for command in (compress, decompress, check):
        command.add_argument("--run", type=Path, required=True, help="folder of a finished point")
        command.add_argument("--group", type=int, default=1, help="tiles that share a string")
    for command in (compress, decompress):
        command.add_argument("--out", type=Path, required=True)
    for command in (start, train, search, compress, decompress, check):
        command.add_argument("--models", type=Path, default=Path("models"), help="folder of model packages")
        command.add_argument("--data", type=Path, help="the data collection, for galileo_nano")
        command.add_argument("--threads", type=int, default=1)
        command.add_argument("--start-weights", dest="start", type=Path, help="file of the starting weights")
    return parser


def _add_views(command: argparse.ArgumentParser) -> None:
    views = command.add_mutually_exclusive_group(required=True)
    views.add_argument("--pool", type=Path, help="views of `python -m codec.pretrain label`")
    views.add_argument("--pictures", type=Path, help="folder of unlabelled RGB pictures, in any folders")


def _views(options: argparse.Namespace, tile: int) -> Views:
    """What to train and measure on, for an encoder of this tile."""
    from codec.nec.pictures import pictures_below
    from codec.pretrain.labels import load_pool

    return load_pool(options.pool) if options.pool else pictures_below(options.pictures, tile)


def _tile(recipe: Recipe, options: argparse.Namespace) -> int:
    from codec.nec.encoders import open_masked

    return open_masked(recipe.start.encoder, root=options.models, data=options.data).tile


def _place(options: argparse.Namespace) -> Place:
    from codec.nec.point import Place

    return Place(options.models, options.data, options.start or Path("start.pt"))


def _needs_start(options: argparse.Namespace) -> None:
    if options.start is None:
        raise InputError("--start-weights is missing")


def _recipe(options: argparse.Namespace) -> Recipe:
    from codec.nec.recipe import load_recipe

    return load_recipe(options.recipe, options.set, fast=options.fast)


def _start(options: argparse.Namespace) -> None:
    from codec.nec.samples import Samples
    from codec.nec.start import autoencoder_of, make_start
    from codec.pretrain.processor import keep_memory

    _needs_start(options)
    if (options.weights is None) != (options.layout is None):
        raise UsageError("--weights and --layout belong together", fix="name the layout of the file")
    keep_memory()
    recipe = _recipe(options)
    weights = None
    if options.weights is not None:
        from codec.nec.published_weights import take_weights

        weights = partial(take_weights, layout=options.layout, path=options.weights)
    autoencoder = autoencoder_of(recipe, options.models, options.data)
    samples = Samples.of(_views(options, autoencoder.of.tile), autoencoder.of)
    make_start(recipe, samples, autoencoder, options.start, _say, weights)


def _train(options: argparse.Namespace) -> None:
    from codec.nec.point import make_point
    from codec.pretrain.processor import keep_memory

    _needs_start(options)
    keep_memory()
    recipe = _recipe(options)
    found = make_point(
        recipe, _views(options, _tile(recipe, options)), _place(options), options.out,
        stop_after_s=60 * options.minutes, tell=_say,
    )  # fmt: skip
    _say(
        f"train: {found.bits_real:.4f} bit per element, {found.bytes_per_tile:.1f} B a tile, "
        f"D {found.distortion_rounded:.4f}"
    )


def _search(options: argparse.Namespace) -> None:
    from codec.nec.point import make_point
    from codec.nec.search import search
    from codec.pretrain.processor import keep_memory

    _needs_start(options)
    keep_memory()
    recipe, place = _recipe(options), _place(options)
    views = _views(options, _tile(recipe, options))

    def attempt(weight: float) -> float:
        own = recipe.model_copy(update={"rate": recipe.rate.model_copy(update={"weight": weight})})
        folder = options.out / f"weight-{weight:g}"
        return make_point(own, views, place, folder, stop_after_s=60 * options.minutes, tell=_say).bits_real

    options.out.mkdir(parents=True, exist_ok=True)
    found = search(
        attempt, options.out, first=recipe.rate.weight,
        tolerance=options.tolerance, attempts=options.attempts, tell=_say,
    )  # fmt: skip
    _say(json.dumps(found))


def _coder(options: argparse.Namespace) -> Coder:
    from codec.nec.point import open_point

    if options.group < 1:
        raise InputError("--group is at least 1", found=options.group)
    return open_point(options.run, _place(options), group=options.group)


def _compress(options: argparse.Namespace) -> None:
    from codec.atomic import write_atomic
    from codec.nec.tile_files import read_tiles

    coder = _coder(options)
    tiles = read_tiles(options.tiles, coder.model.encoder)
    data = coder.pack(coder.encode(coder.embed(tiles)), len(tiles))
    write_atomic(options.out, data)
    _say(f"compress: {len(tiles)} tiles in {len(data)} B, {len(data) / len(tiles):.1f} B a tile")


def _decompress(options: argparse.Namespace) -> None:
    from codec.nec.tile_files import write_tokens

    coder = _coder(options)
    try:
        data = options.file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=options.file) from error
    strings, n_tiles = coder.unpack(data, options.file)
    y_hat = coder.decode(strings, n_tiles)
    write_tokens(options.out, tokens=coder.tokens(y_hat), decoder=coder.decoder_tokens(y_hat))
    _say(f"decompress: {n_tiles} tiles in {options.out}")


def _check(options: argparse.Namespace) -> ExitCode:
    from codec.nec.checks import judged
    from codec.nec.measure import as_dict, measure, with_quantiles_converged
    from codec.nec.samples import Samples

    coder = _coder(options)
    samples = Samples.of(_views(options, coder.model.encoder.tile), coder.model.encoder)
    found, converged = measure(coder, samples), with_quantiles_converged(coder, samples)
    _say(json.dumps({"as frozen": as_dict(found), "quantiles converged": as_dict(converged)}, indent=1))
    wrong = 0
    for said in judged(found, converged, coder):
        _say(f"{'ok  ' if said.holds else 'MISS'} {said.text}")
        wrong += not said.holds
    return ExitCode.INTERNAL if wrong else ExitCode.OK


COMMANDS: dict[str, Callable[[argparse.Namespace], ExitCode | None]] = {
    "start": _start,
    "train": _train,
    "search": _search,
    "compress": _compress,
    "decompress": _decompress,
    "check": _check,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a SwathpackError becomes one line and its exit code."""
    options = _parser().parse_args(arguments)
    try:
        import torch

        torch.set_num_threads(max(1, options.threads))
        return int(COMMANDS[options.command](options) or ExitCode.OK)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
