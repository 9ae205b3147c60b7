"""From decoded embeddings to the files that a user gets. Pure: the same records and versions, the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from codec.bitstream.header import FileHeader
from codec.errors import InputError, SwathpackError
from codec.pipeline.preview import preview_of
from codec.types import BoolArray, Embedding, FloatArray, Georeference, Product, TileRange
from ground import pictures, preview, report, stac
from ground.canonical import encode_json
from ground.colours import MISSING, Colour, class_colours, layer_colour
from ground.heads import Head, Prediction, run_head
from ground.places import Globe, owned, patch_of, polygon

if TYPE_CHECKING:
    from PIL import Image

    from codec.package import Package

NODATA = 255
COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
GEOJSON_TYPE = "application/geo+json"
_PROBABILITY_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Decoding:
    """Everything that products are made from."""

    header: FileHeader
    package: Package
    heads: Sequence[Head]  # those of the package that fit the file
    unfit_heads: Sequence[str]  # names of the others
    embeddings: Mapping[str, Embedding]  # by plane name
    missing: Sequence[TileRange]
    records: Mapping[str, Any]  # the report's part on records
    drift: Mapping[str, Any] = field(default_factory=dict)  # the report's part on the tables' promise
    refinement: str = ""  # what came of the refinement that was asked for; empty: none was


@dataclass(slots=True)
class _Set:
    """A product set in the making."""

    products: list[Product] = field(default_factory=list)
    panels: list[Image.Image] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # what could not be made, and why
    heads: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Frame:
    """How tokens of one plane become a map."""

    header: FileHeader
    patch: int

    @property
    def georeference(self) -> Georeference:
        from codec.scene.tiling import mosaic_georeference

        return mosaic_georeference(self.header.georeference, self.patch)

    def mosaic(self, values: npt.NDArray[Any], validity: BoolArray) -> tuple[npt.NDArray[Any], BoolArray]:
        """N×h×w×C to rows×columns×C, and its validity."""
        from codec.scene.tiling import mosaic

        return mosaic(self.header.grid, self.patch, values, validity)


def make_products(decoding: Decoding, *, embeddings: bool = False) -> list[Product]:
    """The whole set, report and STAC item last. `embeddings` adds the GeoTIFF of every plane's embedding.

    What cannot be made (no CRS, no sensing time, a head that does not run) is named in the report's `left_out`.
    """
    made = _Set(left_out=[f"{name}: trained on other embedding spaces" for name in decoding.unfit_heads])
    header = decoding.header
    cog = _CogWriter(header, made)
    for i, (name, embedding) in enumerate(decoding.embeddings.items()):
        _plane(made, cog, decoding, name, embedding, with_picture=i == 0, with_values=embeddings)
    painted = _preview(made, decoding)
    for head in decoding.heads:
        try:
            said = run_head(head, decoding.embeddings)
        except InputError as error:
            made.left_out.append(str(error))
            continue
        _head(made, cog, decoding, said)
    if made.panels:
        made.products.append(
            Product("quicklook.png", "image/png", pictures.png(pictures.side_by_side(made.panels)))
        )
    try:
        item = [stac.stac_item(header, made.products)]
    except InputError as error:
        item = []
        made.left_out.append(f"{stac.NAME}: {error.what}")
    parts = {
        **report.scene_part(header, decoding.package.bands),
        "package": {"name": decoding.package.manifest.name, "version": decoding.package.manifest.version},
        "records": dict(decoding.records),
        "planes": [report.plane_part(name, header, e) for name, e in decoding.embeddings.items()],
        "missing": report.missing_part(decoding.missing),
        **({"refinement": decoding.refinement} if decoding.refinement else {}),
        **({"drift": dict(decoding.drift)} if decoding.drift else {}),
        **({"preview": preview.report_part(painted)} if painted else {}),
        "heads": made.heads,
        "left_out": made.left_out,
        "versions": report.versions(),
    }
    return [*made.products, report.report(parts, made.products), *item]


@dataclass(frozen=True, slots=True)
class _CogWriter:
    """Adds Cloud-Optimised GeoTIFFs; a scene without a CRS, or a rotated one, gets none, and that is said."""

    header: FileHeader
    made: _Set

    def add(
        self,
        name: str,
        array: npt.NDArray[Any],
        frame: _Frame,
        *,
        nodata: float | None,
        bands: Sequence[str],
        tags: Mapping[str, str],
    ) -> None:
        """`array` is bands×rows×columns."""
        from codec.scene.cog import encode_cog

        said = {"SWATHPACK_FILE_ID": self.header.file_id.hex(), **tags}
        try:
            data = encode_cog(array, frame.georeference, nodata, list(bands), said, True, None, name)
        except InputError as error:
            self.made.left_out.append(str(error))
            return
        self.made.products.append(Product(name, COG_TYPE, data))


def _plane(
    made: _Set,
    cog: _CogWriter,
    decoding: Decoding,
    name: str,
    embedding: Embedding,
    *,
    with_picture: bool,
    with_values: bool,
) -> None:
    header = decoding.header
    spec = header.planes[embedding.plane]
    patch = patch_of(header.grid, spec)
    if patch is None:
        made.left_out.append(f"maps of plane {name}: its tokens are no squares of whole pixels")
        return
    frame = _Frame(header, patch)
    tags = {"SWATHPACK_PLANE": name, "SWATHPACK_SPACE_ID": spec.space_id.hex()}
    if with_values:
        values, valid = frame.mosaic(embedding.values, embedding.validity)
        filled = np.where(valid[..., None], values, np.float32(np.nan)).astype(np.float32)
        cog.add(
            f"{name}.tif", filled.transpose(2, 0, 1), frame, nodata=float("nan"),
            bands=[f"{name}_{i}" for i in range(spec.channels)], tags=tags,
        )  # fmt: skip
    if not with_picture:
        return
    counts, known = _layers(frame, embedding)
    cog.add("layers.tif", counts[None], frame, nodata=NODATA, bands=["layers_in_order"], tags=tags)
    n = spec.n_layers
    legend = [
        ("missing", MISSING),
        *((f"{count} of {n}", layer_colour(count, n)) for count in range(1, n + 1)),
    ]
    painted = pictures.paint(counts, [colour for _, colour in legend])
    if spec.channels >= 3 and name in decoding.package.transforms:
        rgb, valid = frame.mosaic(_components(decoding, name, embedding), embedding.validity)
        stretched = pictures.stretch(rgb.astype(np.float32), valid)
        cog.add(
            "embedding_rgb.tif", np.dstack([stretched, np.where(valid, 255, 0)]).astype(np.uint8).transpose(2, 0, 1), frame,
            nodata=None, bands=["red", "green", "blue", "alpha"], tags=tags,
        )  # fmt: skip
        _picture(made, "embedding", f"embedding: first components of {name}", stretched, valid, [])
    _picture(made, "layers", "layers received in order", painted, known, legend)


def _preview(made: _Set, decoding: Decoding) -> preview.Painted | None:
    """The package's painted preview, where it has one: its GeoTIFF, its picture, and a panel of the quicklook."""
    try:
        decoder = preview_of(decoding.package)
        if decoder is None:
            return None
        painted = preview.paint_scene(decoder, decoding.header, decoding.package, decoding.embeddings)
    except SwathpackError as error:
        made.left_out.append(f"{preview.COG_NAME}: {error.what}")
        return None
    try:
        data = preview.as_cog(painted, decoding.header, preview.COG_NAME)
        made.products.append(Product(preview.COG_NAME, COG_TYPE, data))
    except InputError as error:
        made.left_out.append(str(error))
    made.products.append(Product(preview.PICTURE_NAME, "image/png", preview.as_png(painted)))
    made.panels.append(pictures.with_legend(preview.picture(painted), preview.title(painted), []))
    return painted


