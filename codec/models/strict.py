"""Loading weights so that nothing is skipped in silence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from codec.errors import InputError


def load_strict(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Copy `state` into `module`; the first missing, unexpected or misshapen key is an InputError that
    names it.
    """
    own = module.state_dict()
    for key in sorted(own.keys() - state.keys()):
        raise InputError(
            f"tensor {key} is missing", path=path, fix="use the file that belongs to this architecture"
        )
    for key in sorted(state.keys() - own.keys()):
        raise InputError(
            f"tensor {key} is not part of the architecture",
            path=path,
            fix="use the file that belongs to this architecture",
        )
    for key, value in own.items():
        if value.shape != state[key].shape:
            raise InputError(
                f"tensor {key} has another shape",
                path=path,
                expected=tuple(value.shape),
                found=tuple(state[key].shape),
            )
        if not torch.isfinite(state[key].float()).all():
            raise InputError(f"tensor {key} holds values that are not finite", path=path)
    module.load_state_dict(dict(state), strict=True)
