"""The mapping report: every tensor of a file and of its layout, with what became of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Any

from codec.errors import InputError


class Status(str, Enum):
    """What became of one tensor."""

    LOADED = "loaded"
    SKIPPED = "skipped by name"
    MISSING = "missing"
    UNEXPECTED = "unexpected"
    MISSHAPEN = "misshapen"
    NOT_NUMBERS = "not floating point"
    NOT_FINITE = "not finite"
    NOT_OURS = "not as it is computed here"

    @property
    def is_problem(self) -> bool:
        """Whether it forbids loading."""
        return self not in (Status.LOADED, Status.SKIPPED)


@dataclass(frozen=True, slots=True)
class Row:
    """One tensor: its name in the file, its name in our module, the two shapes, and its status."""

    foreign: str  # as the layout spells it; of tensors that the layout does not know: as the file does
    own: str | None
    expected: tuple[int, ...] | None  # of the layout; None: the layout does not list it, or any shape will do
    found: tuple[int, ...] | None  # in the file; None: not there
    status: Status
    note: str = ""

    def cells(self) -> tuple[str, str, str, str]:
        """Foreign key, our key, shape, status, as text."""
        shape = _text(self.found if self.found is not None else self.expected)
        if self.status is Status.MISSHAPEN:
            shape = f"{_text(self.found)} instead of {_text(self.expected)}"
        note = f" ({self.note})" if self.note else ""
        return self.foreign, self.own or "-", shape, self.status.value + note


@dataclass(frozen=True, slots=True)
class MappingReport:
    """All rows, in the order of the layout, tensors that the layout does not know last."""

    layout: str
    source: str  # repository @ commit
    path: str
    wrapper: str | None
    prefix: str
    beside: tuple[str, ...]  # other entries of the file, not read
    rows: tuple[Row, ...]

    @property
    def problems(self) -> tuple[Row, ...]:
        """Rows that forbid loading."""
        return tuple(row for row in self.rows if row.status.is_problem)

    def require(self) -> None:
        """InputError that names the first problem, if there is one."""
        if not self.problems:
            return
        row, more = self.problems[0], len(self.problems) - 1
        rest = f"; {more} more" if more else ""
        both = row.expected is not None and row.found is not None
        raise InputError(
            f"tensor {row.foreign} is {row.status.value}{f' ({row.note})' if row.note else ''}{rest}",
            path=self.path,
            expected=_text(row.expected) if both else None,
            found=_text(row.found) if both else None,
            fix=f"use a file of layout {self.layout} ({self.source}), or see the whole mapping with"
            f" `python -m codec.models.foreign report --layout {self.layout} --checkpoint FILE`",
        )

    def table(self) -> str:
        """The report as text: one head line, one line per tensor, one line with the counts."""
        wrapped = "the file itself" if self.wrapper is None else f"entry {self.wrapper!r}"
        beside = f"; not read: {', '.join(self.beside)}" if self.beside else ""
        head = f"{self.path}: {wrapped}, prefix {self.prefix!r}{beside}\nlayout {self.layout}, {self.source}"
        cells = [("key after the prefix", "our key", "shape", "status"), *(row.cells() for row in self.rows)]
        widths = [max(len(cell[i]) for cell in cells) for i in range(3)]
        lines = [
            "  ".join([*(c.ljust(w) for c, w in zip(cell, widths, strict=False)), cell[3]]) for cell in cells
        ]
        return "\n".join([head, *lines, self.summary()])

    def summary(self) -> str:
        """How many tensors have which status."""
        counts = Counter(row.status for row in self.rows)
        return ", ".join(f"{counts[status]} {status.value}" for status in Status if counts[status])

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "layout": self.layout,
            "source": self.source,
            "path": self.path,
            "wrapper": self.wrapper,
            "prefix": self.prefix,
            "beside": list(self.beside),
            "ok": not self.problems,
            "tensors": [
                {
                    "foreign": row.foreign,
                    "own": row.own,
                    "expected": None if row.expected is None else list(row.expected),
                    "found": None if row.found is None else list(row.found),
                    "status": row.status.value,
                    "note": row.note,
                }
                for row in self.rows
            ],
        }


def _text(shape: tuple[int, ...] | None) -> str:
    if shape is None:
        return "any"
    return "×".join(str(n) for n in shape) or "scalar"
