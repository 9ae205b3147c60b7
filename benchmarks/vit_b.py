"""A ViT-B/16 whose pixels lie on the device: the bare encoder, and the same one with coding beside it.

Weights are random: no shipped model has that size. On a processor a tiny configuration runs the same way in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.half_graph import HalfGraph
from benchmarks.overlapped import FileCoder, Overlapped, plain
from benchmarks.random_package import pictures, random_package
from codec.bitstream.coefficients import decode
from codec.bitstream.reader import read_bytes
from codec.errors import InternalError
from codec.models import EncoderConfig
from codec.package import Package
from kernels.plane_quantiser import PlaneQuantiser

# Of symbols: rounded to bfloat16 in another order, a value near the middle of two steps falls to the other one.
MOST_THAT_DIFFER = 0.05


@dataclass(frozen=True)
class Contest:
    """Both sides on the same pixels."""

    package: Package
    device: str
    kind: torch.dtype
    batch: int
    n_batches: int = 8
    turns: int = 1  # that a call takes through the batches: coding the last one hides behind nothing
    threads: int = 4
    compiled: bool = True
    by_kernels: bool = False  # transform and quantiser; else what PyTorch makes of the exported graph

    @classmethod
    def drawn(
        cls, folder: Path, config: EncoderConfig, device: str, kind: torch.dtype, **more: Any
    ) -> Contest:
        return cls(
            random_package(folder, config, device, n_tiles=more.pop("n_tiles", 48)), device, kind, **more
        )

    @cached_property
    def graph(self) -> HalfGraph:
        return HalfGraph(self.package, self.kind).to(self.device)

    @property
    def images(self) -> int:
        """Of a call."""
        return self.batch * self.n_batches * self.turns

    @property
    def config(self) -> EncoderConfig:
        config: EncoderConfig = self.graph.encoder.config
        return config

    @cached_property
    def pixels(self) -> list[Tensor]:
        """Batches on the device."""
        return [
            pictures(self.batch, self.config, self.device, seed).to(self.kind)
            for seed in range(self.n_batches)
        ]

    @cached_property
    def _flags(self) -> tuple[Tensor, Tensor]:
        ones = partial(torch.ones, device=self.device, dtype=self.kind)
        side = self.config.tile
        return ones((self.batch, len(self.config.bands))), ones((self.batch, side, side))

    @cached_property
    def network(self) -> Callable[[Tensor], Tensor]:
        """The bare encoder: pixels to tokens."""
        graph, flags = (
            self.graph,
            self._flags,
        )  # made here: the lock of a cached property would split a compiled graph
        return self._built(lambda pixels: graph.embed(pixels, *flags)["tokens"])

    @cached_property
    def symbols(self) -> Callable[[Tensor], dict[str, Tensor]]:
        """Encoder, transform and quantiser: int16 N×C×F."""
        if self.by_kernels:
            quantiser = PlaneQuantiser.of(self.package, 0, device=self.device)
            network = self.network

            def fused(pixels: Tensor) -> dict[str, Tensor]:
                found = quantiser.quantised(network(pixels)).symbols  # N×F×C
                return {"tokens": found.transpose(1, 2).contiguous()}

            return fused
        graph, flags = self.graph, self._flags
        return self._built(lambda pixels: graph.symbols(pixels, *flags))

    @cached_property
    def overlapped(self) -> Overlapped:
        return Overlapped(self.symbols, FileCoder(self.package), self.device, threads=self.threads)

    def bare(self) -> None:
        """All batches through the encoder; returns when they are done."""
        with torch.inference_mode():
            for pixels in self.pixels * self.turns:
                self.network(pixels)
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()

    def coded(self) -> list[bytes]:
        """All batches to files in host memory."""
        return self.overlapped.run(self.pixels * self.turns)

    def check(self) -> list[bytes]:
        """The files, after they were held against one step after another, and their symbols against the plain network.

        Raises InternalError where they differ.
        """
        files = self.overlapped.run(self.pixels)
        if files != plain(self.symbols, FileCoder(self.package), self.pixels):
            raise InternalError("files differ from those of one step after another")
        file = read_bytes(files[0])
        if not file.is_whole:
            raise InternalError("a file is not whole")
        found = decode(self.package.tables, file.header, file.records).planes[0].values.astype(np.int64)
        with torch.inference_mode():
            eager = self.graph.symbols(self.pixels[0], *self._flags)["tokens"].cpu().numpy().astype(np.int64)
        differ = float((found != eager).mean())
        if differ > MOST_THAT_DIFFER or np.abs(eager).max() < 2:
            raise InternalError(
                "symbols are not those of the network", expected=f"{MOST_THAT_DIFFER:.0%} at most",
                found=f"{differ:.2%}, the largest {np.abs(eager).max()}",
            )  # fmt: skip
        return files

    def _built(self, function: Callable[[Tensor], Any]) -> Any:
        return torch.compile(function, dynamic=False) if self.compiled else function
