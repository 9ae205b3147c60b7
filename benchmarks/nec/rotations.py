"""Channel transforms by frequency against one for all of them: bytes at equal error of tokens, and of the tile's mean alone.

Both are fitted on the same thirds of the training windows; bytes are integer costs, with a mean vector for each file where
it pays.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.nec.costed import Codec, Costed, curve
from benchmarks.nec.equal_error import ratio
from benchmarks.nec.held_out import SPLITS, Collection
from codec.evaluate.rows import Row
from codec.transform.fit import fit_planes
from codec.transform.layout import PlaneLayout
from codec.types import FloatArray

SUITE = "nec"
RATES = (20.0, 50.0, 100.0, 300.0, 1000.0)  # bytes a tile with one transform
MEAN_RATES = (10.0, 20.0, 40.0)
PARTS = {"tokens": RATES, "mean": MEAN_RATES}


def _fitted(tokens: FloatArray, rotations: bool) -> Codec:
    found = fit_planes(
        {"tokens": np.ascontiguousarray(tokens)}, layouts={"tokens": PlaneLayout(rotations=rotations)}
    )
    return Codec(found.transforms["tokens"], found.tables)


def rows(of: Collection) -> Iterator[Row]:
    """One ratio for each set, part and rate, over places and thirds."""
    values, parts = of.training("tokens")
    codecs = [[_fitted(values[part], kind) for part in parts] for kind in (True, False)]
    for held in of.held:
        file = of.run.sets[held.name].tiles.scene[held.chosen]
        turned, one = ([curve(codec, held.tokens, file) for codec in each] for each in codecs)
        for name, rates in PARTS.items():
            for rate in rates:
                rival = [_near(points, name, rate) for points in one]
                ours = [[getattr(point, name) for point in points] for points in turned]
                found = ratio(ours, [getattr(point, name) for point in rival], held.groups)
                if not np.isfinite(found.value):
                    continue  # where one of the two does not reach
                what = "bytes" if name == "tokens" else "bytes of layer 0"
                case = f"{of.package.name}/{held.name}/near {rate:g} B"
                yield Row(
                    SUITE, case, f"{what} at equal error, a basis for each frequency group",
                    found.value, found.low, found.high, f"ratio [95% over places and {SPLITS} fits]", "one basis", found.n,
                    ",".join(map(str, range(SPLITS))),
                )  # fmt: skip


def _near(points: list[Costed], name: str, rate: float) -> Costed:
    return min(points, key=lambda p: abs(float(np.log(getattr(p, name).bytes.mean() / rate))))
