"""A painted preview as a file: a GeoTIFF or a picture, each of which says that it is synthetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codec.pipeline import NecScene
    from codec.pipeline.preview import Preview


def render(scene: NecScene, preview: Preview, form: str) -> bytes:
    """The bytes of the file. Raises InputError where a GeoTIFF lacks a CRS."""
    from ground.preview import as_cog, as_png, paint_scene

    painted = paint_scene(preview, scene.header, scene.package, scene.decoded.embeddings)
    if form == ".png":
        return as_png(painted)
    return as_cog(painted, scene.header, scene.file.path)
