"""A shipped file of which the tile mean and the spectral plane arrive, and nothing else: layer 0 of the tokens, all of S.

With a refinement behind it this is the cheapest file from which tokens differ by what was seen.
"""

from __future__ import annotations

from dataclasses import dataclass

from codec.bitstream import record
from codec.errors import InternalError
from codec.evaluate.rate.embedding import shipped
from codec.evaluate.rate.embedding.curves import LayerCosts, Points
from codec.evaluate.rate.embedding.sent import Part
from codec.evaluate.rate.types import EmbeddingCoder, Method, Planes
from codec.package import Package
from codec.types import MAX_LAYERS

_EVERY = 3  # ladder indices from one point to the next


class MeanSpectralCoder(shipped.ShippedCoder):
    """The shipped coder, less the records of the first plane above layer 0."""

    def encode(self, planes: Planes, setting: str) -> tuple[bytes, list[Part]]:
        """The file's header; its extensions and the records that are sent."""
        header, (extensions, *records) = super().encode(planes, setting)
        first = self.package.plane_index(self.names[0])
        return header, [extensions, *(part for part in records if _is_sent(part.data, first))]


def _is_sent(data: bytes, first: int) -> bool:
    header = record.parse(data).header
    return header.plane != first or header.layer == 0


def points(costs: LayerCosts) -> Points:
    """Every third index between the finest and the coarsest that the other curves have."""
    low, high = costs.index_for(1.0), costs.tables.usable_indices().stop
    return {f"q{index} L0+S": (index, MAX_LAYERS) for index in range(low, high, _EVERY)}


@dataclass(frozen=True)
class MeanSpectral:
    """A package as a method; `plain` carries its points."""

    about: Method
    plain: shipped.Shipped

    def fit(self, train: Planes) -> EmbeddingCoder:
        """Training planes choose the ladder indices and nothing else."""
        return mean_spectral_coder(self.plain.fit(train))


def mean_spectral_coder(coder: EmbeddingCoder) -> MeanSpectralCoder:
    """The same package, planes and points. Raises InternalError for another coder than a shipped one."""
    if not isinstance(coder, shipped.ShippedCoder):
        raise InternalError("a shipped method made another coder than its own")
    return MeanSpectralCoder(coder.package, coder.names, coder.points)


def shipped_mean_spectral(package: Package) -> MeanSpectral:
    """Layer 0 of the tokens and the whole spectral plane, at several qualities."""
    source = f"package {package.name} {package.codec_id.hex()}, its own transform and tables; layer 0 and S"
    about = Method("shipped L0+S", "embedding", source)
    return MeanSpectral(about, shipped.Shipped(about, package, points))
