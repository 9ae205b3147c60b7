"""The parts of CompressAI that can be imported without torchvision, and its form of tables.

The package's own `__init__` imports everything, torchvision included, and its pins would downgrade numpy: it is installed
with `--no-deps` (`make bench-peers`), and an empty package with its path stands in for `__init__`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.entropy.latents import LARGEST, TOTAL, Int64Array
from benchmarks.entropy.missing import Missing

INSTALL = "make bench-peers, or pip install --no-deps compressai==1.2.8 beside torch and scipy"
Lists = tuple[list[list[int]], list[int], list[int]]


@dataclass(frozen=True)
class Parts:
    """Modules of CompressAI."""

    ans: Any
    entropy_models: Any
    torch: Any


def load() -> Parts:
    """Import them; Missing says how to install what is not there."""
    if "compressai" not in sys.modules:
        spec = importlib.util.find_spec("compressai")
        if spec is None or spec.submodule_search_locations is None:
            raise Missing(f"compressai is not installed; {INSTALL}")
        package: Any = types.ModuleType("compressai")
        package.__path__ = list(spec.submodule_search_locations)
        # The two functions of `__init__` that its entropy models ask for.
        package.available_entropy_coders = lambda: ["ans"]
        package.get_entropy_coder = lambda: "ans"
        sys.modules["compressai"] = package
    try:
        return Parts(
            importlib.import_module("compressai.ans"),
            importlib.import_module("compressai.entropy_models.entropy_models"),
            importlib.import_module("torch"),
        )
    except ImportError as error:
        raise Missing(f"compressai cannot be loaded ({error}); {INSTALL}") from error


def tables(frequencies: Int64Array) -> Lists:
    """Cumulative frequencies (padded to one length), their lengths and offsets: a row per channel, an escape behind.

    The escape takes one part of 65536 from the most frequent value, as the coder allows no frequency of 0.
    """
    rows, sizes, offsets = [], [], []
    for row in frequencies:
        possible = np.flatnonzero(row)
        f = np.append(np.maximum(row[possible[0] : possible[-1] + 1], 1), 1)
        f[int(np.argmax(f))] += TOTAL - int(f.sum())
        rows.append([0, *np.cumsum(f).tolist()])
        sizes.append(len(rows[-1]))
        offsets.append(int(possible[0]) - LARGEST)
    longest = max(sizes)
    return [row + [0] * (longest - len(row)) for row in rows], sizes, offsets
