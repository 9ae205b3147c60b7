"""The package's heads on decoded embeddings: what a user would notice of an engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from codec.errors import Corrupt, InputError
from codec.onnx_session import open_session
from codec.types import Embedding
from onboard.graph import verified_graph

if TYPE_CHECKING:
    from codec.package import Package

_LEVELS = ("token", "tile")
_BATCH = 256


class PackageHead:
    """A head of the package that binds to the package's own planes."""

    def __init__(self, package: Package, name: str) -> None:
        """Raises Corrupt for a broken card or graph, InputError for one that no payload may load."""
        card_path, path = package.path(f"heads/{name}.json"), package.path(f"heads/{name}.onnx")
        try:
            card: Any = json.loads(card_path.read_bytes())
            self.level, self.spaces = str(card["level"]), dict(card["space_ids"])
        except (ValueError, KeyError, TypeError) as error:
            raise Corrupt(
                "the card of a head cannot be read", path=card_path, fix="build the package again"
            ) from error
        if self.level not in _LEVELS:
            raise Corrupt("a head has level tile or token", path=card_path, found=self.level)
        self.name = name
        data, _ = verified_graph(path, None)  # the package's own hashes were checked when it was loaded
        self._session = open_session(data, path=path, what=f"the head {name}", threads=1)
        self._inputs = [node.name for node in self._session.get_inputs()]

    def classes(self, embeddings: Mapping[str, Embedding]) -> npt.NDArray[np.int64]:
        """The most likely class of each valid token (N×h×w) or tile (N); −1 where invalid."""
        used = [embeddings[name] for name in self._inputs]
        n = len(used[0].values)
        parts = [
            self._session.run(
                ["logits"],
                {name: e.values[start : start + _BATCH] for name, e in zip(self._inputs, used, strict=True)},
            )[0]
            for start in range(0, n, _BATCH)
        ]
        found = np.concatenate(parts).argmax(axis=-1)
        valid = np.logical_and.reduce([e.validity for e in used])
        if self.level == "tile":
            valid = np.logical_and.reduce([e.validity.any(axis=(1, 2)) for e in used])
        if found.shape != valid.shape:
            raise InputError(
                f"head {self.name} gives logits of another shape than its card says",
                expected=valid.shape,
                found=found.shape,
            )
        return np.where(valid, found, -1)


def package_heads(package: Package) -> list[PackageHead]:
    """Heads whose card names the spaces of this package; others bind to something else and are left out."""
    ours = {name: space.hex() for name, space in package.space_ids.items()}
    names = [
        n.removeprefix("heads/").removesuffix(".onnx") for n in package.names("heads/") if n.endswith(".onnx")
    ]
    heads = [PackageHead(package, name) for name in names]
    return [head for head in heads if head.spaces.items() <= ours.items()]
