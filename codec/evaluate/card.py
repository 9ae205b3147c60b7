"""The model card, written from the measured rows and the heads' cards; no number in it is typed by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

from codec.atomic import write_atomic
from codec.data.readers import read_source
from codec.errors import InputError
from codec.evaluate.about import ABOUT, About
from codec.evaluate.card_rates import energy, rates
from codec.evaluate.card_tables import tables
from codec.evaluate.rows import Row, load
from codec.models.vit import Encoder
from codec.models.weights import load_encoder
from codec.pretrain.windows import origins

_WIDTH = 120


def _architecture(encoder: Encoder) -> list[str]:
    c = encoder.config
    bank = f"One {c.patch}×{c.patch} filter bank per band name"
    joined = {
        "single": "summed over the bands present",
        "grouped": "summed within each group of bands, averaged over the groups at the end",
    }[c.stem]
    registers = f", {c.registers} register tokens" if c.registers else ""
    parameters = sum(p.numel() for p in encoder.parameters())
    return [
        f"Input: a {c.tile}×{c.tile}-pixel tile of reflectance in any subset of {len(c.bands)} bands "
        f"({', '.join(c.bands)}), named, never counted. A band that is not given is absent, not zero.",
        f"Output: `tokens`, {c.side}×{c.side} × {c.width}, and `spectral`, {c.side}×{c.side} × {len(c.bands)}: the mean of "
        f"the normalised valid pixels per {c.patch}-pixel patch and band.",
        f"Vision transformer, {c.depth} blocks of width {c.width}, {c.heads} heads{registers}, {parameters:,} parameters. "
        f"{bank}, {joined}; position code with a small learnt gain.",
    ]


def _head(name: str, about: About, encoder: Encoder, windows: int) -> str:
    facts = [
        *_architecture(encoder),
        about.training.format(name=name),
        "Licence of the weights: Apache-2.0. Data: see `training_data` in `manifest.json`; sets whose licence is not stated "
        "were used for training only and are not distributed.",
    ]
    intro = (
        f"{about.title}, trained by this repository's own code from its own random initialisation. This page is generated "
        "(`python -m codec.evaluate card`); change the generator, not the page."
    )
    listed = "\n".join(
        fill(f"- {fact}", _WIDTH, subsequent_indent="  ", break_on_hyphens=False) for fact in facts
    )
    limits = fill(about.limits.format(windows=windows), _WIDTH, break_on_hyphens=False)
    return (
        f"# {name}\n\n{fill(intro, _WIDTH, break_on_hyphens=False)}\n\n## What it is\n\n{listed}\n\n"
        f"## What it must not be used for\n\n{limits}\n"
    )


def _rate(score: Mapping[str, Any], sizes: Mapping[int, float]) -> str:
    rate = str(score["rate"])
    if not rate.startswith("index") or "layers" in rate:
        return rate
    return f"{rate}, {sizes[int(rate.split()[1].rstrip(','))]:.0f} B"


def _heads(folder: Path) -> str:
    cards = [json.loads(path.read_text()) for path in sorted((folder / "heads").glob("*.json"))]
    if not cards:
        return ""
    lines = [
        "\n## Heads\n",
        "Scored on the held-out split of their data, with decoded embeddings of estimated payload bytes per tile.\n",
        "| head | bands | rate | accuracy [95 %] | mean IoU | n |",
        "|---|---|---|---|---|---|",
    ]
    for card in cards:
        sizes = {
            r["ladder_index"]: r["bytes_per_tile"] for r in card["training_rates"] if r["layers"] is None
        }
        for score in card["held_out"]["scores"]:
            low, high = score["interval_95"]
            lines.append(
                f"| {card['name']} | {score['bands']} | {_rate(score, sizes)} | {100 * score['accuracy']:.1f} "
                f"[{100 * low:.1f}, {100 * high:.1f}] | {100 * score['mean_iou']:.1f} | {score['n']} |"
            )
    limits = [
        f"- `{c['name']}` ({c['task']}; {', '.join(c['classes'])}) is not for: {c['must_not_be_used_for']}."
        for c in cards
    ]
    return "\n".join(lines) + "\n\n" + "\n".join(limits) + "\n"


def rows_of(path: Path, name: str) -> list[Row]:
    """The measured rows a card of this package may quote. Raises InputError where there is none."""
    rows = load(path) if path.is_file() else []
    if not any(row.case.endswith(f"/{name}") for row in rows):
        raise InputError(
            f"no measured rows of {name}",
            path=path,
            fix="run `python -m codec.evaluate encoder --results` first",
        )
    return rows


def write_card(folder: Path, results: Path, data: Path) -> None:
    """Write `card.md` of the package from its encoder, its heads and the result rows of its name."""
    name = folder.resolve().name
    if name not in ABOUT:
        raise InputError(f"nothing is written about {name}", path=folder, expected=", ".join(ABOUT))
    rows, about = rows_of(results, name), ABOUT[name]
    encoder = load_encoder(folder / "encoder.safetensors")
    windows = sum(
        1
        for source in about.sources
        for image in read_source(source, data)
        for _ in origins(image, encoder.config.tile)
    )
    used = results.with_name("utility.csv")
    text = (
        _head(name, about, encoder, windows)
        + energy(json.loads((folder / "manifest.json").read_text()).get("energy") or {})
        + "\n## Measured\n"
        + tables(rows, name)
        + rates(load(used) if used.is_file() else [], name)
        + _heads(folder)
    )
    write_atomic(folder / "card.md", text.encode())
