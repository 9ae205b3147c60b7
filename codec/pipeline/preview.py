"""Pixels painted from an embedding: a linear decoder from the planes of a token to the pixels of its patch.

Such a picture is *synthetic*. It shows what an embedding still knows of brightness and colour; what it shows finer than a
patch was guessed from patches that looked alike in training. It is for eyes that want to find their way, never for
measuring. Whoever paints it says so in the file, in the picture, and beside it.

`preview.npz` is an optional file of a package, listed with its hash like all others. It holds no pickles: `about` (JSON as
bytes: version, planes with their space ids, bands, patch, scores, what it was fitted on), `centre` and `spread` (inputs,
f32), `weights` (inputs + 1, patch · patch · bands; f16; the last row is the constant).
"""

from __future__ import annotations

import io
import json
import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.errors import Corrupt, IdentityError, InputError, LimitExceeded, UnsupportedVersion
from codec.package import Package
from codec.types import BoolArray, Embedding, FloatArray

NAME = "preview.npz"
VERSION = 0
MAX_BYTES = 400_000
MAX_UNPACKED = 4 << 20
SYNTHETIC = "synthetic: painted from the embedding by a linear decoder; not measured, not for measuring"
_ARRAYS = {"about": "|u1", "centre": "<f4", "spread": "<f4", "weights": "<f2"}
# What zipfile, its decompressors, JSON and NumPy's reader of headers raise at bytes that are no such archive.
_ILLEGAL = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError, SyntaxError, KeyError, ValueError, TypeError,
    OverflowError, OSError, RuntimeError, EOFError, AttributeError,
)  # fmt: skip
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a ZIP entry needs a date; the bytes must not depend on the clock


@dataclass(frozen=True)
class Preview:
    """A linear decoder and what is known of it."""

    planes: tuple[tuple[str, bytes], ...]  # name and space id, in the order of the inputs
    bands: tuple[str, ...]
    patch: int  # pixels along one side of a token
    centre: FloatArray  # inputs
    spread: FloatArray  # inputs, > 0
    weights: FloatArray  # (inputs + 1)×(patch·patch·bands): reflectance
    scores: Mapping[str, Any]  # of the fit, on validation windows, by band
    fitted_on: str

    def paint(self, embeddings: Mapping[str, Embedding]) -> tuple[FloatArray, BoolArray]:
        """Embeddings of N tiles → reflectance N×H×W×bands float32, 0 where not valid, and validity N×H×W.

        A token must be valid in all planes. Raises InputError where a plane is absent or has another shape.
        """
        used = []
        for name, _ in self.planes:
            if name not in embeddings:
                raise InputError(f"the preview needs plane {name!r}", found=", ".join(embeddings))
            used.append(embeddings[name])
        shape = used[0].validity.shape
        widths = sum(e.values.shape[-1] for e in used)
        if any(e.validity.shape != shape for e in used) or widths != len(self.centre):
            raise InputError(
                "the planes do not fit the preview", expected=len(self.centre), found=f"{widths} channels"
            )
        valid: BoolArray = np.logical_and.reduce([e.validity for e in used])
        n, rows, cols = shape
        pixels = np.zeros((n, rows * self.patch, cols * self.patch, len(self.bands)), np.float32)
        for tile in range(n):  # one at a time: bounds the memory, and tiles come out the same in any company
            x = np.concatenate([e.values[tile] for e in used], axis=-1).reshape(rows * cols, -1)
            x = (x - self.centre) / self.spread
            y = x @ self.weights[:-1] + self.weights[-1]
            y = y.reshape(rows, cols, self.patch, self.patch, len(self.bands)).transpose(0, 2, 1, 3, 4)
            pixels[tile] = y.reshape(pixels.shape[1:])
        validity: BoolArray = valid.repeat(self.patch, axis=1).repeat(self.patch, axis=2)
        pixels[~validity] = 0
        return np.maximum(pixels, np.float32(0)), validity

    def encode(self) -> bytes:
        """The bytes of `preview.npz`; equal previews give equal bytes. Raises LimitExceeded above 400 kB."""
        about = {
            "version": VERSION,
            "planes": [{"name": name, "space_id": space.hex()} for name, space in self.planes],
            "bands": list(self.bands),
            "patch": self.patch,
            "scores": dict(self.scores),
            "fitted_on": self.fitted_on,
        }
        arrays = {
            "about": np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8),
            "centre": self.centre.astype("<f4"),
            "spread": self.spread.astype("<f4"),
            "weights": self.weights.astype("<f2"),
        }
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in _ARRAYS:
                data = io.BytesIO()
                np.lib.format.write_array(data, np.ascontiguousarray(arrays[name]), version=(1, 0))
                info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.create_system = 3  # else it names the operating system that wrote it
                archive.writestr(info, data.getvalue())
        data_bytes = out.getvalue()
        if len(data_bytes) > MAX_BYTES:
            raise LimitExceeded(
                f"the preview would take {len(data_bytes)} bytes", expected=f"at most {MAX_BYTES}", fix="take fewer bands"
            )  # fmt: skip
        return data_bytes

    def check(self, package: Package) -> None:
        """Raise IdentityError unless it was fitted to the package's embedding spaces and bands."""
        for name, space in self.planes:
            found = package.space_ids.get(name)
            if found != space:
                raise IdentityError(
                    f"the preview was fitted to another space of plane {name!r}", path=package.folder,
                    expected=space.hex(), found=None if found is None else found.hex(), fix="fit it to this package",
                )  # fmt: skip


