"""Every way to send embeddings that the harness compares, one file a family; `sent` says what is counted.

`embedding_methods(names, package)` makes them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codec.errors import InputError
from codec.evaluate.rate.embedding import (
    base,
    companding,
    floats,
    fsq,
    pca,
    per_channel,
    pooled,
    pq,
    shipped,
    stream,
    transforms,
    uqe,
)
from codec.evaluate.rate.types import EmbeddingMethod
from codec.package import Package

__all__ = ["METHODS", "Factory", "embedding_methods", "names"]


@dataclass(frozen=True)
class Factory:
    """Makes one method; those that need a package say so."""

    name: str
    make: Callable[[Package], EmbeddingMethod] | EmbeddingMethod

    @property
    def needs_package(self) -> bool:
        return callable(self.make)

    def __call__(self, package: Package | None = None) -> EmbeddingMethod:
        """The method. Raises InputError where it needs a package and there is none."""
        if not callable(self.make):
            return self.make
        if package is None:
            raise InputError(
                f"method {self.name!r} is a model package's own codec, and no package was given",
                fix="name a package, or leave the method out",
            )
        return self.make(package)


def _plain(*methods: EmbeddingMethod) -> tuple[Factory, ...]:
    return tuple(Factory(method.about.name, method) for method in methods)


METHODS: tuple[Factory, ...] = (
    *_plain(floats.FLOAT32, floats.FLOAT16, uqe.UQE, per_channel.PER_CHANNEL),
    *_plain(pca.PCA_INT8, pca.PCA_INT8_ZSTD, companding.ALPHAEARTH, pq.PQ, pq.OPQ, fsq.FSQ),
    *_plain(transforms.PER_CHANNEL_PRIOR, transforms.KLT, transforms.DCT),
    *_plain(base.BASE, base.BASE_PREFIXES, stream.STREAM),
    Factory("shipped", shipped.shipped),
    Factory("shipped prefixes", shipped.shipped_prefixes),
    *_plain(pooled.MEAN_FLOAT16, pooled.MEAN_INT, pooled.MEAN_PCA, pooled.MEAN_ALPHAEARTH, pooled.MEAN_OPQ),
    *_plain(base.BASE_MEAN),
    Factory("shipped mean", shipped.shipped_mean),
)


def names() -> tuple[str, ...]:
    """Of all methods."""
    return tuple(factory.name for factory in METHODS)


def embedding_methods(
    names: Sequence[str] | None = None, package: Package | None = None
) -> tuple[EmbeddingMethod, ...]:
    """Methods by name, in the order asked for; None: all that can be made, those of a package only with one.

    Raises InputError for a name that is not known, listing those that are, or where a package is missing.
    """
    known = {factory.name: factory for factory in METHODS}
    if names is None:
        return tuple(f(package) for f in METHODS if package is not None or not f.needs_package)
    for name in names:
        if name not in known:
            raise InputError(
                f"no embedding method is called {name!r}", fix=f"choose among: {', '.join(known)}"
            )
    return tuple(known[name](package) for name in names)
