"""What the harness refuses to score: answers that did not come out of whole bytes, or that are not of this model.

A method that sends less may lose everything about a channel, and then errs by that channel's variance; one that errs by more
at its *finest* setting decoded something else: tables or a basis of another model, channels in another order, other units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codec.errors import InternalError
from codec.evaluate.rate.types import Coded, FloatVector, Planes, TileSet
from codec.types import FloatArray

WORST = 1.3  # error of a channel at the finest setting, of its variance; 1 is the error of sending nothing
_WHOLE = 1e-6  # bytes by which sums of shares may differ from a whole number


def check_coded(method: str, coded: Sequence[Coded], n_tiles: int) -> None:
    """Sizes are shares of whole bytes, settings differ. Raises InternalError naming the method."""
    if not coded:
        raise InternalError(f"{method} has no setting")
    names = [c.setting for c in coded]
    if len(set(names)) != len(names):
        raise InternalError(f"{method} names a setting twice", found=names)
    for c in coded:
        total = float(c.sizes.sum())
        if c.sizes.shape != (n_tiles,) or not np.isfinite(c.sizes).all() or c.sizes.min() < 0:
            raise InternalError(f"{method} at {c.setting}: a size per tile is needed", found=c.sizes.shape)
        if abs(total - round(total)) > _WHOLE * max(1.0, total):
            raise InternalError(
                f"{method} at {c.setting}: {total} is no number of bytes; likelihoods are not sizes",
                fix="count the buffers that are sent",
            )


def check_planes(method: str, coded: Sequence[Coded], planes: Planes) -> None:
    """Decoded planes are of this model. Raises InternalError naming method, plane and channel."""
    for c in coded:
        for plane, values in c.planes.items():
            if plane not in planes.values or values.shape != planes.values[plane].shape:
                raise InternalError(
                    f"{method} at {c.setting}: plane {plane!r} has another shape", found=values.shape
                )
            if not np.isfinite(values).all():
                raise InternalError(f"{method} at {c.setting}: plane {plane!r} is not finite")
    for plane, values in coded[0].planes.items():
        known = planes.validity
        error = channel_errors(planes.values[plane][known], values[known])
        if error.max() > WORST:
            raise InternalError(
                f"{method} at its finest setting, plane {plane!r}, channel {int(error.argmax())}: error "
                f"{error.max():.2f} of the variance, more than of sending nothing",
                fix="decode with the tables, basis and channel order of this model",
            )


def check_pixels(
    method: str, coded: Sequence[Coded], tiles: TileSet, bands: Sequence[str] | None = None
) -> None:
    """Decoded pixels of the bands that are sent (None: all) are reflectance of these tiles. Raises InternalError naming
    method and band.
    """
    for c in coded:
        if c.pixels is None or c.pixels.shape != tiles.pixels.shape or not np.isfinite(c.pixels).all():
            raise InternalError(f"{method} at {c.setting}: pixels of these tiles are needed")
    finest = coded[0].pixels
    assert finest is not None
    for band, name in enumerate(tiles.bands):
        known = tiles.validity & tiles.present[:, band, None, None]
        if not known.any() or (bands is not None and name not in bands):
            continue
        error = channel_errors(tiles.pixels[:, band][known][:, None], finest[:, band][known][:, None])
        if error.max() > WORST:
            raise InternalError(
                f"{method} at its finest setting, band {name}: error {error.max():.2f} of the variance",
                fix="decode to reflectance, in the order of the set's bands",
            )


def channel_errors(truth: FloatArray, found: FloatArray) -> FloatVector:
    """Mean squared error of each channel over its variance, n×C → C; a constant channel counts by its error alone."""
    x = truth.astype(np.float64)
    variance = x.var(axis=0)
    floor = 1e-6 * max(float(variance.max()), 1e-30)
    return np.asarray(np.square(found - x).mean(axis=0) / np.maximum(variance, floor), np.float64)
