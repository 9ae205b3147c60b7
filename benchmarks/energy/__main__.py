"""What GPU benchmarks need, and what of it is here: `python -m benchmarks.energy`. Exit 0 whatever it finds."""

from __future__ import annotations

import sys

from benchmarks.energy.find import gpu_missing, kernels_missing, this_machine
from codec.errors import SwathpackError
from onboard.power.find import power_source


def main() -> int:
    """Print it."""
    missing = gpu_missing()
    machine = this_machine(gpu=not missing)
    print(f"machine:  {'; '.join(filter(None, (machine.hardware, machine.state, *machine.software)))}")
    try:
        print(f"energy:   {power_source(gpu=not missing).name}")
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
        if kernels_missing():
            print(f"kernels:  {kernels_missing()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
