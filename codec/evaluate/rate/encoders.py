"""Encoders by name: TileSet → Planes, with what a cache must know of them.

    s2-nano, rgb-small, …        a shipped model package, by name
    PATH                         a folder of a model package (with its adapter, if it has one), or an encoder.safetensors
    onnx@PACKAGE                 the exported graph of a package (taken anyhow where it has no weights)
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
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from codec.adapt.encoder import AdaptedEncoder, load_adapted_encoder
from codec.errors import InputError
from codec.evaluate.features import random_twin
from codec.evaluate.rate import plain_encoders as plain
from codec.evaluate.rate.model_planes import graph_planes, planes_of
from codec.evaluate.rate.plane_encoder import Basis, Batches, PlaneEncoder, basis_of, check_planes
from codec.evaluate.rate.types import Planes, TileSet
from codec.models import bands as constants
from codec.models.galileo import TEACHER_BANDS, load_teacher
from codec.models.vit import Encoder
from codec.models.weights import load_encoder
from codec.package import Package
from codec.package import load as load_package
from codec.package.manifest import ADAPTER, TRANSFORM

__all__ = ["OPENERS", "Basis", "PlaneEncoder", "basis_of", "check_planes", "open_encoder"]

ENCODER_FILE, GRAPH_FILE = "encoder.safetensors", "encoder.onnx"
AS_GIVEN = "reflectance-as-given"
_BATCH = 64


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
    table = [(b, *constants.normalisation(b)) for b in bands]
    return f"reflectance-by-band-name-1/{_digest(table, constants.NORMALISED_RANGE)[:8]}"


def _normalised(bands: tuple[str, ...] | None) -> Callable[[TileSet], Batches]:
    """What an encoder of these bands sees (None: all bands that the normalisation knows)."""

    def batches(tiles: TileSet) -> Batches:
        start = 0
        for z, present in plain.normalised_batches(tiles, bands or plain.known_bands(tiles)):
            yield z, present, tiles.validity[start : start + len(z)]
            start += len(z)

    return batches


def _package(model: str) -> Package:
    """A package whose encoder needs nothing but the tile."""
    package = load_package(Path(model) if Path(model).is_dir() else model)
    if package.tile.margin:
        raise InputError(
            f"package {package.name!r} wants {package.tile.margin} pixels of margin around its tiles, which lone "
            "tiles do not have",
            path=package.folder,
        )
    return package


def _weights(model: str) -> Path | None:
    """The file of a model's weights; None of a package that has only its graph."""
    path = Path(model)
    if path.suffix == ".safetensors" and path.is_file():
        return path
    package = _package(model)
    return package.path(ENCODER_FILE) if ENCODER_FILE in package.names() else None


def _of_model(name: str, model: str) -> PlaneEncoder:
    path = _weights(model)
    if path is None:
        return _of_graph(name, model)
    if path == Path(model) and path.with_name(ADAPTER).exists():
        raise InputError(
            "these weights lie beside an adapter, without which they are another encoder",
            path=path,
            fix="give the package's folder",
        )
    title = path.resolve().parent.name if Path(model).exists() else name
    if path != Path(model) and ADAPTER in (package := _package(model)).names():
        return with_adapter(title, path, package.path(ADAPTER))
    return _of_weights(title, hashlib.sha256(path.read_bytes()).hexdigest(), load_encoder(path))


def with_adapter(name: str, weights: Path, adapter: Path) -> PlaneEncoder:
    """An encoder of this project with an adapter. Raises as `codec.adapt.encoder.load_adapted_encoder`."""
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (weights, adapter)]
    return _of_weights(name, _digest(*digests), load_adapted_encoder(weights, adapter))


def _of_weights(name: str, identity: str, encoder: Encoder | AdaptedEncoder) -> PlaneEncoder:
    bands = encoder.config.bands
    return PlaneEncoder(
        name, identity, _constants(bands), lambda tiles: planes_of(encoder, tiles), _normalised(bands)
    )


def _of_graph(name: str, model: str) -> PlaneEncoder:
    package = _package(model)
    if GRAPH_FILE not in package.names():
        raise InputError(
            f"package {package.name!r} has no encoder",
            path=package.folder,
            fix=f"use a package with {ENCODER_FILE} or {GRAPH_FILE}",
        )
    graph, files = package.path(GRAPH_FILE), package.manifest.files
    # What the graph does to its pixels first is its own: the name in the manifest is all that is known.
    return PlaneEncoder(
        name,
        _digest(files[GRAPH_FILE].sha256, files[TRANSFORM].sha256),
        f"{package.manifest.preprocessing}/in-graph",
        graph_planes(package, graph),
        _as_given,
    )


def _onnx(name: str, model: str, seed: int, data: Path | None) -> PlaneEncoder:
    if not model or "#" in name:
        raise InputError("a graph is that of a package", expected="onnx@PACKAGE", found=name)
    return _of_graph(name, model)


def _twin(name: str, model: str, seed: int, data: Path | None) -> PlaneEncoder:
    if not model:
        raise InputError("a random twin is the twin of a model", expected="random-twin@MODEL", found=name)
    path = _weights(model)
    if path is None:
        raise InputError(
            f"the architecture of {model!r} is not known", fix=f"use a package with {ENCODER_FILE}"
        )
    encoder = random_twin(load_encoder(path).config, seed)
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
    "onnx": _onnx,
}
