"""The terms of the training loss.

    token     smooth-L1 + (1 − cosine) between the student's and the teacher's token at each place
    pooled    smooth-L1 between their means
    pixel     smooth-L1 on 4×4 cell means of the patch: the masked-autoencoder term where tokens are hidden
    random    smooth-L1 on fixed random features of the patch (a teacher without weights)
    nested    the token term again from the first k channels, so that a prefix of the token is useful alone
    contrast  InfoNCE between two views of one image and the views of other images

Targets are position-corrected and channel-standardised (`labels.py`), so the student's tokens carry next to no position.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from codec.pretrain.recipe import Objective
from codec.pretrain.student import PIXEL_CELLS, PROJECTED, Outputs

_RANDOM_SEED = 20_250_402


@dataclass(frozen=True, slots=True)
class Targets:
    """What the student is held against."""

    tokens: Tensor  # N×L'×D; L' may be a coarser grid than the student's
    pixels: Tensor  # N×L×(B·cells²)
    counts: Tensor  # N×L: places that count
    hidden: Tensor  # N×L: places whose token was hidden
    bands: Tensor  # N×(B·cells²): pixel targets that the view has
    image: Tensor  # N: which image a view is of


def pixel_targets(z: Tensor, patch: int) -> Tensor:
    """Cut, normalised pixels N×L×B×P² → N×L×(B·cells²), means over (patch/cells)² pixels."""
    n, places, bands, _ = z.shape
    step = patch // PIXEL_CELLS
    cells = z.reshape(n, places, bands, PIXEL_CELLS, step, PIXEL_CELLS, step).mean((4, 6))
    return cells.reshape(n, places, bands * PIXEL_CELLS**2)


def random_features(pixels: Tensor) -> Tensor:
    """Fixed features of a patch: rectified random projections, each with mean 0 and spread 1 over the batch."""
    generator = torch.Generator().manual_seed(_RANDOM_SEED)
    weight = torch.randn((pixels.shape[-1], PROJECTED), generator=generator) * pixels.shape[-1] ** -0.5
    features = F.relu(pixels @ weight.to(pixels.device))
    return (features - features.mean((0, 1))) / (features.std((0, 1)) + 1e-5)


def coarser(x: Tensor, places: int) -> Tensor:
    """Mean over squares of tokens, N×L×D → N×places×D; a student of smaller patches meets the teacher's grid."""
    if x.shape[1] == places:
        return x
    side, wanted = round(x.shape[1] ** 0.5), round(places**0.5)
    step = side // wanted
    return x.reshape(-1, wanted, step, wanted, step, x.shape[2]).mean((2, 4)).flatten(1, 2)


def _weighted(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1.0)


def token_term(tokens: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Smooth-L1 and cosine over the places that count."""
    smooth = F.smooth_l1_loss(tokens, target, reduction="none").mean(-1)
    return _weighted(smooth + 1 - F.cosine_similarity(tokens, target, dim=-1), counts)


def pooled_term(tokens: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Smooth-L1 between the means over the places that count."""
    share = (counts / counts.sum(1, keepdim=True).clamp(min=1.0))[:, :, None]
    return F.smooth_l1_loss((tokens * share).sum(1), (target * share).sum(1))


def contrast_term(features: Tensor, image: Tensor, temperature: float) -> Tensor:
    """InfoNCE over N views of unit length: other views of the same image are positives, those of others negatives.

    Views whose image occurs once have no positive and do not count.
    """
    own = torch.eye(len(image), dtype=torch.bool, device=image.device)
    positive = (image[:, None] == image[None, :]) & ~own
    similarity = (features @ features.T / temperature).masked_fill(own, -1e9)
    log_share = similarity - torch.logsumexp(similarity, dim=1, keepdim=True)
    each = -(log_share * positive).sum(1) / positive.sum(1).clamp(min=1)
    return _weighted(each, positive.any(1).float())


def loss(outputs: Outputs, targets: Targets, objective: Objective) -> dict[str, Tensor]:
    """Every term with a weight above 0, already weighted; the loss is their sum."""
    places = targets.tokens.shape[1]
    tokens, counts = coarser(outputs.tokens, places), coarser(targets.counts[:, :, None], places)[:, :, 0]
    terms: dict[str, Tensor] = {}
    if objective.token:
        terms["token"] = objective.token * token_term(tokens, targets.tokens, counts)
    if objective.pooled:
        terms["pooled"] = objective.pooled * pooled_term(tokens, targets.tokens, counts)
    for number, nested in enumerate(outputs.nested):
        prefix = coarser(nested, places)
        terms[f"nested{number}"] = token_term(prefix, targets.tokens, counts) / len(outputs.nested)
    if outputs.pixels is not None:
        seen = targets.counts if objective.pixels_of == "all" else targets.counts * targets.hidden
        weight = seen[:, :, None] * targets.bands[:, None, :]
        each = F.smooth_l1_loss(outputs.pixels, targets.pixels, reduction="none")
        terms["pixel"] = objective.pixel * _weighted(each, weight)
    if outputs.random is not None:
        wanted = random_features(targets.pixels * targets.bands[:, None, :])
        each = F.smooth_l1_loss(outputs.random, wanted, reduction="none").mean(-1)
        terms["random"] = objective.random * _weighted(each, targets.counts)
    if outputs.contrast is not None:
        terms["contrast"] = objective.contrast * contrast_term(
            outputs.contrast, targets.image, objective.temperature
        )
    return terms
