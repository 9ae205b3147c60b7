"""The encoder with what only training needs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.models.vit import Encoder
from codec.pretrain.recipe import Recipe

PIXEL_CELLS = 4  # the pixel term predicts 4×4 means per patch and band
PROJECTED = 128  # features of the contrast and the random term


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the loss is made of; float32."""

    tokens: Tensor  # N×L×D
    pixels: Tensor | None  # N×L×(B·cells²)
    random: Tensor | None  # N×L×PROJECTED
    nested: tuple[Tensor, ...]  # N×L×D each
    contrast: Tensor | None  # N×PROJECTED, unit length


class Student(nn.Module):
    """Encoder, mask token and one small head per term of the loss that the recipe has."""

    def __init__(self, recipe: Recipe, teacher_width: int) -> None:
        super().__init__()
        model, objective = recipe.model.config(), recipe.objective
        self.encoder = Encoder(model)
        self.mask_token = nn.Parameter(torch.zeros(model.width))
        # A map stands between where the teacher's width is another one, or where the tokens hold more than the teacher's.
        same = teacher_width == model.width and objective.pixels_from == "trunk"
        self.pixels_from = objective.pixels_from
        self.to_teacher = nn.Identity() if same else nn.Linear(model.width, teacher_width)
        self.pixel_head = (
            nn.Linear(model.width, len(model.bands) * PIXEL_CELLS**2) if objective.pixel else None
        )
        self.random_head = nn.Linear(model.width, PROJECTED) if objective.random else None
        self.nested_heads = nn.ModuleList(nn.Linear(k, teacher_width) for k in objective.nested)
        self.contrast_head = (
            nn.Sequential(nn.Linear(2 * model.width, 256), nn.GELU(), nn.Linear(256, PROJECTED))
            if objective.contrast
            else None
        )

    def forward(
        self, pixels: Tensor, bands: Tensor, validity: Tensor, hidden: Tensor, compute: torch.dtype
    ) -> Outputs:
        """`hidden` N×L, of the places: their tokens are replaced before the blocks."""
        encoder = self.encoder
        valid = encoder.cut(validity[:, None])
        z = encoder.normalise(encoder.cut(pixels), bands, valid, finite=True)
        _, spread = encoder.patch_moments(z, valid)
        with torch.autocast(pixels.device.type, dtype=torch.bfloat16, enabled=compute == torch.bfloat16):
            x = encoder.embed_patches(z, spread, bands)
            groups = len(encoder.config.groups)
            mask = self.mask_token + encoder.position_gain * encoder.position
            x = torch.where(hidden.repeat(1, groups)[:, :, None] > 0.5, mask.repeat(groups, 1), x)
            features = encoder.trunk(x)
            tokens = encoder.project(features)
            seen = tokens if self.pixels_from == "tokens" else features
            pixel = self.pixel_head(seen) if self.pixel_head is not None else None
            random = self.random_head(features) if self.random_head is not None else None
            mapped = self.to_teacher(tokens)
            nested = tuple(
                head(tokens[..., : head.in_features])
                for head in self.nested_heads
                if isinstance(head, nn.Linear)
            )
        contrast = None
        if self.contrast_head is not None:
            whole = tokens.float()
            spread_of = torch.sqrt(whole.var(1, unbiased=False) + 1e-6)
            contrast = F.normalize(self.contrast_head(torch.cat([whole.mean(1), spread_of], dim=1)), dim=1)
        return Outputs(
            mapped.float(),
            None if pixel is None else pixel.float(),
            None if random is None else random.float(),
            tuple(n.float() for n in nested),
            contrast,
        )
