"""Suites: which methods meet which sets, and how long that takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from codec.errors import InputError, InternalError
from codec.evaluate.rate.embedding import embedding_methods
from codec.evaluate.rate.encoders import OPENERS, open_encoder
from codec.evaluate.rate.pixels import PIXEL_METHODS, pixel_methods
from codec.evaluate.rate.run import Entry, Run, Setting
from codec.evaluate.rate.sets import HELD_BACK, read
from codec.evaluate.rate.store import Scored
from codec.evaluate.rate.targets import Evidence
from codec.models.bands import BAND_LISTS
from codec.models.galileo import TEACHER_BANDS
from codec.package import Package, load

BOTH = ("tokens", "spectral")
# What an encoder without a package sees; others get all of Sentinel-2. Pixel rivals send no band that nobody looks at.
_BANDS = {"galileo_nano": TEACHER_BANDS}


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


@dataclass(frozen=True)
class Outcome:
    """What a run gave."""

    sets: Mapping[str, Evidence]
    scored: Mapping[tuple[str, str], Scored]  # by set and method
    refused: tuple[str, ...]  # set, method and why


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


def run(
    suite: Suite,
    encoder: str,
    data: Path,
    out: Path,
    setting: Setting,
    *,
    sets: Sequence[str] = (),
    methods: Sequence[str] = (),
) -> Outcome:
    """Every method on every set; what is on disk already is not computed again. Progress goes to stderr.

    `encoder`: a package, a file or another name of `codec.evaluate.rate.encoders`. A method whose answers the audit refuses
    is listed, and the rest goes on: a suite runs for an hour.
    """
    package = load(encoder) if _is_package(encoder) else None
    bands = package.bands if package is not None else _BANDS.get(encoder, BAND_LISTS["s2"])
    evidence = read(suite.sets, data, bands)  # all of them: codecs of one set are fitted on others
    if unknown := [name for name in sets if name not in evidence]:
        raise InputError(f"the suite has no set {unknown[0]!r}", expected=", ".join(evidence))
    found = Run(open_encoder(encoder, data=data), evidence, out, setting)
    evidence = {name: of for name, of in evidence.items() if not sets or name in sets}
    wanted = entries(suite, package, methods)
    scored: dict[tuple[str, str], Scored] = {}
    refused: list[str] = []
    began = time.monotonic()
    for number, (name, entry) in enumerate((name, entry) for name in evidence for entry in wanted):
        try:
            scored[name, entry.name] = found.score(name, entry)
        except InternalError as error:
            refused.append(f"{name}: {error}")
        total = len(evidence) * len(wanted)
        left = (time.monotonic() - began) / (number + 1) * (total - number - 1)
        print(f"{number + 1}/{total} {name}, {entry.name}; {left:.0f} s left", file=sys.stderr, flush=True)
    return Outcome(evidence, scored, tuple(refused))


def _is_package(encoder: str) -> bool:
    """Anything but bare weights, a callable and the encoders that have no codec; a package that cannot be loaded is an
    error, never a bare encoder.
    """
    kind = encoder.partition("#")[0].partition("@")[0]
    bare = encoder.endswith(".safetensors") or (":" in encoder and not Path(encoder).exists())
    return not bare and kind not in OPENERS
