"""One stream whose first records arrive, as many as there is room for: our base with planes that refine it (bitstream §8.4).

Its settings are prefixes: layer 0, its first ternary digit, then layer after layer and digit after digit, in the order in
which a file has its records. All of them are the same bytes, cut at different places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codec.evaluate.rate.embedding.records import RecordCoder
from codec.evaluate.rate.embedding.sent import Part, check_planes, check_setting, sizes, whole_tiles
from codec.evaluate.rate.types import Coded, EmbeddingCoder, Method, Planes
from codec.pipeline.digits import place_in_prefix
from codec.transform import digits
from codec.transform.fit import FittedCodec, fit_planes
from codec.transform.layout import STREAM_BASE_BYTES, stream_layout
from codec.transform.maps import quant_maps
from codec.types import FloatArray

LAYOUT = stream_layout(3)  # to some 2 bits an element


@dataclass(frozen=True)
class StreamCoder:
    """A codec with digits for its first plane, and the prefixes at which it is scored."""

    codec: FittedCodec
    coder: RecordCoder
    shapes: Mapping[str, tuple[int, ...]]
    prefixes: Mapping[str, tuple[tuple[int, int], ...]]  # setting → (plane of the file, layer) that arrive

    @property
    def settings(self) -> Sequence[str]:
        return tuple(self.prefixes)

    def encode(self, planes: Planes, setting: str) -> list[Part]:
        """Records of the prefix, the token mask in layer 0's."""
        check_setting(self.settings, setting)
        check_planes(planes, self.shapes)
        index, wanted = self.codec.default_ladder_index, self.prefixes[setting]
        validity = None if planes.validity.all() else planes.validity
        whole = np.broadcast_to(planes.validity.any(axis=(1, 2), keepdims=True), planes.validity.shape)
        parts = []
        for number, name in enumerate(self.codec.plane_names):
            latents = self.codec.transforms[name].analyse(planes.values[name], validity)
            chain = self.codec.chain(number)
            symbols = digits.quantise(latents, [quant_maps(self.codec.tables, p, index) for p in chain])
            for plane, own in zip(chain, symbols, strict=True):
                masked = np.where(whole[:, :1, :1], own, 0)
                shown = planes.validity if plane == number else whole
                found = self.coder.encode_layers(masked, shown, ladder_index=index, plane=plane)
                parts += [part for layer, part in found if (plane, layer) in wanted]
        return parts

    def decode(self, parts: Sequence[bytes], setting: str, n_tiles: int) -> dict[str, FloatArray]:
        """Planes N×h×w×C from whatever records arrived; 0 in tokens that were not measured."""
        check_setting(self.settings, setting)
        index = self.codec.default_ladder_index
        found = self.coder.decode(parts, n_tiles, ladder_index=index).planes
        result = {}
        for number, name in enumerate(self.codec.plane_names):
            chain = [found[p] for p in self.codec.chain(number)]
            maps = [quant_maps(self.codec.tables, p.plane, index) for p in chain]
            latents = digits.reconstructed([p.values for p in chain], [p.layers for p in chain], maps)
            result[name] = self.codec.transforms[name].synthesise(latents)
            result[name][~found[number].token_validity] = 0
        return result

    def code(self, planes: Planes, setting: str) -> Coded:
        """Encode, count, decode."""
        parts = self.encode(planes, setting)
        decoded = self.decode([part.data for part in parts], setting, len(planes))
        return Coded(setting, sizes(parts, len(planes)), decoded)


def prefixes(codec: FittedCodec) -> dict[str, tuple[tuple[int, int], ...]]:
    """Every prefix that ends with a layer, by the name of that layer; the longest first, as settings go."""
    depth = {p: d for number in range(len(codec.plane_names)) for d, p in enumerate(codec.chain(number))}
    every = [
        (plane, layer)
        for plane, maps in enumerate(codec.tables.planes)
        for layer in range(len(maps.layer_shift))
        if (maps.layer_map == layer).any()
    ]
    every.sort(key=lambda at: (*place_in_prefix(depth[at[0]], at[1]), at[0]))
    found = {}
    for end, (plane, layer) in enumerate(every, 1):
        if plane in depth and plane in codec.chain(0):
            found[f"prefix {end:02} L{layer}" + f" digit {depth[plane]}" * (depth[plane] > 0)] = tuple(
                every[:end]
            )
    return dict(reversed(found.items()))


@dataclass(frozen=True)
class Stream:
    """The stream as a method."""

    about: Method

    def fit(self, train: Planes) -> EmbeddingCoder:
        """Fitted on the whole tiles of `train` alone."""
        whole = whole_tiles(train)
        values = {name: x[whole] for name, x in train.values.items()}
        first = next(iter(values))
        codec = fit_planes(values, layouts={first: LAYOUT}, default_bytes=STREAM_BASE_BYTES)
        shapes = {name: tuple(x.shape[1:]) for name, x in values.items()}
        return StreamCoder(codec, RecordCoder.of(codec.tables), shapes, prefixes(codec))


STREAM = Stream(
    Method("stream", "embedding", "our base with ternary digits, fitted here; prefixes of one file")
)
