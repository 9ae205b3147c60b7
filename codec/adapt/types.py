"""What can be chosen about an adapter, as frozen values; they are stored in the adapter's file as JSON.

Where the DEFLECT paper (arXiv 2503.09493) leaves a point open, the field names its ambiguity number A1 … A18; the table of
them, with what the data said, is in `docs/deflect.md`. Defaults are the readings that were taken first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from codec.errors import InputError

Method = Literal["frozen", "full", "norm", "bitfit", "lora", "slr", "deflect"]
LayerRule = Literal["first-3", "first-half", "every-second", "last", "all"]
Role = Literal["qkv", "proj", "fc1", "fc2"]
LARGEST_SEED = (1 << 63) - 1  # of PyTorch's generators
DEFAULT_INDICES = ("NDVI", "NDWI", "MNDWI", "NDBI", "NBR", "NDMI")


class _Switches(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class UpeSwitches(_Switches):
    """Untangled patch embedding: what of the pixels of a patch reaches the code."""

    bands: Literal["all", "aux"] = Field(default="all", description="A1: all bands, or those beyond RGB")
    indices: tuple[str, ...] = Field(
        default=DEFAULT_INDICES,
        description="A1: spectral indices by the catalogue's names; those whose bands are missing are left out",
    )
    stats: tuple[Literal["mean", "std", "min", "max"], ...] = Field(
        default=("mean", "std"), min_length=1, description="A1: statistics of the set of pixels of a patch"
    )
    map: Literal["linear", "mlp"] = Field(default="linear", description="A2: from statistics to the code")
    add_to_stream: bool = Field(
        default=False, description="A18: x_A enters the residual stream too (eq. 3 literally)"
    )

    @model_validator(mode="after")
    def _no_repeats(self) -> UpeSwitches:
        for values in (self.stats, self.indices):
            if len(set(values)) != len(values):
                raise ValueError("a statistic or an index is named twice")
        return self


class UattSwitches(_Switches):
    """Untangled attention: how the auxiliary part meets the pretrained queries, keys and values."""

    stream: Literal["static", "twin", "diff"] = Field(
        default="static",
        description="A3: the auxiliary part z_A of layer l: the code of the embedding; a residual stream of its own; "
        "or the main stream less that of a run without adapter",
    )
    rank: int = Field(default=16, ge=1, description="A4: of W_A = E U")
    share_down: bool = Field(default=True, description="A4: one E for queries, keys and values")
    products: Literal["sum", "separate"] = Field(
        default="sum", description="A5: one W_A^Q and W_A^K for all products, or own ones for each"
    )
    value_aux: bool = Field(default=True, description="A6: values have an auxiliary part")
    ln_aux: bool = Field(
        default=False, description="A17: z_A is normalised (without weights) before its projection"
    )


class NormSwitches(_Switches):
    """The deflection: direction is learnt, length is the pretrained one."""

    where: Literal["pre", "post"] = Field(
        default="pre", description="A8: before or after the output projection"
    )
    per: Literal["token", "head"] = Field(
        default="token", description="A8: one length per token, or per head of it"
    )
    ref: Literal["same", "z_P"] = Field(
        default="same",
        description="A9: the frozen branch sees the same stream, or that of a run without adapter",
    )
    mlp: bool = Field(default=False, description="A10: the second displacement is constrained too")
    detach_ref: bool = Field(default=False, description="A14: no gradient through the reference length")
    mode: Literal["match", "clip", "off"] = Field(
        default="match", description="A15: equality, an upper bound, none"
    )

    @model_validator(mode="after")
    def _heads_end_at_the_projection(self) -> NormSwitches:
        if self.where == "post" and self.per == "head":
            raise ValueError("after the output projection there are no heads: use where=pre or per=token")
        return self


class DeflectSettings(_Switches):
    """DEFLECT (arXiv 2503.09493)."""

    upe: UpeSwitches = UpeSwitches()
    uatt: UattSwitches = UattSwitches()
    norm: NormSwitches = NormSwitches()
    # With rank 16 and a static stream, half of ViT-L's blocks are the 0.2 % of the published table.
    layers: LayerRule | tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default="first-half", description="A11: adapted layers, by rule or by number from 0"
    )
    train_norms: bool = Field(default=False, description="A13: LayerNorms learn as well")
    train_bias: bool = Field(default=False, description="A13: biases learn as well")
    lora_rank: int = Field(default=0, ge=0, description="low-rank updates beside it; 0: none")
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED, description="of the first weights (A12)")

    @model_validator(mode="after")
    def _something_must_begin_to_learn(self) -> DeflectSettings:
        if self.uatt.stream == "diff" and not self.upe.add_to_stream:
            raise ValueError(
                "stream=diff without upe.add_to_stream is the frozen model for ever: both streams stay equal"
            )
        if self.uatt.ln_aux and self.uatt.stream == "static" and self.uatt.rank == 1:
            raise ValueError("ln_aux of a code of one number is always 0: use a rank of 2 or more")
        if not isinstance(self.layers, str) and not self.layers:
            raise ValueError("layers names no layer")
        return self


class RivalSettings(_Switches):
    """What every rival has to say, since its patch embedding knows the base's own bands only."""

    inputs: Literal["own", "repeat", "rgb+random"] = Field(
        default="repeat",
        description="own: further bands are not seen; repeat: filters of the own bands, again and again, rescaled; "
        "rgb+random: own filters where they are, random ones for the other bands",
    )
    train_stem: bool = Field(default=False, description="the patch embedding learns as well")
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED, description="of everything drawn")


