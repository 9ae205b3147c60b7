"""An adapter and a linear head learn one task: classes of tiles, or of their tokens.

    data = Labelled(pixels, present, validity, labels, classes)
    head = train(adapted, data, TaskRecipe(seed=1))
    answers = logits(adapted, head, other)  # N×K, or N×h×w×K

Every method learns in the same way: the same head on the same standardised tokens, the same batches and turns of the
tiles at a step, AdamW with a linear warm-up and half a cosine (A16). What differs is `adapted.trained()` alone. All
randomness of step s comes from (seed, s).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from codec.adapt.adapted import Adapted
from codec.adapt.deflect import Deflected
from codec.errors import InputError, InternalError
from codec.types import BoolArray, FloatArray

NO_CLASS = -1
_AT_A_TIME = 64  # tiles, where nothing is learned
_FLAT = 1e-6  # of tokens, whose norm gives them a size near 1: below it is rounding


class TaskRecipe(BaseModel):
    """How a task is learned; stored with its results."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=300, ge=1)
    batch: int = Field(default=16, ge=1)
    rate: float = Field(default=1e-3, gt=0, description="peak learning rate of what the method trains")
    head_rate: float = Field(default=3e-3, gt=0, description="of the head, the same for all methods")
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: float = Field(default=0.1, ge=0, le=1, description="share of the steps")
    turns: bool = Field(default=True, description="tiles are turned and mirrored, their labels with them")
    seed: int = Field(default=0, ge=0)


_DEFAULT = TaskRecipe()


