"""First and second derivatives compared with autograd's and JAX's in float64; hypothesis draws shapes, axes, strides.

Each function is written once, with the module of NumPy's functions as its first argument.
"""

import warnings
from functools import cache

import numpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_function_shapes import ALONG, MATRICES, OF_SHAPES
from test_functions_peers import translated

import nnc

autograd = pytest.importorskip("autograd")
anp = pytest.importorskip("autograd.numpy")

AXES = {  # functions of an array and one of its axes
    "sum": lambda np, x, k: np.sum(x * x, axis=k),
    "sum, keepdims": lambda np, x, k: x * np.sum(x, axis=k, keepdims=True),
    "mean": lambda np, x, k: np.mean(x**3, axis=k),
    "prod": lambda np, x, k: np.prod(x, axis=k),
    "cumsum": lambda np, x, k: np.cumsum(x * x, axis=k),
    "softmax": lambda np, x, k: np.exp(x) / np.sum(np.exp(x), axis=k, keepdims=True),
    "swapaxes": lambda np, x, k: np.swapaxes(x * x, k, 0) * 2.0,
    "moveaxis": lambda np, x, k: np.moveaxis(np.sin(x), k, -1),
    "roll": lambda np, x, k: np.roll(x * x, 2, axis=k) * x,
    "concatenate": lambda np, x, k: np.concatenate([x, x * x], axis=k),
    "stack": lambda np, x, k: np.stack([x, x**3], axis=k),
    "expand_dims": lambda np, x, k: np.expand_dims(x, k) ** 2 * 1.5,
}
JAX_ONLY = {  # autograd lacks these, or some of their axes
    "flip": lambda np, x, k: x * np.flip(x, k),
    "repeat": lambda np, x, k: np.repeat(x * x, 2, axis=k),
}
NOT_EMPTY = {
    "max": lambda np, x, k: np.max(x * x * x, axis=k),
    "min": lambda np, x, k: np.min(x, axis=k, keepdims=True) * x,
    "var": lambda np, x, k: np.var(x, axis=k),
    "std": lambda np, x, k: np.std(x, axis=k),
    "norm": lambda np, x, k: np.linalg.norm(x, axis=k) if x.ndim > 1 else np.linalg.norm(x),
    "pick": lambda np, x, k: x[0] * x[-1],
    "logsumexp": lambda np, x, k: np.log(np.sum(np.exp(x), axis=k)),
}
PLAIN = {  # functions of an array
    "numbers": lambda np, x: np.tanh(x) * np.exp(-x) + np.sin(x) / (2 + np.cos(x)) + np.arctan(x) * np.sqrt(x * x + 1),
    "powers": lambda np, x: (x * x + 0.5) ** 0.3 + x**3 - (x * x + 1) ** -1.5 + 1.7**x,
    "logs": lambda np, x: np.log(1 + x * x) * np.log1p(x * x) + np.expm1(x) + np.logaddexp(x, -x),
    "hyperbolic": lambda np, x: np.sinh(x) / np.cosh(x) + np.tanh(2 * x) ** 2,
    "where": lambda np, x: np.where(x > 0, x * x, -x),
    "reshape": lambda np, x: np.reshape(x, (-1,)) * np.ravel(x * x),
    "transpose": lambda np, x: np.transpose(x) * np.transpose(x * x),
    "broadcast": lambda np, x: x * np.sum(x) + x[None] * 2.0,
    "outer": lambda np, x: np.einsum("i,j->ij", np.ravel(x), np.ravel(x)),
    "matmul": lambda np, x: np.matmul(np.reshape(x, (1, -1)), np.reshape(x * x, (-1, 1))),
    "mask": lambda np, x: np.abs(x) * x + np.maximum(x, 0.1) * np.minimum(x, 0.3),
}


@st.composite
def arrays(draw, least=0):
    """An array of any strides whose numbers differ and are not near a kink, and one of its axes."""
    x = draw(laid_out(draw(st.lists(st.integers(least, 4), min_size=1, max_size=3))))
    return x, draw(st.integers(-x.ndim, x.ndim - 1))


@st.composite
def laid_out(draw, shape):
    size = int(np.prod(shape))
    seed = draw(st.integers(0, 99))
    x = (np.random.default_rng(seed).permutation(np.linspace(-1.3, 1.4, max(size, 1)) + 0.017)[:size]).reshape(shape)
    layout = draw(st.sampled_from(["C", "F", "reversed", "every other", "transposed"]))
    if layout == "F":
        x = np.asfortranarray(x)
    elif layout == "reversed":
        x = x[(slice(None, None, -1),) * x.ndim]
    elif layout == "every other":
        x = np.repeat(x, 2, axis=-1)[..., ::2]
    elif layout == "transposed":
        x = x.T
    return x


