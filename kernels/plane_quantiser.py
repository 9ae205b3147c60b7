"""A plane of a package on a device: embeddings as an encoder leaves them there → the symbols that the coder takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from codec.errors import InputError
from codec.package import Package
from codec.transform.quantiser import MAX_MAGNITUDE
from codec.types import Symbols
from kernels.quantise_projection import PlaneMatrices, quantise_projection
from kernels.quantiser import Cells, Quantised
from kernels.quantiser.norm import normalised


@dataclass(frozen=True)
class PlaneQuantiser:
    """What `codec.pipeline` does to a plane on the way to its symbols, at one quality, without a mean vector of the file.

    Sums are made in another order there: where a latent lies within some units in the last place of a half, the symbol is
    its neighbour; fewer than one in ten thousand are, some more with products of "tf32". Any encoder may choose either
    (bitstream §10).
    """

    package: Package
    plane: int
    ladder_index: int
    matrices: PlaneMatrices
    cells: Cells
    precision: str  # of a GPU's products (`quantise_projection`)
    # Of the encoder's last LayerNorm, where it is done here: C float32, its weight and bias.
    gain: Tensor | None = None
    offset: Tensor | None = None
    eps: float | None = None

    @classmethod
    def of(
        cls,
        package: Package,
        plane: int,
        ladder_index: int | None = None,
        *,
        kind: torch.dtype = torch.int16,
        device: torch.device | str = "cuda",
        precision: str = "tf32x3",
        norm: torch.nn.LayerNorm | None = None,
    ) -> PlaneQuantiser:
        """Of a plane by number, at the package's default quality or another; `kind` of the symbols: int8 or int16.

        With `norm`, the encoder's last, the embeddings given are the tokens before it; its weights are copied.
        Raises InputError for planes of integers, for planes that others refine, whose symbols are digits, and for a norm of
        another width than the plane's.
        """
        if not 0 <= plane < len(package.planes):
            raise InputError(
                f"package {package.name!r} has no such plane",
                expected=f"0 to {len(package.planes) - 1}",
                found=plane,
            )
        name = package.planes[plane].name
        if name not in package.transforms:
            raise InputError(f"plane {name!r} holds integers", fix="pack the array with codec.arrays.pack")
        if len(package.chain(plane)) > 1:
            raise InputError(f"plane {name!r} is refined by others", fix="use codec.pipeline.encode")
        index = package.default_ladder_index if ladder_index is None else ladder_index
        matrices = PlaneMatrices.of(package.transforms[name], device)
        cells = _cells(package, plane, index, kind, device)
        found = cls(package, plane, index, matrices, cells, precision)
        if norm is None:
            return found
        channels = package.planes[plane].spec.channels
        if tuple(norm.normalized_shape) != (channels,):
            raise InputError(
                f"the norm before plane {name!r} is over its channels",
                expected=(channels,), found=tuple(norm.normalized_shape),
            )  # fmt: skip
        gain, offset = (
            None if each is None else each.detach().to(device, torch.float32, copy=True)
            for each in (norm.weight, norm.bias)
        )
        return replace(found, gain=gain, offset=offset, eps=norm.eps)

    def quantised(self, embeddings: Tensor, known: Tensor | None = None) -> Quantised:
        """Embeddings N×h×w×C → symbols N×F×C and their costs, on the device, which nobody waits for.

        Tokens that are not `known` (N×h×w) become the mean of the tile's others, whatever stands in them, as in the
        exported graph; `codec.pipeline` fills them more smoothly (`codec.transform.fill`), so that such tiles take other
        symbols and fewer bytes there. A tile of which none is known has symbols 0 and no costs.
        Raises InputError for another shape.
        """
        spec = self.package.planes[self.plane].spec
        grid = (spec.rows, spec.cols, spec.channels)
        if embeddings.shape[1:] != grid or (known is not None and known.shape != embeddings.shape[:3]):
            raise InputError(
                "embeddings are tiles × rows × columns × channels of the plane, and what is known has no channels",
                expected=("N", *grid),
                found=(tuple(embeddings.shape), None if known is None else tuple(known.shape)),
            )
        x = embeddings.flatten(1, 2)
        if known is None:
            return quantise_projection(
                x, self.matrices, self.cells, gain=self.gain, offset=self.offset, eps=self.eps,
                precision=self.precision,
            )  # fmt: skip
        x = normalised(x.float(), self.gain, self.offset, self.eps)
        there = known.flatten(1)[..., None].bool()
        mean = self.matrices.mean
        centred = torch.where(there, x - mean, 0.0)
        filled = centred.sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)
        x = torch.where(there, x, mean + filled)
        found = quantise_projection(x, self.matrices, self.cells, precision=self.precision)
        # A tile of which nothing is known is its mean: its symbols are 0.
        return found._replace(tile_costs=found.tile_costs * there.any(1))

    def symbols(self, embeddings: Tensor, known: Tensor | None = None) -> Symbols:
        """The same in host memory, checked, N×C×F as `codec.bitstream.coefficients.encode_file_records` takes it.

        Where int8 was asked for and does not hold them, int16. Raises InputError, naming the tile, where a latent is not a
        number or lies so far out that the quality may not hold it.
        """
        found = self.quantised(embeddings, known)
        if self.cells.kind == torch.int8 and bool((found.largest > torch.iinfo(torch.int8).max).any()):
            cells = _cells(self.package, self.plane, self.ladder_index, torch.int16, embeddings.device)
            found = replace(self, cells=cells).quantised(embeddings, known)
        largest = found.checked().largest
        if bool((largest >= MAX_MAGNITUDE).any()):
            raise InputError(
                f"a latent of tile {int(largest.argmax())} may lie beyond what this quality holds",
                found=f"ladder index {self.ladder_index} of {self.package.ladder_indices[-1]}",
                fix="choose a coarser one, or mark the tile invalid",
            )
        values = found.symbols.transpose(1, 2).contiguous().cpu().numpy()
        shape = embeddings.shape[:3]
        validity = torch.ones(shape, dtype=torch.bool) if known is None else known.bool().cpu()
        return Symbols(self.plane, values, validity.numpy())


def _cells(
    package: Package, plane: int, ladder_index: int, kind: torch.dtype, device: torch.device | str
) -> Cells:
    tables = package.table_file
    layers = len(tables.planes[plane].layer_shift)
    return Cells.of(package.maps(plane, ladder_index), tables.levels, layers, kind, device)
