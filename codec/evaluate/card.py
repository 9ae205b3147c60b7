"""The model card, written from the measured rows and the heads' cards; no number in it is typed by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codec.atomic import write_atomic
from codec.errors import InputError
from codec.models.weights import load_encoder

_HEAD = """# s2-nano

A small multispectral encoder with its codec and heads, trained by this repository's own code from its own random
initialisation. This page is generated (`python -m codec.evaluate card`); change the generator, not the page.

## What it is

- Input: a {tile}×{tile}-pixel tile of reflectance in any subset of {n_bands} bands ({bands}), named, never counted.
- Output: `tokens`, {side}×{side} × {width}, and `spectral`, {side}×{side} × {n_bands}: the mean of the normalised valid
  pixels per {patch}-pixel patch and band.
- Vision transformer, {depth} blocks of width {width}, {heads} heads, {parameters:,} parameters. One {patch}×{patch} filter
  bank per band name, summed over the bands present; position code with a small learnt gain.
- Trained by distillation: the student sees a jittered view with some of its bands, the teacher (Galileo nano, MIT
  licence, arXiv 2502.09356) saw all of it; targets are the teacher's tokens less their mean per position. No weight
  of the teacher is in this model.
- Licence of the weights: Apache-2.0. Data: see `training_data` in `manifest.json`; sets whose licence is not stated
  were used for training only and are not distributed.

## What it must not be used for

Radar, thermal or night images; reflectance without the sensor's scale and offset (a forgotten +1000 offset of
Sentinel-2 ruins it: give the metadata, not raw numbers); ground sampling far from 5–30 m except for experiments;
any decision of consequence without a test on your own places. It has seen {windows} Sentinel-2 windows,
mostly of Europe and of one North American coast.
"""


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return [row for row in csv.DictReader(file) if row["suite"] == "model"]


def _cell(row: Mapping[str, str] | None, digits: int = 1) -> str:
    if row is None:
        return "–"
    text = f"{float(row['value']):.{digits}f}"
    return text if not row["lo"] else f"{text} [{float(row['lo']):.{digits}f}, {float(row['hi']):.{digits}f}]"


def _probe_tables(rows: Sequence[Mapping[str, str]], split: str) -> str:
    """Accuracy of each feature and band case, and the paired differences, as Markdown."""
    found = {(r["case"], r["metric"], r["rival"]): r for r in rows}
    cases = sorted(
        {r["case"].split("/")[1] for r in rows if r["case"].startswith(f"eurosat-{split}/")},
        key=lambda name: -int(name.split("-")[0]),
    )
    if not cases:
        return ""
    n = next(r["n"] for r in rows if r["case"].startswith(f"eurosat-{split}/"))
    lines = [
        f"\n### EuroSAT {split} ({n} tiles), features frozen, fitted on train; % [95 % interval over 1-degree cells]\n",
        f"| features, probe | {' | '.join(cases)} |",
        "|---" * (len(cases) + 1) + "|",
    ]
    for metric, title in (("probe-accuracy", "linear"), ("knn10-accuracy", "10 nearest")):
        for feature in ("pixel-statistics", "random-twin", "s2-nano"):
            cells = [_cell(found.get((f"eurosat-{split}/{c}/{feature}", metric, ""))) for c in cases]
            lines.append(f"| {feature}, {title} | {' | '.join(cells)} |")
        for rival in ("pixel-statistics", "random-twin"):
            cells = [
                _cell(found.get((f"eurosat-{split}/{c}/s2-nano", f"{metric}-difference", rival)))
                for c in cases
            ]
            lines.append(f"| s2-nano − {rival}, {title}, paired | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _properties(rows: Sequence[Mapping[str, str]]) -> str:
    named = {(r["case"], r["metric"]): r for r in rows}
    position, seam = (
        named.get(("eurosat-train/tokens", "position-share")),
        named.get(("terramind-val/tokens", "seam-ratio")),
    )
    return (
        f"\nPosition explains {_cell(position, 2)} % of the token variance; tokens differ across tile borders "
        f"{_cell(seam, 2)} times as much as inside tiles.\n"
    )


def _heads(folder: Path) -> str:
    lines = [
        "\n## Heads\n",
        "Scored on the held-out split of their data, with decoded embeddings of estimated payload bytes per tile.\n",
        "| head | bands | rate | accuracy [95 %] | mean IoU | n |",
        "|---|---|---|---|---|---|",
    ]
    limits = []
    for path in sorted((folder / "heads").glob("*.json")):
        card: dict[str, Any] = json.loads(path.read_text())
        size = {r["ladder_index"]: r["bytes_per_tile"] for r in card["training_rates"] if r["layers"] is None}
        for s in card["held_out"]["scores"]:
            index = s["rate"].split()[1].rstrip(",") if s["rate"].startswith("index") else None
            rate = s["rate"]
            if index is not None and "layers" not in rate:
                rate = f"{rate}, {size[int(index)]:.0f} B"
            low, high = s["interval_95"]
            lines.append(
                f"| {card['name']} | {s['bands']} | {rate} | {100 * s['accuracy']:.1f} "
                f"[{100 * low:.1f}, {100 * high:.1f}] | {100 * s['mean_iou']:.1f} | {s['n']} |"
            )
        limits.append(
            f"- `{card['name']}` ({card['task']}; {', '.join(card['classes'])}) is not for: {card['must_not_be_used_for']}."
        )
    return "\n".join(lines) + "\n\n" + "\n".join(limits) + "\n"


def write_card(folder: Path, results: Path, *, windows: int) -> None:
    """Write `card.md` of the package from its encoder, its heads and the result rows. `windows`: Sentinel-2 windows seen."""
    if not results.is_file():
        raise InputError(
            "no measured rows", path=results, fix="run `python -m codec.evaluate encoder --results` first"
        )
    rows = _rows(results)
    encoder = load_encoder(folder / "encoder.safetensors")
    config = encoder.config
    text = _HEAD.format(
        tile=config.tile,
        patch=config.patch,
        side=config.side,
        width=config.width,
        depth=config.depth,
        heads=config.heads,
        n_bands=len(config.bands),
        bands=", ".join(config.bands),
        parameters=sum(p.numel() for p in encoder.parameters()),
        windows=windows,
    )
    text += (
        "\n## Measured\n"
        + "".join(_probe_tables(rows, split) for split in ("val", "test"))
        + _properties(rows)
    )
    text += (
        "\nWith so few tiles a difference of less than about 8 points cannot be shown. Few windows were seen in "
        "training, one seed; intervals are over places, not over seeds.\n"
    )
    write_atomic(folder / "card.md", (text + _heads(folder)).encode())
