"""The heads that ship: what each says, what it was trained on, and what it must not be used for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codec.data.labelled import LabelledTiles, eurosat_scenes, landcover, water


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


_TERRAMIND = {
    "name": "TerraMind example places 282D_485L, 38D_378R (level 1C and 2A)",
    "licence": "Apache-2.0",
}
_EUROSAT = {"name": "EuroSAT multispectral, 258 tiles of 401", "licence": "MIT"}
_FLOODS = {
    "name": "Sen1Floods11 chip Spain_7370579, columns 0-319",
    "licence": "not stated in the repository",
}
_LAHINCH = {"name": "Sentinel-2 series of Lahinch, two dates", "licence": "not stated in the repository"}

# No cloud head: fitted on the four patches and two dates at hand it showed no skill on the held-out scenes
# (mean IoU below 50 %, about what calling everything cloud gives). It needs more clouds, not another head.
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
        (_EUROSAT,),
        "tiles that mix several land uses (it names one for 640 m × 640 m at 10 m), other continents than Europe, "
        "statistics of areas; its probabilities are not calibrated",
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
            "bare": "#c8b28a",
            "rangeland": "#b5d99c",
        },
        (_TERRAMIND,),
        "maps of places unlike its two training places, which are all it knows; built-up land, wetland, snow and "
        "cloud, which it cannot name; anything of consequence",
    ),
    Task(
        "water",
        "Open water in a token (8 × 8 pixels)",
        "token",
        ("tokens", "spectral"),
        water,
        {"dry": "#d9d2c5", "water": "#1f4e9c"},
        (_FLOODS, _LAHINCH),
        "warning of floods: it knows one flood and one coast; under cloud, over snow and in shadow",
    ),
)
