"""A package's encoder and transform in PyTorch as a GPU runs them: the network in half precision, the transform in single.

`onboard.export` makes the graph; half precision is a property of whoever runs it (DESIGN, settled decision 6). Symbols of
the default quality come out as 16-bit integers beside the latents.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.models.vit import Block
from codec.package import Package
from codec.types import FloatArray
from onboard.engine import EngineInfo, check_inputs, check_latents
from onboard.export import encoder_graph, plane_names

Planes = dict[str, Tensor]


class FusedBlock(Block):
    """The same block with PyTorch's fused attention, which an exported graph may not hold: a faster rival is fairer."""

    def attention(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*qkv.unbind(0))
        return self.proj(mixed.transpose(1, 2).reshape(n, tokens, width))


class HalfGraph(nn.Module):
    """Pixels N×B×H×W, bands N×B and validity N×H×W, in the network's precision, to what the codec takes."""

    def __init__(self, package: Package, kind: torch.dtype) -> None:
        super().__init__()
        graph: Any = encoder_graph(package)
        self.encoder = graph.encoder
        for block in self.encoder.blocks:
            block.__class__ = FusedBlock  # weights and all else stay
        self.encoder.to(kind)
        self.planes = graph.planes
        config = self.encoder.config
        margin = package.tile.margin // config.patch
        self.patch, self.core = config.patch, slice(margin, config.side - margin)
        self.eval()

    def embed(self, pixels: Tensor, bands: Tensor, validity: Tensor) -> Planes:
        """The bare encoder: embeddings N×h×w×C of every plane that it makes."""
        found: Planes = self.encoder.planes(pixels, bands, validity, finite=True)
        return found

    def code(self, pixels: Tensor, bands: Tensor, validity: Tensor) -> tuple[Planes, Planes]:
        """Latents N×C×F float32, and symbols N×C×F int16 at the default quality, of every plane of the package."""
        grids = self.embed(pixels, bands, validity)
        valid = (F.avg_pool2d(validity[:, None].float(), self.patch)[:, 0] >= 0.5).float()
        core, latents, symbols = self.core, {}, {}
        for name, plane in self.planes.items():
            latents[name], whole = plane(grids[name][:, core, core].float(), valid[:, core, core])
            symbols[name] = whole.to(torch.int16)
        return latents, symbols

    def latents(self, pixels: Tensor, bands: Tensor, validity: Tensor) -> Planes:
        return self.code(pixels, bands, validity)[0]

    def symbols(self, pixels: Tensor, bands: Tensor, validity: Tensor) -> Planes:
        return self.code(pixels, bands, validity)[1]


class TorchEngine:
    """`onboard.engine.Engine` by PyTorch: arrays of the host in, latents on the host out."""

    def __init__(
        self, package: Package, device: str, kind: torch.dtype = torch.float32, *, compiled: bool = False
    ) -> None:
        self.graph = HalfGraph(package, kind).to(device)
        self.device, self.kind = device, kind
        self._package = package
        self._latents: Callable[..., Planes] = (
            torch.compile(self.graph.latents) if compiled else self.graph.latents
        )

    @property
    def info(self) -> EngineInfo:
        threads = torch.get_num_threads() if self.device == "cpu" else 0
        return EngineInfo("pytorch", importlib.metadata.version("torch"), self.device, threads, "")

    @property
    def planes(self) -> tuple[str, ...]:
        return plane_names(self._package)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        side = self._package.tile.core + 2 * self._package.tile.margin
        return len(self._package.bands), side, side

    def inputs(self, feeds: Mapping[str, FloatArray]) -> tuple[Tensor, ...]:
        """On the device, in the network's precision."""
        return tuple(
            torch.from_numpy(feeds[name]).to(self.device, self.kind)
            for name in ("pixels", "bands", "validity")
        )

    def run(self, pixels: FloatArray, bands: FloatArray, validity: FloatArray) -> dict[str, FloatArray]:
        """As every engine; ends when the latents have arrived."""
        feeds = check_inputs(self.input_shape, pixels, bands, validity)
        with torch.inference_mode():
            found = self._latents(*self.inputs(feeds))
            latents = {name: np.asarray(values.float().cpu().numpy()) for name, values in found.items()}
        check_latents(latents, len(pixels))
        return latents
