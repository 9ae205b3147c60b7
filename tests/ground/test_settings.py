"""Settings: file, environment, flags, in this order; what is wrong is named by its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec.errors import UsageError
from ground.config import load_config


def test_flags_go_before_environment_and_environment_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text('station = "from-file"\nport = 1\nhost = "10.0.0.1"\n')
    environment = {
        "SWATHPACK_GROUND_PORT": "2",
        "SWATHPACK_GROUND_HOST": "10.0.0.2",
        "SWATHPACK_CRASH_AT": "0",
    }
    config = load_config({"host": "10.0.0.3", "port": None}, path=path, environment=environment)
    assert (config.station, config.port, config.host) == (Path("from-file"), 2, "10.0.0.3")


def test_models_are_a_list_of_paths_in_the_environment() -> None:
    environment = {"SWATHPACK_GROUND_STATION": "s", "SWATHPACK_GROUND_MODELS": "a:b/c"}
    assert load_config({}, environment=environment).models == (Path("a"), Path("b/c"))


def test_a_wrong_value_in_the_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text('# a station\nstation = "s"\n\nport = 70000\n')
    with pytest.raises(UsageError, match=r"station\.toml, line 4, port: .*65535"):
        load_config({}, path=path, environment={})


def test_an_unknown_setting_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text('station = "s"\npoll = 3\n')
    with pytest.raises(UsageError, match=r"line 2, poll"):
        load_config({}, path=path, environment={})


def test_wrong_environment_and_flags_are_named() -> None:
    with pytest.raises(UsageError, match="environment SWATHPACK_GROUND_POLL_S"):
        load_config({"station": "s"}, environment={"SWATHPACK_GROUND_POLL_S": "soon"})
    with pytest.raises(UsageError, match="--group-packets"):
        load_config({"station": "s", "group_packets": 0}, environment={})


def test_broken_toml_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text('station = "s"\nport = = 3\n')
    with pytest.raises(UsageError, match="line 2"):
        load_config({}, path=path, environment={})


def test_a_station_must_be_named() -> None:
    with pytest.raises(UsageError, match="station"):
        load_config({}, environment={})
