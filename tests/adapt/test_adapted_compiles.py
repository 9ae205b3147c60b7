"""`torch.compile` takes an adapted encoder as one graph, spectral indices included."""

from __future__ import annotations

import pickle

import pytest

torch = pytest.importorskip("torch")

from small_bases import BANDS, batch_of, own_encoder  # noqa: E402

from codec.adapt import apply  # noqa: E402


@pytest.mark.parametrize("learning", [False, True])
def test_an_adapted_encoder_is_one_graph(learning: bool) -> None:
    adapted = apply(own_encoder(), "deflect", BANDS).train(learning)
    adapted.fit_statistics([batch_of(seed=1)])
    batch = batch_of()
    compiled = torch.compile(adapted, fullgraph=True, backend="eager")
    with torch.set_grad_enabled(learning):
        assert torch.equal(compiled(*batch)["tokens"], adapted(*batch)["tokens"])


def test_indices_survive_a_pickle() -> None:
    adapted = apply(own_encoder(), "deflect", BANDS)
    adapted.fit_statistics([batch_of(seed=1)])
    again = pickle.loads(pickle.dumps(adapted))
    batch = batch_of()
    assert torch.equal(again(*batch)["tokens"], adapted(*batch)["tokens"])
