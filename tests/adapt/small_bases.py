"""Small bases of every family with random weights, and patch statistics written for reading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from codec.adapt import apply
from codec.adapt.adapted import Adapted
from codec.adapt.deflect import Deflected
from codec.adapt.registry import base_of
from codec.models.foreign.load import build
from codec.models.galileo import DN_PER_REFLECTANCE
from codec.models.vit import Encoder, EncoderConfig
from tests.models.foreign_files import small

BANDS = ("nir", "red", "green", "swir16", "blue")  # the base's own are neither first nor together
Batch = tuple[Tensor, Tensor, Tensor]


class LoopStatistics(nn.Module):
    """Mean and spread of each band over the valid pixels of a patch, patch by patch; stands in for the real ones."""

    centre: Tensor

    def __init__(self, bands: int, patch: int) -> None:
        super().__init__()
        self.patch, self.n_features = patch, 2 * bands
        self.register_buffer("centre", torch.tensor(0.2))

    def forward(self, pixels: Tensor, present: Tensor, validity: Tensor) -> Tensor:
        n, bands, height, width = pixels.shape
        p = self.patch
        s = pixels.new_zeros(n, height // p, width // p, 2 * bands)
        for i in range(n):
            for row in range(height // p):
                for column in range(width // p):
                    at = (slice(row * p, row * p + p), slice(column * p, column * p + p))
                    valid = validity[i][at] > 0.5
                    for band in range(bands):
                        seen = pixels[i, band][at][valid]
                        if len(seen) and present[i, band] > 0.5:
                            s[i, row, column, band] = (seen.mean() - self.centre) / 0.1
                            s[i, row, column, bands + band] = seen.std(correction=0) / 0.1 - 1
        return s


def random_weights(module: nn.Module, seed: int) -> nn.Module:
    """Every parameter moves the tokens; norms stay near 1."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in module.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if "norm" in name and name.endswith("weight"):
            p.data = 1 + 0.3 * noise
        else:
            p.data = noise / p[0].numel() ** 0.5 if p.ndim > 1 else 0.3 * noise
    return module.eval().requires_grad_(False)


def own_encoder(**changes: Any) -> Encoder:
    values = {"bands": ("blue", "green", "red"), "tile": 12, "patch": 4, "width": 24, "depth": 2, "heads": 3}
    return random_weights(Encoder(EncoderConfig(**{**values, **changes})), 5)  # type: ignore[return-value,arg-type]


@dataclass(frozen=True)
class Case:
    """One base: its encoder, what is said beside it, and its tokens computed through the encoder's own interface."""

    encoder: Callable[[], nn.Module]
    tokens: Callable[[nn.Module, Batch], Tensor]  # of pixels in the order blue, green, red
    side: dict[str, Any] = field(default_factory=dict)


def _own(encoder: nn.Module, batch: Batch) -> Tensor:
    out: Tensor = encoder(*batch)["tokens"]
    return out


def _published(name: str) -> Callable[[], nn.Module]:
    return lambda: random_weights(build(small(name)), 7)


def _vit(
    mean: tuple[float, ...], std: tuple[float, ...], **side: Any
) -> Callable[[nn.Module, Batch], Tensor]:
    def tokens(encoder: nn.Module, batch: Batch) -> Tensor:
        pixels, present, validity = batch
        rgb = (pixels[:, [2, 1, 0]] / 0.3558).clamp(0, 1)
        z = (rgb - torch.tensor(mean).to(rgb)[:, None, None]) / torch.tensor(std).to(rgb)[:, None, None]
        usable = present[:, [2, 1, 0], None, None] * validity[:, None]
        out: Tensor = encoder(torch.where(usable > 0.5, z, 0.0), **side)
        return out.reshape(len(pixels), 3, 3, -1)

    return tokens


def _galileo(encoder: nn.Module, batch: Batch) -> Tensor:
    pixels, present, validity = batch
    stated = encoder.layout.input  # type: ignore[union-attr]
    mean, std = (torch.tensor(stated[key][:3]).to(pixels)[:, None, None] for key in ("mean", "std"))
    # What was not measured reads as 0 in the units of the model, so it is put there as such.
    nothing = (mean - 2 * std) / DN_PER_REFLECTANCE
    usable = present[:, :, None, None] * validity[:, None] > 0.5
    out: Tensor = encoder.teacher(torch.where(usable, pixels, nothing), ("blue", "green", "red"))  # type: ignore[operator,union-attr]
    return out


