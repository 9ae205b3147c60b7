"""Import rules that a process can show: no torch where embeddings are coded and used, a light `--help`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FORBIDDEN = ("torch", "triton", "lightning", "compressai")
# Rooms whose every module must import where torch raises; `onboard.export` is the one that may need it.
TORCH_FREE_ROOMS = (
    "codec/bitstream",
    "codec/transform",
    "codec/package",
    "codec/link",
    "codec/scene",
    "codec/pipeline",
    "codec/arrays",
    "ground",
    "onboard",
    "swathpack",
)
TORCH_FREE_MODULES = (
    "codec",
    "codec.errors",
    "codec.types",
    "codec.atomic",
    "codec.onnx_session",
    "codec.heads.graph",
)
MAY_NEED_TORCH = frozenset({"onboard.export"})
HEAVY = frozenset({"numpy", "pydantic", "onnxruntime", "onnx", "torch", "rasterio", "PIL"})
COMMANDS = ("encode", "decode", "link send", "link-sim", "ground serve", "demo", "doctor")

REFUSE = """
import importlib.abc, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names!r}:
            raise ImportError(f"{{name}} is refused in this process")
sys.meta_path.insert(0, Refuse())
"""


def _run(code: str, root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )


def _modules(root: Path) -> list[str]:
    """Every module of the rooms, packages by their own name; `__main__` would run."""
    found = list(TORCH_FREE_MODULES)
    for room in TORCH_FREE_ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            if parts[-1] != "__main__" and name not in MAY_NEED_TORCH:
                found.append(name)
    return found


def test_rooms_below_training_import_where_torch_raises(root: Path) -> None:
    modules = _modules(root)
    assert {"codec.link.udp", "onboard.engine", "ground.daemon", "swathpack.demo.run"} < set(modules)
    imports = f"\nimport importlib\nfor m in {modules!r}: importlib.import_module(m)\nprint('ok')"
    done = _run(REFUSE.format(names=FORBIDDEN) + imports, root)
    assert done.stdout.strip() == "ok", done.stderr


def test_the_refusal_itself_works(root: Path) -> None:
    done = _run(REFUSE.format(names=FORBIDDEN) + "\nimport torch", root)
    assert done.returncode == 1
    assert "torch is refused" in done.stderr


def _heavy_after(root: Path, arguments: list[list[str]]) -> str:
    code = (
        "import sys\nfrom swathpack.cli import main\n"
        f"codes = [main(arguments) for arguments in {arguments!r}]\n"
        "names = {m.split('.')[0] for m in sys.modules}\n"
        f"print('HEAVY', sorted(names & {set(HEAVY)!r}), set(codes))"
    )
    done = _run(code, root)
    return done.stdout.splitlines()[-1] + done.stderr


def _imported_by(root: Path, calls: list[list[str]]) -> str:
    """What the command line has imported after these calls, of what is heavy."""
    code = (
        "import sys\nfrom swathpack.cli import main\n"
        f"codes = {{main(arguments) for arguments in {calls!r}}}\n"
        "names = {m.split('.')[0] for m in sys.modules}\n"
        f"print('HEAVY', sorted(names & {set(HEAVY)!r}), codes)"
    )
    done = _run(code, root)
    return done.stdout.splitlines()[-1] if done.stdout else done.stderr


def test_help_imports_nothing_heavy(root: Path) -> None:
    assert _imported_by(root, [["--help"]]) == "HEAVY [] {0}"


def test_help_of_a_command_imports_nothing_heavy_of_ours(root: Path) -> None:
    """One process: what an earlier help imported would still be there. typer itself reads parameters by pydantic."""
    calls = [[*command.split(), "--help"] for command in COMMANDS]
    assert _imported_by(root, calls) in ("HEAVY [] {0}", "HEAVY ['pydantic'] {0}")


@pytest.mark.parametrize("module", ["codec", "codec.errors", "codec.types"])
def test_the_lowest_rooms_import_nothing_above_numpy(root: Path, module: str) -> None:
    heavy = set(HEAVY - {"numpy"})
    code = f"import sys\nimport {module}\nprint(sorted({{m.split('.')[0] for m in sys.modules}} & {heavy!r}))"
    done = _run(code, root)
    assert done.stdout.strip() == "[]", done.stderr
