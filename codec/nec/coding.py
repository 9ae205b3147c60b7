"""A trained point as a codec: tiles to byte strings and back. What is given on is decoded from the bytes, never kept.

    point.pt   weights, integer tables and medians: what both ends share
    .nec24     "NEC24" 1 · u32 header length · header (JSON: point, tiles, tokens a tile, tiles a string) · u32 length of
               each string · strings · CRC32C of everything before

The published coder writes one string a tile. The repaired one may let neighbouring tiles share one: eight bytes a string are
nothing at 600 bytes a tile and a third of everything at 20.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codec.atomic import write_atomic
from codec.bitstream import core
from codec.errors import Corrupt, IdentityError, InputError, Truncated
from codec.nec.mae import MaskedAutoencoder
from codec.nec.patches import Tiles
from codec.nec.published import Nec2024, coded_part, decoded_sequence, patch_tokens
from codec.nec.recipe import Recipe

POINT = "point.pt"
_FORMAT = "swathpack-nec-2024-point-1"
_MAGIC = b"NEC24\x01"
_TABLES = ("_offset", "_quantized_cdf", "_cdf_length")
_BATCH = 64


@dataclass(frozen=True)
class Coder:
    """A frozen point."""

    recipe: Recipe
    model: Nec2024
    group: int = 1  # tiles that share a string

    @property
    def length(self) -> int:
        """Coded tokens a tile."""
        switches, c = self.recipe.switches, self.model.encoder.class_tokens
        return self.model.autoencoder.n_patches + (c if switches.class_token == "coded" else 0)

    @property
    def elements(self) -> int:
        """Coded numbers a tile: what bits per element are counted against."""
        return self.length * self.model.encoder.width

    @torch.no_grad()
    def embed(self, tiles: Tiles) -> Tensor:
        """y N×L×D of all patches: what `encode` codes."""
        parts = []
        for first in range(0, len(tiles), _BATCH):
            y = self.model.encoder.sequence(tiles.only(first, first + _BATCH), None)
            parts.append(coded_part(y, self.model.encoder.class_tokens, self.recipe.switches))
        return torch.cat(parts)

    def encode(self, y: Tensor) -> list[bytes]:
        """Strings of `group` tiles each, the last of what is left. Raises InputError naming a tile that is not finite."""
        if not bool(y.isfinite().all()):
            raise InputError(
                "activations are not finite",
                record=int((~y.isfinite()).flatten(1).any(1).nonzero()[0]),
                fix="leave the tile out as invalid",
            )
        return [
            self.model.bottleneck.compress(part.reshape(1, -1, y.shape[2]))[0] for part in y.split(self.group)
        ]

    def decode(self, strings: Sequence[bytes], n_tiles: int) -> Tensor:
        """ŷ N×L×D from strings that were checked."""
        left, parts = n_tiles, []
        for string in strings:
            count = min(self.group, left)
            parts.append(
                self.model.bottleneck.decompress([string], count * self.length).reshape(
                    count, self.length, -1
                )
            )
            left -= count
        return torch.cat(parts)

    def tokens(self, y_hat: Tensor) -> Tensor:
        """N×h×w×D, the class token left out: what heads see on the ground."""
        side = self.model.encoder.tile // self.model.encoder.patch
        found = patch_tokens(y_hat, self.model.encoder.class_tokens, self.recipe.switches)
        return found.reshape(-1, side, side, found.shape[2])

    @torch.no_grad()
    def decoder_tokens(self, y_hat: Tensor) -> Tensor:
        """N×h×w×E behind the first decoder block: what NEC's heads see "with decoder layer"."""
        sequence = decoded_sequence(y_hat, self.model.encoder.class_tokens, self.recipe.switches)
        side = self.model.encoder.tile // self.model.encoder.patch
        parts = [self.model.autoencoder.decoder.first(part) for part in sequence.split(_BATCH)]
        return torch.cat(parts).unflatten(1, (side, side))

    def pack(self, strings: Sequence[bytes], n_tiles: int) -> bytes:
        """A whole file."""
        head = {
            "point": self.model.bottleneck.identity(),
            "tiles": n_tiles,
            "tokens": self.length,
            "group": self.group,
        }
        text = json.dumps(head, sort_keys=True, separators=(",", ":")).encode()
        lengths = struct.pack(f"<{len(strings)}I", *map(len, strings))
        data = _MAGIC + struct.pack("<I", len(text)) + text + lengths + b"".join(strings)
        return data + struct.pack("<I", core.crc32c(data))

    def unpack(self, data: bytes, path: Path | None = None) -> tuple[list[bytes], int]:
        """Strings and the number of tiles. Raises Corrupt or Truncated, and IdentityError for the file of another point."""
        if data[: len(_MAGIC)] != _MAGIC[: len(data)]:
            raise Corrupt("not a file of this coder", path=path)
        start = len(_MAGIC) + 4
        if len(data) < start + 4:
            raise Truncated("the file ends inside its header", path=path, offset=len(data))
        if struct.unpack("<I", data[-4:])[0] != core.crc32c(data[:-4]):
            raise Corrupt("the checksum does not match", path=path, fix="send the file again")
        try:
            (size,) = struct.unpack_from("<I", data, len(_MAGIC))
            head = json.loads(data[start : start + size])
            n_tiles, group = int(head["tiles"]), int(head["group"])
            count = -(-n_tiles // group)
            at = start + size + 4 * count
            lengths = struct.unpack_from(f"<{count}I", data, start + size)
        except (ValueError, KeyError, TypeError, ZeroDivisionError, struct.error) as error:
            raise Corrupt(f"the header cannot be read ({type(error).__name__})", path=path) from error
        if head.get("point") != self.model.bottleneck.identity():
            raise IdentityError(
                "the file belongs to another point",
                path=path,
                expected=self.model.bottleneck.identity()[:16],
                found=str(head.get("point"))[:16],
                fix="decompress with the run that compressed it",
            )
        if at + sum(lengths) != len(data) - 4 or (group, head.get("tokens")) != (self.group, self.length):
            raise Corrupt("the strings do not fill the file", path=path)
        strings = []
        for length in lengths:
            strings.append(data[at : at + length])
            at += length
        return strings, n_tiles


def freeze(recipe: Recipe, model: Nec2024) -> Coder:
    """Build the integer tables as the recipe says. The model is changed: its quantiles may move."""
    model.cpu().eval().requires_grad_(False)
    model.bottleneck.freeze(recipe.switches.quantiles)
    return Coder(recipe, model)


def save_point(coder: Coder, path: Path, measured: dict[str, Any]) -> None:
    """Weights, tables and what was measured, whole or not at all."""
    state = {
        "format": _FORMAT,
        "recipe": coder.recipe.model_dump(mode="json"),
        "model": coder.model.state_dict(),
        "measured": measured,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(path, buffer.getvalue())


def load_point(path: Path, autoencoder: MaskedAutoencoder, *, group: int = 1) -> Coder:
    """A point from its file; `autoencoder` is of its architecture, its weights are replaced.

    Raises InputError for another file, or naming what does not fit another architecture.
    """
    state = _read(path)
    model, tensors = Nec2024(autoencoder), dict(state["model"])
    held = model.bottleneck.core
    for name in _TABLES:  # empty until they are made, hence of no shape that a module could load into
        setattr(held, name, tensors[f"bottleneck.core.{name}"])
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(
            f"the point is of another architecture: {str(error).splitlines()[1].strip()}", path=path
        ) from error
    return Coder(Recipe.model_validate(state["recipe"]), model.eval().requires_grad_(False), group)


def recipe_of(path: Path) -> Recipe:
    """The recipe of a point."""
    return Recipe.model_validate(_read(path)["recipe"])


def _read(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["format"] != _FORMAT:
            raise ValueError("another format")
    except FileNotFoundError:
        raise InputError("there is no point", path=path, fix="train it first") from None
    except Exception as error:
        raise InputError(f"not a point of this room ({type(error).__name__})", path=path) from error
    return dict(state)
