"""A small package and a scene of 5×6 tiles coded with it, its records short, on disk; and files with less of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec.bitstream.reader import read_bytes
from codec.bitstream.writer import to_bytes
from codec.package import Package
from codec.types import Record
from tests.package.small_package import build_small
from tests.pipeline import small_scene


@dataclass(frozen=True)
class Sample:
    """A coded scene, where it lies and where its package lies."""

    package: Package
    models: Path  # folder that holds the package
    path: Path
    data: bytes

    @property
    def records(self) -> tuple[Record, ...]:
        """Coefficient records in file order."""
        return read_bytes(self.data).records

    def write(self, name: str, data: bytes) -> Path:
        """Another file beside the sample."""
        path = self.path.with_name(name)
        path.write_bytes(data)
        return path

    def without(self, name: str, *, plane: int, layer: int, tile: int) -> Path:
        """The file without the records that hold one layer of one tile."""
        kept = [
            r
            for r in self.records
            if (r.header.plane, r.header.layer) != (plane, layer)
            or not r.header.first_tile <= tile < r.header.first_tile + r.header.tile_count
        ]
        assert len(kept) < len(self.records)
        return self.write(name, to_bytes(read_bytes(self.data).header, kept))


def make_sample(folder: Path) -> Sample:
    """Two planes, some tokens and one whole tile masked; records of about 120 bytes, so that there are many."""
    package = build_small(folder / "models" / "small")
    validity = small_scene.all_valid()
    validity[8, :4] = False
    validity[13] = False
    latents = small_scene.latents(package, small_scene.planes(), validity)
    data = small_scene.encode_scene(package, latents, target_bytes=120, source_name="sample.tif")
    path = folder / "sample.nec"
    path.write_bytes(data)
    return Sample(package, folder / "models", path, data)


def as_nan(values: np.ndarray, validity: np.ndarray) -> np.ndarray:
    """The map of `codec.open` as the back end shows it: NaN where it is not valid."""
    return np.where(validity[..., None], values, np.float32(np.nan))
