"""How the long campaigns of this folder run from a command line: one thread, and an error as one line with its exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from codec.errors import ExitCode, SwathpackError


def finished(campaign: Callable[[], None], threads: int = 1) -> int:
    """The exit code of a campaign."""
    try:
        import torch

        torch.set_num_threads(threads)
        campaign()
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return int(ExitCode.OK)
