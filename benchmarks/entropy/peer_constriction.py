"""constriction: entropy coders for research, in Rust."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from benchmarks.entropy.byte_planes import Symbols
from benchmarks.entropy.latents import LARGEST, TOTAL, LatentSet
from benchmarks.entropy.missing import Missing


class ConstrictionAns:
    """The ANS coder of `constriction`, one call per channel, its int32 arrays and models built before."""

    name, images, rounds = "constriction ANS, per channel", 4, 15

    def __init__(self) -> None:
        try:
            import constriction
        except ImportError as error:
            raise Missing(f"constriction cannot be loaded ({error}); pip install constriction") from error
        self._stream = constriction.stream

    def version(self) -> str:
        return f"constriction {version('constriction')}"

    def prepare(self, latents: LatentSet) -> None:
        self._shape = latents.symbols.shape
        messages = latents.symbols.transpose(2, 0, 1).reshape(self._shape[2], -1).astype(np.int32)
        self._jobs = []
        for message, row in zip(messages, latents.frequencies, strict=True):
            possible = np.flatnonzero(row)
            low = int(possible[0]) - LARGEST
            size = max(2, int(possible[-1] - possible[0]) + 1)  # the model wants at least two values
            probability = row[possible[0] : possible[0] + size].astype(np.float64) / TOTAL
            model = self._stream.model.Categorical(probability, perfect=False)
            self._jobs.append((np.ascontiguousarray(message - low), model, low))
        self._backwards = self._jobs[::-1]  # a stack: what is decoded first is encoded last
        self._length = messages.shape[1]

    def encode(self) -> npt.NDArray[np.uint32]:
        coder = self._stream.stack.AnsCoder()
        for message, model, _ in self._backwards:
            coder.encode_reverse(message, model)
        found: npt.NDArray[np.uint32] = coder.get_compressed()
        return found

    def decode(self, coded: npt.NDArray[np.uint32]) -> list[npt.NDArray[np.int32]]:
        coder = self._stream.stack.AnsCoder(coded)
        return [coder.decode(model, self._length) for _, model, _ in self._jobs]

    def symbols(self, decoded: list[npt.NDArray[np.int32]]) -> Symbols:
        rows = [row + low for row, (_, _, low) in zip(decoded, self._jobs, strict=True)]
        images, tokens, channels = self._shape
        found = np.array(rows, dtype=np.int8).reshape(channels, images, tokens)
        return np.ascontiguousarray(found.transpose(1, 2, 0))

    def n_bytes(self, coded: npt.NDArray[np.uint32]) -> int:
        return int(coded.nbytes)
