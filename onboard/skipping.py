"""Tokens that need not be sent: a token head of the package judges every token on board, before anything is quantised.

`SkipRule.parse("cloud=0.9")` asks that tokens which a head gives more than 0.9 of class cloud are left out. They become
invalid, as tokens without data are: a masked token of a tile that is partly sent is filled smoothly, a tile that is
skipped as a whole costs a bit of its record's mask (bitstream §5.1). A file does not say why a token is not in it.

The token mask of a tile that is partly sent takes up to nine bytes a plane, at coarse qualities more than its tokens did; so
a part of a tile is left out only where that saves (`skip_cost`).

The head sees the embeddings as the encoder made them, uncompressed; on the ground it would see what the steps left of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codec.bitstream.derived import derived_invalid
from codec.errors import InputError, UsageError
from codec.types import MAX_TOKENS_SIDE, BoolArray, Latent, TileGrid
from onboard.skip_cost import saving
from onboard.skip_heads import HeadCard, TokenHead, read_cards

if TYPE_CHECKING:
    from codec.package import Package


@dataclass(frozen=True, slots=True)
class SkipRule:
    """Leave out tokens that are of a class with more than this probability. Raises UsageError for another threshold."""

    label: str  # of the class
    threshold: float  # in (0, 1]; 1 leaves nothing out
    head: str = ""  # its name; empty: the only token head of the package that has such a class

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:  # false for NaN too
            raise UsageError(
                f"the probability above which {self.name} is not sent lies above 0 and is at most 1",
                found=self.threshold,
                fix="write e.g. cloud=0.9",
            )

    @property
    def name(self) -> str:
        return f"{self.head}/{self.label}" if self.head else self.label

    @classmethod
    def parse(cls, text: str) -> SkipRule:
        """CLASS=PROBABILITY or HEAD/CLASS=PROBABILITY. Raises UsageError for anything else."""
        name, _, number = text.rpartition("=")
        head, slash, label = name.rpartition("/")
        try:
            threshold = float(number)
        except ValueError:
            threshold = math.nan
        if not label or (slash and not head) or math.isnan(threshold):
            raise UsageError(
                f"{text!r} is not CLASS=PROBABILITY or HEAD/CLASS=PROBABILITY", fix="write e.g. cloud=0.9"
            )
        return cls(label, threshold, head)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Latents whose skipped tokens are invalid, and what was skipped."""

    latents: tuple[Latent, ...]
    tokens: int  # own measured tokens before, on the finest grid
    skipped_tokens: int  # of them
    dear_tokens: int  # that a rule leaves out, sent all the same: their tile's token mask would take more than it saves
    skipped_tiles: int  # that had a measured token and have none left
    by_rule: Mapping[
        str, int
    ]  # rule → tokens of its head's grid, sent or not; a token may count under several
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        return {
            "tokens": self.tokens,
            "skipped_tokens": self.skipped_tokens,
            "dear_tokens": self.dear_tokens,
            "skipped_tiles": self.skipped_tiles,
            "by_rule": dict(self.by_rule),
        }


