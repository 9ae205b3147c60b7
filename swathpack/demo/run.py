"""`swathpack demo`: runs the scenes, fills the table, writes the pictures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codec.atomic import write_atomic
from codec.errors import InputError
from swathpack.demo import landcover, landsat, pictures
from swathpack.demo.table import DemoResult, SceneResult
from swathpack.demo.transfer import LinkSettings, Transfer, send

if TYPE_CHECKING:
    from codec.package import Package
    from codec.scene.scene import Scene
    from onboard.engine import Engine


def demo(
    *,
    out: Path,
    data: Path,
    scene: str | None,
    loss: float,
    burst: float,
    seed: int,
    payload: int,
    model: str,
    quiet: bool = False,
) -> DemoResult:
    """Run the demo into `out`. `scene` None: both samples of `data`; else a path or `stac:LON,LAT[,FROM/TO]`."""
    from codec.package import load
    from codec.scene.samples import LANDSAT7_RALEIGH, SENTINEL2_PATAGONIA
    from codec.scene.scene import open_scene
    from onboard.engine import open_engine

    def say(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr, flush=True)

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made: {error.strerror}", path=out, fix="choose another --out") from error
    package = load(model)
    engine = open_engine(package.path("encoder.onnx"), sha256=package.manifest.files["encoder.onnx"].sha256)
    link = LinkSettings(loss, burst, seed, payload)
    results = []
    if scene is None:
        say(f"1/2 {LANDSAT7_RALEIGH.title}")
        results.append(_landsat(LANDSAT7_RALEIGH, data, package, engine, link, out))
        say(f"2/2 {SENTINEL2_PATAGONIA.title}")
        with SENTINEL2_PATAGONIA.open(data) as opened:
            results.append(
                _any(SENTINEL2_PATAGONIA.name, SENTINEL2_PATAGONIA.title, opened, package, engine, link, out)
            )
    else:
        if scene.startswith("stac:"):
            from swathpack.demo.stac import fetch

            say("asking the catalogue")
            path = fetch(scene, out / "stac")
        else:
            path = Path(scene)
        with open_scene([path]) as opened:
            results.append(_any(path.stem, path.name, opened, package, engine, link, out))
    settings = {"loss": loss, "burst": burst, "seed": seed, "payload": payload, "model": package.name}
    result = DemoResult(settings, results)
    write_atomic(out / "demo.json", (json.dumps(result.as_json(), indent=2, default=str) + "\n").encode())
    return result


def _common_rows(result: SceneResult, transfer: Transfer) -> None:
    report, assembled, decoded = transfer.encoded.report, transfer.assembled, transfer.decoded
    result.add("tiles", report.tiles)
    result.add("tiles without data", report.tiles_without_data)
    result.add("raw bytes of the bands used", report.raw_bytes, "B")
    result.add(".nec", report.nec_bytes, "B")
    result.add(".nec per tile with data", report.nec_bytes / (report.tiles - report.tiles_without_data), "B")
    result.add("ratio raw / .nec", report.raw_bytes / report.nec_bytes, "×")
    result.add("on the link, repair included", transfer.link_bytes, "B")
    result.add("ratio raw / link", report.raw_bytes / transfer.link_bytes, "×")
    result.add("packets sent", transfer.n_packets)
    result.add("packets lost", transfer.n_lost)
    intact = repaired = 0
    if assembled is not None and decoded is not None:
        repaired = min(assembled.repaired, decoded.intact)
        intact = decoded.intact - repaired
    result.add(
        "records intact / repaired / lost",
        f"{intact} / {repaired} / {transfer.n_records - intact - repaired}",
    )
    for stage, seconds in transfer.seconds.items():
        result.add(f"seconds: {stage}", seconds, "s")
    result.notes += [f"note: {note}" for note in report.notes]


def _landsat(
    sample: object, data: Path, package: Package, engine: Engine, link: LinkSettings, out: Path
) -> SceneResult:
    from codec.scene.samples import Sample
    from onboard.encode import encode_scene

    assert isinstance(sample, Sample)
    assert sample.labels is not None
    result = SceneResult(sample.name, sample.title)
    with sample.open(data, zoom=landsat.ZOOM) as scene:
        bands = tuple(b for b in package.bands if b in scene.bands)
        truth = landsat.ground_truth(sample, data, bands)
        # The head is fitted before anything is sent: an operator has it, and the station runs it.
        fitting = encode_scene(scene, package, engine, target_bytes=link.payload)
        head = landsat.fit_head(package, fitting.grid, fitting.latents, truth)
        names = tuple(sample.labels.names[i] for i in range(1, landsat.N_CLASSES + 1))
        with_head = landsat.package_with_head(
            package, head, names, out / "models" / f"{package.name}-landcover"
        )
        transfer = send(scene, with_head, engine, link, sample.name, out)
        _common_rows(result, transfer)
        shape = truth.labels.shape
        plain = landsat.uncompressed(package, transfer.encoded.latents)
        before = landsat.predict(package, transfer.encoded.grid, plain, head, shape)
        rival = landsat.jpeg_rival(
            scene, package, engine, head, truth, before, transfer.encoded.report.nec_bytes
        )
    test = truth.blocks.test
    score = landcover.score(before, truth.labels, test, landsat.N_CLASSES)
    result.add("accuracy east, before the link", 100 * score.accuracy, "%")
    result.add("macro-F1 east, before the link", 100 * score.macro_f1, "%")
    after, received = np.zeros_like(before), np.zeros(shape, bool)
    if transfer.decoded is not None:
        values = {name: e.values for name, e in transfer.decoded.embeddings.items()}
        after = landsat.predict(package, transfer.encoded.grid, values, head, shape)
        received = _received(package, transfer, shape)
    seen = test & received
    result.add("east received", 100 * float(received[test].mean()), "%")
    if seen.any():
        score = landcover.score(after, truth.labels, seen, landsat.N_CLASSES)
        result.add("accuracy east, after the link", 100 * score.accuracy, "%")
        result.add("macro-F1 east, after the link", 100 * score.macro_f1, "%")
        result.add(
            "head agreement, decoded and uncompressed", 100 * float((after[seen] == before[seen]).mean()), "%"
        )
    for name, score in landsat.pixel_scores(truth).items():
        result.add(f"accuracy east, {name}", 100 * score.accuracy, "%")
        result.add(f"macro-F1 east, {name}", 100 * score.macro_f1, "%")
    result.add("JPEG 2000 of the same bands", rival.n_bytes, "B")
    result.add("head agreement after JPEG 2000", 100 * rival.agreement, "%")
    result.add("accuracy east after JPEG 2000", 100 * rival.score.accuracy, "%")
    result.notes.append(f"labels: {sample.labels.note}; head fitted west, scored east, a tile apart")
    _pictures(
        result,
        transfer,
        truth.pixels,
        truth.validity,
        bands,
        out,
        landsat_maps=(truth, before, after, received, names),
    )
    return result


def _received(package: Package, transfer: Transfer, shape: tuple[int, int]) -> np.ndarray:
    """Native pixels whose token arrived and is valid."""
    from codec.scene.tiling import mosaic

    assert transfer.decoded is not None
    first = next(iter(transfer.decoded.embeddings.values()))
    _, valid = mosaic(transfer.encoded.grid, package.tile.patch, first.values[..., :1], first.validity)
    step = package.tile.patch // landsat.ZOOM
    return np.repeat(np.repeat(valid, step, 0), step, 1)[: shape[0], : shape[1]]


def _any(
    name: str, title: str, scene: Scene, package: Package, engine: Engine, link: LinkSettings, out: Path
) -> SceneResult:
    """A scene without labels: embeddings, the shipped heads before and after the link, JPEG 2000 beside."""
    from ground.heads import load_heads, run_head

    result = SceneResult(name, title)
    transfer = send(scene, package, engine, link, name, out)
    _common_rows(result, transfer)
    bands = tuple(b for b in package.bands if b in scene.bands)
    for head in load_heads(package):
        if transfer.decoded is None:
            break
        before = run_head(head, _as_embeddings(package, transfer))
        after = run_head(head, transfer.decoded.embeddings)
        seen = before.validity & after.validity
        if seen.any():
            same = before.probabilities.argmax(-1)[seen] == after.probabilities.argmax(-1)[seen]
            result.add(f"head agreement, {head.name} ({head.level})", 100 * float(same.mean()), "%")
    result.notes.append(
        "no labels here: agreement is with the same head on uncompressed embeddings, not accuracy"
    )
    pixels, validity = scene.read((0, 0, scene.height, scene.width), bands)
    _pictures(result, transfer, pixels, validity, bands, out)
    return result


def _as_embeddings(package: Package, transfer: Transfer) -> dict[str, object]:
    from codec.types import Embedding

    assert transfer.decoded is not None
    plain = landsat.uncompressed(package, transfer.encoded.latents)
    latents = {package.planes[latent.plane].name: latent for latent in transfer.encoded.latents}
    return {
        name: Embedding(e.plane, plain[name], latents[name].token_validity, e.layers)
        for name, e in transfer.decoded.embeddings.items()
    }


def _pictures(
    result: SceneResult,
    transfer: Transfer,
    pixels: np.ndarray,
    validity: np.ndarray,
    bands: tuple[str, ...],
    out: Path,
    landsat_maps: tuple[object, ...] | None = None,
) -> None:
    """One sheet per scene: what the camera saw, what arrived, what it means."""
    colours = [bands.index(b) for b in ("red", "green", "blue") if b in bands]
    order = colours if len(colours) == 3 else [0, min(1, len(bands) - 1), min(2, len(bands) - 1)]
    panels = [pictures.Panel("what the camera saw", pictures.true_colour(pixels[order], validity))]
    if transfer.products is not None:
        result.products = str(transfer.products)
        panels += pictures.product_panels(transfer.products)
    if landsat_maps is not None:
        panels += pictures.landcover_panels(*landsat_maps, landsat.COLOURS)  # type: ignore[arg-type]
    path = out / f"{result.name}.png"
    write_atomic(path, pictures.sheet(panels))
    result.pictures.append(str(path))
