"""What encoder and pipeline benchmarks share: real tiles, a `.nec` of some of them, and what heads say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from codec.bitstream.backends import DEFAULT
from codec.package import Package
from codec.types import Embedding, FloatArray, Georeference, Latent, TileGrid
from ground.heads import Head, Prediction, load_heads, run_head
from onboard.engine import Engine
from onboard.parity_tiles import ParityTiles, parity_tiles

NAME = "s2-nano"  # the encoder that is timed
BATCHES = (1, 8, 32)
TASK = "landcover"
Batch = tuple[FloatArray, FloatArray, FloatArray]  # pixels N×B×H×W, bands N×B, validity N×H×W


@dataclass(frozen=True)
class Work:
    """A package, and tiles of the sample scenes without an invalid pixel."""

    package: Package

    @cached_property
    def tiles(self) -> ParityTiles:
        every = parity_tiles(self.package)
        whole = every.validity.all(axis=(1, 2))
        return ParityTiles(
            every.pixels[whole], every.bands[whole], every.validity[whole], every.sources, every.real
        )

    @cached_property
    def head(self) -> Head:
        """One of the package's own, on tokens."""
        return next(head for head in load_heads(self.package) if head.name == TASK)

    def batch(self, n: int) -> Batch:
        """The first n tiles, from the start again where there are fewer."""
        chosen = np.arange(n) % len(self.tiles)
        return self.tiles.pixels[chosen], self.tiles.bands[chosen], self.tiles.validity[chosen]

    def nec(self, engine: Engine, batch: Batch, backend: str = DEFAULT) -> bytes:
        """The file of these tiles: pixels in memory to bytes in memory."""
        from codec.pipeline import encode

        n, core = len(batch[0]), self.package.tile.core
        return encode(
            self.package, self.latents(engine.run(*batch)), grid=TileGrid(core * n, core, core, core),
            georeference=Georeference((1, 0, 0, 0, -1, 0)), sensor="benchmark",
            band_mask=(1 << len(self.package.bands)) - 1, time_us=-(2**63), backend=backend,
        )  # fmt: skip

    def latents(self, found: Mapping[str, FloatArray]) -> list[Latent]:
        """Of wholly valid tiles."""
        specs = {plane.name: plane.spec for plane in self.package.planes}
        return [
            Latent(
                self.package.plane_index(name), values,
                np.ones((len(values), specs[name].rows, specs[name].cols), bool),
            )
            for name, values in found.items()
        ]  # fmt: skip

    def embeddings(self, nec: bytes, backend: str = DEFAULT) -> dict[str, Embedding]:
        """What the ground decodes."""
        from codec.bitstream.reader import read_bytes
        from codec.pipeline import decode

        file = read_bytes(nec)
        decoded = decode(self.package, file.header, [record.data for record in file.records], backend=backend)
        assert not decoded.missing
        assert not decoded.damaged
        return dict(decoded.embeddings)

    def answers(self, nec: bytes, backend: str = DEFAULT) -> Prediction:
        """`.nec` → embeddings → head."""
        return run_head(self.head, self.embeddings(nec, backend))


def agreement(a: Prediction, b: Prediction) -> float:
    """Share of valid tokens that both give the same class."""
    both = a.validity & b.validity
    return float((a.probabilities.argmax(-1) == b.probabilities.argmax(-1))[both].mean())