def decode(data: bytes, path: object = None) -> Preview:
    """Read `preview.npz`. Raises Corrupt, LimitExceeded or UnsupportedVersion naming the file."""
    if len(data) > MAX_BYTES:
        raise LimitExceeded(f"the preview has {len(data)} bytes", path=path, expected=f"at most {MAX_BYTES}")
    try:
        arrays = _unpack(data)
        about = json.loads(arrays["about"].tobytes().decode())
        version = about["version"]
        if version == VERSION:
            return _preview(about, arrays)
    except _ILLEGAL as error:
        raise Corrupt(f"not a preview: {error}", path=path, fix="fit it again") from error
    raise UnsupportedVersion(
        "the preview is of another version", path=path, expected=VERSION, found=version, fix="install a newer Swathpack"
    )  # fmt: skip


def _unpack(data: bytes) -> dict[str, npt.NDArray[Any]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: _member(archive, name, np.dtype(dtype)) for name, dtype in _ARRAYS.items()}


def _member(archive: zipfile.ZipFile, name: str, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > MAX_UNPACKED:
        raise ValueError(f"{name} is too large")
    file = io.BytesIO(archive.read(info))
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(f"{name} is a .npy of another version")
    # Judged before an array is made: a header may promise any number of bytes.
    shape, by_columns, stored = np.lib.format.read_array_header_1_0(file)
    values = file.read()
    if stored != dtype or by_columns or len(shape) > 2 or dtype.itemsize * math.prod(shape) != len(values):
        raise ValueError(f"{name} is {stored} {shape}")
    return np.frombuffer(values, dtype).reshape(shape)


def _preview(about: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Preview:
    bands, patch = tuple(str(b) for b in about["bands"]), int(about["patch"])
    planes = tuple((str(p["name"]), bytes.fromhex(p["space_id"])) for p in about["planes"])
    centre, spread, weights = (arrays[name].astype(np.float32) for name in ("centre", "spread", "weights"))
    if not bands or not planes or len(set(bands)) != len(bands) or not 1 <= patch <= 1024:
        raise ValueError("bands, planes or patch are not legal")
    if centre.ndim != 1 or spread.shape != centre.shape:
        raise ValueError("centre and spread have other shapes than the inputs")
    if weights.shape != (len(centre) + 1, patch * patch * len(bands)):
        raise ValueError(f"weights are {weights.shape}")
    if not (np.isfinite(centre).all() and np.isfinite(weights).all() and (spread > 0).all()):
        raise ValueError("it holds numbers that are not finite")
    return Preview(
        planes, bands, patch, centre, spread, weights, _scores(about["scores"]), str(about["fitted_on"])
    )


def _scores(given: Mapping[str, Any]) -> dict[str, Any]:
    """Scores as they are printed later: nothing, or all of them as numbers."""
    if not given:
        return {}
    rows = {
        str(band): {
            **{key: float(row[key]) for key in ("psnr_db", "explained", "explained_by_patch_means")},
            "tokens": int(row["tokens"]),
        }
        for band, row in given["by_band"].items()
    }
    if not all(math.isfinite(number) for row in rows.values() for number in row.values()):
        raise ValueError("a score is no finite number")
    counts = {key: int(given[key]) for key in ("windows", "ladder_index")}
    return {"by_band": rows, **counts, "split": str(given["split"])}


def preview_of(package: Package) -> Preview | None:
    """The package's preview; None where it has none. Raises as `decode`, and IdentityError for another space."""
    if NAME not in package.manifest.files:
        return None
    path = package.path(NAME)
    found = decode(path.read_bytes(), path)
    found.check(package)
    return found


def score_lines(preview: Preview) -> list[str]:
    """The scores for a person, one line a band, behind a line that says of what."""
    known = preview.scores.get("by_band", {})
    rows = {band: known[band] for band in preview.bands if band in known}
    if not rows:
        return ["not scored"]
    head = f"on {preview.scores['windows']} {preview.scores['split']} windows, decoded at {preview.scores['ladder_index']}:"
    return [
        head,
        *(
            f"  {band:<12}{row['psnr_db']:>6.1f} dB  {row['explained']:>6.1%} of the variance "
            f"(true patch means: {row['explained_by_patch_means']:.1%})"
            for band, row in rows.items()
        ),
    ]
