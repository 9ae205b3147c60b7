"""Several received files at once: read, with the package that each names, as symbols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codec.errors import IdentityError
from swathpack.streams import naming, read_input

if TYPE_CHECKING:
    from codec.bitstream.reader import NecFile
    from codec.package import Package
    from codec.pipeline.drift import PassDrift
    from codec.pipeline.received import ReceivedSymbols


def read_received(paths: Sequence[str], package: Package) -> list[ReceivedSymbols]:
    """Symbols of files that were coded with one package. Raises IdentityError, with the path, for any other."""
    found = []
    for path in paths:
        with naming(path):
            try:
                found.append(_symbols(package, _read(path)))
            except IdentityError as error:
                error.path = path  # of many files, which; the package is named in the text
                raise
    return found


def drifts(paths: Sequence[str], models: Sequence[Path] | None) -> Iterator[PassDrift]:
    """The drift of each codec that the files were coded with, in the order in which these first come."""
    from codec.pipeline.drift import pass_drift
    from codec.pipeline.nec_scene import package_for

    packages: dict[bytes, Package] = {}
    received: dict[bytes, list[ReceivedSymbols]] = {}
    for path in paths:
        with naming(path):
            file = _read(path)
            codec_id = file.header.codec_id
            if codec_id not in packages:
                packages[codec_id] = package_for(file, models)
            symbols = _symbols(packages[codec_id], file)
            group = received.setdefault(codec_id, [])
            if all(symbols.header.file_id != other.header.file_id for other in group):
                group.append(symbols)
    for codec_id, files in received.items():
        yield pass_drift(packages[codec_id], files)


def _read(path: str) -> NecFile:
    from codec.bitstream.reader import read_bytes

    return read_bytes(read_input(path), path=path)


def _symbols(package: Package, file: NecFile) -> ReceivedSymbols:
    from codec.pipeline.received import symbols_of

    return symbols_of(package, file.header, [record.data for record in file.scan.records])
