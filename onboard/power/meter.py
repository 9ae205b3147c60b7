"""Energy of a window: a counter's difference, or power sampled by a thread and integrated."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Protocol

from codec.errors import InternalError, SwathpackError, TryAgain
from onboard.power.source import PowerSource

SAMPLES_PER_S = 20.0  # wanted; an INA3221 itself averages over some milliseconds
LEAST_PER_S = 10.0  # below that a window is not believed


@dataclass(frozen=True, slots=True)
class Sample:
    """Power at a time."""

    at: float  # s, of any steady clock
    watts: float


@dataclass(frozen=True, slots=True)
class Consumed:
    """What one window took."""

    joules: float
    seconds: float
    source: str
    samples: int  # 0: a counter

    @property
    def watts(self) -> float:
        return self.joules / self.seconds

    def per(self, images: int) -> float:
        """Joules an image."""
        return self.joules / images


class Stop(Protocol):
    """What of `threading.Event` a sampling thread needs."""

    def set(self) -> None: ...

    def wait(self, timeout: float) -> bool:
        """Whether to stop, after so many seconds at most."""
        ...


def integrate(samples: Sequence[Sample]) -> float:
    """∫ P dt in joules by trapezoids, from the first sample to the last; samples need not be even."""
    return sum((b.at - a.at) * (a.watts + b.watts) / 2 for a, b in pairwise(samples))


class Meter:
    """Measures what passes inside a `with`; `consumed` afterwards."""

    def __init__(
        self, source: PowerSource, *, clock: Callable[[], float] = time.perf_counter, stop: Stop | None = None
    ) -> None:
        self._source, self._clock = source, clock
        self._stop: Stop = threading.Event() if stop is None else stop
        self._samples: list[Sample] = []
        self._before: float | None = None
        self._error: SwathpackError | None = None
        self._thread: threading.Thread | None = None
        self._consumed: Consumed | None = None

    @property
    def consumed(self) -> Consumed:
        """Raises what a reading raised, and TryAgain for a window with too few samples or a counter that fell back."""
        if self._error is not None:
            raise self._error
        if self._consumed is None:
            raise InternalError("a meter is read after its window")
        return self._consumed

    def __enter__(self) -> Meter:
        try:
            self._before = self._source.joules()
            if self._before is None:
                self._take()
        except SwathpackError as error:  # what is inside runs all the same: it is energy alone that is lost
            self._error = error
            return self
        if self._before is None:
            self._thread = threading.Thread(target=self._sample, name="power", daemon=True)
            self._thread.start()
        else:
            self._began = self._clock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
        if error is None and self._error is None:
            try:
                self._consumed = self._counted() if self._before is not None else self._sampled()
            except SwathpackError as refusal:
                self._error = refusal

    def _counted(self) -> Consumed:
        now, seconds = self._source.joules(), self._clock() - self._began
        if now is None or self._before is None or now < self._before:
            raise TryAgain(
                "the energy counter fell back or vanished", expected=f"{self._before} J or more", found=now,
                fix="measure again",
            )  # fmt: skip
        return Consumed(now - self._before, seconds, self._source.name, 0)

    def _sampled(self) -> Consumed:
        self._take()
        n, seconds = len(self._samples), self._samples[-1].at - self._samples[0].at
        if seconds <= 0 or (n - 1) / seconds < LEAST_PER_S:
            raise TryAgain(
                "power was sampled too rarely", expected=f"{LEAST_PER_S:g} a second",
                found=f"{n} in {seconds:.3g} s", fix="measure again with less beside it",
            )  # fmt: skip
        return Consumed(integrate(self._samples), seconds, self._source.name, n)

    def _sample(self) -> None:
        try:
            while not self._stop.wait(1 / SAMPLES_PER_S):
                self._take()
        except SwathpackError as error:
            self._error = error

    def _take(self) -> None:
        # A reading over I²C takes milliseconds: it belongs to their middle.
        before = self._clock()
        watts = self._source.watts()
        self._samples.append(Sample((before + self._clock()) / 2, watts))
