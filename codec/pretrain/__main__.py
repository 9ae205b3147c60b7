"""Command line of the pretraining room: `python -m codec.pretrain label|distil|embed|fit-codec|build`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from codec.errors import SwathpackError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m codec.pretrain", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    label = commands.add_parser("label", help="draw training views and have the teacher label them")
    label.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    label.add_argument("--pool", type=Path, default=Path("runs/pool"), help="where the labelled views go")
    label.add_argument("--views", type=int, default=12_000)
    label.add_argument("--seed", type=int, default=0)
    label.add_argument("--threads", type=int, default=2)

    distil = commands.add_parser("distil", help="train the student on the labelled views; resumes by itself")
    distil.add_argument("--pool", type=Path, default=Path("runs/pool"))
    distil.add_argument("--out", type=Path, default=Path("runs/s2-nano"), help="checkpoint and log go here")
    distil.add_argument("--encoder", type=Path, help="write the trained encoder here (safetensors)")
    distil.add_argument("--steps", type=int, default=3000)
    distil.add_argument(
        "--bend",
        type=int,
        nargs=2,
        default=(0, 0),
        metavar=("STEP", "TOTAL"),
        help="until STEP the learning rate follows a run of TOTAL steps (a run that was shortened under way)",
    )
    distil.add_argument("--batch", type=int, default=64)
    distil.add_argument("--seed", type=int, default=0)
    distil.add_argument("--depth", type=int, default=4)
    distil.add_argument("--threads", type=int, default=2)

    embed = commands.add_parser("embed", help="embed the training windows into one .npz (tokens, spectral)")
    embed.add_argument("--data", type=Path, required=True)
    embed.add_argument("--encoder", type=Path, help="encoder.safetensors, or a checkpoint of `distil` (.pt)")
    embed.add_argument("--out", type=Path, default=Path("runs/train_embeddings.npz"))
    embed.add_argument("--seed", type=int, default=0)
    embed.add_argument("--threads", type=int, default=2)

    codec = commands.add_parser(
        "fit-codec", help="fit transform and tables to the encoder; write the package"
    )
    codec.add_argument("--data", type=Path, required=True)
    codec.add_argument("--package", type=Path, required=True, help="folder that holds encoder.safetensors")
    codec.add_argument("--keep", type=Path, help="write the training embeddings here as .npz")
    codec.add_argument("--seed", type=int, default=0)
    codec.add_argument("--threads", type=int, default=2)

    build = commands.add_parser(
        "build", help="label, train, fit the codec and the heads; `python -m codec.evaluate` measures"
    )
    build.add_argument("--data", type=Path, required=True)
    build.add_argument("--package", type=Path, required=True)
    build.add_argument(
        "--runs", type=Path, default=Path("runs"), help="what is between the steps; resumes from there"
    )
    build.add_argument("--threads", type=int, default=2)
    return parser


def _build(options: argparse.Namespace) -> None:
    """The steps of docs/models.md, one after the other, with the settings of the shipped run."""
    from codec.heads.write import write_heads

    data, package, runs = str(options.data), str(options.package), options.runs
    threads = ["--threads", str(options.threads)]
    options.package.mkdir(parents=True, exist_ok=True)
    encoder = str(options.package / "encoder.safetensors")
    steps: list[list[str]] = [
        [
            "distil",
            "--pool",
            str(runs / "pool"),
            "--out",
            str(runs / "s2-nano"),
            "--encoder",
            encoder,
            *threads,
            "--steps",
            "2400",
            "--bend",
            "1000",
            "4200",
        ],
        ["fit-codec", "--data", data, "--package", package, *threads],
    ]
    if not (runs / "pool" / "pool.json").exists():
        steps.insert(0, ["label", "--data", data, "--pool", str(runs / "pool"), "--views", "20000", *threads])
    for step in steps:
        chosen = _parser().parse_args(step)
        COMMANDS[chosen.command](chosen)
    write_heads(options.package, options.data)


def _fit_codec(options: argparse.Namespace) -> None:
    import torch

    from codec.pretrain.fit import fit_package

    torch.set_num_threads(options.threads)
    package = fit_package(options.package, options.data, seed=options.seed, keep=options.keep)
    print(f"fit-codec: {package.name}, codec id {package.codec_id.hex()}")


def _embed(options: argparse.Namespace) -> None:
    import torch

    from codec.pretrain.fit import embed_training_windows, open_encoder, save_planes

    torch.set_num_threads(options.threads)
    planes = embed_training_windows(open_encoder(options.encoder), options.data, options.seed)
    save_planes(options.out, planes)
    print(f"embed: {len(planes['tokens'])} tiles in {options.out}")


def _distil(options: argparse.Namespace) -> None:
    import torch

    from codec.models.weights import save_encoder
    from codec.pretrain.distil import DistilConfig, Run, train
    from codec.pretrain.labels import load_pool

    torch.set_num_threads(options.threads)
    config = DistilConfig(
        steps=options.steps,
        batch=options.batch,
        seed=options.seed,
        depth=options.depth,
        bend_step=options.bend[0],
        bend_total=options.bend[1],
    )
    run = Run(load_pool(options.pool), config)
    train(run, options.out)
    if options.encoder:
        save_encoder(run.student.encoder, options.encoder)


def _label(options: argparse.Namespace) -> None:
    import torch

    from codec.data.readers import SOURCES, read_source
    from codec.models.bands import S2_NANO_BANDS
    from codec.models.galileo import load_teacher
    from codec.pretrain.labels import label_views

    torch.set_num_threads(options.threads)
    teacher = load_teacher(options.data / "galileo_nano")
    images = {name: read_source(name, options.data, "train") for name in SOURCES}
    label_views(teacher, images, S2_NANO_BANDS, options.pool, views=options.views, seed=options.seed)


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "label": _label,
    "distil": _distil,
    "embed": _embed,
    "fit-codec": _fit_codec,
    "build": _build,
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
