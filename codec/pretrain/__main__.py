"""Command line of the pretraining room: `python -m codec.pretrain label|train|embed|fit-codec|build`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from codec.errors import ExitCode, SwathpackError, UsageError
from codec.pretrain.scene_options import READING, add_reading, add_source, refuse, scenes_of


def _recipe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="a .yaml file, or the name of a shipped recipe: s2-nano, rgb-small")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="change one value of the recipe; may repeat",
    )


def _fit_codec_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--package",
        type=Path,
        required=True,
        help="folder that holds encoder.safetensors; with --scenes a package",
    )
    add_source(parser)
    parser.add_argument("--keep", type=Path, help="write the embeddings that were fitted here as .npz")
    parser.add_argument("--seed", type=int, default=0)
    data = parser.add_argument_group("with --data")
    data.add_argument("--run", type=Path, help="run.json of the training: energy and recipe for the manifest")
    data.add_argument(
        "--refinements",
        type=int,
        help="planes that refine the tokens: for streams that serve many rates (default 0)",
    )
    own = parser.add_argument_group("with --scenes (how they are read: as in swathpack encode)")
    own.add_argument("--out", type=Path, metavar="FOLDER", help="the new package; required")
    own.add_argument("--name", help="the package is called PACKAGE-NAME (default: the sensor's name)")
    own.add_argument("--licence", help="licence of the scenes, for the manifest (default: not stated)")
    add_reading(own)


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
        "--frozen-encoder",
        type=Path,
        metavar="FILE",
        help="an encoder.safetensors that stands still while the heads of the loss learn: a start for codec.nec.rate_aware",
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

    _fit_codec_options(
        commands.add_parser("fit-codec", help="fit transform and tables to the encoder; write the package")
    )

    build = commands.add_parser("build", help="label, train and fit the codec, one after the other")
    _recipe_options(build)
    build.add_argument("--data", type=Path, required=True)
    build.add_argument("--package", type=Path, required=True)
    build.add_argument(
        "--runs", type=Path, default=Path("runs"), help="what is between the steps; resumes there"
    )
    for command in commands.choices.values():
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
    from codec.pretrain.heads import HeadsRun
    from codec.pretrain.labels import load_pool
    from codec.pretrain.recipe import load_recipe
    from codec.pretrain.run import Run, train

    if options.encoder and options.frozen_encoder:
        raise UsageError("an encoder that stands still is not written", fix="leave out --encoder")
    recipe, pool = load_recipe(options.recipe, options.set), load_pool(options.pool)
    frozen = options.frozen_encoder
    run = HeadsRun(pool, recipe, frozen) if frozen else Run(pool, recipe)
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


# Options of `fit-codec` that go with one source of windows and not with the other.
_WITH_DATA = ("run", "refinements")
_WITH_SCENES = ("out", "name", "licence", *READING)


def _fit_codec(options: argparse.Namespace) -> None:
    own = options.scenes is not None
    given, page = _WITH_DATA if own else _WITH_SCENES, "codec.pretrain fit-codec"
    refuse(options, given, "scenes" if own else "data", page)
    if own:
        _fit_own_codec(options)
        return
    from codec.pretrain.fit import fit_package

    package = fit_package(
        options.package, options.data, seed=options.seed, keep=options.keep, run=options.run,
        refinements=options.refinements or 0,
    )  # fmt: skip
    print(f"fit-codec: {package.name}, codec id {package.codec_id.hex()}")


def _fit_own_codec(options: argparse.Namespace) -> None:
    from codec.package import load
    from codec.pretrain.own_package import fit_own_package

    if options.out is None:
        raise UsageError("--scenes needs --out", fix="name a new folder for the package")
    scenes = scenes_of(options)
    done = fit_own_package(
        load(options.package), scenes, options.out, name=options.name, licence=options.licence or "not stated",
        seed=options.seed, keep=options.keep,
    )  # fmt: skip
    for scene in done.scenes:
        for note in scene.notes:
            print(f"note: {scene.name}: {note}", file=sys.stderr)
        print(
            f"fit-codec: {scene.name}: {scene.measured} of {scene.tiles} tiles wholly measured; "
            f"{scene.sensor}, {' '.join(scene.bands)}"
        )
    print(
        f"fit-codec: {done.package.name}, codec id {done.package.codec_id.hex()}, fitted to {done.windows} windows"
    )
    apart = "" if done.other_scenes is None else f", scenes that a fit left out {done.other_scenes:.0%}"
    print(
        f"fit-codec: bytes at equal error over those of the old codec: windows that a fit left out {done.other_windows:.0%}"
        f"{apart}"
    )
    if done.other_scenes is not None and done.other_scenes >= 1:
        print(
            "note: the scenes differ so much that a codec of some serves the others worse than the old one: give scenes of "
            "all that you will fly over",
            file=sys.stderr,
        )
    print(
        f"fit-codec: not taken over, since made with the old codec: {', '.join(done.left_behind) or 'nothing'}; next: "
        f"python -m onboard.export --engine fp32 --model {options.out} --into-package"
    )


def _build(options: argparse.Namespace) -> None:
    """The steps of docs/models.md, one after the other; the export is a command of its own room."""
    from codec.pretrain.fit import fit_package

    pool, out = options.runs / f"pool-{Path(options.recipe).stem}", options.runs / Path(options.recipe).stem
    options.package.mkdir(parents=True, exist_ok=True)
    options.pool, options.out = pool, out
    options.encoder, options.minutes = options.package / "encoder.safetensors", float("inf")
    if not (pool / "pool.json").exists():
        _label(options)
    _train(options)
    package = fit_package(options.package, options.data, run=out / "run.json")
    print(f"fit-codec: {package.name}, codec id {package.codec_id.hex()}")


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
