"""Values of options out of range: exit 2 and one line that names the option."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.swathpack.conftest import Cli
from tests.swathpack.small_scene import ARGUMENTS

ENCODE = [
    (("--zoom", "0"), "--zoom"),
    (("--zoom", "1.5"), "--zoom"),
    (("--threads", "-1"), "--threads"),
    (("--quality", "-1"), "--quality"),
    (("--quality", "255"), "--quality"),
    (("--quality", "fine"), "--quality"),
    (("--quality", "40", "--bytes-per-tile", "100"), "--quality, --bytes-per-tile and"),
    (("--quality", "40", "--bytes", "9000"), "--quality, --bytes-per-tile and --bytes"),
    (("--bytes-per-tile", "40", "--bytes", "9000"), "--bytes-per-tile and --bytes"),
    (("--bytes", "0"), "--bytes"),
    (("--tradeoff", "-0.1"), "--tradeoff"),
    (("--tradeoff", "2"), "--tradeoff"),
    (("--tradeoff", "nan"), "--tradeoff"),
    (("--bytes", "1.5"), "--bytes"),
    (("--bytes-per-tile", "0"), "--bytes-per-tile"),
    (("--bytes-per-tile", "-5"), "--bytes-per-tile"),
    (("--bytes-per-tile", "nan"), "--bytes-per-tile"),
    (("--record-bytes", "0"), "--record-bytes"),
    (("--run", "-1"), "--run"),
    (("--run", "4294967296"), "--run"),
    (("--band", "red"), "--band"),
    (("--band", "=3"), "--band"),
    (("--time", "yesterday"), "--time"),
    (("--sun-elevation", "inf"), "--sun-elevation"),
    (("--no-such-option",), "--no-such-option"),
]
SIMULATE = [
    (("--loss", "2"), "--loss"),
    (("--loss", "-0.1"), "--loss"),
    (("--loss", "nan"), "--loss"),
    (("--loss", "0.9", "--burst", "2"), "--loss, --burst"),
    (("--burst", "0.5"), "--burst"),
    (("--burst", "inf"), "--burst"),
    (("--reorder", "-1"), "--reorder"),
    (("--duplicate", "1.5"), "--duplicate"),
    (("--seed", "-1"), "--seed"),
    (("--payload", "0"), "--payload"),
    (("--payload", "100000"), "--payload"),
]
SEND = [
    (("-o", "x", "--payload", "0"), "--payload"),
    (("-o", "x", "--payload", "63"), "--payload"),
    (("-o", "x", "--apid", "-1"), "--apid"),
    (("-o", "x", "--apid", "2047"), "--apid"),  # 2047 is the idle APID (CCSDS 133.0-B-2)
    (("-o", "x", "--fec", "turbo"), "none or rs"),
    ((), "where to?"),
    (("-o", "x", "--udp", "127.0.0.1:5"), "where to?"),
    (("--udp", "127.0.0.1:5", "--rate", "0"), "--rate"),
    (("--udp", "127.0.0.1:5", "--rate", "nan"), "--rate"),
    *(
        (("--udp", text), "HOST:PORT")
        for text in ("", "x", ":5", "host:", "host:0", "host:65536", "host:-1", "h:٣", "5")
    ),
]
RECEIVE = [
    (("udp:", "-o", "x"), "udp:[HOST:]PORT"),
    (("udp:70000", "-o", "x"), "udp:[HOST:]PORT"),
    (("udp:5x", "-o", "x"), "udp:[HOST:]PORT"),
    (("udp:0", "-o", "x", "--idle", "-1"), "--idle"),
    (("udp:0", "-o", "x", "--idle", "nan"), "--idle"),
]
DEMO = [
    (("--loss", "2"), "--loss"),
    (("--loss", "0.99"), "--loss, --burst"),
    (("--burst", "0"), "--burst"),
    (("--payload", "0"), "--payload"),
    (("--seed", "-2"), "--seed"),
]


def _names(cases: list[tuple[tuple[str, ...], str]]) -> list[str]:
    return [" ".join(arguments) for arguments, _ in cases]


@pytest.mark.parametrize(("arguments", "word"), ENCODE, ids=_names(ENCODE))
def test_encode(cli: Cli, tmp_path: Path, scene_tif: Path, arguments: tuple[str, ...], word: str) -> None:
    cli("encode", scene_tif, "-o", tmp_path / "a.nec", *ARGUMENTS, *arguments).refused(2, word)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("arguments", "word"), SIMULATE, ids=_names(SIMULATE))
def test_link_sim(cli: Cli, scene_nec: Path, arguments: tuple[str, ...], word: str) -> None:
    cli("link-sim", scene_nec, *arguments).refused(2, word)


@pytest.mark.parametrize(("arguments", "word"), SEND, ids=_names(SEND))
def test_link_send(
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scene_nec: Path,
    arguments: tuple[str, ...],
    word: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    cli("link", "send", scene_nec, *arguments).refused(2, word)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("arguments", "word"), RECEIVE, ids=_names(RECEIVE))
def test_link_receive(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    cli("link", "receive", *arguments).refused(2, word)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("arguments", "word"), DEMO, ids=_names(DEMO))
def test_demo(cli: Cli, tmp_path: Path, arguments: tuple[str, ...], word: str) -> None:
    cli("demo", "--out", tmp_path / "demo", *arguments).refused(2, word)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command", [["encode"], ["decode"], ["inspect"], ["verify"], ["link", "send"], ["link-sim"]]
)
def test_a_missing_argument_is_said_in_one_line(cli: Cli, command: list[str]) -> None:
    cli(*command).refused(2, "Missing argument", f"see swathpack {' '.join(command)} --help")


def test_an_unknown_command_is_named(cli: Cli) -> None:
    cli("transmogrify").refused(2, "transmogrify", "see swathpack --help")
    cli("link", "fling").refused(2, "fling")


def test_a_station_without_a_folder_is_refused(cli: Cli, tmp_path: Path) -> None:
    cli("ground", "serve").refused(2, "station")
    cli("ground", "serve", tmp_path / "s", "--port", "70000").refused(2, "--port")
    cli("ground", "serve", tmp_path / "s", "--config", tmp_path / "absent.toml").refused(2, "absent.toml")
    assert not list(tmp_path.iterdir())


def test_an_engine_that_is_not_here_is_named(cli: Cli, tmp_path: Path, scene_tif: Path, root: Path) -> None:
    arguments = ("encode", scene_tif, "-o", tmp_path / "a.nec", *ARGUMENTS, "--engine")
    cli(*arguments, "openvino").refused(8, "'openvino'", "auto, onnxruntime")
    cli(*arguments, tmp_path).refused(3, "no engine package")
    cli(*arguments, root / "models" / "s2-nano").refused(3, "the manifest of something else")
