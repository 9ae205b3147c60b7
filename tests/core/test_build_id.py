"""A module that was built from other sources than these is noticed before it confuses anybody."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import _swathpack_core
from swathpack.diagnosis import diagnose


def load_helper(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("swathpack_build_id", root / "cpp" / "build_id.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_loaded_module_was_built_from_this_checkout(root: Path) -> None:
    wanted, loaded = load_helper(root).build_id(root), _swathpack_core.build_id()
    assert loaded == wanted, (
        f"{_swathpack_core.__file__} was built from other sources than cpp/ and CMakeLists.txt of this checkout "
        f"(built {loaded[:12]}…, here {wanted[:12]}…): rebuild it with\n"
        "    .venv/bin/uv pip install -p .venv/bin/python --no-build-isolation --no-deps -e .    (or: make setup)"
    )


def test_the_build_id_changes_with_any_source_and_only_with_those(root: Path, tmp_path: Path) -> None:
    helper = load_helper(root)
    for path in ("CMakeLists.txt", "cpp/src/a.cpp", "cpp/include/swathpack/a.h", "cpp/tests/t.cpp"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    before = helper.build_id(tmp_path)
    (tmp_path / "cpp/tests/t.cpp").write_text("changed")
    assert helper.build_id(tmp_path) == before
    (tmp_path / "cpp/src/a.cpp").rename(tmp_path / "cpp/src/b.cpp")
    renamed = helper.build_id(tmp_path)
    (tmp_path / "cpp/src/b.cpp").write_text("changed")
    assert len({before, renamed, helper.build_id(tmp_path)}) == 3


def run_with_isa(
    name: str, root: Path, code: str = "import _swathpack_core as core; print(core.isa())"
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SWATHPACK_ISA": name}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, cwd=root
    )


@pytest.mark.parametrize("name", _swathpack_core.isas())
def test_the_instruction_set_can_be_chosen_by_name(root: Path, name: str) -> None:
    assert run_with_isa(name, root).stdout == f"{name}\n"


# The first is nobody's, the others are sets that some machine has; those of this one are left out.
@pytest.mark.parametrize(
    "name", ["avx1024", *sorted({"neon", "avx2", "avx512"} - set(_swathpack_core.isas())), "AVX2"]
)
def test_an_instruction_set_that_is_not_there_is_refused_by_name(root: Path, name: str) -> None:
    refused = run_with_isa(name, root)
    assert refused.returncode != 0
    assert "BackendUnavailable" in refused.stderr
    assert f"expected {', '.join(_swathpack_core.isas())}, found {name}" in refused.stderr


def test_the_typed_module_refuses_it_in_one_line_that_names_the_cure(root: Path) -> None:
    code = (
        "from codec.errors import BackendUnavailable\n"
        "try:\n    import codec.bitstream.core\n"
        "except BackendUnavailable as error:\n    print(error)"
    )
    refused = run_with_isa("avx1024", root, code)
    assert refused.stdout == (
        "this build or processor lacks the instruction set "
        f"(expected {', '.join(_swathpack_core.isas())}, found avx1024); name one of these, or unset SWATHPACK_ISA\n"
    )


def test_the_diagnosis_names_the_instruction_set_in_use_and_those_that_can_run(tmp_path: Path) -> None:
    (found,) = [finding for finding in diagnose([tmp_path]) if finding.name == "entropy core"]
    sets = ", ".join(_swathpack_core.isas())
    assert found.detail.startswith(f"instruction set {_swathpack_core.isa()} of {sets}, build ")
