"""A `.nec` file as arrays: `codec.open`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from codec.bitstream import reader
from codec.bitstream.header import FileHeader
from codec.bitstream.reader import NecFile
from codec.errors import InputError
from codec.package import Package, default_roots, find, load
from codec.pipeline.contained import package_in
from codec.pipeline.decoding import Decoded, decode
from codec.scene import tiling
from codec.types import BoolArray, Embedding, FloatArray, Georeference, TileGrid


@dataclass(frozen=True)
class TokensMap:
    """Embeddings of a scene in its own order; the last row and column of cells may reach beyond the scene."""

    values: FloatArray  # rows×cols×C, 0 where not valid
    validity: BoolArray  # rows×cols
    georeference: Georeference  # of the cells


@dataclass(frozen=True)
class NecScene:
    """The embeddings of one scene, with where they lie and how much of them arrived.

    Planes are addressed by name; the first one answers where a single array is asked for (`validity`, `np.asarray`).
    """

    file: NecFile
    package: Package
    decoded: Decoded

    @property
    def header(self) -> FileHeader:
        return self.file.header

    @property
    def planes(self) -> tuple[str, ...]:
        """Names of the planes, in order."""
        return tuple(self.decoded.embeddings)

    def embedding(self, plane: str | None = None) -> Embedding:
        """One plane: values N×h×w×C float32, validity N×h×w, layers received N. The first plane by default."""
        name = self.planes[0] if plane is None else plane
        if name not in self.decoded.embeddings:
            raise InputError(
                f"the file has no plane {name!r}",
                path=self.file.path,
                expected=", ".join(self.planes),
                found=name,
            )
        return self.decoded.embeddings[name]

    @property
    def validity(self) -> BoolArray:
        """N×h×w of the first plane, True where measured and decoded."""
        return self.embedding().validity

    @property
    def georeference(self) -> Georeference:
        """Transform of the scene's pixel corners, and its CRS."""
        return self.header.georeference

    @property
    def grid(self) -> TileGrid:
        return self.header.grid

    @property
    def time(self) -> datetime | None:
        return self.header.time

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands that the scene had; empty where the file does not say."""
        return tuple(name for i, name in enumerate(self.package.bands) if self.header.band_mask >> i & 1)

    @property
    def is_complete(self) -> bool:
        """Sealed, undamaged, and every layer of every tile is there."""
        return self.file.is_whole and not (self.decoded.missing or self.decoded.damaged)

    @property
    def report(self) -> dict[str, Any]:
        """JSON-able: the file's state, and what of its records was used, missing, contested or damaged."""
        decoded = self.decoded

        def ranges(parts: Sequence[Any]) -> list[dict[str, Any]]:
            return [
                {"plane": self.planes[r.plane], "layer": r.layer, "first_tile": r.first, "tiles": r.count}
                for r in parts
            ]

        return {
            "file": self.file.report,
            "package": {"name": self.package.name, "codec_id": self.package.codec_id.hex()},
            "complete": self.is_complete,
            "records_used": decoded.intact,
            "missing": ranges(decoded.missing),
            "conflicts": ranges(decoded.conflicts),
            "damaged": [{"record": i, "kind": kind, "what": what} for i, kind, what in decoded.damaged],
            "waiting_for_tables": decoded.waiting,
        }

    def tokens_map(self, plane: str | None = None) -> TokensMap:
        """One plane as a map of the scene, one cell per patch, doubled parts taken once. The first plane by default.

        Raises InputError where the plane's tokens are not the package's patches (a pooled plane has no map).
        """
        embedding = self.embedding(plane)
        patch = self.package.tile.patch
        values, validity = tiling.mosaic(self.grid, patch, embedding.values, embedding.validity)
        return TokensMap(values, validity, tiling.mosaic_georeference(self.georeference, patch))

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        values = self.embedding().values
        if dtype is not None and np.dtype(dtype) != values.dtype:
            return values.astype(dtype)
        return values.copy() if copy else values


def open_nec(
    path: str | Path | BinaryIO,
    packages: Package | str | Path | Sequence[str | Path] | None = None,
    *,
    max_layers: int | None = None,
) -> NecScene:
    """Read and decode a `.nec` file ("-" for standard input).

    `packages`: a loaded package, or folders to look for the package that the file names in (packages or folders of
    packages), before the default places. Raises what reading and decoding raise, IdentityError, naming the id in hex
    and where was searched, when no package fits. Damage behind the header and lost records raise nothing: see `report`.
    """
    file = reader.read(path)
    package = packages if isinstance(packages, Package) else package_for(file, packages)
    records = [record.data for record in file.scan.records]
    return NecScene(file, package, decode(package, file.header, records, max_layers=max_layers))


def package_for(file: NecFile, packages: str | Path | Sequence[str | Path] | None) -> Package:
    """The package that the file names, looked for in `packages` before the default places; see `open_nec`."""
    if file.header.is_self_contained:
        return package_in(file.header, file.embedded, file.path)
    given = [packages] if isinstance(packages, (str, Path)) else list(packages or ())
    for place in given:
        if not Path(place).exists():
            return _named(given, file)
    roots = (*(Path(place) for place in given), *default_roots())
    if (
        file.header.embeds_tables
    ):  # its codec id is formed with tables of its own; the spaces name the package
        return find(space_id=file.header.planes[0].space_id, roots=roots)
    return find(codec_id=file.header.codec_id, roots=roots)


def _named(given: Sequence[str | Path], file: NecFile) -> Package:
    """A name instead of a folder."""
    if len(given) != 1:
        raise InputError(
            f"no such folder of packages: {', '.join(str(place) for place in given)}", path=file.path
        )
    return load(given[0])
