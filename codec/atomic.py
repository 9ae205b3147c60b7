"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from codec.errors import InputError, LimitExceeded

# EFBIG: beyond the size that the system grants a process.
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path`: temporary file beside it, fsync, rename, fsync of the folder.

    Raises InputError when the place cannot be written and LimitExceeded when the disk is full; in both cases
    nothing is left behind and a file that stood there before is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        _discard(temporary)
        if error.errno in _NO_SPACE:
            raise LimitExceeded(
                f"the disk is full, {len(data)} bytes were not written",
                path=path,
                fix="free space and repeat",
            ) from error
        raise InputError(
            f"cannot be written: {error.strerror}", path=path, fix="choose a folder you may write to"
        ) from error
    except BaseException:  # interrupted
        _discard(temporary)
        raise


def _discard(temporary: Path) -> None:
    """Where the folder is no folder, or the name too long, there is nothing to remove either."""
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)


def fsync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
