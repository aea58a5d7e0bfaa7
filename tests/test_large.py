"""The graph on large arrays: the engine's kernels instead of NumPy's, and no unnecessary memory."""

import weakref
from dataclasses import replace

import numpy as np
import pytest

from nnc import Node
from nnc.autodiff.vjps import MANY

LARGE = MANY + 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("f", "gradients"),  # g is the gradient of the sum
    [
        (lambda x, y: (x * y).sum() * 0.5, lambda x, y, g: (g * y, g * x)),
        (lambda x, y: (x + y).sum() * 0.5, lambda x, y, g: (g + 0 * x, g + 0 * y)),
        (lambda x, y: (x * y * x).sum() * 0.5, lambda x, y, g: (2 * g * x * y, g * x * x)),
        (lambda x, y: ((x * y) ** 2).sum() * 0.5, lambda x, y, g: (2 * g * x * y * y, 2 * g * x * x * y)),
        (lambda x, y: ((x * y) ** 2 * y).sum() * 0.5, lambda x, y, g: (2 * g * x * y**3, 3 * g * x * x * y * y)),
        (lambda x, y: np.square(x + y).sum() * 0.5, lambda x, y, g: (2 * g * (x + y), 2 * g * (x + y))),
        (lambda x, y: (x / y).sum() * 0.5, lambda x, y, g: (g / y, -g * x / y**2)),
        (lambda x, y: np.exp(x + y).sum() * 0.5, lambda x, y, g: (g * np.exp(x + y), g * np.exp(x + y))),
        (lambda x, y: np.maximum(x, y).sum() * 0.5, lambda x, y, g: (g * (x > y), g * (x < y))),
        (lambda x, y: np.where(x.value > 2, x, y * x).sum() * 0.5,
         lambda x, y, g: (np.where(x > 2, g, g * y), np.where(x > 2, 0, g * x))),
    ],
)  # fmt: skip
def test_large_arrays_have_the_right_gradients(f, gradients, dtype):
    rng = np.random.default_rng(0)
    x, y = (Node(rng.uniform(1, 3, LARGE).astype(dtype)) for _ in range(2))
    values = x.value.copy(), y.value.copy()
    f(x, y).backward()
    expected = gradients(*(v.astype(np.float64) for v in values), 0.5)
    for node, right in zip((x, y), expected, strict=True):
        np.testing.assert_allclose(node.grad, right, rtol=16 * np.finfo(dtype).eps)
        assert node.grad.dtype == dtype and node.grad.flags.writeable
    before = y.grad.copy()
    x.grad *= 5
    np.testing.assert_array_equal(y.grad, before)
    np.testing.assert_array_equal((x.value, y.value), values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_arrays_have_numpys_values(dtype):
    a, b = np.random.default_rng(1).standard_normal((2, LARGE)).astype(dtype)
    x, y = Node(a), Node(b)
    for got, right in [(x + y, a + b), (x * y, a * b), (x**2, a * a), (x + b, a + b), (x * 3, a * 3), (x**3, a**3)]:
        np.testing.assert_array_equal(got.value, right)
        assert got.dtype == dtype
    column = Node(np.ones((LARGE, 2), dtype))
    np.testing.assert_array_equal((column * a[:, None] + x[:, None]).value, np.stack([a + a, a + a], 1))


def test_large_arrays_in_any_layout_and_dtype():
    a, b = np.linspace(1, 2, 2 * LARGE).reshape(2, LARGE), np.linspace(2, 3, 2 * LARGE).reshape(LARGE, 2).T
    x, y = Node(a), Node(b.astype(np.float32).T[::-1].T)
    ((x * y).sum() * 0.3).backward()
    np.testing.assert_array_equal(x.grad, 0.3 * y.value.astype(np.float64))
    np.testing.assert_allclose(y.grad, 0.3 * a, rtol=np.finfo(np.float32).eps)
    assert y.grad.dtype == np.float32
    row = Node(a[0])
    (x * row).sum().backward()
    np.testing.assert_array_equal(x.grad, [a[0], a[0]])
    np.testing.assert_allclose(row.grad, a.sum(0))


def test_an_element_that_was_not_chosen_has_gradient_0():
    """Also if the gradient is infinite."""
    for n in (3, LARGE):
        x = Node(np.arange(n) + 0.0)
        np.maximum(x, 1.5).backward(np.full(n, np.inf))
        np.testing.assert_array_equal(x.grad[:3], [0, 0, np.inf])
        np.where(x > 1, x, 0).backward(np.full(n, np.inf))
        np.testing.assert_array_equal(x.grad[:3], [0, 0, np.inf])


def test_old_gradients_are_freed_before_backward_computes_new_ones():
    x = Node(np.ones(3))
    x.sum().backward()
    old = weakref.ref(x.grad)
    alive = []

    def vjp(g, C, A):
        alive.append(old() is not None)
        return g + np.zeros(3)

    y = x.sum()
    y._rule = replace(y._rule, vjps=(vjp,))
    y.backward()
    assert alive == [False] and (x.grad == 1).all()
