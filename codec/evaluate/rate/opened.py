"""An encoder by name, with what the commands ask of it besides: its package, if it is one, and the bands it wants."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codec.evaluate.rate.encoders import PlaneEncoder, open_encoder
from codec.evaluate.rate.suite import _BANDS, _is_package
from codec.models.bands import BAND_LISTS
from codec.package import Package, load


@dataclass(frozen=True)
class Opened:
    """An encoder as a command uses it."""

    encoder: PlaneEncoder
    package: Package | None
    bands: tuple[str, ...]  # of the tiles it is shown

    @property
    def name(self) -> str:
        """As rows call it."""
        return Path(self.encoder.name).name


def opened(name: str, data: Path) -> Opened:
    """The encoder of this name (`codec.evaluate.rate.encoders`). `data`: folder of the collection."""
    package = load(name) if _is_package(name) else None
    bands = package.bands if package is not None else _BANDS.get(name, BAND_LISTS["s2"])
    return Opened(open_encoder(name, data=Path(data)), package, bands)
