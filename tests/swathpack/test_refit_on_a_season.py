"""A refit from real received dates, used for a date that came later."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.swathpack.conftest import Cli

BANDS = (
    "coastal", "blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "nir08", "nir09", "cirrus",
    "swir16", "swir22",
)  # fmt: skip


@pytest.mark.shared_data
def test_a_later_date_takes_fewer_bytes_with_tables_of_the_earlier_ones(
    cli: Cli, shared_data: Path, tmp_path: Path
) -> None:
    how = ["--sensor", "sentinel2-l1c", "--scaling", "no-offset", "--quality", "42", "--threads", "1"]
    for number, band in enumerate(BANDS, 1):
        how += ["--band", f"{band}={number}"]
    *earlier, last = sorted((shared_data / "s2_series_lahinch").glob("*_s2.jp2"))
    files = []
    for path in earlier:
        for zoom in (1, 2):  # at ×1 a date has only six whole tiles
            files.append(tmp_path / f"{path.stem}-{zoom}.nec")
            ran = cli("encode", path, "-o", files[-1], "--zoom", zoom, *how)
            assert ran.code == 0, ran.err
    made = cli("refit", "s2-nano", *files, "--out", tmp_path / "season", "--json")
    assert made.code == 0, made.err
    assert json.loads(made.out)["planes"][0]["tiles"] == 4 * (6 + 30)
    sizes = []
    for model in ("s2-nano", tmp_path / "season"):
        out = tmp_path / "last.nec"
        assert cli("encode", last, "-o", out, "--zoom", 2, "--model", model, *how).code == 0
        sizes.append(out.stat().st_size)
    assert sizes[1] < sizes[0]
