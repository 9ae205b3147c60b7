"""Tokens → symbols where channels go alone: LayerNorm, a factor and an offset, the reference quantiser.

    y_c = (x_c − mean x) / √(var x + ε) · gain_c + offset_c,    q = quantise(y)

In float32 from the first sum on. What is normative begins at y (bitstream §10.1): equal y, equal symbols. The norm before it
is the encoder's, and its sums may be made in any order.
"""

from __future__ import annotations

from torch import Tensor

from kernels.quantiser import Quantised
from kernels.quantiser.norm import normalised
from kernels.quantiser.twin import quantised_twin


def quantise_diagonal_twin(
    x: Tensor, inv_step: Tensor, theta: Tensor, code: Tensor, costs: Tensor, n_layers: int,
    gain: Tensor | None, offset: Tensor | None, eps: float | None,
) -> Quantised:  # fmt: skip
    """x N×F×C of any float kind, C of each parameter. `eps` None: no norm; no gain, no offset: none."""
    y = normalised(x.float(), gain, offset, eps)
    return quantised_twin(y, inv_step, theta, code, costs, n_layers)
