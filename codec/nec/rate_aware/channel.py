"""The codec as training sees it: what is decoded is what the real quantiser gives, and every coefficient has its bits.

Forward is exact: the fitted transform, real steps, thresholds and reconstruction points. Backward takes the quantiser for
the identity (straight-through). Bits are those of a Laplace density with the step's width, one scale a coefficient, kept as
a running mean of magnitudes in float32: smooth where symbols are not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from codec.bitstream.core import TableSet
from codec.transform.dct import dct_matrix
from codec.transform.fit import fit_planes
from codec.transform.maps import QuantMaps, quant_maps
from codec.transform.plane import PlaneTransform
from codec.transform.rate import bytes_per_tile, choose_ladder_index
from codec.transform.rotations import Rotations
from codec.transform.tables import Tables
from codec.types import FloatArray

_MEMORY = 0.98  # of the running means, a step
_COST_TILES = 256  # that say what a quality costs
_LEAST_SCALE = 1e-6  # of the largest


@dataclass(frozen=True)
class Sent:
    """One pass through the channel."""

    tokens: Tensor  # N×L×C as decoded; the gradient goes straight through
    bits: Tensor  # C×F, mean over the tiles
    step: Tensor  # C×F
    error: float  # mean square, in embedding units


class Channel:
    """Transform, tables and scales of one fit. Tensors live on `device`; all float32."""

    def __init__(self, transform: PlaneTransform, tables_bytes: bytes, indices: range, scale: Tensor) -> None:
        device = scale.device
        self.transform, self.tables_bytes, self.indices, self.scale = transform, tables_bytes, indices, scale
        TableSet(tables_bytes)  # the core's own validation, also of what a checkpoint holds
        self.tables = Tables.decode(tables_bytes)
        self._mean = torch.from_numpy(transform.mean).flatten(0, 1).to(device)  # L×C
        n_frequencies = transform.rows * transform.cols
        group = (
            np.zeros(n_frequencies, np.uint8) if transform.rotations is None else transform.rotations.group
        )
        self._bases = torch.from_numpy(transform.bases[group]).to(device)  # F×C×C
        grid = np.kron(dct_matrix(transform.rows), dct_matrix(transform.cols)).astype(np.float32)
        self._dct = torch.from_numpy(grid).to(device)  # F×L
        self._maps: dict[int, QuantMaps] = {}

    @classmethod
    def fitted(
        cls, tokens: FloatArray, finest_bytes: float, coarsest_bytes: float, device: torch.device
    ) -> Channel:
        """Fit to tokens N×h×w×C; `indices` are the ladder indices between the two budgets of a tile's payload."""
        codec = fit_planes({"tokens": tokens})
        transform = codec.transforms["tokens"]
        some = {0: transform.analyse(tokens[:: -(-len(tokens) // _COST_TILES)])}
        usable = codec.tables.usable_indices()
        least = bytes_per_tile(codec.tables, some, usable.stop - 1)
        first, last = (
            choose_ladder_index(usable, lambda i: bytes_per_tile(codec.tables, some, i), max(budget, least))
            for budget in (finest_bytes, coarsest_bytes)
        )
        latents = transform.analyse(tokens)
        scale = torch.from_numpy(np.abs(latents).mean(0, dtype=np.float64).astype(np.float32))
        return cls(transform, codec.tables_bytes, range(first, last + 1), scale.to(device))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        turn = self.transform.rotations
        return {
            "mean": torch.from_numpy(self.transform.mean),
            "basis": torch.from_numpy(self.transform.basis),
            "rotations": None if turn is None else torch.from_numpy(turn.matrices),
            "rotation": None if turn is None else torch.from_numpy(turn.group),
            "tables": torch.frombuffer(bytearray(self.tables_bytes), dtype=torch.uint8),
            "indices": [self.indices.start, self.indices.stop],
            "scale": self.scale,
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Any], device: torch.device) -> Channel:
        turn = None
        if state["rotations"] is not None:
            turn = Rotations(state["rotations"].cpu().numpy(), state["rotation"].cpu().numpy())
        mean, basis = (state[name].cpu().numpy() for name in ("mean", "basis"))
        transform = PlaneTransform(mean, basis, "dct", turn)
        tables = state["tables"].cpu().numpy().tobytes()
        return cls(transform, tables, range(*state["indices"]), state["scale"].to(device))

    def send(self, tokens: Tensor, ladder_index: int, *, learn: bool = True) -> Sent:
        """Tokens N×L×C through the codec at one quality, in float32 whatever the caller computes in; `learn` lets the
        scales follow them.
        """
        with torch.autocast(tokens.device.type, enabled=False):
            return self._send(tokens, ladder_index, learn)

    def _send(self, tokens: Tensor, ladder_index: int, learn: bool) -> Sent:
        values = tokens.float()
        spectrum = self._dct @ (values - self._mean)  # N×F×C
        latents = torch.einsum("fkc,nfc->nkf", self._bases, spectrum)  # N×C×F
        maps = self._quant_maps(ladder_index)
        exact = np.ascontiguousarray(latents.detach().cpu().numpy())
        decoded = torch.from_numpy(maps.reconstruct(maps.quantise(exact))).to(latents.device)
        error = (decoded - latents).detach()
        if learn:
            self.scale = _MEMORY * self.scale + (1 - _MEMORY) * latents.detach().abs().mean(0)
        step = torch.from_numpy(maps.step).to(latents.device)
        scale = self.scale.clamp(min=_LEAST_SCALE * float(self.scale.max()))
        coded = torch.from_numpy(maps.coded).to(latents.device)
        bits = torch.where(coded, laplace_bits(latents, step, scale).mean(0), 0.0)
        back = self._dct.T @ torch.einsum("fkc,nkf->nfc", self._bases, latents + error) + self._mean
        return Sent(back, bits, step, float((error**2).mean()))

    def _quant_maps(self, index: int) -> QuantMaps:
        if index not in self._maps:
            self._maps[index] = quant_maps(self.tables, 0, index)
        return self._maps[index]


def laplace_bits(values: Tensor, step: Tensor, scale: Tensor) -> Tensor:
    """−log2 of what a Laplace density of mean magnitude `scale` holds within half a step of `values`; any shapes that fit.

    It bends smoothly at 0, and pulls small values little where the step swallows them anyway.
    """
    magnitude, half = values.abs() / scale, 0.5 * step / scale
    outside = magnitude - half - torch.log(-torch.expm1(-2 * half)) + math.log(2.0)
    # Inside, 1 − e^−half·cosh(magnitude); clamped so that the branch not taken has a finite slope.
    near = torch.minimum(magnitude, half)
    inside = -torch.log1p(-0.5 * (torch.exp(-half - near) + torch.exp(near - half)))
    return torch.where(magnitude >= half, outside, inside) / math.log(2.0)


def worth_of_a_bit(step: Tensor, slope: float) -> Tensor:
    """What a bit of a coefficient is worth in the loss, where `slope` is the loss per unit of mean square token error.

    At fine steps a bit divides the error step²/12 by four: d error / d bit = −2·ln 2·step²/12 of one coefficient of all
    of the tile's.
    """
    return slope * 2 * math.log(2.0) / 12 / step.numel() * step**2
