"""Mutation tests: a wrong backward must fail the checks against finite differences and against the reference."""

from types import SimpleNamespace

import numpy as np
import pytest
from error_bounds import ROWS, cast, check
from finite_differences import PAIRS, check_gradients

import nnc
from nnc import reference as ref

F = {name: getattr(nnc, name) for name in nnc.functional.__all__}


def changed(name, change):
    """The primitive with its results changed."""

    def mutant(*operands, **options):
        return change(F[name](*operands, **options), *operands)

    return mutant


def kth(k, change):
    return lambda results, *operands: (*results[:k], change(results[k], *operands), *results[k + 1 :])


# description: the primitive, and how its results are changed
MUTANTS = {
    "dW is transposed": ("linear_backward", kth(0, lambda dW, *_: dW.T)),
    "dW without the transpose of X": ("linear_backward", kth(0, lambda dW, dZ, W, X: _without_transpose(dZ, X, dW))),
    "dW of the wrong sign": ("linear_backward", kth(0, lambda dW, *_: -dW)),
    "dW divided by r once more": ("linear_backward", kth(0, lambda dW, dZ, W, X: dW / X.shape[1])),
    "dX is transposed": ("linear_backward", kth(1, lambda dX, *_: dX.T)),
    "dX without the transpose of W": ("linear_backward", kth(1, lambda dX, dZ, W, X: _without_transpose(W, dZ, dX))),
    "dX of the wrong sign": ("linear_backward", kth(1, lambda dX, *_: -dX)),
    "db is a mean": ("linear_backward", kth(2, lambda db, dZ, *_: db / dZ.shape[1])),
    "db not summed over the batch": ("linear_backward", kth(2, lambda db, dZ, *_: dZ)),
    "db summed over the wrong axis": ("linear_backward", kth(2, lambda db, dZ, *_: dZ.sum(axis=0, keepdims=True))),
    "db is 1-D": ("linear_backward", kth(2, lambda db, *_: db.reshape(-1))),
    "db of the first example": ("linear_backward", kth(2, lambda db, dZ, *_: dZ[:, :1])),
    "dA and dB swapped": ("matmul_backward", lambda results, *_: results[::-1]),
    "dA is transposed": ("matmul_backward", kth(0, lambda dA, *_: dA.T)),
    "dB of the wrong sign": ("matmul_backward", kth(1, lambda dB, *_: -dB)),
    "dB off by a millionth": ("matmul_backward", kth(1, lambda dB, *_: dB * (1 + 1e-6))),
    "bias: db is a mean": ("add_bias_backward", kth(1, lambda db, dZ: db / dZ.shape[1])),
    "bias: dZ of the wrong sign": ("add_bias_backward", kth(0, lambda dZ, *_: -dZ)),
    "relu passes everything": ("relu_backward", lambda dZ, dA, A: dA),
    "relu passes what it should stop": ("relu_backward", lambda dZ, dA, A: dA - dZ),
    "relu multiplies by A": ("relu_backward", lambda dZ, dA, A: dZ * A),
    "leaky relu does not leak": ("leaky_relu_backward", lambda dZ, dA, A, *_: np.where(A > 0, dA, 0)),
    "leaky relu leaks 0.01 always": ("leaky_relu_backward", lambda dZ, dA, A, *_: np.where(A > 0, dA, 0.01 * dA)),
    "sigmoid: 1 - a forgotten": ("sigmoid_backward", lambda dZ, dA, A: dA * A),
    "sigmoid: dA forgotten": ("sigmoid_backward", lambda dZ, dA, A: A * (1 - A)),
    "sigmoid: 1 + a": ("sigmoid_backward", lambda dZ, dA, A: dA * A * (1 + A)),
    "tanh: a not squared": ("tanh_backward", lambda dZ, dA, A: dA * (1 - A)),
    "tanh: 1 + a squared": ("tanh_backward", lambda dZ, dA, A: dA * (1 + A * A)),
    "softmax: only the diagonal": ("softmax_backward", lambda dZ, dP, P, *_: dP * P * (1 - P)),
    "softmax: the sum forgotten": ("softmax_backward", lambda dZ, dP, P, *_: dP * P),
    "softmax: the other axis": ("softmax_backward", lambda dZ, dP, P, axis=0: F["softmax_backward"](dP, P, 1 - axis)),
    "loss: dL forgotten, so 1/r is missing": (
        "softmax_cross_entropy_backward",
        lambda dZ, dL, P, y: F["softmax_cross_entropy_backward"](1, P, y),
    ),
    "loss: Y forgotten": ("softmax_cross_entropy_backward", lambda dZ, dL, P, y: P * dL),
    "loss: dL from the next example": (
        "softmax_cross_entropy_backward",
        lambda dZ, dL, P, y: F["softmax_cross_entropy_backward"](np.roll(dL, 1), P, y),
    ),
    "loss: divided by r": ("softmax_cross_entropy_backward", lambda dZ, dL, P, y: dZ / P.shape[1]),
    "squared error: divided by 2": ("squared_error_backward", lambda dA, *_: dA / 2),
    "squared error: dL forgotten": ("squared_error_backward", lambda dA, dL, A, Y: A - Y),
    "binary: sigmoid's derivative twice": ("binary_cross_entropy_backward", lambda dZ, dL, A, Y: dZ * A * (1 - A)),
    "poisson: Y forgotten": ("poisson_backward", lambda dZ, dL, A, Y: A * dL),
    "eq. 5.1: P forgotten": ("cross_entropy_backward", lambda dP, dL, P, y: dP * P),
    "eq. 5.1: dL forgotten": ("cross_entropy_backward", lambda dP, dL, P, y: F["cross_entropy_backward"](1, P, y)),
}

