"""DEFLECT's rivals with the settings of its published table: frozen, full, norm tuning, BitFit, LoRA, SLR.

They see more bands through inflated patch filters (`codec.adapt.inflation`), and what they learn is part of the encoder: so
each can be merged into an encoder of the same kind.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codec.adapt.adapted import Adapted
from codec.adapt.base import Base, shared
from codec.adapt.low_rank import LoraLinear, SlrLinear, add_lora, add_slr, replace_module
from codec.adapt.trained_parts import train_all, train_biases, train_norms, train_stem
from codec.adapt.types import (
    BitfitSettings,
    FrozenSettings,
    FullSettings,
    LoraSettings,
    Method,
    NormSettings,
    RivalSettings,
    SlrSettings,
)
from codec.errors import InternalError


class Rival(Adapted):
    """An encoder whose parts learn."""

    settings: RivalSettings
    own: Tensor  # the bands that are seen, as numbers among the adapter's

    def __init__(self, method: Method, base: Base, bands: Sequence[str], settings: RivalSettings) -> None:
        super().__init__(method, settings, bands, base)
        base.require_bands(bands)
        own = settings.inputs == "own"
        index = base.own_index(bands) if own else list(range(len(bands)))
        self.register_buffer("own", torch.tensor(index), persistent=False)
        self.live = base.twin() if own else base.inflated(bands, settings.inputs, settings.seed)
        _let_learn(self.live, settings)

    def tokens(
        self, pixels: Tensor, present: Tensor, validity: Tensor, described: Tensor | None = None
    ) -> Tensor:
        if len(self.own) < len(self.bands):
            pixels, present = pixels.index_select(1, self.own), present.index_select(1, self.own)
        out: Tensor = self.live(pixels, present, validity)
        return out

    def stored_beside(self) -> dict[str, Tensor]:
        if self.settings.inputs != "rgb+random" or self.settings.train_stem:
            return {}
        # Random filters are no function of the base: whoever applies the adapter elsewhere needs these.
        return {f"live.encoder.{name}": self.live.encoder.get_parameter(name) for name in self.live.stem()}

    def merged(self) -> nn.Module:
        """An encoder of the base's kind, for the adapter's bands (or, with inputs="own", for its own): frozen, with memory
        of its own.
        """
        merged = shared(self.live.encoder)
        for path in self.live.linears():
            module = merged.get_submodule(path)
            if isinstance(module, LoraLinear | SlrLinear):
                replace_module(merged, path, module.merged())
        for parameter in merged.parameters():
            parameter.data = parameter.data.clone()
        return merged


def _let_learn(live: Base, settings: RivalSettings) -> None:
    generator = torch.Generator().manual_seed(settings.seed)
    if isinstance(settings, FullSettings):
        train_all(live, stem=settings.train_stem)
        return
    if isinstance(settings, NormSettings):
        train_norms(live)
    elif isinstance(settings, BitfitSettings):
        train_biases(live)
    elif isinstance(settings, LoraSettings):
        add_lora(live, settings.rank, settings.alpha, settings.roles, generator)
    elif isinstance(settings, SlrSettings):
        add_slr(live, settings.rank, settings.roles, generator)
    elif not isinstance(settings, FrozenSettings):
        raise InternalError(f"no rival for {type(settings).__name__}")
    if settings.train_stem:
        train_stem(live)
