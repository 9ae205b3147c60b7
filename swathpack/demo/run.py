"""`swathpack demo`: runs the scenes, fills the table, writes the pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codec.atomic import write_atomic
from swathpack.demo import landcover, landsat, pictures, unlabelled
from swathpack.demo.rival import through_jpeg2000
from swathpack.demo.table import DemoResult, SceneResult
from swathpack.demo.transfer import LinkSettings, Transfer, send, uncompressed
from swathpack.streams import refused

if TYPE_CHECKING:
    from codec.package import Package
    from codec.scene.samples import Sample
    from codec.scene.scene import Scene
    from onboard.engine import Engine


@dataclass(frozen=True, slots=True)
class Stage:
    """What every scene of a run is shown on."""

    package: Package
    engine: Engine
    link: LinkSettings
    out: Path
    say: Callable[[str], None]


def demo(
    *,
    out: Path,
    data: Path,
    scene: str | None,
    sensor: str | None,
    link: LinkSettings,
    model: str,
    say: Callable[[str], None],
) -> DemoResult:
    """Run the demo into `out`. `scene` None: both samples of `data`; else a path or `stac:LON,LAT[,FROM/TO]`.

    Raises what the rooms raise; InputError or LimitExceeded where `out` cannot be written.
    """
    from codec.package import load
    from onboard.engine_package import engine_for

    try:
        out.mkdir(parents=True, exist_ok=True)
        package = load(model)
        stage = Stage(package, engine_for(package), link, out, say)
        scenes = _samples(data, stage) if scene is None else [_given(scene, sensor, stage)]
    except OSError as error:
        raise refused(error, error.filename or out) from error
    settings = {
        "loss": link.loss,
        "burst": link.burst,
        "seed": link.seed,
        "payload": link.payload,
        "model": package.name,
    }
    result = DemoResult(settings, scenes)
    write_atomic(out / "demo.json", (json.dumps(result.as_json(), indent=2) + "\n").encode())
    return result


def _samples(data: Path, stage: Stage) -> list[SceneResult]:
    from codec.scene.samples import LANDSAT7_RALEIGH, SENTINEL2_PATAGONIA

    stage.say(f"1/2 {LANDSAT7_RALEIGH.title}")
    results = [labelled_scene(LANDSAT7_RALEIGH, data, stage)]
    sample = SENTINEL2_PATAGONIA
    stage.say(f"2/2 {sample.title}")
    with sample.open(data) as opened:
        return [*results, unlabelled_scene(sample.name, sample.title, opened, stage)]


def _given(scene: str, sensor: str | None, stage: Stage) -> SceneResult:
    from codec.scene.scene import open_scene

    if scene.startswith("stac:"):
        from swathpack.demo import stac

        stage.say("1/1 a window of Sentinel-2 from the catalogue")
        fetched = stac.fetch(scene, stage.out / "stac", say=stage.say)
        files = [Path(file) for file in fetched.bands.values()]
        with open_scene(files, sensor=stac.SENSOR, bands=fetched.bands, time=fetched.time) as opened:
            return unlabelled_scene(fetched.title, f"Sentinel-2, {fetched.title}", opened, stage)
    path = Path(scene)
    stage.say(f"1/1 {path.name}")
    with open_scene([path], sensor=sensor) as opened:
        name = "".join(c if c.isalnum() or c in "-_" else "-" for c in path.resolve().stem) or "scene"
        return unlabelled_scene(name, path.name, opened, stage)


def common_rows(result: SceneResult, transfer: Transfer) -> None:
    """What every scene's column begins with: sizes, link, seconds."""
    report = transfer.encoded.report
    result.add("tiles", report.tiles)
    result.add("tiles without data", report.tiles_without_data)
    result.add("raw bytes of the bands used", report.raw_bytes, "B")
    result.add(".nec", report.nec_bytes, "B")
    result.add(".nec per tile with data", report.nec_bytes / report.tiles_coded, "B")
    result.add("on the link, repair packets included", transfer.link_bytes, "B")
    result.add("ratio raw / .nec", report.raw_bytes / report.nec_bytes, "×")
    result.add("ratio raw / link", report.raw_bytes / transfer.link_bytes, "×")
    result.add("packets sent", transfer.n_packets)
    result.add("packets lost", transfer.n_lost)
    for state, count in zip(("intact", "repaired", "lost"), transfer.records, strict=True):
        result.add(f"records {state}", count)
    for key, stage in (
        ("read", "read and tile"),
        ("engine", "encoder"),
        ("code", "quantise and code"),
        ("link", "packets and channel"),
        ("ground", "ground station"),
    ):
        result.add(f"seconds, {stage}", transfer.seconds.get(key, 0.0), "s")
    result.notes += report.notes


