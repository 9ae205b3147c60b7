"""What decides a refinement's training: a flat YAML recipe and overrides by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from codec.errors import UsageError
from codec.yaml_settings import read_settings

SHIPPED = Path(__file__).with_name("recipe.yaml")


class Recipe(BaseModel):
    """One training run; lengths in tiles seen, so that another batch size changes nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0, lt=1 << 31)
    width: int = Field(default=128, ge=8, le=512)
    heads: int = Field(default=8, ge=1, le=16)
    hidden: int = Field(default=192, ge=8, le=2048)  # of the block's two-layer part
    condition: int = Field(default=64, ge=8, le=512)  # of the part that reads steps and arrivals
    finest_bytes: float = Field(default=1800, gt=0)  # payload of a training tile, first plane, at the finest
    coarsest_bytes: float = Field(default=18, gt=0)  # … and at the coarsest quality that is trained
    whole: float = Field(default=0.6, ge=0, le=1)  # of the groups: all layers arrive
    prefix: float = Field(
        default=0.3, ge=0, le=1
    )  # … the first layers do; of the rest, any that include layer 0
    offsets: float = Field(default=0.25, ge=0, le=1)  # of the groups: records with ladder offsets
    samples: int = Field(default=236_800, ge=1)
    group: int = Field(default=32, ge=1, le=4096)  # tiles of one quality
    groups: int = Field(default=4, ge=1, le=256)  # qualities in a step
    warmup: int = Field(default=4_000, ge=0)
    horizon: int = Field(default=448_000, ge=1)  # where the cosine of the rate would reach its end
    cooldown: int = Field(
        default=19_200, ge=0
    )  # the last of the samples: the rate falls linearly to 1 % of its own
    peak_rate: float = Field(default=2e-3, gt=0, le=1)
    weight_decay: float = Field(default=0.02, ge=0, le=1)
    clip: float = Field(default=1.0, gt=0)

    @property
    def batch(self) -> int:
        return self.group * self.groups

    @property
    def steps(self) -> int:
        return -(-self.samples // self.batch)


def load_recipe(path: Path | None = None, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a file (None: the shipped one) with `key=value` overrides. Raises UsageError naming line or override."""
    where = SHIPPED if path is None else Path(path)
    recipe = read_settings(Recipe, where, overrides)
    if recipe.whole + recipe.prefix > 1 or recipe.coarsest_bytes > recipe.finest_bytes:
        raise UsageError(
            "whole and prefix are shares of the groups, and the finest quality has the most bytes",
            path=where,
            found=(recipe.whole, recipe.prefix, recipe.finest_bytes, recipe.coarsest_bytes),
        )
    return recipe
