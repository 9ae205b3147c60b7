"""A pack is applied whole or not at all, to its own base alone."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codec.adapt import uplink
from codec.errors import Corrupt, IdentityError, InputError
from codec.package import Package, load, refresh
from tests.adapt.uplink.flying import base_with_tables, contents, write_graph
from tests.package.small_package import build_small


def test_the_pack_of_another_base_is_refused_by_what_differs(
    base: Package, new: Package, pack: uplink.Pack, tmp_path: Path
) -> None:
    build_small(tmp_path / "weights", weights=b"other weights")
    (tmp_path / "weights" / "encoder.onnx").write_bytes(b"")
    build_small(tmp_path / "card")
    write_graph(load(tmp_path / "card"), tmp_path / "card")
    (tmp_path / "card" / "card.md").write_text("another card")
    refresh(tmp_path / "card")
    for folder, what in ((tmp_path / "weights", "encoder"), (tmp_path / "card", "manifest")):
        with pytest.raises(IdentityError, match=f"for another base: 'small' version 1.0, by its {what}"):
            uplink.apply(pack.body, load(folder), tmp_path / "next")
    with pytest.raises(IdentityError, match="by its codec id"):
        uplink.apply(uplink.make(new, base).body, base, tmp_path / "next")
    assert not (tmp_path / "next").exists()


def test_a_pack_is_applied_once(base: Package, pack: uplink.Pack, tmp_path: Path) -> None:
    found = uplink.apply(pack.body, base, tmp_path / "next")
    with pytest.raises(IdentityError, match="what this pack makes already"):
        uplink.apply(pack.body, found, tmp_path / "third")
    with pytest.raises(InputError, match=r"not empty; name a new folder$"):
        uplink.apply(pack.body, base, tmp_path / "next")


def test_a_new_package_is_never_put_inside_its_base(base: Package, pack: uplink.Pack, tmp_path: Path) -> None:
    before = contents(base.folder)
    (tmp_path / "link").symlink_to(base.folder)
    for target in (base.folder / "next", base.folder / "heads" / "next", tmp_path / "link" / "next"):
        with pytest.raises(InputError, match=r"next: .*inside its base.*beside it"):
            uplink.apply(pack.body, base, target)
    assert contents(base.folder) == before


def test_a_damaged_base_is_found_before_anything_appears(
    base: Package, pack: uplink.Pack, tmp_path: Path
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base.folder, folder)
    flying = load(folder)
    (folder / "heads" / "water.onnx").write_bytes(b"not really a netw0rk")
    shutil.copy(folder / "heads" / "water.onnx", tmp_path)
    made = uplink.make(base, base_with_tables(base, tmp_path / "t"))
    with pytest.raises(Corrupt, match="SHA-256 differs"):
        uplink.apply(made.body, flying, tmp_path / "next")
    assert not (tmp_path / "next").exists()
    assert not list(tmp_path.glob(".next*"))


_KILLED = """
import os, signal, sys
from pathlib import Path
from codec.adapt import uplink
from codec.package import load
body, base, target, last = Path(sys.argv[1]).read_bytes(), load(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
real, calls = os.fsync, [0]
def fsync(handle):
    calls[0] += 1
    if calls[0] == last:
        os.kill(os.getpid(), signal.SIGKILL)
    real(handle)
os.fsync = fsync
uplink.apply(body, base, target)
print(calls[0])
"""


def test_a_killed_apply_leaves_the_old_package_and_all_of_the_new_one_or_nothing(
    base: Package, pack: uplink.Pack, tmp_path: Path
) -> None:
    (tmp_path / "body").write_bytes(pack.body)
    before = contents(base.folder)

    def run(last: int, target: Path) -> subprocess.CompletedProcess[str]:
        given = [
            sys.executable,
            "-c",
            _KILLED,
            str(tmp_path / "body"),
            str(base.folder),
            str(target),
            str(last),
        ]
        return subprocess.run(given, capture_output=True, text=True, check=False)

    whole = run(0, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    n = int(whole.stdout)
    expected = contents(tmp_path / "whole")
    there = 0
    for last in sorted({1, 2, n // 2, n - 2, n - 1, n}):
        target = tmp_path / f"killed{last}"
        assert run(last, target).returncode == -signal.SIGKILL
        assert contents(base.folder) == before
        if target.exists():
            assert contents(target) == expected
            there += 1
        else:
            uplink.apply(pack.body, base, target)  # and may be repeated
            assert contents(target) == expected
    assert there < 6


_FULL = """
import resource, sys
from pathlib import Path
from codec.adapt import uplink
from codec.errors import LimitExceeded
from codec.package import load
body, base = Path(sys.argv[1]).read_bytes(), load(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
try:
    uplink.apply(body, base, Path(sys.argv[3]))
except LimitExceeded as error:
    print(error)
"""


@pytest.mark.parametrize("most", [10, 4000])  # the first file does not fit, or a later one
def test_a_full_disk_leaves_nothing(most: int, base: Package, pack: uplink.Pack, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(pack.body)
    given = [str(tmp_path / "body"), str(base.folder), str(tmp_path / "next"), str(most)]
    done = subprocess.run([sys.executable, "-c", _FULL, *given], capture_output=True, text=True, check=True)
    assert "the disk is full" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["body"]