_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CASES: dict[str, Case] = {
    "own": Case(own_encoder, _own),
    "own, registers and groups": Case(
        lambda: own_encoder(registers=2, stem="grouped", bands=("blue", "green", "red", "nir")), _own
    ),
    "MAE": Case(_published("mae_vit_base_patch16"), _vit(*_IMAGENET)),
    "timm": Case(_published("timm_vit_base_patch16"), _vit(*_IMAGENET)),
    "Cross-Scale MAE": Case(_published("cross_scale_mae_MsLdCeCd_vit_base"), _vit(*_IMAGENET)),
    "DINO-MC": Case(_published("dino_mc_vit_small_patch8"), _vit(*_IMAGENET)),
    "Scale-MAE": Case(
        _published("scalemae_vit_large"), _vit(*_IMAGENET, gsd_m=torch.tensor([10.0])), {"gsd_m": 10.0}
    ),
    "Galileo": Case(_published("galileo_nano_encoder"), _galileo),
}


def batch_of(n: int = 2, bands: int = len(BANDS), seed: int = 0, dtype: torch.dtype = torch.float32) -> Batch:
    """Reflectance of 12×12 pixels: some pixels invalid, one patch wholly so, one further band absent."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand((n, bands, 12, 12), generator=generator) * 0.4
    present, validity = torch.ones(n, bands), torch.ones(n, 12, 12)
    present[0, 3] = 0.0
    validity[0, :4, 4:8] = 0.0
    validity[-1, 5:7, 2:9] = 0.0
    return pixels.to(dtype), present.to(dtype), validity.to(dtype)


def rgb_of(batch: Batch, own: tuple[str, ...]) -> Batch:
    """The base's own part of a batch in BANDS."""
    index = [BANDS.index(band) for band in own]
    return batch[0][:, index], batch[1][:, index], batch[2]


def deflected(case: str = "own", *, double: bool = False, **settings: Any) -> Deflected:
    """DEFLECT with stand-in statistics on a small base; rank 5, all layers unless said otherwise."""
    given = CASES[case]
    base = base_of(given.encoder(), **given.side)
    adapted = apply(
        base,
        "deflect",
        BANDS,
        statistics=LoopStatistics(len(BANDS), 4),
        **{"uatt__rank": 5, "layers": "all", **settings},
    )
    assert isinstance(adapted, Deflected)
    return adapted.double() if double else adapted


def auxiliary_of(adapted: Deflected, batch: Batch) -> Tensor:
    """What the layers get to know of a patch beyond its RGB tokens: x_A N×h×w×D, or its code of r numbers where no stream
    carries x_A.
    """
    s = adapted.upe.describe(*batch)
    x = adapted.upe.auxiliary(s)
    return adapted.upe.codes(s).q if x is None else x


def kicked(adapted: Adapted, size: float = 0.3, seed: int = 1) -> Any:
    """The same with every trained tensor moved away from where it started."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in adapted.trained().values():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data += (size * noise).to(parameter)
    return adapted


# Every value of every switch that is not the default, with what it needs beside it.
SWITCHES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "A2 mlp": {"upe__map": "mlp"},
    "A3 twin": {"uatt__stream": "twin"},
    "A3 diff": {"uatt__stream": "diff", "upe__add_to_stream": True},
    "A3 diff, frozen branch of a run without adapter": {
        "uatt__stream": "diff",
        "upe__add_to_stream": True,
        "norm__ref": "z_P",
    },
    "A4 own downs": {"uatt__share_down": False},
    "A4 own downs in a twin": {"uatt__share_down": False, "uatt__stream": "twin"},
    "A5 separate": {"uatt__products": "separate"},
    "A5 separate, own downs": {"uatt__products": "separate", "uatt__share_down": False},
    "A6 no values": {"uatt__value_aux": False},
    "A8 post": {"norm__where": "post"},
    "A8 post in a twin": {"norm__where": "post", "uatt__stream": "twin"},
    "A8 head": {"norm__per": "head"},
    "A9 z_P": {"norm__ref": "z_P"},
    "A10 mlp": {"norm__mlp": True},
    "A10 mlp, A9 z_P": {"norm__mlp": True, "norm__ref": "z_P"},
    "A13 norms": {"train_norms": True},
    "A13 biases": {"train_bias": True},
    "A14 detached": {"norm__detach_ref": True},
    "A15 clip": {"norm__mode": "clip"},
    "A15 off": {"norm__mode": "off"},
    "A17 normalised": {"uatt__ln_aux": True},
    "A17 normalised in a twin": {"uatt__ln_aux": True, "uatt__stream": "twin"},
    "A18 in the stream": {"upe__add_to_stream": True},
    "A18 in the stream, own downs": {"upe__add_to_stream": True, "uatt__share_down": False},
    "low-rank updates": {"lora_rank": 3},
    "low-rank updates, post": {"lora_rank": 3, "norm__where": "post"},
}
