"""One call for every way of adapting an encoder to more bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import nn

from codec.adapt.adapted import Adapted
from codec.adapt.base import Base
from codec.adapt.deflect import Deflected
from codec.adapt.foreign_base import VitBase
from codec.adapt.galileo_base import GalileoBase
from codec.adapt.own_base import OwnBase
from codec.adapt.patch_statistics import PatchStatistics
from codec.adapt.rivals import Rival
from codec.adapt.swin_base import SwinBase
from codec.adapt.types import (
    SETTINGS,
    DeflectSettings,
    Method,
    RivalSettings,
    Settings,
    overridden,
    settings_of,
)
from codec.errors import InputError
from codec.models.foreign.encoder import VitEncoder
from codec.models.foreign.galileo import GalileoEncoder
from codec.models.foreign.scale_mae import ScaleMaeEncoder
from codec.models.foreign.swin import SwinEncoder
from codec.models.vit import Encoder
from codec.scene.band_names import check_names


def base_of(encoder: nn.Module, **side: Any) -> Base:
    """An encoder as adapters see it; `side` are the inputs of its family beside the pixels (gsd_m of Scale-MAE, month of
    Galileo, mean, std and full_scale of published ViTs). Raises InputError for an encoder of an unknown family.
    """
    if isinstance(encoder, Base):
        if side:
            raise InputError("a base has its side inputs already", found=", ".join(side))
        return encoder
    kinds: tuple[tuple[type | tuple[type, ...], Any], ...] = (
        (Encoder, OwnBase),
        (GalileoEncoder, GalileoBase),
        ((VitEncoder, ScaleMaeEncoder), VitBase),
        (SwinEncoder, SwinBase),
    )
    for family, kind in kinds:
        if isinstance(encoder, family):
            try:
                return cast(Base, kind(encoder, **side))
            except TypeError as error:
                raise InputError(
                    f"{type(encoder).__name__} does not take these side inputs: {error}"
                ) from error
    raise InputError(
        f"no adapter knows how to see a {type(encoder).__name__}",
        expected="an Encoder, a plain ViT, Scale-MAE, Swin or Galileo",
        found=type(encoder).__name__,
        fix="subclass codec.adapt.base.Base for its family",
    )


def apply(
    encoder: nn.Module,
    method: Method,
    bands: Sequence[str],
    settings: Settings | None = None,
    *,
    statistics: nn.Module | None = None,
    **overrides: Any,
) -> Adapted:
    """`encoder` (or what `base_of` made of it) with an adapter for `bands`; the encoder itself is never changed.

        adapted = apply(encoder, "deflect", ("blue", "green", "red", "nir", "swir16"), uatt__rank=8, layers="all")
        adapted.fit_statistics(batches)  # of the training set; DEFLECT only
        optimiser = AdamW(adapted.trained().values(), lr=1e-3)

    `bands` are canonical names, w0705 for a band centred on 705 nm, or nir@1 for a second date (`codec.scene.band_names`),
    in the order of the pixels, the base's own among them. `settings` are those of the method (default: the paper's);
    `overrides` change single values, `group__name=value` inside a group. `statistics` replaces the patch statistics that
    the settings describe.

    Raises InputError: method, setting, band or encoder unknown; a rank beyond the width; a base band missing.
    """
    kind = SETTINGS.get(method)
    settings = settings if settings is not None else settings_of(method, {})
    if kind is None or not isinstance(settings, kind):
        raise InputError(f"{type(settings).__name__} are no settings of {method}")
    settings = overridden(settings, overrides, method) if overrides else settings
    check_names(bands)
    base = base_of(encoder)
    base.require_bands(bands)
    if isinstance(settings, DeflectSettings):
        if statistics is None:
            statistics = PatchStatistics.of(bands, base.patch, settings.upe, base=base.bands)
        return Deflected(base, bands, settings, statistics)
    assert isinstance(settings, RivalSettings)
    if statistics is not None:
        raise InputError(f"{method} has no use for patch statistics", fix="give them to deflect only")
    return Rival(method, base, bands, settings)
