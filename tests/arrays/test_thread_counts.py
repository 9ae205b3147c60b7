"""Equal arguments give equal bytes, whatever the number of threads of the linear algebra library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# float32 sums of 300 terms, tiles of one token, pictures of tokens, and a file that brings its own codec.
_PROGRAM = """
import hashlib, sys
from pathlib import Path
import numpy as np
from codec.arrays.pack import fit, pack
from codec.package import load
from tests.arrays.embedding_arrays import field, integers, vectors
folder = Path(sys.argv[1])
cases = {"vectors": (vectors(3001, 300), None), "field": (field(53, 61, 40), "hwc")}
for name, (x, axes) in cases.items():
    if not (folder / name).exists():
        fit(x, name=name, folder=folder / name, axes=axes)
    package = fit(x, name=name, folder=folder / f"{name}-{sys.argv[2]}", axes=axes)
    print(name, "fit", package.codec_id.hex())
    for data in (pack(x, load(folder / name), bytes_per_vector=20), pack(x, bytes_per_vector=20, axes=axes)):
        print(name, hashlib.sha256(data).hexdigest())
print("integers", hashlib.sha256(pack(integers(40, 50, 20), axes="hwc")).hexdigest())
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[str]]:
    """What one and two threads make of the same arrays."""
    folder, result = tmp_path_factory.mktemp("threads"), {}
    for threads in (1, 2):
        count = {
            name: str(threads) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        }
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(folder), str(threads)],
            env={**os.environ, **count}, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
        )  # fmt: skip
        result[threads] = done.stdout.splitlines()
    return result


@pytest.mark.parametrize("case", range(7))
def test_bytes_do_not_depend_on_the_number_of_threads(case: int, runs: dict[int, list[str]]) -> None:
    assert len(runs[1]) == 7
    assert runs[1][case] == runs[2][case]
