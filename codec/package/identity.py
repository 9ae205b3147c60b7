"""Identities (bitstream §9): canonical JSON, and the first 8 bytes of SHA-256 over it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from codec.errors import InputError

ID_BYTES = 8


def canonical_json(entry: Any) -> bytes:
    """UTF-8, keys sorted by code point, no white space between tokens, non-ASCII as is; floats are refused.

    Floats have no one text on all machines; give integers in a unit that the key names, or text.
    """
    _refuse_floats(entry, "")
    return json.dumps(
        entry, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def _refuse_floats(value: Any, where: str) -> None:
    if isinstance(value, float):
        raise InputError(
            f"a manifest holds no floats: {where or 'value'} is {value!r}",
            fix="use an integer and name its unit in the key, or text",
        )
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InputError(f"a manifest's keys are text: {key!r} in {where or 'the manifest'}")
            _refuse_floats(inner, f"{where}.{key}" if where else key)
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            _refuse_floats(inner, f"{where}[{number}]")
    elif value is not None and not isinstance(value, (str, bool, int)):
        raise InputError(f"a manifest cannot hold {type(value).__name__} (at {where or 'the top'})")


def entry_id(entry: Mapping[str, Any]) -> bytes:
    """`id(entry)`: 8 bytes."""
    return hashlib.sha256(canonical_json(entry)).digest()[:ID_BYTES]


def space_id(
    *,
    plane: str,
    bands: Sequence[str],
    preprocessing: str,
    encoder_sha256: str | None,
    adapter_sha256: str | None,
) -> bytes:
    """What heads bind to: the meaning of the numbers of one plane. Which bands a scene had never changes it."""
    return entry_id(
        {
            "adapter": adapter_sha256,
            "bands": list(bands),
            "encoder": encoder_sha256,
            "plane": plane,
            "preprocessing": preprocessing,
        }
    )


def codec_id(*, tables_sha256: str, transform_sha256: str) -> bytes:
    """What a decoder needs: the exact table file and transform."""
    return entry_id({"tables": tables_sha256, "transform": transform_sha256})
