"""One row for each primitive: operands to test it with, and a bound for its rounding error.

The exact result is that of the twin in `nnc.reference`, run on the same numbers in long double. The bound follows from
the dtype's eps and the sizes: |computed - exact| <= eps * row.bound(operands), where one rounding costs eps / 2 of the
number rounded, a sum of k terms at most k of them, and exp, log, tanh and sigmoid 2 units in the last place.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from engine_rows import ELEMENTWISE, LOSS_FUNCTIONS

import nnc
from nnc import reference as ref

EXACT = np.longdouble


@dataclass(frozen=True)
class Row:
    name: str
    operands: Callable  # (rng, n, m, r) -> list of float64 arrays, labels and numbers
    bound: Callable  # (*operands in long double) -> one array, or one for each result

    def __repr__(self):  # the name that pytest shows
        return self.name


def zero(*operands):
    return np.zeros(())


def normal(*shape):
    """Operands of the given shapes, each a string of the letters n, m, r and 1."""

    def make(rng, n, m, r):
        size = {"n": n, "m": m, "r": r, "1": 1}
        return [3 * rng.standard_normal([size[letter] for letter in letters]) for letters in shape]

    return make


def activated(function):
    """(dA, A) with A in the range of the activation."""

    def make(rng, n, m, r):
        dA, Z = normal("nr", "nr")(rng, n, m, r)
        return [dA, function(Z)]

    return make


def probabilities(rng, n, r):
    return ref.softmax(3 * rng.standard_normal((n, r))) if n else np.zeros((n, r))


def labels(rng, n, r):
    return rng.integers(0, n, r) if n else np.zeros(0, int)


def columns(scores, upstream=False, soft=False):
    """([dL,] P or Z, y) with labels, or with soft targets."""

    def make(rng, n, m, r):
        r = r if n else 0  # without classes there can be no examples
        first = 3 * rng.standard_normal((n, r)) if scores else probabilities(rng, n, r)
        y = probabilities(rng, n, r) if soft else labels(rng, n, r)
        return [rng.standard_normal(r)] * upstream + [first, y]

    return make


def product(A, B):
    return (A.shape[-1] + 1) * (abs(A) @ abs(B))


def linear_backward(dZ, W, X):
    return product(dZ, X.T), product(W.T, dZ), dZ.shape[1] * abs(dZ).sum(axis=1, keepdims=True)


def score_parts(Z, axis=0):
    """z - max z and ln Σ e^{z - max z}, both of which are rounded when a softmax is computed."""
    D = Z - Z.max(axis=axis, keepdims=True, initial=-np.inf) if Z.size else Z
    return D, np.log(np.exp(D).sum(axis=axis, keepdims=True)) if Z.size else Z


def softmax(Z, axis=0):
    D, _ = score_parts(Z, axis)
    return (abs(D) + Z.shape[axis] + 6) * ref.softmax(Z, axis) if Z.size else Z


def log_softmax(Z, axis=0):
    D, log_sum = score_parts(Z, axis)
    return abs(D) + 2 * Z.shape[axis] + 8 + log_sum


def softmax_backward(dP, P):
    return (P.shape[0] + 3) * abs(P) * (abs(dP) + abs(dP * P).sum(axis=0))


def cross_entropy(P, y):
    return (P.shape[0] + 4) * abs(ref.cross_entropy(P, y))


def softmax_cross_entropy(Z, y):
    Y = abs(ref._targets(y, Z))
    return (Y * (log_softmax(Z) + (Z.shape[0] + 4) * abs(ref.log_softmax(Z)))).sum(axis=0) if Z.size else zero()


def numeric(first, targets, upstream=False):
    """([dL,] A or Z, Y) for the losses whose targets are numbers."""

    def make(rng, n, m, r):
        r = r if n else 0
        made = [first(rng.standard_normal((n, r))), targets(rng.random((n, r)))]
        return [rng.standard_normal(r)] * upstream + made

    return make


def squared_error(A, Y):
    return (A.shape[0] + 4) * ref.squared_error(A, Y)


def binary_cross_entropy(Z, Y):
    return (Z.shape[0] + 8) * (abs(Z) + abs(Z * Y) + np.log1p(np.exp(-abs(Z)))).sum(axis=0)


def poisson(Z, Y):
    parts = np.exp(Z) * (abs(Z) + 4) + Y * (abs(np.log(np.where(Y == 0, 1, Y))) + abs(Z) + 2)
    return (Z.shape[0] + 8) * parts.sum(axis=0)


def residual(dL, A, Y):
    return 2 * abs(dL * (A - Y))


def sgd(param, grad, lr):
    return abs(param) + 3 * abs(lr * grad)


ROWS = [
    Row("matmul", normal("nm", "mr"), product),
    Row("matmul_backward", normal("nr", "nm", "mr"), lambda dC, A, B: (product(dC, B.T), product(A.T, dC))),
    Row("add_bias", normal("nr", "n1"), lambda Z, b: abs(Z + b)),
    Row("add_bias_backward", normal("nr"), lambda dZ: (zero(), dZ.shape[1] * abs(dZ).sum(axis=1, keepdims=True))),
    Row("linear", normal("nm", "mr", "n1"), lambda W, X, b: product(W, X) + (W.shape[1] + 1) * abs(b)),
    Row("linear_backward", normal("nr", "nm", "mr"), linear_backward),
    Row("relu", normal("nr"), zero),
    Row("relu_backward", activated(ref.relu), zero),
    Row("leaky_relu", normal("nr"), lambda Z: abs(0.01 * Z)),
    Row("leaky_relu_backward", activated(ref.leaky_relu), lambda dA, A: abs(0.01 * dA)),
    Row("leaky_relu", lambda g, n, m, r: [3 * g.standard_normal((n, r)), 0.3], lambda Z, slope: abs(slope * Z)),
    Row(
        "leaky_relu_backward",
        lambda g, n, m, r: [g.standard_normal((n, r)), ref.leaky_relu(g.standard_normal((n, r)), 0.3), 0.3],
        lambda dA, A, slope: abs(slope * dA),
    ),
    Row("sigmoid", normal("nr"), lambda Z: 2 * ref.sigmoid(Z)),
    Row("sigmoid_backward", activated(ref.sigmoid), lambda dA, A: 2 * abs(ref.sigmoid_backward(dA, A))),
    Row("tanh", normal("nr"), lambda Z: 2 * abs(ref.tanh(Z))),
    Row("tanh_backward", activated(ref.tanh), lambda dA, A: 2 * abs(dA) * (1 + A * A)),
    Row("softmax", normal("nr"), softmax),
    Row("log_softmax", normal("nr"), log_softmax),
    Row("softmax_backward", lambda g, n, m, r: [g.standard_normal((n, r)), probabilities(g, n, r)], softmax_backward),
    Row("cross_entropy", columns(scores=False), cross_entropy),
    Row("cross_entropy", columns(scores=False, soft=True), cross_entropy),
    Row("cross_entropy_backward", columns(scores=False, upstream=True), lambda *a: abs(ref.cross_entropy_backward(*a))),
    Row(
        "cross_entropy_backward",
        columns(scores=False, upstream=True, soft=True),
        lambda *a: 2 * abs(ref.cross_entropy_backward(*a)),
    ),
    Row("softmax_cross_entropy", columns(scores=True), softmax_cross_entropy),
    Row("softmax_cross_entropy", columns(scores=True, soft=True), softmax_cross_entropy),
    Row(
        "softmax_cross_entropy_backward",
        columns(scores=False, upstream=True),
        lambda *a: abs(ref.softmax_cross_entropy_backward(*a)),
    ),
    Row(
        "softmax_cross_entropy_backward",
        columns(scores=False, upstream=True, soft=True),
        lambda *a: abs(ref.softmax_cross_entropy_backward(*a)),
    ),
    Row("squared_error", numeric(lambda Z: 2 * Z, lambda u: 4 * u - 2), squared_error),
    Row("squared_error_backward", numeric(lambda Z: 2 * Z, lambda u: 4 * u - 2, upstream=True), residual),
    Row("binary_cross_entropy", numeric(lambda Z: 3 * Z, lambda u: u), binary_cross_entropy),
    Row("binary_cross_entropy", numeric(lambda Z: 3 * Z, lambda u: np.round(u)), binary_cross_entropy),
    Row("binary_cross_entropy_backward", numeric(ref.sigmoid, lambda u: u, upstream=True), residual),
    Row("poisson", numeric(lambda Z: 2 * Z, lambda u: np.floor(4 * u)), poisson),
    Row("poisson_backward", numeric(np.exp, lambda u: np.floor(4 * u), upstream=True), residual),
    Row("sgd", lambda rng, n, m, r: [*normal("nr", "nr")(rng, n, m, r), 0.1], sgd),
]


def elementwise(name):
    """A row of csrc/elementwise.inc: the error is at most two units of the largest operand or result."""
    twin, activation = getattr(ref, name), name.removesuffix("_backward")
    operands = normal("nr") if name == activation else activated(getattr(ref, activation))
    return Row(name, operands, lambda *x: 2 * np.max([abs(twin(*x)), *map(abs, x)], axis=0))


def elementwise_loss(name):
    """A loss of csrc/losses.inc, or its backward, with outputs of 0 .. 1."""
    upstream = name.endswith("_backward")
    size = (lambda dL, A, Y: abs(dL) + 0 * A) if upstream else lambda A, Y: np.full(A.shape[1], 1.0)
    twin = getattr(ref, name)
    return Row(
        name, numeric(ref.sigmoid, lambda u: u, upstream), lambda *x: (len(x[1]) + 8) * (abs(twin(*x)) + size(*x))
    )


ROWS += [elementwise_loss(name) for name in LOSS_FUNCTIONS if name not in {row.name for row in ROWS}]
ROWS += [elementwise(name) for name in ELEMENTWISE if name in ref.__all__ and name not in {row.name for row in ROWS}]


def cast(operands, dtype):
    """Float arrays in the given dtype; labels and numbers as they are."""
    return [x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in operands]


def copies(operands):
    return [x.copy() if isinstance(x, np.ndarray) else x for x in operands]


def check(row, operands, dtype, function=None):
    """Run the primitive on operands (of the given dtype, any strides) and compare it with the reference.

    The operands have the dtype already, so that the reference sees exactly the numbers that the engine sees.
    """
    function = function or getattr(nnc, row.name)
    eps, smallest = np.finfo(dtype).eps, np.finfo(dtype).smallest_subnormal
    exact = copies(cast(operands, EXACT))
    bounds = row.bound(*copies(exact))
    wanted = getattr(ref, row.name)(*exact)
    got = function(*operands)
    many = isinstance(wanted, tuple)
    wanted, got = (wanted, got) if many else ((wanted,), (got,))
    bounds = bounds if isinstance(bounds, tuple) else (bounds,)
    assert len(got) == len(wanted)
    for i, (g, w, bound) in enumerate(zip(got, wanted, bounds, strict=True)):
        assert g.dtype == dtype, f"{row.name}: result {i} is {g.dtype}, wanted {np.dtype(dtype)}"
        assert g.shape == w.shape, f"{row.name}: result {i} is {g.shape}, wanted {w.shape}"
        excess = abs(g - w) - (eps * bound + smallest)
        assert np.all(excess <= 0), f"{row.name}: result {i} is off by {abs(g - w).max():.3g}, {excess.max():.3g} over"
