"""How a plane is laid out in bands and layers: the choices of a fit that data does not make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codec.errors import InputError
from codec.transform.plane import TokenTransform
from codec.transform.tables import UInt8Array
from codec.types import MAX_LAYERS

QUARTER_OCTAVES = 4  # steps of the ladder per factor of two
MAX_BANDS = 255


@dataclass(frozen=True, slots=True)
class PlaneLayout:
    """Choices for one plane.

    `position_mean` removes a mean per token position (encoders with position codes); without it one mean per channel.
    `n_layers`: layer 0 is the DC band; the others cut the rest by scale so that each further layer roughly doubles the
    bytes. `dc_shift` and `step_shift` are quarter octaves: layer 0 against the plane's other layers (−12 is 8 times
    finer), and the plane against the step that all planes share in units of their own deviation.
    `bands`: how frequencies share their scale, see `band_of_frequency`. `rotations`: frequencies have channel transforms of
    their own (`codec.transform.rotations`), which a transform file of some hundred kilobytes holds. `tokens` "none": a
    tile is a list of vectors, not a picture; its layers are sets of channels, in order of their scale. `refinements`: how
    many planes refine it, each by a ternary digit of every symbol, so that one file serves rates up to `refinements`
    thirds of its step; `mean_refinements`: how many of them refine layer 0 too, None: all.
    """

    position_mean: bool = True
    n_layers: int = 5
    dc_shift: int = -12
    step_shift: int = 0
    bands: str = "diagonal"
    tokens: TokenTransform = "dct"
    rotations: bool = True
    refinements: int = 0
    mean_refinements: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.n_layers <= MAX_LAYERS:
            raise InputError(f"a plane has 1 to {MAX_LAYERS} layers", found=self.n_layers)
        if self.refinements < 0 or not 0 <= (self.mean_refinements or 0) <= self.refinements:
            raise InputError(
                "a plane is refined by a number of planes, some of which may refine its mean",
                found=f"{self.refinements}, {self.mean_refinements}",
            )
        if self.bands not in BANDS:
            raise InputError(f"unknown arrangement of bands {self.bands!r}", expected=", ".join(BANDS))

    @property
    def digits(self) -> tuple[bool, ...]:
        """One entry per plane that refines this one: whether it refines layer 0 too."""
        most = self.refinements if self.mean_refinements is None else self.mean_refinements
        return tuple(depth < most for depth in range(self.refinements))


# Of all planes' own layers, without digits, in a stream that serves many rates.
STREAM_BASE_BYTES = 16.0


def stream_layout(refinements: int) -> PlaneLayout:
    """A plane of a stream that serves many rates (measured: `benchmarks.stream`).

    From layer 0 at a dozen bytes on. Its mean ends two digits finer, with a squared error of 0.3 % of its variance.
    """
    return PlaneLayout(n_layers=5, dc_shift=-3, refinements=refinements, mean_refinements=min(2, refinements))


BANDS = ("frequency", "diagonal")


def band_of_token(n_tokens: int) -> UInt8Array:
    """Bands of a plane without token transform: all tokens are alike, but the format wants the first alone in band 0."""
    return (np.arange(n_tokens) > 0).astype(np.uint8)


def band_of_frequency(kind: str, rows: int, cols: int) -> UInt8Array:
    """Band of each token frequency in raster order; frequency 0 is alone in band 0.

    "frequency": each frequency is its own band (diagonals where a plane has more than 255 tokens); "diagonal": all
    (u, v) of one u + v share a band.
    """
    u, v = np.divmod(np.arange(rows * cols), cols)
    if kind == "frequency" and rows * cols <= MAX_BANDS:
        return np.arange(rows * cols, dtype=np.uint8)
    return (u + v).astype(np.uint8)
