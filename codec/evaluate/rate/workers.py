"""Pieces of work side by side: each (set, method) is scored, and each question reported, by itself.

Processes are started afresh, not forked: libraries of this one may hold threads. Each prepares for itself what all pieces
share and gives its libraries one thread, so that as many run as there are processors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeVar

from codec.errors import LimitExceeded

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_here: list[Any] = []  # what this worker prepared

Shared = TypeVar("Shared")
Piece = TypeVar("Piece")
Result = TypeVar("Result")


def side_by_side(
    pieces: Sequence[Piece],
    function: Callable[[Shared, Piece], Result],
    shared: Shared,
    prepare: Callable[[], Shared],
    processes: int,
) -> Iterator[tuple[Piece, Result]]:
    """`function(shared, piece)` of every piece, each as it is done; here, one after another, when `processes` is 1.

    `prepare` makes in another process what `shared` is in this one; both functions must be picklable.
    """
    processes = min(processes, len(pieces))
    if processes <= 1:
        yield from ((piece, function(shared, piece)) for piece in pieces)
        return
    spawn = get_context("spawn")
    with (
        _one_thread_each(),
        ProcessPoolExecutor(processes, mp_context=spawn, initializer=_open, initargs=(prepare,)) as pool,
    ):
        pending = {pool.submit(_call, function, piece): piece for piece in pieces}
        try:
            for future in as_completed(pending):
                yield pending[future], future.result()
        except BrokenProcessPool as error:
            raise LimitExceeded(
                "a process died, probably for want of memory",
                found=f"{processes} processes",
                fix="give fewer --processes; the run goes on where it was",
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _open(prepare: Callable[[], Any]) -> None:
    import torch

    torch.set_num_threads(1)
    _here[:] = [prepare()]


def _call(function: Callable[[Any, Piece], Result], piece: Piece) -> Result:
    return function(_here[0], piece)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """For processes that are started inside: libraries read these when they are loaded."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
