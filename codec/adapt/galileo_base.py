"""Galileo's RGB group as a base: queries, keys and values are separate here, and there is no class token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from codec.adapt.base import Base, Site, shared
from codec.adapt.foreign_base import ForeignSite, Scaling, block_linears, inflate_filters
from codec.adapt.types import Role
from codec.errors import InputError
from codec.models.foreign.blocks import patches
from codec.models.foreign.galileo import GalileoEncoder
from codec.models.galileo import DN_PER_REFLECTANCE, GROUPS, GalileoTeacher

_GROUP = "S2_RGB"
_ROW = 1 + list(GROUPS).index(_GROUP)  # of the channel embedding; row 0 is Sentinel-1's
_JULY = 6


class GalileoBase(Base):
    """Blue, green and red through their patch filters; the other groups are not seen. `month` counts from 0."""

    encoder: GalileoEncoder

    def __init__(
        self,
        encoder: GalileoEncoder,
        *,
        month: int = _JULY,
        gsd_m: float = 10.0,
        bands: Sequence[str] = GROUPS[_GROUP],
    ) -> None:
        super().__init__(encoder)
        if not (0 <= month < 12 and gsd_m > 0):
            raise InputError("month is 0 to 11, gsd_m above 0", found=(month, gsd_m))
        self.bands, self.width, self.patch = tuple(bands), encoder.width, encoder.patch
        self.month, self.gsd_m = month, gsd_m
        stated = encoder.layout.input
        known = {
            band: (mean, std)
            for band, mean, std in zip(encoder.layout.bands, stated["mean"], stated["std"], strict=True)
        }
        own = [band for band in self.bands if band in known]
        # (DN − mean + 2 std) / (4 std), as it was trained.
        self.scaling = Scaling(
            (DN_PER_REFLECTANCE,) * len(own),
            tuple(known[band][0] - 2 * known[band][1] for band in own),
            tuple(4 * known[band][1] for band in own),
            (False,) * len(own),
        ).widened(own, self.bands)

    @property
    def teacher(self) -> GalileoTeacher:
        return self.encoder.teacher

    def embed(self, pixels: Tensor, present: Tensor, validity: Tensor) -> tuple[Tensor, tuple[int, int]]:
        height, width = pixels.shape[-2:]
        if pixels.ndim != 4 or pixels.shape[1] != len(self.bands) or height != width or width % self.patch:
            raise InputError(
                "pixels do not fit the base",
                expected=f"N×{len(self.bands)}×H×H with H a multiple of {self.patch}",
                found="×".join(map(str, pixels.shape)),
            )
        side, teacher = width // self.patch, self.teacher
        z = self.scaling(pixels, present, validity)
        constant = torch.cat(
            [teacher.s_t_channel_embed[_ROW], teacher.pos_embed[0], teacher.month_embed.weight[self.month]]
        )
        place = teacher.spatial_code(side, self.gsd_m)
        code = torch.cat([constant.expand(side * side, -1), place], dim=1)  # L×D
        return patches(teacher.space_time_embed[_GROUP], z) + code, (side, side)

    def sites(self) -> Sequence[Site]:
        return [ForeignSite(block) for block in self.encoder.blocks]  # type: ignore[arg-type]

    def finish(self, sequence: Tensor, grid: tuple[int, int]) -> Tensor:
        x: Tensor = self.teacher.norm(sequence)
        return x.reshape(-1, *grid, self.width)

    def linears(self) -> Mapping[str, Role]:
        return block_linears(self.encoder.blocks, "teacher.blocks")

    def stem(self) -> tuple[str, ...]:
        return (f"teacher.space_time_embed.{_GROUP}.proj.weight",)

    def unused(self) -> tuple[str, ...]:
        return tuple(f"teacher.space_time_embed.{name}." for name in GROUPS if name != _GROUP)

    def inflated(self, bands: Sequence[str], how: str, seed: int = 0) -> GalileoBase:
        self.require_bands(bands)
        wider = shared(self.encoder)
        inflate_filters(wider, self.stem()[0], self.bands, bands, how, seed)
        return GalileoBase(wider, month=self.month, gsd_m=self.gsd_m, bands=bands)
