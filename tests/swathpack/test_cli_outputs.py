"""Outputs appear whole or not at all, and a place that cannot be written is found before any work is done."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.swathpack.conftest import Cli, Ran
from tests.swathpack.small_scene import ARGUMENTS


def writers(cli: Cli, output: object, scene: Path, nec: Path) -> dict[str, Ran]:
    """Every command that writes a file. `.npz` is what decode makes of a name without suffix only for -."""
    return {
        "encode": cli("encode", scene, "-o", output, *ARGUMENTS),
        "link send": cli("link", "send", nec, "-o", output),
        "link-sim": cli("link-sim", nec, "-o", output),
        "decode": cli("decode", nec, "-o", f"{output}.npz"),
    }


def test_a_folder_that_is_not_there_is_refused_before_the_work(
    cli: Cli, tmp_path: Path, scene_tif: Path, scene_nec: Path
) -> None:
    output = tmp_path / "absent" / "out"
    for ran in writers(cli, output, scene_tif, scene_nec).values():
        ran.refused(3, str(output), "there is no folder")
    # Before: the input is not even looked at.
    cli("encode", tmp_path / "no-scene", "-o", output).refused(3, "there is no folder")


def test_a_file_in_the_place_of_a_folder_is_refused(
    cli: Cli, tmp_path: Path, scene_tif: Path, scene_nec: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    for ran in writers(cli, tmp_path / "file" / "out", scene_tif, scene_nec).values():
        ran.refused(3, "is no folder")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_in_the_place_of_the_file_is_refused(
    cli: Cli, tmp_path: Path, scene_tif: Path, scene_nec: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out.npz").mkdir()
    for ran in writers(cli, tmp_path / "out", scene_tif, scene_nec).values():
        ran.refused(3, "it is a folder")


def test_a_name_that_the_system_does_not_take_is_refused(cli: Cli, tmp_path: Path, scene_nec: Path) -> None:
    cli("link", "send", scene_nec, "-o", tmp_path / ("x" * 300)).refused(3, "cannot be written")
    cli("link", "send", scene_nec, "-o", "").refused(3, "cannot be written")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_the_right_to_write_is_refused(cli: Cli, tmp_path: Path, scene_nec: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        cli("link", "send", scene_nec, "-o", tmp_path / "out").refused(3, "permission denied")
    finally:
        tmp_path.chmod(0o700)


@contextmanager
def little_room() -> Iterator[None]:
    """No file may grow beyond 512 bytes, as under a quota; the system then refuses with EFBIG.

    Only around a command: the limit also meets the file that the test run's own report may go to.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_without_room_nothing_is_left_and_the_old_file_stays(
    cli: Cli, tmp_path: Path, scene_nec: Path
) -> None:
    (tmp_path / "out.npz").write_text("old")
    for arguments in (
        ("decode", scene_nec, "-o", tmp_path / "out.npz"),
        ("link", "send", scene_nec, "-o", tmp_path / "out.pkt"),
    ):
        with little_room():
            ran = cli(*arguments)
        ran.refused(7, "the disk is full")
    assert [p.name for p in tmp_path.iterdir()] == ["out.npz"]
    assert (tmp_path / "out.npz").read_text() == "old"


def test_an_input_is_never_replaced(cli: Cli, tmp_path: Path, scene_tif: Path, scene_nec: Path) -> None:
    scene, nec = tmp_path / "in.tif", tmp_path / "in.nec"
    scene.write_bytes(scene_tif.read_bytes())
    nec.write_bytes(scene_nec.read_bytes())
    other = tmp_path / "other.tif"
    other.symlink_to(nec)
    for arguments in (
        ("encode", scene, "-o", scene, *ARGUMENTS),
        ("encode", tmp_path, "-o", scene, *ARGUMENTS),
        ("link", "send", nec, "-o", nec),
        ("link-sim", nec, "-o", nec),
        ("link", "receive", nec, "-o", nec),
        ("decode", nec, "-o", other),
    ):
        cli(*arguments).refused(3, "would replace an input")
    assert scene.read_bytes() == scene_tif.read_bytes()
    assert nec.read_bytes() == scene_nec.read_bytes()


def test_a_full_disk_is_a_limit_and_leaves_nothing(
    cli: Cli, tmp_path: Path, scene_nec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", refuse)  # where delayed allocation reports it
    cli("link", "send", scene_nec, "-o", tmp_path / "out.pkt").refused(7, "the disk is full", "free space")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_device_is_a_limit(cli: Cli, scene_nec: Path) -> None:
    cli("link", "send", scene_nec, "-o", "/dev/full").refused(7, "/dev/full", "no room")


def test_a_device_is_written_to_and_not_replaced(cli: Cli, tmp_path: Path, scene_nec: Path) -> None:
    link = tmp_path / "null.npz"
    link.symlink_to(os.devnull)
    assert cli("decode", scene_nec, "-o", link).code == 0
    assert cli("link", "send", scene_nec, "-o", os.devnull).code == 0
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    assert link.is_symlink()


def test_a_file_that_is_written_anew_keeps_its_place(cli: Cli, tmp_path: Path, scene_nec: Path) -> None:
    (tmp_path / "out.pkt").write_text("old")
    assert cli("link", "send", scene_nec, "-o", tmp_path / "out.pkt").code == 0
    assert (tmp_path / "out.pkt").read_bytes() == cli("link", "send", scene_nec, "-o", "-").out
    assert [p.name for p in tmp_path.iterdir()] == ["out.pkt"]


def test_a_form_that_is_not_known_is_refused_before_the_work(cli: Cli, tmp_path: Path) -> None:
    for name in ("out", "out.nc", "out.npz.gz"):
        cli("decode", tmp_path / "absent.nec", "-o", tmp_path / name).refused(2, ".npz .tif .tiff .csv")


def test_json_and_a_binary_file_do_not_share_standard_output(
    cli: Cli, scene_tif: Path, scene_nec: Path
) -> None:
    cli("encode", scene_tif, "-o", "-", "--json", *ARGUMENTS).refused(2, "--json", "standard output")
    cli("link-sim", scene_nec, "-o", "-", "--json").refused(2, "--json", "standard output")


def test_binary_data_is_not_written_to_a_terminal(root: Path, scene_nec: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "swathpack", "link", "send", str(scene_nec), "-o", "-"],
            cwd=root, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    finally:
        os.close(theirs)
        os.close(ours)
    assert done.returncode == 2
    assert done.stderr == "error: binary data is not written to a terminal; give -o FILE or a pipe\n"
