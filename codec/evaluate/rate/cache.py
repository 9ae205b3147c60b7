"""Frozen embeddings on disk, under everything that decides them.

    <folder>/<set>--<encoder>/<key>/{about.json, tokens.npy, …, validity.npy}

The key is the SHA-256 of: the encoder's *normalised* input, the name of that normalisation, the encoder's identity, and a
tag of the code that computes planes. Preprocessing decides more than most encoders do (matching it moved published scores
by 11 to 32 points, arXiv 2305.13456), and a cache hides it well. Hence a cache of the same tiles and the same encoder
under another normalisation is not merely missed, it is refused by name: one of the two is wrong, and the harness cannot
know which.

A folder appears whole or not at all; every file is checked against its hash before it is used, then mapped into memory.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codec.atomic import fsync_folder, write_atomic
from codec.errors import Corrupt, IdentityError, InputError
from codec.evaluate.rate.digests import of_code, update
from codec.evaluate.rate.encoders import PlaneEncoder
from codec.evaluate.rate.types import Planes, TileSet

FORMAT = "swathpack-planes-1"
ABOUT = "about.json"
_VALIDITY = "validity"
_CHUNK = 1 << 20
# What turns tiles into planes. A change of any of these files makes older caches unusable.
CODE = (
    "codec.evaluate.rate.encoders",
    "codec.evaluate.rate.model_planes",
    "codec.evaluate.rate.plain_encoders",
    "codec.adapt",
    "codec.models.bands",
    "codec.models.vit",
    "codec.models.galileo",
)


@dataclass(frozen=True, slots=True)
class Key:
    """What decides a set of planes. All are SHA-256 in hexadecimal but for the name of the normalisation."""

    tiles: str  # reflectance, presence and validity as they were read, with band names
    normalised: str  # what the encoder saw
    normalisation: str
    encoder: str
    code: str

    @property
    def digest(self) -> str:
        """Of everything but the raw tiles: those only serve to recognise another normalisation of the same ones."""
        parts = (self.normalised, self.normalisation, self.encoder, self.code)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def key_of(encoder: PlaneEncoder, tiles: TileSet) -> Key:
    """The key of this encoder's planes of these tiles. Reads every pixel; computes no embedding."""
    raw = hashlib.sha256("\n".join(tiles.bands).encode())
    for array in (tiles.pixels, tiles.present, tiles.validity):
        update(raw, array)
    seen = hashlib.sha256("\n".join(tiles.bands).encode())
    for batch in encoder.sees(tiles):
        for array in batch:
            update(seen, array)
    return Key(
        raw.hexdigest(),
        seen.hexdigest(),
        encoder.normalisation,
        encoder.identity,
        of_code(CODE, torch.__version__),
    )


class PlaneCache:
    """A folder of cached planes."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def planes(self, encoder: PlaneEncoder, tiles: TileSet) -> Planes:
        """The planes of these tiles: from disk and mapped, computed and stored first where need be.

        Raises IdentityError where the folder holds planes of these tiles by this encoder under another normalisation, or
        where an entry is not what its place says; Corrupt where a file does not have its hash.
        """
        key = key_of(encoder, tiles)
        slot = self.folder / f"{_plain(tiles.name)}--{_plain(encoder.name)}"
        self._refuse_another_normalisation(slot, key)
        place = slot / key.digest[:32]
        if not place.exists():
            _store(place, key, encoder(tiles))
        return _read(place, key)

    @staticmethod
    def _refuse_another_normalisation(slot: Path, key: Key) -> None:
        for about in sorted(slot.glob(f"[!.]*/{ABOUT}")):
            other = _parse(about)["key"]
            same = other.tiles == key.tiles and other.encoder == key.encoder
            if same and (other.normalisation, other.normalised) != (key.normalisation, key.normalised):
                raise IdentityError(
                    "the cache holds planes of the same tiles and encoder under another normalisation",
                    path=about.parent,
                    expected=f"{key.normalisation}, input {key.normalised[:12]}",
                    found=f"{other.normalisation}, input {other.normalised[:12]}",
                    fix="find out which is right, then remove that folder or cache elsewhere",
                )


def _plain(name: str) -> str:
    """A name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9._#@-]+", "_", name).strip(".") or "_"


def _parse(about: Path) -> dict[str, Any]:
    """`key` and `files` of an entry."""
    try:
        said = json.loads(about.read_bytes())
        if said["format"] != FORMAT:
            raise ValueError(f"format is {said['format']!r}, not {FORMAT!r}")
        return {"key": Key(**said["key"]), "files": {str(k): str(v) for k, v in said["files"].items()}}
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=about) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(
            f"not a description of cached planes: {error}", path=about, fix="remove its folder"
        ) from error


def _read(place: Path, key: Key) -> Planes:
    about = place / ABOUT
    said = _parse(about)
    if said["key"] != key:
        other: Key = said["key"]
        differ = [name for name, value in asdict(key).items() if getattr(other, name) != value]
        raise IdentityError(
            f"these cached planes are others than their place says: they differ in {', '.join(differ)}",
            path=place,
            expected=f"normalisation {key.normalisation}, encoder {key.encoder[:12]}",
            found=f"normalisation {other.normalisation}, encoder {other.encoder[:12]}",
            fix="remove the folder",
        )
    arrays = {}
    for name, expected in said["files"].items():
        path = place / f"{name}.npy"
        found = _hash(path)
        if found != expected:
            raise Corrupt(
                "cached planes do not have their hash",
                path=path,
                expected=expected,
                found=found,
                fix="remove the folder",
            )
        # Copy on write: a caller's change stays the caller's.
        arrays[name] = np.load(path, mmap_mode="c", allow_pickle=False)
    if _VALIDITY not in arrays:
        raise Corrupt("cached planes without validity", path=about, fix="remove the folder")
    validity = np.asarray(arrays.pop(_VALIDITY))
    return Planes(arrays, validity)


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise Corrupt(
            f"a file of cached planes cannot be read: {error.strerror}", path=path, fix="remove the folder"
        ) from error
    return digest.hexdigest()


def _store(place: Path, key: Key, planes: Planes) -> None:
    """The whole folder under another name, then renamed: nobody sees half an entry."""
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True, exist_ok=True)
        files = {}
        for name, array in {**planes.values, _VALIDITY: planes.validity}.items():
            buffer = io.BytesIO()
            np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
            data = buffer.getvalue()
            write_atomic(part / f"{name}.npy", data)
            files[name] = hashlib.sha256(data).hexdigest()
        about = {"format": FORMAT, "key": asdict(key), "files": files}
        write_atomic(part / ABOUT, json.dumps(about, indent=1).encode())
        try:
            part.rename(place)
        except OSError:
            if not place.exists():
                raise
            # Another process was faster: its entry has the same key and is checked when it is read.
        fsync_folder(place.parent)
    except OSError as error:
        raise InputError(
            f"the cache cannot be written: {error.strerror}", path=place.parent, fix="choose another folder"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
