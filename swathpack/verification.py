"""What `swathpack verify` finds: the file as a file, then every symbol of it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from codec.bitstream.reader import NecFile, read_bytes
from codec.bitstream.record import HEADER_SIZE
from codec.bitstream.scan import SEAL, SealState
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
    verdict, what, code = _judge(nec, data, decoded, unknown)
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


def _judge(nec: NecFile, data: bytes, decoded: Decoded | None, unknown: str) -> tuple[str, str, ExitCode]:
    """Verdict, reason, exit code: damage first, then what is not known, then what is missing."""
    lost = _lost(nec, data)
    damage = _damage(nec, decoded, is_lost=bool(lost))
    if damage:
        return "damaged", damage, ExitCode.INTEGRITY
    if unknown:
        return "unknown", f"checksums hold, symbols not checked: {unknown}", ExitCode.IDENTITY
    if not lost and decoded is not None and decoded.missing:
        lost = f"{len(decoded.missing)} ranges of tiles are missing"
    return ("incomplete", lost, ExitCode.PARTIAL) if lost else ("sound", "", ExitCode.OK)


def _lost(nec: NecFile, data: bytes) -> str:
    """How a file whose every byte is sound is less than what was sealed; empty when it is all there, or damaged."""
    if nec.seal is SealState.SEALED or any(gap != nec.scan.cut for gap in nec.gaps):
        return ""
    if nec.scan.cut is not None:
        return f"the file was cut inside the record at byte {nec.scan.cut.first}"
    if nec.seal is SealState.BROKEN and len(nec.refused) == 1:
        counted, _, _, _ = SEAL.unpack_from(data, nec.refused[0].offset + HEADER_SIZE)
        here = len(nec.scan.records)
        return f"the seal counts {counted} records, {here} are here" if counted > here else ""
    if nec.refused:
        return ""
    return "the file is not sealed: it was cut, or is still being written, or its end was lost"


def _damage(nec: NecFile, decoded: Decoded | None, *, is_lost: bool) -> str:
    """What is wrong and not merely absent; empty when nothing is."""
    if not is_lost:  # else seal and index only say what `_lost` says
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
