"""An adapter on its base becomes a package: `python -m codec.nec.adapted --package … --adapter … --data … --out NEW`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from codec.errors import ExitCode, SwathpackError
from codec.pretrain.scene_options import READING, add_reading, add_source, refuse, scenes_of


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m codec.nec.adapted", description=__doc__)
    parser.add_argument(
        "--package", required=True, help="name or folder of the package of the adapter's base"
    )
    parser.add_argument("--adapter", type=Path, required=True, help="file of codec.adapt.files.save_adapter")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the new package")
    add_source(parser)
    parser.add_argument(
        "--packing",
        choices=("int8", "int4"),
        help="store the adapter in so few bits (default: as it is in its file)",
    )
    parser.add_argument("--name", help="of the new package (default: PACKAGE-ADAPTER)")
    parser.add_argument(
        "--trained-on", default="not stated", help="what the adapter was trained on, for the manifest"
    )
    parser.add_argument(
        "--licence", default="not stated", help="licence of that, and of the scenes, for the manifest"
    )
    parser.add_argument("--keep", type=Path, help="write the embeddings that were fitted here as .npz")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    add_reading(parser.add_argument_group("with --scenes (how they are read: as in swathpack encode)"))
    return parser


def _run(options: argparse.Namespace) -> None:
    if options.scenes is None:
        refuse(options, READING, "data", "codec.nec.adapted")
    scenes = None if options.scenes is None else scenes_of(options)
    import torch

    from codec.nec.adapted.package import fit_adapted
    from codec.nec.adapted.windows import collection_windows, scene_windows
    from codec.package import load

    torch.set_num_threads(options.threads)
    base = load(options.package)
    windows = (
        partial(collection_windows, data=options.data, seed=options.seed)
        if scenes is None
        else partial(
            scene_windows, scenes=scenes, layout=base.tile, seed=options.seed, licence=options.licence
        )
    )
    done = fit_adapted(
        base, options.adapter, windows, options.out, name=options.name, trained_on=options.trained_on,
        licence=options.licence, packing=options.packing, keep=options.keep,
    )  # fmt: skip
    for scene in done.fitted_to.scenes:
        for note in scene.notes:
            print(f"note: {scene.name}: {note}", file=sys.stderr)
        print(
            f"adapted: {scene.name}: {scene.measured} of {scene.tiles} tiles wholly measured; "
            f"{scene.sensor}, {' '.join(scene.bands)}"
        )
    made = done.package
    print(
        f"adapted: {made.name}, codec id {made.codec_id.hex()}, fitted to {done.windows} windows of {len(made.bands)} bands"
    )
    print(
        f"adapted: not taken over, since of the base's embeddings: {', '.join(done.left_behind) or 'nothing'}; next: "
        f"python -m onboard.export --engine fp32 --model {options.out} --into-package"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; a SwathpackError becomes one line and its exit code."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return int(ExitCode.OK)


if __name__ == "__main__":
    sys.exit(main())
