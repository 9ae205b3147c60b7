"""What GPU benchmarks need, and what of it is here: `python -m benchmarks.energy`. Exit 0 whatever it finds."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from benchmarks.energy.find import power_source, this_machine
from codec.errors import SwathpackError


def gpu_missing() -> str:
    """What stands between this machine and its GPU benchmarks; empty: nothing."""
    if find_spec("torch") is None:
        return "torch is not installed: pip install 'swathpack[gpu]'"
    import torch

    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build without CUDA: install one for the GPU's driver"
    if not torch.cuda.is_available():
        return "no NVIDIA GPU with a working driver: see what nvidia-smi says"
    if find_spec("triton") is None:
        return "triton is not installed, kernels would run as their twins: pip install 'swathpack[gpu]'"
    return ""


def main() -> int:
    """Print it."""
    missing = gpu_missing()
    machine = this_machine(gpu=not missing)
    print(f"machine:  {'; '.join(filter(None, (machine.hardware, machine.state, *machine.software)))}")
    try:
        print(f"energy:   {power_source().name}")
    except SwathpackError as error:
        print(f"energy:   rows will be absent. {error}")
    if missing:
        print(
            f"GPU:      GPU tests and benchmarks will be skipped and their rows stay not measured. {missing}"
        )
    else:
        import torch

        print(
            f"GPU:      {torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
