"""What decides a training run: a YAML recipe, overrides by name, and nothing else.

    name: s2-nano
    model: {width: 128, depth: 4}
    objective: {token: 1.0, pixel: 0.2}
    schedule: {samples: 1000000}

`--set objective.pixel=0.5` changes one value. The recipe as it was resolved is kept in the checkpoint; a checkpoint of
another recipe is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codec.errors import InputError, SwathpackError, UsageError
from codec.models.bands import BAND_LISTS
from codec.models.vit import EncoderConfig
from codec.yaml_settings import overridden, parse, place_of

SHIPPED = Path(__file__).parent / "recipes"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Model(_Part):
    """The encoder; see `codec.models.vit.EncoderConfig`."""

    bands: Literal["s2", "rgb"] = "s2"
    tile: int = Field(default=64, ge=16, le=512)
    patch: int = Field(default=8, ge=2, le=64)
    width: int = Field(default=128, ge=16, le=1024)
    depth: int = Field(default=4, ge=1, le=48)
    heads: int = Field(default=8, ge=1, le=64)
    mlp_ratio: int = Field(default=4, ge=1, le=8)
    registers: int = Field(default=0, ge=0, le=64)
    stem: Literal["single", "grouped"] = "single"

    def config(self) -> EncoderConfig:
        return EncoderConfig(**{**self.model_dump(), "bands": BAND_LISTS[self.bands]})


class PoolPart(_Part):
    """Which views are drawn, and how many; the teacher labels each once."""

    views: int = Field(default=20_000, ge=1, le=10_000_000)
    seed: int = Field(default=0, ge=0)
    weights: dict[str, float] = {}  # share of each source; empty: those of `codec.pretrain.views`


class Objective(_Part):
    """Weights of the terms of the loss (`codec.pretrain.objectives`) and what is hidden from the student."""

    token: float = Field(default=1.0, ge=0)  # the teacher's token at each place
    pooled: float = Field(default=2.0, ge=0)  # the mean of the teacher's tokens
    pixel: float = Field(default=0.2, ge=0)  # patch pixels
    pixels_of: Literal["all", "hidden"] = "all"
    # Where the pixels are read from. From the tokens themselves: they must then keep brightness, which the teacher's do
    # not, and a linear map stands between them and the teacher's.
    pixels_from: Literal["trunk", "tokens"] = "trunk"
    random: float = Field(default=0.0, ge=0)  # fixed random features of the patch
    contrast: float = Field(default=0.0, ge=0)  # two views of one image against those of others
    temperature: float = Field(default=0.1, gt=0, le=10)
    nested: tuple[int, ...] = ()  # prefixes of the token that must each give the teacher's token
    hidden_batches: float = Field(
        default=0.3, ge=0, le=1
    )  # of the batches have a part of their tokens hidden
    hidden_tokens: float = Field(default=0.4, ge=0, le=0.95)  # of the tokens in such a batch
    corrected: bool = True  # targets less their mean per position


class Schedule(_Part):
    """How long and how fast; lengths in samples seen, so that another batch size changes nothing else."""

    samples: int = Field(default=1_000_000, ge=1)
    batch: int = Field(default=64, ge=2, le=65_536)
    warmup: int = Field(default=10_000, ge=0)
    peak_rate: float = Field(default=1.2e-3, gt=0, le=1)
    weight_decay: float = Field(default=0.05, ge=0, le=1)
    clip: float = Field(default=1.0, gt=0)

    @property
    def steps(self) -> int:
        return -(-self.samples // self.batch)


class Recipe(_Part):
    """One training run, whole."""

    name: str = Field(pattern=r"[a-z0-9][a-z0-9._\-]{0,63}")
    seed: int = Field(default=0, ge=0, lt=1 << 31)
    precision: Literal["auto", "fp32", "bf16"] = (
        "auto"  # auto: bf16 where the processor multiplies it natively
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    model: Model = Model()
    pool: PoolPart = PoolPart()
    objective: Objective = Objective()
    schedule: Schedule = Schedule()


def load_recipe(where: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a file, or of a name among the shipped ones, with `section.key=value` overrides (YAML values).

    Raises UsageError naming file and line, or the override, with what was expected.
    """
    path = Path(where) if str(where).endswith((".yaml", ".yml")) else SHIPPED / f"{where}.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        shipped = ", ".join(
            sorted(p.stem for p in SHIPPED.glob("*.yaml") if "candidates:" not in p.read_text())
        )
        raise UsageError(
            f"the recipe cannot be read: {error}", path=path, expected=f"a .yaml file, or one of {shipped}"
        ) from error
    values, lines = parse(text, path)
    return validated(values, lines, path, overridden(values, overrides))


def validated(
    values: Mapping[str, Any], lines: Mapping[str, int], path: Path, overrides: Mapping[str, str]
) -> Recipe:
    """The recipe, or a UsageError that names the override or the line."""
    try:
        recipe = Recipe.model_validate(values)
        recipe.model.config()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        where = place_of(name, lines, path, overrides)
        raise UsageError(
            f"{where}: {first['msg'].lower()}", found=None if first["type"] == "missing" else first["input"]
        ) from None
    except SwathpackError as error:
        raise UsageError(f"{place_of('model', lines, path, overrides)}: {error}") from None
    return recipe


def recipe_of_report(path: Path) -> dict[str, Any]:
    """The recipe that a run's `run.json` names, values it does not name by their defaults; else InputError."""
    try:
        return Recipe.model_validate(json.loads(path.read_bytes())["recipe"]).model_dump(mode="json")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError("no report of a run", path=path, found=type(error).__name__) from None


def check_same(
    recipe: Recipe, stored: Mapping[str, Any], path: Path, fix: str = "choose another --out"
) -> None:
    """A run continues under the recipe that began it; anything else is an InputError that names the difference."""
    ours = recipe.model_dump(mode="json")
    for section in sorted(ours.keys() | stored.keys()):
        if ours.get(section) != stored.get(section):
            raise InputError(
                f"the run belongs to another recipe: {section} differs",
                path=path,
                expected=str(ours.get(section)),
                found=str(stored.get(section)),
                fix=fix,
            )
