"""What kernels take of a GPU, found without one: `python -m kernels.resources`.

    python -m kernels.resources                       # every build for sm_80, sm_87 and sm_90
    python -m kernels.resources --arch 87 --out DIR   # and the cubins

Each build is compiled ahead of time and its registers, stack, local and shared memory are read from the machine code.
Stack or local memory means spilled registers. Exit 1 where a build exceeds its ceilings.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codec.atomic import write_atomic
from codec.errors import BackendUnavailable, InternalError, SwathpackError

ARCHITECTURES = (80, 87, 90)  # A100, Orin, H100 and H200
_RESOURCES = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")


@dataclass(frozen=True)
class Build:
    """One kernel for one kind of numbers and one set of sizes."""

    name: str  # kernel/case
    function: Callable[..., None]
    types: Mapping[str, str]  # of each argument that is no constant: "*bf16", "i32", "fp32"
    constants: Mapping[str, Any]
    warps: int
    stages: int
    fuse: bool  # whether a product and a sum may become one rounding
    registers: int  # a thread may have
    shared: int  # bytes a block may have
    aligned: tuple[str, ...] = ()  # integers that are multiples of 16; pointers all are
    maxnreg: int | None = None  # registers that the assembler may take; None: what it thinks best


@dataclass(frozen=True, slots=True)
class Resources:
    """What a compiled build takes."""

    build: Build
    arch: int
    registers: int  # a thread
    stack: int  # bytes a thread
    local: int  # bytes a thread
    shared: int  # bytes a block
    cubin: bytes
    ptx: str
    layouts: str  # of threads, as the compiler chose them: Triton's GPU dialect

    @property
    def excess(self) -> str:
        """What is over its ceiling; "" if nothing."""
        over = [
            f"{found} {what}, at most {most}"
            for what, found, most in (
                ("registers", self.registers, self.build.registers),
                ("bytes of stack", self.stack, 0),
                ("bytes of local memory", self.local, 0),
                ("bytes of shared memory", self.shared, self.build.shared),
            )
            if found > most
        ]
        return "; ".join(over)


def compiled(build: Build, arch: int) -> Resources:
    """Compile ahead of time. Raises BackendUnavailable without triton, or in a process whose Triton interprets."""
    _check_triton()
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function = triton.jit(build.function)
    names = function.arg_names
    signature = {name: build.types.get(name, "constexpr") for name in names}
    aligned = {name for name, kind in signature.items() if kind.startswith("*")} | set(build.aligned)
    source = ASTSource(
        function,
        signature,
        {(names.index(name),): value for name, value in build.constants.items()},
        {(names.index(name),): [["tt.divisibility", 16]] for name in aligned},
    )
    options = {"num_warps": build.warps, "num_stages": build.stages, "enable_fp_fusion": build.fuse}
    if build.maxnreg is not None:
        options["maxnreg"] = build.maxnreg
    made = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        said = subprocess.run(
            [str(tool), "-res-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    found = _RESOURCES.search(said)
    if found is None:
        raise InternalError("cuobjdump says nothing of resources", found=said[:200])
    registers, stack, fixed, local = map(int, found.groups())
    shared = max(fixed, int(made.metadata.shared))
    asm = made.asm
    return Resources(
        build, arch, registers, stack, local, shared, asm["cubin"], asm["ptx"], asm["ttgir"]
    )  # fmt: skip


def _check_triton() -> None:
    try:
        from triton import knobs
    except ImportError as error:
        raise BackendUnavailable(
            "kernels are compiled by triton, which is not installed", fix="pip install triton"
        ) from error
    if knobs.runtime.interpret:
        raise BackendUnavailable("Triton interprets in this process", fix="unset TRITON_INTERPRET")


def builds() -> tuple[Build, ...]:
    """Of every kernel."""
    from kernels.constrained_projection import builds as constrained_projection
    from kernels.dual_attention import builds as dual_attention
    from kernels.quantise_diagonal import builds as quantise_diagonal
    from kernels.quantise_projection import builds as quantise_projection
    from kernels.rans_lanes import builds as rans_lanes
    from kernels.rans_one_lane import builds as rans_one_lane

    return (
        *dual_attention.builds(),
        *constrained_projection.builds(),
        *quantise_diagonal.builds(),
        *quantise_projection.builds(),
        *rans_lanes.builds(),
        *rans_one_lane.builds(),
    )


def every(architectures: Sequence[int], only: str = "") -> Iterator[Resources]:
    """All builds whose name begins with `only`. Raises as `compiled`."""
    _check_triton()
    for build in builds():
        if build.name.startswith(only):
            for arch in architectures:
                yield compiled(build, arch)


def main(arguments: list[str] | None = None) -> int:
    """Compile and print; a SwathpackError becomes one line and its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m kernels.resources", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--arch", type=int, choices=ARCHITECTURES, action="append", help="again for more (default: all)"
    )
    parser.add_argument("--only", default="", help="builds whose name begins so")
    parser.add_argument("--out", type=Path, help="folder for the cubins")
    options = parser.parse_args(arguments)
    over = []
    try:
        for one in every(options.arch or ARCHITECTURES, options.only):
            print(
                f"{one.build.name:28} sm_{one.arch} {one.registers:4} registers {one.stack:4} stack {one.local:4} local "
                f"{one.shared:6} shared",
                flush=True,
            )
            if one.excess:
                over.append(f"{one.build.name} for sm_{one.arch}: {one.excess}")
            if options.out is not None:
                options.out.mkdir(parents=True, exist_ok=True)
                name = f"{one.build.name.replace('/', '-')}-sm_{one.arch}.cubin"
                write_atomic(options.out / name, one.cubin)
        if over:
            raise InternalError("builds take more than they may: " + " | ".join(over))
    except SwathpackError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
