"""Runs a package's `decoder.onnx` on decoded embeddings: numpy and ONNX Runtime, no torch.

Inputs, all float32, named: each plane by its name N×h×w×C (as decoded, 0 where invalid); `validity` N×h×w of the first
plane, in {0, 1}; `steps` N×Λ and `arrived` N×Λ in {0, 1}: one column for every layer of every plane, planes in the order
of the stream. Output: `refined_<first plane>` N×h×w×C. Metadata `swathpack.transform`: SHA-256 of the transform.npz whose
basis and means are in the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from codec.errors import Corrupt, LimitExceeded
from codec.onnx_session import open_session
from codec.package import Package
from codec.package.manifest import TRANSFORM
from codec.types import Embedding, FloatArray

DECODER = "decoder.onnx"
TRANSFORM_KEY = "swathpack.transform"
MAX_BYTES = 4 << 20  # four times what a network of 0.2 M parameters takes
BATCH_TILES = 64  # always the same pieces: the same numbers on every run of one machine


@dataclass
class OnnxRefinement:
    """A package's refinement as `codec.pipeline.decode` takes it; ONNX Runtime is loaded by the first call."""

    package: Package
    path: Path
    _session: Any = field(default=None, repr=False)

    def __call__(
        self, embeddings: Mapping[str, Embedding], steps: Mapping[str, FloatArray]
    ) -> dict[str, Embedding]:
        """The embeddings with other values of the first plane where it is valid; all else is what was given.

        `steps`: plane → N×layers, in embedding units. Raises BackendUnavailable without onnxruntime, Corrupt for a graph
        that does not load, that takes or gives something else than it should, or gives numbers that are not finite.
        """
        session = self._open()
        names = [entry.name for entry in self.package.planes]
        first = embeddings[names[0]]
        values = first.values.copy()
        tiles = np.flatnonzero(first.validity.any(axis=(1, 2)))
        every_step = np.concatenate([steps[name] for name in names], axis=1)
        arrived = np.concatenate([_arrived(embeddings[name], steps[name].shape[1]) for name in names], axis=1)
        for start in range(0, len(tiles), BATCH_TILES):
            part = tiles[start : start + BATCH_TILES]
            given = {name: embeddings[name].values[part] for name in names}
            given["validity"] = first.validity[part].astype(np.float32)
            given |= {"steps": every_step[part], "arrived": arrived[part]}
            values[part] = self._run(session, given, values[part].shape)
        values[~first.validity] = 0
        return {**embeddings, names[0]: replace(first, values=values)}

    def check(self) -> None:
        """Load the graph and compare its inputs and output with the package's planes. Raises as a call does."""
        self._open()

    def _open(self) -> Any:
        if self._session is None:
            # One thread: how a sum is split decides its last bit.
            session = open_session(self.path, what="the refinement", threads=1)
            planes = [entry.name for entry in self.package.planes]
            expected = {*planes, "validity", "steps", "arrived"}
            found = {node.name for node in session.get_inputs()}
            outputs = [node.name for node in session.get_outputs()]
            if found != expected or outputs != [f"refined_{planes[0]}"]:
                raise Corrupt(
                    "the refinement has other inputs or outputs than the package's planes ask for",
                    path=self.path,
                    expected=f"{', '.join(sorted(expected))} → refined_{planes[0]}",
                    found=f"{', '.join(sorted(found))} → {', '.join(outputs)}",
                    fix="export it again for this package",
                )
            made_for = session.get_modelmeta().custom_metadata_map.get(TRANSFORM_KEY)
            if made_for != transform_of(self.package):
                raise Corrupt(
                    "the refinement was made for another transform than the package's",
                    path=self.path,
                    expected=transform_of(self.package),
                    found=made_for or "none named",
                    fix="train and export it again for this package",
                )
            self._session = session
        return self._session

    def _run(self, session: Any, given: Mapping[str, FloatArray], shape: tuple[int, ...]) -> FloatArray:
        try:
            (out,) = session.run(None, dict(given))
        except Exception as error:  # onnxruntime raises its own, undocumented, types
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise Corrupt(f"the refinement does not run: {said[:200]}", path=self.path) from error
        if out.shape != shape or out.dtype != np.float32 or not np.isfinite(out).all():
            raise Corrupt(
                "the refinement gives something else than finite embeddings",
                path=self.path,
                expected=f"float32 {shape}",
                found=f"{out.dtype} {out.shape}",
            )
        return np.asarray(out, np.float32)


def transform_of(package: Package) -> str:
    """SHA-256 of the package's transform, hex, as its manifest has it."""
    return package.manifest.files[TRANSFORM].sha256


def _arrived(embedding: Embedding, n_layers: int) -> FloatArray:
    bits = np.arange(n_layers, dtype=np.uint16)
    return ((embedding.layers[:, None] >> bits) & 1).astype(np.float32)


def refinement_of(package: Package) -> OnnxRefinement | None:
    """The package's refinement; None where its manifest lists no decoder.onnx. Raises LimitExceeded for a large file."""
    if DECODER not in package.manifest.files:
        return None
    path = package.path(DECODER)
    if (size := path.stat().st_size) > MAX_BYTES:
        raise LimitExceeded(
            "the refinement is too large", path=path, expected=f"at most {MAX_BYTES} bytes", found=size
        )
    return OnnxRefinement(package, path)