def labelled_scene(sample: Sample, data: Path, stage: Stage) -> SceneResult:
    """The sample with labels: land cover before and after the link, beside pixel heads and JPEG 2000."""
    from onboard.encode import encode_scene

    assert sample.labels is not None
    package = stage.package
    names = tuple(sample.labels.names[i] for i in range(1, landsat.N_CLASSES + 1))
    result = SceneResult(sample.name, sample.title)
    with sample.open(data, zoom=landsat.ZOOM) as scene:
        bands = tuple(b for b in package.bands if b in scene.bands)
        truth = landsat.ground_truth(sample, data, bands)
        stage.say("  fitting the land-cover head on the west")
        # The head is fitted before anything is sent: an operator has it, and the station runs it.
        fitting = encode_scene(scene, package, stage.engine, target_bytes=stage.link.payload)
        head = landsat.fit_head(package, fitting.grid, fitting.latents, truth)
        folder = stage.out / "models" / f"{package.name}-landcover"
        with_head = landsat.package_with_head(package, head, names, folder)
        transfer = send(scene, with_head, stage.engine, stage.link, sample.name, stage.out, stage.say)
    common_rows(result, transfer)
    grid, nec_bytes = transfer.encoded.grid, transfer.encoded.report.nec_bytes

    def predict(embeddings: dict[str, np.ndarray]) -> np.ndarray:
        return landsat.predict(package, grid, embeddings, head, truth.shape)

    stage.say("  beside it: pixel heads, and JPEG 2000 of the same bands")
    before = predict(uncompressed(package, transfer.encoded.latents))
    jpeg_bytes, jpeg = through_jpeg2000(truth.pixels, nec_bytes, package, stage.engine, grid)
    maps = {"embeddings before the link": before}
    if transfer.decoded is not None:
        maps["embeddings after the link"] = predict(transfer.embeddings)
    maps |= landsat.pixel_maps(truth)
    maps["embeddings after JPEG 2000"] = predict(jpeg)
    arrived = landsat.received(package, grid, transfer.decoded, truth.shape)
    result.add("JPEG 2000 of the same bands", jpeg_bytes, "B")
    score_rows(result, maps, truth, arrived)
    result.notes.append(f"labels: {sample.labels.note}")
    panels = pictures.scene_panels(truth.pixels, transfer.products)
    after = maps.get("embeddings after the link", before)
    palette = tuple(zip(names, landsat.COLOURS, strict=True))
    seen = arrived & truth.pixels.validity
    panels += pictures.landcover_panels(truth, before, after, seen, palette)
    _finish(result, panels, transfer, stage)
    return result


def score_rows(
    result: SceneResult, maps: dict[str, np.ndarray], truth: landsat.Truth, arrived: np.ndarray
) -> None:
    """Agreement, accuracy and macro-F1 of every map, all of them on the same held-out pixels.

    These are the eastern pixels that arrived, or all eastern ones when none did.
    """
    test = truth.blocks.test
    where = test & arrived if (test & arrived).any() else test
    result.add("held-out share that arrived", 100 * float(arrived[test].mean()), "%")
    result.add("held-out pixels scored", int(where.sum()))
    before = maps["embeddings before the link"]
    for name, label in (
        ("embeddings after the link", "head agreement, decoded and uncompressed"),
        ("embeddings after JPEG 2000", "head agreement, after JPEG 2000"),
    ):
        if name in maps:
            result.add(label, 100 * float((maps[name][where] == before[where]).mean()), "%")
    scores = {name: landcover.score(m, truth.labels, where, landsat.N_CLASSES) for name, m in maps.items()}
    for name, score in scores.items():
        result.add(f"accuracy, {name}", 100 * score.accuracy, "%")
    for name, score in scores.items():
        result.add(f"macro-F1, {name}", 100 * score.macro_f1, "%")
    after, context = "embeddings after the link", "pixels with 9×9 context (baseline)"
    if after in maps:
        right = [maps[name] == truth.labels for name in (after, context)]
        smallest = landcover.smallest_difference(right[0], right[1], where, block=64 // landsat.ZOOM)
        result.add("accuracy difference that shows here (95 %)", 100 * smallest, "points")
        gain = scores[after].macro_f1 - scores[context].macro_f1
        result.add("macro-F1 decoded minus pixels with 9x9 context", 100 * gain, "points")


def unlabelled_scene(name: str, title: str, scene: Scene, stage: Stage) -> SceneResult:
    """A scene without labels: embeddings, the shipped heads before and after the link, JPEG 2000 beside."""
    package = stage.package
    result = SceneResult(name, title)
    transfer = send(scene, package, stage.engine, stage.link, name, stage.out, stage.say)
    common_rows(result, transfer)
    bands = tuple(b for b in package.bands if b in scene.bands)
    pixels = unlabelled.whole_scene(scene, bands)
    jpeg = None
    if pixels is None:
        result.notes.append("the scene is too large for JPEG 2000 beside it and for a picture of its pixels")
    else:
        stage.say("  beside it: JPEG 2000 of the same bands")
        target, grid = transfer.encoded.report.nec_bytes, transfer.encoded.grid
        jpeg_bytes, jpeg = through_jpeg2000(pixels, target, package, stage.engine, grid)
        result.add("JPEG 2000 of the same bands", jpeg_bytes, "B")
    for said in unlabelled.head_agreements(package, transfer, jpeg):
        result.add(f"head agreement, {said.head} per {said.level}", said.decoded, "%")
        if said.jpeg is not None:
            result.add(f"head agreement after JPEG 2000, {said.head} per {said.level}", said.jpeg, "%")
    result.notes.append("no labels here: agreement is with the same head before the link, not accuracy")
    panels = pictures.scene_panels(pixels, transfer.products)
    panels += pictures.head_panels(package, transfer.products)
    _finish(result, panels, transfer, stage)
    return result


def _finish(result: SceneResult, panels: list[pictures.Panel], transfer: Transfer, stage: Stage) -> None:
    """One sheet per scene: what the camera saw, what arrived, what it means."""
    if transfer.products is not None:
        result.products = str(transfer.products)
    if not panels:  # nothing arrived of a scene too large to be shown
        return
    path = stage.out / f"{result.name}.png"
    write_atomic(path, pictures.sheet(panels))
    result.pictures.append(str(path))
    stage.say(f"  picture: {path}")