def _head(made: _Set, cog: _CogWriter, decoding: Decoding, said: Prediction) -> None:
    head, header = said.head, decoding.header
    entry: dict[str, Any] = {"name": head.name, "level": head.level, "sha256": head.sha256}
    first = decoding.embeddings[next(iter(head.space_ids))]
    if head.level == "tile":
        entry["classes"] = _count(head, said.probabilities.argmax(-1)[said.validity])
        _tile_table(made, decoding, said, first)
    else:
        patch = patch_of(header.grid, header.planes[first.plane])
        if patch is None:
            made.left_out.append(f"{head.name}: its tokens are no squares of whole pixels")
            return
        frame = _Frame(header, patch)
        numbers = said.probabilities.argmax(-1).astype(np.uint8)
        classes, valid = frame.mosaic(numbers[..., None], said.validity)
        classes = np.where(valid, classes[..., 0], NODATA).astype(np.uint8)
        counts, _ = _layers(frame, first)
        colours = class_colours(len(head.classes), head.colours)
        tags = {f"CLASS_{i}": name for i, name in enumerate(head.classes)} | {
            "SWATHPACK_HEAD_SHA256": head.sha256
        }
        bands = ["class", "layers_in_order"]
        stack = np.stack([classes, np.where(valid, counts, NODATA).astype(np.uint8)])
        cog.add(f"{head.name}.tif", stack, frame, nodata=NODATA, bands=bands, tags=tags)
        legend = list(zip(head.classes, colours, strict=True))
        _picture(made, head.name, head.name, pictures.paint(classes, colours), valid, legend)
        entry["classes"] = _count(head, classes[valid])
    made.heads.append(entry)