def weighted(f, module):
    """The sum of f's result, each element with a different weight."""

    def J(x):
        y = f(module, x)
        return module.sum(y * np.cos(np.arange(np.size(y))).reshape(np.shape(y)))

    return J


def assert_close(actual, expected):
    size = np.max(np.abs(expected), initial=1)
    np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-11 * size)


def compare_with_autograd(f, x):
    J, J_autograd = weighted(f, np), weighted(f, anp)
    assert_close(nnc.grad(J)(x), autograd.grad(J_autograd)(x))
    v = np.sin(1 + np.arange(x.size)).reshape(x.shape)
    right = autograd.grad(lambda x: anp.sum(autograd.grad(J_autograd)(x) * v))(x)
    assert_close(nnc.hvp(J)(x, v), right)


@pytest.mark.parametrize("name", AXES)
@given(case=arrays())
@settings(max_examples=12, deadline=None, derandomize=True)
def test_functions_along_an_axis_match_autograd(name, case):
    compare_with_autograd(lambda np, x: AXES[name](np, x, case[1]), case[0])


@pytest.mark.parametrize("name", NOT_EMPTY)
@given(case=arrays(least=2))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_functions_along_a_nonempty_axis_match_autograd(name, case):
    compare_with_autograd(lambda np, x: NOT_EMPTY[name](np, x, case[1]), case[0])


@pytest.mark.parametrize("name", PLAIN)
@given(case=arrays())
@settings(max_examples=12, deadline=None, derandomize=True)
def test_functions_of_an_array_match_autograd(name, case):
    compare_with_autograd(PLAIN[name], case[0])


@given(x=arrays(least=1), y=arrays(least=1), ties=st.booleans())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_broadcasting_matches_autograd(x, y, ties):
    """Of two operands whose shapes may differ."""
    x, y = x[0], y[0]
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return
    if ties:
        x, y = np.round(x), np.round(y)

    def f(np, x, y):
        smooth = x * y + x / (2 + y * y) + np.exp(x - y) * (x * x + 1) ** y
        return np.sum(smooth * smooth) + np.sum(np.maximum(x, y) - 2 * np.minimum(x, y))

    for mine, right in zip(nnc.grad(lambda x, y: f(np, x, y), (0, 1))(x, y),
                            autograd.grad(lambda x, y: f(anp, x, y), (0, 1))(x, y), strict=True):  # fmt: skip
        assert_close(mine, right)
    for i in (0, 1):
        mine = nnc.hessian(lambda x, y: f(np, x, y), i)(x, y)
        assert_close(mine, autograd.hessian(lambda x, y: f(anp, x, y), i)(x, y))


def test_ties_are_shared_as_in_autograd():
    x = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    for f in (lambda np, x: np.sum(np.max(x, axis=1)), lambda np, x: np.max(x), lambda np, x: np.sum(np.min(x, axis=0)),
              lambda np, x: np.sum(np.maximum(x, 2.0))):  # fmt: skip
        assert_close(nnc.grad(lambda x, f=f: f(np, x))(x), autograd.grad(lambda x, f=f: f(anp, x))(x))


# ---- compared with JAX -----------------------------------------------------------------------------------------------

ELEMENTWISE = {  # function -> how x is mapped into its domain
    **dict.fromkeys(("absolute fabs negative positive exp exp2 expm1 square sin cos tan sinh cosh tanh arctan arcsinh "
                     "cbrt sign deg2rad rad2deg degrees radians sinc reciprocal real nan_to_num").split(), lambda x: x),
    **dict.fromkeys("floor ceil rint trunc round".split(), lambda x: 3 * x),
    **dict.fromkeys("log log2 log10 log1p sqrt".split(), lambda x: x * x + 0.3),
    **dict.fromkeys("arcsin arccos arctanh".split(), lambda x: 0.6 * x),
    "arccosh": lambda x: x * x + 1.2,
}  # fmt: skip
PAIRS = ("add subtract multiply divide maximum minimum fmax fmin logaddexp logaddexp2 hypot arctan2 copysign remainder "
         "fmod floor_divide").split()  # fmt: skip
