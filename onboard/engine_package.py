"""Engine packages: what `onboard.export` makes; written whole, opened for one model package, refused for any other."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codec.atomic import fsync_folder, write_atomic
from codec.errors import (
    BackendUnavailable,
    Corrupt,
    IdentityError,
    InputError,
    LimitExceeded,
    SwathpackError,
    UnsupportedVersion,
)
from onboard.engine import BACKENDS, Engine, open_engine

if TYPE_CHECKING:
    from codec.package import Package

FORMAT = "swathpack-engine-0"
MANIFEST, PARITY, GRAPH = "manifest.json", "parity.json", "encoder.onnx"
FILES = frozenset({MANIFEST, PARITY, GRAPH})
_FAMILY = FORMAT.rpartition("-")[0]
_MAX_MANIFEST_BYTES = 1 << 20
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class EngineManifest:
    """What an engine package says of itself."""

    codec_id: str  # hex
    space_ids: dict[str, str]  # plane → hex
    backend: str
    sha256: str  # of the graph


def engine_for(package: Package, wanted: str = "auto", *, threads: int = 0) -> Engine:
    """The engine to encode with: a back end by name on the package's own graph, or the folder of an engine package.

    Raises BackendUnavailable for a name that is neither, IdentityError when the package has no graph, and as
    `open_engine_package`.
    """
    if wanted in ("auto", *BACKENDS):
        path = package.path(GRAPH)
        return open_engine(path, backend=wanted, sha256=package.manifest.files[GRAPH].sha256, threads=threads)
    if Path(wanted).is_dir():
        return open_engine_package(Path(wanted), package, threads=threads)
    raise BackendUnavailable(
        f"{wanted!r} is neither an engine back end that is here nor a folder",
        expected=", ".join(("auto", *BACKENDS)) + " or the folder of an engine package",
        found=wanted,
        fix="make one by python -m onboard.export",
    )


def open_engine_package(folder: Path, package: Package, *, threads: int = 0) -> Engine:
    """The engine in `folder`, whose graph has the hash of its manifest and was made from `package`.

    Raises InputError when the folder holds no manifest, UnsupportedVersion for another format of it, Corrupt for an
    illegal one or a changed graph, IdentityError when it belongs to another codec or other embedding spaces,
    BackendUnavailable for a back end that is not here, and as `open_engine`.
    """
    manifest = read_manifest(folder)
    spaces = {name: space_id.hex() for name, space_id in package.space_ids.items()}
    for what, ours, theirs in (
        ("codec", package.codec_id.hex(), manifest.codec_id),
        ("embedding spaces", spaces, manifest.space_ids),
    ):
        if ours != theirs:
            raise IdentityError(
                f"the engine package was made for another model: its {what} differ from those of {package.name}",
                path=folder,
                expected=ours,
                found=theirs,
                fix="export the engine of this model, or name its model by --model",
            )
    if manifest.backend not in BACKENDS:
        raise BackendUnavailable(
            "the engine package asks for a back end that is not here",
            path=folder,
            expected=", ".join(BACKENDS),
            found=manifest.backend,
        )
    return open_engine(folder / GRAPH, backend=manifest.backend, sha256=manifest.sha256, threads=threads)


def read_manifest(folder: Path) -> EngineManifest:
    """The manifest of an engine package; raises as `open_engine_package`."""
    path = folder / MANIFEST
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"no engine package: its manifest cannot be read: {error.strerror}",
            path=path,
            fix="make one by python -m onboard.export",
        ) from error
    if len(data) > _MAX_MANIFEST_BYTES:
        raise LimitExceeded(
            "the manifest is too large", path=path, expected=f"at most {_MAX_MANIFEST_BYTES} bytes"
        )
    try:
        raw: Any = json.loads(data)
        found = str(raw["format"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Corrupt(
            "not the manifest of an engine package", path=path, fix="export the engine again"
        ) from error
    if found != FORMAT:
        if found.startswith(_FAMILY):
            raise UnsupportedVersion(
                "an engine package of another version", path=path, expected=FORMAT, found=found
            )
        raise InputError("the manifest of something else", path=path, expected=FORMAT, found=found)
    try:
        manifest = EngineManifest(
            codec_id=str(raw["codec_id"]),
            space_ids={str(plane): str(space) for plane, space in raw["space_ids"].items()},
            backend=str(raw["backend"]),
            sha256=str(raw["files"][GRAPH]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Corrupt(
            f"the manifest of the engine package lacks a field or has it wrong ({error})",
            path=path,
            fix="export the engine again",
        ) from error
    if not _HASH.fullmatch(manifest.sha256):
        raise Corrupt("the manifest's hash of the graph is no SHA-256", path=path, found=manifest.sha256[:80])
    return manifest


def check_place(out: Path) -> None:
    """Refuse, with InputError, a place where no engine package can or may be written: it holds something else."""
    if not out.exists():
        above = next(folder for folder in out.absolute().parents if folder.exists())
        if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
            raise InputError(
                f"cannot be written: {above} is no folder to write to", path=out, fix="choose another --out"
            )
        return
    if not out.is_dir():
        raise InputError(
            "the output is a folder, and a file stands there", path=out, fix="choose another --out"
        )
    names = {path.name for path in out.iterdir()}
    if not names:
        return
    try:
        read_manifest(out)
    except SwathpackError:
        names.add("")  # not ours
    if not names <= FILES:
        raise InputError("the folder holds something else", path=out, fix="choose another --out")


def write_engine_package(out: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder `out` of `files` (by name), whole or not at all; an engine package that stood there goes.

    Raises InputError when something else stands there or the place cannot be written, LimitExceeded when the disk is full.
    """
    work = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        check_place(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        for name, data in files.items():
            write_atomic(work / name, data)
        _replace_folder(work, out)
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}", path=out, fix="choose another --out"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _replace_folder(work: Path, out: Path) -> None:
    """`work` becomes `out`. A folder cannot be exchanged in one step: for an instant there is none, never half of one."""
    if not out.exists():
        work.rename(out)
    else:
        old = out.with_name(f".{out.name}.{os.getpid()}.old")
        out.rename(old)
        try:
            work.rename(out)
        except OSError:
            old.rename(out)
            raise
        shutil.rmtree(old)
    fsync_folder(out.parent)
