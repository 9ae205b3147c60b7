"""PCA, k-means and product quantisation against scikit-learn, FSQ's arithmetic by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from codec.evaluate.rate.embedding import fsq, pq
from codec.evaluate.rate.embedding.kmeans import assign, kmeans
from codec.evaluate.rate.embedding.pca import Pca, fit_pca_int8
from tests.evaluate.rate.correlated_planes import planes

TERRAMIND = (8, 8, 8, 6, 5)


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    return planes(40, 0).values["tokens"].reshape(-1, 12)


def test_principal_components_are_scikit_learn_s(tokens: np.ndarray) -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    theirs = decomposition.PCA(n_components=12).fit(tokens.astype(np.float64))
    own = Pca.fit(tokens)
    np.testing.assert_allclose(own.mean, theirs.mean_, atol=1e-5)
    # scikit-learn divides by n − 1
    np.testing.assert_allclose(own.variance, theirs.explained_variance_ * (1 - 1 / len(tokens)), rtol=1e-4)
    alignment = np.abs((own.basis * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(alignment, 1, atol=1e-4)
    theirs4 = decomposition.PCA(n_components=4).fit(tokens.astype(np.float64))
    np.testing.assert_allclose(
        own.back(own.project(tokens, 4)), theirs4.inverse_transform(theirs4.transform(tokens)), atol=1e-3
    )


def test_pca_int8_adds_at_most_half_a_step_a_component() -> None:
    x = planes(30, 0).values["tokens"]
    coder = fit_pca_int8(zstd=False)(x)
    back = coder.decode([p.data for p in coder.encode(x, np.ones(x.shape[:3], bool), "k=8")], "k=8", 30)
    difference = coder.pca.project(back, 8) - coder.pca.project(x, 8)
    assert (np.abs(difference) <= coder.step[:8] * 0.51).all()


@pytest.mark.parametrize(("k", "dimensions"), [(16, 2), (64, 4), (256, 3)])
def test_k_means_is_as_good_as_scikit_learn_s(tokens: np.ndarray, k: int, dimensions: int) -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    x = np.ascontiguousarray(tokens[:, :dimensions])
    theirs = cluster.KMeans(k, n_init=1, random_state=0).fit(x).inertia_
    centroids = kmeans(x, k, np.random.default_rng(0))
    own = float(np.square(x - centroids[assign(x, centroids)]).sum(dtype=np.float64))
    assert own <= 1.05 * theirs


def test_the_nearest_centroid_is_found(tokens: np.ndarray) -> None:
    centroids = tokens[:37]
    distance = np.square(tokens[:, None].astype(np.float64) - centroids).sum(axis=2)
    found = assign(tokens, centroids)
    assert (distance[np.arange(len(tokens)), found] <= distance.min(axis=1) + 1e-4).all()


def test_repeated_vectors_make_repeated_centroids() -> None:
    x = np.array([[0, 0], [1, 1]], np.float32).repeat(10, axis=0)
    centroids = kmeans(x, 4, np.random.default_rng(0))
    assert {tuple(c) for c in centroids.tolist()} == {(0.0, 0.0), (1.0, 1.0)}


def test_product_quantisation_of_vectors_that_are_centroids_is_exact() -> None:
    """Two channels a part, four values of each part: four centroids hold them all; 2 bits an index."""
    rng = np.random.default_rng(0)
    corners = np.array([[0, 0], [0, 8], [8, 0], [8, 8]], np.float32)
    rotated = np.concatenate([corners[rng.integers(0, 4, 64)] for _ in range(2)], axis=1)
    books = pq.Codebooks((np.array([0, 1]), np.array([2, 3])), (corners, corners))
    indices = books.encode(rotated)
    assert indices.shape == (2, 64)
    np.testing.assert_array_equal(books.decode(indices), rotated)


@pytest.mark.parametrize("bits", range(1, 9))
def test_indices_take_their_bits_and_no_more(bits: int) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, 101).astype(np.uint8)
    data = pq.pack(values, bits)
    assert len(data) == -(-101 * bits // 8)
    assert pq.unpack(data, 101, bits).tolist() == values.tolist()


def test_indices_of_three_bits_by_hand() -> None:
    """5, 3, 1 = 101, 110, 100 lowest bit first: 10111010 0……."""
    assert pq.pack(np.array([5, 3, 1], np.uint8), 3) == bytes([0b10111010, 0b00000000])


def test_parts_have_balanced_products_of_variances() -> None:
    """By hand: 8, 4, 2, 1 over a floor far below. 8 and 4 open the parts, 2 joins 4, 1 joins 8: products 8 and 8."""
    parts = pq.balanced(np.array([8.0, 4.0, 2.0, 1.0], np.float32), 2)
    assert [p.tolist() for p in parts] == [[0, 3], [1, 2]]
    assert [len(p) for p in pq.balanced(np.ones(7, np.float32), 3)] == [3, 2, 2]


def test_a_codebook_is_never_larger_than_half_its_training() -> None:
    x = planes(2, 0).values["tokens"].mean(axis=(1, 2), keepdims=True).repeat(20, axis=0)  # 40 vectors
    assert pq.fit_pq(optimised=True)(x).bits == 4  # 2⁴ ≤ 40/2 < 2⁵


def test_a_token_index_by_hand() -> None:
    """3 + 7·8 + 0·64 + 5·512 + 4·3072 = 14907; the largest is 8·8·8·6·5 − 1 = 15359."""
    assert fsq.token_index(np.array([3, 7, 0, 5, 4]), TERRAMIND) == 14907
    assert fsq.token_index(np.array([7, 7, 7, 5, 4]), TERRAMIND) == 15359
    assert fsq.token_digits(np.array(14907), TERRAMIND).tolist() == [3, 7, 0, 5, 4]


def test_every_token_has_an_index_of_its_own() -> None:
    every = np.array(list(itertools.product(*map(range, TERRAMIND))))
    index = fsq.token_index(every, TERRAMIND)
    assert sorted(index.tolist()) == list(range(15360))
    np.testing.assert_array_equal(fsq.token_digits(index, TERRAMIND), every)


@pytest.mark.parametrize("levels", [3, 5, 7])
def test_odd_levels_are_the_paper_s(levels: int) -> None:
    """Mentzer et al., appendix: round(tanh(z)·(L − 1)·(1 − 10⁻³)/2), without offset or shift for odd L."""
    z = np.linspace(-4, 4, 4001).astype(np.float32)
    bounded = np.tanh(z.astype(np.float64)) * (levels - 1) * (1 - 1e-3) / 2
    clear = np.abs(bounded - np.floor(bounded) - 0.5) > 2e-3  # the paper's shrinking moves borders by so much
    expected = np.rint(bounded).astype(int) + levels // 2
    assert (fsq.digits(z, levels) == expected)[clear].all()


def test_even_levels_lie_evenly_about_zero() -> None:
    """By hand for 4: tanh·1.5 + 1.5 rounds to 0 … 3 with borders where tanh is −2/3, 0, 2/3."""
    border = np.arctanh(2 / 3)
    z = np.array(
        [-9, -border - 0.01, -border + 0.01, -0.01, 0.01, border - 0.01, border + 0.01, 9], np.float32
    )
    assert fsq.digits(z, 4).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("levels", "symbols"), [(5, [-2, -1, 0, 1, 2]), (4, [-2, -1, 1, 2]), (3, [-1, 0, 1])]
)
def test_digits_become_symbols_of_either_sign(levels: int, symbols: list[int]) -> None:
    found = fsq.symbols_of(np.arange(levels), levels)
    assert found.tolist() == symbols
    assert fsq.digits_of(found, levels).tolist() == list(range(levels))
