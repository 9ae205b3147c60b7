"""What decides one run of the recipe: YAML, overrides by name, and nothing else.

    name: nec-2024
    start: {encoder: s2-nano}
    rate: {weight: 3000.0}
    schedule: {steps: 1000, batch: 16}

`--set rate.weight=1e4` changes one value. The recipe as it was resolved, and a digest of the data, are kept in every
checkpoint; a checkpoint of another recipe or of other data is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codec.errors import InputError, UsageError
from codec.yaml_settings import parse

SHIPPED = Path(__file__).parent / "recipes"
# Published: 19.3 k steps at a cosine from 6e-4, 1.25 % of the pre-training. arXiv 2403.17886 and its code.
PUBLISHED_STEPS, PUBLISHED_RATE = 19_300, 6e-4

# What is trained beside the densities, each with all before it; the fourth is the published set.
Trainable = Literal["entropy", "patch-embedding", "last-block", "first-decoder-block", "all"]

LARGEST_DENSITY_RATE = 0.02  # Adam throws a density about beyond that


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Start(_Part):
    """The weights that every method starts from."""

    encoder: str = "s2-nano"  # see `codec.nec.encoders.open_masked`
    decoder_steps: int = Field(
        default=3000, ge=0
    )  # masked reconstruction with the encoder frozen, before anything else
    decoder_batch: int = Field(default=16, ge=1, le=65_536)
    decoder_rate: float = Field(default=1e-3, gt=0, le=1)


class Switches(_Part):
    """Where the published and the repaired recipe part; the number is that of the defect (docs/reproduce_nec.md)."""

    class_token: Literal["coded", "left out"] = "coded"  # 1
    # 3: the density sees 25 % of the tokens in training and all of them in use; or the last part of training codes all.
    finish_unmasked: float = Field(
        default=0.0, ge=0, le=1
    )  # share of the steps whose rate is of unmasked tiles
    units: Literal["batch sum", "per token"] = "batch sum"  # 4: bits of the whole batch, or of a token
    quantiles: Literal["adam", "bisection"] = "adam"  # 8
    density: Literal["autocast", "fp32"] = "autocast"  # 9: in the arithmetic of the network, or in float32


class Rate(_Part):
    """λ of λ·D + R."""

    weight: float = Field(default=1000.0, gt=0, allow_inf_nan=False)


class Schedule(_Part):
    """Steps, and how far they go."""

    # 16,000 samples: 1.3 % of the 1.2 M that s2-nano was trained on; published 1.25 %.
    steps: int = Field(default=1000, ge=1)
    batch: int = Field(default=16, ge=1, le=65_536)
    mask: float = Field(default=0.75, ge=0, lt=1)
    peak_rate: float = Field(default=PUBLISHED_RATE, gt=0, le=1)
    weight_decay: float = Field(
        default=0.01, ge=0, le=1
    )  # on everything: the published 0.05 never reached the optimiser
    # The density is new whatever the encoder: a shorter run gives it larger steps, so that it can go as far as published.
    density_path: float = Field(default=PUBLISHED_STEPS * PUBLISHED_RATE, gt=0)
    # So does the last norm, whose weights say how many steps a token is apart from another. None: they go as the rest goes,
    # which in a short run is too little for an encoder whose tokens are small beside a step (galileo_nano: 0.12).
    norm_path: float | None = Field(default=None, gt=0)

    @property
    def density_rate(self) -> float:
        """Peak of the density's cosine."""
        return self._rate_of(self.density_path)

    @property
    def norm_rate(self) -> float:
        """Peak of the last norm's cosine."""
        return self.peak_rate if self.norm_path is None else self._rate_of(self.norm_path)

    def _rate_of(self, path: float) -> float:
        return min(LARGEST_DENSITY_RATE, max(self.peak_rate, path / self.steps))


class Recipe(_Part):
    """One trained point."""

    name: str = Field(pattern=r"[a-z0-9][a-z0-9._\-]{0,63}")
    seed: int = Field(default=0, ge=0, lt=1 << 31)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the network; fp16 on CUDA alone
    device: Literal["cpu", "cuda"] = "cpu"
    start: Start = Start()
    switches: Switches = Switches()
    rate: Rate = Rate()
    schedule: Schedule = Schedule()
    trainable: Trainable | None = None  # None: the published set
    fast: bool = False  # a check that it runs, in a minute: the results mean nothing


_FAST = {"start": {"decoder_steps": 20}, "schedule": {"steps": 40, "batch": 4}, "fast": True}


def load_recipe(where: str | Path, overrides: Sequence[str] = (), *, fast: bool = False) -> Recipe:
    """The recipe of a file, or of a name among the shipped ones, with `section.key=value` overrides (YAML values).

    `fast` shortens everything; overrides come after it. Raises UsageError naming file and line, or the override.
    """
    path = Path(where) if str(where).endswith((".yaml", ".yml")) else SHIPPED / f"{where}.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        shipped = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.yaml")))
        raise UsageError(
            f"the recipe cannot be read: {error}", path=path, expected=f"a .yaml file, or one of {shipped}"
        ) from error
    values, lines = parse(text, path)
    if fast:
        values = _merged(values, _FAST)
    given = {}
    for override in overrides:
        name, equals, value = override.partition("=")
        parts = name.split(".")
        if not equals or not value or not all(parts):
            raise UsageError(f"--set {override}: give section.key=value, e.g. rate.weight=2000")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UsageError(f"--set {override}: the value is no legal YAML") from None
        for part in reversed(parts):
            parsed = {part: parsed}
        values, given[name] = _merged(values, parsed), override
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        line = next((lines[known] for known in (name, name.rpartition(".")[0]) if known in lines), None)
        place = f"{path}{'' if line is None else f', line {line}'}, {name}"
        if name in given:
            place = f"--set {given[name]}"
        raise UsageError(
            f"{place}: {first['msg'].lower()}", found=None if first["type"] == "missing" else first["input"]
        ) from None


def _merged(values: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(values)
    for key, value in over.items():
        below = out.get(key)
        out[key] = (
            _merged(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
        )
    return out


def check_same(ours: Mapping[str, Any], stored: Mapping[str, Any], path: Path) -> None:
    """A run continues under what began it; anything else is an InputError that names the difference."""
    for name in sorted(ours.keys() | stored.keys()):
        if ours.get(name) != stored.get(name):
            raise InputError(
                f"the run was begun with another {name}",
                path=path,
                expected=ours.get(name),
                found=stored.get(name),
                fix="choose another --out",
            )
