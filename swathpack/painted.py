"""A painted preview as a file: a GeoTIFF or a picture, each of which says that it is synthetic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from codec.errors import UsageError

if TYPE_CHECKING:
    from codec.pipeline import NecScene
    from codec.pipeline.preview import Preview

FORMS = (".tif", ".tiff", ".png")


def form_of(output: str) -> str:
    """The form that the output's suffix asks for. Raises UsageError for any other."""
    suffix = Path(output).suffix.lower()
    if suffix not in FORMS:
        raise UsageError(
            f"the form of {output!r} is not known by its suffix",
            expected=" ".join(FORMS),
            found=suffix or "no suffix",
        )
    return suffix


def render(scene: NecScene, preview: Preview, form: str) -> bytes:
    """The bytes of the file. Raises InputError where a GeoTIFF lacks a CRS."""
    from ground.preview import as_cog, as_png, paint_scene

    painted = paint_scene(preview, scene.header, scene.package, scene.decoded.embeddings)
    if form == ".png":
        return as_png(painted)
    return as_cog(painted, scene.header, scene.file.path)
