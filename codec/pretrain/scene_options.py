"""One's own scenes as a command line names them: `--scenes`, and how they are read."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codec.errors import UsageError

if TYPE_CHECKING:  # --help must not load numpy
    from codec.pretrain.own_windows import OwnScene

# As argparse names them; they go with --scenes only.
READING = ("sensor", "band", "scaling", "sun_elevation", "time", "zoom")


def add_source(parser: argparse.ArgumentParser) -> None:
    """`--data` or `--scenes`."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--data", type=Path, help="folder of the data collection: fit the package's own codec"
    )
    source.add_argument(
        "--scenes",
        type=Path,
        nargs="+",
        metavar="SCENE",
        help="your scenes, each a raster, a folder of its band files or a .SAFE product: fit a codec of their own",
    )


def add_reading(group: argparse._ArgumentGroup) -> None:
    """The options of READING."""
    group.add_argument("--sensor", help="when the files do not say: landsat8, naip, rgb, …")
    group.add_argument(
        "--band",
        action="append",
        metavar="NAME=PLACE",
        help="where a band is, when the files do not say: red=3; may repeat",
    )
    group.add_argument("--scaling", help="how numbers become reflectance, overriding what the files say")
    group.add_argument(
        "--sun-elevation", type=float, nargs="+", metavar="DEGREES", help="one, or one for each scene"
    )
    group.add_argument(
        "--time", type=_time, nargs="+", metavar="ISO", help="sensing time (UTC): one, or one for each scene"
    )
    group.add_argument(
        "--zoom", type=int, help="up-sample the scenes, e.g. 2 for sensors of 30 m (default 1)"
    )


def refuse(options: argparse.Namespace, names: tuple[str, ...], source: str, page: str) -> None:
    """UsageError for the first of these options that was given; `source` is what it does not go with."""
    for name in names:
        if getattr(options, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} does not go with --{source}", fix=f"see python -m {page} --help"
            )


def scenes_of(options: argparse.Namespace) -> list[OwnScene]:
    """The scenes. UsageError where an option has neither one value nor one for each."""
    from codec.pretrain.own_windows import OwnScene
    from codec.scene.resolve import band_place

    bands = dict(band_place(text) for text in options.band or ())
    suns, times = (_of_each(options, name) for name in ("sun_elevation", "time"))
    return [
        OwnScene(
            path, sensor=options.sensor, bands=bands or None, time=time, scaling=options.scaling,
            sun_elevation_deg=sun, zoom=1 if options.zoom is None else options.zoom,
        )
        for path, sun, time in zip(options.scenes, suns, times, strict=True)
    ]  # fmt: skip


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _of_each(options: argparse.Namespace, name: str) -> list[Any]:
    """What an option says of each scene: nothing, the same of all, or one value each."""
    given, n = getattr(options, name) or [None], len(options.scenes)
    if len(given) not in (1, n):
        raise UsageError(
            f"--{name.replace('_', '-')} is one value, or one for each scene", expected=f"1 or {n}", found=len(given)
        )  # fmt: skip
    return list(given) * (n if len(given) == 1 else 1)
