"""Cutting a plane's coefficients into layers of about doubling size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from codec.transform.tables import PlaneMaps


def cut_layers(plane: PlaneMaps, n_layers: int, cell_bytes: npt.NDArray[np.float64]) -> PlaneMaps:
    """Cut layer 1 of `plane` by scale into layers 1 … `n_layers` − 1, each of which about doubles the bytes so far.

    Scale is the order of usefulness: with one step for all, the coefficients of larger scale remove more distortion
    per bit. `cell_bytes` (B×C) are mean bytes at the rate where the doubling shall hold. Planes of one layer, or asked
    for two, come back as they are; fewer layers result where there is too little to cut.
    """
    if len(plane.layer_shift) < 2 or n_layers < 3:
        return plane
    rest = np.argwhere(plane.layer_map == 1)
    order = np.argsort(-plane.class_map[rest[:, 0], rest[:, 1]].astype(np.int64), kind="stable")
    ordered = rest[order]
    cumulative = cell_bytes[0].sum() + np.cumsum(cell_bytes[ordered[:, 0], ordered[:, 1]])
    growth = (
        (cumulative[-1] / cell_bytes[0].sum()) ** (1 / (n_layers - 1)) if cell_bytes[0].sum() > 0 else 2.0
    )
    layer = np.ones(len(ordered), dtype=np.uint8)
    for number in range(1, n_layers - 1):
        layer[cumulative > cell_bytes[0].sum() * growth**number] = number + 1
    # A step of the ladder may leave a layer empty: close the gaps so that numbers are consecutive.
    _, number_of = np.unique(layer, return_inverse=True)
    layer_map = plane.layer_map.copy()
    layer_map[ordered[:, 0], ordered[:, 1]] = number_of + 1
    shift = (plane.layer_shift[0], *(plane.layer_shift[1:2] * (int(number_of.max()) + 1)))
    return replace(plane, layer_shift=shift, layer_map=layer_map)


def cut_channels(plane: PlaneMaps, n_layers: int, cell_bytes: npt.NDArray[np.float64]) -> PlaneMaps:
    """Cut a plane without token transform into layers of channels, in order of scale, each about doubling the bytes.

    `cell_bytes` (B×C) as for `cut_layers`. Fewer layers result where there are fewer channels or too little to cut.
    """
    per_channel = cell_bytes.sum(axis=0)
    order = np.argsort(-plane.class_map[-1].astype(np.int64), kind="stable")
    cumulative = np.cumsum(per_channel[order])
    total = float(cumulative[-1])
    edges = total * 2.0 ** -np.arange(n_layers - 1, 0, -1)  # the last layer is half of all bytes
    # A channel belongs to the layer in which it begins, so layer 0 is never empty.
    layer = np.searchsorted(edges, cumulative - per_channel[order], side="right") if total > 0 else order * 0
    _, number_of = np.unique(layer, return_inverse=True)
    layer_map = plane.layer_map.copy()
    layer_map[:, order] = number_of.astype(np.uint8)
    return replace(plane, layer_shift=plane.layer_shift[:1] * (int(number_of.max()) + 1), layer_map=layer_map)
