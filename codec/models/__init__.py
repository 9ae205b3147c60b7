"""Encoders, their weights, and running them over tiles. torch is imported when something here is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codec.models.inference import embed
    from codec.models.vit import Encoder, EncoderConfig
    from codec.models.weights import load_encoder, save_encoder

__all__ = ["Encoder", "EncoderConfig", "embed", "load_encoder", "save_encoder"]

_HOME = {
    "Encoder": "vit",
    "EncoderConfig": "vit",
    "embed": "inference",
    "load_encoder": "weights",
    "save_encoder": "weights",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module codec.models has no attribute {name}")
    from importlib import import_module

    return getattr(import_module(f"codec.models.{_HOME[name]}"), name)
