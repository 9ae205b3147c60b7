"""`transform.npz` (§9) of a self-contained file: what it must hold, and what it says of each plane."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import numpy.typing as npt

from nec_reference.lifting import Linear
from nec_reference.plane import KIND_FLOAT, Plane
from nec_reference.refusals import Corrupt

Arrays = dict[str, npt.NDArray[np.generic]]


def load_archive(data: bytes) -> Arrays:
    """Every array by name. Corrupt when it is no archive of arrays."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise Corrupt(f"no transform archive: {error}") from None


def read_archive(data: bytes, planes: tuple[Plane, ...]) -> Arrays:
    """The arrays, once those that each plane needs are there in the right type and shape."""
    arrays = load_archive(data)
    if any(number >= len(planes) for number in refines(arrays)):
        raise Corrupt("a plane that the file does not have refines another")
    for number, plane in enumerate(planes):
        name = f"plane{number}"
        if f"{name}.refines" in arrays:
            _check_refines(arrays, planes, number)
        elif plane.kind == KIND_FLOAT:
            _need(arrays, f"{name}.mean", "<f4", (plane.rows, plane.cols, plane.channels))
            _need(arrays, f"{name}.basis", "<f4", (plane.channels, plane.channels))
            if f"{name}.tokens" in arrays:
                _need(arrays, f"{name}.tokens", "|u1", (1,))
                if arrays[f"{name}.tokens"][0] != 0:
                    raise Corrupt("an unknown transform over tokens")
            _check_rotations(arrays, name, plane)
        elif f"{name}.range" in arrays:
            linear(arrays, name, plane.channels)
    return arrays


def _check_rotations(arrays: Arrays, name: str, plane: Plane) -> None:
    if f"{name}.rotation" not in arrays and f"{name}.rotations" not in arrays:
        return
    of = _need(arrays, f"{name}.rotation", "|u1", (plane.rows * plane.cols,))
    groups = int(of.max()) + 1
    if sorted(set(of.tolist())) != list(range(groups)) or groups > 16 or plane.channels > 1024:
        raise Corrupt("rotations that do not belong to the frequencies")
    if f"{name}.tokens" in arrays:
        raise Corrupt("rotations of a plane without frequencies")
    matrices = _need(arrays, f"{name}.rotations", "<f4", (groups, plane.channels, plane.channels))
    for matrix in matrices.astype(np.float64):
        if not np.allclose(matrix @ matrix.T, np.eye(plane.channels), rtol=0, atol=1e-4):
            raise Corrupt("a rotation that is not orthonormal")


def refines(arrays: Arrays) -> dict[int, int]:
    """Of every plane that refines one: the number of that one (§8.4)."""
    return {
        number: int(_need(arrays, f"plane{number}.refines", "|u1", (1,))[0])
        for number in range(8)
        if f"plane{number}.refines" in arrays
    }


def _check_refines(arrays: Arrays, planes: tuple[Plane, ...], number: int) -> None:
    every = refines(arrays)
    other = every[number]
    if other >= number or list(every.values()).count(other) > 1:
        raise Corrupt(f"plane {number} refines plane {other}, which it cannot")
    if any(later not in every for later in range(number, len(planes))):
        raise Corrupt("planes that refine stand before others")
    own, refined = planes[number], planes[other]
    same = (own.rows, own.cols, own.channels, own.kind) == (
        refined.rows, refined.cols, refined.channels, refined.kind,
    )  # fmt: skip
    if not same or own.kind != KIND_FLOAT:
        raise Corrupt(f"plane {number} is not like plane {other}, which it refines")


def linear(arrays: Arrays, name: str, channels: int) -> Linear:
    """The lifting of one plane."""
    low, modulus = (int(v) for v in _need(arrays, f"{name}.range", "<i4", (2,)))
    if not (low >= -32768 and 1 <= modulus <= 65535 and low + modulus <= 32768):
        raise Corrupt(f"a range of {modulus} numbers from {low}")
    matrix = _weights(arrays, f"{name}.channels", (channels, channels))
    if np.triu(matrix).any():
        raise Corrupt("a channel is predicted from itself or a later one")
    return Linear(
        low,
        modulus,
        _need(arrays, f"{name}.start", "<i2", (channels,)).tolist(),
        _weights(arrays, f"{name}.neighbours", (channels, 4)).tolist(),
        matrix.tolist(),
    )


def _weights(arrays: Arrays, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    """Weights that may be absent: then all are 0."""
    return _need(arrays, name, "<i2", shape) if name in arrays else np.zeros(shape, np.int16)


def _need(arrays: Arrays, name: str, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    found = arrays.get(name)
    if found is None or found.dtype != np.dtype(dtype) or found.shape != shape:
        raise Corrupt(f"{name} is absent or not {dtype} {shape}")
    return found
