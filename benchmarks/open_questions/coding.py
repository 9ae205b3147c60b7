"""One plane as complete records at any quality, decoded again; several planes of one file at equal total bytes.

Records do not depend on one another: what a file of two planes takes is the sum of what each takes. Every plane is fitted by
itself, with steps in units of its own deviation, so that the bytes of a file can be shared out between its planes freely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codec.evaluate.rate.embedding.records import RecordCoder
from codec.evaluate.rate.embedding.sent import sizes
from codec.evaluate.rate.types import FloatVector
from codec.transform.fit import FittedCodec, fit_planes
from codec.transform.layout import PlaneLayout
from codec.transform.maps import quant_maps
from codec.types import MAX_LAYERS, BoolArray, FloatArray


@dataclass(frozen=True)
class Sent:
    """One setting of N tiles."""

    sizes: FloatVector  # N, bytes of records, shared among the tiles of a record by their costs
    planes: Mapping[str, FloatArray]  # decoded, plane → N×h×w×C


@dataclass(frozen=True)
class PlaneCodec:
    """A fitted plane."""

    name: str
    codec: FittedCodec
    coder: RecordCoder

    @classmethod
    def fit(
        cls, name: str, train: FloatArray, validity: BoolArray, layout: PlaneLayout | None = None
    ) -> PlaneCodec:
        """On N×h×w×C of training tiles; those with an unmeasured token (N×h×w) are left out."""
        whole = validity.all(axis=(1, 2))
        codec = fit_planes({name: np.asarray(train[whole])}, layouts={name: layout or PlaneLayout()})
        return cls(name, codec, RecordCoder.of(codec.tables))

    def index_for(self, budget: float) -> int:
        """The finest quality within so many bytes a tile by the training tiles, else the coarsest."""
        known = self.codec.mean_bytes
        return min((i for i, size in known.items() if size <= budget), default=max(known))

    def code(self, values: FloatArray, validity: BoolArray, index: int, layers: int = MAX_LAYERS) -> Sent:
        """N×h×w×C and N×h×w through records and back; 0 in tokens that were not measured."""
        transform = self.codec.transforms[self.name]
        maps = quant_maps(self.codec.tables, 0, index)
        symbols = maps.quantise(transform.analyse(values, None if validity.all() else validity))
        symbols[~validity.any(axis=(1, 2))] = 0
        parts = self.coder.encode(symbols, validity, ladder_index=index, layers=layers)
        found = self.coder.decode([part.data for part in parts], len(values), ladder_index=index).planes[0]
        decoded = transform.synthesise(maps.reconstruct(found.values, found.layers))
        decoded[~found.token_validity] = 0
        return Sent(sizes(parts, len(values)), {self.name: decoded})


@dataclass(frozen=True)
class Part:
    """One plane of a file, and its share of the bytes."""

    codec: PlaneCodec
    values: FloatArray  # N×h×w×C
    validity: BoolArray  # N×h×w
    share: float


def files(parts: Sequence[Part], budgets: Sequence[float]) -> dict[str, Sent]:
    """Files of these planes at several budgets in bytes a tile, each plane as fine as its share allows.

    Settings are named by their budget, so that encoders share them; what is sent has sizes of its own.
    """
    found = {}
    for budget in budgets:
        sent = [p.codec.code(p.values, p.validity, p.codec.index_for(p.share * budget)) for p in parts]
        planes = {plane: values for one in sent for plane, values in one.planes.items()}
        found[f"{budget:g} B"] = Sent(np.sum([one.sizes for one in sent], axis=0), planes)
    return found