def _tile_table(made: _Set, decoding: Decoding, said: Prediction, embedding: Embedding) -> None:
    """Tiles with footprint, class and probabilities: GeoJSON where there is a CRS, else JSON with pixel footprints."""
    head, grid = said.head, decoding.header.grid
    try:
        globe = Globe(decoding.header.georeference)
    except InputError as error:
        globe = None
        made.left_out.append(f"{head.name}.geojson: {error.what}; {head.name}.json has pixel footprints")
    rows = []
    for tile in np.flatnonzero(said.validity).tolist():
        box = owned(grid, tile)
        probabilities = said.probabilities[tile]
        properties = {
            "tile": tile,
            "class": head.classes[int(probabilities.argmax())],
            "probabilities": {
                name: round(float(p), _PROBABILITY_DIGITS)
                for name, p in zip(head.classes, probabilities, strict=True)
            },
            "layers_received": [i for i in range(16) if int(embedding.layers[tile]) >> i & 1],
            "valid_tokens": int(embedding.validity[tile].sum()),
            "pixels": [box.top, box.left, box.bottom, box.right],
        }
        if globe is None:
            rows.append(properties)
        else:
            rows.append({"type": "Feature", "geometry": polygon(globe.ring(box)), "properties": properties})
    if globe is None:
        made.products.append(Product(f"{head.name}.json", "application/json", encode_json({"tiles": rows})))
    else:
        collection = {"type": "FeatureCollection", "features": rows}
        made.products.append(Product(f"{head.name}.geojson", GEOJSON_TYPE, encode_json(collection)))


def _components(decoding: Decoding, name: str, embedding: Embedding) -> FloatArray:
    """The first three channels of the latent: a basis that the package fixes, so colours mean the same in all scenes."""
    transform = decoding.package.transforms[name]
    return np.asarray((embedding.values - transform.mean) @ transform.basis[:3].T, np.float32)


def _layers(frame: _Frame, embedding: Embedding) -> tuple[npt.NDArray[np.uint8], BoolArray]:
    """Map of how many layers arrived in order: 0 where the tile is missing, NODATA where nothing was measured.

    In order, because a tile without layer 1 is poor however many of the higher ones came (they are used all the same).
    """
    counts = np.array([_in_order(int(bits)) for bits in embedding.layers], np.uint8)
    missing = counts[:, None, None] == 0
    spread = np.broadcast_to(counts[:, None, None, None], (*embedding.validity.shape, 1))
    found, known = frame.mosaic(spread, embedding.validity | missing)
    return np.where(known, found[..., 0], NODATA).astype(np.uint8), known


def _in_order(bits: int) -> int:
    """How many of the lowest bits are set without a gap."""
    return (~bits & bits + 1).bit_length() - 1


def _picture(
    made: _Set,
    name: str,
    title: str,
    rgb: pictures.Rgb,
    valid: BoolArray,
    legend: Sequence[tuple[str, Colour]],
) -> None:
    image = pictures.map_image(rgb, valid)
    made.products.append(Product(f"{name}.png", "image/png", pictures.png(image)))
    made.panels.append(pictures.with_legend(image, title, legend))


def _count(head: Head, numbers: npt.NDArray[Any]) -> dict[str, int]:
    counts = np.bincount(numbers.astype(np.int64), minlength=len(head.classes))
    return {name: int(n) for name, n in zip(head.classes, counts, strict=True)}
