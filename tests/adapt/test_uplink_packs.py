"""Uplink packs: the new package comes out byte for byte, beside the old one, or not at all."""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
import signal
import subprocess
import sys
import zlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codec.adapt import uplink, uplink_body, uplink_pieces
from codec.adapt.uplink_body import Body, Data, NewFile, Small
from codec.adapt.uplink_delta import Copy, Matcher, Source
from codec.adapt.uplink_streams import Stream, expand, shrink
from codec.adapt.uplink_views import bases, rounded
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
from codec.package import Package, load, refresh
from codec.transform.fit import FittedCodec, fit_planes
from codec.transform.layout import PlaneLayout
from tests.adapt import uplink_reader
from tests.package.small_package import build_small, small_codec
from tests.transform.synthetic_embeddings import embeddings, spectral


@lru_cache(maxsize=1)
def other_codec() -> FittedCodec:
    return fit_planes(
        {"tokens": embeddings(300), "spectral": spectral(300)},
        layouts={
            "tokens": PlaneLayout(n_layers=4),
            "spectral": PlaneLayout(position_mean=False, n_layers=2, dc_shift=-4),
        },
        default_bytes=60.0,
        layer_bytes=150.0,
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A package that flies, with a graph that holds its transform as a graph does."""
    folder = tmp_path_factory.mktemp("flying") / "small"
    build_small(folder)
    write_graph(load(folder), folder)
    return refresh(folder)


def write_graph(package: Package, folder: Path) -> None:
    """Bytes as of an encoder: weights that stay, and the transform between them."""
    weights = np.random.default_rng(0).standard_normal(5000).astype("<f4").tobytes()
    parts = [part for t in package.transforms.values() for part in (t.mean.tobytes(), bases(t).tobytes())]
    (folder / "encoder.onnx").write_bytes(weights + b"node ".join(parts) + weights[::-1])


@pytest.fixture(scope="module")
def new(base: Package, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The same after an adapter: other embeddings, so other statistics, heads and card."""
    folder = tmp_path_factory.mktemp("ground") / "small"
    shutil.copytree(base.folder, folder)
    codec = other_codec()
    from codec.package import arrays

    (folder / "transform.npz").write_bytes(arrays.encode(codec.transforms, codec.liftings))
    (folder / "tables.bin").write_bytes(codec.tables_bytes)
    (folder / "adapter.safetensors").write_bytes(np.random.default_rng(1).bytes(3000))
    (folder / "heads" / "water.onnx").write_bytes(b"another network")
    (folder / "card.md").write_text("# measured anew\n")
    package = refresh(folder)
    write_graph(package, folder)
    return refresh(folder)


@pytest.fixture(scope="module")
def pack(base: Package, new: Package) -> uplink.Pack:
    return uplink.make(base, new)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_all_that_is_asked_for_makes_the_new_package_byte_for_byte(
    base: Package, new: Package, tmp_path: Path
) -> None:
    made = uplink.make(base, new, send=["heads", "card.md"])
    assert made.left_out == ()
    before = contents(base.folder)
    found = uplink.apply(made.body, base, tmp_path / "next")
    assert contents(tmp_path / "next") == contents(new.folder)
    assert found.codec_id == new.codec_id
    assert found.space_ids == new.space_ids
    assert contents(base.folder) == before


def test_what_nobody_asked_for_is_left_out_and_named(
    base: Package, new: Package, pack: uplink.Pack, tmp_path: Path
) -> None:
    assert pack.left_out == ("card.md", "heads/water.onnx")
    found = uplink.apply(pack.body, base, tmp_path / "next")
    assert set(found.manifest.files) == set(new.manifest.files) - set(pack.left_out)
    assert found.codec_id == new.codec_id


def test_tables_alone_take_few_bytes_and_keep_the_heads(base: Package, tmp_path: Path) -> None:
    folder = tmp_path / "refitted"
    shutil.copytree(base.folder, folder)
    (folder / "tables.bin").write_bytes(other_codec().tables_bytes)
    refitted = refresh(folder)
    made = uplink.make(base, refitted)
    assert len(made.body) < len(other_codec().tables_bytes)
    found = uplink.apply(made.body, base, tmp_path / "next")
    assert contents(tmp_path / "next") == contents(folder)
    assert "heads/water.onnx" in found.manifest.files


def test_the_graph_is_made_of_what_is_there_and_of_the_transform(pack: uplink.Pack) -> None:
    (graph,) = (file for file in pack.parsed.files if file.path == "encoder.onnx")
    assert graph.sent == 0
    kinds = {part.kind for part in graph.parts if isinstance(part, Copy)}
    assert kinds == {"base", "made", "view"}


def test_equal_packages_give_equal_packs(base: Package, new: Package, pack: uplink.Pack) -> None:
    assert uplink.make(base, new).body == pack.body


def test_rounding_halves_the_transform_and_says_so_by_its_codec_id(
    base: Package, new: Package, pack: uplink.Pack, tmp_path: Path
) -> None:
    (tmp_path / "round").mkdir()
    coarse = rounded(new, tmp_path / "round")
    assert coarse.codec_id != new.codec_id
    assert coarse.space_ids == new.space_ids
    assert coarse.manifest.version == f"1.0+grid15.{new.codec_id.hex()}"
    assert coarse.manifest.raw["notes"]["rounded"]["from_codec_id"] == new.codec_id.hex()
    for name, transform in coarse.transforms.items():
        assert np.array_equal(transform.basis * 2**15, np.rint(transform.basis * 2**15))
        np.testing.assert_allclose(transform.basis, new.transforms[name].basis, rtol=0, atol=2**-16)
    made = uplink.make(base, coarse)
    sent = {file.path: file.sent for file in made.parsed.files}
    exact = {file.path: file.sent for file in pack.parsed.files}
    assert sent["transform.npz"] < 0.6 * exact["transform.npz"]
    assert sent["encoder.onnx"] == 0  # it followed
    found = uplink.apply(made.body, base, tmp_path / "next")
    assert found.codec_id == coarse.codec_id


@pytest.mark.parametrize("is_rounded", [False, True], ids=["exact", "rounded"])
def test_a_receiver_written_from_the_document_makes_the_same(
    is_rounded: bool, base: Package, new: Package, tmp_path: Path
) -> None:
    (tmp_path / "round").mkdir()
    wanted = rounded(new, tmp_path / "round") if is_rounded else new
    made = uplink.make(base, wanted, send=["heads"])
    pieces = uplink_pieces.cut(made.body, 500)
    found = uplink_reader.receive(uplink_reader.body_of(b"".join(reversed(pieces))), base.folder)
    uplink.apply(made.body, base, tmp_path / "next")
    assert found == contents(tmp_path / "next")


def test_rounding_refuses_a_graph_of_another_transform(new: Package, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(new.folder, folder)
    (folder / "encoder.onnx").write_bytes(b"graph")
    (tmp_path / "round").mkdir()
    with pytest.raises(InputError, match=r"encoder\.onnx.*--into-package"):
        rounded(refresh(folder), tmp_path / "round")


def test_bases_are_basis_and_rotation_in_one(base: Package, new: Package) -> None:
    for transform in (*base.transforms.values(), *new.transforms.values()):
        exact = (
            transform.basis[None].astype(np.float64)
            if transform.rotations is None
            else transform.rotations.matrices.astype(np.float64) @ transform.basis.astype(np.float64)
        )
        np.testing.assert_allclose(bases(transform), exact.swapaxes(1, 2), rtol=0, atol=1e-7)


def test_a_graph_that_did_not_follow_is_refused(base: Package, new: Package, tmp_path: Path) -> None:
    folder = tmp_path / "stale"
    shutil.copytree(new.folder, folder)
    shutil.copy(base.folder / "encoder.onnx", folder / "encoder.onnx")
    with pytest.raises(
        InputError, match=r"adapter\.safetensors.*changed and its encoder\.onnx did not.*export"
    ):
        uplink.make(base, refresh(folder))


def test_nothing_to_send_is_said(base: Package, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing that is sent has changed"):
        uplink.make(base, base)
    folder = tmp_path / "card"
    shutil.copytree(base.folder, folder)
    (folder / "heads" / "water.onnx").write_bytes(b"a better network")
    better = refresh(folder)
    with pytest.raises(InputError, match="has no card"):
        uplink.make(base, better, send=["card"])
    assert uplink.make(base, better, send=["heads"]).left_out == ()


def test_the_pack_of_another_base_is_refused_by_what_differs(
    base: Package, new: Package, pack: uplink.Pack, tmp_path: Path
) -> None:
    build_small(tmp_path / "weights", weights=b"other weights")
    (tmp_path / "weights" / "encoder.onnx").write_bytes(b"")
    build_small(tmp_path / "card")
    write_graph(load(tmp_path / "card"), tmp_path / "card")
    (tmp_path / "card" / "card.md").write_text("another card")
    refresh(tmp_path / "card")
    for folder, what in ((tmp_path / "weights", "encoder"), (tmp_path / "card", "manifest")):
        with pytest.raises(IdentityError, match=f"for another base: 'small' version 1.0, by its {what}"):
            uplink.apply(pack.body, load(folder), tmp_path / "next")
    with pytest.raises(IdentityError, match="by its codec id"):
        uplink.apply(uplink.make(new, base).body, base, tmp_path / "next")
    assert not (tmp_path / "next").exists()


def test_a_pack_is_applied_once(base: Package, pack: uplink.Pack, tmp_path: Path) -> None:
    found = uplink.apply(pack.body, base, tmp_path / "next")
    with pytest.raises(IdentityError, match="what this pack makes already"):
        uplink.apply(pack.body, found, tmp_path / "third")
    with pytest.raises(InputError, match="not empty"):
        uplink.apply(pack.body, base, tmp_path / "next")


def test_a_damaged_base_is_found_before_anything_appears(
    base: Package, pack: uplink.Pack, tmp_path: Path
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base.folder, folder)
    flying = load(folder)
    (folder / "heads" / "water.onnx").write_bytes(b"not really a netw0rk")
    shutil.copy(folder / "heads" / "water.onnx", tmp_path)
    made = uplink.make(base, base_with_tables(base, tmp_path / "t"))
    with pytest.raises(Corrupt, match="SHA-256 differs"):
        uplink.apply(made.body, flying, tmp_path / "next")
    assert not (tmp_path / "next").exists()
    assert not list(tmp_path.glob(".next*"))


def base_with_tables(base: Package, folder: Path) -> Package:
    shutil.copytree(base.folder, folder)
    (folder / "tables.bin").write_bytes(other_codec().tables_bytes)
    return refresh(folder)


_KILLED = """
import os, signal, sys
from pathlib import Path
from codec.adapt import uplink
from codec.package import load
body, base, target, last = Path(sys.argv[1]).read_bytes(), load(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
real, calls = os.fsync, [0]
def fsync(handle):
    calls[0] += 1
    if calls[0] == last:
        os.kill(os.getpid(), signal.SIGKILL)
    real(handle)
os.fsync = fsync
uplink.apply(body, base, target)
print(calls[0])
"""


def test_a_killed_apply_leaves_the_old_package_and_all_of_the_new_one_or_nothing(
    base: Package, pack: uplink.Pack, tmp_path: Path
) -> None:
    (tmp_path / "body").write_bytes(pack.body)
    before = contents(base.folder)

    def run(last: int, target: Path) -> subprocess.CompletedProcess[str]:
        given = [
            sys.executable,
            "-c",
            _KILLED,
            str(tmp_path / "body"),
            str(base.folder),
            str(target),
            str(last),
        ]
        return subprocess.run(given, capture_output=True, text=True, check=False)

    whole = run(0, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    n = int(whole.stdout)
    expected = contents(tmp_path / "whole")
    there = 0
    for last in sorted({1, 2, n // 2, n - 2, n - 1, n}):
        target = tmp_path / f"killed{last}"
        assert run(last, target).returncode == -signal.SIGKILL
        assert contents(base.folder) == before
        if target.exists():
            assert contents(target) == expected
            there += 1
        else:
            uplink.apply(pack.body, base, target)  # and may be repeated
            assert contents(target) == expected
    assert there < 6


_FULL = """
import resource, sys
from pathlib import Path
from codec.adapt import uplink
from codec.errors import LimitExceeded
from codec.package import load
body, base = Path(sys.argv[1]).read_bytes(), load(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
try:
    uplink.apply(body, base, Path(sys.argv[3]))
except LimitExceeded as error:
    print(error)
"""


@pytest.mark.parametrize("most", [10, 4000])  # the first file does not fit, or a later one
def test_a_full_disk_leaves_nothing(most: int, base: Package, pack: uplink.Pack, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(pack.body)
    given = [str(tmp_path / "body"), str(base.folder), str(tmp_path / "next"), str(most)]
    done = subprocess.run([sys.executable, "-c", _FULL, *given], capture_output=True, text=True, check=True)
    assert "the disk is full" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["body"]


def with_files(pack: uplink.Pack, *files: NewFile, small: bytes | None = None) -> bytes:
    body = pack.parsed
    stream = body.small if small is None else Stream(len(small), "none", "stored", small)
    return uplink_body.encode(Body(body.base, body.result, stream, files))


def literal(path: str, data: bytes) -> NewFile:
    digest = hashlib.sha256(data).hexdigest()
    return NewFile(path, len(data), digest, (Data(Stream(len(data), "none", "stored", data)),))


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


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=600), st.integers(0, 3))
def test_streams_come_back(raw: bytes, kind: int) -> None:
    if kind == 1:
        raw = np.frombuffer(raw[: len(raw) // 4 * 4], "<i4").astype(np.float32).tobytes()
    elif kind == 2:
        raw = (np.frombuffer(raw, np.int8).astype("<f4") / 2**10).tobytes()
    elif kind == 3:
        raw *= 20
    stream = shrink(raw)
    assert len(stream.data) <= len(raw)
    assert expand(stream) == raw


def test_a_stream_ends_where_its_data_end() -> None:
    raw = bytes(range(256)) * 8
    packed = zlib.compress(raw)
    coded = lzma.compress(raw, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 23}])
    for coder, data in (("zlib", packed), ("lzma", coded)):
        assert expand(Stream(len(raw), "none", coder, data)) == raw
        for wrong in (data + b"x", data[:-1]):
            with pytest.raises(Corrupt, match="does not e"):
                expand(Stream(len(raw), "none", coder, wrong))


def test_numbers_on_a_grid_are_sent_as_integers() -> None:
    values = np.random.default_rng(0).normal(0, 0.09, 20_000)
    grid = (np.rint(values * 2**15) / 2**15 + 0.0).astype("<f4").tobytes()
    stream = shrink(grid)
    assert stream.filter == "fixed15"
    # Of a normal distribution of spread 0.09 in steps of 2⁻¹⁵: log2(0.09 · √(2πe)) + 15 = 13.6 bits.
    assert len(stream.data) < 14.3 / 8 * 20_000
    signed = np.frombuffer(grid, "<f4").copy()
    signed[0] = -0.0  # another float than 0
    assert expand(shrink(signed.tobytes())) == signed.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 400)), max_size=6),
    st.binary(max_size=200),
    st.integers(0, 9),
)
def test_parts_put_together_are_the_file(cuts: list[tuple[int, int]], own: bytes, seed: int) -> None:
    source = np.random.default_rng(seed).bytes(3000)
    target = own.join(source[a : a + n] for a, n in cuts)
    found = b""
    for part in Matcher([Source("base", "a", source)]).parts(target):
        found += source[part.offset : part.offset + part.length] if isinstance(part, Copy) else part
    assert found == target


def test_a_changed_byte_costs_no_more_than_its_surroundings() -> None:
    source = np.random.default_rng(0).bytes(100_000)
    target = bytearray(b"new" + source)
    target[50_000] ^= 1
    parts = Matcher([Source("base", "a", source)]).parts(bytes(target))
    assert sum(len(p) for p in parts if isinstance(p, bytes)) == 4


def test_small_codec_is_not_the_other() -> None:
    assert small_codec().tables_bytes != other_codec().tables_bytes
