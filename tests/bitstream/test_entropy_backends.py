"""Back ends are chosen by name, imported only when named, and never fallen back from."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from nec_cases import SMALL_TABLES, header, random_symbols

from codec.bitstream import backends, core
from codec.bitstream.coefficients import decode, encode_file_records
from codec.bitstream.core import TableSet
from codec.errors import BackendUnavailable

TABLES = TableSet(SMALL_TABLES)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A back end that a package registers: it passes everything on to the core and counts its calls."""
    (tmp_path / "counting_backend.py").write_text(
        "from codec.bitstream import core\n"
        "calls = []\n"
        "def encode_records(*a): calls.append('encode'); return core.encode_records(*a)\n"
        "def decode_records(*a): calls.append('decode'); return core.decode_records(*a)\n"
        "def tile_costs(*a): calls.append('costs'); return core.tile_costs(*a)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    points = [
        EntryPoint("counting", "counting_backend", backends.GROUP),
        EntryPoint("gpu", "package_that_is_not_there.kernels", backends.GROUP),
    ]
    monkeypatch.setattr(backends, "entry_points", lambda group: points if group == backends.GROUP else [])
    monkeypatch.delitem(sys.modules, "counting_backend", raising=False)
    return "counting_backend"


def test_the_core_is_the_default() -> None:
    assert backends.load() is core
    assert backends.names()[0] == "core"


def test_a_named_back_end_does_the_work_and_is_imported_only_then(registered: str) -> None:
    head = header(tiles=9)
    symbols = [random_symbols(TABLES, head, plane, plane) for plane in range(2)]
    records = encode_file_records(TABLES, head, symbols)
    assert registered not in sys.modules
    assert encode_file_records(TABLES, head, symbols, backend="counting") == records
    decode(TABLES, head, records, backend="counting")
    assert set(sys.modules[registered].calls) == {"encode", "decode", "costs"}


def test_an_unknown_name_names_those_there_are(registered: str) -> None:
    with pytest.raises(BackendUnavailable, match="core, counting, gpu"):
        backends.load("fpga")


def test_a_back_end_that_cannot_be_imported_is_not_replaced(registered: str) -> None:
    with pytest.raises(BackendUnavailable, match="package_that_is_not_there"):
        backends.load("gpu")


def test_the_core_was_built_from_the_sources_beside_it() -> None:
    assert core.build_id()[:12] in core.check_build_id()


def test_a_stale_core_is_noticed_and_the_cure_is_told(root: Path, tmp_path: Path) -> None:
    (tmp_path / "cpp").mkdir()
    for name in ("CMakeLists.txt", "cpp/build_id.py"):
        (tmp_path / name).write_bytes((root / name).read_bytes())
    with pytest.raises(BackendUnavailable, match=r"not built from the sources beside it.*pip install"):
        core.check_build_id(tmp_path)


def test_an_installed_core_has_no_sources_to_compare_with(tmp_path: Path) -> None:
    assert "no sources" in core.check_build_id(tmp_path)
