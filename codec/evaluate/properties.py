"""What is wrong with tokens apart from accuracy: position in them, seams between tiles; and their size."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from codec.data.readers import read_source
from codec.errors import InputError
from codec.evaluate import scenes as sets
from codec.evaluate.bank import Bank
from codec.evaluate.features import tokens
from codec.evaluate.rows import Row
from codec.evaluate.token_maps import Picture, token_map
from codec.models.vit import Encoder
from codec.types import FloatArray


def position_share(tokens: FloatArray) -> float:
    """Share of the token variance that the position alone explains, corrected for the noise of the
    position means.
    """
    n = len(tokens)
    flat = tokens.reshape(n, -1, tokens.shape[-1]).astype(np.float64)
    centred = flat - flat.mean((0, 1))
    at = centred.mean(0)
    # variance of one token at a fixed position
    within = ((centred - at) ** 2).sum() / max(1, n - 1) / flat.shape[1]
    between = (at**2).sum() / flat.shape[1] - within / n
    return float(max(0.0, between) / (centred**2).sum() * n * flat.shape[1])


def seam_ratio(encoder: Encoder, data: Path, *, margin: int = 0) -> tuple[float, int]:
    """Mean token difference across tile borders / between neighbours inside tiles, on the validation place.

    1 means that a map shows no tiling. Tiles overlap by `margin` pixels on each side, which are cropped, as a package
    with that margin has it. Returns the ratio and the number of tiles.
    """
    inside: list[float] = []
    across: list[float] = []
    count, tile = 0, encoder.config.tile
    for image in read_source("terramind", data, "val"):
        known = [i for i, name in enumerate(image.bands) if name in encoder.config.bands]
        core = tile - 2 * margin
        height, width = (2 * margin + (n - 2 * margin) // core * core for n in (image.height, image.width))
        picture = Picture(
            image.reflectance(0, 0, height, width)[known],
            tuple(image.bands[i] for i in known),
            image.validity[:height, :width],
        )
        whole, begins = token_map(
            partial(tokens, encoder), picture, tile=tile, patch=encoder.config.patch, margin=margin
        )
        for axis in (0, 1):
            step = np.linalg.norm(np.diff(whole, axis=axis), axis=-1)
            border = np.isin(np.arange(step.shape[axis]) + 1, begins[axis])
            across += np.compress(border, step, axis=axis).ravel().tolist()
            inside += np.compress(~border, step, axis=axis).ravel().tolist()
        count += (len(begins[0]) + 1) * (len(begins[1]) + 1)
    return float(np.mean(across) / np.mean(inside)), count


def rows(bank: Bank, split: str) -> list[Row]:
    """Per seed and their mean: position share on EuroSAT train, seam ratio on the validation place, as the package tiles and
    with a margin of one patch; parameters and bytes of the weights in float16. `split` does not matter: nothing is fitted,
    test is not read.
    """
    subject, out = bank.subject, []
    fit = sets.eurosat(bank.data, ("train",)).with_bands(next(iter(bank.cases().values())))
    shares = [100 * position_share(tokens(encoder, fit)) for encoder in bank.encoders]
    patch = bank.encoders[0].config.patch
    seams = [seam_ratio(encoder, bank.data, margin=bank.margin) for encoder in bank.encoders]
    wide = [seam_ratio(encoder, bank.data, margin=max(patch, bank.margin)) for encoder in bank.encoders]
    parameters = sum(p.numel() for p in bank.encoders[0].parameters())
    ratio, share = "ratio [lowest and highest seed]", "% of token variance [lowest and highest seed]"
    for case, metric, values, unit, n in (
        ("eurosat-train", "position-share", shares, share, len(fit.labels)),
        ("terramind-val", "seam-ratio", [s[0] for s in seams], ratio, seams[0][1]),
        ("terramind-val", "seam-ratio, one patch of margin", [s[0] for s in wide], ratio, wide[0][1]),
        ("weights", "parameters", [float(parameters)], "", None),
        ("weights", "fp16-bytes", [2.0 * parameters], "B", None),
    ):  # fmt: skip
        several = len(values) > 1
        out.append(
            Row(
                subject.suite,
                f"{case}/{subject.name}",
                metric,
                float(np.mean(values)),
                min(values) if several else None,
                max(values) if several else None,
                unit,
                n=n,
                seeds=subject.seeds,
            )
        )
    return out


def package_rows(folders: list[Path], suite: str = "model") -> list[Row]:
    """Bytes of each package folder and of all of them together (`packages/all`)."""
    sizes = {}
    for folder in folders:
        if not (folder / "manifest.json").is_file():
            raise InputError("not a model package", path=folder)
        sizes[folder.name] = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    return [
        *(Row(suite, f"packages/{name}", "bytes", float(size), unit="B") for name, size in sizes.items()),
        Row(suite, "packages/all", "bytes", float(sum(sizes.values())), unit="B", n=len(sizes)),
    ]
