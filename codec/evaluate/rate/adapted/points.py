"""Trained points of `codec.nec` as one method: bytes of each tile, and what heads see of it.

Counted: every byte string of the entropy coder, whole, its eight bytes of state included, and the mask of unmeasured tokens
where there are such. Not counted, as for every method: what all tiles share, here the point's weights and tables.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from codec.errors import InputError, InternalError
from codec.evaluate.rate.digests import of_code
from codec.evaluate.rate.embedding import frames
from codec.evaluate.rate.embedding.sent import Part, sizes
from codec.evaluate.rate.model_planes import through
from codec.evaluate.rate.types import Coded, EmbeddingCoder, FloatVector, Method, Planes, TileSet
from codec.nec.coding import POINT, Coder
from codec.nec.encoders import MaskedEncoder
from codec.nec.mae import MaskedAutoencoder
from codec.nec.patches import tiles_of
from codec.nec.point import Place, open_point
from codec.nec.start import open_start
from codec.types import FloatArray

TOKENS, DECODER = "tokens", "decoder"
VIEWS = {TOKENS: (TOKENS,), DECODER: (DECODER,)}
# Of the repaired recipe, which may let 64 tiles share a string; the published coder writes one a tile.
SHARED = 64
_CODE = tuple(
    f"codec.nec.{name}" for name in ("bottleneck", "coding", "encoders", "mae", "patches", "published")
)


@dataclass(frozen=True)
class AdaptedPoints:
    """One recipe's points, the finest first, and the start that they all come from."""

    name: str
    points: tuple[tuple[str, Coder], ...]  # setting → coder
    start: MaskedAutoencoder
    identity: str  # digest of points and start

    @property
    def about(self) -> Method:
        of = f"Gomes, Brunschwiler, arXiv 2403.17886, trained here; points {self.identity[:16]}, "
        return Method(self.name, "embedding", of + of_code(_CODE)[:16])

    @property
    def settings(self) -> Sequence[str]:
        return tuple(setting for setting, _ in self.points)

    def fit(self, train: Planes) -> EmbeddingCoder:
        """Never: points are trained before, on pixels. `AdaptedRun` scores them."""
        raise InternalError(f"{self.name} codes pixels of its own encoders, not planes that are given")

    @cached_property
    def by_setting(self) -> dict[str, Coder]:
        return dict(self.points)

    def uncompressed(self, planes: Planes) -> dict[str, FloatArray]:
        """What heads trained on uncompressed embeddings see: the frozen encoder's tokens, and these behind the first decoder
        block of the start.
        """
        tokens, decoder = planes.values[TOKENS], self.start.decoder
        n, rows, cols, width = tokens.shape
        side = self.start.of.tile // self.start.of.patch
        k = rows // side
        cut = tokens.reshape(n, k, side, cols // side, side, width).swapaxes(2, 3)
        flat = torch.from_numpy(np.ascontiguousarray(cut.reshape(-1, side * side, width)))
        if self.start.of.class_tokens:
            flat = torch.cat([flat.mean(1, keepdim=True), flat], dim=1)
        with torch.no_grad():
            seen = torch.cat([decoder.first(part) for part in flat.split(SHARED)]).numpy()
        whole = seen.reshape(n, k, cols // side, side, side, -1).swapaxes(2, 3)
        return {TOKENS: tokens, DECODER: np.ascontiguousarray(whole.reshape(n, rows, cols, -1))}

    def code(self, tiles: TileSet, planes: Planes, setting: str) -> Coded:
        """Encode the tiles with the point's own encoder, count, decode from the bytes. `planes`: for the validity alone."""
        coder = self.by_setting[setting]
        encoder, k = coder.model.encoder, tiles.tile // coder.model.encoder.tile
        parts: list[Part] = []

        def run(pixels: FloatArray, present: FloatArray, valid: FloatArray) -> dict[str, FloatArray]:
            first = sum(part.count for part in parts)
            y_hat, own = _sent(coder, encoder, pixels, present, valid, first)
            parts.extend(own)
            return {TOKENS: coder.tokens(y_hat).numpy(), DECODER: coder.decoder_tokens(y_hat).numpy()}

        decoded = through(tiles, encoder.names, encoder.tile, run)
        per_tile = sizes(parts, len(tiles) * k * k).reshape(len(tiles), -1).sum(1)
        if not planes.validity.all():
            mask = frames.compress(np.packbits(~planes.validity).tobytes())
            per_tile = per_tile + len(mask) / len(tiles)
            for values in decoded.values():
                values[~planes.validity] = 0
        return Coded(setting, per_tile, decoded)


def _sent(
    coder: Coder,
    encoder: MaskedEncoder,
    pixels: FloatArray,
    present: FloatArray,
    valid: FloatArray,
    first: int,
) -> tuple[torch.Tensor, list[Part]]:
    """ŷ from bytes, and the bytes. Raises InternalError where they do not give the rounded activations back."""
    if encoder.needs and not present.all():
        raise InputError("the encoder needs all its bands", expected=encoder.needs)
    shown, bands, validity = (torch.from_numpy(x) for x in (pixels, present, valid))
    y = coder.embed(tiles_of(shown, bands, validity, encoder.names, encoder.patch))
    strings = coder.encode(y)
    y_hat = coder.decode(strings, len(y))
    if not torch.equal(y_hat, coder.model.bottleneck.rounded(y)[1]):
        raise InternalError("strings do not give back what went in")
    bits = coder.model.bottleneck.table_bits(y).sum((1, 2)).double().numpy()
    parts = []
    for number, string in enumerate(strings):
        at = slice(number * coder.group, number * coder.group + coder.group)
        cost: FloatVector = bits[at] + 1.0  # a tile without a bit still has its place
        parts.append(Part(string, first + number * coder.group, len(cost), cost / cost.sum()))
    return y_hat, parts


def opened_points(name: str, runs: Sequence[Path], place: Place) -> AdaptedPoints:
    """The points in these folders, the finest first by their measured rate. Raises InputError for none, or two of a rate."""
    if not runs:
        raise InputError(f"method {name!r} has no point", fix="train some: python -m codec.nec search")
    digest, found = hashlib.sha256(place.start.read_bytes()), {}
    coder = None
    for run in runs:
        coder = open_point(run, place)
        if coder.recipe.switches.class_token == "left out":
            coder = replace(coder, group=SHARED)
        measured = torch.load(run / POINT, map_location="cpu", weights_only=True)["measured"]
        rate = float(measured["bits_real"])
        if rate in found:
            raise InputError("two points have the same rate", path=run)
        found[rate] = coder
        digest.update((run / POINT).read_bytes())
    assert coder is not None
    start = open_start(coder.recipe, place.root, place.data, place.start)
    points = tuple((f"{rate:.3g} bit", found[rate]) for rate in sorted(found, reverse=True))
    return AdaptedPoints(name, points, start, digest.hexdigest())
