"""An adapted encoder of this project that looks to every later stage as an encoder of the adapter's bands does.

    pixels N×C×H×W of the adapter's bands ─ adapter on its base ─▶ tokens   N×h×w×D
                                          └ patch means ─────────▶ spectral N×h×w×C

Fitting a codec, exporting and embedding ask for `config`, `planes` and a call, and get them: nothing of theirs is special.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from codec.adapt.adapted import Adapted
from codec.adapt.files import AdapterFile, read_adapter, restored
from codec.errors import SwathpackError
from codec.models.bands import NORMALISED_RANGE, normalisation
from codec.models.vit import Encoder
from codec.models.weights import load_encoder
from codec.package.files import sha256_of


class AdaptedEncoder(nn.Module):
    """Called as `codec.models.vit.Encoder`: (pixels, bands, validity) → {"tokens", "spectral"}, of the adapter's bands.

    `config` is the base's with these bands. Raises InputError for a band without constants of normalisation
    (`codec.models.bands.normalisation`), by its name.
    """

    mean: Tensor  # C×1
    inverse_spread: Tensor  # C×1

    def __init__(self, adapted: Adapted, base: Encoder) -> None:
        super().__init__()
        self.adapted = adapted
        self.config = replace(base.config, bands=adapted.bands)
        mean, spread = torch.tensor([normalisation(b) for b in adapted.bands]).reshape(-1, 2, 1).unbind(1)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("inverse_spread", 1.0 / spread, persistent=False)

    def planes(
        self, pixels: Tensor, bands: Tensor, validity: Tensor, *, finite: bool = False
    ) -> dict[str, Tensor]:
        """As `Encoder.planes`; `finite` changes nothing: adapters never touch what was not measured."""
        tokens: Tensor = self.adapted(pixels, bands, validity)["tokens"]
        return {"tokens": tokens, "spectral": self._spectral(pixels, bands, validity)}

    def forward(self, pixels: Tensor, bands: Tensor, validity: Tensor) -> dict[str, Tensor]:
        return self.planes(pixels, bands, validity)

    def _spectral(self, pixels: Tensor, bands: Tensor, validity: Tensor) -> Tensor:
        """Mean of the normalised valid pixels per patch and band, N×h×w×C: what an encoder of these bands gives."""
        valid = self._cut(validity[:, None])  # N×L×1×P²
        z = ((self._cut(pixels) - self.mean) * self.inverse_spread).clamp(*NORMALISED_RANGE)
        z = torch.where(bands[:, None, :, None] * valid > 0.5, z, torch.zeros_like(z))
        mean = z.sum(-1) * (1.0 / valid.sum(-1).clamp(min=1.0))
        return mean.reshape(-1, self.config.side, self.config.side, len(self.config.bands))

    def _cut(self, images: Tensor) -> Tensor:
        """N×C×H×W → N×L×C×P², as `Encoder.cut`."""
        side, patch = self.config.side, self.config.patch
        x = images.reshape(-1, images.shape[1], side, patch, side, patch)
        return x.permute(0, 2, 4, 1, 3, 5).reshape(-1, side * side, images.shape[1], patch * patch)


def adapted_encoder(adapter: AdapterFile, encoder: Path) -> AdaptedEncoder:
    """An adapter on the encoder of a file, in evaluation mode, nothing of it trained.

    Raises IdentityError where the adapter is of another base, and as `load_encoder`, `load_adapter` and AdaptedEncoder.
    """
    base = load_encoder(encoder)
    found = AdaptedEncoder(restored(adapter, base, sha256_of(encoder)), base)
    return found.eval().requires_grad_(False)


def load_adapted_encoder(encoder: Path, adapter: Path) -> AdaptedEncoder:
    """The same from two files, such as those of a model package."""
    stored = read_adapter(adapter)
    try:
        return adapted_encoder(stored, encoder)
    except SwathpackError as error:
        error.path = error.path or str(adapter)
        raise
