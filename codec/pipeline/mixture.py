"""Records of a scene that can each be coded in two ways, and their bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codec.bitstream import backends
from codec.bitstream import record as rec
from codec.bitstream.masks import PlaneMasks
from codec.package import Package
from codec.pipeline.quantising import Mean, Quantiser
from codec.pipeline.sources import Source
from codec.transform.budget import Sizes
from codec.types import BoolArray, Record, RecordHeader, RecordKind, SymbolArray


@dataclass(frozen=True)
class Choice:
    """One of the two ways in which a record may be coded."""

    ladder_offset: int
    zero: bool = False  # symbols above layer 0 stay zero


@dataclass(frozen=True)
class Group:
    """Tiles of one (plane, layer) that share a record."""

    plane: int
    layer: int
    first: int
    count: int


@dataclass(frozen=True)
class Mixture:
    """All records at one ladder index with their two choices."""

    ladder_index: int
    means: list[Mean | None]
    choices: tuple[Choice, Choice]
    groups: list[Group]
    lanes: list[tuple[int, int]]  # log2, of either choice of each record
    sizes: Sizes  # estimates
    overhead: int  # of the file, with this many records

    @property
    def least(self) -> int:
        return self.overhead + int(self.sizes.low.sum())


class Coding:
    """A mixture's records as bytes; single ones can be coded again the other way."""

    def __init__(
        self,
        package: Package,
        sources: Sequence[Source],
        masks: Sequence[PlaneMasks],
        mixture: Mixture,
        backend: str,
        tradeoff: float = 0.0,
    ) -> None:
        self._package, self._sources, self._masks, self._mixture = package, sources, masks, mixture
        self._tradeoff = tradeoff
        self._engine = backends.load(backend)
        self._symbols: list[SymbolArray] = []
        for source, mean in zip(sources, mixture.means, strict=True):
            symbols = Quantiser(package, source, mixture.ladder_index, mean, tradeoff).all()
            if mixture.choices[0].zero:
                maps = package.maps(source.number, mixture.ladder_index)
                symbols[:, maps.layer > 0] = 0
            self._symbols.append(symbols)
        self.finer = [False] * len(mixture.groups)
        self.parts: list[bytes] = self._encode(range(len(mixture.groups)))

    @property
    def size(self) -> int:
        return sum(map(len, self.parts))

    def set(self, finer: BoolArray) -> None:
        """Code these records (R, True: the finer choice) that way."""
        numbers = np.flatnonzero(finer).tolist()
        for number in numbers:
            self._place(number, finer=True)
        for number, data in zip(numbers, self._encode(numbers), strict=True):
            self.parts[number] = data

    def recode(self, number: int, *, finer: bool) -> int:
        """Code one record the given way; returns by how many bytes it grew."""
        before = len(self.parts[number])
        self._place(number, finer=finer)
        (self.parts[number],) = self._encode([number])
        return len(self.parts[number]) - before

    def undo(self, number: int, data: bytes) -> None:
        """Take back what `recode` did to one record that was coded the lower way."""
        self._place(number, finer=False)
        self.parts[number] = data

    def records(self) -> list[Record]:
        """In file order."""
        return [
            Record(rec.unpack(int.from_bytes(data[: rec.HEADER_SIZE], "little")), data) for data in self.parts
        ]

    def _place(self, number: int, *, finer: bool) -> None:
        group = self._mixture.groups[number]
        choice = self._mixture.choices[finer]
        source, mean = self._sources[group.plane], self._mixture.means[group.plane]
        index = self._mixture.ladder_index + choice.ladder_offset
        tiles = slice(group.first, group.first + group.count)
        values, cells = Quantiser(self._package, source, index, mean, self._tradeoff).layer(
            group.layer, tiles
        )
        if choice.zero and group.layer:
            values[:] = 0
        self._symbols[group.plane][tiles, cells] = values
        self.finer[number] = finer

    def _encode(self, numbers: Sequence[int]) -> list[bytes]:
        groups = self._mixture.groups
        coded: dict[int, bytes] = {}
        for plane in sorted({groups[number].plane for number in numbers}):
            own = [number for number in numbers if groups[number].plane == plane]
            masks = self._masks[plane]
            flat = (len(masks.tile_mask), -1)
            words = np.array([self._word(number) for number in own], dtype=np.uint64)
            found = self._engine.encode_records(
                self._package.tables, words, self._mixture.ladder_index, self._symbols[plane],
                masks.tile_mask, masks.token_mask.reshape(flat), masks.derived.reshape(flat),
            )  # fmt: skip
            coded.update(zip(own, found, strict=True))
        return [coded[number] for number in numbers]

    def _word(self, number: int) -> int:
        group, lanes = self._mixture.groups[number], self._mixture.lanes[number]
        finer = self.finer[number]
        offset = self._mixture.choices[finer].ladder_offset
        head = RecordHeader(
            RecordKind.COEFFICIENTS, group.plane, group.layer, lanes[finer], offset, group.first, group.count, 1
        )  # fmt: skip
        return rec.pack_fields(head)
