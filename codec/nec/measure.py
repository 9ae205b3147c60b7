"""What a trained point is, on views kept back: its real bytes, what they should be, and what training did not see.

Four things are told apart: the rate that training lowered (noise, 25 % of the tokens), the same with all tokens, the rate
of rounded symbols by density and by integer tables, and the bytes of strings.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import torch

from codec.errors import InternalError
from codec.nec.bottleneck import STRING_OVERHEAD
from codec.nec.coding import Coder
from codec.nec.density import FactorisedDensity
from codec.nec.mae import masked_error
from codec.nec.patches import Tiles, choose_visible
from codec.nec.published import coded_part, decoded_sequence
from codec.nec.samples import Samples

_SEED = 7
GROUP = 64  # tiles a string of the repaired coder


@dataclass(frozen=True, slots=True)
class Measured:
    """Bits are per coded element unless said."""

    bits_noise_masked: float  # what training lowered: noise, visible tokens alone
    bits_noise: float  # noise, all tokens
    bits_density: float  # rounded symbols of all tokens, by the density
    bits_twin: float  # the same by our own density in float64
    bits_tables: float  # by the integer tables, escapes as they are written
    bits_real: float  # by strings of many tiles, less 8 B a string
    bytes_per_tile: float  # one string a tile, whole
    bytes_per_tile_grouped: float  # 64 tiles a string, whole
    real_over_density: float  # bits_real / bits_density
    zero_share: float  # of the symbols
    escaped_share: float  # symbols outside their table
    tail_mass: float  # largest probability outside a table, either side
    distortion_noise: float  # D with 25 % visible, noise
    distortion_rounded: float  # the same masks, rounded: what use sees
    tiles: int


def measure(coder: Coder, samples: Samples) -> Measured:
    """On all views kept back. Raises InternalError where strings do not give back what went in."""
    bottleneck, tiles = coder.model.bottleneck, samples.tiles(samples.held)
    y = coder.embed(tiles)
    one = Coder(coder.recipe, coder.model, 1)
    many = Coder(coder.recipe, coder.model, GROUP)
    whole = Coder(coder.recipe, coder.model, len(tiles))
    symbols, y_hat = bottleneck.rounded(y)
    sizes = []
    for each in (one, many, whole):
        strings = each.encode(y)
        if not torch.equal(each.decode(strings, len(y)), y_hat):
            raise InternalError("strings do not give back what went in", fix="report the point")
        sizes.append(sum(map(len, strings)))
    torch.manual_seed(_SEED)
    with torch.no_grad():
        noisy = float(bottleneck(y, noise=True)[1].mean())
        density = float(bottleneck(y, noise=False)[1].mean())
    twin = FactorisedDensity.of_state(bottleneck.core.state_dict())
    with torch.no_grad():
        likelihood = twin.likelihood(y_hat.flatten(0, 1).T.double()).clamp(min=1e-9)
    cdf_length, offset = bottleneck.core._cdf_length, bottleneck.core._offset
    index = symbols - offset
    below, above = bottleneck.tail_mass()
    real = 8 * (sizes[2] - STRING_OVERHEAD) / y.numel()
    masked, noise_error, rounded_error = _gap(coder, tiles)
    return Measured(
        bits_noise_masked=masked,
        bits_noise=noisy,
        bits_density=density,
        bits_twin=float(-likelihood.log2().mean()),
        bits_tables=float(bottleneck.table_bits(y).mean()),
        bits_real=real,
        bytes_per_tile=sizes[0] / len(y),
        bytes_per_tile_grouped=sizes[1] / len(y),
        real_over_density=real / density,
        zero_share=float((symbols == 0).float().mean()),
        escaped_share=float(((index < 0) | (index >= cdf_length - 2)).float().mean()),
        tail_mass=float(torch.maximum(below, above).max()),
        distortion_noise=noise_error,
        distortion_rounded=rounded_error,
        tiles=len(y),
    )


@torch.no_grad()
def _gap(coder: Coder, tiles: Tiles) -> tuple[float, float, float]:
    """Bits with noise of visible tokens; masked error with noise, and with rounding."""
    model, switches = coder.model, coder.recipe.switches
    generator = torch.Generator().manual_seed(_SEED)
    keep = choose_visible(len(tiles), model.autoencoder.n_patches, coder.recipe.schedule.mask, generator)
    c = model.encoder.class_tokens
    y = coded_part(model.encoder.sequence(tiles, keep), c, switches)
    torch.manual_seed(_SEED)
    noisy, bits = model.bottleneck(y, noise=True)
    errors = [
        float(masked_error(model.autoencoder.decoder(decoded_sequence(x, c, switches), keep), tiles, keep))
        for x in (noisy, model.bottleneck.rounded(y)[1])
    ]
    return float(bits.mean()), errors[0], errors[1]


def as_dict(measured: Measured) -> dict[str, float]:
    """For JSON."""
    return asdict(measured)


def with_quantiles_converged(coder: Coder, samples: Samples) -> Measured:
    """The same point with converged tables: what defect 8 costs. The point's own tables come back afterwards."""
    held = {k: v.clone() for k, v in coder.model.bottleneck.core.state_dict().items()}
    switches = coder.recipe.switches.model_copy(update={"quantiles": "bisection"})
    try:
        coder.model.bottleneck.freeze("bisection")
        return measure(replace(coder, recipe=coder.recipe.model_copy(update={"switches": switches})), samples)
    finally:
        core = coder.model.bottleneck.core
        for name in ("_offset", "_quantized_cdf", "_cdf_length"):
            setattr(core, name, held[name])
        core.quantiles.data.copy_(held["quantiles"])
