"""The linear probe: softmax regression, its penalty chosen inside the training part."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codec.heads.linear import LinearHead, choose_penalty, fit_softmax
from codec.types import FloatArray

IntArray = npt.NDArray[np.int64]


def fit_probe(x: FloatArray, y: IntArray, groups: IntArray, n_classes: int) -> LinearHead:
    """A probe on N×F features; the penalty by grouped folds of these samples."""
    return fit_softmax(x, y, n_classes, penalty=choose_penalty(x, y, groups, n_classes))
