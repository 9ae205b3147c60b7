"""`swathpack uplink`, with the shipped model: made on the ground, received in pieces, applied, and it encodes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from codec.package import Package, load, refresh
from swathpack.cli_page import JSON_KEYS
from tests.package.small_package import build_small
from tests.swathpack.conftest import Cli
from tests.swathpack.small_scene import ARGUMENTS

FIVE_MEGABITS = 5_000_000  # what an adapter and its tables may take


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Package, Package]:
    """A small one that flies, and what it shall become: an adapter, other heads."""
    folder = tmp_path_factory.mktemp("packages")
    flying = build_small(folder / "flying")
    shutil.copytree(flying.folder, folder / "new")
    (folder / "new" / "adapter.safetensors").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "new" / "heads" / "water.onnx").write_bytes(b"another network")
    return flying, refresh(folder / "new")


@pytest.fixture(scope="module")
def pack(packages: tuple[Package, Package], tmp_path_factory: pytest.TempPathFactory) -> Path:
    from swathpack.cli import main

    base, new = packages
    path = tmp_path_factory.mktemp("pack") / "a.pack"
    assert main(["uplink", "pack", str(base.folder), str(new.folder), "-o", str(path)]) == 0
    return path


def test_pack_says_what_is_sent_and_how_large_it_is(
    cli: Cli, packages: tuple[Package, Package], tmp_path: Path
) -> None:
    base, new = packages
    ran = cli("uplink", "pack", base.folder, new.folder, "-o", tmp_path / "a.pack")
    assert ran.code == 0, ran.err
    size = (tmp_path / "a.pack").stat().st_size
    assert f"{size} bytes, {size * 8 / 1e6:.3f} Mbit" in ran.err
    assert "adapter.safetensors: 5000 bytes, 5000 sent" in ran.err
    assert "left out, not in the result: heads/water.onnx" in ran.err


def test_json_has_the_keys_that_the_page_promises(
    cli: Cli, packages: tuple[Package, Package], tmp_path: Path
) -> None:
    base, new = packages
    path = tmp_path / "a.pack"
    made = cli("uplink", "pack", base.folder, new.folder, "-o", path, "--with", "heads", "--json")
    seen = cli("uplink", "inspect", path, "--json")
    applied = cli("uplink", "apply", base.folder, path, "-o", tmp_path / "next", "--json")
    for name, ran in (("pack", made), ("inspect", seen), ("apply", applied)):
        assert ran.code == 0, ran.err
        assert set(json.loads(ran.out)) == set(JSON_KEYS[f"uplink {name} --json"]), name
    facts = json.loads(made.out)
    assert facts["left_out"] == []
    assert facts["bytes"] == path.stat().st_size
    assert facts["from_codec_id"] == base.codec_id.hex()
    assert load(tmp_path / "next").space_ids == new.space_ids


def test_a_pack_through_a_pipe_is_a_pack(
    cli: Cli, packages: tuple[Package, Package], pack: Path, tmp_path: Path
) -> None:
    base, new = packages
    ran = cli("uplink", "pack", base.folder, new.folder, "-o", "-")
    assert ran.out == pack.read_bytes()
    applied = cli("uplink", "apply", base.folder, "-", "-o", tmp_path / "next", stdin=ran.out)
    assert applied.code == 0, applied.err


def test_half_a_pack_is_75_names_what_is_missing_and_goes_on_where_it_stopped(
    cli: Cli, packages: tuple[Package, Package], pack: Path, tmp_path: Path
) -> None:
    base, _ = packages
    data = pack.read_bytes()
    (tmp_path / "first").write_bytes(data[960:2880] + data[:960])  # 0 to 2, out of order
    ran = cli("uplink", "apply", base.folder, tmp_path / "first", "-o", tmp_path / "next")
    ran.refused(75, "pieces of pack", "are missing: 3–", "send these again")
    looked = cli("uplink", "inspect", tmp_path / "first")
    assert looked.code == 6
    assert "are missing: 3–" in looked.err
    assert not (tmp_path / "next").exists()
    (tmp_path / "second").write_bytes(data[1920:])  # one of them twice
    ran = cli(
        "uplink",
        "apply",
        base.folder,
        tmp_path / "second",
        tmp_path / "first",
        "-o",
        tmp_path / "next",
        "--json",
    )
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["duplicate_pieces"] == 1


def test_damaged_pieces_are_passed_over_and_counted(
    cli: Cli, packages: tuple[Package, Package], pack: Path, tmp_path: Path
) -> None:
    data = bytearray(pack.read_bytes())
    data[1000] ^= 4
    (tmp_path / "a").write_bytes(data)
    ran = cli("uplink", "inspect", tmp_path / "a")
    assert ran.code == 6
    assert "1 damaged pieces were passed over" in ran.err
    assert "are missing: 1;" in ran.err
    (tmp_path / "b").write_bytes(data[960:1920])
    cli("uplink", "inspect", tmp_path / "b").refused(4, "no intact piece")


def test_bad_input_gets_one_line_and_its_code(
    cli: Cli, packages: tuple[Package, Package], pack: Path, tmp_path: Path
) -> None:
    base, new = packages
    cli("uplink", "apply", new.folder, pack, "-o", tmp_path / "a").refused(
        5, "for another base", "make a pack"
    )
    cli("uplink", "apply", base.folder, tmp_path / "none", "-o", tmp_path / "a").refused(3, "cannot be read")
    cli("uplink", "apply", base.folder, pack, "-o", base.folder).refused(3, "not empty")
    cli("uplink", "pack", base.folder, base.folder, "-o", tmp_path / "x").refused(
        3, "nothing that is sent has changed"
    )
    cli("uplink", "pack", base.folder, tmp_path / "no", "-o", tmp_path / "x").refused(
        3, "no such package folder"
    )
    cli("uplink", "pack", base.folder, new.folder, "-o", tmp_path / "x", "--with", "hats").refused(
        3, "has no hats"
    )
    cli("uplink", "pack", base.folder, new.folder, "-o", tmp_path / "x", "--piece", "9").refused(2, "--piece")
    applied = cli("uplink", "apply", base.folder, pack, "-o", tmp_path / "next")
    assert applied.code == 0, applied.err
    cli("uplink", "apply", tmp_path / "next", pack, "-o", tmp_path / "b").refused(5, "makes already")
    two = tmp_path / "two"
    again = cli("uplink", "pack", base.folder, new.folder, "-o", two, "--with", "heads")
    assert again.code == 0, again.err
    cli("uplink", "inspect", two, pack).refused(3, "several packs")
    assert not (tmp_path / "x").exists()


def test_the_shipped_model_with_a_new_transform_fits_the_link_and_encodes(
    cli: Cli, scene_tif: Path, root: Path, tmp_path: Path
) -> None:
    base = root / "models" / "s2-nano"
    new = tmp_path / "new"
    shutil.copytree(base, new)
    # Of the size of a DEFLECT adapter for this encoder in float32; bytes that nothing shrinks.
    (new / "adapter.safetensors").write_bytes(np.random.default_rng(0).bytes(55_000))
    graph = (new / "encoder.onnx").read_bytes()
    (new / "encoder.onnx").write_bytes(
        graph.replace(b"pytorch", b"pytorcH", 1)
    )  # it followed, says its producer
    refresh(new)
    made = cli("uplink", "pack", base, new, "-o", tmp_path / "a.pack", "--round-transform", "--json")
    assert made.code == 0, made.err
    facts = json.loads(made.out)
    assert facts["bytes"] * 8 < FIVE_MEGABITS
    by_path = {row["path"]: row for row in facts["files"]}
    assert by_path["encoder.onnx"]["sent_bytes"] == 0  # 4 MB of weights and transform that the receiver has
    applied = cli("uplink", "apply", base, tmp_path / "a.pack", "-o", tmp_path / "next")
    assert applied.code == 0, applied.err
    given = ("--model", tmp_path / "next")
    encoded = cli("encode", scene_tif, "-o", tmp_path / "a.nec", *_without_model(ARGUMENTS), *given)
    assert encoded.code == 0, encoded.err
    decoded = cli("decode", tmp_path / "a.nec", "-o", tmp_path / "a.npz", "--models", tmp_path / "next")
    assert decoded.code == 0, decoded.err
    assert load(tmp_path / "next").codec_id.hex() == facts["codec_id"] != facts["from_codec_id"]


def _without_model(arguments: tuple[str, ...] | list[str]) -> list[str]:
    found = list(arguments)
    if "--model" in found:
        at = found.index("--model")
        del found[at : at + 2]
    return found
