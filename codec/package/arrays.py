"""`transform.npz` (bitstream §9): transforms of float planes, liftings of integer ones; equal arrays = equal bytes."""

from __future__ import annotations

import io
import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from codec.errors import Corrupt, InputError
from codec.package.manifest import PlaneEntry
from codec.transform.lifting import NEIGHBOURS, Lifting
from codec.transform.plane import PlaneTransform, TokenTransform
from codec.transform.rotations import MOST, WIDEST, Rotations
from codec.types import PlaneKind

_HEADER_BYTES = 1024  # more than any .npy header of two or three dimensions
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a ZIP entry needs a date; the bytes must not depend on the clock
# What zipfile, its decompressors and NumPy's reader of headers raise at bytes that are no archive of arrays. An
# encrypted member or an unknown ZIP version is a RuntimeError, an odd shape a TypeError or OverflowError.
_ILLEGAL = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError, SyntaxError, InputError, KeyError, ValueError,
    TypeError, OverflowError, OSError, RuntimeError, EOFError,
)  # fmt: skip


def encode(
    transforms: Mapping[str, PlaneTransform],
    liftings: Mapping[str, Lifting] | None = None,
    refining: Mapping[str, int] | None = None,
) -> bytes:
    """The archive's bytes, stored without compression (float32 noise does not shrink).

    `refining`: by name of each plane that refines, the number of the plane it refines.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, array in _parts(transforms, liftings or {}, refining or {}):
            data = io.BytesIO()
            np.lib.format.write_array(data, np.ascontiguousarray(array), version=(1, 0))
            info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            info.create_system = 3  # else it names the operating system that wrote it
            info.external_attr = 0o644 << 16
            archive.writestr(info, data.getvalue())
    return out.getvalue()


def _parts(
    transforms: Mapping[str, PlaneTransform], liftings: Mapping[str, Lifting], refining: Mapping[str, int]
) -> Iterator[tuple[str, np.ndarray]]:
    for plane, transform in transforms.items():
        yield f"{plane}.mean", transform.mean.astype("<f4")
        yield f"{plane}.basis", transform.basis.astype("<f4")
        if transform.tokens == "none":
            yield f"{plane}.tokens", np.zeros(1, dtype=np.uint8)
        if transform.rotations is not None:
            yield f"{plane}.rotations", transform.rotations.matrices.astype("<f4")
            yield f"{plane}.rotation", transform.rotations.group
    for plane, lifting in liftings.items():
        yield f"{plane}.range", np.array([lifting.low, lifting.modulus], dtype="<i4")
        yield f"{plane}.start", lifting.start.astype("<i2")
        # Weights that predict nothing are left out (bitstream §9): of 4096 channels they would be 34 MB of zeros.
        if lifting.neighbours.any():
            yield f"{plane}.neighbours", lifting.neighbours.astype("<i2")
        if lifting.channels.any():
            yield f"{plane}.channels", lifting.channels.astype("<i2")
    for plane, number in refining.items():
        yield f"{plane}.refines", np.array([number], dtype=np.uint8)


def size_limit(planes: Sequence[PlaneEntry], refining: Sequence[PlaneEntry] = ()) -> int:
    """The most bytes the archive of these planes can need."""
    floats = sum(sum(_sizes(plane)) + 8 * _HEADER_BYTES for plane in planes)
    return floats + (2 * len(refining) + 1) * _HEADER_BYTES


def _sizes(plane: PlaneEntry) -> tuple[int, int, int]:
    """Of mean, basis and rotations at the most."""
    spec = plane.spec
    basis = 4 * spec.channels * spec.channels
    rotations = MOST * basis if spec.kind is PlaneKind.FLOAT and spec.channels <= WIDEST else 0
    return 4 * spec.rows * spec.cols * spec.channels, basis, rotations


def decode(
    data: bytes, planes: Sequence[PlaneEntry], path: object, refining: Sequence[PlaneEntry] = ()
) -> tuple[dict[str, PlaneTransform], dict[str, Lifting]]:
    """The transforms of the float planes, the liftings of those integer planes whose entry says `linear`.

    Raises Corrupt naming `path` where an array is absent, of another shape, or holds what it must not; so where it says
    otherwise than `refining` which planes refine which.

    Sizes are checked in the archive's directory before anything is unpacked.
    """
    transforms, liftings = {}, {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for own in refining:
                if (number := _refines(archive, own.name)) != own.refines:
                    raise ValueError(f"{own.name}.refines is {number}, not {own.refines}")
            named = {f"{own.name}.refines.npy" for own in refining}
            if unnamed := sorted(
                m for m in archive.namelist() if m.endswith(".refines.npy") and m not in named
            ):
                raise ValueError(f"{unnamed[0]} is of no plane that refines")
            for plane in planes:
                spec = plane.spec
                if plane.lifting == "linear":
                    liftings[plane.name] = _lifting(archive, plane.name, spec.channels)
                if spec.kind is not PlaneKind.FLOAT:
                    continue
                mean = _member(archive, f"{plane.name}.mean", (spec.rows, spec.cols, spec.channels))
                basis = _member(archive, f"{plane.name}.basis", (spec.channels, spec.channels))
                transforms[plane.name] = PlaneTransform(
                    mean,
                    basis,
                    _tokens(archive, plane.name),
                    _rotations(archive, plane.name, spec.n_frequencies, spec.channels),
                )
    except _ILLEGAL as error:
        detail = error.what if isinstance(error, InputError) else str(error).strip("'\"")
        raise Corrupt(
            f"not a transform archive: {detail}", path=path, fix="build the package again"
        ) from error
    return transforms, liftings


def has_lifting(data: bytes, plane: str) -> bool:
    """Whether the archive holds the lifting of `plane`: how a self-contained file names it. False for no archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return f"{plane}.range.npy" in archive.namelist()
    except _ILLEGAL:
        return False


