"""Costs in the place of records, as benchmarks of codecs use them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.nec.costed import Codec, costed, curve
from benchmarks.nec.transfer import retabled
from codec.transform.fit import fit_planes
from codec.transform.maps import quant_maps
from codec.transform.rate import COST_UNITS_PER_BYTE, symbol_costs
from tests.transform.synthetic_embeddings import embeddings

INDEX = 30


@pytest.fixture(scope="module")
def codec() -> Codec:
    found = fit_planes({"tokens": embeddings(400, channels=12)})
    return Codec(found.transforms["tokens"], found.tables)


def test_lone_tiles_cost_what_their_symbols_do_and_err_as_their_tokens_do(codec: Codec) -> None:
    tokens = embeddings(40, channels=12, seed=9)
    found = costed(codec, tokens, np.arange(40), INDEX)
    maps = quant_maps(codec.tables, 0, INDEX)
    symbols = maps.quantise(codec.transform.analyse(tokens))
    costs = symbol_costs(codec.tables, 0, INDEX, symbols) / COST_UNITS_PER_BYTE
    assert found.tokens.bytes == pytest.approx(costs.sum(axis=(1, 2)))
    assert found.mean.bytes == pytest.approx(costs[:, :, 0].sum(axis=1))
    decoded = codec.transform.synthesise(maps.reconstruct(symbols))
    assert found.tokens.errors == pytest.approx(np.square(decoded - tokens).sum(axis=(1, 2, 3)), rel=1e-3)
    of_means = 64 * np.square((decoded - tokens).mean(axis=(1, 2))).sum(axis=1)
    assert found.mean.errors == pytest.approx(of_means, rel=1e-2, abs=1e-5)


def test_a_mean_vector_is_taken_where_it_pays_and_nowhere_else(codec: Codec) -> None:
    """A scene far from the training mean gains; tiles around that mean do not, and a vector would cost them."""
    tokens, one_file, lone = embeddings(40, channels=12, seed=9), np.zeros(40, int), np.arange(40)
    far = tokens + np.float32(3)
    assert (
        costed(codec, far, one_file, INDEX).mean.bytes.sum()
        < 0.9 * costed(codec, far, lone, INDEX).mean.bytes.sum()
    )
    near = costed(codec, tokens, one_file, 56).mean.bytes.sum()
    assert near == pytest.approx(costed(codec, tokens, lone, 56).mean.bytes.sum())


def test_a_curve_falls_in_bytes_and_grows_in_error(codec: Codec) -> None:
    found = curve(codec, embeddings(40, channels=12, seed=9), np.arange(40))[::8]
    assert (np.diff([p.tokens.bytes.sum() for p in found]) <= 0).all()
    assert (np.diff([p.tokens.errors.sum() for p in found]) >= 0).all()


def test_tables_fitted_anew_to_the_same_tokens_cost_the_same(codec: Codec) -> None:
    again = retabled(codec, embeddings(400, channels=12))
    tokens, lone = embeddings(40, channels=12, seed=9), np.arange(40)
    before, after = (costed(c, tokens, lone, INDEX).tokens for c in (codec, again))
    assert after.bytes.sum() == pytest.approx(before.bytes.sum(), rel=1e-3)
    assert after.errors.sum() == pytest.approx(before.errors.sum(), rel=1e-2)


def test_tables_fitted_anew_to_louder_tokens_serve_them_better(codec: Codec) -> None:
    mean = codec.transform.mean
    louder = retabled(codec, mean + 4 * (embeddings(400, channels=12) - mean))
    tokens, lone = mean + 4 * (embeddings(40, channels=12, seed=9) - mean), np.arange(40)
    assert (
        costed(louder, tokens, lone, INDEX).tokens.bytes.sum()
        < costed(codec, tokens, lone, INDEX).tokens.bytes.sum()
    )
