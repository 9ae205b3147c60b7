"""The packages that arrays of a Zarr store name: found once per process, by codec id."""

from __future__ import annotations

from pathlib import Path

from codec.arrays.fitting import NOTES
from codec.arrays.quantised import ALPHAEARTH_NODATA
from codec.errors import IdentityError, InputError
from codec.package import Package, find, load

_loaded: dict[str, Package] = {}  # by codec id: packages that this process has named or found


def remember(package: Package) -> None:
    """Keep a loaded package for all arrays that name its codec id."""
    _loaded[package.codec_id.hex()] = package


def named(name: str, codec_id: str, folder: Path | None) -> Package:
    """The package of an array's configuration, by its codec id. Raises IdentityError saying how to get it."""
    package = _loaded.get(codec_id)
    if package is None:
        package = _find(name, codec_id, folder)
        _loaded[codec_id] = package
    return package


def _find(name: str, codec_id: str, folder: Path | None) -> Package:
    if folder is not None and folder.is_dir():
        package = load(folder)
        if package.codec_id.hex() != codec_id:
            raise another(name, codec_id, package)
        return package
    try:
        return find(codec_id=bytes.fromhex(codec_id))
    except IdentityError as error:
        raise IdentityError(
            f"this array is coded with the model package {name!r} (codec id {codec_id}), which is not here",
            found=error.found,
            fix=f"get the package {name!r} from whoever wrote the store and {error.fix}",
        ) from error


def check_meaning(codec_id: str, fill: float) -> None:
    """Refuse what a package that is at hand remembers of its integers and one array cannot say."""
    package = _loaded.get(codec_id)
    if package is None:
        return
    meaning = package.manifest.raw.get("notes", {}).get(NOTES, {}).get("quantisation")
    if meaning == "alphaearth" and fill != ALPHAEARTH_NODATA:
        raise InputError(
            "the holes of AlphaEarth integers are -128", expected=f"fill_value={ALPHAEARTH_NODATA}", found=fill,
            fix="create the array with this fill value",
        )  # fmt: skip
    if meaning == "tessera":
        raise InputError(
            f"package {package.name!r} codes TESSERA integers together with their scales, and this is one array",
            path=package.folder,
            fix="fit a package with quantisation='none', and store the scales as an array of their own",
        )


def another(name: str, codec_id: str, loaded: Package) -> IdentityError:
    """The package at hand has the name and another codec."""
    return IdentityError(
        f"package {name!r} has another codec than the array", path=loaded.folder, expected=f"codec id {codec_id}",
        found=loaded.codec_id.hex(), fix="use the package that the array was written with",
    )  # fmt: skip
