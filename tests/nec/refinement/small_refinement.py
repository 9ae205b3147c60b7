"""A small package, training embeddings for it, and a refinement trained on them for a moment."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from codec.nec.refinement.degraded import Windows
from codec.nec.refinement.recipe import Recipe
from codec.nec.refinement.run import Run
from codec.package import Package
from tests.transform.synthetic_embeddings import embeddings, spectral

RECIPE = {
    "width": 32,
    "heads": 2,
    "hidden": 32,
    "condition": 8,
    "finest_bytes": 400,
    "coarsest_bytes": 10,
    "samples": 64,
    "group": 8,
    "groups": 2,
    "warmup": 16,
    "horizon": 64,
    "cooldown": 16,
}


def recipe(**changes: object) -> Recipe:
    return Recipe.model_validate({**RECIPE, **changes})


@lru_cache(maxsize=1)
def arrays(n_tiles: int = 96, seed: int = 21) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Planes N×8×8×C and validity; every fifth tile is measured in part, one not at all."""
    validity = np.ones((n_tiles, 8, 8), bool)
    validity[::5, :3, :4] = False
    validity[7] = False
    return {"tokens": embeddings(n_tiles, seed=seed), "spectral": spectral(n_tiles, seed=seed)}, validity


def windows(package: Package, **changes: object) -> Windows:
    planes, validity = arrays()
    return Windows.of(package, planes, validity, recipe(**changes))


def write_embeddings(path: Path) -> Path:
    planes, validity = arrays()
    np.savez(path, **planes, token_validity=validity)
    return path


def shaken(run: Run, seed: int = 3) -> Run:
    """The network with weights that do something: untrained it is the identity."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in run.network.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
    return run
