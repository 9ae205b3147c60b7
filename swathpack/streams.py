"""Bytes in and out: a path, or - for standard input and output."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from codec.atomic import write_atomic
from codec.errors import InputError, LimitExceeded, SwathpackError, UsageError

MAX_INPUT_BYTES = 1 << 32  # as many as a `.nec` file may have; an endless stream stops there
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def read_input(path: str, *, max_bytes: int = MAX_INPUT_BYTES) -> bytes:
    """Whole input. Raises InputError where it cannot be read, LimitExceeded beyond `max_bytes`."""
    try:
        if path == "-":
            data = sys.stdin.buffer.read(max_bytes + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(max_bytes + 1)
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", path=path, fix="check the name and the rights"
        ) from error
    if len(data) > max_bytes:
        raise LimitExceeded(
            "the input is larger than the limit", path=path, expected=f"at most {max_bytes} bytes"
        )
    return data


def check_output(path: str, *inputs: str | Path, as_json: bool = False) -> None:
    """Refuse an output that cannot be written before any work is done for it.

    Raises UsageError for a terminal, and for - when JSON goes to standard output too; InputError for a folder that
    is not there or not writable, and where the output would replace one of `inputs` (or a file inside a folder of them).
    """
    if path == "-":
        if as_json:
            raise UsageError("--json and the file both want standard output", fix="give -o FILE")
        if sys.stdout.isatty():
            raise UsageError("binary data is not written to a terminal", fix="give -o FILE or a pipe")
        return
    target = Path(path)
    try:
        what = _unwritable(target)
    except OSError as error:  # a name too long, a link to itself
        what = str(error.strerror)
    if what:
        raise InputError(f"cannot be written: {what}", path=path, fix="choose a folder you may write to")
    if target.is_file():
        for given in (Path(name) for name in inputs if str(name) != "-"):
            if given.exists() and (target.samefile(given) or given.resolve() in target.resolve().parents):
                raise InputError("the output would replace an input", path=path, fix="choose another name")


def _unwritable(target: Path) -> str:
    folder = target.parent
    if target.is_dir():
        return "it is a folder"
    if not folder.exists():
        return f"there is no folder {folder}"
    if not folder.is_dir():
        return f"{folder} is no folder"
    if _is_special(target):
        return "" if os.access(target, os.W_OK) else "permission denied"
    return "" if os.access(folder, os.W_OK | os.X_OK) else "permission denied"


def write_output(path: str, data: bytes) -> None:
    """Whole output or none; - is standard output, refused when that is a terminal.

    A device or pipe is written to, not replaced by a file. Raises as `check_output`, and LimitExceeded when there is no
    room.
    """
    check_output(path)
    if path != "-" and not _is_special(Path(path)):
        write_atomic(Path(path), data)
        return
    try:
        if path == "-":
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            with open(path, "wb", buffering=0) as file:
                _write_all(file.fileno(), data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise refused(error, path) from error


def _write_all(handle: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file()


def refused(error: OSError, path: object) -> SwathpackError:
    """What the system's refusal to write is for us."""
    if error.errno in _NO_ROOM:
        return LimitExceeded("no room is left, not all was written", path=path, fix="free space and repeat")
    return InputError(f"cannot be written: {error.strerror}", path=path, fix="choose another output")


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Errors of functions that see bytes only get the name of the file."""
    try:
        yield
    except SwathpackError as error:
        error.path = error.path or path
        raise


def say(line: str) -> None:
    """One line for a person, on stderr: stdout is for data."""
    print(line, file=sys.stderr, flush=True)


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal's stderr, nothing otherwise."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
