"""The package of an adapted encoder: weights of the base, the adapter, and a codec fitted to what both give."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec.adapt.encoder import AdaptedEncoder, adapted_encoder
from codec.adapt.files import MAX_BYTES, AdapterFile, decode_adapter, encode_adapter, restored
from codec.adapt.packing import Packing
from codec.arrays.package_folder import check_place, whole_folder
from codec.atomic import write_atomic
from codec.errors import InputError, LimitExceeded, SwathpackError, UsageError
from codec.models.vit import EncoderConfig
from codec.models.weights import load_encoder
from codec.nec.adapted.windows import FittedTo
from codec.package import Package, build, load
from codec.package.files import MAX_FILE_BYTES, read_checked, sha256_of
from codec.package.manifest import ADAPTER, ENCODER
from codec.pretrain.fit import embedded, fit_embedded, save_planes
from codec.transform.fit_checks import check_size
from codec.types import FloatArray

_KEPT = re.compile(re.escape(ENCODER) + r"|LICEN[CS]E[^/]*")
_NAME = re.compile(r"[a-z0-9][a-z0-9._\-]{0,63}")  # what a manifest allows


@dataclass(frozen=True, slots=True)
class AdaptedFit:
    """What came out."""

    package: Package
    fitted_to: FittedTo
    windows: int
    left_behind: tuple[str, ...]  # files of the base's package, which are of other embedding spaces


def fit_adapted(
    base: Package,
    adapter: Path,
    windows: Callable[[EncoderConfig], FittedTo],
    out: Path,
    *,
    name: str | None = None,
    trained_on: str = "not stated",
    licence: str = "not stated",
    packing: Packing | None = None,
    keep: Path | None = None,
) -> AdaptedFit:
    """Embed `windows` with `base`'s encoder and the adapter, fit the codec, write the package into the new folder `out`, or
    nothing.

    `windows` is asked with the architecture, whose bands are the adapter's and the package's. The manifest names encoder
    and adapter by the SHA-256 of their files, so space ids and codec id are new. `trained_on`, `licence`: of the adapter,
    for the manifest; `name`: of the package (default: the base's and the adapter's file name); `packing`: store the adapter
    in so few bits, and fit to what it does then; `keep` gets the embeddings.

    Raises IdentityError for an adapter of another base, InputError where `out` is no new folder, a band has no constants
    of normalisation or no window shows it, the windows are too few; Corrupt for a damaged file; UsageError for a name that
    a manifest does not allow.
    """
    check_place(out, again=False)
    full = _full_name(base, adapter, name)
    data, stored = _read(adapter)
    if packing is not None:
        data = _packed(base, adapter, stored, packing)
        stored = decode_adapter(data)
    encoder = _encoder(base, adapter, stored)
    fitted_to = windows(encoder.config)
    every = embedded(encoder, fitted_to.tiles)
    planes = _core(every, base.tile.margin // base.tile.patch)
    if keep is not None:
        save_planes(keep, planes)
    # One's own scenes may be few, and no other codec of this space exists that would serve them better: a density that has
    # seen too little for others is no reason to have none.
    fitted = fit_embedded(planes, refinements=len(base.manifest.refining), freeze=not fitted_to.scenes)
    check_size(fitted.tables_bytes)
    digest = hashlib.sha256(data).hexdigest()
    with whole_folder(out, again=False) as folder:
        for one, entry in base.manifest.files.items():
            if _KEPT.fullmatch(one):
                write_atomic(folder / one, read_checked(base.folder, one, entry, MAX_FILE_BYTES))
        write_atomic(folder / ADAPTER, data)
        build(
            folder,
            name=full,
            version=f"{base.manifest.version}+adapter.{digest[:16]}",
            licence=base.manifest.licence,
            bands=encoder.config.bands,
            preprocessing=base.manifest.preprocessing,
            tile=base.tile,
            codec=fitted,
            training_data=[
                *base.manifest.raw["training_data"],
                {"name": f"adapter: {trained_on}", "licence": licence},
                *fitted_to.training_data,
            ],
            energy=base.manifest.raw["energy"],
            notes={
                "adapted": {
                    "from_package": base.name,
                    "from_codec_id": base.codec_id.hex(),
                    "method": stored.method,
                    "packing": stored.packing,
                    "numbers": sum(tensor.numel() for tensor in stored.tensors.values()),
                    "energy": "of the base's training",
                }
            },
        )
    made = load(out)
    left = tuple(sorted(base.manifest.files.keys() - made.manifest.files.keys()))
    return AdaptedFit(made, fitted_to, len(planes["tokens"]), left)


def _read(adapter: Path) -> tuple[bytes, AdapterFile]:
    """Read once: what is checked is what goes into the package."""
    try:
        if adapter.stat().st_size > MAX_BYTES:
            raise LimitExceeded(
                "the adapter file is too large", path=adapter, expected=f"at most {MAX_BYTES}"
            )
        data = adapter.read_bytes()
    except OSError as error:
        raise InputError(f"the adapter cannot be read: {error.strerror}", path=adapter) from error
    try:
        return data, decode_adapter(data)
    except SwathpackError as error:
        error.path = str(adapter)
        raise


def _packed(base: Package, adapter: Path, stored: AdapterFile, packing: Packing) -> bytes:
    """The adapter's file in few bits."""
    place = base.path(ENCODER)
    digest = sha256_of(place)
    try:
        return encode_adapter(
            restored(stored, load_encoder(place), digest), encoder_sha256=digest, packing=packing
        )
    except SwathpackError as error:
        error.path = error.path or str(adapter)
        raise


def _encoder(base: Package, adapter: Path, stored: AdapterFile) -> AdaptedEncoder:
    """The adapted encoder, whose base must be the one that the package's planes are of."""
    try:
        encoder = adapted_encoder(stored, base.path(ENCODER))
    except SwathpackError as error:
        error.path = error.path or str(adapter)
        raise
    config, tile = encoder.config, base.tile
    ours, theirs = (tile.core + 2 * tile.margin, tile.patch), (config.tile, config.patch)
    if ours != theirs:
        raise InputError(
            "the encoder is of another architecture than the package: pixels a side, patch",
            path=base.path(ENCODER), expected=ours, found=theirs,
            fix="use the encoder.safetensors that the package was fitted with",
        )  # fmt: skip
    return encoder


def _full_name(base: Package, adapter: Path, name: str | None) -> str:
    full = name or f"{base.name}-{adapter.stem}"
    if not _NAME.fullmatch(full):
        raise UsageError(
            "this is no name of a package", expected="a-z 0-9 . _ -, at most 64 of them", found=full,
            fix="give one with --name",
        )  # fmt: skip
    return full


def _core(planes: dict[str, FloatArray], cut: int) -> dict[str, FloatArray]:
    """Tokens without those of the margin, `cut` on each side."""
    return {
        name: np.ascontiguousarray(values[:, cut : values.shape[1] - cut, cut : values.shape[2] - cut])
        for name, values in planes.items()
    }
