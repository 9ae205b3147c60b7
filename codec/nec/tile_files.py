"""Tiles and tokens as .npz."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from codec.atomic import write_atomic
from codec.errors import InputError
from codec.nec.encoders import MaskedEncoder
from codec.nec.patches import Tiles, tiles_of


def read_tiles(path: Path, encoder: MaskedEncoder) -> Tiles:
    """`pixels` N×B×T×T reflectance in the encoder's band order; `present` N×B and `validity` N×T×T where not all is there.

    Raises InputError for another shape, or a measured pixel that is not finite.
    """
    try:
        with np.load(path) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"tiles cannot be read ({type(error).__name__})", path=path) from error
    side, n_bands = encoder.tile, len(encoder.names)
    pixels = found.get("pixels")
    if pixels is None or pixels.ndim != 4 or pixels.shape[1:] != (n_bands, side, side) or not len(pixels):
        raise InputError(
            "the tiles do not fit the encoder",
            path=path,
            expected=f"pixels N×{n_bands}×{side}×{side} ({', '.join(encoder.names)})",
            found="no pixels" if pixels is None else pixels.shape,
        )
    n = len(pixels)
    present = np.asarray(found.get("present", np.ones((n, n_bands))), np.float32)
    validity = np.asarray(found.get("validity", np.ones((n, side, side))), np.float32)
    if present.shape != (n, n_bands) or validity.shape != (n, side, side):
        raise InputError(
            "present and validity do not fit the tiles", path=path, found=(present.shape, validity.shape)
        )
    pixels = np.asarray(pixels, np.float32)
    measured = (present[:, :, None, None] * validity[:, None]) > 0.5
    wrong = (~np.isfinite(pixels) & measured).any((1, 2, 3))
    if wrong.any():
        raise InputError(
            "measured pixels are not finite",
            path=path,
            record=int(wrong.argmax()),
            fix="mark them in validity",
        )
    pixels = np.where(measured, pixels, 0)
    return tiles_of(
        torch.from_numpy(pixels.astype(np.float32)),
        torch.from_numpy(present),
        torch.from_numpy(validity),
        encoder.names,
        encoder.patch,
    )


def write_tokens(path: Path, **tokens: Tensor) -> None:
    """Arrays N×h×w×C by name, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **{name: x.numpy() for name, x in tokens.items()})  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())
