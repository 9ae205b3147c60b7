"""One job in one process with one back end: `python -m benchmarks.entropy.child --isa avx2 archive '{"name": "dense"}'`.

The core reads SWATHPACK_ISA once, when it is loaded, so another back end means another process. A job prints one line of
JSON: its rows, or why it could not run. `serve` instead reads lines from stdin and answers each with the CPU-seconds of one
timed span: that is how two back ends are measured by turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.entropy.missing import Missing
from benchmarks.entropy.settings import Settings, chosen
from benchmarks.results import Row

ROOT = Path(__file__).resolve().parents[2]
# One thread, whichever library asks.
_SINGLE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
Job = Callable[..., list[Row]]


def _jobs() -> dict[str, Job]:
    # Imported late: they load the core, for which the environment must be set.
    from benchmarks.entropy import archive, bounds, erasure, fused, link, rates, real_latents, scaling, wide

    return {
        "archive": archive.against, "archive-alone": archive.alone, "link-many": link.many, "link-tiny": link.tiny,
        "rates": rates.measure, "erasure": erasure.measure, "erasure-against": erasure.against,
        "bounds": bounds.measure, "memory": bounds.memory, "fused": fused.measure, "scaling": scaling.measure,
        "real": real_latents.measure, "wide": wide.measure,
    }  # fmt: skip


def environment(isa: str) -> dict[str, str]:
    """Of a process that uses the back end `isa`."""
    return {**os.environ, **_SINGLE, "SWATHPACK_ISA": isa}


def run(isa: str, job: str, **arguments: Any) -> list[Row]:
    """Rows of a job in a process of its own. Missing: what it needs is not there. RuntimeError: it failed."""
    command = [sys.executable, "-m", "benchmarks.entropy.child", "--isa", isa, job, json.dumps(arguments)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(isa), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{job} {arguments} on {isa} failed:\n{done.stderr[-4000:]}")
    return _rows(json.loads(done.stdout.splitlines()[-1]))


def _rows(answer: dict[str, Any]) -> list[Row]:
    if "missing" in answer:
        raise Missing(answer["missing"])
    return [Row(**fields) for fields in answer["rows"]]


class Worker:
    """A process that holds a coder on one back end and times it on request."""

    def __init__(self, isa: str, name: str) -> None:
        command = [
            sys.executable,
            "-m",
            "benchmarks.entropy.child",
            "--isa",
            isa,
            "serve",
            json.dumps({"name": name}),
        ]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment(isa), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.records = str(self._read()["records"])  # digest: all back ends must give the same

    def seconds(self, metric: str, number: int) -> float:
        """CPU-seconds per symbol of one timed span of "decode" or "encode"."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([metric, number]) + "\n")
        self._process.stdin.flush()
        return float(self._read()["seconds"])

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a benchmark process ended early; its message stands above")
        answer: dict[str, Any] = json.loads(line)
        if "missing" in answer:
            raise Missing(answer["missing"])
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


@contextmanager
def workers(isas: tuple[str, ...], name: str) -> Iterator[list[Worker]]:
    """One worker per back end; all are closed at the end."""
    open_ones: list[Worker] = []
    try:
        for isa in isas:
            open_ones.append(Worker(isa, name))  # noqa: PERF401 - those already open must be closed if one fails
        yield open_ones
    finally:
        for worker in open_ones:
            worker.close()


def _serve(settings: Settings, name: str) -> None:
    import hashlib

    from benchmarks.entropy import archive, timing

    own = archive.ours(settings, name)
    works = {"decode": own.decode, "encode": own.encode}
    repeats = {metric: timing.repeats_for(work, settings.seconds) for metric, work in works.items()}
    print(json.dumps({"records": hashlib.sha256(b"".join(own.records)).hexdigest()}), flush=True)
    for line in sys.stdin:
        metric, number = json.loads(line)
        took = timing.timed(works[metric], number, repeats[metric]) / own.symbols.size
        print(json.dumps({"seconds": took}), flush=True)


def _core_uses(isa: str) -> None:
    """Load the core; Missing unless it uses `isa`."""
    from codec.errors import SwathpackError

    try:
        import _swathpack_core as core
    except (ImportError, SwathpackError) as error:
        raise Missing(f"no back end {isa}: {error.__cause__ or error}") from error
    if core.isa() != isa:
        raise Missing(f"no back end {isa}: the core uses {core.isa()}")


def main() -> int:
    """Run the job; a missing part is an answer, anything else that goes wrong ends with a traceback."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--isa", required=True)
    parser.add_argument("job")
    parser.add_argument("arguments", nargs="?", default="{}")
    given = parser.parse_args()
    if os.environ.get("SWATHPACK_ISA") != given.isa:
        os.environ.update(environment(given.isa))
    arguments = json.loads(given.arguments)
    try:
        _core_uses(given.isa)
        if given.job == "serve":
            _serve(chosen(), **arguments)
            return 0
        rows = _jobs()[given.job](given.isa, chosen(), **arguments)
    except Missing as error:
        print(json.dumps({"missing": str(error)}))
        return 0
    print(json.dumps({"rows": [asdict(row) for row in rows]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
