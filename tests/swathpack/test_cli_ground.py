"""`swathpack ground serve --once`: the station behind the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.swathpack.conftest import Cli


def station(tmp_path: Path, name: str, data: bytes) -> Path:
    inbox = tmp_path / "station" / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    (inbox / name).write_bytes(data)
    return tmp_path / "station"


def test_a_whole_file_gives_products_and_exit_0(cli: Cli, tmp_path: Path, scene_nec: Path) -> None:
    import rasterio

    folder = station(tmp_path, "a.nec", scene_nec.read_bytes())
    ran = cli("ground", "serve", folder, "--once", "--embeddings")
    assert (ran.code, ran.out) == (0, b""), ran.err
    (current,) = folder.glob("products/*/current")
    report = json.loads((current / "report.json").read_text())
    assert report["missing"] == []
    with rasterio.open(current / "tokens.tif") as dataset:
        assert dataset.crs.to_epsg() == 32632


def test_packets_with_losses_give_products_and_exit_6(cli: Cli, tmp_path: Path, scene_nec: Path) -> None:
    sent = cli("link", "send", scene_nec, "-o", "-", "--payload", "128", "--fec", "none").out
    arrived = cli("link-sim", "-", "-o", "-", "--loss", "0.4", "--seed", "1", stdin=sent).out
    folder = station(tmp_path, "a.pkt", arrived)
    ran = cli("ground", "serve", folder, "--once")
    assert ran.code == 6, ran.err
    assert list(folder.glob("products/*/current/report.json"))


def test_an_unknown_package_is_exit_5(cli: Cli, tmp_path: Path, scene_nec: Path) -> None:
    from dataclasses import replace

    from codec.bitstream.header import FileHeader
    from codec.bitstream.reader import read_bytes

    data = scene_nec.read_bytes()
    header = replace(FileHeader.decode(data)[0], codec_id=b"\1" * 8)
    alien = header.encode() + b"".join(record.data for record in read_bytes(data).records)
    assert cli("ground", "serve", station(tmp_path, "a.nec", alien), "--once").code == 5


def test_a_station_in_the_place_of_a_file_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    cli("ground", "serve", tmp_path / "file", "--once").refused(3, "file")
    cli("ground", "serve", tmp_path / "file" / "station", "--once").refused(3, "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_setting_of_the_environment_counts_and_is_named(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWATHPACK_GROUND_PORT", "many")
    cli("ground", "serve", tmp_path / "s", "--once").refused(2, "SWATHPACK_GROUND_PORT")
