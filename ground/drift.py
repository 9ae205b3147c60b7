"""Drift in the report: did this file cost what its tables promised? (`codec.transform.drift` says how.)

A file is one run of the camera, so it is what a station sees of a pass. Several files are judged together by
`swathpack drift FILE…`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from codec.bitstream.header import FileHeader
from codec.package import Package
from codec.pipeline.drift import file_drift


def drift_part(package: Package, header: FileHeader, records: Sequence[bytes]) -> dict[str, Any]:
    """Planes, their layers, and all that is flagged. Depends on the set of records only."""
    found = file_drift(package, header, records).as_json(all_rows=False)
    return {key: found[key] for key in ("judged", "flagged", "rows")}
