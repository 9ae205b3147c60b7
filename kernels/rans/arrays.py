"""Plans and tiles of many records, one after the other, as kernels read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kernels.rans.tables import LayerPlan, PlanePlans


@dataclass(frozen=True, slots=True)
class Coded:
    """What R records code, and where in the arrays each begins."""

    groups: Tensor  # G×4 int32
    runs: Tensor  # n×2 int32
    frequencies: Tensor  # F int32
    tiles: Tensor  # int32
    first_group: npt.NDArray[np.int64]  # R
    last_group: npt.NDArray[np.int64]  # R: one behind
    first_tile: npt.NDArray[np.int64]  # R: of `tiles`
    n_tiles: npt.NDArray[np.int64]  # R
    steps: npt.NDArray[np.int64]  # R: symbols of one lane

    @classmethod
    def of(
        cls,
        plans: PlanePlans,
        records: Sequence[tuple[LayerPlan, npt.NDArray[np.int32]]],
        device: torch.device,
    ) -> Coded:
        """Each record's plan and the tiles that it codes."""
        begins: dict[int, tuple[int, int]] = {}
        groups: list[npt.NDArray[np.int32]] = []
        runs: list[npt.NDArray[np.int32]] = []
        n_groups = n_runs = 0
        for plan, _ in records:
            if id(plan) in begins:
                continue
            begins[id(plan)] = n_groups, n_groups + len(plan.groups)
            groups.append(plan.groups + np.array([n_runs, 0, 0, 0], np.int32))
            runs.append(plan.runs)
            n_groups += len(plan.groups)
            n_runs += len(plan.runs)
        bounds = np.array([begins[id(plan)] for plan, _ in records], np.int64).reshape(-1, 2)
        n_tiles = np.array([len(live) for _, live in records], np.int64)
        per_tile = np.array([plan.symbols_per_tile for plan, _ in records], np.int64)
        return cls(
            _on(device, groups), _on(device, runs), _on(device, [plans.frequencies]),
            _on(device, [live for _, live in records]),
            bounds[:, 0], bounds[:, 1], np.cumsum(n_tiles) - n_tiles, n_tiles, per_tile * n_tiles,
        )  # fmt: skip


def _on(device: torch.device, parts: Sequence[npt.NDArray[np.int32]]) -> Tensor:
    whole = np.concatenate(
        [
            *parts,
            np.zeros_like(parts[0][:1]) if len(parts[0]) else np.zeros((1, *parts[0].shape[1:]), np.int32),
        ]
    )
    return torch.from_numpy(whole).to(device)  # one element more: an empty array has no address
