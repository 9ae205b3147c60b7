"""Kernels compile ahead of time for every architecture within their ceilings, in a process that has no GPU."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

from kernels import resources
from kernels.resources import ARCHITECTURES, Resources, builds, main

_LINE = re.compile(r"(\S+) +sm_(\d+) +(\d+) registers +(\d+) stack +(\d+) local +(\d+) shared")


def compile_all(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: here Triton interprets."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    return subprocess.run(
        [sys.executable, "-m", "kernels.resources", *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )


def test_every_build_compiles_without_spills_and_within_its_ceilings(root: Path, tmp_path: Path) -> None:
    done = compile_all("--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = {(name, int(arch)): tuple(map(int, rest)) for name, arch, *rest in _LINE.findall(done.stdout)}
    assert set(found) == {(build.name, arch) for build in builds() for arch in ARCHITECTURES}
    ceilings = {build.name: build for build in builds()}
    for (name, _), (registers, stack, local, shared) in found.items():
        assert stack == local == 0
        assert 16 < registers <= ceilings[name].registers
        assert shared <= ceilings[name].shared
    cubins = sorted(tmp_path.glob("*.cubin"))
    assert len(cubins) == len(found)
    assert all(path.read_bytes()[:4] == b"\x7fELF" for path in cubins)


def test_what_exceeds_a_ceiling_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build = replace(builds()[0], registers=100)
    took = Resources(build, 80, 120, 16, 0, 1024, b"", "", "")
    assert took.excess == "120 registers, at most 100; 16 bytes of stack, at most 0"
    monkeypatch.setattr(resources, "builds", lambda: (build,))
    monkeypatch.setattr(resources, "compiled", lambda one, arch: took)
    monkeypatch.setattr(resources, "_check_triton", lambda: None)
    assert main(["--arch", "80"]) == 1
    assert "120 registers, at most 100" in capsys.readouterr().err


def test_without_triton_it_is_said_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    assert main(["--arch", "80"]) == 8
    assert "triton, which is not installed" in capsys.readouterr().err


def test_a_process_that_interprets_is_refused(interpreted: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--arch", "80"]) != 0
    assert "unset TRITON_INTERPRET" in capsys.readouterr().err
