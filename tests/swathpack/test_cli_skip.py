"""`encode --skip`: what it says, what it refuses, and a scene of which nothing is left."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.swathpack.conftest import Cli
from tests.swathpack.small_scene import ARGUMENTS

# One of two classes has half or more of every token: together they leave nothing.
ALL = ("--skip", "cloud/clear=0.49", "--skip", "cloud/cloud=0.49")


def test_a_rule_that_rules_nothing_out_changes_no_byte(cli: Cli, scene_tif: Path, scene_nec: Path) -> None:
    ran = cli("encode", scene_tif, "-o", "-", "--skip", "cloud=1", *ARGUMENTS)
    assert (ran.code, ran.out) == (0, scene_nec.read_bytes())
    assert "note: 0 of 475 tokens are not sent" in ran.err  # 150×200 pixels: 19 rows of 25 tokens
    assert "deciding on board what is sent" in ran.err  # the card of the shipped head


def test_a_scene_of_which_nothing_is_left_is_a_sound_file_of_invalid_tokens(
    cli: Cli, scene_tif: Path, tmp_path: Path
) -> None:
    nec, out = tmp_path / "a.nec", tmp_path / "a.npz"
    ran = cli("encode", scene_tif, "-o", nec, *ALL, *ARGUMENTS)
    assert ran.code == 0, ran.err
    assert f"{nec}: {nec.stat().st_size} bytes for 0 tiles that are sent, " in ran.err
    assert cli("verify", nec).code == 0
    assert cli("decode", nec, "-o", out).code == 0
    with np.load(out) as arrays:
        validity = [arrays[name] for name in arrays.files if "validity" in name]
        assert validity
        assert not any(each.any() for each in validity)


def test_the_report_counts_what_is_skipped(cli: Cli, scene_tif: Path, tmp_path: Path) -> None:
    ran = cli("encode", scene_tif, "-o", tmp_path / "a.nec", *ALL, "--json", *ARGUMENTS)
    found = json.loads(ran.out)["skipped"]
    assert (found["tokens"], found["skipped_tokens"], found["skipped_tiles"]) == (475, 475, 12)
    assert sum(found["by_rule"].values()) >= 475
    assert found["dear_tokens"] == 0


@pytest.mark.parametrize(
    ("rule", "code", "said"),
    [
        ("cloud", 2, "CLASS=PROBABILITY"),
        ("cloud=0", 2, "above 0"),
        ("cloud=1.5", 2, "at most 1"),
        ("fog=0.9", 3, "'fog'"),
        ("Forest=0.9", 3, "tiles as a whole"),
        ("water=0.9", 3, "landcover/water=0.9"),
        ("rain/cloud=0.9", 3, "'rain'"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused_in_one_line(
    cli: Cli, scene_tif: Path, tmp_path: Path, rule: str, code: int, said: str
) -> None:
    out = tmp_path / "a.nec"
    cli("encode", scene_tif, "-o", out, "--skip", rule, *ARGUMENTS).refused(code, said)
    assert not out.exists()
