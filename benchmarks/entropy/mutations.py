"""The two mutation campaigns of cpp/fuzz, run in pieces, and their rows: `python -m benchmarks.entropy.mutations`.

A mutation is a function of the seed and its number, so what a stopped run has done is kept (beside the binaries, for
these binaries only) and the next one goes on behind it. Checksums as they are: on the core as shipped. Checksums made
right again: on the core under AddressSanitizer and UndefinedBehaviorSanitizer.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from benchmarks.results import Row, save, versions
from codec.atomic import write_atomic

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("s2-nano", "rgb-small")
MOST_FINDINGS = 10
SLOWEST_S = 1.0  # of processor time, for records of at most 2,000 bytes, sanitizers included
MOST_BYTES = 16 << 20


@dataclass
class Progress:
    """What has been done of one campaign."""

    binary: str
    seed: int
    next: int = 0
    mutations: int = 0
    refused: int = 0
    decoded: int = 0
    undone: int = 0
    broken: int = 0
    findings: int = 0
    slowest_s: float = 0.0
    peak_bytes: int = 0
    digest: int = 0
    back_ends: str = ""


class Campaign:
    """One campaign on one binary."""

    def __init__(self, mode: str, binary: Path, seed: int) -> None:
        self.mode, self.binary = mode, binary
        self.state = binary.with_name(f"campaign-{mode}-{seed}.json")
        digest = hashlib.sha256(binary.read_bytes()).hexdigest()
        self.done = Progress(digest, seed)
        if self.state.exists():
            known = json.loads(self.state.read_text())
            if known.get("binary") == digest and set(known) == {f.name for f in fields(Progress)}:
                self.done = Progress(**known)

    def run(self, count: int, jobs: int) -> None:
        """Runs `jobs` pieces of `count` mutations side by side and keeps what they said."""
        firsts = [self.done.next + count * job for job in range(jobs)]
        with ThreadPoolExecutor(jobs) as pool:
            pieces = list(pool.map(lambda first: self._piece(first, count), firsts))
        done = self.done
        for piece in pieces:
            for name in ("mutations", "refused", "decoded", "undone", "broken", "findings"):
                setattr(done, name, getattr(done, name) + getattr(piece, name))
            done.digest = (done.digest + piece.digest) % 2**64
            done.slowest_s = max(done.slowest_s, piece.slowest_s)
            done.peak_bytes = max(done.peak_bytes, piece.peak_bytes)
            done.back_ends = piece.back_ends or done.back_ends
        done.next += count * jobs
        write_atomic(self.state, json.dumps(asdict(done)).encode())

    def _piece(self, first: int, count: int) -> Progress:
        """Mutations first … first + count − 1; behind one that ends the process it goes on with the next."""
        total = Progress(self.done.binary, self.done.seed)
        end = first + count
        while first < end and total.findings < MOST_FINDINGS:
            tables = [str(ROOT / "models" / name / "tables.bin") for name in PACKAGES]
            command = [str(self.binary), self.mode, str(first), str(end - first), str(self.done.seed)]
            run = subprocess.run([*command, *tables], capture_output=True, text=True, check=False)
            sys.stderr.write(run.stderr)
            if run.returncode in (0, 1) and run.stdout:
                said = json.loads(run.stdout)
                if self.mode == "recomputed" and not said["sanitized"]:
                    raise SystemExit(f"{self.binary} was built without sanitizers")
                for name in ("mutations", "refused", "decoded", "undone", "broken", "digest"):
                    setattr(total, name, getattr(total, name) + said[name])
                total.slowest_s, total.peak_bytes = said["slowest_s"], said["peak_bytes"]
                total.back_ends = said["back_ends"]
                break
            ended = re.search(r"ended at mutation (\d+)", run.stderr)
            if ended is None:
                raise SystemExit(f"{self.binary.name} ended without a word (exit {run.returncode})")
            total.findings += 1
            total.mutations += int(ended[1]) + 1 - first  # those before it ended well, uncounted by outcome
            first = int(ended[1]) + 1
        return total

    def rows(self) -> list[Row]:
        """What was counted."""
        done = self.done
        case = f"campaign, CRC {'left as it is' if self.mode == 'kept' else 'recomputed'}"

        def row(metric: str, value: float, unit: str = "") -> Row:
            return Row(
                "entropy", case, metric, value, unit=unit, n=done.mutations, seeds=str(done.seed), threads=1,
                isa_or_device=done.back_ends, versions=versions(),
            )  # fmt: skip

        rows = [
            row("mutations", done.mutations),
            row("refused", done.refused),
            row("decoded", done.decoded),
            row("undone by themselves", done.undone),
            row("slowest call", 1e3 * done.slowest_s, "ms of processor time"),
        ]
        if self.mode == "kept":
            return [*rows, row("silent wrong decodes", done.broken)]
        return [
            *rows,
            row("sanitizer findings", done.findings),
            row("broken properties", done.broken),
            row("peak memory of a call", done.peak_bytes, "bytes"),
        ]

    def verdict(self) -> list[str]:
        """What is not as it must be."""
        done = self.done
        said = []
        if done.broken or done.findings:
            said.append(f"{done.broken} broken properties, {done.findings} sanitizer findings")
        if done.slowest_s > SLOWEST_S:
            said.append(f"a call took {done.slowest_s:.2f} s, more than {SLOWEST_S} s")
        if done.peak_bytes > MOST_BYTES:
            said.append(f"a call held {done.peak_bytes} bytes, more than {MOST_BYTES}")
        return said


def main() -> int:
    """Exit 0 when both campaigns are complete and nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "core")
    parser.add_argument("--mutations", type=int, default=5_000_000, help="of each campaign")
    parser.add_argument("--piece", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="pieces side by side")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no piece after as many")
    parser.add_argument("--mode", choices=("kept", "recomputed"), action="append")
    parser.add_argument("--no-rows", action="store_true", help="leave benchmarks/results alone")
    given = parser.parse_args()
    deadline = time.monotonic() + given.seconds
    complete = True
    for mode in given.mode or ["kept", "recomputed"]:
        name = "mutation_campaign" + ("" if mode == "kept" else "_sanitized")
        campaign = Campaign(mode, given.build / "cpp" / "tests" / name, given.seed)
        done = campaign.done
        while done.mutations < given.mutations and done.findings < MOST_FINDINGS:
            if time.monotonic() > deadline:
                break
            left = given.mutations - done.mutations
            campaign.run(min(given.piece, -(-left // given.jobs)), given.jobs)
            print(
                f"{mode}: {done.mutations:,} mutations, {done.refused:,} refused, {done.decoded:,} decoded, "
                f"{done.undone:,} undone, {done.broken} broken, {done.findings} findings, "
                f"slowest {1e3 * done.slowest_s:.1f} ms, at most {done.peak_bytes / 2**20:.1f} MiB",
                flush=True,
            )
        wrong = campaign.verdict()
        for what in wrong:
            print(f"{mode}: {what}", file=sys.stderr)
        enough = done.mutations >= given.mutations
        complete &= enough and not wrong
        if enough and not given.no_rows:
            save(campaign.rows())
    return 0 if complete else 1


if __name__ == "__main__":
    raise SystemExit(main())
