"""The threads that wait between calls: several callers at once, and a process that has forked."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from array_forms import many_records

TASKS = Path("/proc/self/task")


def test_callers_in_several_threads_share_the_waiting_ones() -> None:
    case = many_records(5)
    records = case.encode()
    expected = case.decode(records).symbols
    wrong: list[int] = []

    def call(caller: int) -> None:
        for threads in (2, 3, 5) * 10:
            if case.encode(threads=threads) != records:
                wrong.append(caller)
            if not np.array_equal(case.decode(records, threads=threads).symbols, expected):
                wrong.append(caller)

    callers = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert not any(caller.is_alive() for caller in callers)
    assert not wrong


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_forked_child_has_threads_of_its_own() -> None:
    case = many_records(5)
    records = case.encode(threads=3)  # by now the parent's are waiting
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what is tested
        child = os.fork()
    if child == 0:
        signal.alarm(30)  # a child that waits for threads it lacks ends here
        same = case.encode(threads=3) == records and case.decode(records, threads=3).outcomes == [None] * 40
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not TASKS.is_dir(), reason="counts threads through /proc")
def test_calls_start_no_more_threads_than_they_ask_for() -> None:
    case = many_records(5)
    case.encode(threads=4)
    before = sum(1 for _ in TASKS.iterdir())
    for _ in range(20):
        case.encode(threads=4)
        case.encode(threads=2)
    assert sum(1 for _ in TASKS.iterdir()) <= before
