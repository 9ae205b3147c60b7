"""The recipe's checks, judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codec.nec.coding import Coder
from codec.nec.measure import Measured

REAL_WITHIN = 0.01  # of Σ −log2 p, after 8 B a string
ZEROS = 0.90  # of the symbols at the lowest point
LOWEST = 0.03  # bit per element: from here on down it is the lowest point
TWIN_WITHIN = 1e-3


@dataclass(frozen=True, slots=True)
class Said:
    """One check."""

    holds: bool
    text: str


def judged(found: Measured, converged: Measured, coder: Coder) -> Iterator[Said]:
    """`found` as the point was frozen, `converged` with tables of converged quantiles."""
    ratio = converged.bits_real / converged.bits_density - 1
    yield Said(
        abs(ratio) <= REAL_WITHIN,
        f"real bytes are Σ −log2 p {ratio:+.2%} (after 8 B a string, converged quantiles)",
    )
    as_frozen = found.bits_real / found.bits_density - 1
    yield Said(
        coder.recipe.switches.quantiles == "adam" or abs(as_frozen) <= REAL_WITHIN,
        f"as frozen ({coder.recipe.switches.quantiles}): {as_frozen:+.2%}, {found.escaped_share:.2e} of the symbols "
        f"outside their table",
    )
    twin = found.bits_twin / found.bits_density - 1
    yield Said(abs(twin) <= TWIN_WITHIN, f"our own density in float64 says {twin:+.4%} of CompressAI's bits")
    if found.bits_real < LOWEST:
        yield Said(found.zero_share > ZEROS, f"{found.zero_share:.2%} of the symbols are zero")
    gap = found.distortion_rounded / found.distortion_noise - 1
    yield Said(
        True,
        f"noise against rounding: D {found.distortion_noise:.4f} → {found.distortion_rounded:.4f} ({gap:+.1%}), bits per "
        f"element {found.bits_noise:.4f} → {found.bits_density:.4f}",
    )
    shift = found.bits_noise / found.bits_noise_masked - 1
    yield Said(True, f"all tokens instead of 25 %: bits per element {shift:+.1%}")
