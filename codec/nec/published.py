"""The published recipe's own parts: what is trained, what is coded, what is lowered (arXiv 2403.17886 and its code).

loss = λ·D + R,   D masked mean squared error,   R = Σ −log2 p(y + noise ±½)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from codec.nec.bottleneck import Bottleneck
from codec.nec.encoders import MaskedEncoder
from codec.nec.mae import MaskedAutoencoder, masked_error
from codec.nec.patches import Tiles
from codec.nec.recipe import Recipe, Switches, Trainable


class Nec2024(nn.Module):
    """Masked autoencoder with an entropy bottleneck behind the encoder's last layer."""

    def __init__(self, autoencoder: MaskedAutoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.bottleneck = Bottleneck(autoencoder.of.width)

    @property
    def encoder(self) -> MaskedEncoder:
        return self.autoencoder.of

    def train_set(self, trainable: Trainable | None = None) -> None:
        """Published: freeze all encoder blocks but the last and all decoder blocks but the first, train the rest.

        Densities are trained in any case.
        """
        frozen = self.autoencoder.frozen(trainable)
        for name, parameter in self.autoencoder.named_parameters():
            parameter.requires_grad_(not name.startswith(frozen))

    def trained(self) -> list[str]:
        """Names of what is trained, the quantiles' own optimiser included."""
        return [name for name, parameter in self.named_parameters() if parameter.requires_grad]

    def share(self) -> float:
        """Trained parameters among all."""
        sizes = [(p.numel(), p.requires_grad) for p in self.parameters()]
        return sum(n for n, trained in sizes if trained) / sum(n for n, _ in sizes)


@dataclass(frozen=True, slots=True)
class Terms:
    """One step's loss and what it is made of."""

    loss: Tensor
    distortion: Tensor  # D
    bits: Tensor  # R, per element of what the rate was taken of


def coded_part(y: Tensor, class_tokens: int, switches: Switches) -> Tensor:
    """What goes through the bottleneck: N×(c + K)×D, or N×K×D where the class token is left out."""
    return y[:, class_tokens:] if switches.class_token == "left out" else y


def terms(model: Nec2024, tiles: Tiles, keep: Tensor, recipe: Recipe, *, unmasked: bool) -> Terms:
    """`unmasked`: the rate is of all patches of the tiles, the distortion of the hidden ones as ever.

    A class token that is not coded reaches the decoder in no form: the mean of the coded tokens stands in its place.
    """
    switches, autoencoder = recipe.switches, model.autoencoder
    c = model.encoder.class_tokens
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(recipe.precision, torch.float32)
    device = tiles.pixels.device.type
    with torch.autocast(device, dtype=kind, enabled=kind != torch.float32):
        y = coded_part(model.encoder.sequence(tiles, keep), c, switches)
        y_hat, bits = _coded(model.bottleneck, y, switches, device)
        predicted = autoencoder.decoder(decoded_sequence(y_hat, c, switches), keep)
        if unmasked:
            whole = coded_part(model.encoder.sequence(tiles, None), c, switches)
            _, bits = _coded(model.bottleneck, whole, switches, device)
    distortion = masked_error(predicted, tiles, keep)
    rate = bits.sum() if switches.units == "batch sum" else bits.sum(2).mean()
    return Terms(recipe.rate.weight * distortion + rate, distortion, bits.mean())


def _coded(bottleneck: Bottleneck, y: Tensor, switches: Switches, device: str) -> tuple[Tensor, Tensor]:
    """ŷ and bits; the density in float32 whatever is around it, or in the arithmetic of the network."""
    if switches.density == "autocast":
        y_hat, bits = bottleneck(y, noise=True)
        return y_hat, bits.float()
    with torch.autocast(device, enabled=False):
        y_hat, bits = bottleneck(y.float(), noise=True)
    return y_hat, bits


def decoded_sequence(y_hat: Tensor, class_tokens: int, switches: Switches) -> Tensor:
    """What the decoder takes of decoded tokens: their mean in front where a class token is not coded."""
    if class_tokens and switches.class_token == "left out":
        return torch.cat([y_hat.mean(1, keepdim=True), y_hat], dim=1)
    return y_hat


def patch_tokens(y_hat: Tensor, class_tokens: int, switches: Switches) -> Tensor:
    """N×L×D without the class token: what heads see."""
    return y_hat[:, class_tokens:] if switches.class_token == "coded" else y_hat
