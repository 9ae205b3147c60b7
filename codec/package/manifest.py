"""`manifest.json`: what a model package says about itself, as validated types.

Schema (integers and text only, every key mandatory unless marked optional)::

    format            "swathpack-package"
    format_version    0
    name, version, licence                          text
    bands             [canonical band names of the full list]
    preprocessing     text: name of the constants that the encoder's graph applies
    tile              {"core": pixels, "margin": pixels, "patch": pixels}
    planes            [{"name", "rows", "cols", "channels", "layers", "kind": "float"|"integer", "space_id": hex,
                        "lifting": "none"|"left"|"linear" (integer planes only)}]
    refining          optional: [{"name", "refines": name of a plane before it, "layers", "space_id": hex}], planes that
                      follow those of `planes` and refine one of them or of each other (bitstream §8.4)
    codec_id          hex
    default_ladder_index
    encoder, adapter  SHA-256 of the weights that made the embeddings, or null
    files             {path: {"bytes", "sha256"}}
    training_data     [text or object], energy {…}, notes {…}   free, integers and text
    prediction        optional and reserved (bitstream §8.2): refused
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from codec.bitstream.extensions import MAX_BANDS
from codec.errors import Corrupt, IdentityError, InputError, Truncated, UnsupportedVersion
from codec.package import identity
from codec.package.files import MAX_FILES, FileEntry, check_name
from codec.types import PlaneKind, PlaneSpec

FORMAT = "swathpack-package"
FORMAT_VERSION = 0
MAX_MANIFEST_BYTES = 1 << 20
TABLES, TRANSFORM = "tables.bin", "transform.npz"
ENCODER, ADAPTER = (
    "encoder.safetensors",
    "adapter.safetensors",
)  # optional; space ids are formed with their hashes
LIFTINGS = ("none", "left", "linear")
_HEX64 = re.compile(r"[0-9a-f]{64}")
_HEX16 = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._\-]{0,63}")
_KINDS = {"float": PlaneKind.FLOAT, "integer": PlaneKind.INTEGER}


@dataclass(frozen=True, slots=True)
class TileLayout:
    """Pixels of a tile's side without margin, of the margin around it, and of a patch (one token)."""

    core: int
    margin: int
    patch: int


@dataclass(frozen=True, slots=True)
class PlaneEntry:
    """One plane: its name, what the header says of it, and how integers were predicted."""

    name: str
    spec: PlaneSpec
    lifting: str  # "none" for float planes
    refines: int | None = None  # number of the plane whose symbols it refines (bitstream §8.4)


@dataclass(frozen=True)
class Manifest:
    """A validated manifest; `raw` keeps what was read, for display and for signatures."""

    name: str
    version: str
    licence: str
    bands: tuple[str, ...]
    preprocessing: str
    tile: TileLayout
    planes: tuple[PlaneEntry, ...]
    codec_id: bytes
    default_ladder_index: int
    encoder_sha256: str | None
    adapter_sha256: str | None
    files: Mapping[str, FileEntry]
    raw: Mapping[str, Any]
    refining: tuple[PlaneEntry, ...] = ()  # planes of a file behind `planes`


