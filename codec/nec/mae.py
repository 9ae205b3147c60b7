"""A masked autoencoder around any encoder of `codec.nec.encoders` (arXiv 2111.06377).

    Tiles ─25 % of the patches─▶ encoder ─y─▶ (something that codes y) ─ŷ─▶ decoder ─▶ pixels of every patch

The decoder is the published one, 8 blocks of 512, for encoders of 768 and more; narrower encoders get a decoder of the
same proportions. Its goal is the normalised patch (`norm_pix_loss` off), as in NEC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from codec.errors import InputError
from codec.models.foreign.blocks import Block
from codec.nec.encoders import MaskedEncoder, initialise, module, position_table
from codec.nec.patches import Tiles
from codec.nec.recipe import Trainable

_EPS = 1e-6
_HEAD = 32  # channels of a decoder head: 512 / 16


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """Blocks of the decoder."""

    width: int
    depth: int

    @classmethod
    def beside(cls, width: int, depth: int) -> DecoderShape:
        """For an encoder of this width and depth: 512×8 beside 768×12 and all larger ones, else two thirds of both, the
        width to the next multiple of 32 (a head).
        """
        if width >= 768:
            return cls(512, 8)
        return cls(max(_HEAD, -(-2 * width // (3 * _HEAD)) * _HEAD), min(8, max(1, round(2 * depth / 3))))


class Decoder(nn.Module):
    """From N×(c + K)×D tokens and where they are to N×L×(B·P²); names as in `codec.models.foreign.decoder.MaeDecoder`."""

    pos_embed: Tensor

    def __init__(self, encoder: MaskedEncoder, shape: DecoderShape) -> None:
        super().__init__()
        side = encoder.tile // encoder.patch
        self.class_tokens, self.length = encoder.class_tokens, side * side
        self.embed = nn.Linear(encoder.width, shape.width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.register_buffer("pos_embed", position_table(side, shape.width, encoder.class_tokens))
        self.blocks = nn.ModuleList(
            Block(shape.width, shape.width // _HEAD, 4 * shape.width, _EPS) for _ in range(shape.depth)
        )
        self.norm = nn.LayerNorm(shape.width, _EPS)
        self.pred = nn.Linear(shape.width, len(encoder.names) * encoder.patch**2)
        self.apply(initialise)
        nn.init.normal_(self.mask_token, std=0.02)

    def placed(self, tokens: Tensor, keep: Tensor | None) -> Tensor:
        """N×(c + L)×E before the first block: tokens at their places, the mask token elsewhere, positions added."""
        x = self.embed(tokens)
        if keep is not None:
            if keep.shape != (len(tokens), tokens.shape[1] - self.class_tokens):
                raise InputError("visible patches do not fit the tokens", found=tuple(keep.shape))
            # Under autocast the tokens are narrower than the mask token.
            empty = self.mask_token.to(x.dtype).expand(len(x), self.length, -1)
            index = keep[..., None].expand(-1, -1, x.shape[-1])
            x = torch.cat(
                [x[:, : self.class_tokens], empty.scatter(1, index, x[:, self.class_tokens :])], dim=1
            )
        return x + self.pos_embed

    def first(self, tokens: Tensor, keep: Tensor | None = None) -> Tensor:
        """N×L×E behind the first block, the class token left out: what NEC gives its heads as "decoder layer"."""
        out: Tensor = self.blocks[0](self.placed(tokens, keep))
        return out[:, self.class_tokens :]

    def forward(self, tokens: Tensor, keep: Tensor | None) -> Tensor:
        x = self.placed(tokens, keep)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.pred(self.norm(x))
        return out[:, self.class_tokens :]

    def frozen(self) -> tuple[str, ...]:
        """What the published recipe does not train: all blocks but the first."""
        return tuple(f"blocks.{i}." for i in range(1, len(self.blocks)))


class MaskedAutoencoder(nn.Module):
    """Encoder and decoder; what codes the tokens stands between them, in the caller."""

    def __init__(self, encoder: MaskedEncoder, shape: DecoderShape | None = None) -> None:
        super().__init__()
        self.encoder = module(encoder)
        self.decoder = Decoder(encoder, shape or DecoderShape.beside(encoder.width, encoder.depth))

    @property
    def of(self) -> MaskedEncoder:
        """The encoder, by its own type."""
        return cast(MaskedEncoder, self.encoder)

    @property
    def n_patches(self) -> int:
        return self.decoder.length

    def frozen(self, trainable: Trainable | None = None) -> tuple[str, ...]:
        """Prefixes of parameters that are not trained: by the published recipe, or with another set."""
        encoder, decoder = self.of.frozen(), self.decoder.frozen()
        if trainable == "all":
            encoder, decoder = self.of.fixed(), ()
        elif trainable == "last-block":
            decoder = ("",)
        elif trainable == "patch-embedding":
            encoder, decoder = (*encoder, *self.of.last()), ("",)
        elif trainable == "entropy":
            encoder, decoder = ("",), ("",)
        return (*(f"encoder.{name}" for name in encoder), *(f"decoder.{name}" for name in decoder))


def masked_error(predicted: Tensor, tiles: Tiles, keep: Tensor | None) -> Tensor:
    """Mean squared error over the pixels of the hidden patches that are known; over all patches where none is hidden.

    predicted N×L×(B·P²). Absent bands and unmeasured pixels have no right answer and do not count.
    """
    weight = tiles.known.expand_as(tiles.patches)
    if keep is not None:
        hidden = torch.ones(tiles.patches.shape[:2], device=predicted.device).scatter(1, keep, 0.0)
        weight = weight * hidden[:, :, None, None]
    square = (predicted.float().unflatten(2, tiles.patches.shape[2:]) - tiles.patches).square()
    return (square * weight).sum() / weight.sum().clamp(min=1.0)
