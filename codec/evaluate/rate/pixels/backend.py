"""The picture codecs of the rivals: `imagecodecs`, imported when a rival first codes, never before."""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata
from typing import Any

from codec.errors import BackendUnavailable

_CODECS = ("JPEG2K", "JPEGXL", "AVIF", "WEBP")


@lru_cache(maxsize=1)
def picture_codecs() -> Any:
    """The module `imagecodecs` with all four codecs in it. Raises BackendUnavailable naming the extra to install."""
    fix = "install the `bench` extra: pip install 'swathpack[bench]'"
    try:
        import imagecodecs
    except ImportError as error:
        raise BackendUnavailable("pixel rivals need imagecodecs", found=str(error), fix=fix) from error
    missing = [name for name in _CODECS if not getattr(imagecodecs, name).available]
    if missing:
        raise BackendUnavailable("this build of imagecodecs lacks picture codecs", found=missing, fix=fix)
    return imagecodecs


def backend_version() -> str:
    """For reports; does not import the module."""
    try:
        return f"imagecodecs {metadata.version('imagecodecs')}"
    except metadata.PackageNotFoundError:
        return "imagecodecs, not installed"
