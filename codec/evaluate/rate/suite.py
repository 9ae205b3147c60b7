"""Suites: which methods meet which sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from codec.errors import InputError
from codec.evaluate.rate.embedding import embedding_methods
from codec.evaluate.rate.pixels import PIXEL_METHODS, pixel_methods
from codec.evaluate.rate.run import Entry
from codec.evaluate.rate.sets import HELD_BACK
from codec.evaluate.rate.targets import Evidence
from codec.models.bands import RGB_BANDS
from codec.package import Package

BOTH = ("tokens", "spectral")


@dataclass(frozen=True)
class Suite:
    """What is compared, sets held back for releases last. Methods that send the spectral plane beside the tokens are listed
    apart.
    """

    sets: tuple[str, ...]
    embedding: tuple[str, ...]
    with_spectral: tuple[str, ...]
    pixels: tuple[str, ...]


_EMBEDDING = (
    "float32", "float16", "uqe", "per-channel int", "pca int8 zstd", "alphaearth-style", "pq", "opq", "fsq",
    "per-channel prior", "klt", "dct", "base", "base prefixes",
    "mean float16", "mean int", "mean pca int8", "mean alphaearth-style", "mean opq", "base mean",
)  # fmt: skip
_SHIPPED = ("shipped", "shipped prefixes", "shipped mean")
# The strongest of each kind; `full` has every other rival and costs hours more.
_PIXELS = (
    "klt-jpeg2000-scene", "klt-jpeg2000-tile", "klt-avif-scene", "klt-avif-tile", "jpegxl-tile", "webp-tile",
    "klt-jpeg2000-scene-rgb", "klt-avif-tile-rgb",
)  # fmt: skip
SUITES = {
    "default": Suite(
        ("eurosat", "water", "landuse", "sky", *HELD_BACK),
        _EMBEDDING,
        ("per-channel prior", "base", *_SHIPPED),
        _PIXELS,
    ),
    "full": Suite(
        ("eurosat", "water", "landuse", "sky", *HELD_BACK),
        _EMBEDDING,
        ("per-channel prior", "klt", "dct", "base", *_SHIPPED),
        PIXEL_METHODS,
    ),
    "rgb": Suite(("ucmerced", *HELD_BACK), _EMBEDDING, ("per-channel prior", "base", *_SHIPPED), _PIXELS[:6]),
    "fast": Suite(("eurosat", "water"), ("uqe", "per-channel prior", "base"), (), ("klt-jpeg2000-scene",)),
}


def chosen(name: str, sets: Sequence[str] = (), *, release: bool = False) -> Suite:
    """A suite by name; sets held back only in a release, and then last.

    Raises InputError for a name that there is not, and for a set of `sets` that waits for a release.
    """
    if name not in SUITES:
        raise InputError(f"there is no suite {name!r}", expected=", ".join(SUITES))
    if release:
        return SUITES[name]
    if waiting := [one for one in sets if one in HELD_BACK]:
        raise InputError(
            f"set {waiting[0]!r} takes no part in any choice and is reported with a release",
            fix="add --release if this is one, or leave the set out",
        )
    return replace(SUITES[name], sets=tuple(one for one in SUITES[name].sets if one not in HELD_BACK))


def entries(suite: Suite, package: Package | None, names: Sequence[str] = ()) -> list[Entry]:
    """The suite's methods, or those of `names`; what a package does by itself only where there is one.

    Raises InputError for a name that the suite does not have.
    """
    found = [Entry(method) for method in embedding_methods(suite.embedding, package)]
    mine = [name for name in suite.with_spectral if package is not None or name not in _SHIPPED]
    found += [Entry(method, BOTH) for method in embedding_methods(mine, package)]
    found += [Entry(method) for method in pixel_methods(suite.pixels)]
    known = {entry.name: entry for entry in found}
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"the suite has no method {unknown[0]!r}", expected=", ".join(known))
    return [known[name] for name in names] if names else found


def method_names(suite: Suite) -> tuple[str, ...]:
    """Names of all methods, as rows and `Entry` call them."""
    return (*suite.embedding, *(f"{name} + spectral" for name in suite.with_spectral), *suite.pixels)


def sendable(suite: Suite, evidence: Evidence) -> Suite:
    """Without rivals that send colour alone where a set has no colour, or nothing else."""
    tiles = evidence.tiles
    there = {band for i, band in enumerate(tiles.bands) if tiles.present[:, i].any()}
    if there > set(RGB_BANDS):
        return suite
    return replace(suite, pixels=tuple(name for name in suite.pixels if not name.endswith("-rgb")))
