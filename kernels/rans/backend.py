"""The entropy back end `gpu` (`codec.bitstream.backends`): the core's bytes, coded on a GPU.

What kernels do not take (records with a token mask, several that say the same, such as do not hold) goes through the core,
whose word on a refusal is the only one. Without a GPU the back end says so and codes nothing: `core` is the other choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

from codec.bitstream import core
from codec.bitstream.core import Buffer, IntSymbols, Refusal, TableSet
from codec.errors import BackendUnavailable, SwathpackError, TryAgain
from codec.types import MAX_TILES, BoolArray, SymbolArray
from kernels.launch import has_triton
from kernels.rans.decode import Decoded, decode_on
from kernels.rans.encode import encode_on

tile_costs = core.tile_costs


def device() -> torch.device:
    """Where kernels run: the current GPU, or the CPU in a process that interprets Triton. Raises BackendUnavailable."""
    if has_triton():
        from triton import knobs

        if knobs.runtime.interpret:
            return torch.device("cpu")
        if torch.cuda.is_available() and not torch.version.hip:
            if torch.cuda.get_device_capability() >= (8, 0):
                return torch.device("cuda")
            raise BackendUnavailable("the GPU's compute capability is below 8.0", fix="use the back end core")
    raise BackendUnavailable(
        "the entropy back end 'gpu' needs an NVIDIA GPU and the package triton",
        fix="pip install triton, or use core",
    )


def check() -> None:
    """Raise BackendUnavailable where there is nothing that the kernels run on."""
    device()


def encode_records(
    tables: TableSet,
    headers: npt.NDArray[np.uint64],
    ladder_index: int,
    symbols: IntSymbols,
    tile_mask: BoolArray,
    token_mask: BoolArray,
    doubled: BoolArray,
) -> list[bytes]:
    """As `codec.bitstream.core.encode_records`."""
    where = device()
    arguments = ladder_index, symbols, tile_mask, token_mask, doubled
    found: dict[int, bytes] | None = None
    if _fit(tables, headers, *arguments):
        writable = np.require(symbols, requirements="W")  # torch warns of one that is not; it is only read
        with _room_on_the_gpu():
            by_token = torch.from_numpy(writable).to(where).to(torch.int16).movedim(1, 2).contiguous()
            found = encode_on(tables, headers, ladder_index, by_token, tile_mask, token_mask, doubled)
    if found is None:
        return core.encode_records(tables, headers, *arguments)
    left = [number for number in range(len(headers)) if number not in found]
    try:
        found.update(zip(left, core.encode_records(tables, headers[left], *arguments), strict=True))
    except SwathpackError:  # it names the record by its number among those that it was given
        return core.encode_records(tables, headers, *arguments)
    return [found[number] for number in range(len(headers))]


def _fit(
    tables: TableSet, headers: npt.NDArray[np.uint64], ladder_index: int, symbols: IntSymbols, tile_mask: BoolArray,
    token_mask: BoolArray, doubled: BoolArray,
) -> bool:  # fmt: skip
    """Whether the arguments are what the core takes: it says what of them is wrong."""
    masks = tile_mask, token_mask, doubled
    if headers.dtype != np.uint64 or symbols.dtype not in (np.int8, np.int16):
        return False
    if headers.ndim != 1 or symbols.ndim != 3 or not len(headers) or len(symbols) > MAX_TILES:
        return False
    if any(mask.dtype not in (np.bool_, np.uint8) for mask in masks):
        return False
    if not all(array.flags.c_contiguous for array in (headers, symbols, *masks)):
        return False
    plane = int(headers[0]) >> 3 & 7
    if plane >= tables.n_planes or not 0 <= ladder_index < tables.n_ladder:
        return False
    layout = core.plane_layout(tables, plane)
    n, tokens = len(symbols), len(layout["bands"])
    shapes = [array.shape for array in (symbols, *masks)]
    return shapes == [(n, layout["channels"], tokens), (n,), (n, tokens), (n, tokens)]


def decode_records(
    tables: TableSet,
    records: Sequence[Buffer],
    ladder_index: int,
    n_tiles: int,
    doubled: BoolArray,
    out: SymbolArray,
    out_token_mask: BoolArray,
    out_layers: npt.NDArray[np.uint16],
    plane: int,
) -> list[Refusal | None]:
    """As `codec.bitstream.core.decode_records`."""
    into = doubled, out, out_token_mask, out_layers, plane
    core.decode_records(tables, [], ladder_index, n_tiles, *into)  # it says what of the arguments is wrong
    with _room_on_the_gpu():
        found = decode_on(device(), tables, records, ladder_index, n_tiles, plane)
    taken = _hand_over(found, out, out_token_mask, out_layers, doubled)
    left = [number for number in range(len(records)) if number not in taken]
    refusals: list[Refusal | None] = [None] * len(records)
    said = core.decode_records(tables, [records[number] for number in left], ladder_index, n_tiles, *into)
    for number, refusal in zip(left, said, strict=True):
        refusals[number] = refusal
    return refusals


def _hand_over(
    found: Decoded,
    out: SymbolArray,
    out_token_mask: BoolArray,
    out_layers: npt.NDArray[np.uint16],
    doubled: BoolArray,
) -> set[int]:
    """Write what held records say; their numbers. One with a value that `out` cannot hold is the core's to refuse."""
    symbols = found.symbols.cpu().numpy()
    taken = set()
    least, most = np.iinfo(out.dtype).min, np.iinfo(out.dtype).max
    for one in found.held:
        tiles, mask = slice(one.first, one.first + one.tiles), one.plan.all
        said = symbols[tiles]
        if out.dtype != said.dtype:
            ends = said.min(initial=0, where=mask), said.max(initial=0, where=mask)
            if ends[0] < least or ends[1] > most:
                continue
        np.copyto(out[tiles].transpose(0, 2, 1), said, casting="unsafe", where=mask)
        if one.layer == 0:
            out_token_mask[tiles] = True
            out_token_mask[one.live] = doubled[one.live] != 0
        out_layers[tiles] |= np.uint16(1 << one.layer)
        taken.add(one.number)
    return taken


@contextmanager
def _room_on_the_gpu() -> Iterator[None]:
    """A GPU without room, now or ever, says nothing of the file: a station keeps the file and asks again."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TryAgain(
            f"the GPU has too little memory ({str(error).splitlines()[0]})",
            fix="free some of it and try again, or use the back end core",
        ) from error
