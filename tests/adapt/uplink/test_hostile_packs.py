"""Packs made to harm, cut or damaged."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codec.adapt import uplink, uplink_body
from codec.adapt.uplink_body import Data, NewFile, Small
from codec.adapt.uplink_delta import Copy
from codec.adapt.uplink_streams import Stream, expand
from codec.errors import (
    Corrupt,
    FormatError,
    IdentityError,
    InputError,
    LimitExceeded,
    SwathpackError,
    Truncated,
    UnsupportedVersion,
)
from codec.package import Package
from tests.adapt.uplink.flying import literal, with_files


@pytest.mark.parametrize(
    "path", ["../escape", "/etc/passwd", "a/../../b", "", ".hidden", "a//b", "c:\\x", "a" * 201]
)
def test_paths_that_lead_elsewhere_are_refused(
    path: str, base: Package, pack: uplink.Pack, tmp_path: Path
) -> None:
    body = with_files(pack, *pack.parsed.files, literal(path, b"evil"))
    with pytest.raises(Corrupt, match=r"names the file|a path of the pack"):
        uplink_body.decode(body)
    with pytest.raises(Corrupt):
        uplink.apply(body, base, tmp_path / "in" / "next")
    assert list(tmp_path.iterdir()) == []


def hostile(pack: uplink.Pack, base: Package) -> dict[str, tuple[bytes, type[SwathpackError]]]:
    files = {file.path: file for file in pack.parsed.files}
    manifest, rest = files["manifest.json"], [f for p, f in files.items() if p != "manifest.json"]
    theirs = (base.folder / "manifest.json").read_bytes()
    taken = sum(part.length for part in manifest.parts if isinstance(part, Small))
    own_small = expand(pack.parsed.small)[taken:]  # the manifest is the first file
    bomb = zlib.compress(bytes(1 << 24), 9)

    def parts(*given: Copy | Data | Small, size: int) -> bytes:
        return with_files(pack, *files.values(), NewFile("x", size, "0" * 64, given))

    return {
        "a stream that expands to more": (
            parts(Data(Stream(10, "none", "zlib", bomb)), size=10), Corrupt),
        "a stream that expands to less": (
            parts(Data(Stream(1 << 25, "none", "zlib", bomb)), size=1 << 25), Corrupt),
        "a size beyond the limit": (
            parts(Data(Stream(1 << 40, "none", "zlib", bomb)), size=1 << 40), LimitExceeded),
        "copies that sum to too much": (
            with_files(pack, *files.values(), *(
                NewFile(f"x{i}", 1 << 28, "0" * 64, (Copy("made", "tables.bin", 0, 1 << 28),)) for i in range(5)
            )), LimitExceeded),
        "a copy from outside its source": (
            parts(Copy("base", "tables.bin", 0, 1 << 20), size=1 << 20), Corrupt),
        "a copy from far outside": (
            parts(Copy("base", "tables.bin", 1 << 29, 10), size=10), Corrupt),
        "a source that is no file of the base": (
            parts(Copy("base", "../../etc/passwd", 0, 10), size=10), Corrupt),
        "a source that is not made yet": (parts(Copy("made", "x", 0, 10), size=10), Corrupt),
        "a view of no plane": (parts(Copy("view", "none", 0, 10), size=10), Corrupt),
        "an unknown coder": (parts(Data(Stream(4, "none", "zip", b"1234")), size=4), Corrupt),
        "an unknown filter": (parts(Data(Stream(4, "fixed99", "stored", b"1234")), size=4), Corrupt),
        "parts that do not sum": (parts(Copy("base", "tables.bin", 0, 10), size=11), Corrupt),
        "a wrong hash": (with_files(pack, *rest[:-1], replace(rest[-1], sha256="0" * 64), manifest), Corrupt),
        "no manifest": (with_files(pack, *rest), Corrupt),
        "a file twice": (with_files(pack, *files.values(), rest[0]), Corrupt),
        "a file that the manifest does not list": (
            with_files(pack, *files.values(), literal("extra.bin", b"12")), Corrupt),
        "a listed file that nobody has": (
            with_files(pack, *(f for f in files.values() if f.path != "adapter.safetensors")), Corrupt),
        "a manifest of another package": (
            with_files(pack, literal("manifest.json", theirs), *rest, small=own_small), Corrupt),
        "more small bytes than parts": (with_files(pack, *files.values(), small=b"x" * 9999), Corrupt),
        "fewer small bytes than parts": (with_files(pack, *files.values(), small=b""), Corrupt),
        "more bytes than the head says": (pack.body + b"x", Corrupt),
        "no files": (with_files(pack), Corrupt),
    }  # fmt: skip


# Which check refuses each, so that none of them leans on a later one.
HOSTILE = {
    "a stream that expands to more": "does not end where",
    "a stream that expands to less": "another length|does not end",
    "a size beyond the limit": "too large",
    "copies that sum to too much": "size of all files",
    "a copy from outside its source": "lies outside base tables.bin",
    "a copy from far outside": "lies outside base tables.bin",
    "a source that is no file of the base": "unknown source",
    "a source that is not made yet": "unknown source, made 'x'",
    "a view of no plane": "unknown source, view",
    "an unknown coder": "unknown coder",
    "an unknown filter": "unknown filter",
    "parts that do not sum": "do not sum",
    "a wrong hash": "does not come out",
    "no manifest": "files of the pack",
    "a file twice": "files of the pack",
    "a file that the manifest does not list": "extra.bin, which its manifest does not list",
    "a listed file that nobody has": "neither pack nor base has",
    "a manifest of another package": "makes another package than it says",
    "more small bytes than parts": "more than its head says",
    "fewer small bytes than parts": "stream of small parts",
    "more bytes than the head says": "more than its head says",
    "no files": "files of the pack",
}


@pytest.mark.parametrize("reason", HOSTILE)
def test_packs_made_to_harm_are_refused_and_leave_nothing(
    reason: str, base: Package, pack: uplink.Pack, tmp_path: Path
) -> None:
    cases = hostile(pack, base)
    assert cases.keys() == HOSTILE.keys()
    body, kind = cases[reason]
    with pytest.raises(kind, match=HOSTILE[reason]):
        uplink.apply(body, base, tmp_path / "next")
    assert list(tmp_path.iterdir()) == []


def head_of(body: bytes) -> dict[str, object]:
    sent = int.from_bytes(body[:4], "little")
    found: dict[str, object] = json.loads(zlib.decompress(body[8 : 8 + sent]))
    return found


def with_head(body: bytes, head: object, *, stated: int | None = None) -> bytes:
    sent = int.from_bytes(body[:4], "little")
    text = json.dumps(head).encode()
    packed = zlib.compress(text)
    lengths = len(packed).to_bytes(4, "little") + (stated or len(text)).to_bytes(4, "little")
    return lengths + packed + body[8 + sent :]


def test_heads_are_checked_before_they_are_believed(pack: uplink.Pack) -> None:
    head = head_of(pack.body)
    assert uplink_body.decode(with_head(pack.body, head)) == pack.parsed
    with pytest.raises(UnsupportedVersion, match="another version"):
        uplink_body.decode(with_head(pack.body, {**head, "version": 1}))
    with pytest.raises(LimitExceeded, match="head"):
        uplink_body.decode(with_head(pack.body, head, stated=1 << 30))
    for wrong in (
        [],
        {**head, "format": "x"},
        {**head, "files": {}},
        {**head, "small": [1]},
        {**head, "base": None},
    ):
        with pytest.raises(Corrupt):
            uplink_body.decode(with_head(pack.body, wrong))


def test_every_cut_of_a_pack_is_truncated_or_corrupt(pack: uplink.Pack) -> None:
    for end in [*range(0, 600, 23), *range(600, len(pack.body), 997), len(pack.body) - 1]:
        with pytest.raises((Truncated, Corrupt)):
            uplink_body.decode(pack.body[:end])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_makes_anything_but_the_new_package(
    data: st.DataObject, base: Package, pack: uplink.Pack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    body = bytearray(pack.body)
    if data.draw(st.booleans()):
        head = json.dumps(head_of(pack.body))
        at = data.draw(st.integers(0, len(head) - 1))
        put = data.draw(st.sampled_from(["9", "-", '"', "[", "0", "e", "null", "{}", "1e9"]))
        text = head[:at] + put + head[at + 1 :]
        sent = int.from_bytes(body[:4], "little")
        packed = zlib.compress(text.encode())
        body = bytearray(
            len(packed).to_bytes(4, "little")
            + len(text.encode()).to_bytes(4, "little")
            + packed
            + body[8 + sent :]
        )
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    target = tmp_path_factory.mktemp("fuzz") / "next"
    try:
        found = uplink.apply(bytes(body), base, target)
    except (InputError, IdentityError, FormatError, LimitExceeded):
        assert not target.exists()
        assert list(target.parent.iterdir()) == []
    else:  # what was hit decides nothing, such as the name of the base
        assert found.codec_id.hex() == pack.parsed.result.codec_id
