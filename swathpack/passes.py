"""Several received files at once: read, with the package that each names, as symbols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codec.errors import IdentityError
from swathpack.streams import naming, read_input, say

if TYPE_CHECKING:
    from codec.bitstream.reader import NecFile
    from codec.package import Package
    from codec.pipeline.drift import PassDrift
    from codec.pipeline.received import ReceivedSymbols


@dataclass(frozen=True)
class OneFile:
    """What was received of one file, all its copies together."""

    path: str  # of the first copy
    symbols: ReceivedSymbols

    @property
    def name(self) -> str:
        return f"file {self.symbols.header.file_id.hex()}"

    @property
    def lacks(self) -> str:
        """What is not there, in words; empty: nothing."""
        parts, missing = [], self.symbols.missing
        if missing:
            n_layers, n_first = (sum(r.count for r in missing if r.layer <= most) for most in (15, 0))
            parts.append(f"{n_layers} layers of tiles are missing, {n_first} of them layer 0")
        if self.symbols.damaged:
            parts.append(f"{self.symbols.damaged} records are damaged")
        return " and ".join(parts)

    def say_conflicts(self) -> None:
        """A note where intact records of the file contradict each other."""
        if self.symbols.conflicts:
            n_layers = sum(tiles.count for tiles in self.symbols.conflicts)
            say(
                f"note: {self.name}: different records came for {n_layers} layers of tiles; those with the smaller SHA-256 "
                "are used, as decode does, the others left out"
            )


def read_received(paths: Sequence[str], package: Package) -> list[OneFile]:
    """Files that were coded with one package, by file id. Raises IdentityError, with the path, for a file of any other."""
    return [_decoded(package, given) for given in _read(paths)]


def drifts(paths: Sequence[str], models: Sequence[Path] | None) -> Iterator[tuple[PassDrift, list[OneFile]]]:
    """The drift of each codec that the files were coded with, by codec id; and these files, by file id."""
    from codec.pipeline.drift import pass_drift
    from codec.pipeline.nec_scene import package_for

    by_codec: dict[bytes, list[_Given]] = {}
    for given in _read(paths):
        by_codec.setdefault(given.file.header.codec_id, []).append(given)
    for _, same in sorted(by_codec.items()):
        with naming(same[0].path):
            package = package_for(same[0].file, models)
        files = [_decoded(package, given) for given in same]
        yield pass_drift(package, [file.symbols for file in files]), files


@dataclass(frozen=True)
class _Given:
    """One file, of all its copies."""

    path: str  # of the first copy
    file: NecFile


def _read(paths: Sequence[str]) -> list[_Given]:
    """Every file once, by file id: neither their order nor copies, whole or cut, make a difference."""
    from codec.bitstream.reader import read_bytes
    from codec.pipeline.received import merged

    copies: dict[bytes, list[NecFile]] = {}
    first: dict[bytes, str] = {}
    for path in paths:
        file = read_bytes(read_input(path), path=path)
        copies.setdefault(file.header.file_id, []).append(file)
        first.setdefault(file.header.file_id, path)
    found = []
    for file_id, files in sorted(copies.items()):
        with naming(first[file_id]):
            found.append(_Given(first[file_id], merged(files)))
    return found


def _decoded(package: Package, given: _Given) -> OneFile:
    from codec.pipeline.received import symbols_of

    file = given.file
    with naming(given.path):
        try:
            found = symbols_of(package, file.header, [record.data for record in file.scan.records])
        except IdentityError as error:
            error.path = given.path  # of many files, which; the package is named in the text
            raise
    return OneFile(given.path, found)
