"""`python -m codec.evaluate.neuco`: the suite alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from codec.errors import SwathpackError
from codec.evaluate.neuco.command import add_arguments, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite; a SwathpackError becomes one line and its exit code."""
    parser = argparse.ArgumentParser(prog="python -m codec.evaluate.neuco", description=__doc__)
    add_arguments(parser)
    try:
        run(parser.parse_args(arguments))
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
