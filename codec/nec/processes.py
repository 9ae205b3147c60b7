"""One process, or several under torchrun through Lightning Fabric."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from torch import nn

from codec.errors import BackendUnavailable


class Processes:
    """Who shares a run. Without torchrun there is one process, and Fabric is not asked for.

    Gradients are averaged over processes, as distributed training does; a loss that sums over a batch sums over that of its
    process. Raises BackendUnavailable where torchrun started several and Fabric is not installed.
    """

    def __init__(self, device: str) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = 0
        self.fabric: Any = None
        if self.count > 1:
            try:
                from lightning_fabric import Fabric
            except ImportError:
                raise BackendUnavailable(
                    f"torchrun started {self.count} processes, and Lightning Fabric is not installed",
                    fix="install the extra train, or start one process",
                ) from None
            here = int(os.environ.get("LOCAL_WORLD_SIZE", self.count))
            self.fabric = Fabric(
                accelerator=device, devices=here, num_nodes=self.count // here, strategy="ddp"
            )
            self.fabric.launch()
            self.rank = int(self.fabric.global_rank)

    @property
    def is_first(self) -> bool:
        """The one that writes."""
        return self.rank == 0

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes."""
        if self.fabric is None:
            return
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad = self.fabric.all_reduce(parameter.grad, reduce_op="mean")

    def agree(self, stop: bool) -> bool:
        """True where any process wants to stop: all must, or the others would wait for ever."""
        if self.fabric is None:
            return stop
        import torch

        wanted = self.fabric.all_reduce(torch.tensor(float(stop)), reduce_op="sum")
        return bool(wanted > 0)

    def wait(self) -> None:
        """Until every process is here."""
        if self.fabric is not None:
            self.fabric.barrier()
