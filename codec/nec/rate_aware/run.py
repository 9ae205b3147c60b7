"""A training run that goes on from a finished one, its tokens now passing through the codec.

Loss at one quality = the terms of the run it starts from, of the *decoded* tokens, + weight · Σ worth · bits over
coefficients. What a bit is worth follows from the quality's steps and from how much the terms rise per unit of token error,
which is asked of them before the first step; no probe has a say. The quality changes from step to step, and each counts by
what its bits were worth at the start: what is made small is then the logarithm of the bytes at equal terms, at all rates
alike. Otherwise coarse qualities, where every term is large, would be served at the cost of fine ones.
Source: the idea of arXiv 2403.17886 (adapt the encoder to λ·D + R), with the codec's own transform instead of a density.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from codec.errors import InputError
from codec.nec.rate_aware.channel import Channel, Sent, worth_of_a_bit
from codec.nec.rate_aware.recipe import Adaptation
from codec.nec.recipe import check_same
from codec.pretrain.energy import Energy
from codec.pretrain.labels import Pool
from codec.pretrain.objectives import loss
from codec.pretrain.recipe import Recipe
from codec.pretrain.run import Run

_BATCHES = 6  # that say how the terms rise with the token error
_BATCH = 128  # views embedded at a time


class RateAwareRun(Run):
    """`Run` from the weights of another run's checkpoint, through a `Channel`."""

    def __init__(self, pool: Pool, start: Path, adaptation: Adaptation) -> None:
        state, digest = _start(start)
        recipe = Recipe.model_validate(
            {
                **state["recipe"],
                "name": adaptation.name,
                "seed": adaptation.seed,
                "schedule": adaptation.schedule.model_dump(),
            }
        )
        super().__init__(pool, recipe)
        if int(state["teacher_width"]) != pool.tokens.shape[-1]:
            raise InputError(
                "the pool was labelled by another teacher than the run's",
                path=start,
                expected=f"tokens of {int(state['teacher_width'])}",
                found=pool.tokens.shape[-1],
            )
        self.student.load_state_dict(state["student"])
        self.forward = self.student  # not compiled: what passes between encoder and heads is not torch alone
        self.adaptation, self.start = adaptation, digest
        self.energy = Energy(*state["energy"])  # an adapted encoder has cost what the one before it has, too
        self._samples = int(state["step"]) * Recipe.model_validate(state["recipe"]).schedule.batch
        self.channel: Channel | None = None
        self.slope = 0.0
        self.share: dict[int, float] = {}  # of each ladder index in the loss; their mean is 1
        self._index: int | None = None  # of the ladder; None: tokens pass as they are
        self._sent: Sent | None = None
        self.encoder.project.register_forward_hook(self._through)

    def _through(self, module: nn.Module, inputs: Any, tokens: Tensor) -> Tensor:
        if self.channel is None or self._index is None:
            return tokens
        self._sent = self.channel.send(tokens, self._index, learn=self.student.training)
        return self._sent.tokens

    def terms(self) -> dict[str, Tensor]:
        if not self.adaptation.weight:
            return super().terms()
        every = -(-self.recipe.schedule.steps // self.adaptation.refits)
        channel = self.channel
        if channel is None or self.step % every == 0:
            channel = self.refit()
        rng = np.random.default_rng([self.recipe.seed, self.step, 1])
        drawn = int(rng.choice(channel.indices))
        self._index = None if rng.random() < self.adaptation.unquantised else drawn
        self._sent = None
        terms = super().terms()
        share = self.share_of(min(self.share) if self._index is None else drawn)
        if self._sent is not None:
            terms["rate"] = self.adaptation.weight * self._price(self._sent)
        self._index = None
        return {name: share * term for name, term in terms.items()}

    def _price(self, sent: Sent) -> Tensor:
        """What all bits of a tile are worth in the loss."""
        return (worth_of_a_bit(sent.step, self.slope) * sent.bits).sum()

    def share_of(self, index: int) -> float:
        """Of a ladder index; one that a later fit added counts as its neighbour."""
        return self.share[min(max(index, min(self.share)), max(self.share))]

    @torch.no_grad()
    def refit(self) -> Channel:
        """Fit transform and tables to the tokens of now; before the first step, ask what token error costs."""
        self._index = None
        self.student.eval()
        n = len(self.pool.pixels)
        views = np.arange(0, n, max(1, n // self.adaptation.views))[: self.adaptation.views]
        tokens = np.concatenate(
            [self.embed(part) for part in np.array_split(views, -(-len(views) // _BATCH))]
        )
        side = self.encoder.config.side
        tokens = tokens.reshape(len(tokens), side, side, -1)
        self.channel = channel = Channel.fitted(
            tokens, self.adaptation.finest_bytes, self.adaptation.coarsest_bytes, self.device
        )
        if not self.slope:
            self.slope = self._slope(channel)
            self.share = self._shares(channel)
        self.student.train()
        return channel

    def _slope(self, channel: Channel) -> float:
        """Rise of the loss per unit of mean square token error, at the middle quality, over the next batches."""
        middle = channel.indices[len(channel.indices) // 2]
        rise = error = 0.0
        step = self.step
        for self.step in range(step, step + _BATCHES):
            inputs, targets = self.batch()
            for self._index in (None, middle):
                terms = loss(self.student(*inputs, self.compute), targets, self.recipe.objective)
                total = float(torch.stack(list(terms.values())).sum())
                rise += total if self._index is not None else -total
            assert self._sent is not None
            error += self._sent.error
        self.step, self._index, self._sent = step, None, None
        if not rise > 0:
            raise InputError(
                "the loss does not rise with the error of the tokens: there is nothing to weigh bits against",
                fix="start from a run that has been trained",
            )
        return rise / error

    def _shares(self, channel: Channel) -> dict[int, float]:
        """One over what the bits of the next batches are worth at each ladder index, scaled to mean 1."""
        price = dict.fromkeys(channel.indices, 0.0)
        step = self.step
        for self.step in range(step, step + _BATCHES):
            inputs, _ = self.batch()
            for self._index in channel.indices:
                self.student(*inputs, self.compute)
                assert self._sent is not None
                price[self._index] += float(self._price(self._sent))
        self.step, self._index, self._sent = step, None, None
        mean = sum(1 / value for value in price.values()) / len(price)
        return {index: 1 / value / mean for index, value in price.items()}

    @torch.no_grad()
    def embed(self, views: np.ndarray) -> np.ndarray:
        """Clean tokens n×L×C of some views."""
        pixels = self.pixels[torch.from_numpy(views)].float().to(self.device)
        bands = torch.from_numpy(np.asarray(self.pool.bands[views], np.float32)).to(self.device)
        validity = torch.ones(len(views), *pixels.shape[-2:], device=self.device)
        bf16 = self.compute == torch.bfloat16
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16):
            tokens = self.encoder.planes(pixels, bands, validity, finite=True)["tokens"]
        found: np.ndarray = tokens.float().flatten(1, 2).cpu().numpy()
        return found

    def state(self) -> dict[str, Any]:
        return {
            **super().state(),
            "adaptation": self.adaptation.model_dump(mode="json"),
            "start": self.start,
            "slope": self.slope,
            "share": self.share,
            "channel": None if self.channel is None else self.channel.state(),
        }

    def restore(self, state: Mapping[str, Any], path: Path) -> None:
        if "adaptation" not in state:
            raise InputError(
                "the checkpoint is of another kind of run", path=path, fix="choose another --out"
            )
        check_same(self.adaptation.model_dump(mode="json"), state["adaptation"], path)
        check_same({"start": self.start}, {"start": state["start"]}, path)
        super().restore(state, path)
        self.slope, self.share = float(state["slope"]), dict(state["share"])
        self.channel = None if state["channel"] is None else Channel.of_state(state["channel"], self.device)

    def report(self) -> dict[str, Any]:
        found = super().report()
        return {
            **found,
            "samples": self._samples + found["samples"],
            "adaptation": self.adaptation.model_dump(mode="json"),
            "start": self.start,
            "loss_per_token_error": self.slope,
        }


def _start(path: Path) -> tuple[dict[str, Any], str]:
    """A checkpoint of `python -m codec.pretrain train`, and the SHA-256 of its file."""
    try:
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        state = torch.load(path, map_location="cpu", weights_only=True)
        needed = {key: state[key] for key in ("recipe", "student", "teacher_width", "step", "energy")}
    except Exception as error:  # torch raises what its unpickler does
        raise InputError(
            f"not a checkpoint of a training run: {type(error).__name__}",
            path=path,
            fix="give checkpoint.pt of python -m codec.pretrain train",
        ) from error
    return needed, digest
