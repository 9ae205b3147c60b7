"""A training-free codec from any array of embeddings: means, channel KLT, scales, steps, layers and tables.

Chosen by measurement on s2-nano's embeddings (bytes at equal MSE on tiles left out of the fit): bands of one diagonal
u + v cost the same within 0.1 % as one band per frequency, with half the table file; a dead zone chosen per level by
rate and distortion saves 1–3 % above 350 bytes a tile and costs more below 100; scales from the mean magnitude instead
of the mean square change 0.2 %. Hence diagonals, no dead zone, root mean square.
Everything is deterministic: equal arrays give equal bytes on one machine and library version, whatever the number of
threads (`products`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from codec.bitstream.core import TableSet
from codec.errors import InputError
from codec.transform import fit_checks
from codec.transform.fit_cells import (
    LOWEST_LEVEL,
    cell_bytes,
    classes_of,
    frozen_losses,
    held_out_losses,
    mean_bytes_of,
    n_levels,
)
from codec.transform.fit_cells import cells_of as _cells
from codec.transform.fit_cells import fit_levels as _fit_levels
from codec.transform.fit_digits import Refining, add_digits
from codec.transform.klt import CHUNK, fit_transform
from codec.transform.layers import cut_channels, cut_layers
from codec.transform.layout import QUARTER_OCTAVES, PlaneLayout, band_of_frequency, band_of_token
from codec.transform.lifting import Lifting
from codec.transform.maps import quant_maps
from codec.transform.plane import PlaneTransform
from codec.transform.rate import choose_ladder_index
from codec.transform.tables import PlaneMaps, Tables
from codec.types import BoolArray, FloatArray, PlaneKind

# The ladder's public part: steps of 2^-5 … 2^6 times the deviation of the first plane, in quarter octaves. Finer than
# that exceeds what float16 embeddings hold; there nothing is left but the tile mean. It goes on until the mean's own finer
# steps have come that far: from 8 to 15 bytes a tile it is on a par with product quantisation (`--part small-mean`).
# Planes that are refined by digits end at 2^6: their tables leave no room for more (`fit_digits`), and they begin coarse.
_FINEST_OCTAVE, _COARSEST_OCTAVE = -5, 6
DEFAULT_BYTES = 160.0  # of a tile, at the quality that a fit chooses as its default
_MAX_TRAINING_TILES = 2048  # for scales and tables; means and KLT use all
_MAX_TRAINING_COEFFICIENTS = 1 << 25  # of one plane: what the pools of large planes take stays below 1 GiB
_COST_TILES = 256  # for the costs that cut layers


@dataclass(frozen=True)
class FittedCodec:
    """What `fit_planes` made; `tables_bytes` and the arrays of `transforms` are what a package stores."""

    transforms: dict[str, PlaneTransform]  # by plane name, in plane order
    tables: Tables
    tables_bytes: bytes
    default_ladder_index: int
    mean_bytes: dict[int, float]  # training tiles: estimated payload bytes per tile at each ladder index
    liftings: Mapping[str, Lifting] = field(
        default_factory=dict
    )  # of integer planes, which have no transform
    refining: tuple[Refining, ...] = ()  # planes of `tables` behind all others

    @property
    def plane_names(self) -> tuple[str, ...]:
        return (*self.transforms, *self.liftings)

    def chain(self, plane: int) -> tuple[int, ...]:
        """The numbers of a plane and of those that refine it, one after another, from the coarse to the fine."""
        numbers = [plane]
        for number, entry in enumerate(self.refining, len(self.plane_names)):  # each refines one before it
            if entry.refines == numbers[-1]:
                numbers.append(number)
        return tuple(numbers)

    def round_trip(
        self,
        plane: str,
        embeddings: FloatArray,
        ladder_index: int | None = None,
        *,
        layers: int | None = None,
    ) -> FloatArray:
        """Embeddings N×h×w×C as the ground would decode them: analysed, quantised, reconstructed, synthesised.

        `layers` is how many layers arrive (all of them by default). For training heads on decoded embeddings.
        """
        index = self.default_ladder_index if ladder_index is None else ladder_index
        maps = quant_maps(self.tables, self.plane_names.index(plane), index)
        transform = self.transforms[plane]
        symbols = maps.quantise(transform.analyse(embeddings))
        mask = None if layers is None else np.full(len(symbols), (1 << layers) - 1, dtype=np.uint16)
        return transform.synthesise(maps.reconstruct(symbols, mask))


def fit_planes(
    embeddings: Mapping[str, FloatArray],
    *,
    validity: Mapping[str, BoolArray] | None = None,
    layouts: Mapping[str, PlaneLayout] | None = None,
    default_bytes: float = DEFAULT_BYTES,
    layer_bytes: float = 320.0,
    freeze: bool = False,
) -> FittedCodec:
    """Fit a codec to training embeddings, one array N×h×w×C per plane, in the order the planes shall have.

    `validity` (N×h×w per plane) leaves unmeasured tokens out of means and KLT; scales and tables come from wholly valid
    tiles. `default_bytes` chooses the default ladder index (payload bytes per tile, all planes together);
    `layer_bytes` is the rate at which each further layer of a plane roughly doubles its bytes. Raises InputError where
    an array is no finite N×h×w×C or has no valid tile.

    With `freeze` the tables are checked as those of a shipped package (`fit_checks`): LimitExceeded above 128 KiB,
    InternalError where integers lose too much against the fitted density, InputError where tiles were too few for one.
    """
    if not embeddings:
        raise InputError("no plane was given to fit")
    layouts = {name: (layouts or {}).get(name, PlaneLayout()) for name in embeddings}
    transforms: dict[str, PlaneTransform] = {}
    latents: dict[str, FloatArray] = {}
    deviations: dict[str, float] = {}
    for name, values in embeddings.items():
        valid = None if validity is None else validity.get(name)
        x, valid = _checked(name, values, valid)
        transforms[name], deviations[name] = fit_transform(
            x,
            valid,
            position_mean=layouts[name].position_mean,
            tokens=layouts[name].tokens,
            rotations=layouts[name].rotations,
        )
        whole = np.flatnonzero(valid.all(axis=(1, 2)))
        if not len(whole):
            raise InputError(f"plane {name!r} has no wholly valid tile to fit its tables to")
        most = max(1, min(_MAX_TRAINING_TILES, _MAX_TRAINING_COEFFICIENTS // x[0].size))
        latents[name] = transforms[name].analyse(x[whole[:: -(-len(whole) // most)]])

    first = next(iter(embeddings))
    plane_shift = {
        name: layouts[name].step_shift
        + round(QUARTER_OCTAVES * np.log2(deviations[name] / deviations[first]))
        for name in embeddings
    }
    ladder = _ladder(deviations[first], plane_shift, layouts)
    planes = [
        _two_layers(latents[name], transforms[name], layouts[name], plane_shift[name], ladder)
        for name in embeddings
    ]
    cells = [
        c
        for plane, values in zip(planes, latents.values(), strict=True)
        for c in _cells(plane, values, ladder)
    ]
    usable = Tables(ladder, (), tuple(planes)).usable_indices()
    levels = _fit_levels(cells, usable, n_levels(cells, usable, layouts))
    mean_bytes = mean_bytes_of(cells, levels, usable)

    def index_for(budget: float) -> int:
        return choose_ladder_index(usable, mean_bytes.__getitem__, max(budget, mean_bytes[usable.stop - 1]))

    tables, cut_at = Tables(ladder, levels, tuple(planes)), index_for(layer_bytes)
    if freeze:
        fit_checks.check_converged(
            held_out_losses(latents, tables, layouts, cut_at), min(map(len, latents.values()))
        )
    cut = [
        (cut_channels if layouts[name].tokens == "none" else cut_layers)(
            plane, layouts[name].n_layers, cell_bytes(tables, number, latents[name][:_COST_TILES], cut_at)
        )
        for number, (name, plane) in enumerate(zip(embeddings, planes, strict=True))
    ]
    tables, index = Tables(ladder, levels, tuple(cut)), index_for(default_bytes)
    refining: tuple[Refining, ...] = ()
    trimmed = 0
    counts = {name: layout.digits for name, layout in layouts.items() if layout.refinements}
    if counts:
        tables, refining, trimmed = add_digits(tables, latents, counts, LOWEST_LEVEL)
        index = max(index - trimmed, tables.usable_indices().start)
        mean_bytes = {
            i - trimmed: mean_bytes[i] for i in mean_bytes if i - trimmed in tables.usable_indices()
        }
    data = tables.encode()
    if freeze:
        fit_checks.check_size(data)
        fit_checks.check_frozen(frozen_losses(cells, levels, usable, usable[trimmed:]))
    TableSet(data)  # the core's own validation: a fit never writes a file that a decoder refuses
    return FittedCodec(transforms, tables, data, index, mean_bytes, refining=refining)


def _checked(name: str, values: FloatArray, validity: BoolArray | None) -> tuple[FloatArray, BoolArray]:
    x = np.asarray(values)
    if x.ndim != 4 or x.dtype.kind != "f" or not x.size:
        raise InputError(
            f"embeddings of plane {name!r} must be float arrays of tiles × rows × columns × channels",
            found=f"{x.dtype} {x.shape}",
        )
    valid = np.ones(x.shape[:3], dtype=bool) if validity is None else np.asarray(validity, dtype=bool)
    if valid.shape != x.shape[:3]:
        raise InputError(
            f"validity of plane {name!r} has another shape", expected=x.shape[:3], found=valid.shape
        )
    for start in range(
        0, len(x), CHUNK
    ):  # a sum is finite unless a number is not: no array of flags for most
        part = x[start : start + CHUNK]
        with np.errstate(invalid="ignore"):  # ∞ − ∞: judged below
            total = part.sum(dtype=np.float64)
        if np.isfinite(total):
            continue
        finite = np.isfinite(part).all(axis=3)
        wrong = np.argwhere(~finite & valid[start : start + CHUNK])
        if len(wrong):
            raise InputError(
                f"plane {name!r} holds numbers that are not finite, first in tile {start + int(wrong[0, 0])}",
                fix="mark such tokens invalid",
            )
    if valid.all():
        return x.astype(np.float32, copy=False), valid
    return np.where(valid[..., None], x, 0).astype(np.float32), valid


def _shifts(layout: PlaneLayout, plane_shift: int, n_layers: int, n_tokens: int) -> tuple[int, ...]:
    """Layer shifts: the protected mean finer, the others alike. One layer of many tokens has no mean to protect."""
    first = plane_shift + (layout.dc_shift if n_layers > 1 or n_tokens == 1 else 0)
    return (first, *(plane_shift for _ in range(n_layers - 1)))


def _ladder(
    deviation: float, plane_shift: Mapping[str, int], layouts: Mapping[str, PlaneLayout]
) -> FloatArray:
    """Step widths such that every layer of every plane finds its own at each public index."""
    shifts = [0, *(s + d for name, s in plane_shift.items() for d in (0, layouts[name].dc_shift))]
    public = (_COARSEST_OCTAVE - _FINEST_OCTAVE) * QUARTER_OCTAVES + 1
    if not any(layout.refinements for layout in layouts.values()):
        public += max(0, max(-layout.dc_shift for layout in layouts.values()))
    length = public - min(shifts) + max(shifts)
    if length > 255:
        raise InputError(
            "the planes' scales lie too far apart for one ladder",
            expected="at most 255 quarter octaves with the public range",
            found=length,
            fix="scale the planes to similar deviations before the fit",
        )
    exponent = (np.arange(length) + min(shifts)) / QUARTER_OCTAVES + _FINEST_OCTAVE
    ladder = deviation * 2.0**exponent
    limits = np.finfo(np.float32)
    if not (ladder[0] >= limits.tiny and ladder[-1] <= limits.max):
        raise InputError(
            "the numbers are too large or too small to be quantised in float32", found=f"deviation {deviation:.3g}",
            fix="scale them to a deviation near 1",
        )  # fmt: skip
    return ladder.astype(np.float32)


def _two_layers(
    latents: FloatArray, transform: PlaneTransform, layout: PlaneLayout, plane_shift: int, ladder: FloatArray
) -> PlaneMaps:
    """The scale of every (band, channel) as its class; DC in layer 0 and all else in layer 1, to be cut later."""
    flat = layout.tokens == "none"
    bands = (
        band_of_token(transform.rows * transform.cols)
        if flat
        else band_of_frequency(layout.bands, transform.rows, transform.cols)
    )
    classes = classes_of(latents, bands, ladder, flat=flat)
    if flat:
        return PlaneMaps(
            transform.rows, transform.cols, transform.channels, PlaneKind.FLOAT, (plane_shift,), bands,
            np.zeros_like(classes), classes,
        )  # fmt: skip
    n_layers = 2 if len(classes) > 1 and layout.n_layers > 1 else 1
    layer_map = np.zeros_like(classes)
    layer_map[1:] = n_layers - 1
    shift = _shifts(layout, plane_shift, n_layers, len(bands))
    return PlaneMaps(
        transform.rows, transform.cols, transform.channels, PlaneKind.FLOAT, shift, bands, layer_map, classes
    )
