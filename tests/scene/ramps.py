"""What tests of opened scenes share."""

from __future__ import annotations

from typing import Any

import numpy as np

S2 = "sentinel2-l1c"


def ramp(low: int, high: int, dtype: str = "uint16", side: int = 16) -> Any:
    return np.linspace(low, high, side * side).reshape(side, side).astype(dtype)
