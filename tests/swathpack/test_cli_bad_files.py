"""`.nec` files and packages that are damaged, cut, foreign, of the future or of an unknown model: exact exit codes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codec.bitstream.header import FileHeader
from codec.bitstream.reader import read_bytes
from tests.swathpack.conftest import Cli, Ran

MAGIC = b"\x89NEC\r\n\x1a\n"


def commands(cli: Cli, file: object, out: Path, stdin: bytes = b"") -> dict[str, Ran]:
    """What every command that takes a `.nec` does with it."""
    return {
        "inspect": cli("inspect", file, stdin=stdin),
        "verify": cli("verify", file, stdin=stdin),
        "decode": cli("decode", file, "-o", out / "out.npz", stdin=stdin),
        "link send": cli("link", "send", file, "-o", out / "out.pkt", stdin=stdin),
    }


NOT_NEC = {
    "empty": (b"", 4, "byte 0"),
    "text": (b"hello, this is no container at all", 4, "not a .nec file"),
    "tiff": (b"II*\0" + bytes(400), 4, "not a .nec file"),
    "zeros": (bytes(5000), 4, "not a .nec file"),
    "magic alone": (MAGIC, 4, "byte"),
    "random": (np.random.default_rng(3).bytes(4000), 4, "not a .nec file"),
}


@pytest.mark.parametrize("name", NOT_NEC)
def test_what_is_no_nec_file_is_refused_by_every_command(cli: Cli, tmp_path: Path, name: str) -> None:
    data, code, words = NOT_NEC[name]
    path = tmp_path / "input.bin"
    path.write_bytes(data)
    for ran in commands(cli, path, tmp_path).values():
        ran.refused(code, "input.bin", words)
    for ran in commands(cli, "-", tmp_path, stdin=data).values():
        ran.refused(code, words)
    cli("link-sim", path).refused(4 if data.startswith(MAGIC) else 3, "input.bin")
    assert [p.name for p in tmp_path.iterdir()] == ["input.bin"]


def test_a_missing_file_and_a_folder_are_refused_by_every_command(cli: Cli, tmp_path: Path) -> None:
    for ran in commands(cli, tmp_path / "absent.nec", tmp_path).values():
        ran.refused(3, "absent.nec", "No such file")
    for ran in commands(cli, tmp_path, tmp_path).values():
        ran.refused(3, "Is a directory")
    for source in (tmp_path / "absent", tmp_path):
        cli("link-sim", source).refused(3, "cannot be read")
        cli("link", "receive", source, "-o", tmp_path / "out.nec").refused(3, "cannot be read")
    assert not list(tmp_path.iterdir())


def test_every_cut_inside_the_header_is_refused_by_every_command(
    cli: Cli, tmp_path: Path, scene_nec: Path
) -> None:
    data = scene_nec.read_bytes()
    _, length = FileHeader.decode(data)
    path = tmp_path / "cut.nec"
    for size in (1, 7, 8, 12, length // 2, length - 1):
        path.write_bytes(data[:size])
        for ran in commands(cli, path, tmp_path).values():
            ran.refused(4, "cut.nec")


def test_a_flipped_bit_in_the_header_is_refused_by_every_command(
    cli: Cli, tmp_path: Path, scene_nec: Path
) -> None:
    path = tmp_path / "flipped.nec"
    for place in (3, 40, 90, 140):
        data = bytearray(scene_nec.read_bytes())
        data[place] ^= 0x10
        path.write_bytes(data)
        for ran in commands(cli, path, tmp_path).values():
            ran.refused(4, "flipped.nec")


def test_a_future_version_is_refused_by_number(cli: Cli, tmp_path: Path, scene_nec: Path) -> None:
    from codec.bitstream.core import crc32c

    data = bytearray(scene_nec.read_bytes())
    _, length = FileHeader.decode(bytes(data))
    data[8] = 9  # bitstream §3: the version stands behind the magic
    data[length - 4 : length] = crc32c(bytes(data[: length - 4])).to_bytes(4, "little")
    path = tmp_path / "future.nec"
    path.write_bytes(data)
    for ran in commands(cli, path, tmp_path).values():
        ran.refused(3, "future.nec", "version", "9")


def test_a_file_cut_inside_a_record_is_used_as_far_as_it_goes(
    cli: Cli, tmp_path: Path, scene_nec: Path
) -> None:
    data = scene_nec.read_bytes()
    records = read_bytes(data).records
    path = tmp_path / "cut.nec"
    path.write_bytes(data[: records[-1].offset + 10])
    assert cli("inspect", path).code == 0
    verify = cli("verify", path)
    assert verify.code == 6
    assert f"incomplete: the file was cut inside the record at byte {records[-1].offset}" in verify.text
    decode = cli("decode", path, "-o", tmp_path / "cut.npz")
    assert decode.code == 6
    assert decode.err.splitlines()[-1].startswith(f"error: {path}: ")
    with np.load(tmp_path / "cut.npz") as arrays:
        assert arrays["tokens_validity"].any()
    send = cli("link", "send", path, "-o", tmp_path / "cut.pkt")
    assert send.code == 6
    assert f"the first from byte {records[-1].offset}" in send.err
    receive = cli("link", "receive", tmp_path / "cut.pkt", "-o", tmp_path / "back.nec")
    assert receive.code == 6  # no seal
    assert (tmp_path / "back.nec").read_bytes() == data[: records[-1].offset]


def test_a_file_cut_between_records_is_incomplete(cli: Cli, tmp_path: Path, scene_nec: Path) -> None:
    data = scene_nec.read_bytes()
    path = tmp_path / "cut.nec"
    path.write_bytes(data[: read_bytes(data).records[-1].offset])
    assert "not sealed" in cli("verify", path).text
    assert cli("verify", path).code == 6
    assert cli("decode", path, "-o", tmp_path / "cut.npz").code == 6
    assert cli("link", "send", path, "-o", tmp_path / "cut.pkt").code == 0  # all that is there was sent


def test_a_flipped_bit_in_a_record_is_damage_and_the_rest_is_used(
    cli: Cli, tmp_path: Path, scene_nec: Path
) -> None:
    data = bytearray(scene_nec.read_bytes())
    records = read_bytes(bytes(data)).records
    data[records[1].offset + 20] ^= 1
    path = tmp_path / "flipped.nec"
    path.write_bytes(data)
    verify = cli("verify", path)
    assert verify.code == 4
    assert f"damaged bytes at byte {records[1].offset}" in verify.text
    assert cli("decode", path, "-o", tmp_path / "flipped.npz").code == 6
    inspect = cli("inspect", path)
    assert inspect.code == 0
    assert f"damaged  bytes {records[1].offset} to " in inspect.text
    assert cli("link", "send", path, "-o", tmp_path / "flipped.pkt").code == 6


def test_two_files_in_one_are_damage(cli: Cli, tmp_path: Path, scene_nec: Path) -> None:
    path = tmp_path / "twice.nec"
    path.write_bytes(scene_nec.read_bytes() * 2)
    assert cli("verify", path).code == 4


def test_a_seal_that_counts_fewer_records_than_there_are_is_damage(
    cli: Cli, tmp_path: Path, scene_nec: Path
) -> None:
    data = scene_nec.read_bytes()
    record = read_bytes(data).records[-1]
    end = record.offset + len(record.data)
    path = tmp_path / "inserted.nec"
    path.write_bytes(data[:end] + record.data + data[end:])
    verify = cli("verify", path)
    assert verify.code == 4
    assert "the seal disagrees" in verify.text


@pytest.mark.parametrize("changed", ["codec", "space"])
def test_an_unknown_identity_is_named_and_the_checksums_are_checked_all_the_same(
    cli: Cli, tmp_path: Path, scene_nec: Path, changed: str
) -> None:
    data = scene_nec.read_bytes()
    header, _ = FileHeader.decode(data)
    if changed == "codec":
        header = replace(header, codec_id=bytes.fromhex("00112233aabbccdd"))
        named = "00112233aabbccdd"
    else:
        plane = replace(header.planes[0], space_id=bytes.fromhex("0123456789abcdef"))
        header = replace(header, planes=(plane, *header.planes[1:]))
        named = "0123456789abcdef"
    path = tmp_path / "alien.nec"
    # Without index and seal, which speak of the other header.
    path.write_bytes(header.encode() + b"".join(r.data for r in read_bytes(data).records))
    assert cli("inspect", path).code == 0
    verify = cli("verify", path)
    assert verify.code == 5
    assert "unknown: checksums hold" in verify.text
    assert named in verify.text
    cli("decode", path, "-o", tmp_path / "alien.npz").refused(5, named)
    assert cli("link", "send", path, "-o", tmp_path / "alien.pkt").code == 0
    assert not (tmp_path / "alien.npz").exists()


def test_a_damaged_package_is_named(
    cli: Cli, tmp_path: Path, scene_nec: Path, scene_tif: Path, root: Path
) -> None:
    folder = tmp_path / "models" / "s2-nano"
    shutil.copytree(root / "models" / "s2-nano", folder)
    tables = bytearray((folder / "tables.bin").read_bytes())
    tables[-1] ^= 1
    (folder / "tables.bin").write_bytes(tables)
    cli("decode", scene_nec, "-o", tmp_path / "a.npz", "--models", folder).refused(4, "tables.bin", "SHA-256")
    cli("verify", scene_nec, "--models", folder.parent).refused(4, "tables.bin")
    cli("encode", scene_tif, "-o", tmp_path / "a.nec", "--model", folder).refused(4, "tables.bin")


def test_a_manifest_that_is_no_json_is_no_package(cli: Cli, tmp_path: Path, scene_tif: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    cli("encode", scene_tif, "-o", tmp_path / "a.nec", "--model", tmp_path).refused(4, "manifest.json")


def test_an_unknown_model_is_named(cli: Cli, tmp_path: Path, scene_tif: Path, scene_nec: Path) -> None:
    cli("encode", scene_tif, "-o", tmp_path / "a.nec", "--model", "nothing").refused(
        5, "nothing", "found none in "
    )
    cli("encode", scene_tif, "-o", tmp_path / "a.nec", "--model", tmp_path / "x").refused(
        3, "no such package"
    )
    cli("decode", scene_nec, "-o", tmp_path / "a.npz", "--models", tmp_path / "x").refused(3, "x")


def test_a_package_without_an_encoder_does_not_encode(
    cli: Cli, tmp_path: Path, scene_tif: Path, root: Path
) -> None:
    from codec.package import refresh

    folder = tmp_path / "bare"
    shutil.copytree(root / "models" / "s2-nano", folder, ignore=shutil.ignore_patterns("*.onnx", "heads"))
    refresh(folder)
    cli("encode", scene_tif, "-o", tmp_path / "a.nec", "--model", folder).refused(5, "has no encoder.onnx")


def test_an_unknown_plane_is_named(cli: Cli, tmp_path: Path, scene_nec: Path) -> None:
    ran = cli("decode", scene_nec, "-o", tmp_path / "a.csv", "--plane", "depth9")
    ran.refused(3, "depth9", "tokens, spectral")


def test_json_of_verify_says_why(cli: Cli, tmp_path: Path, scene_nec: Path) -> None:
    data = scene_nec.read_bytes()
    path = tmp_path / "cut.nec"
    path.write_bytes(data[:-5])
    ran = cli("verify", path, "--json")
    document = json.loads(ran.out)
    assert ran.code == document["exit_code"] == 6
    assert document["verdict"] == "incomplete"