ACTIVATIONS = {  # functions of nnc and of jax.nn
    "relu": lambda nn, x, k: nn.relu(x) * x,
    "leaky_relu": lambda nn, x, k: nn.leaky_relu(x, 0.1) * x,
    "sigmoid": lambda nn, x, k: nn.sigmoid(x),
    "softmax": lambda nn, x, k: nn.softmax(x, k),
    "log_softmax": lambda nn, x, k: nn.log_softmax(x, k),
}
def scores_and_targets(np, x):
    """Scores of three classes for each example, labels, and targets before they are normalised."""
    Z = np.reshape(np.concatenate([np.ravel(x), np.ravel(x) ** 2, np.sin(np.ravel(x))]), (3, -1))
    return Z, np.arange(Z.shape[1]) % 3, np.abs(np.cos(7.0 * np.arange(Z.shape[1] * 3))).reshape(Z.shape)


def losses(np, x, name):
    """The loss of each example; for JAX it is written out from the notes and the literature."""
    Z, y, T = scores_and_targets(np, x)
    T = T / np.sum(T, axis=0)
    if np is numpy:
        P = nnc.softmax(Z)
        return {
            "softmax_cross_entropy": lambda: nnc.softmax_cross_entropy(Z, y),
            "softmax_cross_entropy, targets": lambda: nnc.softmax_cross_entropy(Z, T),
            "cross_entropy": lambda: nnc.cross_entropy(P, y), "cross_entropy, targets": lambda: nnc.cross_entropy(P, T),
            "binary_cross_entropy": lambda: nnc.binary_cross_entropy(Z, T),
            "squared_error": lambda: nnc.squared_error(Z, T), "poisson": lambda: nnc.poisson(Z, T),
        }[name]()  # fmt: skip
    log_P = jax().nn.log_softmax(Z, axis=0)
    return {
        "softmax_cross_entropy": lambda: -log_P[y, np.arange(y.size)],
        "softmax_cross_entropy, targets": lambda: -np.sum(T * log_P, axis=0),
        "cross_entropy": lambda: -np.log(jax().nn.softmax(Z, axis=0))[y, np.arange(y.size)],
        "cross_entropy, targets": lambda: -np.sum(T * np.log(jax().nn.softmax(Z, axis=0)), axis=0),
        "binary_cross_entropy": lambda: np.sum(np.logaddexp(0, Z) - T * Z, axis=0),
        "squared_error": lambda: np.sum((Z - T) ** 2, axis=0) / 2,
        "poisson": lambda: np.sum(np.exp(Z) - T * Z, axis=0),
    }[name]()  # fmt: skip


LOSSES = ("softmax_cross_entropy", "softmax_cross_entropy, targets", "cross_entropy", "cross_entropy, targets",
          "binary_cross_entropy", "squared_error", "poisson")  # fmt: skip
NOT_IN_JAX = {  # it takes no lists of numbers, has no logaddexp.reduce, and a meshgrid of 1-D arrays only
    "along, quantile", "along, log-sum-exp", "shapes, meshgrid",
}  # fmt: skip
FURTHER = {  # rows that the other tables, here and in test_function_shapes, lack
    "angle": lambda np, x, k: np.angle(x) * x,
    "astype": lambda np, x, k: (x * x).astype(np.float64) * x,
    "broadcast_to": lambda np, x, k: np.broadcast_to(x, (2, *x.shape)) ** 2,
    "convolve": lambda np, x, k: np.convolve(np.ravel(x), np.ravel(x)[:2], "same"),
    "diagonal": lambda np, x, k: np.diagonal(x[None] * np.sin(x)[None], 1, 0, k % x.ndim + 1),
    "ldexp": lambda np, x, k: np.ldexp(x * x, np.arange(x.shape[-1]) - 1) * x,
    "imag": lambda np, x, k: np.imag(x) + x * x,
    "meshgrid": lambda np, x, k: np.meshgrid(np.ravel(x), np.sin(np.ravel(x)))[1] ** 2,
    "quantile": lambda np, x, k: np.quantile(x, np.array([0.2, 0.7]), axis=k) ** 3,
    "rot90": lambda np, x, k: np.rot90(x[None], 3, (0, k % x.ndim + 1)) ** 3,
    "squeeze": lambda np, x, k: np.squeeze(np.expand_dims(x, k), k) ** 3,
    "take": lambda np, x, k: np.take(x, np.array([0, 1, 0]), axis=k) ** 3,
    "take_along_axis": lambda np, x, k: np.take_along_axis(x, np.argsort(x, axis=k), k) ** 3,
    "tile": lambda np, x, k: np.tile(x, (2, 1)) ** 3,
}


