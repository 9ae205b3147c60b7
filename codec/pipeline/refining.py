"""The seam of decoder-side refinement: a callable from above, given what is needed to know what was lost.

Without one, decoding is what the format says and nothing else. What computes a refinement (a package's decoder.onnx) and
what it computes it with lie above this room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from codec.bitstream.decoded import PlaneSymbols
from codec.bitstream.header import FileHeader
from codec.errors import BackendUnavailable, InternalError
from codec.transform.digits import RADIX
from codec.transform.tables import Tables
from codec.types import Embedding, FloatArray

# Takes the embeddings by plane name and, by plane name too, the step of every layer of every tile (N×layers, embedding
# units). Gives the same planes with other values; validity and layers are not its to change.
Refine = Callable[[Mapping[str, Embedding], Mapping[str, FloatArray]], Mapping[str, Embedding]]


def layer_steps(
    tables: Tables, header: FileHeader, plane: PlaneSymbols, finer: Sequence[PlaneSymbols] = ()
) -> FloatArray:
    """Step of each tile's layers, N×layers: of the record that brought it, or what the file's index says.

    A layer whose digits have arrived in the planes of `finer`, which refine it one after another, has a third of it for
    each; where they are cut into other layers than the plane, this is not taken into account.
    """
    shift = np.array(tables.planes[plane.plane].layer_shift, dtype=np.int64)
    position = header.ladder_index + shift + plane.ladder_offset.astype(np.int64)
    steps = tables.ladder[position].astype(np.float32)
    own, arrived = tables.planes[plane.plane], plane.layers
    for each in finer:
        if not np.array_equal(tables.planes[each.plane].layer_map, own.layer_map):
            break
        arrived = arrived & each.layers
        there = (arrived[:, None] >> np.arange(steps.shape[1], dtype=np.uint16)) & 1
        steps = np.where(there.astype(bool), steps / np.float32(RADIX), steps)
    return steps


def refined(
    refine: Refine, embeddings: Mapping[str, Embedding], steps: Mapping[str, FloatArray]
) -> tuple[dict[str, Embedding], str]:
    """The embeddings after `refine`, and what is said of it.

    Where its back end is missing decoding stops before it: the embeddings come back as they are, and the text says why.
    Raises what `refine` raises besides, and InternalError where it touched validity or layers.
    """
    try:
        found = dict(refine(embeddings, steps))
    except BackendUnavailable as error:
        return dict(embeddings), f"stopped before the refinement: {error}"
    for name, before in embeddings.items():
        after = found.get(name)
        same = after is not None and after.values.shape == before.values.shape
        if not same or not np.array_equal(after.validity, before.validity):  # type: ignore[union-attr]
            raise InternalError(f"a refinement changed more than values, in plane {name!r}")
    return {name: found[name] for name in embeddings}, "refined"
