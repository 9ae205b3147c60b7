"""Encoders by name: TileSet → Planes, with what a cache must know of them.

    s2-nano, rgb-small, …        a shipped model package, by name
    PATH                         a folder of a model package, or an encoder.safetensors
    galileo_nano                 the frozen teacher of the collection; its position code is left in
    pixel-statistics             log mean, log deviation, minimum, maximum of each band and patch
    random-convolutions[#SEED]   256 random filters
    random-twin@MODEL[#SEED]     the architecture of MODEL with weights as initialised
    MODULE:FUNCTION              any callable that takes a TileSet and returns Planes

Bits per element are counted against tokens × width of what the encoder gives, before any projection: `Basis`.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from codec.errors import InputError
from codec.evaluate.features import random_twin
from codec.evaluate.rate import plain_encoders as plain
from codec.evaluate.rate.model_planes import planes_of
from codec.evaluate.rate.types import Planes, TileSet
from codec.models import bands as constants
from codec.models.galileo import TEACHER_BANDS, load_teacher
from codec.models.weights import load_encoder
from codec.package import load as load_package

ENCODER_FILE = "encoder.safetensors"
AS_GIVEN = "reflectance-as-given"
_BATCH = 64
Batches = Iterator[tuple[npt.NDArray[Any], ...]]


@dataclass(frozen=True, slots=True)
class Basis:
    """What bits per element are counted against: the frozen encoder's own output for one tile."""

    rows: int  # tokens
    cols: int
    width: int

    @property
    def elements(self) -> int:
        return self.rows * self.cols * self.width

    def bits(self, bytes_per_tile: float) -> float:
        """Bits per element."""
        return 8 * bytes_per_tile / self.elements

    def __str__(self) -> str:
        return f"{self.rows}×{self.cols} tokens × {self.width} = {self.elements} elements"


@dataclass(frozen=True, slots=True)
class PlaneEncoder:
    """A frozen encoder. Equal `identity`, `normalisation` and tiles mean equal planes."""

    name: str  # as rows and caches call it
    identity: str  # SHA-256 of the weights, or of what else decides the output
    normalisation: str  # name of what is done to the pixels first, with a hash of its constants
    encode: Callable[[TileSet], Planes]
    sees: Callable[[TileSet], Batches]  # the normalised input, a batch of tiles at a time

    def __call__(self, tiles: TileSet) -> Planes:
        """Planes of all tiles, checked. Raises InputError for an output that is none."""
        planes = self.encode(tiles)
        check_planes(self.name, planes, len(tiles))
        return planes


def basis_of(planes: Planes) -> Basis:
    """The grid and width of `tokens`."""
    rows, cols, width = planes.values["tokens"].shape[1:]
    return Basis(rows, cols, width)


def check_planes(name: str, planes: object, n: int) -> None:
    """Raises InputError unless these are finite float32 planes of n tiles that share one grid."""
    if not isinstance(planes, Planes) or "tokens" not in planes.values:
        raise InputError(
            f"encoder {name!r} must return Planes with a plane called tokens", found=type(planes).__name__
        )
    grid = planes.validity.shape
    for plane, values in planes.values.items():
        if not re.fullmatch("[a-z][a-z0-9_-]*", plane) or plane == "validity":
            raise InputError(
                f"encoder {name!r} names a plane {plane!r}", expected="small letters, digits, - and _"
            )
        if values.ndim != 4 or values.dtype != np.float32 or values.shape[:3] != grid or len(values) != n:
            raise InputError(
                f"plane {plane!r} of encoder {name!r} is no float32 array of tiles × rows × columns × channels",
                expected=(n, *grid[1:], "C"),
                found=f"{values.dtype} {values.shape}",
            )
        finite = np.isfinite(values).all(axis=3) | ~planes.validity
        if not finite.all():
            raise InputError(
                f"plane {plane!r} of encoder {name!r} holds numbers that are not finite in valid tokens",
                found=f"first in tile {int(np.argwhere(~finite)[0, 0])}",
            )


def open_encoder(name: str, *, data: Path | None = None) -> PlaneEncoder:
    """The encoder of this name (see above). `data`: folder of the collection, for `galileo_nano`.

    Raises InputError for a name that means nothing, a package without weights, or a callable that is none.
    """
    stem, _, number = name.partition("#")
    kind, _, of = stem.partition("@")
    seed = _seed(number, name) if "#" in name else 0
    if kind in OPENERS:
        return OPENERS[kind](name, of, seed, data)
    if of or "#" in name:
        raise InputError(
            f"{kind!r} takes neither a model nor a seed", expected=", ".join(OPENERS), found=name
        )
    if ":" in name and not Path(name).exists():
        return _callable(name)
    return _of_model(name, name)


def _bare(name: str) -> None:
    if "@" in name or "#" in name:
        raise InputError("this encoder takes neither a model nor a seed", found=name)


def _seed(text: str, name: str) -> int:
    if not text.isdecimal():
        raise InputError("the seed after # is a number", found=name)
    return int(text)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps([str(p) for p in parts]).encode()).hexdigest()


def _constants(bands: tuple[str, ...]) -> str:
    """Name of the normalisation by band name, with a hash of the constants of these bands."""
    table = [(b, constants.REFLECTANCE_MEAN[b], constants.REFLECTANCE_SPREAD[b]) for b in bands]
    return f"reflectance-by-band-name-1/{_digest(table, constants.NORMALISED_RANGE)[:8]}"


def _normalised(bands: tuple[str, ...] | None) -> Callable[[TileSet], Batches]:
    """What an encoder of these bands sees (None: all bands that the normalisation knows)."""

    def batches(tiles: TileSet) -> Batches:
        start = 0
        for z, present in plain.normalised_batches(tiles, bands or plain.known_bands(tiles)):
            yield z, present, tiles.validity[start : start + len(z)]
            start += len(z)

    return batches


