"""Uplink packs: what turns a package that flies into another one, as few bytes as there are (docs/uplink.md).

`make` compares two packages on the ground. `apply` builds the new one beside the old one, on board: complete and with
every hash checked, or not at all. Neither needs torch, ONNX or a catalogue; the receiver computes nothing but sums.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codec.adapt import uplink_body
from codec.adapt.uplink_body import Body, Data, Ids, NewFile, Part, Small
from codec.adapt.uplink_delta import Copy, Matcher, Source, split_arrays
from codec.adapt.uplink_maker import AGAIN, Maker, base_bytes, sha256
from codec.adapt.uplink_streams import shrink
from codec.adapt.uplink_views import GRAPH, MAX_FILE, views
from codec.arrays.package_folder import check_place, whole_folder
from codec.atomic import fsync_folder, write_atomic
from codec.errors import Corrupt, IdentityError, InputError, InternalError, LimitExceeded
from codec.package import Package, load
from codec.package.files import MANIFEST, SIGNATURE, FileEntry, read_checked, resolve
from codec.package.manifest import ADAPTER, ENCODER, TABLES, TRANSFORM, Manifest, parse
from codec.transform.plane import PlaneTransform

# What a payload works with; heads, the card and the preview stay on the ground unless they are asked for.
FLYING = (ADAPTER, TRANSFORM, TABLES, ENCODER, GRAPH)
_ORDER = {name: number for number, name in enumerate(FLYING)}
_OWN_STREAM = 1024  # bytes from which a part is worth a stream of its own


@dataclass(frozen=True)
class Pack:
    """A pack, and what a person wants to know of it."""

    body: bytes
    parsed: Body
    left_out: tuple[str, ...]  # files of the new package that are not sent, and that the result will not have


def make(base: Package, new: Package, *, send: Sequence[str] = ()) -> Pack:
    """What turns `base` into `new`. `send`: further files, or folders of them (`heads`), beside those that fly.

    Files that did not change are not sent. Changed ones that nobody asked for are left out of the result. Raises
    InputError where nothing changed, or where the graph does not follow the transform or the adapter; LimitExceeded above
    256 MiB of a file.
    """
    old, wanted = base.manifest.files, new.manifest.files
    changed = [name for name in wanted if old.get(name) != wanted[name]]
    sent = sorted((n for n in changed if _is_sent(n, send)), key=lambda n: (_ORDER.get(n, len(FLYING)), n))
    left_out = tuple(sorted(set(changed) - set(sent)))
    _check_request(send, new)
    _check_graph(base, new, changed)
    manifest, whole = _result_manifest(new, left_out)
    if not sent and old.keys() == wanted.keys() - set(left_out):
        raise InputError(
            "nothing that is sent has changed", path=new.folder, fix="name what changed: --with heads"
        )

    contents = {MANIFEST: manifest}  # first: it says which planes the transform has
    contents |= {name: read_checked(new.folder, name, wanted[name], MAX_FILE) for name in sent}
    if whole and (new.folder / SIGNATURE).is_file():
        contents[SIGNATURE] = (new.folder / SIGNATURE).read_bytes()
    made: list[Source] = []
    planned: list[tuple[str, list[Copy | bytes]]] = []
    for name, data in contents.items():
        made_of = [*made, *_views_for(name, new.transforms)]
        if name in old or name == MANIFEST:
            made_of.insert(0, Source("base", name, base_bytes(base, name)))
        pieces: list[Copy | bytes] = []
        at = 0
        for part in Matcher(made_of).parts(data):
            pieces += [part] if isinstance(part, Copy) else split_arrays(name, data, at, part)
            at += part.length if isinstance(part, Copy) else len(part)
        planned.append((name, pieces))
        made.append(Source("made", name, data))
    small = b"".join(
        p for _, parts in planned for p in parts if isinstance(p, bytes) and len(p) < _OWN_STREAM
    )
    files = tuple(
        NewFile(name, len(contents[name]), sha256(contents[name]), tuple(_part(p) for p in parts))
        for name, parts in planned
    )
    result = parse(manifest, new.folder / MANIFEST)
    body = Body(_ids(base.manifest, base_bytes(base, MANIFEST)), _ids(result, manifest), shrink(small), files)
    data = uplink_body.encode(body)
    parsed = uplink_body.decode(data)
    if Maker(parsed, base).files() != contents:  # what leaves here was received here first
        raise InternalError("the pack does not make the new package")
    return Pack(data, parsed, left_out)


def apply(body: bytes, base: Package, folder: Path) -> Package:
    """Build the new package in `folder`, which is new or empty; load it. `base` is only read.

    The folder appears when everything in it was checked; an interruption leaves at most a hidden folder beside it. Raises
    IdentityError for a base that is not the pack's, or that the pack was applied to before; Corrupt, Truncated,
    LimitExceeded and UnsupportedVersion for a pack that is damaged or asks for too much; and as `check_target`.
    """
    check_target(folder, base)
    pack = uplink_body.decode(body)
    _check_base(pack, base)
    made = Maker(pack, base).files()
    manifest = parse(made[MANIFEST], folder / MANIFEST)
    if _ids(manifest, made[MANIFEST]) != pack.result:
        raise Corrupt("the pack makes another package than it says", fix=AGAIN)
    kept = {name: entry for name, entry in manifest.files.items() if name not in made}
    _check_kept(kept, base)
    if strange := sorted(made.keys() - manifest.files.keys() - {MANIFEST, SIGNATURE}):
        raise Corrupt(f"the pack makes {strange[0]}, which its manifest does not list", fix=AGAIN)
    with whole_folder(folder, again=False) as building:
        for name in kept:
            _copy(resolve(base.folder, name), building / name)
        for inner in {(building / name).parent for name in kept} - {building}:
            fsync_folder(inner)
        for name in sorted(made, key=lambda n: n == MANIFEST):  # the manifest last
            (building / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(building / name, made[name])
        load(building)  # every hash, every id, every table
    return load(folder)


def check_target(folder: Path, base: Package) -> None:
    """Raise InputError where a new package must not be put: in a folder with something in it, or inside the base."""
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError("the folder of the new package is not empty", path=folder, fix="name a new folder")
    if folder.resolve().is_relative_to(base.folder.resolve()):
        raise InputError(
            "the new package would be inside its base", path=folder, fix="name a folder beside it"
        )
    check_place(folder, again=False)


def _is_sent(name: str, send: Sequence[str]) -> bool:
    return name in FLYING or any(name == asked or name.startswith(asked.rstrip("/") + "/") for asked in send)


def _check_request(send: Sequence[str], new: Package) -> None:
    for asked in send:
        if (
            not any(_is_sent(name, [asked]) and name not in FLYING for name in new.manifest.files)
            and asked not in FLYING
        ):
            raise InputError(f"the new package has no {asked}", path=new.folder, found=", ".join(new.names()))


def _check_graph(base: Package, new: Package, changed: Sequence[str]) -> None:
    """A graph contains the adapter and the transform: it must not stay behind."""
    what = next((name for name in (ADAPTER, ENCODER, TRANSFORM) if name in changed), None)
    graph = new.manifest.files.get(GRAPH)
    if what and graph is not None and graph == base.manifest.files.get(GRAPH):
        raise InputError(
            f"{what} of the new package changed and its {GRAPH} did not: it would still compute the old embeddings",
            path=new.folder,
            fix="write it again: python -m onboard.export --engine fp32 --into-package",
        )


def _result_manifest(new: Package, left_out: Sequence[str]) -> tuple[bytes, bool]:
    """The manifest of what the pack makes, and whether that is the new package, whole."""
    if not left_out:
        return (new.folder / MANIFEST).read_bytes(), True
    raw: dict[str, Any] = dict(new.manifest.raw)
    raw["files"] = {name: entry for name, entry in raw["files"].items() if name not in left_out}
    return json.dumps(raw, ensure_ascii=False, sort_keys=True, indent=1).encode() + b"\n", False


def _views_for(name: str, transforms: Mapping[str, PlaneTransform]) -> list[Source]:
    return [Source("view", plane, data) for plane, data in views(transforms).items()] if name == GRAPH else []


def _part(part: Copy | bytes) -> Part:
    if isinstance(part, Copy):
        return part
    return Small(len(part)) if len(part) < _OWN_STREAM else Data(shrink(part))


def _ids(manifest: Manifest, data: bytes) -> Ids:
    return Ids(
        manifest.name, manifest.version[:200], sha256(data), manifest.codec_id.hex(), manifest.encoder_sha256
    )


def _check_base(pack: Body, base: Package) -> None:
    found = _ids(base.manifest, base_bytes(base, MANIFEST))
    if found == pack.base:
        return
    if found == pack.result:
        raise IdentityError(
            "the package is what this pack makes already", path=base.folder, fix="there is nothing to do"
        )
    for what, mine, theirs in (
        ("codec id", found.codec_id, pack.base.codec_id),
        ("encoder", found.encoder_sha256, pack.base.encoder_sha256),
        ("manifest", found.manifest_sha256, pack.base.manifest_sha256),
    ):
        if mine != theirs:
            raise IdentityError(
                f"the pack is for another base: {pack.base.name!r} version {pack.base.version}, by its {what}",
                path=base.folder,
                expected=str(theirs)[:16],
                found=str(mine)[:16],
                fix="apply it to the package it was made from, or make a pack from this one",
            )
    raise IdentityError("the pack is for a package of another name or version", path=base.folder)


def _check_kept(kept: Mapping[str, FileEntry], base: Package) -> None:
    for name, entry in kept.items():
        if base.manifest.files.get(name) != entry:
            raise Corrupt(f"the pack's manifest lists {name}, which neither pack nor base has", fix=AGAIN)


def _copy(source: Path, target: Path) -> None:
    """A file of the base, whole and on the disk; its hash is checked with all others."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(source, "rb") as reader, open(target, "wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
            writer.flush()
            os.fsync(writer.fileno())
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise LimitExceeded(
            "the disk is full, no package was written", path=target, fix="free space and repeat"
        ) from error


def described(pack: Body) -> Iterable[dict[str, Any]]:
    """One row per file that a pack makes: what is sent of it, and what the receiver has already."""
    for file in pack.files:
        copied = sum(part.length for part in file.parts if isinstance(part, Copy))
        yield {"path": file.path, "bytes": file.size, "sent_bytes": file.sent, "copied_bytes": copied}
