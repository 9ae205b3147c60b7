"""What a chunk of a Zarr array holds: which axis is which, and whether its header says the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from codec.arrays.tokens import AXES
from codec.bitstream.array_shape import ArrayShape, Layout
from codec.bitstream.header import FileHeader
from codec.errors import Corrupt, IdentityError, InputError

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec

_DEFAULT_AXES = {2: "nc", 3: "hwc", 4: "thwc"}


def axes_of(shape: Sequence[int], axes: str | None) -> str:
    """Names of the last axes of a chunk, told or by their number; those before them have length 1."""
    if axes is None:
        axes = _DEFAULT_AXES.get(len(shape), "hwc")
        if len(shape) == 4 and shape[0] == 1:
            axes = "hwc"
    leading = len(shape) - len(axes)
    if leading < 0 or any(side != 1 for side in shape[:leading]):
        raise InputError(
            f"a chunk of shape {tuple(shape)} has not the axes {axes!r}",
            expected=f"{len(axes)} axes, and only axes of length 1 before them",
            fix="choose chunks of length 1 along the leading axes, or name the axes",
        )
    return axes


def checked(header: FileHeader, chunk_spec: ArraySpec, axes: str | None, codec_id: str) -> ArrayShape:
    """What a chunk's header says of its array, if it is this array's. Raises IdentityError or Corrupt."""
    if header.codec_id.hex() != codec_id:
        raise IdentityError(
            "a chunk was coded with another package than the array says", expected=codec_id,
            found=header.codec_id.hex(), fix="write the chunk again with the array's own serializer",
        )  # fmt: skip
    about = header.array
    axes = axes_of(chunk_spec.shape, axes)
    shape = tuple(chunk_spec.shape[len(chunk_spec.shape) - len(axes) :])
    dtype = chunk_spec.dtype.to_native_dtype().newbyteorder("=")
    if about is None or (about.layout, about.shape, about.dtype) != (AXES[axes], shape, dtype):
        raise Corrupt(
            "a chunk holds another array than its metadata says",
            expected=f"{axes} {shape} {dtype}",
            found="a scene" if about is None else f"{Layout(about.layout).name} {about.shape} {about.dtype}",
        )
    return about
