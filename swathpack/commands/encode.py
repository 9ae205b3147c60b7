"""`swathpack encode`: a raster in, a `.nec` out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from swathpack.options import DEFAULT_MODEL, AsJson, Model


def run(
    scene: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCENE...", help="A raster, one raster per band, a .SAFE tree, or a netCDF file."
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
            metavar="NATIVE=NAME", help="Name a band: its name or number in the file = its common name."
        ),
    ] = None,
    model: Model = DEFAULT_MODEL,
    engine: Annotated[
        str,
        typer.Option(
            help="auto, onnxruntime, or the folder of an engine package (python -m onboard.export)."
        ),
    ] = "auto",
    quality: Annotated[
        int | None, typer.Option(help="Ladder index; larger is coarser. The package's default if not given.")
    ] = None,
    bytes_per_tile: Annotated[
        float | None,
        typer.Option(help="Choose the finest quality that stays within this many bytes per tile."),
    ] = None,
    record_bytes: Annotated[
        int, typer.Option(help="Size that records approach: 960 for a link, 61440 for an archive.")
    ] = 960,
    zoom: Annotated[int, typer.Option(help="Up-sample the scene, e.g. 2 for sensors of 30 m.")] = 1,
    run_number: Annotated[
        int, typer.Option("--run", help="The caller's run number, kept in the header.")
    ] = 0,
    threads: Annotated[int, typer.Option(help="Threads of the engine; 0 lets it choose.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Encode a scene: [b]scene → tiles → encoder → quantise → entropy code → .nec[/b]"""
    from codec.errors import UsageError
    from codec.package import load
    from codec.scene.scene import open_scene
    from onboard.encode import encode_scene
    from onboard.engine import open_engine
    from swathpack.streams import print_json, progress, write_output

    if quality is not None and bytes_per_tile is not None:
        raise UsageError("--quality and --bytes-per-tile exclude each other", fix="give one of them")
    mapping = dict(_pair(text) for text in band or ())
    package = load(model)
    folder = Path(engine)
    if (folder / "manifest.json").is_file():
        from onboard.engine_package import open_engine_package

        runner = open_engine_package(folder, package, threads=threads)
    else:
        runner = open_engine(
            package.path("encoder.onnx"),
            backend=engine,
            sha256=package.manifest.files["encoder.onnx"].sha256,
            threads=threads,
        )
    with (
        open_scene(scene, sensor=sensor, bands=mapping or None, zoom=zoom) as opened,
        progress("encoding") as tick,
    ):
        encoded = encode_scene(
            opened,
            package,
            runner,
            ladder_index=quality,
            bytes_per_tile=bytes_per_tile,
            target_bytes=record_bytes,
            run=run_number,
            source_name=scene[0].name,
            progress=tick,
        )
    write_output(output, encoded.data)
    report = encoded.report
    for note in report.notes:
        print(f"note: {note}", file=sys.stderr)
    if as_json:
        print_json(report.as_json())
    elif output != "-":
        print(
            f"{output}: {report.nec_bytes} bytes for {report.tiles} tiles ({report.nec_bytes / report.tiles:.1f} a tile), "
            f"{report.raw_bytes / report.nec_bytes:.0f} times smaller than the pixels of its bands"
        )


def _pair(text: str) -> tuple[str, str]:
    from codec.errors import UsageError

    native, separator, name = text.partition("=")
    if not (separator and native and name):
        raise UsageError(f"--band {text!r} is not NATIVE=NAME", fix="write e.g. --band 3=red")
    return native, name
