"""The comparison and its gates, on latents and numbers made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codec.errors import InputError
from codec.package import Package
from onboard.parity import (
    GATES,
    HeadParity,
    PlaneParity,
    QualityParity,
    compare,
    compare_at,
    judge,
    judge_planes,
    judge_quality,
)
from onboard.parity_tiles import ParityTiles

GOOD = PlaneParity("tokens", 41, 0.0, 0.0, 1000, 0.0, 0.0, 0, 0.5)
HEAD = HeadParity("water", "token", 1000, 1.0, 0.9, 0.9)
QUALITY = QualityParity(41, [GOOD], 10_000, 10_000, [HEAD])


@pytest.fixture
def latents(package: Package) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    out = {}
    for plane in package.planes:
        shape = (5, plane.spec.channels, plane.spec.n_frequencies)
        step = package.maps(plane.name, package.default_ladder_index).step
        out[plane.name] = (3 * step * rng.standard_normal(shape)).astype(np.float32)
    return out


def test_equal_latents_differ_in_nothing(package: Package, latents: dict[str, np.ndarray]) -> None:
    rows = compare(package, package.default_ladder_index, latents, latents)
    assert [row.plane for row in rows] == ["tokens", "spectral"]
    assert all((row.differ, row.max_abs_latent, row.largest_step) == (0.0, 0.0, 0) for row in rows)
    assert all(judge_planes(gate, rows, "") == [] for gate in GATES.values())


def test_one_symbol_is_counted_once(package: Package, latents: dict[str, np.ndarray]) -> None:
    index = package.default_ladder_index
    maps = package.maps("tokens", index)
    channel, frequency = np.argwhere(maps.coded & (maps.layer > 0))[0]
    other = {name: values.copy() for name, values in latents.items()}
    latents["tokens"][2, channel, frequency] = 0
    other["tokens"][2, channel, frequency] = (3 + maps.theta[channel, frequency]) * maps.step[
        channel, frequency
    ]
    row = compare(package, index, latents, other)[0]
    assert row.differ == 1 / latents["tokens"].size
    assert (row.differ_layer0, row.largest_step) == (0.0, 3)
    assert "differs by 3 here, 1 allowed" in "; ".join(judge_planes(GATES["fp16"], [row], "here"))


def test_latents_off_by_a_percent_are_refused_though_no_symbol_may_show_it(
    package: Package, latents: dict[str, np.ndarray]
) -> None:
    other = {name: 1.01 * values for name, values in latents.items()}
    rows = compare(package, package.default_ladder_index, latents, other)
    assert [row.relative_rms for row in rows] == pytest.approx([0.01, 0.01], rel=1e-3)
    for precision in ("fp32", "fp16"):
        assert any("off by 1.00% (rms)" in reason for reason in judge_planes(GATES[precision], rows, ""))


def test_nan_never_passes(package: Package, latents: dict[str, np.ndarray]) -> None:
    other = {name: values.copy() for name, values in latents.items()}
    other["spectral"][0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        compare(package, package.default_ladder_index, latents, other)
    broken = replace(GOOD, relative_rms=float("nan"), differ=float("nan"))
    assert len(judge_planes(GATES["fp32"], [broken], "")) == 2


def test_another_shape_is_refused(package: Package, latents: dict[str, np.ndarray]) -> None:
    other = {name: values[:4] for name, values in latents.items()}
    with pytest.raises(InputError, match="plane tokens has another shape"):
        compare(package, package.default_ladder_index, latents, other)


@pytest.mark.parametrize(
    ("engine", "quality", "reason"),
    [
        ("fp32", replace(QUALITY, bytes_engine=10_051), r"\+0\.51% bytes"),
        ("int8", replace(QUALITY, bytes_engine=9_949), r"-0\.51% bytes"),
        ("fp16", replace(QUALITY, heads=[replace(HEAD, agreement=0.9949)]), r"same of 99\.49% of 1000 tokens"),
        ("bf16", replace(QUALITY, heads=[replace(HEAD, agreement=0.9949)]), "99.50% wanted"),
        ("int8", replace(QUALITY, heads=[replace(HEAD, agreement=0.9949)]), "99.50% wanted"),
    ],
)  # fmt: skip
def test_each_bound_on_bytes_and_heads_is_held(engine: str, quality: QualityParity, reason: str) -> None:
    import re

    reasons = judge_quality(GATES[engine], quality, "here")
    assert len(reasons) == 1
    assert re.search(reason, reasons[0])


def test_what_lies_just_within_passes() -> None:
    near = replace(QUALITY, bytes_engine=10_050, heads=[replace(HEAD, agreement=0.995, fidelity_engine=0.0)])
    assert judge_quality(GATES["fp16"], near, "") == []


def test_single_precision_is_held_at_the_finest_quality_too() -> None:
    fine = replace(QUALITY, planes=[replace(GOOD, differ=1.1e-4)])
    assert judge("fp32", QUALITY, fine, [GOOD]) != []
    assert judge("fp16", QUALITY, fine, [GOOD]) == []


def test_procedural_tiles_can_refuse_what_real_ones_let_through() -> None:
    reasons = judge("fp16", QUALITY, QUALITY, [replace(GOOD, relative_rms=0.1)])
    assert ["procedural" in reason for reason in reasons] == [True]


def test_a_graph_that_says_nothing_is_refused() -> None:
    silent = replace(QUALITY, planes=[replace(GOOD, zeros=0.9991)])
    assert "says nothing" in judge("int8", QUALITY, silent, [GOOD])[0]
    assert judge("int8", QUALITY, replace(QUALITY, planes=[replace(GOOD, zeros=0.9989)]), [GOOD]) == []


def test_bytes_are_those_of_a_file_and_heads_run_on_what_it_decodes_to(
    package: Package, whole_tiles: ParityTiles
) -> None:
    """Against the encode path and `ground.heads`, which this room may not import, though a test may."""
    from codec.bitstream.reader import read_bytes
    from codec.pipeline import decode, encode
    from codec.types import Georeference, Latent, TileGrid
    from ground.heads import load_heads, run_head
    from onboard.engine_package import engine_for

    engine = engine_for(package, threads=1)
    reference = engine.run(whole_tiles.pixels, whole_tiles.bands, whole_tiles.validity)
    rng = np.random.default_rng(0)
    found = {name: v * (1 + 0.05 * rng.standard_normal(v.shape, np.float32)) for name, v in reference.items()}
    index, n = package.default_ladder_index, len(whole_tiles)
    quality = compare_at(package, index, whole_tiles, reference, found)

    sizes, classes = [], []
    for latents in (reference, found):
        side = package.tile.core // package.tile.patch
        data = encode(
            package,
            [Latent(package.plane_index(k), v, np.ones((n, side, side), bool)) for k, v in latents.items()],
            grid=TileGrid(package.tile.core * n, package.tile.core, package.tile.core, package.tile.core),
            georeference=Georeference((1.0, 0.0, 0.0, 0.0, -1.0, 0.0)), sensor="parity",
            band_mask=2 ** len(package.bands) - 1, time_us=-(2**63), ladder_index=index,
        )  # fmt: skip
        nec = read_bytes(data)
        decoded = decode(package, nec.header, [record.data for record in nec.records])
        sizes.append(len(data))
        heads = load_heads(package)
        classes.append({h.name: run_head(h, decoded.embeddings).probabilities.argmax(-1) for h in heads})
    assert (quality.bytes_reference, quality.bytes_engine) == tuple(sizes)
    assert {head.head for head in quality.heads} == set(classes[0])
    for head in quality.heads:
        equal = classes[0][head.head] == classes[1][head.head]
        assert head.n == equal.size
        assert head.agreement == pytest.approx(equal.mean())
    assert any(head.agreement < 1 for head in quality.heads)
