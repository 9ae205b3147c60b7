"""Pixels on a device to finished `.nec` files in host memory, with coding hidden behind the encoder.

    stream of the encoder   │ batch 0 │ batch 1 │ batch 2 │ …
    stream of the copies              │ 0 │     │ 1 │        16-bit symbols into page-locked memory
    threads of the core                   │ code 0  │ code 1 │ …

The core codes without Python's lock, so a few threads keep up with a GPU. On a processor the same code runs without streams:
there it hides nothing, and its tests hold its bytes against the plain way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from codec.bitstream.coefficients import encode_file_records
from codec.bitstream.header import FileHeader
from codec.bitstream.writer import to_bytes
from codec.package import Package
from codec.types import Georeference, Symbols, TileGrid

Encode = Callable[
    [Tensor], dict[str, Tensor]
]  # pixels of a batch → int16 symbols N×C×F of every plane, on the device


@dataclass(frozen=True)
class FileCoder:
    """A `.nec` of one batch of wholly valid tiles, at the package's default quality."""

    package: Package
    target_bytes: int = 960

    def code(self, symbols: dict[str, np.ndarray]) -> bytes:
        """Header, records, index and seal; `symbols` int16 N×C×F by plane. Raises InputError where they do not fit."""
        package = self.package
        n, core = len(next(iter(symbols.values()))), package.tile.core
        header = FileHeader(
            sensor="benchmark",
            codec_id=package.codec_id,
            grid=TileGrid(core * n, core, core, core),
            georeference=Georeference((1, 0, 0, 0, -1, 0)),
            planes=package.plane_specs,
            ladder_index=package.default_ladder_index,
            band_mask=(1 << len(package.bands)) - 1,
        )
        specs = {plane.name: plane.spec for plane in package.planes}
        given = [
            Symbols(
                package.plane_index(name),
                values,
                np.ones((n, specs[name].rows, specs[name].cols), dtype=bool),
            )
            for name, values in symbols.items()
        ]
        return to_bytes(
            header, encode_file_records(package.tables, header, given, target_bytes=self.target_bytes)
        )


def plain(encode: Encode, coder: FileCoder, batches: Iterable[Tensor]) -> list[bytes]:
    """One step after another: what the overlapped way must equal, byte for byte."""
    with torch.inference_mode():
        return [
            coder.code({name: values.cpu().numpy() for name, values in encode(pixels).items()})
            for pixels in batches
        ]


class Overlapped:
    """Encodes, copies and codes batches of one size at the same time; files come out in order."""

    def __init__(
        self, encode: Encode, coder: FileCoder, device: str, *, threads: int = 4, depth: int | None = None
    ) -> None:
        """`depth`: batches in flight, each with page-locked memory of its own; by default two more than threads."""
        self._encode, self._coder = encode, coder
        self._cuda = device.startswith("cuda")
        self._copies: Any = torch.cuda.Stream() if self._cuda else None
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="coder")
        self._free: deque[dict[str, Tensor]] = deque()  # buffers that nobody reads or writes
        self._left = threads + 2 if depth is None else depth  # buffers that may still be made

    def run(self, batches: Iterable[Tensor]) -> list[bytes]:
        """One file a batch. Raises what coding raises."""
        files: list[bytes] = []
        flying: deque[Future[tuple[bytes, dict[str, Tensor]]]] = deque()
        with torch.inference_mode():
            for pixels in batches:
                symbols = self._encode(pixels)
                while not self._free and not self._left:
                    self._land(flying, files)
                host = self._buffer(symbols)
                arrived = self._copy(symbols, host)
                flying.append(self._pool.submit(self._code, host, arrived))
        while flying:
            self._land(flying, files)
        return files

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _land(self, flying: deque[Future[tuple[bytes, dict[str, Tensor]]]], files: list[bytes]) -> None:
        """Wait for the oldest batch; its buffer is free again."""
        data, host = flying.popleft().result()
        files.append(data)
        self._free.append(host)

    def _buffer(self, symbols: dict[str, Tensor]) -> dict[str, Tensor]:
        if self._free:
            return self._free.popleft()
        self._left -= 1
        return {
            name: torch.empty(values.shape, dtype=values.dtype, pin_memory=self._cuda)
            for name, values in symbols.items()
        }

    def _copy(self, symbols: dict[str, Tensor], host: dict[str, Tensor]) -> Any:
        """Start the copy behind the encoder's work; an event that tells when it is done."""
        if self._cuda:
            self._copies.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._copies) if self._cuda else nullcontext():
            for name, values in symbols.items():
                host[name].copy_(values, non_blocking=True)
                if self._cuda:
                    values.record_stream(self._copies)  # its memory is not given away before the copy is done
            if not self._cuda:
                return None
            arrived = torch.cuda.Event(blocking=True)  # who waits for it sleeps: cores are for coding
            arrived.record(self._copies)
            return arrived

    def _code(self, host: dict[str, Tensor], arrived: Any) -> tuple[bytes, dict[str, Tensor]]:
        if arrived is not None:
            arrived.synchronize()
        return self._coder.code({name: values.numpy() for name, values in host.items()}), host
