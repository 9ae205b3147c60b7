"""Adapter files: safetensors with the adapter's tensors only; what they mean, and of which base, stands in the header.

    format      "swathpack-adapter-1"
    method      deflect, lora, …
    settings    JSON of the method's settings (`codec.adapt.types`)
    bands       canonical names in the order of the pixels, joined by commas
    base        SHA-256 over the tensors of the encoder that it was trained on (`Adapted.base_sha256`)
    encoder     SHA-256 of that encoder's file, or empty
    statistics  JSON of `PatchStatistics.definition`, formulas included, or empty
    packing     "none", "int8" or "int4"
    shapes      JSON, shapes of the packed tensors by name

Equal adapters give equal bytes: tensors and header keys are sorted.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from codec.adapt.adapted import Adapted, require_base, weights_sha256
from codec.adapt.packing import PACKINGS, Packing, pack_state, unpack_state
from codec.adapt.patch_statistics import PatchStatistics
from codec.adapt.registry import apply, base_of
from codec.adapt.types import METHODS, Method, Settings, settings_of
from codec.atomic import write_atomic
from codec.errors import Corrupt, IdentityError, InputError, LimitExceeded, SwathpackError
from codec.models.weights import sorted_header

FORMAT = "swathpack-adapter-1"
MAX_BYTES = 1 << 30  # full fine-tuning of a ViT-L stores about as much
_LARGEST_HEADER = 1 << 20
_KEYS = ("method", "settings", "bands", "base", "encoder", "statistics", "packing", "shapes")


@dataclass(frozen=True)
class AdapterFile:
    """An adapter as it is stored: everything but the base."""

    method: Method
    settings: Settings
    bands: tuple[str, ...]
    base_sha256: str  # of the base's tensors
    tensors: Mapping[str, Tensor]  # by name; floats are float32
    encoder_sha256: str = ""  # of the base's file
    statistics: Mapping[str, Any] | None = None
    packing: Literal["none", "int8", "int4"] = field(default="none")  # of the file it came from


def encode_adapter(adapted: Adapted, *, encoder_sha256: str = "", packing: Packing | None = None) -> bytes:
    """The file's bytes. `encoder_sha256`: of the file of the base; `packing`: None stores float32.

    Raises InputError for tensors that are not finite, statistics that were never fitted, and another packing.
    """
    if packing is not None and packing not in PACKINGS:
        raise InputError(
            f"no packing is called {packing!r}", expected=", ".join(PACKINGS), fix="leave it out for float32"
        )
    statistics = next((m for m in adapted.modules() if isinstance(m, PatchStatistics)), None)
    if statistics is not None and not statistics.fitted:
        raise InputError(
            "the adapter's statistics of the training set are missing",
            fix="call fit_statistics with the training set before the adapter is trained and stored",
        )
    state, shapes = adapted.state(), dict[str, list[int]]()
    if packing is not None:
        state, shapes = pack_state(state, packing)
    metadata = {
        "format": FORMAT,
        "method": adapted.method,
        "settings": _json(adapted.settings.model_dump(mode="json")),
        "bands": ",".join(adapted.bands),
        "base": adapted.base_sha256,
        "encoder": encoder_sha256,
        "statistics": "" if statistics is None else _json(statistics.definition()),
        "packing": packing or "none",
        "shapes": _json(shapes),
    }
    tensors = {name: state[name].detach().cpu().contiguous() for name in sorted(state)}
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise InputError(f"tensor {name} holds values that are not finite", fix="train again")
    return sorted_header(save(tensors, metadata=metadata))


def save_adapter(
    adapted: Adapted, path: Path, *, encoder_sha256: str = "", packing: Packing | None = None
) -> int:
    """Write the file, whole or not at all; returns its size in bytes. Raises as `encode_adapter` and `write_atomic`."""
    data = encode_adapter(adapted, encoder_sha256=encoder_sha256, packing=packing)
    write_atomic(Path(path), data)
    return len(data)


def read_adapter(path: Path) -> AdapterFile:
    """Read and check a file. Raises InputError (unreadable, settings unknown), LimitExceeded, and Corrupt naming the tensor
    or the key of the header that is not as it must be.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LimitExceeded("the adapter file is too large", path=path, expected=f"at most {MAX_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path) from error
    try:
        return decode_adapter(data)
    except SwathpackError as error:
        error.path = str(path)
        raise


def decode_adapter(data: bytes) -> AdapterFile:
    """As `read_adapter`, from bytes."""
    metadata = _metadata(data)
    try:
        tensors = load(data)
        settings, shapes = json.loads(metadata["settings"]), json.loads(metadata["shapes"])
        statistics = json.loads(metadata["statistics"]) if metadata["statistics"] else None
    except (SafetensorError, ValueError, RecursionError) as error:
        raise Corrupt(f"not an adapter file: {error}", fix="fetch the file again") from error
    method, packing = metadata["method"], metadata["packing"]
    if method not in METHODS:
        raise InputError("the adapter's method is not known", expected=", ".join(METHODS), found=method)
    if packing in PACKINGS:
        tensors = unpack_state(tensors, _checked_shapes(shapes), packing)
    elif packing != "none" or shapes != {}:
        raise Corrupt("the adapter's packing is not known", expected="none, int8 or int4", found=packing)
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise Corrupt(f"tensor {name} holds values that are not finite", fix="fetch the file again")
    return AdapterFile(
        method=method,
        settings=settings_of(method, settings),
        bands=tuple(metadata["bands"].split(",")),
        base_sha256=metadata["base"],
        tensors=tensors,
        encoder_sha256=metadata["encoder"],
        statistics=statistics,
        packing=packing,  # type: ignore[arg-type]  # checked above
    )


def load_adapter(path: Path, encoder: nn.Module, *, encoder_sha256: str | None = None) -> Adapted:
    """The adapter on its base, in eval mode. `encoder` is an encoder, or what `base_of` made of it.

    `encoder_sha256`: the SHA-256 of the file it was read from; where both are known they must agree. Raises IdentityError
    for another base, InputError naming the first tensor that is missing, unexpected, misshapen or not finite, and as
    `read_adapter`.
    """
    stored = read_adapter(path)
    try:
        return restored(stored, encoder, encoder_sha256)
    except SwathpackError as error:
        error.path = error.path or str(path)
        raise


def restored(stored: AdapterFile, encoder: nn.Module, encoder_sha256: str | None = None) -> Adapted:
    """As `load_adapter`, of a file that was read."""
    if encoder_sha256 and stored.encoder_sha256 and encoder_sha256 != stored.encoder_sha256:
        raise IdentityError(
            "the adapter was trained on another encoder file",
            expected=stored.encoder_sha256[:16],
            found=encoder_sha256[:16],
            fix="use the package whose encoder.safetensors has that hash, or train an adapter for this one",
        )
    base = base_of(encoder)
    require_base(stored.base_sha256, weights_sha256(base.encoder))  # before its bands and widths are compared
    statistics = None if stored.statistics is None else PatchStatistics.from_definition(stored.statistics)
    if statistics is not None and statistics.bands != stored.bands:
        raise Corrupt(
            "the adapter's statistics are of other bands than the adapter", fix="fetch the file again"
        )
    adapted = apply(base, stored.method, stored.bands, stored.settings, statistics=statistics)
    adapted.load_state(stored.tensors, stored.base_sha256)
    if statistics is not None and statistics.patch != adapted.patch:
        raise Corrupt(
            f"the adapter's statistics are of patches of {statistics.patch} pixels",
            expected=adapted.patch,
            fix="fetch the file again",
        )
    return adapted.eval()


def _metadata(data: bytes) -> dict[str, str]:
    try:
        (length,) = struct.unpack_from("<Q", data)
        if length > min(_LARGEST_HEADER, len(data) - 8):
            raise ValueError("header length beyond the file")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        if metadata.get("format") != FORMAT:
            raise ValueError(f"format is {metadata.get('format')!r}, not {FORMAT!r}")
        found = {key: metadata[key] for key in _KEYS}
        if not all(isinstance(value, str) for value in found.values()):
            raise ValueError("metadata is text")
    except (struct.error, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise Corrupt(f"not an adapter file: {error}", fix="use a file that save_adapter wrote") from error
    return found


def _checked_shapes(shapes: Any) -> dict[str, list[int]]:
    legal = isinstance(shapes, dict) and all(
        isinstance(shape, list)
        and len(shape) >= 2
        and all(type(size) is int and 1 <= size < 1 << 31 for size in shape)
        for shape in shapes.values()
    )
    if not legal:
        raise Corrupt("the adapter's shapes are not legal", found=repr(shapes)[:80])
    return dict(shapes)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
