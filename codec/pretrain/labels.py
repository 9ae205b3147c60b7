"""The teacher labels a fixed pool of views once; training then reads them from disk.

The pool is a folder of plain arrays: `pixels.npy` (V×B×T×T float16 reflectance in the student's band order), `bands.npy`
(V×B), `tokens.npy` (V×h×w×D float16, the teacher's tokens as they are), `group.npy` (which band set), `image.npy` (which
image), and `targets.npz` (what corrects and standardises the tokens). Pixels and tokens are mapped, not read: runs beside
each other share them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from codec.data.raster import Raster
from codec.errors import InputError
from codec.models.bands import S2_NANO_BANDS
from codec.models.galileo import GalileoTeacher
from codec.pretrain.processor import native_bf16
from codec.pretrain.views import SOURCE_WEIGHTS, draw
from codec.types import FloatArray


@dataclass(frozen=True)
class Pool:
    """A labelled pool; V views, B student bands, D token width."""

    pixels: npt.NDArray[np.float16]  # V×B×T×T reflectance, absent bands 0
    bands: npt.NDArray[np.uint8]  # V×B, what the view has
    tokens: npt.NDArray[np.float16]  # V×h×w×D, raw
    group: npt.NDArray[np.int16]  # V, index of the band set
    image: npt.NDArray[np.int32]  # V, which image of all sources
    position_mean: FloatArray  # G×h×w×D, per band set
    spread: FloatArray  # D, standard deviation after the position mean is removed
    bands_of: tuple[str, ...]  # names of the B bands

    @cached_property
    def members(self) -> dict[int, npt.NDArray[np.int64]]:
        """Views of each image."""
        order = np.argsort(self.image, kind="stable")
        names, starts = np.unique(self.image[order], return_index=True)
        return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))

    def correct(self, raw: Tensor, index: npt.NDArray[np.int64], by_position: bool = True) -> Tensor:
        """Raw tokens n×h×w×D of the views `index` → position-corrected, channel-standardised; `by_position` False:
        only the mean over positions is taken away, and the position code of the teacher stays in the targets."""
        mean = torch.from_numpy(self.position_mean[self.group[index]]).to(raw.device)
        if not by_position:
            mean = mean.mean((1, 2), keepdim=True)
        return (raw - mean) / torch.from_numpy(self.spread).to(raw.device)


def position_statistics(
    tokens: npt.NDArray[np.float16], group: npt.NDArray[np.int16], n_groups: int, full: int
) -> tuple[FloatArray, FloatArray]:
    """Per-position mean for each band set, and the spread of what remains in the set `full`.

    The teacher's tokens are more than half position; each band set has its own, since the average runs over other groups.
    A set of fewer than 64 views takes the mean over positions as well: its position mean would be noise.
    """
    means = np.zeros((n_groups, *tokens.shape[1:]), np.float32)
    for g in range(n_groups):
        member = tokens[group == g].astype(np.float32)
        if len(member):
            means[g] = member.mean(0) if len(member) >= 64 else member.mean((0, 1, 2))
    rest = tokens[group == full].astype(np.float32) - means[full]
    return means, np.sqrt(np.mean(rest**2, axis=(0, 1, 2)) + 1e-8).astype(np.float32)


@torch.inference_mode()
def label_views(
    teacher: GalileoTeacher,
    images: Mapping[str, Sequence[Raster]],
    bands: Sequence[str],
    folder: Path,
    *,
    views: int,
    seed: int,
    tile: int = 64,
    batch: int = 48,
    shares: Mapping[str, float] | None = None,
) -> None:
    """Draw `views` views, label them and write the pool to `folder`. Says how fast it is.

    Same seed, images and views: the same pool, whatever the batch size (views are drawn one after the other).
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pool.json").unlink(missing_ok=True)  # an older pool is no longer whole from here on
    rng = np.random.default_rng([seed, 0x71E5])
    unknown = sorted(set(shares or ()) - set(images))
    if unknown:
        raise InputError(f"there is no data source {unknown[0]}", expected=", ".join(images))
    shares = shares or SOURCE_WEIGHTS
    numbers = {name: sum(len(images[n]) for n in list(images)[:i]) for i, name in enumerate(images)}
    side = tile // teacher.patch
    pixels = open_memmap(folder / "pixels.npy", "w+", np.float16, (views, len(bands), tile, tile))
    present = np.zeros((views, len(bands)), np.uint8)
    tokens = open_memmap(folder / "tokens.npy", "w+", np.float16, (views, side, side, teacher.width))
    group = np.zeros(views, np.int16)
    image = np.zeros(views, np.int32)
    sets: list[tuple[str, ...]] = []
    waiting: dict[tuple[str, ...], list[tuple[int, FloatArray]]] = {}
    started, done = time.monotonic(), 0
    fast = native_bf16()

    def flush(band_set: tuple[str, ...]) -> None:
        queue = waiting.pop(band_set, [])
        if not queue:
            return
        batch_pixels, names = torch.from_numpy(np.stack([x for _, x in queue])), band_set
        for there, missing in (("nir08", "nir"), ("nir", "nir08")):
            if there in names and missing not in names:
                # One near-infrared band serves the teacher as both of Sentinel-2's, so that it always sees NDVI.
                batch_pixels = torch.cat([batch_pixels, batch_pixels[:, [names.index(there)]]], dim=1)
                names = (*names, missing)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast):
            found = teacher(batch_pixels, names)
        tokens[[i for i, _ in queue]] = found.float().numpy().astype(np.float16)

    for i in range(views):
        view = draw(images, tile, rng, shares)
        # The teacher sees every band of the view, in one order whatever the file's; the student those of its list.
        band_set = tuple(b for b in S2_NANO_BANDS if b in view.bands)
        # Rounded before labelling, so that teacher and student see the same numbers.
        stored = view.pixels[[view.bands.index(b) for b in band_set]].astype(np.float16)
        for band, values in zip(band_set, stored, strict=True):
            if band in bands:
                pixels[i, bands.index(band)] = values
                present[i, bands.index(band)] = 1
        image[i] = numbers[view.source] + view.image
        if band_set not in sets:
            sets.append(band_set)
        group[i] = sets.index(band_set)
        waiting.setdefault(band_set, []).append((i, stored.astype(np.float32)))
        if len(waiting[band_set]) == batch:
            flush(band_set)
            done = i + 1
            rate = done / (time.monotonic() - started)
            print(
                f"labels: {done}/{views} views, {rate:.1f} views/s, {(views - done) / rate:.0f} s left",
                flush=True,
            )
    for band_set in list(waiting):
        flush(band_set)
    full = max(range(len(sets)), key=lambda g: (len(sets[g]), int((group == g).sum())))
    means, spread = position_statistics(tokens, group, len(sets), full)
    for name, array in (
        ("bands", present),
        ("group", group),
        ("image", image),
    ):
        np.save(folder / f"{name}.npy", array)
    pixels.flush()
    tokens.flush()
    np.savez(folder / "targets.npz", position_mean=means, spread=spread)
    # Written last: its presence says that the pool is whole.
    (folder / "pool.json").write_text(
        json.dumps(
            {"views": views, "seed": seed, "bands": list(bands), "sets": [list(s) for s in sets]}, indent=1
        )
    )


def load_pool(folder: Path) -> Pool:
    """Read a pool; an unfinished one is refused."""
    folder = Path(folder)
    if not (folder / "pool.json").exists():
        raise InputError("not a finished pool of labelled views", path=folder, fix="run the label step first")
    statistics = np.load(folder / "targets.npz")
    # Copy on write: torch asks for memory it could write to, and nothing of it is ever written.
    pixels, tokens = (np.load(folder / f"{name}.npy", mmap_mode="c") for name in ("pixels", "tokens"))
    bands, group, image = (np.load(folder / f"{name}.npy") for name in ("bands", "group", "image"))
    names = tuple(json.loads((folder / "pool.json").read_text())["bands"])
    return Pool(pixels, bands, tokens, group, image, statistics["position_mean"], statistics["spread"], names)
