"""A lossy channel for packets: loss alone or in bursts, copies, reordering, bit errors; all from one seed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from codec.errors import InputError
from codec.types import Packet


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """What a channel did to the packets so far."""

    sent: int = 0
    lost: int = 0
    bursts: int = 0  # runs of lost packets
    longest_burst: int = 0  # packets
    duplicated: int = 0  # extra copies
    displaced: int = 0  # packets that arrived after one sent later
    damaged: int = 0  # packets with at least one flipped bit
    delivered: int = 0  # packets that came out, copies included


class Channel:
    """Passes packets on as a radio link would.

    `loss` is the probability of losing a packet, the same for every packet, the first included. `burst` is the mean
    length of a run of lost packets: 1 means that losses are independent; above 1 a two-state Markov chain
    (Gilbert 1960, Elliott 1963, with loss 0 in the good and 1 in the bad state) starts from its stationary distribution.
    A packet overtakes at most packets that were sent up to `reorder` places before it. `duplicate` is the
    probability that a delivered packet comes twice, `bit_error` that of each bit to be flipped. Calls of `send`
    continue one transmission. Raises InputError for values that no such channel has.
    """

    def __init__(
        self,
        loss: float = 0.0,
        burst: float = 1.0,
        reorder: int = 0,
        duplicate: float = 0.0,
        seed: int = 0,
        bit_error: float = 0.0,
    ) -> None:
        for name, value in (("loss", loss), ("duplicate", duplicate), ("bit_error", bit_error)):
            if not 0.0 <= value <= 1.0:
                raise InputError(f"the channel's {name} is a probability", expected="0 to 1", found=value)
        if not 1.0 <= burst < float("inf"):
            raise InputError("the mean length of a burst is at least one packet", found=burst)
        if reorder < 0:
            raise InputError("the reordering window cannot be negative", found=reorder)
        self._independent = burst == 1.0 or loss in (0.0, 1.0)
        self._leave_bad = 1.0 / burst
        # Stationary share of the bad state: enter / (enter + leave) = loss.
        self._enter_bad = 0.0 if self._independent else loss * self._leave_bad / (1.0 - loss)
        if self._enter_bad > 1.0:
            raise InputError(
                f"bursts of {burst:g} packets cannot add up to a loss of {loss:g}",
                fix=f"give a burst length of at least {loss / (1.0 - loss):.3g}",
            )
        self._loss = loss
        self._reorder = reorder
        self._duplicate = duplicate
        self._bit_error = bit_error
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._bad: bool | None = None  # state of the packet before; None: nothing was sent yet
        self._run = 0  # lost packets in a row so far
        self.report = ChannelReport()

    def send(self, packets: Iterable[Packet | bytes]) -> list[bytes]:
        """What arrives of `packets`, in order of arrival."""
        sent = [p.data if isinstance(p, Packet) else bytes(p) for p in packets]
        kept = np.flatnonzero(~self._losses(len(sent)))
        copies = 1 + (self._rng.random(kept.size) < self._duplicate)
        order = np.repeat(kept, copies)
        if self._reorder:
            # Keys closer than the window may swap: a later packet overtakes only within it.
            keys = order + self._rng.random(order.size) * (self._reorder + 1)
            order = order[np.argsort(keys, kind="stable")]
        arrived = [sent[i] for i in order]
        damaged = self._damage(arrived)
        self.report = replace(
            self.report,
            sent=self.report.sent + len(sent),
            lost=self.report.lost + len(sent) - int(kept.size),
            duplicated=self.report.duplicated + int(order.size - kept.size),
            displaced=self.report.displaced + _displaced(order),
            damaged=self.report.damaged + damaged,
            delivered=self.report.delivered + len(arrived),
        )
        return arrived

    def _losses(self, count: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        draws = self._rng.random(count)
        if self._independent:
            lost = draws < self._loss
        else:
            lost = np.empty(count, dtype=np.bool_)
            bad = self._bad
            for i, draw in enumerate(draws):
                if bad is None:
                    bad = bool(draw < self._loss)
                else:
                    bad = bool(draw >= self._leave_bad) if bad else bool(draw < self._enter_bad)
                lost[i] = bad
            self._bad = bad
        self._count_bursts(lost)
        return lost

    def _count_bursts(self, lost: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        bursts, longest = self.report.bursts, self.report.longest_burst
        for one in lost:
            self._run = self._run + 1 if one else 0
            bursts += self._run == 1
            longest = max(longest, self._run)
        self.report = replace(self.report, bursts=bursts, longest_burst=longest)

    def _damage(self, arrived: list[bytes]) -> int:
        """Flip bits in place; returns how many packets were hit."""
        if not self._bit_error:
            return 0
        hit = 0
        for i, data in enumerate(arrived):
            flips = np.packbits(self._rng.random(8 * len(data)) < self._bit_error)
            if flips.any():
                arrived[i] = (np.frombuffer(data, dtype=np.uint8) ^ flips).tobytes()
                hit += 1
        return hit


def _displaced(order: np.ndarray[tuple[int], np.dtype[np.intp]]) -> int:
    """How many packets came after one that was sent later."""
    if order.size < 2:
        return 0
    return int(np.count_nonzero(order[1:] < np.maximum.accumulate(order)[:-1]))
