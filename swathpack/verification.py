"""What `swathpack verify` finds: the file as a file, then every symbol of it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from codec.bitstream.reader import NecFile, read_bytes
from codec.errors import Corrupt, ExitCode, IdentityError
from codec.pipeline import Decoded, open_nec


@dataclass(frozen=True, slots=True)
class Verification:
    """Verdict on one file; `exit_code` is what the command returns."""

    verdict: str  # sound, damaged, incomplete, unknown
    what: str  # empty when sound
    exit_code: int
    bytes: int
    records: int  # intact coefficient records
    damaged_records: int
    missing: int  # (plane, layer) ranges of tiles
    conflicts: int
    decoded: bool  # the symbols were decoded, not only the checksums

    def one_line(self, path: str) -> str:
        state = f"{self.records} records, {self.bytes} bytes"
        return f"{path}: {self.verdict}: {self.what + '; ' if self.what else ''}{state}"

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def verify(data: bytes, *, path: str, packages: Sequence[Path] | None = None) -> Verification:
    """Check a file that is in memory. Raises for a header that cannot be read, and for a package that claims the file
    and is damaged; the rest is in the verdict."""
    nec = read_bytes(data, path=path)
    decoded: Decoded | None = None
    unknown = ""
    try:
        decoded = open_nec(io.BytesIO(data), packages=packages).decoded
    except IdentityError as error:
        unknown = str(error)
    verdict, what, code = _judge(nec, decoded, unknown)
    return Verification(
        verdict,
        what,
        int(code),
        nec.size,
        len(nec.records),
        len(nec.refused) + (len(decoded.damaged) if decoded else 0),
        len(decoded.missing) if decoded else 0,
        len(decoded.conflicts) if decoded else 0,
        decoded is not None,
    )


def _judge(nec: NecFile, decoded: Decoded | None, unknown: str) -> tuple[str, str, ExitCode]:
    """Verdict, reason, exit code: damage first, then what is not known, then what is missing."""
    damage = _damage(nec, decoded)
    if damage:
        return "damaged", damage, ExitCode.INTEGRITY
    if unknown:
        return "unknown", f"checksums hold, symbols not checked: {unknown}", ExitCode.IDENTITY
    if nec.scan.cut is not None:
        what = f"the file was cut inside the record at byte {nec.scan.cut.first}"
        return "incomplete", what, ExitCode.PARTIAL
    if not nec.is_whole:
        what = "the file is not sealed: it was cut or is still being written"
        return "incomplete", what, ExitCode.PARTIAL
    if decoded is not None and decoded.missing:
        return "incomplete", f"{len(decoded.missing)} ranges of tiles are missing", ExitCode.PARTIAL
    return "sound", "", ExitCode.OK


def _damage(nec: NecFile, decoded: Decoded | None) -> str:
    """What is wrong and not merely absent; empty when nothing is."""
    only_cut = nec.scan.cut is not None and nec.gaps == (nec.scan.cut,)
    if not only_cut or nec.refused or nec.scan.index:
        try:
            nec.check_whole()
        except Corrupt as error:
            place = "" if error.offset is None else f" at byte {error.offset}"
            return f"{error.what}{place}"
    if decoded is not None and decoded.damaged:
        return f"{len(decoded.damaged)} records do not decode: {decoded.damaged[0][2]}"
    if decoded is not None and decoded.conflicts:
        return f"{len(decoded.conflicts)} ranges of tiles have two different records"
    return ""
