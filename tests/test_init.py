"""Initialisation and normalisation: shapes, the standard deviations of the equations, reproducible numbers."""

import numpy as np
import pytest

import nnc

N, M = 300, 200


@pytest.mark.parametrize(
    ("make", "std", "equation"),
    [
        (lambda **o: nnc.init.normal(N, M, **o), 0.01, 17.1),
        (lambda **o: nnc.init.normal(N, M, std=0.001, **o), 0.001, 17.1),
        (lambda **o: nnc.init.xavier(N, M, **o), 1 / np.sqrt(M), 17.5),
        (lambda **o: nnc.init.kaiming(N, M, **o), 1 / np.sqrt(M / 2), 17.6),
    ],
)
def test_normal_xavier_kaiming(make, std, equation):
    W = make(rng=0)
    assert W.shape == (N, M) and W.dtype == np.float64
    # Standard errors of the mean and of the std of NM normal numbers; five of them are one in a million.
    assert abs(W.mean()) < 5 * std / np.sqrt(N * M)
    assert abs(W.std() - std) < 5 * std / np.sqrt(2 * N * M)
    assert abs((W**4).mean() / std**4 - 3) < 5 * np.sqrt(96 / (N * M))  # the fourth moment of a normal distribution


def test_exactly_the_equations():
    draw = np.random.default_rng(7).standard_normal((N, M))
    np.testing.assert_array_equal(nnc.init.normal(N, M, 0.25, rng=7), draw * 0.25)
    np.testing.assert_allclose(nnc.init.xavier(N, M, rng=7), draw / np.sqrt(M), rtol=1e-15)
    np.testing.assert_allclose(nnc.init.kaiming(N, M, rng=7), draw / np.sqrt(M / 2), rtol=1e-15)
    np.testing.assert_array_equal(nnc.init.uniform(N, M, 0.25, rng=7), np.random.default_rng(7).random((N, M)) * 0.25)


def test_uniform():
    W = nnc.init.uniform(N, M, rng=0)
    assert W.shape == (N, M) and W.dtype == np.float64
    assert 0 <= W.min() < 1e-5 and 0.00999 < W.max() < 0.01
    assert abs(W.mean() - 0.005) < 5 * 0.01 / np.sqrt(12 * N * M)


def test_zeros():
    b = nnc.init.zeros(3)
    assert b.shape == (3, 1) and b.dtype == np.float64 and not b.any()


@pytest.mark.parametrize("name", ["normal", "uniform", "xavier", "kaiming"])
def test_the_same_seed_gives_the_same_numbers(name):
    make = getattr(nnc.init, name)
    np.testing.assert_array_equal(make(3, 4, rng=np.random.default_rng(5)), make(3, 4, rng=5))
    rng = np.random.default_rng(5)
    assert not np.array_equal(make(3, 4, rng=rng), make(3, 4, rng=rng))  # the generator advances
    assert not np.array_equal(make(3, 4), make(3, 4))  # a new generator each time
    assert make(0, 4).shape == (0, 4) and make(4, 0).shape == (4, 0)


def test_scores_through_nine_layers():
    """Page 17: with normal the scores vanish, with Xavier and tanh or Kaiming and ReLU they do not."""
    X = np.random.default_rng(0).standard_normal((500, 100))

    def stds(init, f):
        rng, A, stds = np.random.default_rng(1), X, []
        for _ in range(9):
            Z = init(500, 500, rng=rng) @ A
            A = f(Z)
            stds.append(Z.std())
        return stds

    assert stds(nnc.init.normal, np.tanh)[-1] < 1e-4
    assert stds(nnc.init.xavier, np.tanh)[-1] > 0.2
    assert 0.5 < stds(nnc.init.kaiming, nnc.reference.relu)[-1] < 2.5


# ---- normalize, eqs. 17.3 and 17.4 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_normalize(dtype):
    data = np.random.default_rng(0).integers(0, 256, (50, 28, 28)).astype(dtype)
    before = data.copy()
    norm, mean, std = nnc.normalize(data)
    assert type(mean) is float and type(std) is float
    assert mean == pytest.approx(data.astype(float).mean(), rel=1e-14)
    assert std == pytest.approx(data.astype(float).std(), rel=1e-12)
    assert norm.dtype == (np.float32 if dtype == np.float32 else np.float64)
    eps = np.finfo(norm.dtype).eps
    np.testing.assert_allclose(norm, (data - mean) / std, rtol=4 * eps, atol=4 * eps)
    assert abs(norm.mean(dtype=float)) < 4 * eps and abs(norm.std(dtype=float) - 1) < 4 * eps
    np.testing.assert_array_equal(data, before)


def test_normalize_per_pixel():
    data = np.random.default_rng(0).integers(0, 256, (40, 6)).astype(np.uint8)
    data[:, 2] = 0
    norm, mean, std = nnc.normalize(data, axis=0)
    assert mean.shape == std.shape == (6,)
    assert mean[2] == 0 and std[2] == 1 and not norm[:, 2].any()
    np.testing.assert_allclose(norm.mean(0), 0, atol=1e-15)
    np.testing.assert_allclose(np.delete(norm.std(0), 2), 1)
    columns, mean1, std1 = nnc.normalize(data.T, axis=1)  # examples are columns: mean and std for each row
    assert mean1.shape == std1.shape == (6, 1)
    np.testing.assert_array_equal(columns, norm.T)
    np.testing.assert_array_equal(columns, (data.T - mean1) / std1)
    np.testing.assert_array_equal(norm, (data - mean) / std)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 0, 1e-30])
def test_normalize_of_constant_data(value):
    """The computed std of equal numbers may be a rounding error, by which nothing must be divided."""
    for axis in (None, 0):
        norm, mean, std = nnc.normalize(np.full((1000, 3), value), axis)
        assert np.all(np.asarray(std) == 1)
        assert not norm.any() and np.all(np.asarray(mean) == value)


def test_wrong_data_are_an_error():
    for bad in (np.zeros((0, 3)), []):
        with pytest.raises(ValueError, match="normalize: data is"):
            nnc.normalize(bad)
    for bad in (np.zeros(3, complex), np.array(["a"]), [None, 1]):
        with pytest.raises(TypeError, match="normalize: data is"):
            nnc.normalize(bad)


def test_normalize_float32_of_many_pixels():
    """A float32 sum of 10^7 pixels would be off in the third digit."""
    data = np.full(10_000_000, 200, np.float32)
    data[::2] = 100
    norm, mean, std = nnc.normalize(data)
    assert mean == 150 and std == 50
    assert norm.dtype == np.float32 and set(norm[:10]) == {-1, 1}
