"""A scene without labels: how far the shipped heads say the same before and after the link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codec.types import Embedding, FloatArray
from swathpack.demo.rival import Pixels
from swathpack.demo.transfer import Transfer, uncompressed

if TYPE_CHECKING:
    from codec.package import Package
    from codec.scene.scene import Scene
    from ground.heads import Head, Prediction

MAX_PIXELS = 4096 * 4096  # of all bands in memory at once: 800 MB for twelve


@dataclass(frozen=True, slots=True)
class Agreement:
    """Share in per cent of tiles or tokens that arrived where a head says the same as on uncompressed embeddings."""

    head: str
    level: str  # tile or token
    decoded: float | None  # None: nothing arrived
    jpeg: float | None  # None: not tried


def whole_scene(scene: Scene, bands: tuple[str, ...]) -> Pixels | None:
    """All pixels of the scene; None when they are too many."""
    if scene.height * scene.width > MAX_PIXELS:
        return None
    values, validity = scene.read((0, 0, scene.height, scene.width), bands)
    return Pixels(values, validity, bands, 1)


def head_agreements(
    package: Package, transfer: Transfer, jpeg: Mapping[str, FloatArray] | None
) -> list[Agreement]:
    """All heads of the package, on the same tokens for both ways: those that arrived, or all when none did."""
    from ground.heads import load_heads

    plain = uncompressed(package, transfer.encoded.latents)
    return [_agreement(head, package, transfer, plain, jpeg) for head in load_heads(package)]


def _agreement(
    head: Head,
    package: Package,
    transfer: Transfer,
    plain: Mapping[str, FloatArray],
    jpeg: Mapping[str, FloatArray] | None,
) -> Agreement:
    from ground.heads import run_head

    before = run_head(head, _embeddings(package, transfer, plain))
    seen, decoded = before.validity, None
    if transfer.decoded is not None:
        after = run_head(head, transfer.decoded.embeddings)
        if (before.validity & after.validity).any():
            seen = before.validity & after.validity
            decoded = _same(before, after, seen)
    other = None
    if jpeg is not None and seen.any():
        other = _same(before, run_head(head, _embeddings(package, transfer, jpeg)), seen)
    return Agreement(head.name, head.level, decoded, other)


def _same(a: Prediction, b: Prediction, where: np.ndarray) -> float:
    return 100 * float((a.probabilities.argmax(-1)[where] == b.probabilities.argmax(-1)[where]).mean())


def _embeddings(
    package: Package, transfer: Transfer, values: Mapping[str, FloatArray]
) -> dict[str, Embedding]:
    """Arrays as the heads take them; which tokens are valid is known from the encoder's side."""
    out = {}
    for latent in transfer.encoded.latents:
        name = package.planes[latent.plane].name
        layers = np.ones(len(latent.values), np.uint16)
        out[name] = Embedding(latent.plane, values[name], latent.token_validity, layers)
    return out
