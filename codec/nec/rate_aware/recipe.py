"""What decides an adaptation: YAML, overrides by name, and the checkpoint that it starts from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from codec.errors import UsageError
from codec.pretrain.recipe import Schedule
from codec.yaml_settings import read_settings

SHIPPED = Path(__file__).with_name("recipe.yaml")


class Adaptation(BaseModel):
    """One run. Model, objective and views are those of the checkpoint; `schedule` replaces the checkpoint's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="rate-aware", pattern=r"[a-z0-9][a-z0-9._\-]{0,63}")
    seed: int = Field(default=0, ge=0, lt=1 << 31)
    # Of the rate, in units of what a bit is worth where steps are fine. 0: the control, which goes on as it began,
    # with as many steps and no quantiser.
    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    finest_bytes: float = Field(default=1000.0, gt=0)  # payload of a tile at the finest quality that is drawn
    coarsest_bytes: float = Field(default=16.0, gt=0)  # … and at the coarsest
    unquantised: float = Field(default=0.15, ge=0, le=1)  # of the steps: tokens as they are
    views: int = Field(default=3000, ge=64)  # of the pool, that transform and tables are fitted to
    refits: int = Field(default=3, ge=1, le=100)  # how often they are, the first time before the first step
    schedule: Schedule = Schedule(samples=96_000, warmup=6_400, peak_rate=3e-4)


_FAST = ("schedule.samples=96", "schedule.batch=16", "schedule.warmup=0", "views=64", "refits=1")


def load_adaptation(
    path: Path | None = None, overrides: Sequence[str] = (), *, fast: bool = False
) -> Adaptation:
    """The recipe of a file (None: the shipped one) with `key=value` overrides; `fast` shortens everything before them.

    Raises UsageError naming line or override.
    """
    where = SHIPPED if path is None else Path(path)
    recipe = read_settings(Adaptation, where, [*(_FAST if fast else ()), *overrides])
    if recipe.coarsest_bytes > recipe.finest_bytes:
        raise UsageError(
            "the finest quality has the most bytes",
            path=where,
            found=(recipe.finest_bytes, recipe.coarsest_bytes),
        )
    return recipe
