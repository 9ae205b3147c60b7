"""The axis that the benchmark lacks: what an entry's vectors are worth once they are bytes.

Vectors travel as a plane of one token. Any `EmbeddingMethod` can be asked; the plain ones and the project's own codec are
here. Whatever a method fits (ranges, transform, tables) it fits on one half of the items, without labels, and codes the
other: no vector is coded by something that saw it. Sizes are bytes of complete records. What both sides must share once
is not in them and is stated apart, `shared_bytes`: for a set of a few hundred vectors a transform outweighs them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from codec.bitstream.coefficients import decode, encode_file_records
from codec.bitstream.core import TableSet
from codec.bitstream.header import FileHeader
from codec.errors import InputError, InternalError
from codec.evaluate.rate.types import Coded, EmbeddingCoder, EmbeddingMethod, IntArray, Method, Planes
from codec.transform.fit import FittedCodec, fit_planes
from codec.transform.layout import PlaneLayout
from codec.transform.maps import quant_maps
from codec.transform.rate import choose_ladder_index
from codec.types import (
    FloatArray,
    Georeference,
    PlaneKind,
    PlaneSpec,
    Symbols,
    TileGrid,
)

PLANE = "tokens"
BUDGETS = (256, 128, 64, 32, 16)  # bytes per vector
_SMALLEST_SHARE = 2  # a budget that is not below half of float16 is no point of a curve


def as_planes(vectors: FloatArray) -> Planes:
    """N×D as planes of one token."""
    n = len(vectors)
    return Planes(
        {PLANE: np.ascontiguousarray(vectors[:, None, None, :], np.float32)}, np.ones((n, 1, 1), np.bool_)
    )


def _vectors(planes: Planes) -> FloatArray:
    return planes.values[PLANE][:, 0, 0]


def _coded(setting: str, decoded: FloatArray, total_bytes: float) -> Coded:
    n = len(decoded)
    return Coded(
        setting, np.full(n, total_bytes / n), {PLANE: np.asarray(decoded, np.float32)[:, None, None, :]}
    )


@dataclass(slots=True)
class Shortened:
    """Every number as float32 or float16. Nothing is fitted."""

    type_name: str
    about: Method = field(init=False)

    def __post_init__(self) -> None:
        self.about = Method(self.type_name, "embedding", "IEEE 754")

    def fit(self, train: Planes) -> Shortened:
        return self

    @property
    def settings(self) -> Sequence[str]:
        return (self.type_name,)

    @property
    def shared_bytes(self) -> int:
        return 0

    def code(self, planes: Planes, setting: str) -> Coded:
        with np.errstate(over="ignore"):
            data = _vectors(planes).astype(np.dtype(self.type_name).newbyteorder("<")).tobytes()
        decoded = np.frombuffer(data, np.dtype(self.type_name).newbyteorder("<")).reshape(len(planes), -1)
        if not np.isfinite(decoded).all():
            raise InputError(
                f"the vectors exceed the range of {self.type_name}",
                fix="scale the embeddings before they are entered",
            )
        return _coded(setting, decoded.astype(np.float32), len(data))


@dataclass(frozen=True, slots=True)
class _ByteCoder:
    low: FloatArray
    step: FloatArray

    @property
    def settings(self) -> Sequence[str]:
        return ("int8",)

    @property
    def shared_bytes(self) -> int:
        return int(self.low.nbytes + self.step.nbytes)

    def code(self, planes: Planes, setting: str) -> Coded:
        x = _vectors(planes)
        data = (np.clip(np.rint((x - self.low) / self.step), 0, 255) - 128).astype(np.int8).tobytes()
        symbols = np.frombuffer(data, np.int8).reshape(x.shape).astype(np.float32) + 128
        return _coded(setting, symbols * self.step + self.low, len(data))


@dataclass(slots=True)
class Int8:
    """One byte per dimension between the least and largest value of the fitted half; beyond them it saturates."""

    about: Method = field(default_factory=lambda: Method("int8", "embedding", "uniform steps per dimension"))

    def fit(self, train: Planes) -> EmbeddingCoder:
        x = _vectors(train)
        low, high = x.min(axis=0), x.max(axis=0)
        step = np.where(high > low, (high - low) / np.float32(255), np.float32(1))
        return _ByteCoder(low.astype(np.float32), step.astype(np.float32))


@dataclass(frozen=True)
class _RecordCoder:
    fitted: FittedCodec
    tables: TableSet
    budgets: tuple[int, ...]

    @property
    def settings(self) -> Sequence[str]:
        return tuple(f"{budget} B" for budget in self.budgets)

    @property
    def shared_bytes(self) -> int:
        transform = self.fitted.transforms[PLANE]
        return len(self.fitted.tables_bytes) + int(transform.basis.nbytes + transform.mean.nbytes)

    def code(self, planes: Planes, setting: str) -> Coded:
        if setting not in self.settings:
            raise InputError(f"there is no setting {setting!r}", expected=", ".join(self.settings))
        budget = self.budgets[list(self.settings).index(setting)]
        n, transform = len(planes), self.fitted.transforms[PLANE]
        latent = transform.analyse(planes.values[PLANE])

        def records(index: int) -> tuple[FileHeader, list]:
            maps = quant_maps(self.fitted.tables, 0, index)
            header = FileHeader(
                sensor="vectors",
                codec_id=b"vectors.",
                grid=TileGrid(n, 1, 1, 1),
                georeference=Georeference((1.0, 0.0, 0.0, 0.0, 1.0, 0.0)),
                planes=(PlaneSpec(1, 1, transform.channels, 1, PlaneKind.FLOAT, b"vectors."),),
                ladder_index=index,
            )
            symbols = Symbols(0, maps.quantise(latent), planes.validity)
            return header, encode_file_records(self.tables, header, [symbols])

        # Real bytes decide, not their estimate.
        def cost(index: int) -> float:
            return sum(len(record.data) for record in records(index)[1]) / n

        index = choose_ladder_index(self.fitted.tables.usable_indices(), cost, budget)
        header, sent = records(index)
        found = decode(self.tables, header, sent)
        if found.missing or found.damaged:
            raise InternalError("vectors that were coded do not decode", found=found.damaged[:1])
        maps = quant_maps(self.fitted.tables, 0, index)
        decoded = transform.synthesise(maps.reconstruct(found.planes[0].values))
        return _coded(setting, decoded[:, 0, 0], sum(len(record.data) for record in sent))


@dataclass(slots=True)
class Codec:
    """This project's codec fitted to vectors: mean, KLT, steps by scale, integer tables, records of about 960 bytes."""

    budgets: tuple[int, ...] = BUDGETS
    about: Method = field(default_factory=lambda: Method("swathpack", "embedding", "docs/bitstream.md"))

    def fit(self, train: Planes) -> EmbeddingCoder:
        fitted = fit_planes({PLANE: train.values[PLANE]}, layouts={PLANE: PlaneLayout(n_layers=1)})
        return _RecordCoder(fitted, TableSet(fitted.tables_bytes), self.budgets)


