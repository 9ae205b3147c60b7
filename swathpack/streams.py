"""Bytes in and out: a path, or - for standard input and output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from codec.atomic import write_atomic
from codec.errors import InputError, UsageError

MAX_INPUT_BYTES = 4 << 30


def read_input(path: str) -> bytes:
    """Whole input. Raises InputError where it cannot be read."""
    if path == "-":
        return sys.stdin.buffer.read(MAX_INPUT_BYTES)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path, fix="check the name") from error


def write_output(path: str, data: bytes) -> None:
    """Whole output or none; - is standard output, refused when that is a terminal."""
    if path != "-":
        write_atomic(Path(path), data)
        return
    if sys.stdout.isatty():
        raise UsageError("binary data is not written to a terminal", fix="give -o FILE or a pipe")
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    json.dump(value, sys.stdout, indent=2, default=str)
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
