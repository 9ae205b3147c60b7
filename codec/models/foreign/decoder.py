"""The decoder of a masked autoencoder: from visible tokens back to pixels (arXiv 2111.06377, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codec.errors import InputError
from codec.models.foreign.blocks import Block
from codec.models.foreign.layout import Layout


class MaeDecoder(nn.Module):
    """`forward(sequence N×(1 + K)×D, keep N×K)` → N×L×(P·P·C), the pixels of a patch in the order row, column, channel."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        width, encoder_width = layout.shape("decoder.embed.weight")
        hidden, _ = layout.shape("decoder.blocks.0.mlp.fc1.weight")
        outputs, _ = layout.shape("decoder.pred.weight")
        self.embed = nn.Linear(encoder_width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(layout.shape("decoder.pos_embed")))
        self.blocks = nn.ModuleList(
            Block(width, layout.decoder_heads, hidden, layout.eps)
            for _ in range(layout.repeats("decoder.blocks."))
        )
        self.norm = nn.LayerNorm(width, layout.eps)
        self.pred = nn.Linear(width, outputs)

    def forward(self, sequence: Tensor, keep: Tensor) -> Tensor:
        """The table of positions fits one size of input only. InputError if `keep` does not fit it or the sequence."""
        length = self.pos_embed.shape[1] - 1
        if keep.shape != (len(sequence), sequence.shape[1] - 1) or (
            keep.numel() and int(keep.max()) >= length
        ):
            raise InputError(
                "kept patches do not fit the sequence",
                expected=f"{len(sequence)}×{sequence.shape[1] - 1} indices below {length}",
                found="×".join(map(str, keep.shape)),
            )
        x = self.embed(sequence)
        patches = self.mask_token.expand(len(x), length, -1)
        patches = patches.scatter(1, keep[..., None].expand(-1, -1, x.shape[-1]), x[:, 1:])
        x = torch.cat([x[:, :1], patches], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.pred(self.norm(x))[:, 1:]
        return out