class _Reader:
    """Looks up keys of one manifest and says which one is wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, where: str, expected: str, found: object) -> NoReturn:
        raise Corrupt(
            f"{where} of the manifest is not legal", path=self.path, expected=expected, found=repr(found)
        )

    def text(self, entry: Mapping[str, Any], key: str, pattern: re.Pattern[str] | None = None) -> str:
        value = entry.get(key)
        if not isinstance(value, str) or not value or (pattern and not pattern.fullmatch(value)):
            self.fail(key, pattern.pattern if pattern else "text", value)
        return value

    def integer(self, entry: Mapping[str, Any], key: str, low: int, high: int) -> int:
        value = entry.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.fail(key, f"an integer from {low} to {high}", value)
        return value

    def table(self, entry: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        value = entry.get(key)
        if not isinstance(value, dict):
            self.fail(key, "an object", value)
        return value

    def items(self, entry: Mapping[str, Any], key: str, most: int) -> list[Any]:
        value = entry.get(key)
        if not isinstance(value, list) or len(value) > most:
            self.fail(key, f"a list of at most {most}", value)
        return value

    def digest(self, entry: Mapping[str, Any], key: str) -> str | None:
        if key in entry and entry[key] is None:
            return None
        return self.text(entry, key, _HEX64)


def parse(data: bytes, path: Path) -> Manifest:
    """Validate the bytes of a manifest. Raises Corrupt, UnsupportedVersion or IdentityError naming key and file."""
    raw = _load_json(data, path)
    read = _Reader(path)
    if raw.get("format") != FORMAT:
        read.fail("format", FORMAT, raw.get("format"))
    version = raw.get("format_version")
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise UnsupportedVersion(
            "the package is of another version",
            path=path,
            expected=FORMAT_VERSION,
            found=version,
            fix="install a newer Swathpack",
        )
    if raw.get("prediction") is not None:
        raise UnsupportedVersion(
            "the package predicts layers from others, which this decoder does not implement",
            path=path,
            fix="install a newer Swathpack",
        )
    files = _files(read, raw, path)
    planes = tuple(_plane(read, entry) for entry in read.items(raw, "planes", 8))
    refining = _refining(read, raw, planes)
    names = [plane.name for plane in (*planes, *refining)]
    if not planes or len(names) > 8 or len(set(names)) != len(names):
        read.fail("planes", "1 to 8 planes with different names", names)
    bands = tuple(read.items(raw, "bands", MAX_BANDS))
    if not all(isinstance(band, str) and band for band in bands) or len(set(bands)) != len(bands):
        read.fail("bands", "different names", bands)
    tile = read.table(raw, "tile")
    manifest = Manifest(
        name=read.text(raw, "name", _NAME),
        version=read.text(raw, "version"),
        licence=read.text(raw, "licence"),
        bands=bands,
        preprocessing=read.text(raw, "preprocessing"),
        tile=TileLayout(
            read.integer(tile, "core", 1, 65535),
            read.integer(tile, "margin", 0, 65535),
            read.integer(tile, "patch", 1, 65535),
        ),
        planes=planes,
        codec_id=bytes.fromhex(read.text(raw, "codec_id", _HEX16)),
        default_ladder_index=read.integer(raw, "default_ladder_index", 0, 254),
        encoder_sha256=read.digest(raw, "encoder"),
        adapter_sha256=read.digest(raw, "adapter"),
        files=files,
        raw=raw,
        refining=refining,
    )
    _check_ids(manifest, path)
    return manifest


def _load_json(data: bytes, path: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            raise ValueError(f"a key stands twice: {sorted(k for k in keys if keys.count(k) > 1)[0]!r}")
        return dict(pairs)

    if not data:
        raise Truncated("the manifest is empty", path=path)
    try:
        raw = json.loads(data.decode(), object_pairs_hook=unique)
        identity.canonical_json(raw)
    except (
        ValueError,
        RecursionError,
        InputError,
    ) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise Corrupt(f"the manifest is not legal JSON: {error}", path=path) from error
    if not isinstance(raw, dict):
        raise Corrupt("the manifest is no JSON object", path=path)
    return raw


def _files(read: _Reader, raw: Mapping[str, Any], path: Path) -> dict[str, FileEntry]:
    files = read.table(raw, "files")
    if len(files) > MAX_FILES:
        read.fail("files", f"at most {MAX_FILES}", len(files))
    result = {}
    for name, entry in files.items():
        check_name(name, path)
        if not isinstance(entry, dict):
            read.fail(f"files.{name}", "an object", entry)
        result[name] = FileEntry(read.integer(entry, "bytes", 0, 1 << 62), read.text(entry, "sha256", _HEX64))
    for name in (TABLES, TRANSFORM):
        if name not in result:
            read.fail("files", f"an entry for {name}", sorted(result))
    return result


def _plane(read: _Reader, entry: Any) -> PlaneEntry:
    if not isinstance(entry, dict):
        read.fail("planes", "objects", entry)
    kind = _KINDS.get(read.text(entry, "kind"))
    if kind is None:
        raise UnsupportedVersion(
            f"a plane is of kind {entry['kind']!r}", path=read.path, fix="install a newer Swathpack"
        )
    lifting = entry.get("lifting", "none")
    if lifting not in LIFTINGS or (kind is PlaneKind.FLOAT and lifting != "none"):
        raise UnsupportedVersion(
            f"a plane uses the lifting {lifting!r}", path=read.path, fix="install a newer Swathpack"
        )
    spec = PlaneSpec(
        rows=read.integer(entry, "rows", 1, 64),
        cols=read.integer(entry, "cols", 1, 64),
        channels=read.integer(entry, "channels", 1, 4096),
        n_layers=read.integer(entry, "layers", 1, 16),
        kind=kind,
        space_id=bytes.fromhex(read.text(entry, "space_id", _HEX16)),
    )
    return PlaneEntry(read.text(entry, "name", _NAME), spec, lifting)


def _refining(
    read: _Reader, raw: Mapping[str, Any], planes: tuple[PlaneEntry, ...]
) -> tuple[PlaneEntry, ...]:
    if "refining" not in raw:
        return ()
    found: list[PlaneEntry] = []
    for entry in read.items(raw, "refining", 7):
        if not isinstance(entry, dict):
            read.fail("refining", "objects", entry)
        before: list[PlaneEntry] = [*planes, *found]
        taken = {other.refines for other in found}
        free = {
            plane.name: number
            for number, plane in enumerate(before)
            if number not in taken and plane.spec.kind is PlaneKind.FLOAT
        }
        refines = free.get(read.text(entry, "refines", _NAME))
        if refines is None:
            read.fail("refines", f"one of {', '.join(free)}", entry["refines"])
        spec = replace(
            before[refines].spec,
            n_layers=read.integer(entry, "layers", 1, 16),
            space_id=bytes.fromhex(read.text(entry, "space_id", _HEX16)),
        )
        found.append(PlaneEntry(read.text(entry, "name", _NAME), spec, "none", refines))
    return tuple(found)


def _check_ids(manifest: Manifest, path: Path) -> None:
    """The ids that the manifest states must be those of its entries."""
    fix = "do not use this package; get it again from its source"
    codec_id = identity.codec_id(
        tables_sha256=manifest.files[TABLES].sha256, transform_sha256=manifest.files[TRANSFORM].sha256
    )
    if codec_id != manifest.codec_id:
        raise IdentityError(
            "codec_id is not that of the listed files",
            path=path,
            expected=codec_id.hex(),
            found=manifest.codec_id.hex(),
            fix=fix,
        )
    for name, stated in ((ENCODER, manifest.encoder_sha256), (ADAPTER, manifest.adapter_sha256)):
        if name in manifest.files and manifest.files[name].sha256 != stated:
            raise IdentityError(
                f"the manifest forms its space ids with another {name} than it lists",
                path=path,
                expected=manifest.files[name].sha256,
                found=stated,
                fix=fix,
            )
    for plane in (*manifest.planes, *manifest.refining):
        expected = identity.space_id(
            plane=plane.name,
            bands=manifest.bands,
            preprocessing=manifest.preprocessing,
            encoder_sha256=manifest.encoder_sha256,
            adapter_sha256=manifest.adapter_sha256,
        )
        if expected != plane.spec.space_id:
            raise IdentityError(
                f"space_id of plane {plane.name!r} is not that of its entries",
                path=path,
                expected=expected.hex(),
                found=plane.spec.space_id.hex(),
                fix=fix,
            )