class TokenSkipper:
    """Rules of one package, its heads loaded and checked: made before a scene is read, so that a mistake costs nothing."""

    def __init__(self, package: Package, rules: Sequence[SkipRule]) -> None:
        """Raises InputError for a class that no token head has, or several have, and for rules that repeat; IdentityError
        for a head of other embedding spaces; Corrupt, LimitExceeded and UnsupportedVersion for files of a head that are
        broken or that no payload may load; BackendUnavailable without onnxruntime.
        """
        self.package = package
        sides = [(plane.spec.rows, plane.spec.cols) for plane in package.planes]
        self._grid = math.lcm(*(rows for rows, _ in sides)), math.lcm(*(cols for _, cols in sides))
        if max(self._grid) > MAX_TOKENS_SIDE:
            raise InputError(
                "the planes of the package share no grid that tokens could be skipped on",
                expected=f"at most {MAX_TOKENS_SIDE} tokens a side",
                found=sides,
            )
        cards = read_cards(package)
        self._rules = [(rule, _card_for(package, cards, rule)) for rule in rules]
        repeated = [key for key, n in Counter((c.name, r.label) for r, c in self._rules).items() if n > 1]
        if repeated:
            raise InputError(f"class {'/'.join(repeated[0])} is given twice", fix="give one probability")
        self._heads = {card.name: TokenHead(package, card) for _, card in self._rules}

    def skip(self, latents: Sequence[Latent], grid: TileGrid, *, ladder_index: int | None = None) -> Skipped:
        """Every plane of the package once, with the tokens that a rule leaves out marked invalid; values as they were.

        With `ladder_index` only in tiles whose symbols and token mask together take fewer bits at this quality than the
        symbols alone did; without it everywhere. Raises InputError when a head gives something else than its card says,
        or no numbers.
        """
        own = {plane.plane: self._own(plane, grid) for plane in latents}
        measured = np.logical_and.reduce([self._lifted(known) for known in own.values()])
        out, by_rule = self._ruled_out(latents, own)
        out &= measured
        asked = int(out.sum())
        result = self._without(latents, measured, out)
        if ladder_index is not None and asked:
            out &= saving(self.package, latents, result, grid, ladder_index)[:, None, None]
            result = self._without(latents, measured, out)
        n_tiles = int((out.any(axis=(1, 2)) & ~(measured & ~out).any(axis=(1, 2))).sum())
        n = int(out.sum())
        found = Skipped(result, int(measured.sum()), n, asked - n, n_tiles, by_rule, ())
        return replace(found, notes=tuple(self._notes(found)))

    def _ruled_out(
        self, latents: Sequence[Latent], own: Mapping[int, BoolArray]
    ) -> tuple[BoolArray, dict[str, int]]:
        out = np.zeros((len(latents[0].values), *self._grid), bool)
        by_rule: dict[str, int] = {}
        judged = {name: head.probabilities(latents, own) for name, head in self._heads.items()}
        for rule, card in self._rules:
            probability, known = judged[card.name]
            chosen = known & (probability[..., card.classes.index(rule.label)] > rule.threshold)
            by_rule[f"{rule.name}={rule.threshold:g}"] = int(chosen.sum())
            out |= self._lifted(chosen)
        return out, by_rule

    def _own(self, latent: Latent, grid: TileGrid) -> BoolArray:
        return latent.token_validity & ~derived_invalid(grid, self.package.planes[latent.plane].spec)

    def _lifted(self, mask: BoolArray) -> BoolArray:
        """N×h×w on the grid that all planes share."""
        rows, cols = self._grid
        return mask.repeat(rows // mask.shape[1], axis=1).repeat(cols // mask.shape[2], axis=2)

    def _without(self, latents: Sequence[Latent], measured: BoolArray, out: BoolArray) -> tuple[Latent, ...]:
        """A token goes when something of it is out and nothing of it is left: coarser planes lose fewer."""
        left = measured & ~out
        found = []
        for latent in latents:
            n, rows, cols = latent.token_validity.shape
            shape = (n, rows, out.shape[1] // rows, cols, out.shape[2] // cols)
            gone = out.reshape(shape).any(axis=(2, 4)) & ~left.reshape(shape).any(axis=(2, 4))
            found.append(replace(latent, token_validity=latent.token_validity & ~gone))
        return tuple(found)

    def _notes(self, found: Skipped) -> list[str]:
        rules = ", ".join(f"{n} ruled out by {name}" for name, n in found.by_rule.items())
        emptied = f"{found.skipped_tiles} of {len(found.latents[0].values)} tiles"
        notes = [
            f"{found.skipped_tokens} of {found.tokens} tokens are not sent, which leaves nothing of {emptied} ({rules}); "
            "the ground sees them as not measured"
        ]
        if found.dear_tokens:
            more = "1 more token is" if found.dear_tokens == 1 else f"{found.dear_tokens} more tokens are"
            notes.append(f"{more} sent all the same: to say which they are takes more than they do")
        cards = [head.card for head in self._heads.values() if head.card.must_not]
        return notes + [
            f"the card of head {card.name} forbids its use for: {card.must_not}" for card in cards
        ]


def _card_for(package: Package, cards: Sequence[HeadCard], rule: SkipRule) -> HeadCard:
    named = [card for card in cards if not rule.head or card.name == rule.head]
    if not named:
        heads = ", ".join(card.name for card in cards) or "none"
        what = f"head {rule.head!r}" if rule.head else "head"
        raise InputError(f"package {package.name!r} has no {what}", expected=heads, found=rule.name)
    having = [card for card in named if rule.label in card.classes]
    fitting = [card for card in having if card.level == "token"]
    if having and not fitting:
        raise InputError(
            f"head {having[0].name!r} of package {package.name!r} judges tiles as a whole, not tokens",
            found=rule.name,
            fix="name a class of a token head",
        )
    if not fitting:
        known = [f"{card.name}/{label}" for card in named if card.level == "token" for label in card.classes]
        raise InputError(
            f"no token head of package {package.name!r} has a class {rule.label!r}",
            expected=", ".join(known) or "none",
            found=rule.name,
        )
    if len(fitting) > 1:
        raise InputError(
            f"several heads of package {package.name!r} have a class {rule.label!r}",
            found=", ".join(card.name for card in fitting),
            fix=f"write {fitting[0].name}/{rule.label}={rule.threshold:g}",
        )
    return fitting[0]
