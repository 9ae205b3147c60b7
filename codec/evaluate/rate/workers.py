"""Scoring side by side: every (set, method) is a piece of work of its own, and answers travel over the disk.

Processes are started afresh, not forked: libraries of this one may hold threads. Each reads the sets for itself and gives
its libraries one thread, so that as many run as there are processors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context

from codec.errors import InternalError
from codec.evaluate.rate.run import Entry, Run

Prepared = tuple[Run, dict[str, Entry]]  # a run, and its methods by name
Work = tuple[str, str]  # set, method
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_here: Prepared | None = None  # of this worker


def score_all(
    run: Run,
    methods: dict[str, Entry],
    work: Sequence[Work],
    prepare: Callable[[], Prepared],
    processes: int,
) -> Iterator[tuple[Work, str]]:
    """Leave the answers of all pieces of `work` on disk; yields each as it is done with what its audit refused, or "".

    `prepare`, picklable, makes in another process the run and the methods that this one holds.
    """
    open_work = [(name, method) for name, method in work if not run.is_scored(name, methods[method])]
    for done in work:
        if done not in open_work:
            yield done, ""
    processes = min(processes, len(open_work))
    if processes <= 1:
        yield from ((piece, _scored(run, methods[piece[1]], piece)) for piece in open_work)
        return
    for name in dict.fromkeys(name for name, _ in open_work):
        run.planes(name)  # once, into the cache, before everybody wants them
    with (
        _one_thread_each(),
        ProcessPoolExecutor(
            processes, mp_context=get_context("spawn"), initializer=_open, initargs=(prepare,)
        ) as pool,
    ):
        pending = {pool.submit(_work, piece): piece for piece in open_work}
        try:
            for future in as_completed(pending):
                yield pending[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _scored(run: Run, entry: Entry, piece: Work) -> str:
    try:
        run.score(piece[0], entry)
    except InternalError as error:
        return f"{piece[0]}: {error}"
    return ""


def _open(prepare: Callable[[], Prepared]) -> None:
    global _here
    import torch

    torch.set_num_threads(1)
    _here = prepare()


def _work(piece: Work) -> str:
    if _here is None:
        raise InternalError("a worker was not prepared")
    run, methods = _here
    return _scored(run, methods[piece[1]], piece)


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
