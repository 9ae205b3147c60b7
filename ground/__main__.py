"""`python -m ground STATION [--once] …`: the daemon without the command line of the package."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from codec.errors import SwathpackError
from ground.config import load_config
from ground.daemon import serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ground", description="Run a ground station.")
    parser.add_argument("station", nargs="?", type=Path, help="the station's folder")
    parser.add_argument("--config", type=Path, help="settings, TOML")
    for name in ("inbox", "host", "port", "models", "poll-s", "stable-s", "settle-s", "coder"):
        parser.add_argument(f"--{name}")
    for name in ("once", "rebuild", "embeddings", "refine"):
        parser.add_argument(f"--{name}", action="store_true", default=None)
    flags = vars(parser.parse_args())
    path = flags.pop("config")
    try:
        return int(serve(load_config(flags, path=path)))
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
