"""Encoder files: safetensors with the architecture in the header; nothing is guessed when one is read."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from codec.atomic import write_atomic
from codec.errors import Corrupt, InputError
from codec.models.strict import load_strict
from codec.models.vit import Encoder, EncoderConfig

FORMAT = "swathpack-encoder-1"
_FIELDS = ("tile", "patch", "width", "depth", "heads", "mlp_ratio", "registers")
_LARGEST_HEADER = 1 << 20


def save_encoder(encoder: Encoder, path: Path, *, half: bool = False) -> None:
    """Write the weights, float32 or (half) float16, whole or not at all. The file depends on the weights
    only.
    """
    config = encoder.config
    metadata = {"format": FORMAT, "bands": ",".join(config.bands), "stem": config.stem}
    metadata |= {field: str(getattr(config, field)) for field in _FIELDS}
    kind = torch.float16 if half else torch.float32
    tensors = {
        key: value.detach().to(kind).contiguous() for key, value in sorted(encoder.state_dict().items())
    }
    write_atomic(path, sorted_header(save(tensors, metadata=metadata)))


def sorted_header(data: bytes) -> bytes:
    """A safetensors file whose bytes depend on what it holds: the library orders the metadata anew in every run."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def read_config(data: bytes, path: Path) -> EncoderConfig:
    """Architecture fields of an encoder file's header."""
    try:
        (length,) = struct.unpack_from("<Q", data)
        if length > min(_LARGEST_HEADER, len(data) - 8):
            raise ValueError("header length beyond the file")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        if metadata.get("format") != FORMAT:
            raise ValueError(f"format is {metadata.get('format')!r}, not {FORMAT!r}")
        numbers = {field: int(metadata[field]) for field in _FIELDS}
        bands, stem = tuple(metadata["bands"].split(",")), str(metadata["stem"])
    except (struct.error, ValueError, KeyError, AttributeError) as error:
        raise Corrupt(
            f"not an encoder file: {error}", path=path, fix="use encoder.safetensors of a model package"
        ) from error
    return EncoderConfig(bands=bands, stem=stem, **numbers)


def load_encoder(path: Path) -> Encoder:
    """Read an encoder strictly: every tensor of the architecture, no other, in its shape and finite;
    float32, eval mode.

    Raises InputError (unreadable, or a tensor missing, unexpected or misshapen, by name) and Corrupt (not an
    encoder file).
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path) from error
    encoder = Encoder(read_config(data, path))
    try:
        state = load(data)
    except SafetensorError as error:
        raise Corrupt(f"not an encoder file: {error}", path=path) from error
    load_strict(encoder, {key: value.float() for key, value in state.items()}, path)
    return encoder.eval().requires_grad_(False)
