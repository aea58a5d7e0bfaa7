"""NaN, infinities, signed zeros, subnormals and huge numbers, in every SIMD lane; and the warnings they raise."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

import nnc
from nnc import _engine
from nnc import reference as ref

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SIZES = [1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 64, 67]


def specials(dtype):
    f = np.finfo(dtype)
    return np.array(
        [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, f.tiny, -f.tiny, f.smallest_subnormal, -f.smallest_subnormal,
         3 * f.smallest_subnormal, -f.tiny / 2, f.max, -f.max, f.eps, -f.eps, 1.0, -1.0, 1e4, -1e4,
         np.log(f.max), -np.log(f.max), np.log(f.tiny), -np.log(f.tiny), 104.0, -104.0, 746.0, -746.0],
        dtype,
    )  # fmt: skip


def log(Z):
    return np.log(Z)


# name, function, twin, largest error in units in the last place
ELEMENTWISE = [
    ("relu", nnc.relu, ref.relu, 0),
    ("leaky_relu", nnc.leaky_relu, ref.leaky_relu, 1),
    ("leaky_relu 0", lambda Z: nnc.leaky_relu(Z, 0.0), lambda Z: ref.leaky_relu(Z, 0.0), 0),
    ("sigmoid", nnc.sigmoid, ref.sigmoid, 2),
    ("tanh", nnc.tanh, ref.tanh, 2),
    ("exp", _engine.exp, np.exp, 2),
    ("log", _engine.log, np.log, 2),
    ("relu_backward", lambda Z: nnc.relu_backward(Z[..., ::-1], Z), lambda Z: ref.relu_backward(Z[..., ::-1], Z), 0),
    (
        "leaky_relu_backward",
        lambda Z: nnc.leaky_relu_backward(Z[..., ::-1], Z),
        lambda Z: ref.leaky_relu_backward(Z[..., ::-1], Z),
        1,
    ),
]


def assert_same(got, exact, ulps, dtype, name):
    """NaN for NaN, the same infinities, the same signs, of zeros too, and within the units in the last place."""
    with np.errstate(all="ignore"):
        expected = exact.astype(dtype)
        finite = np.isfinite(expected)
        off = abs(got.astype(np.longdouble) - exact)[finite] / abs(np.spacing(expected[finite]))
        wrong = ~finite & (got != expected) & ~(np.isnan(got) & np.isnan(expected))
        wrong[finite] = ~(off <= max(ulps, 0.5))
        if name != "relu":  # max(0, -0) may be either
            wrong |= ~np.isnan(expected) & (np.signbit(got) != np.signbit(expected))
    assert not wrong.any(), f"{name}: {got[wrong][:5]} but expected {expected[wrong][:5]}"


@DTYPES
@pytest.mark.parametrize(("name", "function", "twin", "ulps"), ELEMENTWISE, ids=[row[0] for row in ELEMENTWISE])
def test_special_values_in_every_lane(name, function, twin, ulps, dtype):
    rng = np.random.default_rng(0)
    values = specials(dtype)
    with np.errstate(all="ignore"):
        for size in SIZES:
            for lane in range(size):
                ordinary = rng.standard_normal(size).astype(dtype)
                if name == "log":
                    ordinary = abs(ordinary)
                batch = np.tile(ordinary, (len(values), 1))
                batch[:, lane] = values
                got = np.stack([function(Z) for Z in batch])
                assert_same(got, twin(batch.astype(np.longdouble)), ulps, dtype, name)
                if lane > 2 * 16:  # the widest vector has 16 lanes; two of them and a tail are all cases
                    break


@DTYPES
def test_relu_backward_follows_its_definition(dtype):
    """Where A > 0 it passes dA; elsewhere 0, whatever dA is; a NaN in A gives NaN."""
    A = specials(dtype)
    for upstream in specials(dtype):
        dA = np.full_like(A, upstream)
        dZ = nnc.relu_backward(dA, A)
        np.testing.assert_array_equal(dZ[A > 0], dA[A > 0])
        np.testing.assert_array_equal(dZ[A <= 0], 0)
        assert np.isnan(dZ[np.isnan(A)]).all()


@DTYPES
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_of_special_columns(axis, dtype):
    big = np.finfo(dtype).max
    rows = [
        ([big, 0, -big], [1, 0, 0]),
        ([big, big, 0], [0.5, 0.5, 0]),
        ([-big, -big, -big], [1 / 3] * 3),
        ([big, -big, -big], [1, 0, 0]),
        ([0, -np.inf, 0], [0.5, 0, 0.5]),
        ([-np.inf, 0, -np.inf], [0, 1, 0]),
        ([np.nan, 0, 0], [np.nan] * 3),
        ([0, 0, np.nan], [np.nan] * 3),
        ([1, np.nan, np.inf], [np.nan] * 3),
        ([-0.0, 0.0, -0.0], [1 / 3] * 3),
    ]
    Z = np.array([row for row, _ in rows] * 5, dtype).T  # (3, 50): every lane gets every column
    expected = np.array([p for _, p in rows] * 5).T
    P = nnc.softmax(Z, 0) if axis == 0 else nnc.softmax(Z.T.copy(), 1).T
    np.testing.assert_allclose(P, expected, rtol=4 * np.finfo(dtype).eps)
    with np.errstate(divide="ignore", over="ignore"):
        logs = nnc.log_softmax(Z, 0) if axis == 0 else nnc.log_softmax(Z.T.copy(), 1).T
        finite = (abs(Z).max(0) < 1) | np.isnan(Z).any(0)
        np.testing.assert_allclose(logs[:, finite], np.log(expected[:, finite]), rtol=8 * np.finfo(dtype).eps)


@DTYPES
def test_softmax_of_finite_scores_is_finite(dtype):
    rng = np.random.default_rng(1)
    big = np.finfo(dtype).max
    for shape in ((3, 50), (50, 3), (17, 17)):
        Z = (rng.uniform(-1, 1, shape) * big).astype(dtype)
        P = nnc.softmax(Z)
        assert np.isfinite(P).all()
        np.testing.assert_allclose(P.sum(0), 1, rtol=4 * np.finfo(dtype).eps)
        L = nnc.softmax_cross_entropy(Z / 4, Z.argmax(0))
        assert np.all(L >= 0) and np.isfinite(L).all()


@DTYPES
def test_losses_propagate_special_values(dtype):
    for size in (1, 5, 16, 33):
        for i in range(size):
            Z = np.random.default_rng(2).standard_normal((4, size)).astype(dtype)
            y = np.arange(size) % 4
            clean = nnc.softmax_cross_entropy(Z, y)
            for value, at, expected in ((np.nan, 0, np.nan), (-np.inf, (i + 1) % 4, None), (-np.inf, i % 4, np.inf)):
                Z2 = Z.copy()
                Z2[at, i] = value
                with np.errstate(all="ignore"):
                    L = nnc.softmax_cross_entropy(Z2, y)
                assert np.array_equal(np.delete(L, i), np.delete(clean, i))
                assert np.isfinite(L[i]) if expected is None else np.array_equal(L[i], expected, equal_nan=True)


@DTYPES
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_products_propagate_special_values(value, dtype):
    """One bad element spoils its row or column of the product, and nothing else."""
    rng = np.random.default_rng(3)
    for n, k, p in ((1, 1, 1), (5, 7, 3), (6, 16, 17), (13, 33, 65)):
        A, B = abs(rng.standard_normal((n, k))).astype(dtype), abs(rng.standard_normal((k, p))).astype(dtype)
        clean = nnc.matmul(A, B)
        for i in range(n):
            spoilt = A.copy()
            spoilt[i, rng.integers(k)] = value
            C = nnc.matmul(spoilt, B)
            assert np.array_equal(C[i], np.full(p, value), equal_nan=True)
            assert np.array_equal(np.delete(C, i, 0), np.delete(clean, i, 0))
        for j in range(p):
            spoilt = B.copy()
            spoilt[rng.integers(k), j] = value
            C = nnc.matmul(A, spoilt)
            assert np.array_equal(C[:, j], np.full(n, value), equal_nan=True)
            assert np.array_equal(np.delete(C, j, 1), np.delete(clean, j, 1))
        b = np.zeros((n, 1), dtype)
        b[-1] = value
        Z = nnc.linear(A, B, b)
        assert np.array_equal(Z[-1], np.full(p, value), equal_nan=True)
        assert np.isfinite(Z[:-1]).all()


# ---- warnings --------------------------------------------------------------------------------------------------------

SHAPES = [(1, 1), (3, 5), (5, 3), (1, 17), (17, 1), (7, 31), (33, 65), (10, 64)]


@DTYPES
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("quiet_nan", [False, True])
def test_no_warning_from_padding(shape, quiet_nan, dtype):
    """The unused lanes of a vector must not warn, nor a quiet NaN that passes through."""
    rng = np.random.default_rng(4)
    n, r = shape
    Z = rng.standard_normal(shape).astype(dtype)
    P, y, b, lr = ref.softmax(Z), rng.integers(0, n, r), Z[:, :1], 0.1
    if quiet_nan:
        Z.flat[rng.integers(Z.size)] = np.nan
    with np.errstate(all="raise"):
        for op in (nnc.relu, nnc.leaky_relu, nnc.sigmoid, nnc.tanh, _engine.exp):
            op(Z)
            op(np.repeat(Z, 2, axis=1)[:, ::2])
        _engine.log(abs(Z))
        nnc.matmul(Z, Z.T), nnc.matmul(Z.T, Z), nnc.linear(Z, Z.T, b), nnc.add_bias(Z, b)
        nnc.matmul_backward(Z @ Z.T if not quiet_nan else np.zeros((n, n), dtype), Z, Z.T)
        nnc.linear_backward(np.zeros((n, n), dtype), Z, Z.T), nnc.add_bias_backward(Z)
        for op in (nnc.relu_backward, nnc.leaky_relu_backward, nnc.sigmoid_backward, nnc.tanh_backward):
            op(Z, Z)
        for axis in (0, 1):
            nnc.softmax(Z, axis), nnc.log_softmax(Z, axis), nnc.softmax_backward(Z, P, axis)
        nnc.softmax_cross_entropy(Z, y), nnc.cross_entropy(P, y)
        nnc.softmax_cross_entropy(Z, P.astype(dtype)), nnc.cross_entropy(P, P)
        nnc.cross_entropy_backward(1 / r, P, y), nnc.softmax_cross_entropy_backward(1 / r, P, y)
        nnc.sgd(Z.copy(), Z, lr)


@DTYPES
@pytest.mark.parametrize("size", [1, 7, 16, 33, 1000, 300_000])
@pytest.mark.parametrize("at", [0, -1])
def test_overflow_warns(size, at, dtype):
    """Also in a tail, and on whichever thread it happened: 300,000 elements may be shared among several."""
    big = np.finfo(dtype).max
    x = np.ones(size, dtype)
    x[at] = big
    column, row = x.reshape(-1, 1), x.reshape(1, -1)
    ops = [
        lambda: _engine.exp(x),
        lambda: nnc.leaky_relu(-x, 4.0),
        lambda: nnc.leaky_relu_backward(x, -np.ones_like(x), 4.0),
        lambda: nnc.sgd(x.copy(), -x, 1.0),
        lambda: nnc.matmul(row, column) if size > 1 else nnc.matmul(4 * np.ones((1, 1), dtype), row),
        lambda: nnc.matmul(column, np.full((1, 2), 4, dtype)),
        lambda: nnc.add_bias(row, np.full((1, 1), big)),
        lambda: nnc.linear(np.full((1, 1), 4, dtype), row, np.zeros((1, 1), dtype)),
    ]
    if size == 1:
        ops[4] = ops[5]
    for i, op in enumerate(ops):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            op()
        assert any("overflow" in str(w.message) for w in caught), f"{i}: no warning"
        with np.errstate(over="raise"), pytest.raises(FloatingPointError):
            op()
        with np.errstate(over="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error")
            op()


def test_subnormals_are_not_flushed():
    """Importing and running the engine does not change the processor's mode; the engine keeps subnormals, too."""
    program = """if 1:
        import numpy as np, nnc
        for n in (3, 300):
            nnc.matmul(np.ones((n, n)), np.ones((n, n))), nnc.sigmoid(np.ones((n, n * n)))
        for dtype in (np.float32, np.float64):
            least = np.finfo(dtype).smallest_subnormal
            assert least > 0
            x = np.full(100, least, dtype)
            assert (x + x == 2 * x).all() and (x * 3 > x).all() and (x > 0).all()
            for op in (nnc.relu, nnc.leaky_relu, nnc.tanh):
                assert (op(x) == x).all(), op
            assert (nnc.matmul(x.reshape(-1, 1), np.ones((1, 40), dtype)) == least).all()
            assert (nnc.add_bias(x.reshape(-1, 1), np.zeros((100, 1), dtype)) == least).all()
        print("kept")
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "kept", done.stderr


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_softmax_of_scores_as_far_apart_as_possible(dtype):
    far = np.finfo(dtype).max
    with np.errstate(all="raise", under="ignore"):
        for Z in ([[far], [-far]], [[far], [0]], [[0], [-far]], [[-far], [-far / 2]]):
            Z = np.array(Z, dtype)
            np.testing.assert_array_equal(np.sort(nnc.softmax(Z).ravel()), [0, 1])
            np.testing.assert_array_equal(np.sort(nnc.softmax(Z.T, axis=1).ravel()), [0, 1])
            np.testing.assert_array_equal(np.sort(nnc.softmax(np.repeat(Z, 19, 1))[:, 7]), [0, 1])
        np.testing.assert_array_equal(nnc.softmax(np.full((2, 3), -far, dtype)), 0.5)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
@pytest.mark.parametrize("size", [3, 67])
def test_softmax_of_an_infinity_is_nan_and_warns(size, infinity, dtype):
    for n, r in (size, 1), (size, 5), (3, size):
        Z = np.full((n, r), infinity, dtype) if infinity < 0 else np.zeros((n, r), dtype)
        Z[0, -1] = infinity
        with pytest.warns(RuntimeWarning, match="invalid"):
            assert np.isnan(nnc.softmax(Z)[:, -1]).all()
        with pytest.warns(RuntimeWarning, match="invalid"):
            assert np.isnan(nnc.softmax(Z.T.copy(), axis=1)[-1]).all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_lanes_past_the_end_of_a_row_raise_no_flag(dtype):
    with np.errstate(all="raise"):
        for p in range(1, 70):
            C = nnc.matmul(np.full((7, 3), np.inf, dtype), np.ones((3, p), dtype))
            np.testing.assert_array_equal(C, np.inf)
        with pytest.raises(FloatingPointError, match="invalid"):
            nnc.matmul(np.full((7, 3), np.inf, dtype), np.zeros((3, p), dtype))
