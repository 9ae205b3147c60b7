"""An encoder by name, with what the commands ask of it besides: its package, if it is one, and the bands it wants."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codec.evaluate.rate.encoders import OPENERS, PlaneEncoder, open_encoder
from codec.models.bands import BAND_LISTS
from codec.models.galileo import TEACHER_BANDS
from codec.package import Package, load

# What an encoder without a package sees; others get all of Sentinel-2. Pixel rivals send no band that nobody looks at.
_BANDS = {"galileo_nano": TEACHER_BANDS}


@dataclass(frozen=True)
class Opened:
    """An encoder as a command uses it."""

    given: str  # what the command was given
    encoder: PlaneEncoder
    package: Package | None
    bands: tuple[str, ...]  # of the tiles it is shown
    tied: bool  # to these bands; others see whatever there is

    @property
    def name(self) -> str:
        """As rows call it."""
        return label_of(self.given)


def label_of(name: str) -> str:
    """What rows call an encoder: no two that a command tells apart share it, but for folders of one name."""
    path = Path(name)
    if any(mark in name for mark in "@#:"):
        return name.replace("/", "_")
    if path.suffix == ".safetensors":
        return path.parent.name if path.stem == "encoder" else path.stem
    return path.name


def opened(name: str, data: Path) -> Opened:
    """The encoder of this name (`codec.evaluate.rate.encoders`). `data`: folder of the collection."""
    package = load(name) if _is_package(name) else None
    bands = package.bands if package is not None else _BANDS.get(name, BAND_LISTS["s2"])
    tied = package is not None or name in _BANDS
    return Opened(name, open_encoder(name, data=Path(data)), package, bands, tied)


def _is_package(encoder: str) -> bool:
    """Anything but bare weights, a callable and the encoders that have no codec; a package that cannot be loaded is an
    error, never a bare encoder.
    """
    kind = encoder.partition("#")[0].partition("@")[0]
    bare = encoder.endswith(".safetensors") or (":" in encoder and not Path(encoder).exists())
    return not bare and kind not in OPENERS
