"""What a package ships, with its decoder-side refinement: the same bytes, other numbers on the ground.

Not part of any suite: a package has a refinement or has none. `refined_methods` makes the twins of `shipped`'s methods for
a given graph, so that both are scored at the same settings, on the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from codec import pipeline
from codec.bitstream.header import FileHeader
from codec.errors import BackendUnavailable, InternalError
from codec.evaluate.rate.embedding import mean_spectral, shipped
from codec.evaluate.rate.embedding.sent import sizes
from codec.evaluate.rate.types import Coded, EmbeddingCoder, Method, Planes
from codec.nec.refinement.session import OnnxRefinement
from codec.package import Package
from codec.types import FloatArray

SUFFIX = " + refinement"


@dataclass(frozen=True)
class RefinedCoder:
    """The shipped coder, and what its decoder is followed by."""

    plain: shipped.ShippedCoder
    refinement: OnnxRefinement

    @property
    def settings(self) -> Sequence[str]:
        return self.plain.settings

    def decode(self, header: bytes, records: Sequence[bytes]) -> dict[str, FloatArray]:
        """Planes N×h×w×C, refined, 0 in tokens that were not measured. Raises BackendUnavailable without onnxruntime."""
        parsed = FileHeader.decode(header)[0]
        found = pipeline.decode(self.plain.package, parsed, records, refine=self.refinement)
        if found.refinement != "refined":  # a score of what was not refined would be another method's
            raise BackendUnavailable(found.refinement, fix="pip install 'swathpack[ground]'")
        return {name: found.embeddings[name].values for name in self.plain.names}

    def code(self, planes: Planes, setting: str) -> Coded:
        """Encode, count, decode."""
        header, parts = self.plain.encode(planes, setting)
        decoded = self.decode(header, [part.data for part in parts[1:]])
        return Coded(setting, sizes(parts, len(planes)), decoded)


@dataclass(frozen=True)
class Refined:
    """A shipped method with a refinement behind it."""

    about: Method
    plain: shipped.Shipped | mean_spectral.MeanSpectral
    refinement: OnnxRefinement

    def fit(self, train: Planes) -> EmbeddingCoder:
        """As the shipped method: training planes choose the ladder indices and nothing else."""
        coder = self.plain.fit(train)
        if not isinstance(coder, shipped.ShippedCoder):
            raise InternalError("a shipped method made another coder than its own")
        return RefinedCoder(coder, self.refinement)


def refined_methods(package: Package, refinement: OnnxRefinement, sha256: str) -> tuple[Refined, ...]:
    """The twins of `shipped`, `shipped prefixes`, `shipped mean` and `shipped L0+S`; `sha256` is the graph's."""
    return tuple(
        Refined(
            replace(
                plain.about,
                name=plain.about.name + SUFFIX,
                source=f"{plain.about.source}; refined by {sha256[:16]}",
            ),
            plain,
            refinement,
        )
        for plain in (
            shipped.shipped(package),
            shipped.shipped_prefixes(package),
            shipped.shipped_mean(package),
            mean_spectral.shipped_mean_spectral(package),
        )
    )
