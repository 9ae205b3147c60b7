"""Ranges of activations for an integer engine, measured in one pass over calibration tiles.

Nothing but counts is kept: each tensor's magnitudes fall into fixed logarithmic bins, so memory does not grow with the
number of tiles, and the result depends on neither their order nor the size of a batch (up to how kernels round).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx

from codec.errors import InputError
from codec.types import FloatArray

_LOWEST, _HIGHEST, _PER_OCTAVE = (
    -24,
    24,
    64,
)  # bins from 2^-24 to 2^24; below and above fall into the outermost
_BINS = (_HIGHEST - _LOWEST) * _PER_OCTAVE
_LEVELS = 127  # of a symmetric signed byte: −127 … 127, so that a zero point of 0 loses nothing

Batch = tuple[FloatArray, FloatArray, FloatArray]


@dataclass(slots=True)
class Histogram:
    """Counts of |x| of one tensor."""

    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    zeros: int = 0

    def add(self, values: FloatArray) -> None:
        """Raises InputError for values that are not finite."""
        magnitude = np.abs(values.ravel())
        if not np.isfinite(magnitude).all():
            raise InputError(
                "an activation is not finite: nothing can be calibrated", fix="check the weights"
            )
        magnitude = magnitude[magnitude > 0]
        self.zeros += values.size - magnitude.size
        place = np.floor((np.log2(magnitude) - _LOWEST) * _PER_OCTAVE).astype(np.int64)
        self.counts += np.bincount(np.clip(place, 0, _BINS - 1), minlength=_BINS)

    def largest(self) -> float:
        """Upper edge of the highest bin that holds anything; 0 when all values were 0."""
        used = np.flatnonzero(self.counts)
        return float(_EDGES[used[-1] + 1]) if len(used) else 0.0

    def percentile(self, share: float) -> float:
        """Upper edge of the bin below which `share` of all values lie, zeros counted."""
        total = self.zeros + int(self.counts.sum())
        reached = self.zeros + np.cumsum(self.counts)
        place = int(np.searchsorted(reached, share * total))
        return float(_EDGES[min(place, _BINS - 1) + 1]) if self.counts.any() else 0.0

    def least_error(self) -> float:
        """The range whose rounding and clipping errors together are smallest, in mean square."""
        used = np.flatnonzero(self.counts)
        if not len(used):
            return 0.0
        centres, counts = _CENTRES[used], self.counts[used].astype(np.float64)
        best, chosen = np.inf, self.largest()
        # A range below half of the largest magnitude at 1 value in 10 000 has never been the best; 6 octaves cover it.
        for candidate in _EDGES[max(0, used[-1] - 6 * _PER_OCTAVE) : used[-1] + 2 : 4]:
            step = candidate / _LEVELS
            rounding = np.minimum(
                step * step / 12, centres**2
            )  # values far below a step lose themselves at most
            clipped = np.square(np.maximum(centres - candidate, 0.0))
            error = float((counts * np.where(centres <= candidate, rounding, clipped)).sum())
            if error < best:
                best, chosen = error, float(candidate)
        return chosen


_EDGES = 2.0 ** (_LOWEST + np.arange(_BINS + 1) / _PER_OCTAVE)
_CENTRES = np.sqrt(_EDGES[:-1] * _EDGES[1:])


def observe(model: onnx.ModelProto, tensors: Sequence[str], batches: Iterable[Batch]) -> dict[str, Histogram]:
    """Histograms of `tensors` of a float32 graph over all batches (pixels, bands, validity), one batch at a time.

    Raises InputError when there is no batch.
    """
    import onnxruntime as ort

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    names = list(dict.fromkeys(tensors))
    del copy.graph.output[:]
    copy.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])
    needed = {node.name for node in session.get_inputs()}
    found = {name: Histogram() for name in names}
    seen = 0
    for pixels, bands, validity in batches:
        feeds = {"pixels": pixels, "bands": bands, "validity": validity}
        seen += len(pixels)
        for name, values in zip(
            names, session.run(names, {k: v for k, v in feeds.items() if k in needed}), strict=True
        ):
            found[name].add(values)
    if not seen:
        raise InputError(
            "the calibration set is empty: an integer engine has no scales without it",
            fix="name scenes with --calibration",
        )
    return found
