"""Latents → `.nec` bytes and records → embeddings: the one composition that ground, arrays and commands share."""

from codec.pipeline.decoding import Decoded, decode
from codec.pipeline.encoding import encode
from codec.pipeline.nec_scene import NecScene, TokensMap, open_nec

open = open_nec  # noqa: A001 (the name that `codec.open` has)

__all__ = ["Decoded", "NecScene", "TokensMap", "decode", "encode", "open", "open_nec"]