def _model_file(model: str) -> Path:
    path = Path(model)
    if path.suffix == ".safetensors" and path.is_file():
        return path
    package = load_package(path if path.is_dir() else model)
    if ENCODER_FILE not in package.names():
        raise InputError(
            f"package {package.name!r} has no encoder",
            path=package.folder,
            fix=f"use a package with {ENCODER_FILE}",
        )
    if package.tile.margin:
        raise InputError(
            f"package {package.name!r} wants {package.tile.margin} pixels of margin around its tiles, which lone "
            "tiles do not have",
            path=package.folder,
        )
    return package.path(ENCODER_FILE)


def _of_model(name: str, model: str) -> PlaneEncoder:
    path = _model_file(model)
    encoder = load_encoder(path)
    bands = encoder.config.bands
    return PlaneEncoder(
        path.resolve().parent.name if Path(model).exists() else name,
        hashlib.sha256(path.read_bytes()).hexdigest(),
        _constants(bands),
        lambda tiles: planes_of(encoder, tiles),
        _normalised(bands),
    )


def _twin(name: str, model: str, seed: int, data: Path | None) -> PlaneEncoder:
    if not model:
        raise InputError("a random twin is the twin of a model", expected="random-twin@MODEL", found=name)
    encoder = random_twin(load_encoder(_model_file(model)).config, seed)
    weights = [encoder.state_dict()[key].numpy().tobytes() for key in sorted(encoder.state_dict())]
    identity = hashlib.sha256(b"".join(weights) + str(asdict(encoder.config)).encode()).hexdigest()
    bands = encoder.config.bands
    return PlaneEncoder(
        name, identity, _constants(bands), lambda tiles: planes_of(encoder, tiles), _normalised(bands)
    )


def _galileo(name: str, of: str, seed: int, data: Path | None) -> PlaneEncoder:
    _bare(name)
    if data is None:
        raise InputError("the weights of galileo_nano lie in the data collection", fix="give its folder")
    folder = Path(data) / "galileo_nano"
    teacher = load_teacher(folder)

    def given(tiles: TileSet) -> list[int]:
        everywhere = np.asarray(tiles.present.all(axis=0), np.bool_).tolist()
        index = [i for i, b in enumerate(tiles.bands) if b in TEACHER_BANDS and everywhere[i]]
        if not index:
            raise InputError(
                f"galileo_nano knows no band that all tiles of {tiles.name!r} have",
                expected=TEACHER_BANDS,
                found=tiles.bands,
            )
        return index

    def sees(tiles: TileSet) -> Batches:
        index = given(tiles)
        for start in range(0, len(tiles), _BATCH):
            stop = start + _BATCH
            yield (
                np.ascontiguousarray(tiles.pixels[start:stop, index]),
                tiles.present[start:stop, index],
                tiles.validity[start:stop],
            )

    @torch.inference_mode()
    def encode(tiles: TileSet) -> Planes:
        names = [tiles.bands[i] for i in given(tiles)]
        # Invalid pixels are shown as they are: this encoder has no input that says so.
        parts = [teacher(torch.from_numpy(x), names).numpy() for x, _, _ in sees(tiles)]
        return Planes({"tokens": np.concatenate(parts)}, plain.grid_validity(tiles, teacher.patch))

    weights = hashlib.sha256((folder / "encoder.pt").read_bytes()).hexdigest()
    return PlaneEncoder(name, weights, "galileo-digital-numbers-1", encode, sees)


def _pixel_statistics(name: str, of: str, seed: int, data: Path | None) -> PlaneEncoder:
    _bare(name)

    def encode(tiles: TileSet) -> Planes:
        return Planes({"tokens": plain.patch_statistics(tiles)}, plain.grid_validity(tiles, plain.PATCH))

    return PlaneEncoder(name, _digest(name, plain.STATISTICS, plain.PATCH), AS_GIVEN, encode, _as_given)


def _random_convolutions(name: str, of: str, seed: int, data: Path | None) -> PlaneEncoder:
    def encode(tiles: TileSet) -> Planes:
        tokens = plain.random_convolution_tokens(tiles, seed)
        return Planes({"tokens": tokens}, plain.grid_validity(tiles, plain.PATCH))

    bands = tuple(constants.REFLECTANCE_MEAN)
    return PlaneEncoder(
        name, _digest("random-convolutions", seed), _constants(bands), encode, _normalised(None)
    )


def _callable(name: str) -> PlaneEncoder:
    """`module:function`. Its identity is the function's `identity` where it has one (say, a hash of its weights), else the
    source of its module; what that module imports is not looked at.
    """
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
        function = getattr(module, function_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"no encoder {name!r}: {error}", fix="give module:function that Python can import"
        ) from error
    if not callable(function):
        raise InputError(f"{name!r} cannot be called", found=type(function).__name__)
    source = getattr(function, "identity", None) or inspect.getsource(module)
    normalisation = str(getattr(function, "normalisation", AS_GIVEN))
    return PlaneEncoder(name, _digest(name, source), normalisation, function, _as_given)


def _as_given(tiles: TileSet) -> Batches:
    for start in range(0, len(tiles), _BATCH):
        stop = start + _BATCH
        yield tiles.pixels[start:stop], tiles.present[start:stop], tiles.validity[start:stop]


Opener = Callable[[str, str, int, Path | None], PlaneEncoder]
# What can be named without being a model or a callable: takes the whole name, the part after @, the seed, the collection.
OPENERS: Mapping[str, Opener] = {
    "galileo_nano": _galileo,
    "pixel-statistics": _pixel_statistics,
    "random-convolutions": _random_convolutions,
    "random-twin": _twin,
}
