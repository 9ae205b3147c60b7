"""CompressAI: the entropy model that papers use, and the coder below it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.entropy import compressai_parts
from benchmarks.entropy.byte_planes import Symbols
from benchmarks.entropy.latents import LatentSet


class CompressAIBottleneck:
    """`EntropyBottleneck.compress` and `.decompress` of CompressAI, with the exact distributions in its tables."""

    name, images, rounds = "compressai EntropyBottleneck", 2, 11

    def __init__(self) -> None:
        self._parts = compressai_parts.load()

    def version(self) -> str:
        return f"compressai {version('compressai')}; torch {version('torch')}"

    def prepare(self, latents: LatentSet) -> None:
        torch = self._parts.torch
        torch.set_num_threads(1)
        channels = latents.symbols.shape[2]
        cdfs, sizes, offsets = compressai_parts.tables(latents.frequencies)
        self._model = self._parts.entropy_models.EntropyBottleneck(channels).eval()
        self._model._quantized_cdf = torch.tensor(cdfs, dtype=torch.int32)
        self._model._cdf_length = torch.tensor(sizes, dtype=torch.int32)
        self._model._offset = torch.tensor(offsets, dtype=torch.int32)
        self._input = torch.from_numpy(
            np.ascontiguousarray(latents.symbols.transpose(0, 2, 1)).astype(np.float32)
        )
        self._size = self._input.shape[2:]

    def encode(self) -> list[bytes]:
        found: list[bytes] = self._model.compress(self._input)
        return found

    def decode(self, coded: list[bytes]) -> Any:
        return self._model.decompress(coded, self._size)

    def symbols(self, decoded: Any) -> Symbols:
        return np.ascontiguousarray(decoded.numpy().astype(np.int8).transpose(0, 2, 1))

    def n_bytes(self, coded: list[bytes]) -> int:
        return sum(map(len, coded))


class CompressAIAns:
    """`compressai.ans` with all Python lists built before the clock starts; one string per image.

    Every call converts all its tables, so their number matters where strings are short. By default there is one per
    channel, as its entropy model has them; `shared`: channels with equal distributions share one.
    """

    images, rounds = 2, 11

    def __init__(self, *, shared: bool = False) -> None:
        self.name = "compressai.ans, lists prebuilt" + (", tables shared" if shared else "")
        self._shared = shared
        self._parts = compressai_parts.load()

    def version(self) -> str:
        return f"compressai {version('compressai')}"

    def prepare(self, latents: LatentSet) -> None:
        rows, index = latents.frequencies, np.arange(len(latents.frequencies))
        if self._shared:
            rows, index = np.unique(rows, axis=0, return_inverse=True)
        self._tables = compressai_parts.tables(rows)
        images, tokens, channels = latents.symbols.shape
        # Channel by channel, which keeps one table in its cache.
        self._shape = images, channels, tokens
        self._lists = latents.symbols.transpose(0, 2, 1).reshape(images, -1).astype(int).tolist()
        self._indexes = np.repeat(index.reshape(-1), tokens).tolist()

    def encode(self) -> list[bytes]:
        coder = self._parts.ans.RansEncoder()
        return [coder.encode_with_indexes(values, self._indexes, *self._tables) for values in self._lists]

    def decode(self, coded: list[bytes]) -> list[list[int]]:
        coder = self._parts.ans.RansDecoder()
        return [coder.decode_with_indexes(data, self._indexes, *self._tables) for data in coded]

    def symbols(self, decoded: list[list[int]]) -> Symbols:
        found = np.array(decoded, dtype=np.int16).reshape(self._shape)
        return np.ascontiguousarray(found.transpose(0, 2, 1))

    def n_bytes(self, coded: list[bytes]) -> int:
        return sum(map(len, coded))
