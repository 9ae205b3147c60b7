"""The forms in which commands write maps and pictures: a GeoTIFF or a PNG, by the suffix."""

from __future__ import annotations

from pathlib import Path

from codec.errors import UsageError

FORMS = (".tif", ".tiff", ".png")


def form_of(output: str) -> str:
    """The form that the map's suffix asks for. Raises UsageError for any other."""
    suffix = Path(output).suffix.lower()
    if suffix not in FORMS:
        raise UsageError(
            f"the form of {output!r} is not known by its suffix",
            expected=" ".join(FORMS),
            found=suffix or "no suffix",
        )
    return suffix
