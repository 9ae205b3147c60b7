"""docs/range_coding.md says nothing that is not so: each of its numbers is computed anew and must stand in the text.

A line `<!-- checked: NAME -->` stands before each block of numbers, which must be as the function NAME makes it;
sentences with numbers must occur as written here. Examples use Python's integers; what is measured uses the core.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from drawn_records import WORD, Records, mixed, sealed
from float_division import FREQUENCIES, float_division, quotients
from table_files import split_form

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "range_coding.md").read_text(encoding="utf-8")
SENTENCES = " ".join(TEXT.split())


def checked_block(name: str) -> str:
    """The fenced block or table behind its mark."""
    match = re.search(rf"<!-- checked: {name} -->\n(?:```\n(.*?)```\n|((?:\|[^\n]*\n)+))", TEXT, re.S)
    assert match is not None, f"the text has no block {name}"
    return match[1] or match[2]


def cells(name: str) -> list[list[str]]:
    """The lines of a table below its head."""
    return [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in checked_block(name).splitlines()[2:]
    ]


# ---- The coder, by the text, for words of any base: 65536, or 10 in the examples. ----


@dataclass
class Coder:
    """§2 and §3 of the text. `thresholds` T_0 … T_(K+1), `base` = M = L = b."""

    thresholds: list[int]
    base: int
    words: list[int] = field(default_factory=list)  # in the order the decoder reads them

    def push(self, x: int, k: int) -> tuple[int, int | None]:
        start, f = self.thresholds[k], self.thresholds[k + 1] - self.thresholds[k]
        word = None
        if x // self.base >= f:
            x, word = divmod(x, self.base)
            self.words.insert(0, word)
        quotient, remainder = divmod(x, f)
        return self.base * quotient + start + remainder, word

    def pop(self, x: int) -> tuple[int, int, int | None]:
        hi, slot = divmod(x, self.base)
        k = max(j for j, t in enumerate(self.thresholds) if t <= slot)
        x = (self.thresholds[k + 1] - self.thresholds[k]) * hi + slot - self.thresholds[k]
        word = None
        if x < self.base and self.words:
            word = self.words.pop(0)
            x = self.base * x + word
        return k, x, word


TEN = [0, 6, 9, 10]
MESSAGE = [0, 1, 0, 0, 2, 0]


def decimal() -> str:
    coder, x, lines = Coder(TEN, 10), 10, ["encode  symbol  state  word  pushed"]
    for k in reversed(MESSAGE):
        before = x
        x, word = coder.push(x, k)
        lines.append(f"{k:14}{before:7}{'-' if word is None else word:>6}{x:8}")
    lines.append(f"stored: state {x}, words {' '.join(map(str, coder.words))}")
    lines.append("decode  state  symbol  popped  word")
    decoded = []
    for _ in MESSAGE:
        before, hi_lo = x, divmod(x, 10)
        k, x, word = coder.pop(x)
        popped = (TEN[k + 1] - TEN[k]) * hi_lo[0] + hi_lo[1] - TEN[k]
        lines.append(f"{before:13}{k:8}{popped:8}{'-' if word is None else word:>6}")
        decoded.append(k)
    assert decoded == MESSAGE
    assert not coder.words
    lines.append(f"end: state {x}, no word left")
    return "\n".join(lines) + "\n"


def search() -> str:
    slot = 7
    lines = ["T      slot - T   modulo 10"]
    lines += [f"{t:2}{slot - t:12}{(slot - t) % 10:11}" for t in TEN]
    differences = [(slot - t) % 10 for t in TEN]
    low, high = min(differences), max(differences)
    lines.append(f"smallest {low}: the offset in the symbol's range")
    lines.append(
        f"largest {high}: {low} - {high} = {low - high}, modulo 10: {(low - high) % 10}, the frequency"
    )
    return "\n".join(lines) + "\n"


SHORT_T = [0, 60000, 65000, WORD]
SHORT = [0, 0, -1, 0, 0, 1, 0, 0]


def short_form() -> str:
    coder, x = Coder(SHORT_T, WORD), 1
    for symbol in SHORT:
        if symbol:
            x = 2 * x + (symbol < 0)
    lines = [f"start state {x}"]
    for symbol in reversed(SHORT):
        x, word = coder.push(x, abs(symbol))
        lines.append(f"push {abs(symbol)}: {'' if word is None else f'word {word}, '}state {x}")
    state = x.to_bytes((x.bit_length() + 7) // 8, "little")
    payload = state + b"".join(struct.pack("<H", w) for w in coder.words)
    lines.append(f"payload: {payload.hex(' ')}")
    record = Records(SHORT_T[1:3], channels=1, side=1, tiles=len(SHORT), log2_lanes=0)
    record.symbols = np.array(SHORT, np.int8).reshape(-1, 1, 1)
    (coded,) = record.encode(len(SHORT))
    assert (coded[0] & 7, coded[1] >> 2 & 7, coded[8:-4]) == (6, len(state) - 1, payload)
    return "\n".join(lines) + "\n"


def escapes() -> str:
    def code(v: int) -> str:
        n = (v + 1).bit_length() - 1
        return "0" * n + "1" + "".join(str((v + 1) >> i & 1) for i in range(n))

    lines = ["| v | v + 1 in binary | bits, in order |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {v} | {v + 1:b} | {code(v)} |" for v in range(6))]) + "\n"


def laplace(deviation: float) -> np.ndarray:
    """Probabilities of the magnitudes 0, 1, … of a Laplace density rounded to integers."""
    reach = np.exp(-math.sqrt(2) / deviation * (np.arange(40 * deviation) - 0.5))  # P(magnitude ≥ m), m ≥ 1
    reach[0] = 1.0
    return np.append(reach[:-1] - reach[1:], reach[-1])


def low_bits() -> str:
    heads = ["deviation", "entropy with the sign, bits", "low bits", "thresholds", "loss, of the entropy"]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|---|---|---|"]
    for deviation, numbers in ((4, (0, 1)), (10, (0, 1, 2)), (40, (0, 2, 3, 4))):
        p = laplace(deviation)
        entropy = entropy_of(p.tolist()) + 1 - float(p[0])
        for b in numbers:
            # Index k begins at the magnitude (k − 1) · 2^b + 1.
            thresholds = next(k for k in range(1, 256) if p[(k - 1) * 2**b + 1 :].sum() <= 1e-3)
            above = np.append(p[1:], np.zeros(-(len(p) - 1) % 2**b)).reshape(-1, 2**b)
            share = np.repeat(above.mean(axis=1), 2**b)[: len(p) - 1]
            loss = float((p[1:] * np.log2(p[1:] / share)).sum())
            row = [str(deviation), f"{entropy:.2f}", str(b), str(thresholds), f"{100 * loss / entropy:.2f} %"]
            lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


# ---- What is measured: the core's records. ----


def expected_loss(thresholds: list[int]) -> float:
    """§10 of the text: bits per symbol when the logarithm of the state is spread evenly; midpoints of 512 pieces."""
    edges = np.array([0, *thresholds, WORD]) / WORD
    p, start = np.diff(edges)[:, None], edges[:-1, None]
    piece = (np.arange(512) + 0.5) / 512
    loss = 0.0
    for q in range(1, 300):  # terms fall with 1/q^3
        y = q * (1 + 1 / q) ** piece
        after = q + start + p * (y - q)
        loss += float((p * np.log2(after / y)).sum(axis=0).mean()) * math.log2(1 + 1 / q) / 16
    return loss


@cache
def loss_rows() -> tuple[list[list[str]], float]:
    """The table of losses, and the mean lane tax in bits."""
    rows, tax = [], []
    for number, (listed, *_) in enumerate(cells("loss")):
        thresholds = [int(t) for t in listed.split()]
        cost = loss = 0.0
        n = 0
        for part in range(3):
            # As many tiles as fill a record of about 60,000 bytes.
            run = Records(thresholds, 64, 8, 32, 6, seed=10 * number + part)
            per_tile = run.cost_bits(run.counts(slice(None))) / 32 + 4096 - run.counts(slice(None))[0] / 32
            tiles = min(128, int(8 * 60000 / per_tile))
            run = Records(thresholds, 64, 8, tiles * 4, 6, seed=10 * number + part)
            for i, record in enumerate(run.encode(tiles)):
                part_of = slice(i * tiles, (i + 1) * tiles)
                counts = run.counts(part_of)
                growth = np.log2(np.frombuffer(record[9 : 9 + 256], "<u4") / run.start_states(part_of))
                words = (len(record) - 12 - 1 - 256 - run.raw_bytes(counts)) // 2
                tax += (16 - growth).tolist()
                loss += 16 * words + growth.sum() - run.cost_bits(counts)
                cost += run.cost_bits(counts)
                n += int(counts.sum())
        rows.append(
            [
                listed,
                f"{cost / n:.3f}",
                f"{1000 * expected_loss(thresholds):.2f}",
                f"{1000 * loss / n:.2f}",
                f"{100 * loss / cost:.2f} %",
            ]
        )
    return rows, float(np.mean(tax))


def loss() -> str:
    head = "| thresholds | entropy, bits | expected loss | measured loss | measured, of the entropy |"
    lines = [head, "|---|---|---|---|---|", *("| " + " | ".join(row) + " |" for row in loss_rows()[0])]
    return "\n".join(lines) + "\n"


SPARSE, DENSE = [64982, 65533], [41955, 62306, 65097, 65456, 65514]


@cache
def redundancy(thresholds: tuple[int, ...], log2_lanes: int, long_form: int) -> tuple[float, float]:
    """Mean of the redundant bits of 2,000 messages, and the share of random payloads that should pass (§11)."""
    run = Records(list(thresholds), 12, 8, 2000, log2_lanes, seed=771)
    bits, shapes = [], []
    for i, record in enumerate(run.encode(1)):
        form, at = split_form(record)
        if form >> 4 & 1 == long_form:
            counts = run.counts(slice(i, i + 1))
            plain_bits = counts.sum() - counts[0] + counts[-1]  # signs and escapes
            shapes.append(256 * len(record) + form)
            bits.append(8 * (len(record) - at - 4) - run.cost_bits(counts) - plain_bits)
    of_shape = np.bincount(shapes)[shapes] / 2000
    return float(np.mean(bits)), float((of_shape * 2.0 ** -np.array(bits)).mean())


@cache
def passed(thresholds: tuple[int, ...], log2_lanes: int, long_form: int) -> list[str]:
    """How many of how many damaged records the core accepts: random payloads, coded bits flipped, raw bits flipped."""
    run = Records(list(thresholds), 12, 8, 250, log2_lanes, seed=77)
    randoms, in_coded, in_raw = [], [], []
    noise = mixed(250 * 40 * 32, 5).tobytes()
    for i, record in enumerate(run.encode(1)):
        form, at = split_form(record)
        head, payload = record[:8], record[8:-4]
        if form >> 4 & 1 != long_form:
            continue
        for _ in range(40):
            taken, noise = noise[: len(record) - at - 4], noise[len(record) - at - 4 :]
            randoms.append(sealed(head, payload[: at - 8] + taken))
        raw_from = len(payload) - run.raw_bytes(run.counts(slice(i, i + 1)))
        for bit in range(8 * (at - 8), 8 * len(payload)) if i < 20 else ():
            flipped = bytearray(payload)
            flipped[bit // 8] ^= 1 << bit % 8
            (in_raw if bit // 8 >= raw_from else in_coded).append(sealed(head, bytes(flipped)))
    damaged = (randoms, in_coded, in_raw)
    return [f"{run.accepted(records):,} of {len(records):,}" if records else "–" for records in damaged]


FORMS = [
    ("one lane, short form", tuple(SPARSE), 0, 0),
    ("one lane, long form", tuple(DENSE), 0, 1),
    ("two lanes", tuple(DENSE), 1, 1),
    ("four lanes", tuple(DENSE), 2, 1),
    ("eight lanes", tuple(DENSE), 3, 1),
]


def detected() -> str:
    heads = ["form", "redundant bits, mean", "random payloads: expected share", "measured"]
    heads += ["a bit of states or words flipped", "a bit of raw flipped"]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|---|---|---|---|"]
    for name, *form in FORMS:
        bits, share = redundancy(*form)
        row = [name, f"{bits:.1f}", f"{share:.0e}", *passed(*form)]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "make", [decimal, search, short_form, escapes, low_bits, loss, detected], ids=lambda f: f.__name__
)
def test_a_block_of_the_text_says_what_is_computed(make: Callable[[], str]) -> None:
    assert checked_block(make.__name__) == make()


# ---- Sentences. ----


def loss_limit() -> float:
    """Σ over q of P(q) · ((q + 1/2) · log2(1 + 1/q) − log2 e), §10."""
    q = np.arange(1, 3000, dtype=np.float64)  # terms fall with 1/q^3
    log = np.log1p(1 / q) / math.log(2)
    return float((log / 16 * ((q + 0.5) * log - 1 / math.log(2))).sum())


def entropy_of(probabilities: list[float]) -> float:
    return -sum(p * math.log2(p) for p in probabilities)


def sentences() -> list[str]:
    digits = 4 * math.log10(10 / 6) + math.log10(10 / 3) + math.log10(10 / 1)
    seconds = (3 * 60 + 25) * 60 + 7
    found = float_division()
    header = (ROOT / "cpp/src/isa/kernels.h").read_text(encoding="utf-8")
    most_lanes = int(re.findall(r"kMostLanes = (\d+);", header)[0])
    load = int(re.findall(r"kStreamSlack = 2 \* kMostLanes \+ kMostLanes / 8 \+ (\d+);", header)[0])
    used = -math.log2(65535 / WORD)
    rounding = 1 / WORD / math.log(2)
    hill = [0.9, 0.09, 0.01]
    entropy = entropy_of(hill)
    wrong = -sum(p * math.log2(w) for p, w in zip(hill, [0.8, 0.15, 0.05], strict=True))
    return [
        f"3 h 25 min 7 s is the number {seconds} of seconds",
        f"their cost is {digits:.2f} digits",
        f"carries {math.log10(30 / 10):.2f} of one here, log10(30 / 10)",
        f"65536 · 768 bytes, {65536 * 768 / 2**20:.0f} MiB",
        f"256 + 16 + {load} = {2 * most_lanes + most_lanes // 8 + load} bytes",
        f"{10 - math.log2(math.e):.1f} bits when log2 of the end and the signs are spread evenly",
        f"about {1 / (12 * math.log(2)):.2f} / q²",
        f"costs {entropy:.3f} bits per symbol; a table that says 0.8, 0.15 and 0.05 makes it {wrong:.3f}",
        f"costs log2(65536 / 65535) = {used:.6f} bit",
        f"below (K + 1) · {rounding:.6f} bit",
        f"never above {loss_limit():.4f} bit per symbol",
        f"the tax was {loss_rows()[1]:.1f} bits a lane",
        f"all {len(FREQUENCIES)} frequencies at {len(quotients())} quotients",
        f"{found['cases']:,} cases",
        f"The largest error of y was {found['largest']:.3f} · 2⁻⁸",
        f"In {found['too large']:,} of them ⌊y⌋ alone would have been too large",
        f"{found['once more']:,} needed the correction",
        f"{found['wide']:,} had a remainder R of 17 bits",
        f"at p = 0.45 that is {1 - entropy_of([0.45, 0.55]):.3f} bit too much",
    ]


def test_losses_are_within_a_fifth_of_what_evenly_spread_states_would_lose() -> None:
    for _, _, expected, measured, _ in loss_rows()[0]:
        assert 0.8 * float(expected) <= float(measured) <= 1.2 * float(expected)


@pytest.mark.parametrize("number", range(19))
def test_a_sentence_of_the_text_says_what_is_computed(number: int) -> None:
    said = sentences()
    assert len(said) == 19
    assert said[number] in SENTENCES
