"""What the harness refuses to score: answers that did not come out of whole bytes, or that are not of this model.

A method that sends less may lose everything about a channel, and then errs by that channel's variance; one that errs by more
at its *finest* setting decoded something else: tables or a basis of another model, channels in another order, other units.

What a codec was fitted on cannot be seen in its answers. Hence two things are checked before: no tile that is scored, and no
copy of one, is among those that a method is given; and methods are given nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from codec.errors import InternalError
from codec.evaluate.rate.targets import Evidence
from codec.evaluate.rate.types import Coded, EmbeddingCoder, FloatVector, Planes, TileSet
from codec.types import BoolArray, FloatArray

WORST = 1.3  # error of a channel at the finest setting, of its variance; 1 is the error of sending nothing
# Mean over channels, of their variance. Measured with s2-nano: honest embedding methods on training tiles leave at most
# 0.0005, picture codecs 0.0001; a factor of 1.1 after decoding leaves 0.003 (tile means alone) to 0.010, of 1.2 at least
# 0.012; pixels times 1.05 leave 0.017.
SYSTEMATIC = 0.005
_SAMPLE = 128  # tiles
_ROUNDING = 1e-4  # of a channel's variance: other batches and threads add in another order
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


def check_apart(
    name: str, sets: Mapping[str, Evidence], training: Mapping[str, BoolArray], held: BoolArray
) -> None:
    """No tile of set `name` that is scored (`held`), nor a copy of one, is among those that codecs are fitted on.

    `training`: of each set. Raises InternalError naming set and tile. Tiles without any contrast are alike everywhere.
    """
    if name in training and (training[name] & held).any():
        raise InternalError(
            f"codecs for {name} would be fitted on tiles that are scored",
            found=f"{int((training[name] & held).sum())} tiles, the first is {int((training[name] & held).argmax())}",
        )
    scored = _digests(sets[name].tiles, held)
    for other, keep in training.items():
        for digest, tile in _digests(sets[other].tiles, keep).items():
            if digest in scored:
                raise InternalError(
                    f"tile {tile} of {other}, which codecs for {name} would be fitted on, is a copy of tile "
                    f"{scored[digest]}, which is scored",
                    fix="leave one of the two out, or put both on one side",
                )


def _digests(tiles: TileSet, keep: BoolArray) -> dict[bytes, int]:
    """SHA-256 of what was measured of each tile → its number, without tiles of one value in every band."""
    found: dict[bytes, int] = {}
    for i in np.flatnonzero(keep):
        measured = np.where(tiles.validity[i], tiles.pixels[i], np.float32(0))
        if np.ptp(measured, axis=(1, 2)).any():
            found.setdefault(hashlib.sha256(measured.tobytes()).digest(), int(i))
    return found


def check_codec(method: str, coder: EmbeddingCoder, train: Planes) -> None:
    """Some of the tiles that a codec was fitted on come back as tiles of this model. Raises InternalError as `check_planes`.

    On these an honest codec, however little it sends, errs by no more than a channel varies, and not systematically. On
    tiles of another kind it may: 64 components of land leave 1.7 times the variance of one channel over a cloudy coast.
    """
    there = np.flatnonzero(train.validity.any((1, 2)))
    some = train.only(
        there[np.unique(np.linspace(0, len(there) - 1, min(_SAMPLE, len(there))).astype(np.int64))]
    )
    check_planes(method, [coder.code(some, coder.settings[0])], some)


def check_received(method: str, coded: Sequence[Coded], planes: Planes, train: Planes) -> None:
    """Decoded planes of a set are those of its tiles: at the finest setting nearer than the mean of the training tiles, all
    channels together. Raises InternalError naming method and plane.
    """
    _check_shapes(method, coded, planes)
    for plane, values in coded[0].planes.items():
        truth = planes.values[plane][planes.validity].astype(np.float64)
        nothing = train.values[plane][train.validity].mean(0, dtype=np.float64)
        error = (
            np.square(values[planes.validity] - truth).mean(0).sum()
            / np.square(truth - nothing).mean(0).sum()
        )
        if error > WORST:
            raise InternalError(
                f"{method} at its finest setting, plane {plane!r}: error {error:.2f} of that of sending nothing",
                fix="keep tiles, places and channels in their order",
            )


def check_planes(method: str, coded: Sequence[Coded], planes: Planes) -> None:
    """Decoded planes are of this model. Raises InternalError naming method, plane and channel."""
    _check_shapes(method, coded, planes)
    for plane, values in coded[0].planes.items():
        truth, found = planes.values[plane][planes.validity], values[planes.validity]
        error = channel_errors(truth, found)
        if error.max() > WORST:
            raise InternalError(
                f"{method} at its finest setting, plane {plane!r}, channel {int(error.argmax())}: error "
                f"{error.max():.2f} of the variance, more than of sending nothing",
                fix="decode with the tables, basis and channel order of this model",
            )
        _check_systematic(f"{method} at its finest setting, plane {plane!r}", systematic_errors(truth, found))


def _check_shapes(method: str, coded: Sequence[Coded], planes: Planes) -> None:
    for c in coded:
        for plane, values in c.planes.items():
            if plane not in planes.values or values.shape != planes.values[plane].shape:
                raise InternalError(
                    f"{method} at {c.setting}: plane {plane!r} has another shape", found=values.shape
                )
            if not np.isfinite(values).all():
                raise InternalError(f"{method} at {c.setting}: plane {plane!r} is not finite")


def _check_systematic(what: str, error: FloatVector) -> None:
    if error.mean() > SYSTEMATIC:
        raise InternalError(
            f"{what}: {error.mean():.3f} of the variance is a factor and an offset that the decoder leaves",
            fix="decode to the units, gain and offset of what was sent",
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
    finest, systematic = coded[0].pixels, []
    assert finest is not None
    for band, name in enumerate(tiles.bands):
        known = tiles.validity & tiles.present[:, band, None, None]
        if not known.any() or (bands is not None and name not in bands):
            continue
        truth, found = tiles.pixels[:, band][known][:, None], finest[:, band][known][:, None]
        error = channel_errors(truth, found)
        if error.max() > WORST:
            raise InternalError(
                f"{method} at its finest setting, band {name}: error {error.max():.2f} of the variance",
                fix="decode to reflectance, in the order of the set's bands",
            )
        systematic.append(systematic_errors(truth, found))
    if systematic:
        _check_systematic(f"{method} at its finest setting, pixels", np.concatenate(systematic))


def check_ground(method: str, plain: Mapping[str, FloatArray], planes: Planes) -> None:
    """What the ground makes of pixels that were never compressed is what the encoder made on board.

    Raises InternalError naming plane and channel: the two sides normalise, or the planes are of other pixels.
    """
    for name, values in planes.values.items():
        if name not in plain:
            continue
        error = channel_errors(values[planes.validity], plain[name][planes.validity])
        if error.max() > _ROUNDING:
            raise InternalError(
                f"{method}: of uncompressed pixels the ground makes another plane {name!r} than was made on board, channel "
                f"{int(error.argmax())} errs by {error.max():.2g} of its variance",
                fix="give both sides the same encoder, units and normalisation",
            )


def channel_errors(truth: FloatArray, found: FloatArray) -> FloatVector:
    """Mean squared error of each channel over its variance, n×C → C; a constant channel counts by its error alone."""
    x = truth.astype(np.float64)
    variance = x.var(axis=0)
    floor = 1e-6 * max(float(variance.max()), 1e-30)
    return np.asarray(np.square(found - x).mean(axis=0) / np.maximum(variance, floor), np.float64)


def systematic_errors(truth: FloatArray, found: FloatArray) -> FloatVector:
    """The part of `channel_errors` that the best factor and offset of each channel would take away, n×C → C.

    A quantiser that reconstructs means of its cells, and a projection on components, leave none on what they were fitted on.
    """
    x, y = truth.astype(np.float64), found.astype(np.float64)
    shift, y_variance = y.mean(0) - x.mean(0), y.var(0)
    covariance = ((x - x.mean(0)) * (y - y.mean(0))).mean(0)
    # The error less the residual of the regression of x on y; a channel that is not sent has only its shift.
    known = np.where(y_variance > 0, y_variance, 1.0)
    gain = np.where(y_variance > 0, np.square(y_variance - covariance) / known, 0.0)
    variance = x.var(0)
    floor = 1e-6 * max(float(variance.max()), 1e-30)
    return np.asarray((np.square(shift) + gain) / np.maximum(variance, floor), np.float64)
