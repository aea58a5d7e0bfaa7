"""Every row of csrc/elementwise.inc has its Python function and its NumPy twin, and the two agree."""

import numpy as np
import pytest
from engine_rows import KINDS

import nnc
from nnc import _engine, reference

# Functions that nnc.reference does not have.
TWINS = {"exp": np.exp, "log": np.log, "scale": lambda x, s: s * x, "multiply": np.multiply, "add": np.add,
         "maximum_backward": lambda dC, A, B: np.where(A > B, dC, np.where(A == B, dC / 2, 0)),
         "sgd": lambda param, grad, lr: param - lr * grad}  # fmt: skip


def twin(name):
    return TWINS.get(name) or getattr(reference, name)


def operands(name, ufunc, count, dtype):
    """Arrays in the function's domain, and last the number if it takes one."""
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(0.1, 0.9, count) if name == "log" else rng.uniform(-3, 3, count) for _ in range(ufunc.nin)]
    if name == "maximum_backward":
        arrays[2][::3] = arrays[1][::3]
    if (forward := name.removesuffix("_backward")) in set(KINDS) - {name}:  # (dA, A), and A in the function's range
        arrays[1] = twin(forward)(arrays[1])
    if name == "binary_cross_entropy_terms":
        arrays[1] = rng.uniform(0, 1, count)
    if name == "poisson_terms":
        arrays[1] = rng.integers(0, 5, count).astype(float)
    scalar = KINDS[name].endswith("_scalar")
    return [a.astype(dtype) for a in arrays[: ufunc.nin - bool(scalar)]] + ([dtype(0.25)] if scalar else [])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", KINDS)
def test_the_function_agrees_with_its_reference(name, dtype):
    ufunc = getattr(_engine, name)
    for count in (0, 1, 5, 1000):
        inputs = operands(name, ufunc, count, dtype)
        got, expected = ufunc(*inputs), twin(name)(*[np.float64(x) for x in inputs])
        # two units in the last place of the largest number in the computation
        scale = np.maximum(np.abs(expected), np.max([np.abs(x) for x in inputs if np.ndim(x)], axis=0))
        if name == "poisson_terms":  # which includes y ln y and y z
            Z, Y = map(np.float64, inputs)
            scale = np.abs(expected) + Y * (1 + np.log(np.maximum(Y, 1)) + np.abs(Z))
        assert got.dtype == dtype and (np.abs(got - expected) <= 2 * np.finfo(dtype).eps * scale).all()


@pytest.mark.parametrize("op", ["relu_backward", "leaky_relu_backward", "sigmoid_backward", "tanh_backward"])
@pytest.mark.parametrize(
    ("a", "b"), [((), (3, 4)), ((3, 4), ()), ((2, 3, 4), (3, 4)), ((2, 3, 4), (1, 3, 4)), ((), ())]
)
def test_backward_broadcasts_a_number_or_a_matrix_to_a_stack(op, a, b):
    rng = np.random.default_rng(1)
    dA, A = rng.normal(size=a), rng.uniform(-1, 1, b)
    for wrap in (np.asarray, nnc.Node):
        found = getattr(nnc, op)(wrap(dA), A)
        found = found.value if wrap is nnc.Node else found
        assert np.shape(found) == np.broadcast_shapes(a, b)
        np.testing.assert_allclose(found, getattr(reference, op)(dA, A), rtol=1e-14)
