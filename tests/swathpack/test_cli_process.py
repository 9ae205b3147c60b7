"""What only a real process shows: pipes, signals, terminals, modules that are not installed."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.swathpack.small_scene import ARGUMENTS

SWATHPACK = [sys.executable, "-m", "swathpack"]
REFUSE = """
import importlib.abc, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Refuse())
from swathpack.cli import main
sys.exit(main({arguments!r}))
"""


def run(root: Path, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SWATHPACK, *map(str, arguments)], cwd=root, text=True, capture_output=True, check=False, **options
    )  # type: ignore[call-overload, no-any-return]


def run_without(root: Path, modules: tuple[str, ...], *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line where importing these modules raises."""
    code = REFUSE.format(names=modules, arguments=[str(argument) for argument in arguments])
    return subprocess.run([sys.executable, "-c", code], cwd=root, text=True, capture_output=True, check=False)


def test_the_version_is_that_of_the_distribution(root: Path) -> None:
    done = run(root, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        importlib.metadata.version("swathpack") + "\n",
        "",
    )


def test_the_installed_command_is_the_same_program(root: Path) -> None:
    command = Path(sys.executable).with_name("swathpack")
    if not command.exists():
        pytest.skip("swathpack is not installed beside this interpreter")
    done = subprocess.run([command, "--version"], text=True, capture_output=True, check=True)
    assert done.stdout == run(root, "--version").stdout


def test_without_a_command_the_help_is_shown_and_it_is_a_usage_error(root: Path) -> None:
    done = run(root)
    assert done.returncode == 2
    shown = done.stdout + done.stderr
    assert "Exit codes: 0 ok" in shown
    for command in ("encode", "decode", "inspect", "verify", "link", "link-sim", "ground", "demo", "doctor"):
        assert command in shown


def test_a_pipe_from_encode_to_inspect(root: Path, scene_tif: Path, scene_nec: Path) -> None:
    encode = subprocess.Popen(
        [*SWATHPACK, "encode", str(scene_tif), "-o", "-", *ARGUMENTS],
        cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    inspect = subprocess.run(
        [*SWATHPACK, "inspect", "-"],
        cwd=root,
        stdin=encode.stdout,
        capture_output=True,
        text=True,
        check=False,
    )
    _, said = encode.communicate()
    assert (encode.returncode, inspect.returncode, inspect.stderr) == (0, 0, "")
    assert inspect.stdout.splitlines()[0] == f"-: {scene_nec.stat().st_size} bytes, sealed"
    assert b"\r" not in said  # no progress bar where stderr is no terminal
    assert b"\x1b" not in said


def test_a_reader_that_goes_away_ends_the_command_in_silence(root: Path, scene_nec: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*SWATHPACK, "inspect", str(scene_nec)],
        cwd=root,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", [["inspect"], ["verify", "--json"], ["link", "send", "-o", "-"]])
def test_a_full_standard_output_is_one_line_and_exit_7(
    root: Path, scene_nec: Path, command: list[str]
) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*SWATHPACK, *command, str(scene_nec)],
            cwd=root,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 7
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")
    assert "no room is left" in done.stderr


def test_a_progress_bar_shows_on_a_terminal_only(root: Path, scene_tif: Path, tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*SWATHPACK, "encode", str(scene_tif), "-o", str(tmp_path / "a.nec"), *ARGUMENTS],
        cwd=root, stdout=subprocess.PIPE, stderr=theirs, check=False, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"encoding" in shown


def test_the_traceback_is_shown_only_when_asked_for(root: Path, tmp_path: Path) -> None:
    plain = run(root, "inspect", tmp_path / "absent")
    debug = run(root, "--debug", "inspect", tmp_path / "absent")
    assert plain.returncode == debug.returncode == 3
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr
    assert debug.stderr.endswith(plain.stderr)


def test_names_that_the_terminal_cannot_show_do_not_break_the_output(
    root: Path, scene_nec: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "na\udcffme-ä.nec"  # a byte that is no UTF-8, and a letter that is no ASCII
    odd.write_bytes(scene_nec.read_bytes())
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = run(root, "inspect", odd, env=env)
    assert done.returncode == 0, done.stderr
    assert "\\udcffme-\\xe4.nec" in done.stdout


@pytest.mark.parametrize(
    ("modules", "command", "words"),
    [
        (("rasterio",), ("encode", "SCENE", "-o", "OUT", *ARGUMENTS), ("rasterio", "swathpack[onboard]")),
        (("onnxruntime",), ("encode", "SCENE", "-o", "OUT", *ARGUMENTS), ("onnxruntime", "swathpack[onboard]")),
        (("PIL",), ("ground", "serve", "STATION", "--once"), ("PIL", "swathpack[ground]")),
        (("rasterio",), ("decode", "NEC", "-o", "OUT.tif"), ("rasterio", "swathpack[onboard]")),
    ],
    ids=["encode without rasterio", "encode without onnxruntime", "station without pillow", "map without rasterio"],
)  # fmt: skip
def test_a_part_that_is_not_installed_is_named_with_its_extra(
    root: Path, tmp_path: Path, scene_tif: Path, scene_nec: Path,
    modules: tuple[str, ...], command: tuple[str, ...], words: tuple[str, ...],
) -> None:  # fmt: skip
    places = {"SCENE": scene_tif, "NEC": scene_nec, "OUT": tmp_path / "a.nec", "OUT.tif": tmp_path / "a.tif"}
    places["STATION"] = tmp_path / "station"
    done = run_without(root, modules, *(places.get(part, part) for part in command))
    assert done.returncode == 8, done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert all(word in done.stderr for word in words)
    assert not list(tmp_path.iterdir())


def test_the_base_install_decodes_inspects_and_verifies(root: Path, tmp_path: Path, scene_nec: Path) -> None:
    """`pip install .` alone: numpy, typer and rich."""
    absent = ("rasterio", "onnxruntime", "onnx", "torch", "cryptography", "PIL")
    for command in (
        ("inspect", scene_nec, "--bytes"),
        ("verify", scene_nec),
        ("decode", scene_nec, "-o", tmp_path / "a.npz"),
        ("decode", scene_nec, "-o", tmp_path / "a.csv"),
        ("link", "send", scene_nec, "-o", tmp_path / "a.pkt"),
        ("link", "receive", tmp_path / "a.pkt", "-o", tmp_path / "b.nec"),
    ):
        done = run_without(root, absent, *command)
        assert done.returncode == 0, (command, done.stderr)


@pytest.mark.parametrize(
    ("number", "said"),
    [(signal.SIGINT, "error: interrupted\n"), (signal.SIGTERM, "")],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_signal_ends_the_command_as_shells_expect_it(
    root: Path, tmp_path: Path, number: signal.Signals, said: str
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    waiting = subprocess.Popen(
        [*SWATHPACK, "decode", str(pipe), "-o", str(tmp_path / "a.npz")],
        cwd=root, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    with open(pipe, "wb"):  # returns when the command opens its end
        waiting.send_signal(number)
        _, found = waiting.communicate(timeout=60)
    assert (waiting.returncode, found) == (128 + number, said)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
