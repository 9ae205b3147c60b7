"""The heads that ship: what each says, what it was trained on, and what it must not be used for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from codec.data.aerial import aerial_scenes
from codec.data.labelled import LabelledTiles, eurosat_scenes
from codec.data.token_tasks import cloud, landcover, water
from codec.errors import InputError
from codec.models.bands import BAND_LISTS


@dataclass(frozen=True, slots=True)
class Task:
    """One head before it is fitted."""

    name: str
    title: str
    level: str  # "tile" or "token"
    planes: tuple[str, ...]
    read: Callable[[Path, str, tuple[str, ...]], LabelledTiles]
    colours: dict[str, str]  # class → #rrggbb
    training_data: tuple[dict[str, str], ...]
    not_for: str
    made_for: str = "s2"  # key of BAND_LISTS: packages of these bands get the head


_NO_LICENCE = "not stated in the repository; used for training only"


def _entry(name: str, labels: str, licence: str) -> dict[str, str]:
    return {"name": name, "labels": labels, "licence": licence}


_EUROSAT = "EuroSAT multispectral, train split, 258 tiles of 401"
_TERRAMIND = "TerraMind example places 282D_485L, 38D_378R (level 1C and 2A)"
_FLOODS = "Sen1Floods11 chip Spain_7370579, columns 0-319"
_LAHINCH = "Sentinel-2 series of Lahinch, 2017-09-18 and 2017-09-21"

_AERIAL_COLOURS = (
    "#e8c547", "#8e9aa6", "#8b5a3c", "#f0d9a8", "#c0392b", "#6f7d3c", "#d35454", "#1b6b3a", "#5b5b5b", "#7ec850", "#2e86c1",
    "#b7602c", "#e59866", "#a04000", "#a569bd", "#555577", "#999933", "#4fa3d1", "#303030", "#dda0a0", "#2471a3",
)  # fmt: skip
_AERIAL_CLASSES = (
    "agricultural", "airplane", "baseballdiamond", "beach", "buildings", "chaparral", "denseresidential", "forest",
    "freeway", "golfcourse", "harbor", "intersection", "mediumresidential", "mobilehomepark", "overpass", "parkinglot",
    "river", "runway", "sparseresidential", "storagetanks", "tenniscourt",
)  # fmt: skip

TASKS: tuple[Task, ...] = (
    Task(
        "scene",
        "Land use of a whole tile, ten EuroSAT classes",
        "tile",
        ("tokens",),
        eurosat_scenes,
        {
            "AnnualCrop": "#e8c547",
            "Forest": "#1b6b3a",
            "HerbaceousVegetation": "#8bc34a",
            "Highway": "#7a7a7a",
            "Industrial": "#8e44ad",
            "Pasture": "#b5d99c",
            "PermanentCrop": "#d98e04",
            "Residential": "#c0392b",
            "River": "#4fa3d1",
            "SeaLake": "#1f4e9c",
        },
        (_entry(_EUROSAT, "class of the tile", "MIT"),),
        "tiles that mix several land uses (it names one for 640 m × 640 m at 10 m), other continents than Europe, "
        "statistics of areas",
    ),
    Task(
        "landcover",
        "Land cover of a token (8 × 8 pixels)",
        "token",
        ("tokens", "spectral"),
        landcover,
        {
            "water": "#1f4e9c",
            "trees": "#1b6b3a",
            "crops": "#e8c547",
            "built": "#8e44ad",
            "bare": "#c8b28a",
            "rangeland": "#b5d99c",
        },
        (
            _entry(_TERRAMIND, "land-use masks", "Apache-2.0"),
            _entry(
                _EUROSAT,
                "weak: the class of the tile stands for its tokens (crops, trees, rangeland, built, water); Highway "
                "and River left out",
                "MIT",
            ),
        ),
        "maps of places unlike its two places with masks and the European tiles whose class it took for every token; "
        "wetland, snow and cloud, which it cannot name; anything of consequence",
    ),
    Task(
        "water",
        "Open water in a token (8 × 8 pixels)",
        "token",
        ("tokens", "spectral"),
        water,
        {"dry": "#d9d2c5", "water": "#1f4e9c"},
        (
            _entry(_FLOODS, "water masks", _NO_LICENCE),
            _entry(_LAHINCH, "land and water of the masks; cloud left out", _NO_LICENCE),
            _entry(
                _EUROSAT,
                "weak, dry only: tokens of tiles of another class than River and SeaLake whose green and near infrared say "
                "dry too",
                "MIT",
            ),
        ),
        "warning of floods: all water it knows is one chip and one coast; under cloud, over snow and in shadow",
    ),
    Task(
        "cloud",
        "Cloud in a token (8 × 8 pixels)",
        "token",
        ("tokens", "spectral"),
        cloud,
        {"clear": "#3f6f4f", "cloud": "#f2f2f2"},
        (
            _entry(
                "38-Cloud, four Landsat 8 patches (red, green, blue, near infrared), reflectance divided by the sine of the "
                "sun's elevation from path, row and date",
                "cloud masks",
                _NO_LICENCE,
            ),
            _entry(_LAHINCH + ", and 2017-10-18, which is cloud all over", "cloud masks", _NO_LICENCE),
            _entry(_FLOODS, "clear where the water mask has a label", _NO_LICENCE),
            _entry(_TERRAMIND, "clear all over: looked at, no cloud found", "Apache-2.0"),
            _entry(
                _EUROSAT,
                "clear all over: the brightest tiles were looked at, the cirrus band is empty",
                "MIT",
            ),
        ),
        "telling cloud from snow, ice, salt or bright sand; thin cloud and haze; cloud shadow; deciding on board what is "
        "sent; its clouds are of three Landsat 8 scenes and one coast",
    ),
    Task(
        "aerial",
        "What an aerial picture shows, 21 UC Merced classes, of one tile (64 pixels of about 0.6 m)",
        "tile",
        ("tokens", "spectral"),
        aerial_scenes,
        dict(zip(_AERIAL_CLASSES, _AERIAL_COLOURS, strict=True)),
        (
            _entry(
                "UC Merced land use, train split, 419 pictures reduced to 128 pixels, four tiles each",
                "class of the picture stands for each of its tiles",
                "imagery: USGS, public domain (the data set's readme); the repository of this copy states none",
            ),
        ),
        "pictures of another ground sampling distance than about 0.6 m, other countries than the United States, finding "
        "objects; a tile may show a part of its picture that does not show the class",
        made_for="rgb",
    ),
)


def tasks_for(bands: Sequence[str], names: Iterable[str] | None = None) -> tuple[Task, ...]:
    """The heads made for packages of these bands, or those of `names`.

    Raises InputError where there is none, and for a name that is not among them.
    """
    found = tuple(task for task in TASKS if BAND_LISTS[task.made_for] == tuple(bands))
    if not found:
        raise InputError(
            "no head is made for the bands of this package",
            expected=" or ".join(sorted({task.made_for for task in TASKS})),
            found=", ".join(bands),
        )
    if names is None:
        return found
    known = {task.name: task for task in found}
    if unknown := sorted(set(names) - set(known)):
        raise InputError(
            f"there is no head {unknown[0]} for the bands of this package", expected=", ".join(known)
        )
    return tuple(task for task in found if task.name in set(names))
