"""Wall time of a whole command as a row of `project.csv`.

`python -m benchmarks.timed "make test from nothing" -- make test`
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from benchmarks.results import Row, save


def main() -> int:
    """Run the command; a failed one leaves no row. Exit code: the command's, or 2 for usage."""
    if len(sys.argv) < 4 or sys.argv[2] != "--":
        print('usage: python -m benchmarks.timed "CASE" -- COMMAND…', file=sys.stderr)
        return 2
    start = time.perf_counter()
    done = subprocess.run(sys.argv[3:], check=False)
    seconds = time.perf_counter() - start
    if done.returncode == 0:
        save([Row("project", sys.argv[1], "wall", seconds, unit="s", n=1, threads=os.cpu_count())])
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
