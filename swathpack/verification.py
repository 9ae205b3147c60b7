"""What `swathpack verify` finds: the file as a file, then every symbol of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from codec.bitstream.reader import NecFile, read_bytes
from codec.errors import Corrupt, ExitCode, IdentityError


@dataclass(frozen=True, slots=True)
class Verification:
    """Verdict on one file; `exit_code` is what the command returns."""

    verdict: str  # sound, damaged, incomplete, unknown
    what: str  # empty when sound
    exit_code: int
    bytes: int
    records: int
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
    """Check a file that is in memory. Raises only for a header that cannot be read; the rest is in the verdict."""
    import io

    from codec.pipeline import open_nec

    nec = read_bytes(data, path=path)
    damage = _damage(nec)
    decoded, unknown = None, ""
    try:
        decoded = open_nec(io.BytesIO(data), packages=packages).decoded
    except IdentityError as error:
        unknown = str(error)
        if decoded.damaged and not damage:
            damage = f"{len(decoded.damaged)} records do not decode: {decoded.damaged[0][2]}"
        if decoded.conflicts and not damage:
            damage = f"{len(decoded.conflicts)} ranges of tiles have two different records"
    if damage:
        verdict, what, code = "damaged", damage, ExitCode.INTEGRITY
    elif unknown:
        verdict, what, code = "unknown", f"checksums hold, symbols not checked: {unknown}", ExitCode.IDENTITY
    elif not nec.is_whole:
        verdict, what, code = (
            "incomplete",
            "the file is not sealed: it was cut or is still being written",
            ExitCode.PARTIAL,
        )
    elif decoded is not None and decoded.missing:
        verdict, what, code = (
            "incomplete",
            f"{len(decoded.missing)} ranges of tiles are missing",
            ExitCode.PARTIAL,
        )
    else:
        verdict, what, code = "sound", "", ExitCode.OK
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


def _damage(nec: NecFile) -> str:
    try:
        nec.check_whole()
    except Corrupt as error:
        return str(error).removeprefix(f"{nec.path}: ").removeprefix(f"{nec.path}, ")
    return ""
