"""Everything of a packed file but its symbols and its quality: header, embedded codec, index and seal."""

from __future__ import annotations

import io
from dataclasses import dataclass

from codec.arrays.job import Job
from codec.bitstream import tables_records
from codec.bitstream.coefficients import encode_file_records
from codec.bitstream.extensions import array_extension, source_name_extension
from codec.bitstream.header import FLAG_EMBEDDED_TABLES, FLAG_EMBEDDED_TRANSFORM, FileHeader
from codec.bitstream.sensing_time import TIME_UNKNOWN
from codec.bitstream.writer import NecWriter
from codec.package import Package
from codec.types import Georeference, Record, Symbols

NO_PLACE = Georeference((1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
SENSOR = "array"
_SEAL_BYTES, _INDEX_BYTES = 36, 12
_CHUNK_BYTES = 61_440  # of embedded tables; links split them at 948


@dataclass(frozen=True)
class Embedded:
    """What a self-contained file carries."""

    tables: bytes
    transform: bytes


@dataclass(frozen=True)
class Frame:
    """Everything of a file but its symbols and its quality."""

    job: Job
    package: Package
    embedded: Embedded | None
    target_bytes: int
    georeference: Georeference
    source_name: str

    def header(self, ladder_index: int) -> FileHeader:
        extensions = [array_extension(self.job.about)]
        if self.source_name:
            extensions.insert(0, source_name_extension(self.source_name))
        return FileHeader(
            sensor=SENSOR, codec_id=self.package.codec_id, grid=self.job.source.grid,
            georeference=self.georeference, planes=self.package.plane_specs, ladder_index=ladder_index,
            time_us=TIME_UNKNOWN,
            flags=FLAG_EMBEDDED_TABLES | FLAG_EMBEDDED_TRANSFORM if self.embedded else 0,
            extensions=tuple(extensions),
        )  # fmt: skip

    def records(self, ladder_index: int, symbols: list[Symbols]) -> list[Record]:
        return encode_file_records(
            self.package.tables, self.header(ladder_index), symbols, target_bytes=self.target_bytes
        )

    def own_records(self) -> list[Record]:
        if self.embedded is None:
            return []
        chunk = min(_CHUNK_BYTES, self.target_bytes - 12)
        return tables_records.split(self.embedded.tables, self.embedded.transform, chunk=chunk)

    def fixed_bytes(self) -> int:
        """Of a file without coefficient records."""
        own = self.own_records()
        header = self.header(self.package.default_ladder_index).length
        return header + sum(len(r.data) + 8 for r in own) + _INDEX_BYTES + _SEAL_BYTES

    def file(self, ladder_index: int, records: list[Record]) -> bytes:
        out = io.BytesIO()
        with NecWriter(out, self.header(ladder_index)) as writer:
            writer.extend(self.own_records())
            writer.extend(records)
        return out.getvalue()
