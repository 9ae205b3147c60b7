"""The comparison itself, on latents made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from codec.errors import InputError
from codec.package import Package
from onboard.parity import GATES, compare, judge


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
    assert judge("fp32", rows, rows) == []


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
    assert "differs by 3, 1 allowed" in "; ".join(judge("fp16", [row], [row]))


def test_latents_off_by_a_percent_are_refused_though_no_symbol_may_show_it(
    package: Package, latents: dict[str, np.ndarray]
) -> None:
    other = {name: 1.01 * values for name, values in latents.items()}
    rows = compare(package, package.default_ladder_index, latents, other)
    assert [row.relative_rms for row in rows] == pytest.approx([0.01, 0.01], rel=1e-3)
    for precision in GATES:
        assert any("off by 1.00% (rms)" in reason for reason in judge(precision, rows, rows))


def test_nan_never_passes(package: Package, latents: dict[str, np.ndarray]) -> None:
    other = {name: values.copy() for name, values in latents.items()}
    other["spectral"][0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        compare(package, package.default_ladder_index, latents, other)


def test_another_shape_is_refused(package: Package, latents: dict[str, np.ndarray]) -> None:
    other = {name: values[:4] for name, values in latents.items()}
    with pytest.raises(InputError, match="plane tokens has another shape"):
        compare(package, package.default_ladder_index, latents, other)
