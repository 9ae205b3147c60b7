"""The harness scores a refinement on the very bytes that the shipped codec sends."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from codec.bitstream import record
from codec.errors import BackendUnavailable
from codec.evaluate.rate.embedding import mean_spectral, shipped
from codec.evaluate.rate.embedding.refined import refined_methods
from codec.evaluate.rate.types import Planes
from codec.nec.refinement.session import OnnxRefinement, refinement_of
from codec.package import Package
from tests.nec.refinement.small_refinement import arrays


@pytest.fixture(scope="module")
def planes() -> Planes:
    values, validity = arrays()
    return Planes(values, validity)


@pytest.fixture(scope="module")
def refinement(installed: Package) -> OnnxRefinement:
    found = refinement_of(installed)
    assert found is not None
    return found


def test_a_refined_method_sends_the_bytes_of_its_twin_and_decodes_other_tokens(
    installed: Package, refinement: OnnxRefinement, planes: Planes
) -> None:
    plain = shipped.shipped(installed).fit(planes)
    twin, *_ = refined_methods(installed, refinement, "ab" * 32)
    assert twin.about.name == "shipped + refinement"
    refined = twin.fit(planes)
    assert refined.settings == plain.settings
    setting = plain.settings[len(plain.settings) // 2]
    before, after = plain.code(planes, setting), refined.code(planes, setting)
    assert np.array_equal(before.sizes, after.sizes)
    assert np.abs(before.planes["tokens"] - after.planes["tokens"]).max() > 0.01
    assert np.array_equal(before.planes["spectral"], after.planes["spectral"])


def test_without_onnxruntime_nothing_is_scored(
    installed: Package, planes: Planes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = refinement_of(installed)
    assert fresh is not None
    coder = refined_methods(installed, fresh, "ab" * 32)[0].fit(planes)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailable, match="stopped before the refinement"):
        coder.code(planes, coder.settings[-1])


def test_mean_and_spectral_plane_send_layer_0_and_all_of_s_and_nothing_else(
    installed: Package, planes: Planes
) -> None:
    coder = mean_spectral.shipped_mean_spectral(installed).fit(planes)
    assert isinstance(coder, mean_spectral.MeanSpectralCoder)
    setting = coder.settings[0]
    _, (_, *parts) = coder.encode(planes, setting)
    found = {(h.plane, h.layer) for h in (record.parse(part.data).header for part in parts)}
    assert found == {(0, 0), (1, 0), (1, 1)}
    decoded = coder.code(planes, setting).planes["tokens"]
    whole = planes.validity.all((1, 2))
    position = installed.transforms["tokens"].mean
    centred = (decoded - position)[whole]
    # Layer 0 is the tile's mean: about the position mean all tokens of a tile are alike.
    assert np.abs(centred - centred.mean((1, 2), keepdims=True)).max() < 1e-4
