"""The heads of the harness by name: what each takes, what it predicts, how it is fitted. One call for all of them.

vector of a tile   knn, knn-plain, linear, ridge      (grids are pooled to mean ‖ spread here)
grid of a tile     attention, dense-linear, dense-conv
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from codec.errors import InputError
from codec.heads.linear import LinearHead
from codec.heads.neighbours import K_PLAIN, NeighbourHead, fit_neighbours
from codec.heads.probe import fit_probe
from codec.heads.ridge import fit_ridge
from codec.heads.training_set import TrainingSet, pooled
from codec.heads.validity import pooled_vectors
from codec.types import BoolArray, FloatArray

Target = Literal["class", "values", "map"]
_Fit = Callable[[TrainingSet, "TrainingSet | None", int, int], Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of head. `fit(train, validation, n_classes, seed)`."""

    name: str
    takes: Literal["vector", "grid"]
    target: Target
    fit: _Fit


def _attention(train: TrainingSet, validation: TrainingSet | None, n_classes: int, seed: int) -> Any:
    from codec.heads.attention import fit_attention  # torch, and only where it is asked for

    return fit_attention(train, validation, n_classes, seed=seed)


def _dense_linear(train: TrainingSet, validation: TrainingSet | None, n_classes: int, seed: int) -> Any:
    from codec.heads.dense_linear import fit_linear_dense

    return fit_linear_dense(train, validation, n_classes, seed=seed)


def _dense_conv(train: TrainingSet, validation: TrainingSet | None, n_classes: int, seed: int) -> Any:
    from codec.heads.dense import fit_conv_dense

    start = _dense_linear(train, validation, n_classes, seed)
    return fit_conv_dense(train, validation, n_classes, start=start, seed=seed)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("knn", "vector", "class", lambda t, v, n, s: fit_neighbours(t, n)),
        Kind("knn-plain", "vector", "class", lambda t, v, n, s: fit_neighbours(t, n, k=K_PLAIN, temperature=None)),
        Kind("linear", "vector", "class", lambda t, v, n, s: fit_probe(t, v, n, seed=s)),
        Kind("ridge", "vector", "values", lambda t, v, n, s: fit_ridge(t, v, seed=s)),
        Kind("attention", "grid", "class", _attention),
        Kind("dense-linear", "grid", "map", _dense_linear),
        Kind("dense-conv", "grid", "map", _dense_conv),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted head of any kind, asked in one way."""

    kind: Kind
    head: Any

    def outputs(self, x: FloatArray, validity: BoolArray | None = None) -> FloatArray:
        """Of grids N×h×w×C (vector heads: or N×F): logits N×K, values N×V, or logits of a map N×H×W×K."""
        if isinstance(self.head, LinearHead | NeighbourHead):
            return self.head.logits(pooled_vectors(x, validity) if x.ndim == 4 else x)
        return self.head.logits(x, validity)  # type: ignore[no-any-return]


def fit_head(
    name: str, train: TrainingSet, validation: TrainingSet | None, n_classes: int, *, seed: int = 0
) -> Fitted:
    """Fit the named kind on a set of one regime; whatever it has to choose is chosen on `validation`.

    Grids are pooled for vector heads. `n_classes` means nothing to ridge. Raises InputError for an unknown name, and what
    the kind raises: a single class, labels outside the classes, groups on both sides, an empty or a non-finite set.
    """
    if name not in KINDS:
        raise InputError("there is no such head", expected=", ".join(KINDS), found=name)
    kind = KINDS[name]
    if kind.takes == "vector" and train.x.ndim == 4:
        train, validation = pooled(train), None if validation is None else pooled(validation)
    return Fitted(kind, kind.fit(train, validation, n_classes, seed))
