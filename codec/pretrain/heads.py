"""Heads of the loss for an encoder that stands still: what a released encoder needs before its training can go on.

A package holds the encoder alone. Its checkpoint also held the maps from tokens to the teacher's tokens and to pixels;
here they are learned again, the encoder frozen, and written as a checkpoint of the same form. Moments of the optimiser
are not in it: whoever goes on (`codec.nec.rate_aware`) begins with new ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codec.errors import InputError
from codec.models.weights import load_encoder
from codec.pretrain.labels import Pool
from codec.pretrain.recipe import Recipe
from codec.pretrain.run import Run


class HeadsRun(Run):
    """`Run` with the encoder of a safetensors file, which does not learn. Raises InputError where it is another model."""

    def __init__(self, pool: Pool, recipe: Recipe, encoder: Path) -> None:
        found = load_encoder(encoder)
        if found.config != recipe.model.config():
            raise InputError(
                "the encoder is another model than the recipe's",
                path=encoder,
                expected=recipe.model.config(),
                found=found.config,
                fix="give the recipe that the encoder was trained by",
            )
        super().__init__(pool, recipe)
        self.encoder.load_state_dict(found.state_dict())
        self.encoder.requires_grad_(False)
        self.start = hashlib.sha256(Path(encoder).read_bytes()).hexdigest()

    def state(self) -> dict[str, Any]:
        return {**super().state(), "encoder": self.start}

    def restore(self, state: Mapping[str, Any], path: Path) -> None:
        if state.get("encoder") != self.start:
            raise InputError(
                "the run was begun with another encoder, or with none that stands still",
                path=path,
                expected=self.start,
                found=state.get("encoder"),
                fix="choose another --out",
            )
        super().restore(state, path)

    def report(self) -> dict[str, Any]:
        return {**super().report(), "encoder": self.start}
