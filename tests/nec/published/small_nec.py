"""A small pool of views and a small autoencoder that tests of the recipe may train."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.models.bands import S2_NANO_BANDS
from codec.nec.encoders import MaeVit
from codec.nec.mae import MaskedAutoencoder
from codec.nec.recipe import Recipe
from codec.pretrain.labels import Pool


def views() -> Pool:
    """48 smooth views of 24 images; the last has three bands."""
    rng = np.random.default_rng(5)
    coarse = rng.random((48, 12, 8, 8)) * 0.4
    bands = np.ones((48, 12), np.uint8)
    bands[-1, 3:] = 0
    return Pool(
        coarse.repeat(8, 2).repeat(8, 3).astype(np.float16) * bands[:, :, None, None],
        bands,
        np.zeros((48, 8, 8, 4), np.float16),
        np.zeros(48, np.int16),
        np.repeat(np.arange(24), 2).astype(np.int32),
        np.zeros((1, 8, 8, 4), np.float32),
        np.ones(4, np.float32),
        S2_NANO_BANDS,
    )


def written(folder: Path, pool: Pool) -> Path:
    """The pool as `python -m codec.pretrain label` leaves it."""
    folder.mkdir()
    for name in ("pixels", "tokens", "bands", "group", "image"):
        np.save(folder / f"{name}.npy", getattr(pool, name))
    np.savez(folder / "targets.npz", position_mean=pool.position_mean, spread=pool.spread)
    about = {"views": len(pool.pixels), "seed": 0, "bands": list(pool.bands_of), "sets": []}
    (folder / "pool.json").write_text(json.dumps(about))
    return folder


def small(class_token: bool = True) -> MaskedAutoencoder:
    torch.manual_seed(3)
    return MaskedAutoencoder(
        MaeVit(S2_NANO_BANDS, tile=64, patch=8, width=32, depth=2, heads=4, class_token=class_token)
    )


def recipe(**changes: object) -> Recipe:
    """Two steps of four views; `section__key=value` changes one value."""
    values: dict[str, dict[str, object] | object] = {
        "name": "small",
        "start": {"decoder_steps": 4, "decoder_batch": 4},
        "schedule": {"steps": 4, "batch": 4},
    }
    for name, value in changes.items():
        section, _, key = name.partition("__")
        if key:
            values[section] = {**values.get(section, {}), key: value}  # type: ignore[dict-item]
        else:
            values[section] = value
    return Recipe.model_validate(values)


REPAIRED: dict[str, object] = {
    "switches__class_token": "left out",
    "switches__finish_unmasked": 0.5,
    "switches__units": "per token",
    "switches__quantiles": "bisection",
    "switches__density": "fp32",
}
needs_compressai = pytest.mark.skipif(
    importlib.util.find_spec("compressai") is None, reason="compressai is not installed: make setup"
)
