"""What `python -m onboard.export` takes and says."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from codec.errors import UsageError
from onboard.engine import BACKENDS
from onboard.parity import GATES

DEFAULT_MODEL = "s2-nano"
# ONNX Runtime has no bfloat16 kernels on a CPU: such a package opens where TensorRT is, and nowhere else.
DEFAULT_BACKENDS = {"bf16": "tensorrt"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, fix="see python -m onboard.export --help")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Raises UsageError for what is no option."""
    parser = _Parser(
        prog="python -m onboard.export",
        description="Export a model package's encoder to ONNX, prove it equal to PyTorch, write an engine package.",
    )
    parser.add_argument(
        "--engine", choices=list(GATES), default="fp32", help="precision of the encoder (default fp32)"
    )
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"package name or folder (default {DEFAULT_MODEL})"
    )
    parser.add_argument("--out", type=Path, help="output folder (default engines/<model>-<engine>)")
    parser.add_argument(
        "--tiles",
        type=Path,
        action="append",
        default=[],
        help="scene, or folder of scenes, to prove on; may repeat (default: the sample scenes, where installed)",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        action="append",
        default=[],
        help="scene, or folder of scenes, to calibrate int8 with; may repeat (default: the rest of the sample scenes, and "
        "procedural fields)",
    )
    parser.add_argument("--sensor", help="sensor of the scenes, when they do not say")
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        help="back end that the package asks for when it is opened (default onnxruntime; bf16: tensorrt)",
    )
    parser.add_argument("--force", action="store_true", help="write an engine that fails parity")
    parser.add_argument(
        "--into-package", action="store_true", help="also make this graph the package's own encoder.onnx"
    )
    parser.add_argument("--json", action="store_true", help="print the parity report as JSON")
    return parser.parse_args(arguments)


def check_options(options: argparse.Namespace) -> None:
    """Raise UsageError for options that do not fit each other."""
    if options.calibration and options.engine != "int8":
        raise UsageError("--calibration is for --engine int8", found=f"--engine {options.engine}")
    if options.engine == "bf16" and options.backend == "onnxruntime":
        raise UsageError("ONNX Runtime has no bfloat16 kernels on a CPU", fix="leave --backend out")
    if options.into_package and options.engine == "bf16":
        raise UsageError(
            "a package's own encoder.onnx runs on ONNX Runtime, which cannot run bf16",
            fix="export fp32 into it",
        )


def summary(report: dict[str, Any], out: Path) -> Iterator[str]:
    """The report as lines for a person."""
    yield f"tiles: {report['tiles']['n']}, {'real' if report['tiles']['real'] else 'NOT real: no scene was found'}"
    for name, quality in (("default", report["default"]), ("finest", report["finest"])):
        for row in quality["planes"]:
            yield (
                f"{name}, {row['plane']}: {row['differ']:.4%} of {row['symbols']} symbols differ, in layer 0 "
                f"{row['differ_layer0']:.3%}, elsewhere by {row['largest_step']} at most; latent off by "
                f"{row['relative_rms']:.2g}"
            )
        yield f"{name}, bytes: {quality['bytes_change']:+.3%} of {quality['bytes_reference']}"
        for head in quality["heads"]:
            yield (
                f"{name}, head {head['head']}: says the same of {head['agreement']:.3%} of {head['n']} {head['level']}s; "
                f"as of the uncompressed embedding {head['fidelity_engine']:.2%}, PyTorch {head['fidelity_reference']:.2%}"
            )
    yield f"proven by: {report['proven_by']}"
    for reason in report["reasons"]:
        yield f"refused: {reason}"
    yield f"{'passed' if report['passed'] else 'FAILED'}: {out}"


def tensorrt_line(backend: str = "onnxruntime") -> str:
    """What is said about TensorRT on this machine."""
    wrote = (
        "wrote a package for ONNX Runtime"
        if backend == "onnxruntime"
        else f"wrote a package that opens where {backend} is"
    )
    try:
        import tensorrt
    except ImportError:
        return f"TensorRT is not on this machine: {wrote}."
    return f"TensorRT {tensorrt.__version__} found; engines are built where they run, from this package's ONNX: {wrote}."
