"""Identities (§9): canonical JSON, and the ids formed with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nec_reference.refusals import Unsupported

Json = None | bool | int | str | Sequence["Json"] | Mapping[str, "Json"]


def canonical_json(value: Json) -> bytes:
    """UTF-8, keys sorted by code point, no white space, non-ASCII as is; floats are refused."""
    _refuse_floats(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8")


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        raise TypeError("canonical JSON holds no floats")
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        _refuse_floats(child)


def entry_id(entry: Json) -> bytes:
    """First 8 bytes of SHA-256 over the canonical JSON of the entry."""
    return hashlib.sha256(canonical_json(entry)).digest()[:8]


def space_id(
    *,
    adapter_sha256: str | None,
    bands: list[str],
    encoder_sha256: str,
    plane: str,
    preprocessing: str,
) -> bytes:
    """What heads bind to."""
    return entry_id(
        {
            "adapter": adapter_sha256,
            "bands": list(bands),
            "encoder": encoder_sha256,
            "plane": plane,
            "preprocessing": preprocessing,
        }
    )


def codec_id(tables: bytes, transform_sha256: str) -> bytes:
    """What a decoder needs."""
    return entry_id({"tables": hashlib.sha256(tables).hexdigest(), "transform": transform_sha256})


@dataclass(frozen=True)
class Package:
    """What a decoder has: the parts of a model package that §9 says decoding needs.

    `tables` is None where the file must bring its own. `n_bands` None: the band list is not known.
    """

    tables: bytes | None
    transform_sha256: str
    n_bands: int | None = None
    lifting: str = "none"  # of planes of kind integer, §8.3
    predicts: bool = False  # declares prediction, §8.2

    def check(self) -> None:
        if self.predicts:
            raise Unsupported("the package predicts coefficients")
        if self.lifting not in ("none", "left", "linear"):
            raise Unsupported(f"lifting {self.lifting}")
