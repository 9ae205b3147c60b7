"""Which band of which file is which band of the sensor: by name, by an explicit mapping, or refused.

Positions are never guessed. The one thing taken from a file without names is the colour interpretation red,
green, blue, because there the file itself says which band is which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from codec.errors import InputError, UsageError
from codec.scene.names import find, match, matches_within
from codec.scene.product_names import ProductName, read_product_name
from codec.scene.sensors import SENSORS, Band, Sensor
from codec.scene.sources import Source

_RGB = ("red", "green", "blue")


def choose_sensor(sources: Sequence[Source], paths: Sequence[Path]) -> tuple[str, ProductName, str]:
    """Sensor name, what the product name said, and the reason, for the notes; refuses when nothing tells."""
    product = read_products(paths, sources)
    if product.sensor:
        return product.sensor, product, f"the name {product.source} says {product.sensor}"
    colours = [source.colour for source in sources if not source.alpha]
    if (
        len({source.name for source in sources}) == 1
        and colours == list(_RGB)
        and sources[0].dtype == "uint8"
    ):
        return "rgb", product, "three 8-bit bands with colour interpretation red, green, blue"
    raise InputError(
        "nothing tells which sensor this is from",
        path=paths[0],
        fix=f"name it: {', '.join(SENSORS)}",
    )


def read_products(paths: Sequence[Path], sources: Sequence[Source]) -> ProductName:
    """The product name found in the files' names, else in the folders above; two that differ are refused."""
    for texts in ([source.file for source in sources], [str(path) for path in paths]):
        named = [name for name in map(read_product_name, texts) if name.source]
        said = {(name.sensor, name.scaling, name.time) for name in named}
        if len(said) > 1:
            raise InputError(
                "the files belong to different products",
                found=" and ".join(sorted({name.source for name in named})[:2]),
                fix="give the bands of one product",
            )
        if named and named[0].sensor:
            return named[0]
    return next((name for name in named if name.source), ProductName())


def band_place(text: str) -> tuple[str, str]:
    """NAME=PLACE of a command line as an entry of `resolve`'s mapping. Raises UsageError."""
    name, separator, place = text.partition("=")
    if not (separator and name and place):
        raise UsageError(f"--band {text!r} is not NAME=PLACE", fix="write e.g. --band red=3")
    return name, place


def without_alpha(
    sensor: Sensor,
    sources: Sequence[Source],
    mapping: Mapping[str, str] | None,
    named: Callable[[Source], bool] | None = None,
) -> tuple[list[Source], list[str]]:
    """The sources but for alpha bands, which are masks; and notes.

    GDAL calls the fourth of four 8-bit bands alpha where nobody said otherwise, near infrared too. One that `mapping` asks
    for, or whose words name a band of the sensor, is a measurement, and masks nothing. `named` decides the latter for
    sensors without a list of bands.
    """
    named = named or (lambda one: any(len(matches_within(sensor, word)) == 1 for word in one.words))
    alphas = [source for source in sources if source.alpha]
    if not alphas:
        return list(sources), []
    asked = {id(place_of(sources, text, place)) for text, place in (mapping or {}).items()}
    measured = [source for source in alphas if id(source) in asked or (mapping is None and named(source))]
    unmasked = {source.name for source in measured}
    notes = [
        f"band {source.index} of {source.file} is a mask by its colour interpretation (alpha); "
        "if it was measured, give the mapping of bands to files"
        for source in alphas
        if source not in measured and source.dtype == "uint8" and len(sensor.bands) != 3
    ]
    kept = [source for source in sources if not source.alpha or source in measured]
    return [
        replace(s, has_mask=s.has_mask and not s.mask_is_alpha, alpha=False) if s.name in unmasked else s
        for s in kept
    ], notes


