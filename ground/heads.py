"""Heads: small networks on decoded embeddings, run by ONNX Runtime on the CPU.

A head is `heads/<name>.onnx` of a package beside its card `<name>.json`. It binds to planes by space_id: a head that was
trained on another space than the file's is left out, and the report says so.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.bitstream.header import FileHeader
from codec.errors import Corrupt, InputError, LimitExceeded
from codec.package import Package
from codec.types import BoolArray, Embedding, FloatArray

MAX_HEAD_BYTES = 64 << 20  # a head is small; a larger file is a mistake or a trap for the parser
BATCH_TILES = 256


@dataclass(frozen=True, slots=True)
class Head:
    """A head and its card."""

    name: str
    level: str  # "tile" or "token"
    classes: tuple[str, ...]
    colours: tuple[str, ...]  # "#rrggbb", one per class; empty: the palette's
    space_ids: Mapping[str, str]  # plane name → space_id, hex
    model: bytes
    sha256: str  # over model and card: what a product made with this head depends on

    def fits(self, header: FileHeader, planes: Mapping[str, int]) -> bool:
        """Whether all planes that it binds to are in the file, under the same space_id. `planes`: name → index."""
        return all(
            name in planes and header.planes[planes[name]].space_id.hex() == space_id
            for name, space_id in self.space_ids.items()
        )


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a head says."""

    head: Head
    probabilities: FloatArray  # N×classes, or N×h×w×classes; 0 where invalid
    validity: BoolArray  # N, or N×h×w


def load_heads(package: Package) -> list[Head]:
    """All heads that the package's manifest lists, by name. Raises Corrupt for a broken card."""
    names = [name for name in package.names("heads/") if name.endswith(".onnx")]
    return [_load(package.path(name), package.path(name.removesuffix(".onnx") + ".json")) for name in names]


def run_head(head: Head, embeddings: Mapping[str, Embedding]) -> Prediction:
    """Class probabilities of every valid tile or token.

    One thread, fixed batches: the same numbers on every run of one machine. Raises InputError when the model's
    inputs or outputs are not what its card says.
    """
    session = _session(head)
    inputs = [node.name for node in session.get_inputs()]
    if missing := sorted(set(inputs) - set(embeddings)):
        raise InputError(f"head {head.name} asks for planes that the file does not have", found=missing)
    used = [embeddings[name] for name in inputs]
    n_tiles = len(used[0].values)
    logits = [
        session.run(["logits"], {e_name: e.values[i : i + BATCH_TILES] for e_name, e in zip(inputs, used, strict=True)})[0]
        for i in range(0, n_tiles, BATCH_TILES)
    ]  # fmt: skip
    scores = np.concatenate(logits).astype(np.float32)
    validity = _validity(head, used)
    if scores.shape != (*validity.shape, len(head.classes)):
        raise InputError(
            f"head {head.name} gives logits of another shape than its card says",
            expected=(*validity.shape, len(head.classes)), found=scores.shape,
        )  # fmt: skip
    return Prediction(head, np.where(validity[..., None], _softmax(scores), np.float32(0)), validity)


def _validity(head: Head, used: list[Embedding]) -> BoolArray:
    tiles = np.logical_and.reduce([e.validity.any(axis=(1, 2)) for e in used])
    if head.level == "tile":
        return np.asarray(tiles)
    grid = used[0].validity.copy()
    for other in used[1:]:
        if other.validity.shape == grid.shape:
            grid &= other.validity
    return np.asarray(grid & tiles[:, None, None])


def _softmax(scores: FloatArray) -> npt.NDArray[np.float32]:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float32)


def _load(path: Path, card_path: Path) -> Head:
    if path.stat().st_size > MAX_HEAD_BYTES:
        raise LimitExceeded(
            "the head is too large",
            path=path,
            expected=f"at most {MAX_HEAD_BYTES} bytes",
            found=path.stat().st_size,
        )
    model = path.read_bytes()
    try:
        text = card_path.read_bytes()
        card: dict[str, Any] = json.loads(text)
        head = Head(
            name=str(card["name"]), level=str(card["level"]), classes=tuple(map(str, card["classes"])),
            colours=tuple(map(str, card.get("colours", ()))),
            space_ids={str(k): str(v) for k, v in card["space_ids"].items()}, model=model,
            sha256=hashlib.sha256(hashlib.sha256(model).digest() + text).hexdigest(),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(
            f"the card of a head cannot be read ({type(error).__name__}: {error})", path=card_path,
            fix="build the package again",
        ) from error  # fmt: skip
    if not all(re.fullmatch(r"#[0-9a-fA-F]{6}", colour) for colour in head.colours):
        raise Corrupt("a head's colours are written #rrggbb", path=card_path, found=head.colours)
    if head.level not in ("tile", "token") or not 2 <= len(head.classes) <= 254 or not head.space_ids:
        raise Corrupt(
            "a head has level tile or token, 2 to 254 classes and at least one plane", path=card_path,
            found=(head.level, len(head.classes), len(head.space_ids)),
        )  # fmt: skip
    return head


def _session(head: Head) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(head.model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own kinds, none of them public
        raise InputError(f"head {head.name} cannot be loaded: {str(error).splitlines()[0]}") from error
