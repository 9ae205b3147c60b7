"""The LayerNorm that may stand before a quantiser: what both ops check of it, and what PyTorch makes of it.

y_c = (x_c − mean x) / √(var x + ε) · gain_c + offset_c
"""

from __future__ import annotations

from torch import Tensor, float32

from codec.errors import InputError


def normalised(x: Tensor, gain: Tensor | None, offset: Tensor | None, eps: float | None) -> Tensor:
    """x …×C of any float kind, C of each parameter, float32. `eps` None: no norm; no gain, no offset: none.

    In float32 from the first sum on; sums may be made in any order. Without any of them x itself, in its kind.
    """
    if eps is not None:
        x = x.float()
        x = x - x.mean(-1, keepdim=True)
        x = x * (1.0 / (x.square().mean(-1, keepdim=True) + eps).sqrt())
    x = x if gain is None else x * gain
    return x if offset is None else x + offset


def check_channels(x: Tensor, eps: float | None, **of_channels: Tensor | None) -> None:
    """Raises InputError where a parameter, by its name, does not fit the channels of x, or `eps` no norm."""
    for name, each in of_channels.items():
        if each is None:
            continue
        if each.shape != x.shape[2:] or each.dtype != float32 or each.device != x.device:
            raise InputError(
                f"{name}: there is one float32 number for each channel, where the tokens are",
                expected=f"{tuple(x.shape[2:])} on {x.device}",
                found=f"{each.dtype} {tuple(each.shape)} on {each.device}",
            )
    if eps is not None and not 0 < eps < float("inf"):
        raise InputError("what a LayerNorm adds to a variance is a finite number above 0", found=eps)