@dataclass(frozen=True, slots=True)
class Labelled:
    """Tiles with a class each, or a class for each token; NO_CLASS where none is known."""

    pixels: FloatArray  # N×C×H×W reflectance in the order of the adapter's bands
    present: BoolArray  # N×C
    validity: BoolArray  # N×H×W
    labels: npt.NDArray[np.int64]  # N or N×h×w
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4:
            raise InputError("pixels are tiles", expected="N×C×H×W", found=self.pixels.shape)
        kinds = self.present.dtype, self.validity.dtype, self.labels.dtype
        if kinds != (np.bool_, np.bool_, np.int64):
            raise InputError(
                "presence, validity or labels are of another kind", expected="bool, bool and int64",
                found=", ".join(map(str, kinds)), fix="convert them: .astype(bool), .astype(np.int64)",
            )  # fmt: skip
        n, c, height, width = self.pixels.shape
        if not n:
            raise InputError(
                "there is no tile", fix="give labelled tiles, of more than one place if some are held back"
            )
        if self.present.shape != (n, c) or self.validity.shape != (n, height, width):
            raise InputError("presence or validity do not fit the pixels", found=self.pixels.shape)
        if len(self.labels) != n or self.labels.ndim not in (1, 3) or len(self.classes) < 2:
            raise InputError(
                "labels are one class a tile or a token, of two classes or more", found=self.labels.shape
            )
        if self.labels.min() < NO_CLASS or self.labels.max() >= len(self.classes):
            raise InputError("a label lies outside the classes", found=int(self.labels.max()))
        used = self.present[:, :, None, None] & self.validity[:, None]
        if not np.isfinite(self.pixels)[used].all():
            raise InputError("a measured pixel is not finite", fix="mark such pixels invalid")

    def __len__(self) -> int:
        return len(self.pixels)

    def part(self, keep: npt.NDArray[np.bool_]) -> Labelled:
        return Labelled(
            self.pixels[keep], self.present[keep], self.validity[keep], self.labels[keep], self.classes
        )

    def batches(self, size: int = _AT_A_TIME) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Pixels, presence and validity as an adapter takes them, in order."""
        for at in range(0, len(self), size):
            yield _inputs(self, np.arange(at, min(at + size, len(self))))


class LinearTokenHead(nn.Module):
    """Standardised tokens N×h×w×D → classes N×h×w×K; `pooled`: of the mean token, N×K."""

    mean: Tensor
    inverse_spread: Tensor

    def __init__(self, width: int, classes: int, pooled: bool) -> None:
        super().__init__()
        self.pooled = pooled
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("inverse_spread", torch.ones(width))
        self.linear = nn.Linear(width, classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    @torch.no_grad()
    def standardise_by(self, features: Tensor) -> None:
        """Features n×D of the training set, as they are before anything has learned; what never varies there (everything,
        where one tile is all) keeps its size.
        """
        spread, mean = torch.std_mean(features, 0, correction=0)
        self.mean.copy_(mean)
        self.inverse_spread.copy_(1 / torch.where(spread > _FLAT, spread, 1.0))

    def features(self, tokens: Tensor) -> Tensor:
        return tokens.mean((1, 2)) if self.pooled else tokens

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.linear((self.features(tokens) - self.mean) * self.inverse_spread)
        return out


def train(
    adapted: Adapted,
    data: Labelled,
    recipe: TaskRecipe = _DEFAULT,
    tell: Callable[[int, float], None] = lambda step, loss: None,
) -> LinearTokenHead:
    """Learn; `adapted` is changed, its base is not. Returns the head, in evaluation mode. DEFLECT's statistics are those of
    these data, unless they were fitted before.

    Warns of bands and indices that never change in these data (`fit_statistics`). Raises InputError where no label is known
    or labels are not one a tile or a token, InternalError where the loss is not finite.
    """
    known = data.labels != NO_CLASS
    if not known.any():
        raise InputError("no tile has a label", fix="give labelled tiles")
    of_tiles = data.labels.ndim == 1
    constant = fit_statistics(adapted, data)
    if constant:
        warnings.warn(
            f"the same in all training tiles, so nothing is learned of it: {constant}", stacklevel=2
        )
    adapted.train()
    head = LinearTokenHead(adapted.width, len(data.classes), pooled=of_tiles)
    described = _described(adapted, data)
    with torch.no_grad():
        seen = torch.cat([head.features(adapted(*batch)["tokens"]) for batch in data.batches()])
    if seen.shape[:-1] != data.labels.shape:
        raise InputError(
            "labels are of another grid than the tokens",
            expected="×".join(map(str, seen.shape[:-1])),
            found="×".join(map(str, data.labels.shape)),
            fix="give a class for each token of this encoder, or one a tile",
        )
    head.standardise_by(seen[torch.from_numpy(known)])

    useful = np.flatnonzero(known.reshape(len(data), -1).any(1))
    learned = list(adapted.trained().values())
    groups = [{"params": head.parameters(), "lr": recipe.head_rate}]
    if learned:
        groups.append({"params": learned, "lr": recipe.rate})
    optimiser = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    peaks = [group["lr"] for group in optimiser.param_groups]
    for step in range(recipe.steps):
        rng = np.random.default_rng([recipe.seed, step])
        inputs, labels = _drawn(data, described, useful, recipe, rng)
        share = _schedule(step, recipe)
        for group, peak in zip(optimiser.param_groups, peaks, strict=True):
            group["lr"] = share * peak
        answers = head(adapted(*inputs)["tokens"])
        loss = F.cross_entropy(answers.flatten(0, -2), labels.flatten(), ignore_index=NO_CLASS)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InternalError(f"the loss is not finite at step {step}", fix="lower the rate")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], 1.0)
        optimiser.step()
        tell(step, value)
    adapted.eval()
    return head.eval()


def fit_statistics(adapted: Adapted, data: Labelled) -> str:
    """DEFLECT's statistics of the training set; the features that never change there, of a band that is constant or was
    never measured, as text. One that was trained before goes on with the statistics it knows.
    """
    if not isinstance(adapted, Deflected) or adapted.fitted:
        return ""
    return ", ".join(adapted.fit_statistics(data.batches(), constant="zero").constant)


@torch.no_grad()
def logits(adapted: Adapted, head: LinearTokenHead, data: Labelled) -> FloatArray:
    """N×K, or N×h×w×K."""
    found = [head(adapted(*batch)["tokens"]) for batch in data.batches()]
    return np.asarray(torch.cat(found).numpy(), np.float32)


def _schedule(step: int, recipe: TaskRecipe) -> float:
    warmup = recipe.warmup * recipe.steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, recipe.steps - warmup)))


def _inputs(data: Labelled, index: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.from_numpy(np.ascontiguousarray(data.pixels[index], np.float32)),
        torch.from_numpy(data.present[index].astype(np.float32)),
        torch.from_numpy(data.validity[index].astype(np.float32)),
    )


@torch.no_grad()
def _described(adapted: Adapted, data: Labelled) -> Tensor | None:
    """What of every tile stays as it is, found once and not at every step: for DEFLECT a third of a step."""
    found = [adapted.described(*batch) for batch in data.batches()]
    kept = [part for part in found if part is not None]
    return torch.cat(kept) if kept else None


def _drawn(
    data: Labelled,
    described: Tensor | None,
    useful: npt.NDArray[np.int64],
    recipe: TaskRecipe,
    rng: np.random.Generator,
) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor | None], Tensor]:
    """What an adapter takes of a batch of different tiles, and their labels, all turned alike."""
    size = min(recipe.batch, len(useful))
    index = rng.choice(useful, size, replace=False)
    pixels, present, validity = _inputs(data, index)
    labels = torch.from_numpy(np.ascontiguousarray(data.labels[index]))
    known = None if described is None else described[torch.from_numpy(index)]
    if recipe.turns and pixels.shape[2] == pixels.shape[3]:
        quarter, mirror = int(rng.integers(4)), bool(rng.integers(2))
        turned = [_turned(x, quarter, mirror) for x in (pixels, validity)]
        pixels, validity = turned
        labels = _turned(labels, quarter, mirror) if labels.ndim == 3 else labels
        known = None if known is None else _turned(known.movedim(-1, 1), quarter, mirror).movedim(1, -1)
    return (pixels, present, validity, known), labels


def _turned(x: Tensor, quarter: int, mirror: bool) -> Tensor:
    x = torch.rot90(x, quarter, (-2, -1))
    return x.flip(-1) if mirror else x
