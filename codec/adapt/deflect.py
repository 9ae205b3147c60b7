"""DEFLECT: untangled attention beside frozen attention, its displacement deflected and not lengthened.

    pixels of all bands ─ statistics ─ code c ───────────────┐ (one per token; static stream)
    pixels of RGB ─ frozen patch embedding x_P ─ z ─┬─ frozen attention ─ |Δ| ──────┐
                                                    └─ untangled attention(z, c) ─ Δ̂ = Δ·|Δ frozen|/|Δ| ─ MLP ─▶

Thoreau, Marsocci, Derksen, "Parameter-Efficient Adaptation of Geospatial Foundation Models through Embedding Deflection",
arXiv 2503.09493. Every point the paper leaves open is a switch (`codec.adapt.types`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.adapt.adapted import Adapted
from codec.adapt.attention_forms import FORMS, Codes, Displacements, Form, Projected, Ups
from codec.adapt.base import Base, Site, site_width
from codec.adapt.deflection import length_ratio
from codec.adapt.fused import after_attention, unfusable
from codec.adapt.layer_choice import chosen_layers
from codec.adapt.low_rank import add_lora
from codec.adapt.patch_statistics import Fitted
from codec.adapt.trained_parts import train_biases, train_norms
from codec.adapt.types import DeflectSettings, UattSwitches
from codec.adapt.untangled_embedding import UntangledEmbedding, drawn, zeros
from codec.errors import InputError


class UntangledLayer(nn.Module):
    """What is trained for one block: W_A = E U for queries, keys and values (A4, A5, A6)."""

    def __init__(self, switches: UattSwitches, width: int, generator: torch.Generator, like: Tensor) -> None:
        super().__init__()
        rank = switches.rank
        self.switches = switches
        self.up_q, self.up_k = zeros((rank, width), like), zeros((rank, width), like)
        self.up_v = zeros((rank, width), like) if switches.value_aux else None
        separate = switches.products == "separate"
        # One of the pair must not start at 0, or neither would ever learn; their product does start there.
        self.up_q_own = drawn((rank, width), rank**-0.5, generator, like) if separate else None
        self.up_k_own = zeros((rank, width), like) if separate else None
        self.down: nn.ParameterList | None = None
        if switches.stream != "static":  # there the code is one already
            n = 1 if switches.share_down else 3
            self.down = nn.ParameterList(drawn((width, rank), width**-0.5, generator, like) for _ in range(n))

    def codes(self, auxiliary: Tensor) -> Codes:
        """z_A N×L×D of a stream → codes N×L×r."""
        assert self.down is not None
        found = [auxiliary @ down for down in self.down]
        return Codes(found[0], found[-2] if len(found) == 3 else found[0], found[-1])

    def ups(self, heads: int) -> Ups:
        """Up-projections per head, heads×r×hd."""

        def by_head(up: Tensor) -> Tensor:
            return up.reshape(up.shape[0], heads, -1).transpose(0, 1)

        q, k = by_head(self.up_q), by_head(self.up_k)
        return Ups(
            q,
            k,
            None if self.up_v is None else by_head(self.up_v),
            q if self.up_q_own is None else by_head(self.up_q_own),
            k if self.up_k_own is None else by_head(self.up_k_own),
        )


@dataclass(frozen=True, slots=True)
class Streams:
    """What goes through the blocks, each N×L×D."""

    main: Tensor
    frozen: Tensor | None  # z_P of a run without adapter
    auxiliary: Tensor | None  # z_A


class Deflected(Adapted):
    """A base with DEFLECT. `form` says how untangled attention is computed, and changes nothing but speed and rounding."""

    settings: DeflectSettings
    own: Tensor  # where the base's bands stand among the adapter's

    def __init__(
        self, base: Base, bands: Sequence[str], settings: DeflectSettings, statistics: nn.Module
    ) -> None:
        super().__init__("deflect", settings, bands, base)
        base.require_bands(bands)
        widths = [site_width(site) for site in base.sites()]
        layers = chosen_layers(settings.layers, len(widths))
        narrowest = min(widths[i] for i in layers)
        if settings.uatt.rank > narrowest:
            raise InputError(
                f"rank {settings.uatt.rank} exceeds the width of the base",
                expected=f"1 to {narrowest}",
                found=settings.uatt.rank,
                fix="a rank of 8 to 32 is usual",
            )
        generator = torch.Generator().manual_seed(settings.seed)
        like = next(base.encoder.parameters())
        self.base = base
        self.register_buffer("own", torch.tensor(base.own_index(bands)), persistent=False)
        self.live = _learning(base, settings, generator)
        self.upe = UntangledEmbedding(statistics, settings, widths[0], generator, like)
        self.layers = nn.ModuleDict(
            {str(i): UntangledLayer(settings.uatt, widths[i], generator, like) for i in layers}
        )
        self.form: Form = "folded"

    def use(self, form: Form) -> Deflected:
        """Choose how untangled attention is computed. InputError: no such form, or one the settings do not allow."""
        if form not in (*FORMS, "fused"):
            raise InputError(f"there is no form {form!r}", expected=", ".join((*FORMS, "fused")))
        if form == "fused" and (why := unfusable(self.settings, self.live is self.base, self.base.sites())):
            raise InputError(f"no kernel knows {why}", fix='use the form "folded", which knows every setting')
        if form == "stacked" and not self._one_projection:
            raise InputError(
                "one stacked call needs a frozen branch with the same keys and values",
                found="stream=diff, norm.ref=z_P, or low-rank updates, norms or biases that learn",
                fix='use the form "folded" or "four-products"',
            )
        self.form = form
        return self

    @property
    def _one_projection(self) -> bool:
        """Whether the frozen branch has the queries, keys and values that the adapted one starts from."""
        static = self.settings.uatt.stream != "diff" and self.settings.norm.ref == "same"
        return static and self.live is self.base

    def fit_statistics(
        self,
        batches: Iterable[tuple[Tensor, Tensor, Tensor]],
        *,
        constant: Literal["refuse", "zero"] = "refuse",
    ) -> Fitted:
        """Standardise the pixel statistics by a training set of (pixels, present, validity); `constant`: what becomes of
        features that never change (`PatchStatistics.fit`).
        """
        found: Fitted = self.upe.statistics.fit(batches, constant=constant)  # type: ignore[operator]
        return found

    @property
    def fitted(self) -> bool:
        """Whether the pixel statistics of a training set are there."""
        return bool(self.upe.statistics.fitted)

    def stored_beside(self) -> dict[str, Tensor]:
        return {f"upe.statistics.{name}": b for name, b in self.upe.statistics.named_buffers()}

    def described(self, pixels: Tensor, present: Tensor, validity: Tensor) -> Tensor:
        return self.upe.describe(pixels, present, validity)

    def tokens(
        self, pixels: Tensor, present: Tensor, validity: Tensor, described: Tensor | None = None
    ) -> Tensor:
        settings = self.settings
        s = self.upe.describe(pixels, present, validity) if described is None else described
        static = settings.uatt.stream == "static"
        codes = Codes(*(self.live.spread(c) for c in self.upe.codes(s))) if static else None
        x_aux = self.upe.auxiliary(s)
        x_aux = None if x_aux is None else self.live.spread(x_aux)

        # By `index_select`: brackets with a list become an operator that payloads do not load.
        rgb = pixels.index_select(1, self.own), present.index_select(1, self.own), validity
        z, grid = self.live.embed(*rgb)
        needs_frozen = settings.uatt.stream == "diff" or settings.norm.ref == "z_P"
        streams = Streams(
            main=z + x_aux if settings.upe.add_to_stream and x_aux is not None else z,
            frozen=self.base.embed(*rgb)[0] if needs_frozen else None,
            auxiliary=x_aux if settings.uatt.stream == "twin" else None,
        )
        frozen_sites = self.base.sites()
        for i, site in enumerate(self.live.sites()):
            # Where nothing but the adapter learns, the two sites are one and its projections are computed once.
            frozen_site = site if self.live is self.base else frozen_sites[i]
            streams = Streams(
                main=site.enter(streams.main),
                frozen=None if streams.frozen is None else frozen_site.enter(streams.frozen),
                auxiliary=None if streams.auxiliary is None else site.enter(streams.auxiliary),
            )
            codes = codes and Codes(*(site.enter_code(c) for c in codes))
            if str(i) in self.layers:
                layer = self.layers[str(i)]
                assert isinstance(layer, UntangledLayer)
                main, auxiliary = self._deflected(layer, site, frozen_site, streams, codes)
            else:
                main, auxiliary = site.whole(streams.main), streams.auxiliary
            frozen = None if streams.frozen is None else frozen_site.whole(streams.frozen)
            streams = Streams(main, frozen, auxiliary)
        return self.live.finish(streams.main, grid)

    def _deflected(
        self, layer: UntangledLayer, site: Site, frozen_site: Site, streams: Streams, codes: Codes | None
    ) -> tuple[Tensor, Tensor | None]:
        """One adapted block: the main stream after it, and z_A of a twin."""
        norm, z = self.settings.norm, streams.main
        codes = self._codes(layer, streams) if codes is None else codes
        if self.settings.uatt.ln_aux and self.settings.uatt.stream == "static":
            codes = Codes(*(F.layer_norm(c, c.shape[-1:]) for c in codes))
        codes = Codes(*(site.arrange(c) for c in codes))
        ups = layer.ups(site.heads)
        if self.form == "fused":
            z = after_attention(site, z, codes, ups, norm)
            return z + site.second(z), streams.auxiliary
        live, reference = self._projections(site, frozen_site, streams)
        found = FORMS[self.form](site, reference, live, codes, ups)
        first, from_auxiliary = self._first(site, frozen_site, found)
        z = z + first
        second = site.second(z)
        if norm.mlp and norm.mode != "off":
            of = streams.main if norm.ref == "same" or streams.frozen is None else streams.frozen
            would = frozen_site.second(of + frozen_site.output(frozen_site.merge(found.reference)))
            second = second * length_ratio(would, second, (-1,), norm)
        auxiliary = streams.auxiliary if streams.auxiliary is None else streams.auxiliary + from_auxiliary
        return z + second, auxiliary

    def _projections(self, site: Site, frozen_site: Site, streams: Streams) -> tuple[Projected, Projected]:
        """Of the part that is untangled from z_A, and of the frozen branch; the same object where they are equal."""
        z, z_frozen = streams.main, streams.frozen
        diff = self.settings.uatt.stream == "diff" and z_frozen is not None
        of_frozen_run = self.settings.norm.ref == "z_P" and z_frozen is not None
        source = z_frozen if diff else z
        live = Projected(*site.project(site.normed(source)))  # type: ignore[arg-type]
        if frozen_site is site and diff == of_frozen_run:
            return live, live
        source = z_frozen if of_frozen_run else z
        return live, Projected(*frozen_site.project(frozen_site.normed(source)))  # type: ignore[arg-type]

    def _codes(self, layer: UntangledLayer, streams: Streams) -> Codes:
        """Of a stream that carries z_A."""
        auxiliary = streams.auxiliary
        if auxiliary is None:
            assert streams.frozen is not None
            auxiliary = streams.main - streams.frozen
        if self.settings.uatt.ln_aux:
            auxiliary = F.layer_norm(auxiliary, auxiliary.shape[-1:])
        return layer.codes(auxiliary)

    def _first(self, site: Site, frozen_site: Site, found: Displacements) -> tuple[Tensor, Tensor]:
        """First displacement N×L×D with its bias, and the part of it that came from v_A, without."""
        norm = self.settings.norm
        adapted, auxiliary = found.plain + found.auxiliary, found.auxiliary
        twin = self.settings.uatt.stream == "twin"
        if norm.mode != "off" and norm.where == "pre":
            over = (3,) if norm.per == "head" else (1, 3)
            ratio = length_ratio(found.reference, adapted, over, norm)
            adapted, auxiliary = ratio * adapted, ratio * auxiliary if twin else auxiliary
        first = site.output(site.merge(adapted))
        bias = site.output_bias()
        from_auxiliary = (
            site.output(site.merge(auxiliary)) - (0.0 if bias is None else bias) if twin else first
        )
        if norm.mode != "off" and norm.where == "post":
            free = first if bias is None else first - bias
            would = frozen_site.output(frozen_site.merge(found.reference))
            frozen_bias = frozen_site.output_bias()
            would = would if frozen_bias is None else would - frozen_bias
            ratio = length_ratio(would, free, (-1,), norm)
            # s·free + bias, written so that s = 1 changes no bit.
            first, from_auxiliary = first + (ratio - 1.0) * free, ratio * from_auxiliary
        return first, from_auxiliary

    def merged(self) -> nn.Module:
        raise InputError(
            "DEFLECT cannot be merged into its base: what it adds depends on the pixels of the other bands, token by token",
            fix="keep the adapter beside its base; LoRA, SLR, norm and bitfit merge",
        )


def _learning(base: Base, settings: DeflectSettings, generator: torch.Generator) -> Base:
    """The base whose parts learn beside the adapter (A13, low-rank updates); the base itself where none does."""
    if not (settings.lora_rank or settings.train_norms or settings.train_bias):
        return base
    live = base.twin()
    if settings.train_norms:
        train_norms(live)
    if settings.train_bias:
        train_biases(live)
    if settings.lora_rank:
        # Scale 1: the update begins at 0 and its size is learnt.
        add_lora(
            live, settings.lora_rank, float(settings.lora_rank), ("qkv", "proj", "fc1", "fc2"), generator
        )
    return live
