"""A plane's transform (bitstream §8.3) and quantiser (§10.1): what a reader can trust.

    Z[f] = Σ_t dct[f][t] · (n(x[t]) − mean[t]),    y[f] = bases[g(f)] Z[f],    q = quantise(y)

n is the encoder's last LayerNorm where x are the tokens before it (`kernels.quantiser.norm`), else x itself. The DCT comes
before the KLT, of channels as they are: basis and rotation of a frequency are then one matrix. In float32, from where the
tokens enter on. What is normative begins at y: equal y, equal symbols; sums may be made in any order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.quantiser import Quantised
from kernels.quantiser.norm import normalised
from kernels.quantiser.twin import quantised_twin


def quantise_projection_twin(
    x: Tensor, mean: Tensor, dct: Tensor | None, bases: Tensor, frequencies: Tensor, starts: Tensor,
    inv_step: Tensor, theta: Tensor, code: Tensor, costs: Tensor, n_layers: int, precision: str = "ieee",
    gain: Tensor | None = None, offset: Tensor | None = None, eps: float | None = None,
) -> Quantised:  # fmt: skip
    """x N×F×C; see `PlaneMatrices` and `Cells`, of F×C. `precision` is a GPU's affair: what PyTorch has is taken here."""
    spectrum = normalised(x.float(), gain, offset, eps) - mean
    if dct is not None:
        spectrum = dct @ spectrum
    y = torch.empty_like(spectrum)
    edges = starts.tolist()
    for basis, first, last in zip(bases, edges, edges[1:], strict=False):
        group = frequencies[first:last].long()
        y[:, group] = spectrum[:, group] @ basis.T
    return quantised_twin(y, inv_step, theta, code, costs, n_layers)
