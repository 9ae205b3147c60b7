"""The start's encoder, before any adaptation, as the harness knows encoders: what "uncompressed" means for its points."""

from __future__ import annotations

import hashlib

import torch

from codec.evaluate.rate.model_planes import through
from codec.evaluate.rate.plain_encoders import grid_validity, normalised_batches
from codec.evaluate.rate.plane_encoder import Batches, PlaneEncoder
from codec.evaluate.rate.types import Planes, TileSet
from codec.nec.mae import MaskedAutoencoder
from codec.nec.patches import tiles_of
from codec.nec.start import digest_of
from codec.types import FloatArray


def start_encoder(name: str, start: MaskedAutoencoder) -> PlaneEncoder:
    """Tokens of the last norm, the class token left out."""
    encoder = start.of
    side = encoder.tile // encoder.patch

    @torch.no_grad()
    def run(pixels: FloatArray, present: FloatArray, valid: FloatArray) -> dict[str, FloatArray]:
        shown, bands, validity = (torch.from_numpy(x) for x in (pixels, present, valid))
        y = encoder.sequence(tiles_of(shown, bands, validity, encoder.names, encoder.patch), None)
        tokens = y[:, encoder.class_tokens :].reshape(len(y), side, side, -1)
        return {"tokens": tokens.numpy()}

    def encode(tiles: TileSet) -> Planes:
        planes = through(tiles, encoder.names, encoder.tile, run)
        return Planes(planes, grid_validity(tiles, encoder.patch))

    def sees(tiles: TileSet) -> Batches:
        first = 0
        for z, present in normalised_batches(tiles, encoder.names):
            yield z, present, tiles.validity[first : first + len(z)]
            first += len(z)

    identity = hashlib.sha256(digest_of(start.encoder.state_dict()).encode()).hexdigest()
    return PlaneEncoder(name, identity, f"reflectance-by-band-name-1/{','.join(encoder.names)}", encode, sees)