def resolve(
    sensor: Sensor, sources: Sequence[Source], mapping: Mapping[str, str] | None, *, strict: bool
) -> tuple[dict[str, Source], list[str]]:
    """Canonical band name → source, in the sensor's order, and notes.

    `mapping` gives band name (any spelling) → place: a band number of the only file (`"3"`), a file
    (`"x.tif"`), or a band of a file (`"x.tif#3"`). Without it the files must name their bands. `strict`: a
    file that names no band of the sensor is an error, not a note.
    """
    if mapping is not None:
        return _explicit(sensor, sources, mapping), []
    known = ", ".join(f"{b.name} ({b.native})" for b in sensor.bands)
    # In a folder of bands the colours of a picture (the TCI of Sentinel-2) are no measurements.
    trust_colours = len({source.name for source in sources}) == 1
    found: dict[str, Source] = {}
    notes: list[str] = []
    unused: list[str] = []
    for source in sources:
        band, said = _identify(sensor, source, trust_colours)
        notes += said
        if band is None:
            unused.append(source.file if source.count == 1 else f"{source.file} band {source.index}")
            continue
        other = found.get(band.name)
        if other is None or source.pixel_m < other.pixel_m:
            found[band.name] = source
        elif source.pixel_m == other.pixel_m:
            both = f"{other.file}#{other.index} and {source.file}#{source.index}"
            raise InputError(
                f"two rasters are band {band.name}: {both}", fix="give the mapping of bands to files"
            )
    if not found:
        raise InputError(
            f"none of {len(sources)} bands has a name that {sensor.name} knows; positions are not guessed",
            path=sources[0].file,
            fix=f"give the order of its bands; known are {known}",
        )
    if unused and strict and any(source.count == 1 and source.file in unused for source in sources):
        raise InputError(
            f"no band of {sensor.name} is named by this file",
            path=unused[0],
            fix="give the mapping of bands to files",
        )
    if unused:
        shown = ", ".join(unused[:4]) + (f" and {len(unused) - 4} more" if len(unused) > 4 else "")
        notes.append(f"not used, for no band of {sensor.name} is named by it: {shown}")
    return {name: found[name] for name in sensor.band_names if name in found}, notes


def _explicit(sensor: Sensor, sources: Sequence[Source], mapping: Mapping[str, str]) -> dict[str, Source]:
    chosen: dict[str, Source] = {}
    for text, place in mapping.items():
        band = find(sensor, text)
        if band.name in chosen:
            raise InputError(f"band {band.name} is given twice", found=text, fix="name each band once")
        chosen[band.name] = place_of(sources, text, place)
    if not chosen:
        raise InputError("the mapping of bands is empty", fix="name at least one band")
    return {name: chosen[name] for name in sensor.band_names if name in chosen}


def place_of(sources: Sequence[Source], text: str, place: str) -> Source:
    """The source that a mapping's PLACE means."""
    files = {source.name for source in sources}
    if place.isdecimal():
        if len(files) > 1:
            raise InputError(
                f"band {text} is given as number {place}, but there are {len(files)} files",
                fix="write file#number",
            )
        file, number = None, int(place)
    else:
        file, _, tail = place.partition("#")
        number = int(tail) if tail.isdecimal() else 1
    for source in sources:
        named = file is None or file in (source.name, source.file) or Path(file).name == source.file
        if named and source.index == number:
            return source
    there = ", ".join(dict.fromkeys(f"{s.file} (1–{s.count})" for s in sources))
    raise InputError(f"band {text} is said to be {place}, which is not there", fix=f"there are {there}")


def _identify(sensor: Sensor, source: Source, trust_colours: bool) -> tuple[Band | None, list[str]]:
    """The band a source names. Words go before numbers: a number may count from 0, or skip B8A."""
    named: dict[str, tuple[Band, str]] = {}
    for word in source.words:
        bands = matches_within(sensor, word)
        if len(bands) == 1:
            named.setdefault(bands[0].name, (bands[0], word))
        elif len(bands) > 1 and not named:
            raise InputError(
                f"'{word}' names more than one band of {sensor.name}: {', '.join(b.name for b in bands)}",
                path=source.file,
                fix="give the mapping of bands to files",
            )
    if len(named) > 1:
        said = " and ".join(f"{name} ('{word}')" for name, (_, word) in named.items())
        raise InputError(
            f"band {source.index} names itself {said}",
            path=source.file,
            fix="give the mapping of bands to files",
        )
    numbered = [
        band for text in source.numbers for band in [match(sensor, f"B{text}") or match(sensor, text)] if band
    ]
    if named:
        band, word = next(iter(named.values()))
        if any(other.name != band.name for other in numbered):
            other = next(other for other in numbered if other.name != band.name)
            return band, [
                f"{source.file}: an attribute numbers it {source.numbers[0]} ({other.name}), "
                f"its name '{word}' says {band.name}; the name counts"
            ]
        return band, []
    if numbered:
        return numbered[0], []
    if source.colour and trust_colours:
        return match(sensor, source.colour), []
    return None, []
