"""Model packages on disk: load one with every hash checked, find one by id, build one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codec.atomic import write_atomic
from codec.bitstream.core import TableSet
from codec.errors import BackendUnavailable, Corrupt, IdentityError, InputError, LimitExceeded, SwathpackError
from codec.package import arrays, files, identity
from codec.package.files import MANIFEST, SIGNATURE
from codec.package.manifest import (
    ADAPTER,
    ENCODER,
    FORMAT,
    FORMAT_VERSION,
    MAX_MANIFEST_BYTES,
    TABLES,
    TRANSFORM,
    Manifest,
    PlaneEntry,
    TileLayout,
    parse,
)
from codec.transform.fit import FittedCodec
from codec.transform.lifting import Lifting
from codec.transform.maps import QuantMaps, quant_maps
from codec.transform.plane import PlaneTransform
from codec.transform.tables import MAX_BYTES, Tables
from codec.types import PlaneSpec

ENVIRONMENT = "SWATHPACK_MODELS"
MAX_SIGNATURE_BYTES = 1 << 16
MAX_PACKAGES = 4096  # folders looked at in one root

# Takes the bytes of the manifest and of its signature, returns who signed; raises IdentityError when nobody known did.
Verifier = Callable[[bytes, bytes], str]


@dataclass(frozen=True)
class Package:
    """A loaded model package: everything a decoder needs, hashes checked."""

    folder: Path
    manifest: Manifest
    tables: TableSet  # the core's, for coding
    table_file: Tables  # the same as records, for quantising
    transforms: Mapping[str, PlaneTransform]  # of float planes, by name
    unlisted: tuple[str, ...]  # files in the folder that the manifest does not know; never used
    signer: str | None  # None: no signature was checked
    liftings: Mapping[str, Lifting] = field(
        default_factory=dict
    )  # of integer planes with lifting `linear`, by name

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def bands(self) -> tuple[str, ...]:
        """The full list of band names, in the order of the encoder's input and of the header's band mask."""
        return self.manifest.bands

    @property
    def tile(self) -> TileLayout:
        return self.manifest.tile

    @property
    def planes(self) -> tuple[PlaneEntry, ...]:
        return self.manifest.planes

    @property
    def refining(self) -> tuple[PlaneEntry, ...]:
        """Planes of a file that follow `planes` and refine one of them or of each other; no embeddings of their own."""
        return self.manifest.refining

    @property
    def plane_specs(self) -> tuple[PlaneSpec, ...]:
        """Of every plane of a file, those that refine included."""
        return tuple(plane.spec for plane in (*self.manifest.planes, *self.manifest.refining))

    def chain(self, plane: int) -> tuple[int, ...]:
        """The numbers of a plane and of those that refine it, one after another, from the coarse to the fine."""
        numbers = [plane]
        for number, entry in enumerate(self.refining, len(self.planes)):  # each refines one before it
            if entry.refines == numbers[-1]:
                numbers.append(number)
        return tuple(numbers)

    @property
    def codec_id(self) -> bytes:
        return self.manifest.codec_id

    @property
    def space_ids(self) -> dict[str, bytes]:
        """Space id of each plane, by name."""
        return {plane.name: plane.spec.space_id for plane in self.manifest.planes}

    @property
    def default_ladder_index(self) -> int:
        return self.manifest.default_ladder_index

    @property
    def ladder_indices(self) -> range:
        """The ladder indices that a file of this package may have."""
        return self.table_file.usable_indices()

    def plane_index(self, plane: str) -> int:
        """Number of a plane by name. Raises InputError listing the names there are."""
        names = [entry.name for entry in self.manifest.planes]
        if plane not in names:
            raise InputError(
                f"package {self.name!r} has no plane {plane!r}", expected=", ".join(names), found=plane
            )
        return names.index(plane)

    def maps(self, plane: str | int, ladder_index: int) -> QuantMaps:
        """Steps, levels and layers of a plane at one quality."""
        return quant_maps(
            self.table_file, plane if isinstance(plane, int) else self.plane_index(plane), ladder_index
        )

    def path(self, name: str) -> Path:
        """A listed file of the package, e.g. "encoder.onnx". Raises IdentityError when the manifest does not list it."""
        if name not in self.manifest.files:
            if name in self.unlisted:
                what = f"its manifest does not list {name}, which lies in the folder"
                fix = "list it by `refresh` if it is yours"
            else:
                what, fix = f"has no {name}", "use a package that has it"
            raise IdentityError(f"package {self.name!r}: {what}", path=self.folder / MANIFEST, fix=fix)
        return files.resolve(self.folder, name)

    def names(self, prefix: str = "") -> tuple[str, ...]:
        """Listed files whose names begin with `prefix`, e.g. "heads/"; sorted."""
        return tuple(sorted(name for name in self.manifest.files if name.startswith(prefix)))


def default_roots() -> tuple[Path, ...]:
    """Where packages are looked for: SWATHPACK_MODELS, then `models` beside the installed or checked-out code."""
    given = [Path(part) for part in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if part]
    code = Path(__file__).resolve().parents[2]
    return (*given, code / "models", code / "swathpack" / "models")


def load(
    package: str | Path,
    *,
    verifier: Verifier | None = None,
    require_signature: bool = False,
    roots: Sequence[Path] | None = None,
) -> Package:
    """Load a package given its folder, its manifest, or its name in one of the roots.

    Every listed file is hashed before anything but the manifest is parsed. With `require_signature` a manifest.sig must
    be there and `verifier` must accept it. Raises Corrupt or IdentityError naming the file that is wrong,
    LimitExceeded, UnsupportedVersion, and BackendUnavailable when a signature is required and nobody can check it.
    """
    folder = _locate(package, default_roots() if roots is None else roots)
    data = _read_capped(folder / MANIFEST, MAX_MANIFEST_BYTES)
    signer = _check_signature(folder, data, verifier, require_signature)
    manifest = parse(data, folder / MANIFEST)

    table_bytes = files.read_checked(folder, TABLES, manifest.files[TABLES], MAX_BYTES)
    limit = arrays.size_limit(manifest.planes, manifest.refining)
    transform_bytes = files.read_checked(folder, TRANSFORM, manifest.files[TRANSFORM], limit)
    for name, entry in manifest.files.items():
        if name not in (TABLES, TRANSFORM):
            files.verify(folder, name, entry)
    unlisted = tuple(name for name in files.names_in(folder) if name not in manifest.files)

    try:
        tables = TableSet(table_bytes)
    except SwathpackError as error:
        error.path = str(folder / TABLES)
        raise
    table_file = Tables.decode(table_bytes)
    _check_planes(manifest, table_file, folder / MANIFEST)
    if manifest.default_ladder_index not in table_file.usable_indices():
        raise Corrupt("the default ladder index is outside what the tables allow", path=folder / MANIFEST)
    transforms, liftings = arrays.decode(
        transform_bytes, manifest.planes, folder / TRANSFORM, manifest.refining
    )
    return Package(folder, manifest, tables, table_file, transforms, unlisted, signer, liftings)


def _locate(package: str | Path, roots: Sequence[Path]) -> Path:
    path = Path(package)
    if path.exists() or len(path.parts) > 1:
        return files.package_folder(path)
    for root in roots:
        if (root / path / MANIFEST).is_file():
            return root / path
    raise IdentityError(
        f"no model package is named {str(package)!r}",
        found=f"none in {_listing(roots)}",
        fix=_FIND_FIX,
    )


_FIND_FIX = f"put the package into one of these folders, or name its folder in {ENVIRONMENT}"


def _listing(roots: Iterable[Path]) -> str:
    return ", ".join(str(root) for root in roots) or "any folder: none was given"


def _read_capped(path: Path, limit: int) -> bytes:
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise LimitExceeded(f"{path.name} is larger than {limit} bytes", path=path)
    return data


def _check_signature(folder: Path, manifest: bytes, verifier: Verifier | None, required: bool) -> str | None:
    path = folder / SIGNATURE
    if required and verifier is None:
        raise BackendUnavailable(
            "a signature is required, and nothing here can check it",
            path=path,
            fix="install the `onboard` or `ground` extra and name the trusted keys, or do not require signatures",
        )
    if verifier is None:
        return None
    if not path.is_file():
        if required:
            raise IdentityError(
                "the package is not signed", path=path, fix="sign it, or do not require signatures"
            )
        return None
    return verifier(manifest, _read_capped(path, MAX_SIGNATURE_BYTES))


def _check_planes(manifest: Manifest, tables: Tables, path: Path) -> None:
    stated = [
        (p.spec.rows, p.spec.cols, p.spec.channels, p.spec.n_layers, p.spec.kind)
        for p in (*manifest.planes, *manifest.refining)
    ]
    found = [(p.rows, p.cols, p.channels, len(p.layer_shift), p.kind) for p in tables.planes]
    if stated != found:
        raise Corrupt(
            "the manifest's planes are not those of tables.bin", path=path, expected=found, found=stated
        )


def find(
    *,
    codec_id: bytes | None = None,
    space_id: bytes | None = None,
    roots: Sequence[Path] | None = None,
    verifier: Verifier | None = None,
    require_signature: bool = False,
) -> Package:
    """The first package below `roots` (a root may be a package itself) that has the ids asked for; loaded and checked.

    Raises IdentityError with the ids in hex, the places searched and the packages that could not be read; a package
    that claims the id and fails its check raises that failure.
    """
    roots = default_roots() if roots is None else tuple(Path(root) for root in roots)
    broken: list[str] = []
    for folder in _candidates(roots):
        try:
            manifest = parse(_read_capped(folder / MANIFEST, MAX_MANIFEST_BYTES), folder / MANIFEST)
        except (SwathpackError, OSError) as error:
            broken.append(f"{folder}: {error.what if isinstance(error, SwathpackError) else error}")
            continue
        spaces = {plane.spec.space_id for plane in manifest.planes}
        if (codec_id is None or manifest.codec_id == codec_id) and (space_id is None or space_id in spaces):
            return load(folder, verifier=verifier, require_signature=require_signature)
    wanted = " and ".join(
        f"{label} {value.hex()}"
        for label, value in (("codec id", codec_id), ("space id", space_id))
        if value is not None
    )
    unreadable = f"; not readable: {', '.join(broken)}" if broken else ""
    raise IdentityError(
        f"no model package with {wanted}", found=f"none in {_listing(roots)}{unreadable}", fix=_FIND_FIX
    )


def _candidates(roots: Iterable[Path]) -> Iterable[Path]:
    for root in roots:
        if (root / MANIFEST).is_file():
            yield root
        elif root.is_dir():
            for number, folder in enumerate(sorted(root.iterdir())):
                if number >= MAX_PACKAGES:
                    raise LimitExceeded(
                        f"more than {MAX_PACKAGES} entries in a folder of packages", path=root
                    )
                if (folder / MANIFEST).is_file():
                    yield folder


def build(
    folder: str | Path,
    *,
    name: str,
    version: str,
    licence: str,
    bands: Sequence[str],
    preprocessing: str,
    tile: TileLayout | Mapping[str, int],
    codec: FittedCodec,
    encoder_sha256: str | None = None,
    adapter_sha256: str | None = None,
    default_ladder_index: int | None = None,
    training_data: Sequence[Any] = (),
    energy: Mapping[str, Any] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Package:
    """Write tables.bin, transform.npz and, last, manifest.json into `folder`, listing every other file there; load it.

    Call again (or `refresh`) after files were added. Space ids are formed with the SHA-256 of encoder.safetensors (and
    adapter.safetensors) in the folder; without that file `encoder_sha256` says which encoder made the embeddings.
    Raises InputError where an entry is not legal or holds a float.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    layout = tile if isinstance(tile, TileLayout) else TileLayout(tile["core"], tile["margin"], tile["patch"])
    write_atomic(folder / TABLES, codec.tables_bytes)
    refines = {own.name: own.refines for own in codec.refining}
    write_atomic(folder / TRANSFORM, arrays.encode(codec.transforms, codec.liftings, refines))
    planes = [
        {
            "name": plane,
            "rows": m.rows,
            "cols": m.cols,
            "channels": m.channels,
            "layers": len(m.layer_shift),
            "kind": m.kind.name.lower(),
            **({"lifting": "linear"} if plane in codec.liftings else {}),
        }
        for plane, m in zip(codec.plane_names, codec.tables.planes, strict=False)
    ]
    every = (*codec.plane_names, *refines)
    refining = [
        {"name": own, "refines": every[number], "layers": len(m.layer_shift)}
        for (own, number), m in zip(refines.items(), codec.tables.planes[len(planes) :], strict=True)
    ]
    raw = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": name,
        "version": version,
        "licence": licence,
        "bands": list(bands),
        "preprocessing": preprocessing,
        "tile": {"core": layout.core, "margin": layout.margin, "patch": layout.patch},
        "planes": planes,
        **({"refining": refining} if refining else {}),
        "default_ladder_index": codec.default_ladder_index
        if default_ladder_index is None
        else default_ladder_index,
        "encoder": encoder_sha256,
        "adapter": adapter_sha256,
        "training_data": list(training_data),
        "energy": dict(energy or {}),
        "notes": dict(notes or {}),
    }
    return _write_manifest(folder, raw)


