"""What a patch is made of, without where: statistics of its pixels as a set (DEFLECT's auxiliary input, A1).

    pixels N×C×H×W ─┬─ bands ──────────────┐
                    └─ indices (NDVI, …) ──┴─▶ mean, std, (min, max) over the valid pixels of each patch ─▶ standardised
                                                                                                         s N×h×w×F

The order of pixels within a patch does not matter (rounding leaves 1e-6 of a feature, a few 1e-6 of a standardised one);
the RGB path sees geometry, this one only radiometry (arXiv 2503.09493, eq. 3).
Every operation exports to ONNX opset 20 without control flow that depends on data.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from codec.adapt.dated_indices import resolved_indices
from codec.adapt.indices import BandIndex
from codec.adapt.types import DEFAULT_INDICES, UpeSwitches
from codec.errors import InputError, SwathpackError

Statistic = Literal["mean", "std", "min", "max"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
RGB = frozenset({"red", "green", "blue"})
# Standardised values beyond this carry nothing but saturation; the encoder's own input ends there too
# (`codec.models.bands.NORMALISED_RANGE`).
REACH = 12.0
# A feature whose spread over the training set is below this share of its size differs by rounding only.
_FLAT = 1e-5
_FAR = 1e6  # beyond every reflectance and index; finite, so that 0 times it is 0


@dataclass(frozen=True, slots=True)
class Fitted:
    """What `fit` saw."""

    patches: int  # with at least one valid pixel
    constant: tuple[str, ...]  # features that never change; their standardised value is 0


class PatchStatistics(nn.Module):
    """Statistics of the valid pixels of each P×P patch: (pixels, present, validity) → s N×h×w×F.

    `bands`: canonical names in the order of the pixels. `use`: statistics of all bands, or only of those beyond the
    `base` encoder's own (`aux`); indices use every band in both. `indices`: those of them whose bands are there
    (`left_out` says which are not, and what they lack). Features go by statistic, then by source (`feature_names`).
    Standardised with statistics of the training set, which `fit` finds and the state dict holds: without them `forward`
    refuses to run.

    What has no value is the standardised 0, the training mean: features of an absent band and of the indices that use
    it, and every feature of a patch without a valid pixel. NaN in absent bands and invalid pixels is never touched.
    """

    feature_mean: Tensor  # (F)
    feature_inverse_spread: Tensor  # (F), 0 where a feature is constant
    patches_seen: Tensor  # (), int64; 0: not fitted

    def __init__(
        self,
        bands: Sequence[str],
        patch: int,
        *,
        indices: Sequence[str | BandIndex] = DEFAULT_INDICES,
        stats: Sequence[str] = ("mean", "std"),
        use: str = "all",
        base: Collection[str] = RGB,
    ) -> None:
        super().__init__()
        self.bands = tuple(bands)
        self.patch = patch
        self.use = use
        self.stats = tuple(_checked(stats))
        if not self.bands or len(set(self.bands)) != len(self.bands):
            raise InputError("bands are one or more different names", found=", ".join(self.bands) or "none")
        if patch < 1:
            raise InputError("a patch has at least one pixel a side", found=patch)
        if use not in ("all", "aux"):
            raise InputError("statistics are of all bands or of aux", expected="all or aux", found=repr(use))
        self.indices, self.left_out = resolved_indices(indices, self.bands)
        self.base = tuple(sorted(base))
        self.own = tuple(i for i, band in enumerate(self.bands) if use == "all" or band not in base)
        self.sources = (*(self.bands[i] for i in self.own), *(index.name for index in self.indices))
        if len(set(self.sources)) != len(self.sources):
            raise InputError("an index is asked for twice", found=", ".join(self.sources))
        if not self.sources:
            raise InputError(
                "these bands and switches leave nothing to describe a patch by",
                fix="add a band beyond the encoder's own, an index, or choose all bands",
            )
        self.register_buffer("feature_mean", torch.zeros(self.n_features))
        self.register_buffer("feature_inverse_spread", torch.ones(self.n_features))
        self.register_buffer("patches_seen", torch.zeros((), dtype=torch.int64))
        self._is_fitted = False  # the same as patches_seen > 0, for code that is traced

    @classmethod
    def of(
        cls, bands: Sequence[str], patch: int, switches: UpeSwitches, *, base: Collection[str] = RGB
    ) -> PatchStatistics:
        """As the adapter's switches say; `base`: the bands that the encoder itself sees."""
        return cls(
            bands, patch, indices=switches.indices, stats=switches.stats, use=switches.bands, base=base
        )

    @property
    def n_features(self) -> int:
        return len(self.stats) * len(self.sources)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """E.g. "mean of nir", "std of NDVI"."""
        return tuple(f"{stat} of {source}" for stat in self.stats for source in self.sources)

    @property
    def fitted(self) -> bool:
        """Whether the statistics of a training set are there."""
        return self._is_fitted

    def definition(self) -> dict[str, Any]:
        """Everything but the numbers, as JSON: what an adapter file stores beside them. `from_definition` reads it."""
        return {
            "bands": list(self.bands),
            "patch": self.patch,
            "use": self.use,
            "base": list(self.base),
            "stats": list(self.stats),
            "indices": [index.to_json() for index in self.indices],
        }

    @classmethod
    def from_definition(cls, entry: Mapping[str, Any]) -> PatchStatistics:
        """The module of a stored definition; needs no catalogue of indices. Raises InputError or Corrupt."""
        try:
            indices = [BandIndex.from_json(index) for index in entry["indices"]]
            switches = {"stats": entry["stats"], "use": entry["use"], "base": entry["base"]}
            return cls(entry["bands"], int(entry["patch"]), indices=indices, **switches)
        except SwathpackError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"not a definition of patch statistics: {error}") from error

    def forward(self, pixels: Tensor, present: Tensor, validity: Tensor) -> Tensor:
        """Reflectance N×C×H×W, bands that are there N×C and valid pixels N×H×W (1 or 0, or bool) → N×h×w×F, float32.

        H and W are multiples of the patch. Raises InputError before `fit`, and for another number of bands.
        """
        if not self._is_fitted:
            raise InputError(
                "the statistics of the training set are missing",
                fix="call fit(batches) with the training set, or load an adapter that was trained",
            )
        values, there = self.raw(pixels, present, validity)
        s = (values - self.feature_mean) * self.feature_inverse_spread
        return torch.where(there, s.clamp(-REACH, REACH), 0.0)

    def raw(self, pixels: Tensor, present: Tensor, validity: Tensor) -> tuple[Tensor, Tensor]:
        """The features as they are, and whether each has a value, both N×h×w×F."""
        channels, height, width = pixels.shape[1:]
        if channels != len(self.bands):
            raise InputError(
                "pixels have another number of bands",
                expected=f"{len(self.bands)}: {', '.join(self.bands)}",
                found=channels,
            )
        if height % self.patch or width % self.patch:
            raise InputError(f"height and width are multiples of {self.patch}", found=f"{height}×{width}")
        # Products of zeros and ones, not logic: payloads load graphs of a short list of operators (`onboard.graph`).
        has = (present > 0.5).to(pixels.dtype)  # (N, C)
        valid = (validity > 0.5).to(pixels.dtype)  # (N, H, W)
        known = torch.where(has[:, :, None, None] * valid[:, None] > 0.5, pixels, 0.0)
        x, there = known, has
        if len(self.own) < channels:
            own = torch.tensor(self.own, device=known.device)
            x, there = x.index_select(1, own), there.index_select(1, own)
        if self.indices:
            column = {band: i for i, band in enumerate(self.bands)}
            planes = {band: known[:, i] for band, i in column.items()}
            computed = torch.stack([index(planes) for index in self.indices], 1)  # (N, I, H, W)
            needs = [[has[:, column[band]] for _, band in index.bands] for index in self.indices]
            computable = torch.stack([math.prod(columns[1:], start=columns[0]) for columns in needs], 1)
            x, there = torch.cat([x, computed], 1), torch.cat([there, computable], 1)  # (N, S, …)
        inside = self._patches(valid[:, None])  # (N, h, w, 1, P²)
        count = inside.sum(-1)  # (N, h, w, 1)
        parts = self._statistics(self._patches(x), inside, count.clamp(min=1.0))
        seen = (count > 0.5).to(pixels.dtype) * there[:, None, None]  # (N, h, w, S)
        values, there = torch.cat(parts, -1), torch.cat([seen] * len(parts), -1)
        return values * there, there > 0.5

    def _statistics(self, pixel: Tensor, inside: Tensor, count: Tensor) -> list[Tensor]:
        """Of pixels N×h×w×S×P², one N×h×w×S per statistic. Outside stand zeros, or what an index makes of zeros."""
        # About the training mean: what rounding and the order of the sum do is then small beside the spread, too.
        centre = self._centre()
        mean = ((pixel - centre[:, None]) * inside).sum(-1) / count + centre
        found = {"mean": mean}
        if "std" in self.stats:
            # Two passes: the square of the mean, subtracted, would leave nothing of a smooth patch in float32.
            apart = (pixel - mean[..., None]) * inside
            found["std"] = ((apart * apart).sum(-1) / count).sqrt()
        if "min" in self.stats:
            found["min"] = -torch.where(inside > 0.5, -pixel, -_FAR).amax(-1)
        if "max" in self.stats:
            found["max"] = torch.where(inside > 0.5, pixel, -_FAR).amax(-1)
        return [found[stat] for stat in self.stats]

    def _centre(self) -> Tensor:
        """Of each source its training mean, 0 before `fit` and where means are no statistic."""
        if "mean" not in self.stats:
            return self.feature_mean.new_zeros(len(self.sources))
        first = self.stats.index("mean") * len(self.sources)
        return self.feature_mean[first : first + len(self.sources)]

    def _patches(self, x: Tensor) -> Tensor:
        """N×S×H×W → N×h×w×S×P²."""
        n, s, height, width = x.shape
        p = self.patch
        cut = x.reshape(n, s, height // p, p, width // p, p).permute(0, 2, 4, 1, 3, 5)
        return cut.reshape(n, height // p, width // p, s, p * p)

    @torch.no_grad()
    def fit(
        self,
        batches: Iterable[tuple[Tensor, Tensor, Tensor]],
        *,
        constant: Literal["refuse", "zero"] = "refuse",
    ) -> Fitted:
        """Mean and spread of every feature over the patches of a training set, read once, batch by batch.

        The same batches in the same order give the same bits. A feature that never changes, or that no patch has (a band
        absent or invalid everywhere), is refused by name, or with `constant="zero"` standardised to 0 wherever it is.
        Raises InputError also for a value that is not finite and for a set without a valid patch; nothing is kept then.
        """
        n = torch.zeros(self.n_features, dtype=torch.float64)
        mean, square = torch.zeros_like(n), torch.zeros_like(n)
        patches = 0
        for pixels, present, validity in batches:
            values, there = self.raw(pixels, present, validity)
            values, there = values.flatten(0, 2).double().cpu(), there.flatten(0, 2).cpu()
            if not torch.isfinite(values[there]).all():
                bad = (there & ~torch.isfinite(values)).any(0).nonzero()[0].item()
                raise InputError(
                    f"the {self.feature_names[int(bad)]} of a training patch is not finite",
                    fix="mark such pixels invalid",
                )
            # Chan, Golub and LeVeque (1979): moments of two sets from those of each, without cancellation.
            count = there.sum(0).double()
            own = torch.where(there, values, 0.0).sum(0) / count.clamp(min=1)
            spread = torch.where(there, (values - own) ** 2, 0.0).sum(0)
            total = (n + count).clamp(min=1)
            step = own - mean
            square += spread + step**2 * n * count / total
            mean += step * count / total
            n += count
            patches += int(there.any(1).sum())
        return self._keep(n, mean, square, patches, constant)

    def _keep(self, n: Tensor, mean: Tensor, square: Tensor, patches: int, constant: str) -> Fitted:
        if constant not in ("refuse", "zero"):
            raise InputError("constant features are refused or zero", found=repr(constant))
        if not patches:
            raise InputError("the training set has no patch with a valid pixel", fix="give other tiles")
        spread = (square / n.clamp(min=1)).sqrt()
        flat = (n < 2) | (spread <= _FLAT * mean.abs().clamp(min=1e-3))
        names = tuple(
            name for name, is_flat in zip(self.feature_names, flat.tolist(), strict=True) if is_flat
        )
        if names and constant == "refuse":
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise InputError(
                f"the {names[0]}{more} never changes over {patches} training patches",
                fix="leave that band or index out, or say constant='zero' to do without these features",
            )
        self.feature_mean.copy_(torch.where(flat, 0.0, mean))
        self.feature_inverse_spread.copy_(torch.where(flat, 0.0, 1 / torch.where(flat, 1.0, spread)))
        self.patches_seen.fill_(patches)
        self._is_fitted = True
        return Fitted(patches, names)

    def _load_from_state_dict(self, *arguments: Any, **keywords: Any) -> None:
        super()._load_from_state_dict(*arguments, **keywords)
        self._is_fitted = bool(self.patches_seen.item() > 0) if not self.patches_seen.is_meta else False


def _checked(stats: Sequence[str]) -> Iterable[str]:
    if not stats or len(set(stats)) != len(stats) or not set(stats) <= set(STATISTICS):
        raise InputError(
            "statistics are different ones of those there are",
            expected=", ".join(STATISTICS),
            found=", ".join(stats) or "none",
        )
    return stats
