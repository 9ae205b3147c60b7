"""What `apply` returns, whatever the method: tokens of many bands, the tensors that learn, and nothing of the base."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from codec.adapt.base import Base
from codec.adapt.types import Method, Settings
from codec.errors import IdentityError, InputError

_Kind = TypeVar("_Kind", bound="Adapted")


class Adapted(nn.Module, ABC):
    """An adapter on its base. Call it as `(pixels N×C×H×W, present N×C, validity N×H×W)` → {"tokens": N×h×w×D}.

    `pixels` are reflectance in the order of `bands`; `present` and `validity` are 1 or 0, float. The tensors of the base
    are the caller's own memory; nothing here writes to them. `settings` and `state()` are all that has to be stored.
    """

    def __init__(self, method: Method, settings: Settings, bands: Sequence[str], base: Base) -> None:
        super().__init__()
        self.method, self.settings, self.bands = method, settings, tuple(bands)
        self.patch, self.width = base.patch, base.width
        self.base_sha256 = weights_sha256(base.encoder)
        self.base_parameters = sum(p.numel() for p in base.encoder.parameters())

    @abstractmethod
    def tokens(
        self, pixels: Tensor, present: Tensor, validity: Tensor, described: Tensor | None = None
    ) -> Tensor:
        """N×h×w×D."""

    def described(self, pixels: Tensor, present: Tensor, validity: Tensor) -> Tensor | None:
        """What of a tile no learning changes, N×h×w×F, turned as the tile is; `forward` may be given it instead of finding
        it again. None where a method has no such thing.
        """
        return None

    def forward(
        self, pixels: Tensor, present: Tensor, validity: Tensor, described: Tensor | None = None
    ) -> dict[str, Tensor]:
        if pixels.ndim != 4 or pixels.shape[1] != len(self.bands):
            raise InputError(
                "pixels do not fit the adapter",
                expected=f"N×{len(self.bands)}×H×W in the order {', '.join(self.bands)}",
                found="×".join(map(str, pixels.shape)),
            )
        # Of a graph that is exported the batch is open.
        graph = torch.jit.is_tracing() or torch.compiler.is_compiling()
        mixed = not graph and not len(pixels) == len(present) == len(validity)
        if mixed or present.shape[1:] != pixels.shape[1:2] or validity.shape[1:] != pixels.shape[2:]:
            raise InputError(
                "presence or validity do not fit the pixels",
                expected=f"N×{len(self.bands)} and N×{'×'.join(map(str, pixels.shape[2:]))} of N = {len(pixels)}",
                found=f"{'×'.join(map(str, present.shape))} and {'×'.join(map(str, validity.shape))}",
            )
        kind = next(self.parameters()).dtype
        for name, values in (("pixels", pixels), ("present", present), ("validity", validity)):
            if values.dtype != kind and not torch.is_autocast_enabled(values.device.type):
                raise InputError(
                    f"{name} is of another kind of numbers than the base", expected=kind, found=values.dtype,
                    fix=f"convert it: {name}.to({kind})",
                )  # fmt: skip
        return {"tokens": self.tokens(pixels, present, validity, described)}

    def train(self: _Kind, mode: bool = True) -> _Kind:
        """As every module; bases stay in evaluation mode, since what they are must not depend on it."""
        super().train(mode)
        for module in self.children():
            if isinstance(module, Base):
                module.eval()
        return self

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that learn, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    @property
    def n_trained(self) -> int:
        """Numbers that learn."""
        return sum(p.numel() for p in self.trained().values())

    @property
    def share(self) -> float:
        """Of the base's parameters that many learn."""
        return self.n_trained / self.base_parameters

    def stored_beside(self) -> dict[str, Tensor]:
        """Tensors that do not learn and belong to the adapter all the same."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """The adapter's tensors, and no others, sorted by name."""
        tensors = {**self.trained(), **self.stored_beside()}
        return {name: tensors[name].detach().clone() for name in sorted(tensors)}

    def load_state(self, state: Mapping[str, Tensor], base_sha256: str | None = None) -> None:
        """Take the tensors of `state()`. Raises IdentityError where `base_sha256` is not this base's, InputError naming the
        first tensor that is missing, unexpected, misshapen or not finite; the adapter is then as it was.
        """
        if base_sha256 is not None:
            require_base(base_sha256, self.base_sha256)
        own = self.state()
        for name in sorted(own.keys() ^ state.keys()):
            what = "is missing" if name in own else "is no part of this adapter"
            raise InputError(
                f"tensor {name} {what}", fix="apply the method with the settings the adapter was made with"
            )
        for name, value in own.items():
            if value.shape != state[name].shape:
                raise InputError(
                    f"tensor {name} has another shape",
                    expected=tuple(value.shape),
                    found=tuple(state[name].shape),
                )
            if not bool(torch.isfinite(state[name]).all()):
                raise InputError(f"tensor {name} holds values that are not finite")
        self.load_state_dict(dict(state), strict=False)

    def merged(self) -> nn.Module:
        """An encoder of the base's own kind that does the same without an adapter. InputError: the method has none."""
        raise InputError(f"{self.method} cannot be merged", fix="keep the adapter beside its base")


def require_base(named: str, given: str) -> None:
    """IdentityError unless the base that an adapter names is the one it is given, both by `weights_sha256`."""
    if named != given:
        raise IdentityError(
            "the adapter was trained on another base",
            expected=named[:16],
            found=given[:16],
            fix="load the encoder that it names, or train an adapter for this one",
        )


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 over names, shapes, kinds and bytes of a module's tensors, sorted by name; "" where they hold no memory."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if value.is_meta:
            return ""
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        # Tensors of every kind as bytes, bfloat16 included.
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