def refined_by(data: bytes, plane: str) -> int | None:
    """The number of the plane that `plane` refines, as the archive says; None: it refines none, or this is no archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _refines(archive, plane) if f"{plane}.refines.npy" in archive.namelist() else None
    except _ILLEGAL:
        return None


def _refines(archive: zipfile.ZipFile, plane: str) -> int:
    return int(_member(archive, f"{plane}.refines", (1,), "|u1")[0])


def _tokens(archive: zipfile.ZipFile, plane: str) -> TokenTransform:
    if f"{plane}.tokens.npy" not in archive.namelist():
        return "dct"
    if _member(archive, f"{plane}.tokens", (1,), "|u1")[0] != 0:
        raise ValueError(f"{plane}.tokens names an unknown transform over tokens")
    return "none"


def _rotations(archive: zipfile.ZipFile, plane: str, frequencies: int, channels: int) -> Rotations | None:
    names = {f"{plane}.rotations.npy", f"{plane}.rotation.npy"} & set(archive.namelist())
    if not names:
        return None
    group = _member(archive, f"{plane}.rotation", (frequencies,), "|u1")
    n = int(group.max()) + 1
    if n > MOST or channels > WIDEST:  # before memory is taken for them
        raise ValueError(f"{plane}.rotations are {n} of {channels} channels")
    return Rotations(_member(archive, f"{plane}.rotations", (n, channels, channels)), group)


def _lifting(archive: zipfile.ZipFile, plane: str, channels: int) -> Lifting:
    low, modulus = (int(v) for v in _member(archive, f"{plane}.range", (2,), "<i4"))
    return Lifting(
        low,
        modulus,
        _member(archive, f"{plane}.start", (channels,), "<i2"),
        _weights(archive, f"{plane}.neighbours", (channels, NEIGHBOURS)),
        _weights(archive, f"{plane}.channels", (channels, channels)),
    )


def _weights(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Weights of a lifting; where absent all 0, without memory for them."""
    if f"{name}.npy" in archive.namelist():
        return _member(archive, name, shape, "<i2")
    return np.broadcast_to(np.int16(0), shape)


def _member(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: str = "<f4") -> np.ndarray:
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > np.dtype(dtype).itemsize * int(np.prod(shape)) + _HEADER_BYTES:
        raise ValueError(f"{name} is larger than {shape} {np.dtype(dtype)}")
    data = io.BytesIO(archive.read(info))
    version = np.lib.format.read_magic(data)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name} is a .npy of version {version}")
    read_header = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    # Judged before the array is made: its header may promise any number of bytes.
    found, by_columns, stored = read_header(data)
    if stored != np.dtype(dtype) or found != shape:
        raise ValueError(f"{name} is {stored} {found}, expected {np.dtype(dtype)} {shape}")
    array = np.frombuffer(data.read(), dtype=stored).reshape(found, order="F" if by_columns else "C")
    return np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("="))
