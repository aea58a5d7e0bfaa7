"""Functions along an axis, of any shape, axis, strides and dtype: NumPy's values, and finite differences of them."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from operands import regular

from nnc import Node

ALONG = {
    "sort": np.sort,
    "cumprod": np.cumprod,
    "nancumsum": np.nancumsum,
    "ptp": np.ptp,
    "median": np.median,
    "quantile": lambda x, axis: np.quantile(x, [0.2, 0.7], axis=axis),
    "nansum": np.nansum,
    "nanmean": np.nanmean,
    "nanstd": np.nanstd,
    "nanmax": np.nanmax,
    "nanmin": np.nanmin,
    "average": np.average,
    "weighted": lambda x, axis: np.average(x, axis, x * x + 1),
    "norm": lambda x, axis: np.linalg.norm(x, axis=axis),
    "norm 1": lambda x, axis: np.linalg.norm(x, 1, axis),
    "norm 3": lambda x, axis: np.linalg.vector_norm(x, axis=axis, ord=3),
    "std": np.std,
    "log-sum-exp": np.logaddexp.reduce,
    "diff": lambda x, axis: np.diff(x, axis=-1 if axis is None else axis),
    "gradient": lambda x, axis: np.gradient(x, axis=-1 if axis is None else axis),
    "trapezoid": lambda x, axis: np.trapezoid(x, axis=-1 if axis is None else axis),
    "delete": lambda x, axis: np.delete(x, 0, axis),
    "array_split": lambda x, axis: np.array_split(x, 2, 0 if axis is None else axis)[0],
    "append": lambda x, axis: np.append(x, x * 2, axis),
}
OF_SHAPES = {
    "pad": lambda x: np.pad(x, 1),
    "wrap": lambda x: np.pad(x, 2, "wrap"),
    "block": lambda x: np.block([[x, x], [x, x]]),
    "kron": lambda x: np.kron(x, x),
    "tensordot": lambda x: np.tensordot(x, x, x.ndim),
    "inner": lambda x: np.inner(x, x),
    "einsum": lambda x: np.einsum("...,...->...", x, x),
    "einsum, a sum": lambda x: np.einsum("...i,...i", x, x),
    "atleast_3d": np.atleast_3d,
    "meshgrid": lambda x: np.meshgrid(x, x)[0],
    "resize": lambda x: np.resize(x, (3, 2)),
    "diagflat": np.diagflat,
    "nan_to_num": np.nan_to_num,
    "sinc": np.sinc,
    "mod": lambda x: x % 0.31,
}


def numbers(data, shape):
    """Numbers that are not close to each other or to a jump of a function, in any memory layout."""
    size = int(np.prod(shape))
    values = (np.arange(size) - size / 3 + 0.21) * 0.173
    x = np.random.default_rng(data.draw(st.integers(0, 99))).permutation(values).reshape(shape)
    axes = tuple(data.draw(st.permutations(range(len(shape)))))
    x = np.ascontiguousarray(x.transpose(np.argsort(axes))).transpose(axes)
    order = tuple(slice(None, None, data.draw(st.sampled_from([1, -1]))) for _ in shape)
    return x[order]


def check(f, x):
    """f of a Node has the value and the errors of NumPy, and the gradient of finite differences, in float32, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = f(x)
        except Exception:
            with pytest.raises(Exception):  # noqa: B017 - any error, as NumPy raises
                f(Node(x))
            return
        node = Node(x)
        try:
            y = f(node)
        except (ValueError, IndexError):
            assert not x.size  # for some empty arrays NumPy returns a value, and Nodes raise an error
            return
        np.testing.assert_allclose(y.value, expected, rtol=1e-13, atol=1e-14)
        assert y.shape == np.shape(expected) and y.dtype == np.float64
        seed = 0.5 + np.random.default_rng(0).random(y.shape)
        y.backward(seed)
        assert node.grad.shape == x.shape
        if x.size and np.isfinite(expected).all():
            direction, h = np.cos(np.arange(x.size)).reshape(x.shape), 1e-6
            difference = np.sum(seed * (f(x + h * direction) - f(x - h * direction))) / (2 * h)
            # h² f''' / 6, and the rounding of sums of a few hundred numbers of order 1, divided by h
            np.testing.assert_allclose(np.sum(node.grad * direction), difference, rtol=1e-6, atol=1e-7)
        single = Node(x.astype(np.float32))
        z = f(single)
        z.backward(seed)
        assert z.dtype == single.grad.dtype == np.float32
        if np.isfinite(expected).all():
            scale = 1e-5 * max(1.0, np.abs(node.grad).max(initial=0))  # sums of few numbers, eps is 6e-8
            np.testing.assert_allclose(single.grad, node.grad, rtol=1e-4, atol=scale)


SHAPES = st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple)


@pytest.mark.parametrize("name", ALONG)
@given(data=st.data(), shape=SHAPES)
def test_along_an_axis(name, data, shape):
    axis = data.draw(st.sampled_from([None, *range(-len(shape), len(shape))]))
    if name == "average" and 0 in shape:
        return  # NumPy raises ZeroDivisionError
    check(lambda x: ALONG[name](x, axis=axis), numbers(data, shape))


@pytest.mark.parametrize("name", OF_SHAPES)
@given(data=st.data(), shape=SHAPES)
def test_of_any_shape(name, data, shape):
    check(OF_SHAPES[name], numbers(data, shape))


MATRICES = {
    "det": np.linalg.det,
    "inv": np.linalg.inv,
    "pinv": np.linalg.pinv,
    "svdvals": np.linalg.svdvals,
    "solve": lambda A: np.linalg.solve(A, A[..., :1] + 1),
    "qr": lambda A: np.linalg.qr(A).R,
    "nuclear": lambda A: np.linalg.norm(A, "nuc", (-2, -1)),
    "matrix_power": lambda A: np.linalg.matrix_power(A, 3),
    "cholesky": lambda A: np.linalg.cholesky(A @ np.swapaxes(A, -1, -2)),
    "eigvalsh": lambda A: np.linalg.eigvalsh(A + np.swapaxes(A, -1, -2)),
    "slogdet": lambda A: np.linalg.slogdet(A)[1],
}


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("front", [(), (0,), (2,), (1, 3)])
@pytest.mark.parametrize("layout", [lambda A: A, lambda A: np.swapaxes(A, -1, -2), lambda A: A[..., ::-1, ::-1]])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_stacks_of_matrices(name, front, layout, n):
    check(MATRICES[name], layout(regular(*front, n, n) if n else np.zeros((*front, 0, 0))))


@pytest.mark.parametrize("f", [np.var, np.std, np.nanvar, np.nanstd])
def test_variances_with_ddof_too_large_are_not_finite(f):
    for x, ddof in (([1.0, 3.0], 2), ([1.0, 3.0], 3), ([[1.0, 2.0]], 1)):
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected, y = f(np.array(x), axis=0, ddof=ddof), f(Node(x), axis=0, ddof=ddof)
        assert not np.isfinite(expected).any() and not np.isfinite(y.value).any()
