"""The protocols by name, and running them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codec.errors import InputError
from codec.evaluate import blocked, dense, few_label, fixed, properties, robust, strata, ucmerced
from codec.evaluate.bank import Bank
from codec.evaluate.rows import Row
from codec.models.vit import Encoder


@dataclass(frozen=True, slots=True)
class Setting:
    """What a protocol is given beside the features."""

    split: str  # val, test or unseen
    samples: Path  # folder of the sample scenes
    others: Mapping[str, Sequence[Encoder]]  # further models that UC Merced is compared with


PROTOCOLS: Mapping[str, Callable[[Bank, Setting], list[Row]]] = {
    "fixed": lambda bank, setting: fixed.rows(bank, setting.split),
    "few-label": lambda bank, setting: few_label.rows(bank, setting.split),
    "blocked": lambda bank, setting: blocked.rows(bank, setting.split),
    "dense": lambda bank, setting: dense.rows(bank, setting.split),
    "strata": lambda bank, setting: strata.rows(bank, setting.split, setting.samples),
    "ucmerced": lambda bank, setting: ucmerced.rows(bank, setting.split, setting.others),
    "robust": lambda bank, setting: robust.rows(bank, setting.split),
    "properties": lambda bank, setting: properties.rows(bank, setting.split),
}


def run(names: Sequence[str], bank: Bank, setting: Setting) -> list[Row]:
    """Rows of these protocols, one after the other. An unknown name is refused before anything is computed."""
    unknown = [name for name in names if name not in PROTOCOLS]
    if unknown:
        raise InputError(f"there is no protocol {unknown[0]}", expected=", ".join(PROTOCOLS), found=unknown)
    return [row for name in names for row in PROTOCOLS[name](bank, setting)]
