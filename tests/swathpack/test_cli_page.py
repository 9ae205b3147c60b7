"""docs/cli.md is what the code says, and what the commands do."""

from __future__ import annotations

import json
import re
from pathlib import Path

from codec.errors import ExitCode
from swathpack.cli import EPILOG
from swathpack.cli_page import JSON_KEYS, page
from tests.swathpack.conftest import Cli
from tests.swathpack.small_scene import ARGUMENTS


def test_the_page_in_the_tree_is_the_one_the_code_makes(root: Path) -> None:
    found = (root / "docs" / "cli.md").read_text(encoding="utf-8")
    assert found == page(), "run: python -m swathpack.cli_page docs/cli.md"


def test_every_command_and_exit_code_stands_in_it() -> None:
    made = page()
    for command in (
        "encode", "decode", "inspect", "verify", "link send", "link receive", "link-sim", "ground serve", "demo", "doctor",
    ):  # fmt: skip
        assert f"### `swathpack {command}" in made
    for code in ExitCode:
        assert re.search(rf"^\| {int(code)} \| ", made, re.MULTILINE)


def test_the_help_names_every_exit_code() -> None:
    named = {int(number) for number in re.findall(r"(\d+) [a-z]", EPILOG)}
    assert named == {int(code) for code in ExitCode}


def test_json_has_the_keys_that_the_page_promises(
    cli: Cli, scene_tif: Path, scene_nec: Path, tmp_path: Path
) -> None:
    printed = {
        "encode --json": cli("encode", scene_tif, "-o", tmp_path / "a.nec", "--json", *ARGUMENTS),
        "inspect --json": cli("inspect", scene_nec, "--json"),
        "verify --json": cli("verify", scene_nec, "--json"),
        "link-sim --json": cli("link-sim", scene_nec, "--json"),
        "doctor --json (a list)": cli("doctor", "--json"),
    }
    for name, ran in printed.items():
        assert ran.code == 0, (name, ran.err)
        document = json.loads(ran.out)
        for entry in document if isinstance(document, list) else [document]:
            assert set(entry) == set(JSON_KEYS[name]), name
    with_bytes = json.loads(cli("inspect", scene_nec, "--json", "--bytes").out)
    assert set(with_bytes) == set(JSON_KEYS["inspect --json"]) | set(JSON_KEYS["inspect --json --bytes"])
