"""A `.nec` file that is opened once and read by pieces: its header and the places of its records stay, bytes do not."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from codec.arrays.tiles import IntArray, RecordPlaces, TileDecoder, TilesDecoded
from codec.bitstream import reader
from codec.bitstream import record as rec
from codec.bitstream.header import FileHeader
from codec.bitstream.reader import NecFile
from codec.errors import Corrupt, FormatError, InputError
from codec.package import Package
from codec.pipeline.decoding import DEFAULT_MAX_BYTES
from codec.pipeline.nec_scene import package_for


@dataclass(frozen=True)
class _Opened:
    decoder: TileDecoder
    places: RecordPlaces


class LazyFile:
    """Random access to the tiles of one file.

    Travels between processes as path, identity and package folder: whoever unpickles it scans the file again at the
    first read. A file given as bytes or stream travels as its bytes.
    """

    def __init__(
        self,
        source: str | Path | bytes | BinaryIO,
        package: Any = None,
        *,
        max_layers: int | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        """`package` as `codec.open` takes it; `max_layers` reads only the first layers; `max_bytes` bounds decoded arrays.

        Raises what reading a header and finding a package raise.
        """
        if isinstance(source, (str, os.PathLike)):
            if "://" in str(source):
                raise InputError(
                    "only local files and open streams can be read",
                    path=source,
                    fix="open the stream first, e.g. with fsspec, and pass it",
                )
            self._source: str | bytes = str(Path(source).absolute())
        else:
            self._source = bytes(source) if isinstance(source, (bytes, memoryview)) else source.read()
        if max_layers is not None and max_layers < 1:
            raise InputError("at least layer 0 must be read", expected="max_layers ≥ 1", found=max_layers)
        self.max_layers = max_layers
        self._max_bytes = max_bytes
        file = self._read()
        found = package if isinstance(package, Package) else package_for(file, package)
        self._folder = found.folder
        self._identity = (file.header.encode(), file.size)
        self._opened: _Opened | None = _opened(file, found)
        self.report = file.report

    @property
    def name(self) -> str:
        """Path, for messages."""
        return self._source if isinstance(self._source, str) else "bytes in memory"

    @property
    def header(self) -> FileHeader:
        return self._ready().decoder.header

    @property
    def package(self) -> Package:
        return self._ready().decoder.package

    @property
    def decoder(self) -> TileDecoder:
        return self._ready().decoder

    @property
    def places(self) -> RecordPlaces:
        return self._ready().places

    def read(self, plane: int, tiles: IntArray, *, max_layers: int | None = None) -> TilesDecoded:
        """Symbols of tiles (ascending) of a plane; only the records that touch them are read and decoded.

        Records whose payload is refused leave their tiles without the layer, and a warning says so. Raises Corrupt when
        the file is not what it was when it was opened.
        """
        decoder, places = self.decoder, self.places
        limit = self.max_layers if max_layers is None else max_layers
        chosen = places.touching(decoder.package.chain(plane), tiles, limit)
        records = []
        with self._stream() as stream:
            for number in chosen:
                offset, size = int(places.offset[number]), int(places.size[number])
                stream.seek(offset)
                try:
                    records.append(rec.parse(stream.read(size), offset=offset, path=self.name))
                except FormatError as error:
                    raise _changed(self.name) from error
        found = decoder.symbols(plane, tiles, records, max_bytes=self._max_bytes)
        if found.damaged:
            first = found.damaged[0]
            warnings.warn(
                f"{self.name}: {len(found.damaged)} records of plane {plane} are refused, their tiles lack a layer; "
                f"the first: {first.what}",
                stacklevel=2,
            )
        return found

    def _stream(self) -> BinaryIO:
        if isinstance(self._source, bytes):
            return io.BytesIO(self._source)
        try:
            return open(self._source, "rb")
        except OSError as error:
            raise InputError(
                f"cannot be read: {error.strerror}",
                path=self._source,
                fix="the file must stay where it was opened",
            ) from error

    def _read(self) -> NecFile:
        if isinstance(self._source, bytes):
            return reader.read_bytes(self._source, self.name)
        return reader.read(self._source)

    def _ready(self) -> _Opened:
        if self._opened is None:
            if isinstance(self._source, str):
                self._opened = _open_again(self._source, self._identity, self._folder)
            else:
                file = self._read()
                self._opened = _opened(file, package_for(file, self._folder))
        return self._opened

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}  # the core's tables do not travel


def _opened(file: NecFile, package: Package) -> _Opened:
    if file.embedded is not None and file.embedded.disagree:
        raise Corrupt("the chunks of the embedded tables disagree on their number", path=file.path)
    decoder = TileDecoder.of(package, file.header, None if file.embedded is None else file.embedded.data)
    places = RecordPlaces.of(
        [r.header for r in file.records],
        [r.offset for r in file.records],
        [len(r.data) for r in file.records],
    )
    return _Opened(decoder, places)


@lru_cache(maxsize=8)  # a worker gets the same file with every task
def _open_again(path: str, identity: tuple[bytes, int], folder: Path) -> _Opened:
    file = reader.read(path)
    if (file.header.encode(), file.size) != identity:
        raise _changed(path)
    return _opened(file, package_for(file, folder))


def _changed(path: str) -> Corrupt:
    return Corrupt("the file has changed since it was opened", path=path, fix="open it again")
