"""`swathpack encode`: a raster in, a `.nec` out."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from swathpack.options import DEFAULT_MODEL, AsJson, Model, finite


def run(
    scene: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCENE...",
            help="A raster, one raster per band, a folder of them, a .SAFE tree, or a netCDF file.",
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The .nec to write; - for stdout.")
    ],
    sensor: Annotated[
        str | None,
        typer.Option(help="Sensor, when the files do not say: sentinel2-l1c, landsat8, naip, rgb, …."),
    ] = None,
    band: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PLACE",
            help="Where a band is, when the files do not say: red=3 (number in the only file), red=a.tif, red=a.tif#3; "
            "may repeat.",
        ),
    ] = None,
    time: Annotated[
        datetime | None, typer.Option(help="Sensing time (UTC), when the files do not say.")
    ] = None,
    scaling: Annotated[
        str | None, typer.Option(help="How numbers become reflectance, overriding what the files say.")
    ] = None,
    sun_elevation: Annotated[
        float | None, typer.Option(metavar="DEGREES", callback=finite, help="For products that need it.")
    ] = None,
    model: Model = DEFAULT_MODEL,
    engine: Annotated[
        str,
        typer.Option(
            metavar="NAME|FOLDER",
            help="auto, onnxruntime, or the folder of an engine package (python -m onboard.export).",
        ),
    ] = "auto",
    quality: Annotated[
        int | None,
        typer.Option(min=0, help="Ladder index; larger is coarser. The package's default if not given."),
    ] = None,
    bytes_per_tile: Annotated[
        float | None,
        typer.Option(
            callback=finite,
            help="Spend so many bytes per tile with data on records, mixing two neighbouring qualities.",
        ),
    ] = None,
    total_bytes: Annotated[
        int | None,
        typer.Option(
            "--bytes", min=1, help="Spend so many bytes on the whole file, mixing two neighbouring qualities."
        ),
    ] = None,
    tradeoff: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            callback=finite,
            help="What a bit is worth in squared steps, above layer 0; 0 rounds, 0.07 pays from some 300 bytes per tile on.",
        ),
    ] = 0.0,
    digits: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Send so many of the planes that refine others, where the package has some; all if not given, none with a "
            "budget.",
        ),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS=PROBABILITY",
            help="Leave out tokens that a head gives more than this probability of the class, e.g. cloud=0.99, where that "
            "saves bytes; HEAD/CLASS where several heads have it; may repeat.",
        ),
    ] = None,
    record_bytes: Annotated[
        int,
        typer.Option(
            min=64, max=61440, help="Size that records approach: 960 for a link, 61440 for an archive."
        ),
    ] = 960,
    zoom: Annotated[
        int, typer.Option(min=1, max=16, help="Up-sample the scene, e.g. 2 for sensors of 30 m.")
    ] = 1,
    run_number: Annotated[
        int, typer.Option("--run", min=0, max=2**32 - 1, help="The caller's run number, kept in the header.")
    ] = 0,
    threads: Annotated[
        int, typer.Option(min=0, max=1024, help="Threads of the engine; 0 lets it choose.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Encode a scene: [b]scene → tiles → encoder → quantise → entropy code → .nec[/b]"""
    from codec.errors import UsageError
    from codec.package import load
    from codec.scene.resolve import band_place
    from codec.scene.scene import open_scene
    from onboard.encode import encode_scene
    from onboard.engine_package import engine_for
    from onboard.power.run import energy_of_run
    from onboard.skipping import SkipRule
    from swathpack.streams import check_output, print_json, progress, say, write_output

    check_output(output, *scene, as_json=as_json)
    if sum(given is not None for given in (quality, bytes_per_tile, total_bytes)) > 1:
        raise UsageError("--quality, --bytes-per-tile and --bytes exclude each other", fix="give one of them")
    if bytes_per_tile is not None and bytes_per_tile <= 0:
        raise UsageError("--bytes-per-tile is a number above 0", found=bytes_per_tile)
    mapping = dict(band_place(text) for text in band or ())
    rules = [SkipRule.parse(text) for text in skip or ()]
    package = load(model)
    usable = package.ladder_indices
    if quality is not None and quality not in usable:
        raise UsageError(
            f"--quality is no ladder index of {package.name}",
            expected=f"{usable[0]} to {usable[-1]}",
            found=quality,
        )
    runner = engine_for(package, engine, threads=threads)
    with (
        open_scene(
            scene,
            sensor=sensor,
            bands=mapping or None,
            time=time,
            scaling=scaling,
            sun_elevation_deg=sun_elevation,
            zoom=zoom,
        ) as opened,
        progress("encoding") as tick,
        energy_of_run(gpu=runner.info.backend.startswith("tensorrt")) as energy,
    ):
        encoded = encode_scene(
            opened,
            package,
            runner,
            ladder_index=quality,
            bytes_per_tile=bytes_per_tile,
            total_bytes=total_bytes,
            tradeoff=tradeoff,
            digits=digits,
            skip=rules,
            target_bytes=record_bytes,
            run=run_number,
            source_name=scene[0].name,
            progress=tick,
        )
    write_output(output, encoded.data)
    report = encoded.report
    report.energy = energy.measured
    report.notes += [energy.note] if energy.note else []
    for note in report.notes:
        say(f"note: {note}")
    if as_json:
        print_json(report.as_json())
    else:
        n_coded, what = report.tiles_coded, "with data"
        if encoded.skipped:
            n_coded, what = n_coded - encoded.skipped.skipped_tiles, "that are sent"
        each = f" ({report.nec_bytes / n_coded:.1f} a tile)" if n_coded else ""
        say(
            f"{output}: {report.nec_bytes} bytes for {n_coded} tiles {what}{each}, "
            f"{report.raw_bytes / report.nec_bytes:.1f} times smaller than the pixels of its {len(report.bands)} bands"
            + (
                f"; {energy.measured['joules']:.3g} J of {energy.measured['source']}"
                if energy.measured
                else ""
            )
        )
