"""The core's arguments of coding calls (`tests/core/coding_cases.py`), and what its refusals are compared in."""

from __future__ import annotations

import sys
from pathlib import Path

CORE = Path(__file__).resolve().parent.parent / "core"
if str(CORE) not in sys.path:
    sys.path.append(str(CORE))

from coding_cases import Case, cases  # noqa: E402
from drawn_records import Records, sealed  # noqa: E402
from table_files import PlaneTableSpec, TableFile, TableSpec, packed_header  # noqa: E402

__all__ = ["Case", "PlaneTableSpec", "Records", "TableFile", "TableSpec", "cases", "packed_header", "sealed"]