def methods_for(width: int, budgets: Sequence[int] = BUDGETS) -> list[EmbeddingMethod]:
    """float32, float16, int8, and the codec at the budgets that are below half of float16."""
    useful = tuple(b for b in sorted(set(budgets), reverse=True) if _SMALLEST_SHARE * b <= 2 * width)
    plain: list[EmbeddingMethod] = [Shortened("float32"), Shortened("float16"), Int8()]
    return [*plain, Codec(useful)] if useful else plain


@dataclass(frozen=True, slots=True)
class Sent:
    """An entry's vectors after one method at one setting."""

    name: str  # method, and setting where it has several
    vectors: FloatArray  # N×D, decoded
    bytes_per_item: float
    shared_bytes: int | None  # once, on both sides; None where the method does not say


def halves_of(n: int, groups: IntArray | None = None, seed: int = 0) -> np.ndarray:
    """Which half each item belongs to, 0 or 1; groups stay whole."""
    numbers = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    names = int(numbers.max()) + 1
    if names < 2:
        raise InputError("one group cannot be halved", found=names)
    order = np.random.default_rng(seed).permutation(names)
    return np.asarray(order < names // 2, np.int64)[numbers]


def sent(
    vectors: FloatArray,
    methods: Sequence[EmbeddingMethod],
    groups: IntArray | None = None,
    skipped: Callable[[str], None] = lambda line: None,
) -> Iterator[Sent]:
    """The vectors as the ground would have them, by method and setting, each half coded by what was fitted on the other.

    A setting that a method cannot reach on these vectors is left out, and `skipped` is told why.
    """
    half = halves_of(len(vectors), groups)
    for method in methods:
        coders = [method.fit(as_planes(vectors[half != h])) for h in (0, 1)]
        shared = [getattr(coder, "shared_bytes", None) for coder in coders]
        several = len(coders[0].settings) > 1 or isinstance(method, Codec)
        for setting in coders[0].settings:
            name = f"{method.about.name} {setting}" if several else method.about.name
            decoded, total = np.empty_like(vectors), 0.0
            try:
                for h, coder in enumerate(coders):
                    coded = coder.code(as_planes(vectors[half == h]), setting)
                    decoded[half == h] = coded.planes[PLANE][:, 0, 0]
                    total += float(coded.sizes.sum())
            except InputError as error:
                skipped(f"{name}: {error}")
                continue
            bytes_shared = None if None in shared else max(int(s) for s in shared if s is not None)
            yield Sent(name, decoded, total / len(vectors), bytes_shared)
