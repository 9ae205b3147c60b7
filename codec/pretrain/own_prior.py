"""What a codec at hand expects of embeddings, as embeddings: they go with windows of a user's own, so that few of those, or
windows of one kind, do not make a codec of nothing else.

No window of its training is needed: mean, basis and the scale of every coefficient say what it expects. With one scene for a
sensor the codec then errs less by far; with many it is a small share (`benchmarks.nec_ingredients --part own-scenes`).
"""

from __future__ import annotations

import numpy as np

from codec.package import Package
from codec.transform.fit_cells import LOWEST_LEVEL
from codec.transform.layout import QUARTER_OCTAVES
from codec.types import FloatArray

PRIOR_TILES = 128  # whatever the user gives: the more that is, the smaller their share


def prior_embeddings(old: Package, n: int = PRIOR_TILES, seed: int = 0) -> dict[str, FloatArray]:
    """Embeddings n×h×w×C of every float plane, by name: coefficients drawn alone, each a Laplacian of the root mean square
    that its class stands for (`codec.transform.fit_cells.cells_of`), through the codec's own synthesis. Planes that refine
    others have none of their own.
    """
    rng = np.random.default_rng([seed, 0x9121])
    tables, found = old.table_file, {}
    for maps, plane in zip(tables.planes, old.planes, strict=False):
        octaves = (maps.class_map[maps.bands].T.astype(np.float64) - LOWEST_LEVEL) / QUARTER_OCTAVES  # C×F
        scale = float(tables.ladder[0]) * 2.0**octaves
        latents = rng.laplace(scale=scale / np.sqrt(2), size=(n, *scale.shape)).astype(np.float32)
        found[plane.name] = old.transforms[plane.name].synthesise(latents)
    return found