class FrozenSettings(RivalSettings):
    """Nothing learns."""


class FullSettings(RivalSettings):
    """Everything learns."""

    train_stem: bool = True


class NormSettings(RivalSettings):
    """Every LayerNorm's weight and bias learn."""


class BitfitSettings(RivalSettings):
    """Every bias of the blocks and of the last norm learns (arXiv 2106.10199)."""


class LowRankSettings(RivalSettings):
    """Which linear maps get a low-rank update."""

    rank: int = Field(default=16, ge=1)
    roles: tuple[Role, ...] = Field(default=("qkv", "proj", "fc1", "fc2"), min_length=1)


class LoraSettings(LowRankSettings):
    """LoRA (arXiv 2106.09685): W + (alpha / rank)·B·A."""

    alpha: float = Field(
        default=8.0, gt=0, allow_inf_nan=False, description="the default of the `peft` library"
    )


class SlrSettings(LowRankSettings):
    """Scaled low rank (as published with HSG-AIML/GDA): o ⊙ (W(i ⊙ x) + b + B·A·(i ⊙ x))."""


Settings = DeflectSettings | RivalSettings
SETTINGS: Mapping[Method, type[DeflectSettings] | type[RivalSettings]] = {
    "frozen": FrozenSettings,
    "full": FullSettings,
    "norm": NormSettings,
    "bitfit": BitfitSettings,
    "lora": LoraSettings,
    "slr": SlrSettings,
    "deflect": DeflectSettings,
}
METHODS: tuple[Method, ...] = tuple(SETTINGS)

_Kind = TypeVar("_Kind", bound=BaseModel)


def settings_of(method: str, values: Mapping[str, Any]) -> Settings:
    """The settings of a method from nested values, as they stand in an adapter's file.

    Raises InputError for an unknown method, an unknown name, or a value that is not allowed.
    """
    if method not in METHODS:
        raise InputError(f"no adapter is called {method!r}", expected=", ".join(METHODS), found=method)
    return _checked(SETTINGS[method], values, method)  # type: ignore[index]


def overridden(settings: Settings, overrides: Mapping[str, Any], method: str) -> Settings:
    """`settings` with some values changed; a name may go into a group by `__`, as in `uatt__rank=8`."""
    values = settings.model_dump()
    for name, value in overrides.items():
        at, *rest = name.split("__")
        if not rest:
            nested = value.model_dump() if isinstance(value, BaseModel) else value
            values[at] = {**values[at], **nested} if isinstance(nested, Mapping) and at in values else nested
            continue
        if len(rest) != 1 or not isinstance(values.get(at), dict):
            raise InputError(f"{method} has no setting {name}", expected=", ".join(_names(values)))
        values[at] = {**values[at], rest[0]: value}
    return _checked(type(settings), values, method)


def _names(values: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}__{inner}" if inner else name
        for name, value in values.items()
        for inner in (value if isinstance(value, dict) else [""])
    ]


def _checked(kind: type[_Kind], values: Mapping[str, Any], method: str) -> _Kind:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"])) or "settings"
        # Settings that contradict each other are all of them: the message says which, a page of them would not.
        found = None if isinstance(first["input"], Mapping) else first["input"]
        what = first["msg"].lower().removeprefix("value error, ")
        raise InputError(f"{method}: {name}: {what}", found=found) from None
