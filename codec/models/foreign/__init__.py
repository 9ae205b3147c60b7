"""Encoders other people trained, read strictly from their published files; torch is imported when used.

    encoder = load_foreign("rvsa_millionaid_mae_vit_base", path)
    tokens = encoder.forward_tokens(pixels)  # patches N×L×D, class token N×D or None, grid

Which file has which tensors is data (`codec/models/layouts/*.json`, with repository and commit), never a product of
this code. `docs/foreign.md` lists the layouts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codec.models.foreign.encoder import ForeignEncoder, Tokens
    from codec.models.foreign.layout import Layout, layout_names, read_layout
    from codec.models.foreign.load import build, inspect, load_foreign
    from codec.models.foreign.mapping import MappingReport

__all__ = [
    "ForeignEncoder",
    "Layout",
    "MappingReport",
    "Tokens",
    "build",
    "inspect",
    "layout_names",
    "load_foreign",
    "read_layout",
]

_HOME = {
    "ForeignEncoder": "encoder",
    "Layout": "layout",
    "MappingReport": "mapping",
    "Tokens": "encoder",
    "build": "load",
    "inspect": "load",
    "layout_names": "layout",
    "load_foreign": "load",
    "read_layout": "layout",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module codec.models.foreign has no attribute {name}")
    from importlib import import_module

    return getattr(import_module(f"codec.models.foreign.{_HOME[name]}"), name)
