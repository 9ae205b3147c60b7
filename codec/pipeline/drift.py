"""Drift of a pass: received files against the tables that coded them (`codec.transform.drift` says how)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from codec.bitstream.header import FileHeader
from codec.errors import InputError
from codec.package import Package
from codec.pipeline.received import ReceivedSymbols, symbols_of
from codec.transform.drift import Drift, Row, Tally, flags, judge, tally

_DIGITS = 4  # of a share: more would be noise, and other machines round sums otherwise


@dataclass(frozen=True)
class PassDrift:
    """What one pass says of one package's tables. `planes`: rows by plane name, in plane order."""

    package: str
    codec_id: bytes
    files: tuple[str, ...]  # file ids, hex, sorted
    planes: dict[str, list[Drift]]

    @property
    def flagged(self) -> list[tuple[str, Drift]]:
        return [(name, entry) for name, rows in self.planes.items() for entry in flags(rows)]

    @property
    def is_judged(self) -> bool:
        """Whether there was enough to judge anything."""
        return any(entry.low is not None for rows in self.planes.values() for entry in rows)

    def as_json(self, *, all_rows: bool = True) -> dict[str, Any]:
        """JSON-able; without `all_rows` planes, layers, and what is flagged."""
        return {
            "package": self.package,
            "codec_id": self.codec_id.hex(),
            "files": list(self.files),
            "judged": self.is_judged,
            "flagged": len(self.flagged),
            "rows": [
                _row(name, entry)
                for name, rows in self.planes.items()
                for entry in rows
                if all_rows or entry.flag or (entry.row.band is None and entry.row.channel is None)
            ],
        }


def pass_drift(package: Package, files: Iterable[ReceivedSymbols]) -> PassDrift:
    """Judge all files of a pass together. Raises InputError where one was coded with other tables."""
    tallies: dict[int, Tally] = {}
    codec_id: bytes | None = None
    seen: set[bytes] = set()
    for file in sorted(files, key=lambda f: (f.header.run, f.header.file_id)):
        if codec_id not in (None, file.header.codec_id):
            raise InputError(
                "the files of a pass were coded with different tables", expected=codec_id.hex() if codec_id else "",
                found=file.header.codec_id.hex(), fix="judge each codec by itself",
            )  # fmt: skip
        codec_id = file.header.codec_id
        if file.header.file_id in seen:
            raise InputError("a file is given twice", found=file.header.file_id.hex(), fix="give each once")
        seen.add(file.header.file_id)
        for plane in file.planes:
            found = tally(
                file.tables, plane.plane, file.header.ladder_index, plane.symbols, plane.layers, plane.offsets,
                relieved=plane.has_mean,
            )  # fmt: skip
            before = tallies.get(plane.plane)
            tallies[plane.plane] = found if before is None else before + found
    names = [entry.name for entry in package.planes]
    return PassDrift(
        package.name,
        package.codec_id if codec_id is None else codec_id,
        tuple(sorted(file_id.hex() for file_id in seen)),
        {names[number]: judge(found) for number, found in sorted(tallies.items())},
    )


def file_drift(package: Package, header: FileHeader, records: Sequence[bytes]) -> PassDrift:
    """The drift of one file. Raises as `symbols_of`."""
    return pass_drift(package, [symbols_of(package, header, records)])


def row_name(row: Row) -> str:
    """For a person: "layer 2", "channel 17", or "all"."""
    for kind in ("layer", "band", "channel"):
        number = getattr(row, kind)
        if number is not None:
            return f"{kind} {number}"
    return "all"


def _row(plane: str, entry: Drift) -> dict[str, Any]:
    def share(value: float | None) -> float | None:
        return None if value is None else round(value, _DIGITS)

    return {
        "plane": plane,
        "layer": entry.row.layer,
        "band": entry.row.band,
        "channel": entry.row.channel,
        "tiles": entry.tiles,
        "measured_bytes": round(entry.measured_bits / 8, 1),
        "expected_bytes": round(entry.expected_bits / 8, 1),
        "drift": share(entry.drift),
        "low": share(entry.low),
        "high": share(entry.high),
        "tolerance": [share(entry.tolerance_low), share(entry.tolerance_high)],
        "flag": entry.flag or None,
    }
