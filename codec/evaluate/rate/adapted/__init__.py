"""Methods that adapt the encoder to the rate: each setting is an encoder of its own, and codes what that one gives.

The published recipe of Neural Embedding Compression (`codec.nec`) is one: tokens are decoded from the bytes of a trained
point, and heads see them, or what the point's first decoder block makes of them.

    python -m codec.evaluate.rate.adapted --data DIR --points nec-2024=RUN,RUN,RUN,RUN --start-weights start.pt

scores such methods beside those of a suite: the same tiles, heads, regimes, intervals and bytes.
"""

from codec.evaluate.rate.adapted.points import AdaptedPoints, opened_points
from codec.evaluate.rate.adapted.run import AdaptedRun

__all__ = ["AdaptedPoints", "AdaptedRun", "opened_points"]
