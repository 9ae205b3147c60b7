"""Adapters: an encoder that was trained on few bands learns to use all of them, with few parameters of its own.

    adapted = codec.adapt.apply(encoder, "deflect", bands=("blue", "green", "red", "nir", "swir16", "swir22"))
    tokens = adapted(pixels, present, validity)["tokens"]  # N×h×w×D

DEFLECT and its rivals share one call and one way to be stored; torch is imported when something here is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codec.adapt.adapted import Adapted
    from codec.adapt.registry import apply, base_of
    from codec.adapt.types import METHODS

__all__ = ["METHODS", "Adapted", "apply", "base_of"]

_HOME = {"METHODS": "types", "Adapted": "adapted", "apply": "registry", "base_of": "registry"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module codec.adapt has no attribute {name}")
    from importlib import import_module

    return getattr(import_module(f"codec.adapt.{_HOME[name]}"), name)
