"""`transform.npz` (bitstream §9): `<plane>.mean` and `<plane>.basis`, float32, no pickles, equal arrays = equal bytes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from codec.errors import Corrupt, InputError
from codec.package.manifest import PlaneEntry
from codec.transform.plane import PlaneTransform
from codec.types import PlaneKind

_HEADER_BYTES = 1024  # more than any .npy header of two or three dimensions
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a ZIP entry needs a date; the bytes must not depend on the clock


def encode(transforms: Mapping[str, PlaneTransform]) -> bytes:
    """The archive's bytes, stored without compression (float32 noise does not shrink)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for plane, transform in transforms.items():
            for part, array in (("mean", transform.mean), ("basis", transform.basis)):
                data = io.BytesIO()
                np.lib.format.write_array(data, np.ascontiguousarray(array, dtype="<f4"), version=(1, 0))
                info = zipfile.ZipInfo(f"{plane}.{part}.npy", _EPOCH)
                info.create_system = 3  # else it names the operating system that wrote it
                info.external_attr = 0o644 << 16
                archive.writestr(info, data.getvalue())
    return out.getvalue()


def size_limit(planes: Sequence[PlaneEntry]) -> int:
    """The most bytes the archive of these planes can need."""
    return sum(_sizes(plane)[0] + _sizes(plane)[1] + 4 * _HEADER_BYTES for plane in planes) + _HEADER_BYTES


def _sizes(plane: PlaneEntry) -> tuple[int, int]:
    spec = plane.spec
    return 4 * spec.rows * spec.cols * spec.channels, 4 * spec.channels * spec.channels


def decode(data: bytes, planes: Sequence[PlaneEntry], path: Path) -> dict[str, PlaneTransform]:
    """The transforms of the float planes. Raises Corrupt naming `path` where an array is absent or of another shape.

    Sizes are checked in the archive's directory before anything is unpacked.
    """
    result = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for plane in planes:
                if plane.spec.kind is not PlaneKind.FLOAT:
                    continue
                spec = plane.spec
                mean = _member(archive, f"{plane.name}.mean", (spec.rows, spec.cols, spec.channels))
                basis = _member(archive, f"{plane.name}.basis", (spec.channels, spec.channels))
                result[plane.name] = PlaneTransform(mean, basis)
    except (
        zipfile.BadZipFile,
        InputError,
        KeyError,
        ValueError,
        OSError,
        NotImplementedError,
        EOFError,
    ) as error:
        detail = error.what if isinstance(error, InputError) else str(error).strip("'\"")
        raise Corrupt(
            f"not a transform archive: {detail}", path=path, fix="build the package again"
        ) from error
    return result


def _member(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> np.ndarray:
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > 4 * int(np.prod(shape)) + _HEADER_BYTES:
        raise ValueError(f"{name} is larger than {shape} float32")
    array = np.lib.format.read_array(io.BytesIO(archive.read(info)), allow_pickle=False)
    if array.dtype != np.dtype("<f4") or array.shape != shape:
        raise ValueError(f"{name} is {array.dtype} {array.shape}, expected float32 {shape}")
    return np.ascontiguousarray(array, dtype=np.float32)
