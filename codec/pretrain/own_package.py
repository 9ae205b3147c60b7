"""A package for a user's own sensor: the encoder of another package, and a codec of their own scenes.

Encoder, heads and preview stay: they bind to embedding spaces, which the codec does not change. What holds the old codec or
was measured with it stays behind: the exported graph (it contains the transform), a refinement network, the card.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codec.arrays.package_folder import whole_folder
from codec.atomic import write_atomic
from codec.errors import InputError, InternalError, UsageError
from codec.models.vit import EncoderConfig
from codec.models.weights import load_encoder
from codec.package import Package, build, load
from codec.package.files import MAX_FILE_BYTES, read_checked
from codec.package.manifest import ADAPTER, ENCODER, TABLES, TRANSFORM
from codec.pretrain.fit import embedded, fit_embedded, save_planes
from codec.pretrain.own_gain import held_out_ratio, with_prior
from codec.pretrain.own_prior import prior_embeddings
from codec.pretrain.own_windows import OwnScene, OwnWindows, ReadScene, check_enough, read_windows
from codec.pretrain.windows import ORIENTATIONS
from codec.transform.fit import FittedCodec
from codec.transform.fit_checks import check_size, halves
from codec.types import FloatArray

_KEPT = re.compile(re.escape(ENCODER) + r"|heads/.+|preview\.npz|LICEN[CS]E[^/]*")
_NAME = re.compile(r"[a-z0-9][a-z0-9._\-]{0,63}")  # what a manifest allows
_LISTED = 64  # scenes that a manifest names


@dataclass(frozen=True, slots=True)
class OwnFit:
    """What came out."""

    package: Package
    scenes: tuple[ReadScene, ...]
    windows: int  # fitted to, each in eight orientations
    # Bytes over the old codec's at equal error, at its default quality:
    other_windows: float  # on windows that a fit left out
    other_scenes: float | None  # on scenes that a fit left out; None of one scene
    left_behind: tuple[str, ...]  # files of the old package


def fit_own_package(
    old: Package,
    scenes: Sequence[OwnScene],
    out: Path,
    *,
    name: str | None = None,
    licence: str = "not stated",
    seed: int = 0,
    keep: Path | None = None,
) -> OwnFit:
    """Fit a codec to `scenes` and write a whole package into the new folder `out`, or nothing.

    The package is named `<old name>-<name>`, `name` being that of the sensors if not given. Space ids stay, so heads bind
    and a ground station that has both packages reads files of both; the codec id is new. `licence`: of the scenes, for the
    manifest. `keep` gets the embeddings as .npz. Raises InputError where `out` is no new folder, a scene cannot be read, the
    windows are too few (saying how many are needed) or the old codec would serve them better; and where the old package
    has no encoder or one that its planes are not of. UsageError for a name that a manifest does not allow.
    """
    _check_new(out)
    if not scenes:
        raise UsageError("no scene is given", fix="name rasters after --scenes")
    if name is not None:
        _full_name(old, name)
    encoder = load_encoder(_encoder_file(old))
    _check_architecture(old, encoder.config)
    tile = old.tile
    read = read_windows(scenes, old.bands, core=tile.core, margin=tile.margin, seed=seed)
    check_enough(read.scenes)
    every = embedded(encoder, read.in_all_orientations())
    planes = _core(every, tile.margin // tile.patch)
    shown = {plane.name: planes[plane.name] for plane in old.planes}
    windows = held_out_ratio(old, shown, halves(len(read.tiles))[0], ORIENTATIONS)
    if windows >= 1:
        raise InputError(
            f"a codec of these scenes would take {windows - 1:.1%} more bytes for windows of them that it has not seen than "
            f"that of {old.name}",
            found=f"{len(read.tiles)} windows",
            fix=f"give more scenes, or keep {old.name}",
        )
    apart = np.array(read.scene_of) % 2 == 0
    others = None if apart.all() or not apart.any() else held_out_ratio(old, shown, apart, ORIENTATIONS)
    fitted = _fitted(old, planes)
    own = name or "-".join(sorted({scene.sensor for scene in read.scenes}))
    left = tuple(
        one
        for one in sorted(old.manifest.files)
        if not _KEPT.fullmatch(one) and one not in (TABLES, TRANSFORM)
    )
    with whole_folder(out, again=False) as folder:
        for one, entry in old.manifest.files.items():
            if _KEPT.fullmatch(one):
                place = folder / one
                place.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(place, read_checked(old.folder, one, entry, MAX_FILE_BYTES))
        made = build(
            folder,
            name=_full_name(old, own),
            version=f"{old.manifest.version}+own.{old.codec_id.hex()}",
            licence=old.manifest.licence,
            bands=old.bands,
            preprocessing=old.manifest.preprocessing,
            tile=tile,
            codec=fitted,
            training_data=[*old.manifest.raw["training_data"], _data_entry(read, licence)],
            energy=old.manifest.raw["energy"],
            notes={**old.manifest.raw.get("notes", {}), "own_codec": _note(old, read, windows, others)},
        )
        if made.space_ids != old.space_ids:  # equal encoder, bands and preprocessing: cannot differ
            raise InternalError("the space ids changed with the codec")
    if keep is not None:
        save_planes(keep, planes)
    return OwnFit(load(out), read.scenes, len(read.tiles), windows, others, left)


def _check_new(out: Path) -> None:
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise InputError("the output is there already", path=out, fix="name a new folder with --out")


def _full_name(old: Package, own: str) -> str:
    full = f"{old.name}-{own}"
    if not _NAME.fullmatch(full):
        raise UsageError(
            "--name is no name of a package",
            expected=f"a-z 0-9 . _ -, at most {63 - len(old.name)} of them",
            found=own,
        )
    return full


def _encoder_file(package: Package) -> Path:
    files = package.manifest.files
    if ENCODER not in files:
        raise InputError(
            f"package {package.name!r} has no {ENCODER}, so nothing can embed your scenes",
            path=package.folder,
            fix="for embeddings that you have, use swathpack fit",
        )
    if ADAPTER in files:
        raise InputError(
            f"package {package.name!r} has an adapter, which this command does not run",
            path=package.folder,
            fix="python -m codec.nec.adapted … --scenes, with the package of its base",
        )
    return package.path(ENCODER)


def _check_architecture(package: Package, config: EncoderConfig) -> None:
    """Raises InputError where weights of this architecture cannot have made the package's planes."""
    tile = package.tile
    side = tile.core // tile.patch
    widths = {"tokens": config.width, "spectral": len(config.bands)}
    pairs: dict[str, tuple[object, object]] = {
        "bands": (package.bands, config.bands),
        "pixels a side": (tile.core + 2 * tile.margin, config.tile),
        "patch": (tile.patch, config.patch),
        "planes": (tuple(plane.name for plane in package.planes), tuple(widths)),
    }
    for plane in package.planes:
        spec = plane.spec
        pairs[f"plane {plane.name}"] = (
            (spec.rows, spec.cols, spec.channels), (side, side, widths.get(plane.name))
        )  # fmt: skip
    for what, (ours, theirs) in pairs.items():
        if ours != theirs:
            raise InputError(
                f"the encoder is of another architecture than the package: {what}",
                path=package.path(ENCODER),
                expected=ours,
                found=theirs,
                fix="use the encoder.safetensors that the package was fitted with",
            )


