"""The quantiser in machine code rounds product and difference each for itself, on every architecture: no GPU needed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
triton = pytest.importorskip("triton")

from kernels.quantise_diagonal import launch as diagonal_launch  # noqa: E402
from kernels.quantise_projection import launch as projection_launch  # noqa: E402
from kernels.quantiser import totals  # noqa: E402
from kernels.resources import ARCHITECTURES, builds  # noqa: E402

# Builds whose names begin so, and what a tile of each leaves to a thread: latents.
BUILDS = {
    "quantise_diagonal/bf16-i8-768": 12,
    "quantise_diagonal/fp32-i16-4096": 8,
    "quantise_projection/tf32x3-bf16-i8": 32,
    "quantise_projection/ieee-fp32-i16": 16,
}
TOTALS = "quantise_diagonal/totals-33"
NORM = "quantise_projection/norm-bf16-768"
NORMED = "quantise_projection/tf32x3-bf16-i8-normed"
_COMPILE = """
import sys
from pathlib import Path
from kernels.resources import ARCHITECTURES, builds, compiled
for build in builds():
    if build.name in sys.argv[2:]:
        for arch in ARCHITECTURES:
            made, path = compiled(build, arch), Path(sys.argv[1], f"{build.name.replace('/', '-')}-{arch}")
            path.with_suffix(".ptx").write_text(made.ptx)
            path.with_suffix(".cubin").write_bytes(made.cubin)
"""
_OPERATION = re.compile(r"^\s*(?:@%p\d+ )?([a-z][\w.:]*)\s+(%r\d+), (.*);", re.MULTILINE)


@pytest.fixture(scope="module")
def folder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PTX and machine code; from a process of its own, as Triton interprets here."""
    out = tmp_path_factory.mktemp("ptx")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    asked = [sys.executable, "-c", _COMPILE, str(out), *BUILDS, TOTALS, NORM, NORMED]
    done = subprocess.run(asked, env=environment, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def operations(ptx: str) -> dict[str, tuple[str, list[str]]]:
    """Of each register the last operation that makes it, and what that takes."""
    return {r: (name, re.split(r",\s*", taken)) for name, r, taken in _OPERATION.findall(ptx)}


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_product_is_rounded_before_the_dead_zone_is_taken_off(folder: Path, name: str, arch: int) -> None:
    """min.NaN ← sub.rn ← mul.rn, once for each latent: `.rn` is what an assembler never contracts."""
    ptx = (folder / f"{name.replace('/', '-')}-{arch}.ptx").read_text()
    made = operations(ptx)
    limited = [taken for what, taken in made.values() if what == "min.NaN.f32"]
    assert len(limited) == BUILDS[name]
    for found, _ in limited:
        what, (product, _) = made[found]
        assert what == "sub.rn.f32"
        assert made[product][0] == "mul.rn.f32"
    assert ".ftz" not in ptx  # subnormals are numbers


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_without_sums_of_products_there_is_no_fused_operation(folder: Path, arch: int) -> None:
    """Neither in PTX nor in what the assembler makes of it: this build has no norm, whose root has fused ones of its own."""
    path = folder / f"quantise_diagonal-fp32-i16-4096-{arch}"
    assert not re.search(r"\bfma\.", path.with_suffix(".ptx").read_text())
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    said = subprocess.run(
        [str(tool), "-sass", str(path.with_suffix(".cubin"))], capture_output=True, text=True, check=True
    ).stdout
    assert len(re.findall(r"\bFMUL\b", said)) >= BUILDS["quantise_diagonal/fp32-i16-4096"]
    assert "FFMA" not in said


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_no_compiler_sees_that_what_rounds_the_largest_adds_nothing(folder: Path, arch: int) -> None:
    """1.5 · 2²³ and its negative, one after the other, each of which rounds."""
    ptx = (folder / f"{TOTALS.replace('/', '-')}-{arch}.ptx").read_text()
    made = operations(ptx)
    first = [
        (r, *taken[1:]) for r, (what, taken) in made.items() if what == "add.rn.f32" and taken[0] in made
    ]
    assert [constant for _, constant in first] == ["0f4B400000", "0fCB400000"]
    assert made[first[1][0]][1][0] == first[0][0]


def test_the_matrix_units_leave_the_projection_no_fused_operation(folder: Path) -> None:
    """Products of three parts are all theirs: what is left is the quantiser, or the norm before them."""
    for name, arch in product(("quantise_projection/tf32x3-bf16-i8", NORMED), ARCHITECTURES):
        ptx = (folder / f"{name.replace('/', '-')}-{arch}.ptx").read_text()
        assert re.search(r"mma", ptx)
        assert not re.search(r"\bfma\.", ptx)


def test_a_norms_root_and_division_are_rounded(folder: Path) -> None:
    """`.rn`, not `.approx`, and no contraction of its squares: all architectures normalise alike."""
    for arch in ARCHITECTURES:
        ptx = (folder / f"{NORM.replace('/', '-')}-{arch}.ptx").read_text()
        assert re.search(r"\bsqrt\.rn\.f32", ptx)
        assert re.search(r"\bdiv\.rn\.f32", ptx)
        assert not re.search(r"\bfma\.|\.approx|\.ftz", ptx)


def test_no_quantiser_is_built_or_launched_with_fused_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    named = [build for build in builds() if build.name.startswith("quantise_")]
    assert len(named) >= len(BUILDS)
    assert not any(build.fuse for build in named)
    asked: list[object] = []

    class Kernel:
        def __getitem__(self, grid: tuple[int, ...]) -> Kernel:
            return self

        def __call__(self, *given: object, enable_fp_fusion: object = None, **options: object) -> None:
            asked.append(enable_fp_fusion)

    for launch in (diagonal_launch, projection_launch, totals):
        monkeypatch.setattr(launch, "jitted", lambda function: Kernel())
    one, square, code = torch.ones(1, 1), torch.ones(1, 1, 1), torch.zeros(1, 1, dtype=torch.int16)
    costs, number = torch.zeros(256, 128, dtype=torch.int16), torch.zeros(2, dtype=torch.int32)
    diagonal_launch.run_quantise_diagonal(square, one[0], one[0], code[0], costs, 1, None, None, None)
    for norm in ((None, None, None), (one[0], one[0], 1e-6)):
        projection_launch.run_quantise_projection(
            square, one, one, square, number[:1], number, one, one, code, costs, 1, "ieee", *norm
        )
    assert asked == [False] * 9
