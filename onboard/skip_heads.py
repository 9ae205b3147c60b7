"""Token heads on board: read from a package by the manifest's hashes, bound to its embedding spaces, run on latents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from codec.errors import Corrupt, IdentityError, InputError
from codec.onnx_session import open_session
from codec.package.files import read_checked
from codec.types import BoolArray, FloatArray, Latent
from onboard.graph import check_graph

if TYPE_CHECKING:
    from codec.package import Package

_MAX_HEAD_BYTES = 64 << 20  # as on the ground: a larger file is a mistake, or a trap for the parser
_MAX_CARD_BYTES = 1 << 20
_BATCH = 256  # tiles whose embeddings are in memory at a time


@dataclass(frozen=True, slots=True)
class HeadCard:
    """What the card of a head says that matters on board."""

    name: str
    level: str  # "token" or "tile"
    classes: tuple[str, ...]
    space_ids: Mapping[str, str]  # plane → hex
    must_not: str


def read_cards(package: Package) -> list[HeadCard]:
    """Of all heads that the manifest lists. Raises Corrupt for a card that cannot be read."""
    return [_read_card(package, name) for name in package.names("heads/") if name.endswith(".onnx")]


def _read_card(package: Package, graph: str) -> HeadCard:
    name = graph.removesuffix(".onnx") + ".json"
    path = package.path(name)
    data = read_checked(package.folder, name, package.manifest.files[name], _MAX_CARD_BYTES)
    try:
        raw: Any = json.loads(data)
        card = HeadCard(
            Path(graph).stem, str(raw["level"]), tuple(map(str, raw["classes"])),
            {str(plane): str(space) for plane, space in raw["space_ids"].items()},
            str(raw.get("must_not_be_used_for", "")),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Corrupt(
            "the card of a head cannot be read", path=path, fix="build the package again"
        ) from error
    if card.level not in ("token", "tile") or len(set(card.classes)) != len(card.classes):
        raise Corrupt(
            "a head has level tile or token, and classes of different names", path=path,
            found=(card.level, card.classes),
        )  # fmt: skip
    return card


class TokenHead:
    """A token head, ready to run on one thread: the same numbers on every run of one machine."""

    def __init__(self, package: Package, card: HeadCard) -> None:
        """Raises IdentityError for other embedding spaces, InputError for planes that its card does not name; Corrupt,
        LimitExceeded, UnsupportedVersion and InputError for a graph that is broken or that no payload may load;
        BackendUnavailable without onnxruntime.
        """
        name = f"heads/{card.name}.onnx"
        path = package.path(name)
        ours = {plane: space.hex() for plane, space in package.space_ids.items()}
        if not card.space_ids or not card.space_ids.items() <= ours.items():
            raise IdentityError(
                f"head {card.name!r} was made for other embedding spaces than package {package.name!r} has",
                path=path,
                expected=ours,
                found=dict(card.space_ids),
                fix="fit the head on this package",
            )
        data = read_checked(package.folder, name, package.manifest.files[name], _MAX_HEAD_BYTES)
        check_graph(data, path)
        self.card, self.package = card, package
        self._session = open_session(data, path=path, what=f"the head {card.name}", threads=1)
        self._planes = [node.name for node in self._session.get_inputs()]
        readable = card.space_ids.keys() & package.transforms.keys()
        grids = {(p.spec.rows, p.spec.cols) for p in package.planes if p.name in self._planes}
        if not set(self._planes) <= readable or len(grids) != 1:
            raise InputError(
                f"head {card.name!r} does not read planes of one grid that its card names",
                path=path,
                expected=", ".join(card.space_ids),
                found=", ".join(self._planes),
            )

    def probabilities(
        self, latents: Sequence[Latent], own: Mapping[int, BoolArray]
    ) -> tuple[FloatArray, BoolArray]:
        """N×h×w×classes, and N×h×w which tokens all its planes have; tiles without one are not run and are 0."""
        by_number = {latent.plane: latent for latent in latents}
        used = {name: by_number[self.package.plane_index(name)] for name in self._planes}
        known: BoolArray = np.logical_and.reduce([own[latent.plane] for latent in used.values()])
        found = np.zeros((*known.shape, len(self.card.classes)), np.float32)
        tiles = np.flatnonzero(known.any(axis=(1, 2)))
        for start in range(0, len(tiles), _BATCH):
            part = tiles[start : start + _BATCH]
            found[part] = self._run({name: self._embedding(name, of, part) for name, of in used.items()})
        return found, known

    def _embedding(self, name: str, latent: Latent, part: npt.NDArray[np.int64]) -> FloatArray:
        values = self.package.transforms[name].synthesise(latent.values[part])
        values[~latent.token_validity[part]] = 0  # as the ground hands them to heads
        return values

    def _run(self, embeddings: Mapping[str, FloatArray]) -> FloatArray:
        try:
            logits = np.asarray(self._session.run(["logits"], dict(embeddings))[0], np.float64)
        except Exception as error:  # onnxruntime raises its own, undocumented, types
            raise InputError(
                f"head {self.card.name!r} cannot be run: {str(error).splitlines()[0][:200]}",
                fix="build the package again",
            ) from error
        n, rows, cols, _ = next(iter(embeddings.values())).shape
        wanted = (n, rows, cols, len(self.card.classes))
        if logits.shape != wanted or not np.isfinite(logits).all():
            raise InputError(
                f"head {self.card.name!r} does not give finite logits as its card says",
                expected=wanted,
                found=logits.shape,
            )
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)
