"""`swathpack doctor`: what it finds, and its exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.swathpack.conftest import Cli


def findings(ran_out: bytes) -> dict[str, dict[str, object]]:
    return {finding["name"]: finding for finding in json.loads(ran_out)}


def test_a_sound_installation_passes(cli: Cli) -> None:
    ran = cli("doctor", "--json")
    found = findings(ran.out)
    assert ran.code == 0, ran.text
    assert set(found["entropy core"]) == {"name", "ok", "detail", "required", "fix"}
    assert all(finding["ok"] for finding in found.values() if finding["required"])
    assert "encoder runs on onnxruntime" in str(found["model s2-nano"]["detail"])


def test_a_person_reads_one_line_for_each(cli: Cli) -> None:
    ran = cli("doctor")
    lines = ran.text.splitlines()
    assert len(lines) == len(findings(cli("doctor", "--json").out))
    assert all(line.startswith(("ok   ", "-    ", "FAIL ")) for line in lines)


def test_a_named_folder_without_packages_is_said_and_the_shipped_ones_still_serve(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWATHPACK_MODELS", str(tmp_path))
    found = findings(cli("doctor", "--json").out)
    assert found[f"models in {tmp_path}"]["ok"] is False
    assert found["model s2-nano"]["ok"] is True
    assert cli("doctor").code == 0


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_only_folders_without_packages_fail(cli: Cli, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    ran = cli("doctor", "--models", tmp_path / name)
    assert ran.code == 8
    assert "FAIL model packages         none found" in ran.text


def test_a_tampered_package_fails_and_is_named(
    cli: Cli, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "s2-nano"
    shutil.copytree(root / "models" / "s2-nano", folder)
    graph = bytearray((folder / "encoder.onnx").read_bytes())
    graph[len(graph) // 2] ^= 1
    (folder / "encoder.onnx").write_bytes(graph)
    monkeypatch.setenv("SWATHPACK_MODELS", str(tmp_path))
    ran = cli("doctor")
    assert ran.code == 8
    (line,) = [line for line in ran.text.splitlines() if line.startswith("FAIL")]
    assert "encoder.onnx" in line
    assert "SHA-256" in line


def test_parts_that_are_not_installed_are_no_failure(root: Path) -> None:
    code = (
        "import importlib.abc, sys\n"
        "class Refuse(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('rasterio', 'onnxruntime', 'torch'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from swathpack.cli import main\nsys.exit(main(['doctor']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "-    rasters (GDAL)         rasterio is not installed; pip install 'swathpack[onboard]'"
        in done.stdout
    )
    assert "encoder not tried: onnxruntime is not installed" in done.stdout
