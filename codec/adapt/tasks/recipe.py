"""What decides a run of a published task: a YAML recipe in `codec/adapt/recipes`, overrides by name, and a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from codec.adapt.training import TaskRecipe
from codec.adapt.types import Method
from codec.errors import UsageError
from codec.yaml_settings import read_settings

SHIPPED = Path(__file__).parent.parent / "recipes"
FAST = ("training.steps=8", "training.batch=4", "tiles=32", "pictures=16")

Metric = Literal["macro F1", "IoU", "mean IoU"]


class PaperTask(BaseModel):
    """One task; stored with its results."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"[a-z0-9][a-z0-9\-]{0,31}")
    layout: Literal["geobench", "burn-scars", "mados"]
    folder: str = Field(default="", description="of a GEO-Bench task, e.g. m-so2sat")
    bands: tuple[str, ...] = Field(min_length=1, description="canonical names, in the order of the adapter")
    size: int = Field(ge=8, le=8192, description="pixels a side of a picture, as distributed")
    gsd_m: float = Field(gt=0, description="metres per pixel; only encoders that ask for it use it")
    classes: int = Field(ge=2, le=256)
    labels: Literal["picture", "pixel"]
    metric: Metric
    scored_class: int | None = Field(default=None, ge=0, description="metric IoU: of which class")
    head: Literal["linear"] = "linear"
    agreement: float = Field(
        default=0.6, ge=0, le=1, description="share of a token's labelled pixels that must have one class"
    )
    zoom: int = Field(default=1, ge=1, le=16, description="each pixel so many times in both directions")
    tile: int | None = Field(
        default=None,
        ge=8,
        le=1024,
        description="pixels a side that the encoder sees; its own choice if empty",
    )
    tiles: int = Field(default=20_000, ge=1, description="to learn from, at most; spread over the pictures")
    pictures: int | None = Field(default=None, ge=1, description="of each split, at most; empty: all")
    training: TaskRecipe = TaskRecipe()
    rates: dict[Method, float] = Field(default={}, description="peak learning rate where it is not the usual")
    methods: dict[Method, dict[str, Any]] = Field(default={}, description="settings by method")

    @model_validator(mode="after")
    def _fits_together(self) -> PaperTask:
        if (self.metric == "macro F1") != (self.labels == "picture"):
            raise ValueError("macro F1 is for classes of pictures, IoU for classes of pixels")
        if (self.metric == "IoU") != (self.scored_class is not None):
            raise ValueError("IoU, and nothing else, needs scored_class")
        if self.scored_class is not None and self.scored_class >= self.classes:
            raise ValueError("scored_class is none of the classes")
        if (self.layout == "geobench") != bool(self.folder):
            raise ValueError("folder names a task of GEO-Bench")
        if self.zoom > 1 and self.labels == "pixel":
            raise ValueError("pixels are classified as they are: zoom is for classes of pictures")
        if len(set(self.bands)) != len(self.bands):
            raise ValueError("a band is named twice")
        return self

    def learned(self, method: Method, seed: int) -> TaskRecipe:
        """How a method learns this task."""
        changes: Mapping[str, float] = {"seed": seed, "rate": self.rates.get(method, self.training.rate)}
        return self.training.model_copy(update=changes)


def task_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def load_task(where: str, overrides: Sequence[str] = (), *, fast: bool = False) -> PaperTask:
    """The task of a file, or of a name among the shipped ones, with `key=value` overrides (YAML values).

    `fast` shortens everything; overrides come after it. Raises UsageError naming file and line, or the override.
    """
    path = Path(where) if where.endswith((".yaml", ".yml")) else SHIPPED / f"{where}.yaml"
    if path.parent == SHIPPED and path.stem not in task_names():
        raise UsageError(
            f"there is no task {where}", expected=f"{', '.join(task_names())}, or a .yaml file", found=where
        )
    return read_settings(PaperTask, path, (*(FAST if fast else ()), *overrides))