def refresh(folder: str | Path) -> Package:
    """List the files of a package anew, after some were added or replaced on purpose; ids follow. Load it.

    The manifest's other entries stay. Signatures do not survive.
    """
    folder = files.package_folder(Path(folder))
    raw = dict(parse(_read_capped(folder / MANIFEST, MAX_MANIFEST_BYTES), folder / MANIFEST).raw)
    return _write_manifest(folder, raw)


def _write_manifest(folder: Path, raw: dict[str, Any]) -> Package:
    listed = {name: files.entry_of(files.resolve(folder, name)) for name in files.names_in(folder)}
    raw["files"] = {name: {"bytes": entry.size, "sha256": entry.sha256} for name, entry in listed.items()}
    for key, name in (("encoder", ENCODER), ("adapter", ADAPTER)):
        if name in listed:
            raw[key] = listed[name].sha256
    raw["codec_id"] = identity.codec_id(
        tables_sha256=listed[TABLES].sha256, transform_sha256=listed[TRANSFORM].sha256
    ).hex()
    for key in ("planes", "refining"):
        if key not in raw:
            continue
        raw[key] = [
            {
                **plane,
                "space_id": identity.space_id(
                    plane=plane["name"],
                    bands=raw["bands"],
                    preprocessing=raw["preprocessing"],
                    encoder_sha256=raw["encoder"],
                    adapter_sha256=raw["adapter"],
                ).hex(),
            }
            for plane in raw[key]
        ]
    identity.canonical_json(raw)  # refuses floats before anything is written
    data = json.dumps(raw, ensure_ascii=False, sort_keys=True, indent=1).encode() + b"\n"
    try:
        parse(data, folder / MANIFEST)
    except Corrupt as error:  # our own caller's mistake, not damage
        raise InputError(
            error.what, path=folder / MANIFEST, expected=error.expected, found=error.found
        ) from error
    write_atomic(folder / MANIFEST, data)
    return load(folder)


__all__ = ["Package", "Verifier", "build", "default_roots", "find", "load", "refresh"]
