"""Which implementation codes the symbols: chosen by name, imported only when named, never fallen back from."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Protocol

import numpy as np
import numpy.typing as npt

from codec.bitstream import core
from codec.bitstream.core import Buffer, IntSymbols, Refusal, TableSet
from codec.errors import BackendUnavailable
from codec.types import BoolArray, SymbolArray

GROUP = "swathpack.entropy_backends"
DEFAULT = "core"


class EntropyBackend(Protocol):
    """What an entry point of the group leads to: a module or object with these functions. Where it may be that a machine
    cannot run it, it has `check()` too, which raises BackendUnavailable then.

    Contracts are those of codec.bitstream.core, to the byte: equal symbols give equal records on every back end.
    Only the arguments below are ever passed: what the core takes beyond them (order, threads, arrays of floats) a back
    end may lack.
    """

    def encode_records(
        self,
        tables: TableSet,
        headers: npt.NDArray[np.uint64],
        ladder_index: int,
        symbols: IntSymbols,
        tile_mask: BoolArray,
        token_mask: BoolArray,
        doubled: BoolArray,
    ) -> list[bytes]: ...

    def decode_records(
        self,
        tables: TableSet,
        records: Sequence[Buffer],
        ladder_index: int,
        n_tiles: int,
        doubled: BoolArray,
        out: SymbolArray,
        out_token_mask: BoolArray,
        out_layers: npt.NDArray[np.uint16],
        plane: int,
    ) -> list[Refusal | None]: ...

    def tile_costs(
        self, tables: TableSet, plane: int, layer: int, ladder_index: int, symbols: IntSymbols
    ) -> npt.NDArray[np.uint64]: ...


def names() -> tuple[str, ...]:
    """The back ends that are installed, the built-in one first."""
    return (DEFAULT, *sorted({point.name for point in entry_points(group=GROUP)} - {DEFAULT}))


def load(name: str = DEFAULT) -> EntropyBackend:
    """The back end called `name`. Raises BackendUnavailable, naming those that are there, or what this machine lacks."""
    if name == DEFAULT:
        return core
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    if not found:
        raise BackendUnavailable(
            f"no entropy back end is called {name!r}", fix=f"choose one of {', '.join(names())}"
        )
    try:
        backend: EntropyBackend = found[0].load()
    except ImportError as error:
        raise BackendUnavailable(
            f"the entropy back end {name!r} cannot be imported ({error})",
            fix=f"install what it needs, or use {DEFAULT}",
        ) from error
    getattr(backend, "check", lambda: None)()
    return backend
