"""Parts of a base that learn themselves, each as a parameter of the copy's own memory."""

from __future__ import annotations

from torch import nn

from codec.adapt.base import Base, replace_parameter


def train(base: Base, names: list[str]) -> None:
    """Let the named parameters of `base.encoder` learn; the base must be nobody else's."""
    for name in names:
        value = base.encoder.get_parameter(name).detach().clone()
        replace_parameter(base.encoder, name, value, trained=True)


def train_norms(base: Base) -> None:
    """Weight and bias of every LayerNorm."""
    train(
        base,
        [
            f"{path}.{name}"
            for path, module in base.encoder.named_modules()
            if isinstance(module, nn.LayerNorm)
            for name, _ in module.named_parameters()
        ],
    )


def train_biases(base: Base) -> None:
    """Every bias but those of the patch embedding: 11 D per block, and the last norm's."""
    outside = (*_stem_modules(base), *base.unused())
    train(
        base,
        [
            name
            for name, _ in base.encoder.named_parameters()
            if name.endswith(".bias") and not name.startswith(outside)
        ],
    )


def train_stem(base: Base) -> None:
    """The patch embedding, its biases included."""
    train(base, [n for n, _ in base.encoder.named_parameters() if n.startswith(_stem_modules(base))])


def train_all(base: Base, *, stem: bool) -> None:
    """Everything that is used; the patch embedding only where `stem`."""
    outside = (*base.unused(), *(() if stem else _stem_modules(base)))
    train(base, [n for n, _ in base.encoder.named_parameters() if not n.startswith(outside)])


def _stem_modules(base: Base) -> tuple[str, ...]:
    return tuple(name.rpartition(".")[0] + "." for name in base.stem())