BACKWARDS = {name for name in nnc.functional.__all__ if name.endswith("_backward")}
MUTANTS |= {f"{name}: wrong sign": (name, lambda results, *_: negative(results)) for name in BACKWARDS}


def negative(results):
    return tuple(-x for x in results) if isinstance(results, tuple) else -results


def _without_transpose(left, right, correct):
    """The product without its transpose where the shapes allow it, as they do when the matrices are square."""
    return left @ right if left.shape[1] == right.shape[0] else correct


def run_differences(name, function):
    functions = SimpleNamespace(**{**F, name: function})
    for pair in PAIRS:
        check_gradients(pair, functions)


def run_reference(name, function):
    for row in ROWS:
        if row.name == name:
            for size in ((4, 4, 4), (3, 5, 6)):
                check(row, cast(row.operands(np.random.default_rng(0), *size), np.float64), np.float64, function)


CHECKS = pytest.mark.parametrize("run", [run_differences, run_reference])


@CHECKS
@pytest.mark.parametrize("name", sorted({name for name, _ in MUTANTS.values()}))
def test_the_right_primitive_passes(name, run):
    run(name, F[name])


@CHECKS
@pytest.mark.parametrize("what", MUTANTS)
def test_a_mutant_fails(what, run):
    name, change = MUTANTS[what]
    with pytest.raises(AssertionError):
        run(name, changed(name, change))


def test_every_backward_is_mutated():
    assert {name for name, _ in MUTANTS.values()} == BACKWARDS <= {row.name for row in ROWS}


# ---- section 10 as a whole: three layers, and 1/r of eq. 5.3 in one place --------------------------------------------

SIZES, EXAMPLES = (5, 4, 4, 3), 6


def forward(p, X, y):
    Z1 = nnc.linear(p["W1"], X, p["b1"])
    A1 = nnc.tanh(Z1)
    Z2 = nnc.linear(p["W2"], A1, p["b2"])
    A2 = nnc.sigmoid(Z2)
    Z3 = nnc.linear(p["W3"], A2, p["b3"])
    return nnc.softmax_cross_entropy(Z3, y).mean(), (A1, A2, Z3)


def backward(p, X, y, saved, dL=1 / EXAMPLES, steps=("W3", "W2")):
    """The gradients as in the notes; a mutant has another dL, or other weights in `steps`."""
    A1, A2, Z3 = saved
    g = {}
    dZ3 = nnc.softmax_cross_entropy_backward(dL, nnc.softmax(Z3), y)
    g["W3"], dA2, g["b3"] = nnc.linear_backward(dZ3, p[steps[0]], A2)
    dZ2 = nnc.sigmoid_backward(dA2, A2)
    g["W2"], dA1, g["b2"] = nnc.linear_backward(dZ2, p[steps[1]], A1)
    g["W1"], _, g["b1"] = nnc.linear_backward(nnc.tanh_backward(dA1, A1), p["W1"], X)
    return g


def check_network(change=lambda g, p: g, **options):
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((SIZES[0], EXAMPLES)), rng.integers(0, SIZES[-1], EXAMPLES)
    p = {}
    for i, (m, n) in enumerate(zip(SIZES, SIZES[1:], strict=False), 1):
        p[f"W{i}"], p[f"b{i}"] = rng.standard_normal((n, m)), rng.standard_normal((n, 1))
    J, saved = forward(p, X, y)
    p["W2 transposed"] = np.ascontiguousarray(p["W2"].T)
    g = change(backward(p, X, y, saved, **options), p)
    h = 1e-6
    for name, gradient in g.items():
        for i in np.ndindex(p[name].shape):
            up, down = ({**p, name: p[name].copy()} for _ in range(2))
            up[name][i] += h
            down[name][i] -= h
            numeric = (forward(up, X, y)[0] - forward(down, X, y)[0]) / (2 * h)
            assert abs(numeric - gradient[i]) <= 20 * (np.finfo(float).eps * J / h + h * h), (name, i)


def test_the_network_as_derived_passes():
    check_network()


@pytest.mark.parametrize(
    "wrong",
    [
        {"dL": 1},
        {"dL": 1 / EXAMPLES**2},
        {"dL": -1 / EXAMPLES},
        {"dL": 1 / (EXAMPLES - 1)},
        {"steps": ("W3", "W2 transposed")},
        {"change": lambda g, p: {**g, "W2": g["W2"].T}},
        {"change": lambda g, p: {**g, "b1": g["b1"] * EXAMPLES}},
        {"change": lambda g, p: {**g, "W1": np.zeros_like(p["W1"])}},
    ],
    ids=["no 1/r", "1/r twice", "sign", "r - 1", "W2 not transposed", "dW2 transposed", "db1 times r", "dW1 is 0"],
)
def test_a_wrong_network_fails(wrong):
    with pytest.raises(AssertionError):
        check_network(**wrong)


def test_a_mutant_of_the_reference_fails(monkeypatch):
    """In both checks."""
    monkeypatch.setattr(ref, "tanh_backward", lambda dA, A: dA * (1 - A))
    (pair,) = (pair for pair in PAIRS if pair.name == "tanh")
    with pytest.raises(AssertionError):
        check_gradients(pair, ref)
    with pytest.raises(AssertionError):
        run_reference("tanh_backward", nnc.tanh_backward)