def all_rows():
    """name -> (a function of NumPy or JAX, an array and one of its axes; whether the array must be matrices)."""
    tables = {name: (lambda np, x, k, f=f: f(np, x, k), False) for name, f in (AXES | JAX_ONLY | NOT_EMPTY).items()}
    tables |= {name: (lambda np, x, k, f=f: f(np, x), False) for name, f in PLAIN.items()}
    tables |= {name: (f, False) for name, f in FURTHER.items()}
    for name in LOSSES:
        tables["nnc." + name] = lambda np, x, k, name=name: losses(np, x, name), False
    for name, of in ELEMENTWISE.items():
        tables[name] = lambda np, x, k, name=name, of=of: getattr(np, name)(of(x)) * x, False
    for name in PAIRS:  # of different shapes
        tables[name] = lambda np, x, k, name=name: getattr(np, name)(
            x, 0.31 + np.sum(x * x, axis=k, keepdims=True)) * x, False  # fmt: skip
    for name, f in ACTIVATIONS.items():
        tables["nnc." + name] = lambda np, x, k, f=f: f(nnc if np is numpy else jax().nn, x, k), False
    for name, f in ALONG.items():
        tables["along, " + name] = lambda np, x, k, f=f: translated(f, np)(x, axis=k), False
    for name, f in OF_SHAPES.items():
        tables["shapes, " + name] = lambda np, x, k, f=f: translated(f, np)(x), False
    tables |= {name: (lambda np, x, k, f=f: translated(f, np)(x), True) for name, f in MATRICES.items()}
    return {name: row for name, row in tables.items() if name not in NOT_IN_JAX}


ROWS = all_rows()


def jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_disable_most_optimizations", True)  # optimizing takes longer than running
    return jax


@cache
def derivatives_of_jax(name, shape, k):
    """The gradient and its directional derivative, compiled once per shape."""
    J = weighted(lambda np, x: ROWS[name][0](np, x, k), jax().numpy)
    return jax().jit(lambda x, v: jax().jvp(jax().grad(J), (x,), (v,)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
@given(data=st.data())
@settings(max_examples=2, deadline=None, derandomize=True)
def test_rows_match_jax(name, data):
    """Few shapes, since JAX compiles for each; any strides."""
    f, of_matrices = ROWS[name]
    shapes = [(3, 3), (2, 2, 2)] if of_matrices else [(4,), (2, 3), (3, 2, 2)]
    x = data.draw(st.sampled_from(shapes).flatmap(laid_out))
    x = x + 2 * np.eye(x.shape[-1]) if of_matrices else x
    k = data.draw(st.integers(-x.ndim, x.ndim - 1)) if not of_matrices else 0
    J = weighted(lambda np, x: f(np, x, k), np)
    v = np.sin(1 + np.arange(x.size)).reshape(x.shape)
    right = derivatives_of_jax(name, x.shape, k)(np.ascontiguousarray(x), v)
    assert_close(nnc.grad(J)(x), right[0])
    assert_close(nnc.hvp(J)(x, v), right[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, (_, of_matrices) in ROWS.items() if not of_matrices])
@given(data=st.data())
@settings(max_examples=2, deadline=None, derandomize=True)
def test_empty_arrays_match_jax(name, data):
    """With an axis of length 0. Where JAX or NumPy raises an error, Nodes may too; elsewhere the results are equal."""
    x = data.draw(st.sampled_from([(0,), (2, 0), (0, 3), (2, 0, 3)]).flatmap(laid_out))
    k = data.draw(st.integers(-x.ndim, x.ndim - 1))
    f, v = ROWS[name][0], np.zeros(x.shape)
    J = weighted(lambda np, x: f(np, x, k), np)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value, J_jax = f(np, x, k), weighted(lambda np, x: f(np, x, k), jax().numpy)
            right = [np.asarray(y) for y in jax().jvp(jax().grad(J_jax), (x,), (v,))]
    except (ValueError, TypeError, IndexError, ZeroDivisionError):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(f(np, nnc.Node(x), k).value, value)
        for mine, other in zip((nnc.grad(J)(x), nnc.hvp(J)(x, v)), right, strict=True):
            assert mine.shape == other.shape == x.shape and mine.dtype == np.float64