def _fitted(old: Package, planes: Mapping[str, FloatArray]) -> FittedCodec:
    """The codec of the windows and of what the old one expects.

    What shipped tables may lose against their density, and a density to other windows, has limits of its own (`fit_checks`);
    here such windows were just coded, all losses counted, and took fewer bytes than by the old codec.
    """
    fitted = fit_embedded(
        with_prior(planes, prior_embeddings(old)), refinements=len(old.manifest.refining), freeze=False
    )
    check_size(fitted.tables_bytes)
    return fitted


def _core(planes: Mapping[str, FloatArray], cut: int) -> dict[str, FloatArray]:
    """Tokens without those of the margin, `cut` on each side."""
    return {
        name: np.ascontiguousarray(values[:, cut : values.shape[1] - cut, cut : values.shape[2] - cut])
        for name, values in planes.items()
    }


def _data_entry(read: OwnWindows, licence: str) -> dict[str, str]:
    names = ", ".join(scene.name for scene in read.scenes[:_LISTED])
    more = f" and {len(read.scenes) - _LISTED} more" if len(read.scenes) > _LISTED else ""
    return {"name": f"own scenes, of the codec alone: {names}{more}", "licence": licence}


def _note(old: Package, read: OwnWindows, windows: float, scenes: float | None) -> dict[str, Any]:
    return {
        "from_package": old.name,
        "from_codec_id": old.codec_id.hex(),
        "sensors": sorted({scene.sensor for scene in read.scenes}),
        "scenes": len(read.scenes),
        "windows": len(read.tiles),
        "bytes_permille": {  # over the old codec's at equal error
            "windows_left_out": round(1000 * windows),
            **({} if scenes is None else {"scenes_left_out": round(1000 * scenes)}),
        },
        "measured": "heads were fitted on, and their cards measured with, what the codec before had decoded",
    }
