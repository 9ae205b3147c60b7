"""Sentinel-2 products as ESA ships them: a `.SAFE` folder, or the same as a zip, and what their XML says."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree

from codec.errors import InputError
from codec.scene.product_names import baseline_scaling

_XML_LIMIT_BYTES = 32 << 20  # the largest met is 0.5 MB; nothing larger is parsed
_METADATA = re.compile(r"(?:^|/)MTD_MSIL(?:1C|2A)\.xml$")
_IMAGE = re.compile(r"/IMG_DATA/(?:R\d+m/)?[^/]*_(B\d{2}|B8A)(?:_(\d+)m)?\.(?:jp2|tiff?)$")
# `band_id` and `bandId` of the metadata count in this order.
_BAND_IDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")


@dataclass(frozen=True, slots=True)
class SafeProduct:
    """What the product says of itself. `gain` and `offsets` give reflectance = DN · gain + offset."""

    title: str
    sensor: str
    time: datetime | None
    gain: float
    offsets: Mapping[str, float]  # by native band name; every band the level has
    offset_reason: str
    images: Mapping[str, str]  # native band name → what GDAL opens; the finest of each band


def is_safe(path: Path) -> bool:
    """A `.SAFE` folder (or one that looks like it inside), or a zip that holds one."""
    if path.is_dir():
        return path.suffix.upper() == ".SAFE" or any(path.glob("MTD_MSIL*.xml")) or len(_nested(path)) == 1
    if path.suffix.lower() != ".zip" or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(_METADATA.search(name) for name in archive.namelist())
    except zipfile.BadZipFile as error:
        raise InputError("the zip is damaged or cut", path=path, fix="fetch it again") from error


def _nested(path: Path) -> list[Path]:
    return sorted(child for child in path.glob("*.SAFE") if child.is_dir())


def read_safe(path: Path) -> SafeProduct:
    """Read the product's metadata and find its images. No pixel is read.

    Raises InputError when the metadata is missing or unreadable, or when there is no image file.
    """
    if path.is_dir():
        root = path if any(path.glob("MTD_MSIL*.xml")) else next(iter(_nested(path)), path)
        names = {p.relative_to(root).as_posix(): str(p) for p in sorted(root.rglob("*")) if p.is_file()}
        metadata = next((name for name in names if _METADATA.search(name)), None)
        if metadata is None:
            raise InputError(
                "no MTD_MSIL1C.xml or MTD_MSIL2A.xml in it", path=path, fix="give the product's folder"
            )
        with open(names[metadata], "rb") as file:
            text = file.read(_XML_LIMIT_BYTES + 1)
    else:
        with zipfile.ZipFile(path) as archive:
            inner = sorted(archive.namelist())
            metadata = next(name for name in inner if _METADATA.search(name))
            prefix = metadata.rpartition("/")[0]
            names = {
                name.removeprefix(prefix).lstrip("/"): f"/vsizip/{path.resolve()}/{name}" for name in inner
            }
            try:
                with archive.open(metadata) as member:
                    text = member.read(_XML_LIMIT_BYTES + 1)
            except (zipfile.BadZipFile, OSError, EOFError) as error:
                raise InputError("the zip is damaged or cut", path=path, fix="fetch it again") from error
    return _parse(text, path, metadata, _images(names))


def _images(names: Mapping[str, str]) -> dict[str, str]:
    """The finest image of each band: level 2A repeats the bands at 10, 20 and 60 m."""
    best: dict[str, tuple[int, str]] = {}
    for name, place in names.items():
        found = _IMAGE.search("/" + name)
        if found:
            candidate = (int(found[2] or 0), place)
            best[found[1]] = min(best.get(found[1], candidate), candidate)
    return {native: place for native, (_, place) in sorted(best.items())}


def _parse(text: bytes, path: Path, metadata: str, images: Mapping[str, str]) -> SafeProduct:
    if len(text) > _XML_LIMIT_BYTES:
        raise InputError(
            f"{metadata} is larger than {_XML_LIMIT_BYTES >> 20} MiB", path=path, fix="fetch it again"
        )
    if b"<!DOCTYPE" in text:  # the format has none; entity tricks begin here
        raise InputError(f"{metadata} has a document type declaration", path=path, fix="fetch it again")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(
            f"{metadata} is not well-formed: {error}", path=path, fix="fetch it again"
        ) from error

    def first(*tags: str) -> str:
        for tag in tags:
            element = root.find(f".//{tag}")
            if element is not None and element.text:
                return element.text.strip()
        return ""

    if not images:
        raise InputError(
            "the product holds metadata but no image files", path=path, fix="fetch the whole product"
        )
    level = "l2a" if "2A" in first("PROCESSING_LEVEL", "PRODUCT_TYPE") else "l1c"
    try:
        quantification = float(first("BOA_QUANTIFICATION_VALUE", "QUANTIFICATION_VALUE"))
        gain = 1.0 / quantification
        added = {
            _BAND_IDS[int(element.get("band_id", "-1"))]: float(element.text or "")
            for tag in ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
            for element in root.iter(tag)
        }
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise InputError(
            f"{metadata} has no usable reflectance scale", path=path, fix="fetch it again"
        ) from error
    baseline = first("PROCESSING_BASELINE")
    if added:
        reason = (
            f"{metadata} lists additive offsets ({', '.join(sorted({f'{v:g}' for v in added.values()}))})"
        )
    elif re.fullmatch(r"\d\d\.\d\d", baseline):
        old = baseline_scaling(int(baseline.replace(".", ""))) == "no-offset"
        added = dict.fromkeys(_BAND_IDS, 0.0 if old else -1000.0)
        reason = f"{metadata} says processing baseline {baseline}"
    else:
        raise InputError(
            f"{metadata} tells neither offsets nor the processing baseline",
            path=path,
            fix="give the scaling: no-offset or plus1000",
        )
    return SafeProduct(
        title=first("PRODUCT_URI") or path.name,
        sensor=f"sentinel2-{level}",
        time=_time(first("PRODUCT_START_TIME", "DATATAKE_SENSING_START")),
        gain=gain,
        offsets={native: added.get(native, 0.0) * gain for native in _BAND_IDS},
        offset_reason=reason,
        images=images,
    )


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or timezone.utc).astimezone(timezone.utc)
