"""A decoded scene as files: NumPy archive, GeoTIFF of one plane, or a table of pooled vectors."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codec.errors import InputError, UsageError
from swathpack.inspect_report import time_text

if TYPE_CHECKING:
    from codec.pipeline import NecScene

FORMS = (".npz", ".tif", ".tiff", ".csv")


def form_of(output: str) -> str:
    """The form that the output's suffix asks for; - is .npz. Raises UsageError for any other suffix, or none."""
    suffix = ".npz" if output == "-" else Path(output).suffix.lower()
    if suffix not in FORMS:
        raise UsageError(
            f"the form of {output!r} is not known by its suffix",
            expected=" ".join(FORMS),
            found=suffix or "no suffix",
        )
    return suffix


def render(scene: NecScene, form: str, plane: str) -> bytes:
    """The bytes of a file of this form."""
    if form == ".csv":
        return as_table(scene, plane)
    return as_npz(scene) if form == ".npz" else as_geotiff(scene, plane)


def as_npz(scene: NecScene) -> bytes:
    """Per plane `<plane>` N×h×w×C float32, `<plane>_validity` N×h×w, `<plane>_layers` N (bit l = layer l received); and
    `georeference`, JSON of transform, EPSG, WKT, scene and core size, time, bands, and of a refinement."""
    arrays: dict[str, np.ndarray] = {}
    for name in scene.planes:
        embedding = scene.embedding(name)
        arrays[name] = embedding.values
        arrays[f"{name}_validity"] = embedding.validity
        arrays[f"{name}_layers"] = embedding.layers
    grid, where = scene.grid, scene.georeference
    facts = {
        "transform": where.transform,
        "epsg": where.epsg,
        "wkt": where.wkt,
        "height": grid.height,
        "width": grid.width,
        "core": [grid.core_height, grid.core_width],
        "time": time_text(scene.header),
        "bands": scene.bands,
        "package": scene.package.name,
        **({"refinement": scene.decoded.refinement} if scene.decoded.refinement else {}),
    }
    arrays["georeference"] = np.array(json.dumps(facts))
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]  # planes have no name of a parameter
    return out.getvalue()


def as_table(scene: NecScene, plane: str) -> bytes:
    """One row per tile: index, first pixel row and column, share of valid tokens, layers received, then mean and standard
    deviation of the valid tokens per channel. Tiles that are missing or wholly invalid have empty cells."""
    embedding = scene.embedding(plane)
    n, channels = len(embedding.values), embedding.values.shape[-1]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [f"{kind}_{c}" for kind in ("mean", "std") for c in range(channels)]
    writer.writerow(["tile", "row", "col", "valid_share", "layers", *names])
    for i in range(n):
        valid = embedding.validity[i]
        row, col = scene.grid.origin(i)
        cells = [""] * (2 * channels)
        if valid.any():
            tokens = embedding.values[i][valid]
            cells = [f"{v:.6g}" for v in (*tokens.mean(0), *tokens.std(0))]
        writer.writerow([i, row, col, f"{valid.mean():.4g}", int(embedding.layers[i]), *cells])
    return out.getvalue().encode()


def as_geotiff(scene: NecScene, plane: str) -> bytes:
    """One pixel per token, one band per channel, NaN where invalid; north up. Raises InputError without a CRS."""
    from codec.scene.cog import encode_cog
    from codec.scene.tiling import mosaic, mosaic_georeference

    embedding = scene.embedding(plane)
    patch, rest = divmod(scene.grid.core_height, embedding.values.shape[1])
    if rest or patch * embedding.values.shape[2] != scene.grid.core_width:
        raise InputError(
            f"plane {plane!r} has no map: its tokens are no squares of whole pixels",
            path=scene.file.path,
            fix="decode to .npz or .csv",
        )
    values, valid = mosaic(scene.grid, patch, embedding.values, embedding.validity)
    image = np.where(valid[..., None], values, np.float32(np.nan)).transpose(2, 0, 1).astype(np.float32)
    names = [f"{plane}_{c}" for c in range(len(image))]
    where = mosaic_georeference(scene.georeference, patch)
    tags = {"SWATHPACK_PLANE": plane}
    if scene.decoded.refinement:
        tags["SWATHPACK_REFINEMENT"] = scene.decoded.refinement
    return encode_cog(image, where, float("nan"), names, tags, True, None, scene.file.path)
