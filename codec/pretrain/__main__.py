"""Command line of the pretraining room: `python -m codec.pretrain label|train|embed|fit-codec|build`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from codec.errors import ExitCode, SwathpackError


def _recipe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="a .yaml file, or the name of a shipped recipe: s2-nano, rgb-small")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="change one value of the recipe; may repeat",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m codec.pretrain", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    label = commands.add_parser("label", help="draw training views and have the teacher label them")
    _recipe_options(label)
    label.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    label.add_argument("--pool", type=Path, required=True, help="where the labelled views go")

    train = commands.add_parser("train", help="train the student on the labelled views; resumes by itself")
    _recipe_options(train)
    train.add_argument("--pool", type=Path, required=True)
    train.add_argument("--out", type=Path, required=True, help="checkpoint and report go here")
    train.add_argument(
        "--encoder", type=Path, help="write the trained encoder here (safetensors, half precision)"
    )
    train.add_argument(
        "--minutes",
        type=float,
        default=float("inf"),
        help="stop after so long, with a checkpoint and exit code 75; the same command goes on",
    )

    embed = commands.add_parser("embed", help="embed the training windows into one .npz (tokens, spectral)")
    embed.add_argument("--data", type=Path, required=True)
    embed.add_argument("--encoder", type=Path, help="encoder.safetensors, or a checkpoint of `train` (.pt)")
    embed.add_argument("--out", type=Path, required=True)
    embed.add_argument("--seed", type=int, default=0)

    codec = commands.add_parser(
        "fit-codec", help="fit transform and tables to the encoder; write the package"
    )
    codec.add_argument("--data", type=Path, required=True)
    codec.add_argument("--package", type=Path, required=True, help="folder that holds encoder.safetensors")
    codec.add_argument(
        "--run", type=Path, help="run.json of the training: energy and recipe for the manifest"
    )
    codec.add_argument("--keep", type=Path, help="write the training embeddings here as .npz")
    codec.add_argument(
        "--refinements",
        type=int,
        default=0,
        help="planes that refine the tokens: for streams that serve many rates",
    )
    codec.add_argument("--seed", type=int, default=0)

    build = commands.add_parser("build", help="label, train and fit the codec, one after the other")
    _recipe_options(build)
    build.add_argument("--data", type=Path, required=True)
    build.add_argument("--package", type=Path, required=True)
    build.add_argument(
        "--runs", type=Path, default=Path("runs"), help="what is between the steps; resumes there"
    )
    for command in (label, train, embed, codec, build):
        command.add_argument("--threads", type=int, default=2)
    return parser


def _label(options: argparse.Namespace) -> None:
    from codec.data.readers import SOURCES, read_source
    from codec.models.galileo import load_teacher
    from codec.pretrain.labels import label_views
    from codec.pretrain.recipe import load_recipe

    recipe = load_recipe(options.recipe, options.set)
    config, pool = recipe.model.config(), recipe.pool
    teacher = load_teacher(options.data / "galileo_nano")
    images = {name: read_source(name, options.data, "train") for name in SOURCES}
    label_views(
        teacher,
        images,
        config.bands,
        options.pool,
        views=pool.views,
        seed=pool.seed,
        tile=config.tile,
        shares=pool.weights or None,
    )


def _train(options: argparse.Namespace) -> ExitCode:
    from codec.models.weights import save_encoder
    from codec.pretrain.labels import load_pool
    from codec.pretrain.recipe import load_recipe
    from codec.pretrain.run import Run, train

    recipe = load_recipe(options.recipe, options.set)
    run = Run(load_pool(options.pool), recipe)
    if not train(run, options.out, stop_after_s=60 * options.minutes):
        print("train: stopped in time; the same command goes on", flush=True)
        return ExitCode.TRY_AGAIN
    if options.encoder:
        # Half of the bytes in every package; the model is what the file holds, also where it runs in float32.
        save_encoder(run.encoder.cpu(), options.encoder, half=True)
    return ExitCode.OK


def _embed(options: argparse.Namespace) -> None:
    from codec.pretrain.fit import embed_training_windows, open_encoder, save_planes

    planes = embed_training_windows(open_encoder(options.encoder), options.data, options.seed)
    save_planes(options.out, planes)
    print(f"embed: {len(planes['tokens'])} tiles in {options.out}")


def _fit_codec(options: argparse.Namespace) -> None:
    from codec.pretrain.fit import fit_package

    package = fit_package(
        options.package, options.data, seed=options.seed, keep=options.keep, run=options.run,
        refinements=options.refinements,
    )  # fmt: skip
    print(f"fit-codec: {package.name}, codec id {package.codec_id.hex()}")


def _build(options: argparse.Namespace) -> None:
    """The steps of docs/models.md, one after the other; the export is a command of its own room."""
    pool, out = options.runs / f"pool-{Path(options.recipe).stem}", options.runs / Path(options.recipe).stem
    options.package.mkdir(parents=True, exist_ok=True)
    options.pool, options.out, options.seed, options.keep = pool, out, 0, None
    options.encoder, options.minutes = options.package / "encoder.safetensors", float("inf")
    options.run = out / "run.json"
    if not (pool / "pool.json").exists():
        _label(options)
    _train(options)
    _fit_codec(options)


COMMANDS: dict[str, Callable[[argparse.Namespace], ExitCode | None]] = {
    "label": _label,
    "train": _train,
    "embed": _embed,
    "fit-codec": _fit_codec,
    "build": _build,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a SwathpackError becomes one line and its exit code."""
    options = _parser().parse_args(arguments)
    try:
        import torch

        torch.set_num_threads(options.threads)
        return int(COMMANDS[options.command](options) or ExitCode.OK)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
