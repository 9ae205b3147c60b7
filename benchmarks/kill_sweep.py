"""Runs the station's kill sweep and records how many kills it survived: `python -m benchmarks.kill_sweep`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.results import Row, save

TEST = Path(__file__).resolve().parent.parent / "tests" / "ground" / "test_kill_sweep.py"


def main() -> int:
    """A row only when every kill ended with identical products; the number is the test's own constant."""
    kills = re.search(r"^N_KILLS = (\d+)", TEST.read_text(encoding="utf-8"), re.M)
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", str(TEST)], cwd=TEST.parents[2], check=False)
    if done.returncode or kills is None:
        print("error: the kill sweep did not pass; nothing is recorded", file=sys.stderr)
        return 1
    save(
        [
            Row(
                "ground",
                "kill sweep",
                "instants",
                float(kills[1]),
                unit="SIGKILLs, products identical after each",
            )
        ]
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
