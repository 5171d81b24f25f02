"""Vector arithmetic against answers one can check by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from leaf_embed import vectors
from leaf_embed.errors import VectorError

matrices = arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(2, 8)), elements=st.floats(-4, 4, width=16))


def test_normalize_three_four_five():
    assert vectors.normalize([3, 4]).tolist() == pytest.approx([0.6, 0.8])


def test_normalize_keeps_zero():
    assert vectors.normalize([[0, 0], [0, 2]]).tolist() == [[0, 0], [0, 1]]


def test_truncate_renormalises():
    assert vectors.truncate([[3, 4, 12]], 2)[0].tolist() == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize("dim", [0, 4])
def test_truncate_refuses_other_dims(dim):
    with pytest.raises(VectorError, match=f"cannot truncate to {dim} dimensions; expected 1 to 3"):
        vectors.truncate([[3, 4, 12]], dim)


@given(matrices)
def test_truncating_to_all_dimensions_is_normalising(matrix):
    np.testing.assert_array_equal(vectors.truncate(matrix, matrix.shape[1]), vectors.normalize(matrix))


@given(matrices, st.integers(0, 100))
def test_rotation_keeps_norms_and_cosines(matrix, seed):
    axes, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(matrix.shape[1],) * 2))
    turned = vectors.rotate(matrix, axes)
    np.testing.assert_allclose(turned @ turned.T, matrix @ matrix.T, atol=1e-3)


def test_rotate_refuses_what_is_no_rotation():
    with pytest.raises(VectorError, match="not orthogonal"):
        vectors.rotate([[1, 2]], [[2, 0], [0, 2]])
    with pytest.raises(VectorError, match=r"expected \(2, 2\)"):
        vectors.rotate([[1, 2]], np.eye(3))


def test_cosine_by_hand():
    assert vectors.cosine([[1, 0], [1, 1]], [[0, 2], [2, 2]]).tolist() == pytest.approx([0, 1])


def test_unit_norm_is_measured():
    assert vectors.is_unit_norm([[0.6, 0.8], [1, 0]])
    assert not vectors.is_unit_norm([[0.6, 0.8], [1, 1]])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, float("nan")]], "NaN or infinity for 'row 0'"),
        ([[1, 2], [0, 0]], "only zeros for 'row 1'"),
        ([[1, 2, 3]], "3 dimensions; expected 2"),
        ([1, 2], r"shape \(2,\)"),
        ([[1], [1, 2]], "unequal size"),
        ([["a", "b"]], "no numbers"),
    ],
)
def test_as_vectors_says_what_is_wrong(values, message):
    with pytest.raises(VectorError, match=message):
        vectors.as_vectors(values, 2, source="the teacher")


def test_as_vectors_names_the_text():
    with pytest.raises(VectorError, match="for 'second'"):
        vectors.as_vectors([[1, 2], [0, 0]], source="the teacher", ids=["first", "second"])


def test_a_fitted_rotation_is_that_of_a_singular_value_decomposition():
    """Another road to the same axes: the right singular vectors of the vectors themselves, up to their signs."""
    generator = np.random.default_rng(1)
    sample = generator.normal(size=(400, 6)) * [1, 9, 3, 5, 7, 2]
    axes = vectors.fit_rotation(sample)
    assert axes.dtype == np.float32
    np.testing.assert_allclose(axes.T @ axes, np.eye(6), atol=1e-6)
    _, _, rows = np.linalg.svd(sample)
    np.testing.assert_allclose(np.abs(axes), np.abs(rows.T), atol=1e-4)
    assert (np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0) > 0).all()


def test_a_fitted_rotation_gathers_the_norm_in_front():
    sample = np.random.default_rng(2).normal(size=(300, 8)) * [0.1, 0.2, 0.3, 0.4, 1, 2, 3, 4]
    turned = vectors.rotate(sample, vectors.fit_rotation(sample))
    power = (turned**2).sum(axis=0)
    assert (np.diff(power) < 0).all()
    assert power[:4].sum() > 0.9 * (sample**2).sum()


@pytest.mark.parametrize("sample", [np.empty((0, 3)), [[0, 0], [1, 1]], [1, 2]])
def test_a_rotation_is_not_fitted_on_nothing(sample):
    with pytest.raises(VectorError):
        vectors.fit_rotation(sample)
