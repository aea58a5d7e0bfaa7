"""Functions that only move elements, with every kind of argument that NumPy takes: a Node gives an array's result, and
the gradient sums g over the copies of each element, which the same function finds by moving the indices."""

import numpy as np
import pytest

from nnc import Node

I = np.int64  # noqa: E741
CASES = [
    *[
        (np.take, {"indices": indices, "axis": axis})
        for indices in ([1, 0, 1], np.array([], int), np.int32(0), np.array([0], np.uint8), [[0], [-1]])
        for axis in (0, -1, I(0), None)
    ],
    *[(np.roll, {"shift": shift}) for shift in (-5, 0, I(2), (1, 1))],
    *[(np.roll, {"shift": shift, "axis": axis}) for shift in (7, I(-1)) for axis in (0, -1, I(0), (0, 1), [0, -1])],
    (np.roll, {"shift": [1, 2], "axis": [0, 1]}), (np.roll, {"shift": (1, 2), "axis": 0}),
    *[(np.repeat, {"repeats": n, "axis": axis}) for n in (2, 0, I(3), True, [2], np.array(2)) for axis in (0, -1)],
    *[(np.repeat, {"repeats": n}) for n in (2, I(3))],
    *[(np.tile, {"reps": reps}) for reps in (2, 0, I(3), (), [2, 1], (2, 1, 1, 2), (0, 3), np.array([2, 3]))],
    *[(np.flip, {"axis": axis}) for axis in (0, -1, I(0), (0,), (0, -1), None)],
    *[
        (np.moveaxis, {"source": source, "destination": destination})
        for source, destination in ((0, -1), (-1, 0), (1, 1), (I(0), 1), ([0], [1]), ((0, 1), (-1, 0)))
    ],
    *[(np.rot90, {"k": k, "axes": axes}) for k in (1, -7, I(3), 0) for axes in ((0, 1), [1, 0], (-1, -2))],
    *[(np.diagonal, {"offset": offset}) for offset in (0, 1, -1, I(1), 9, -9)],
    *[(np.diagonal, {"axis1": first, "axis2": second}) for first, second in ((-1, -2), (I(0), I(1)), (1, 0))],
    *[(np.swapaxes, {"axis1": first, "axis2": second}) for first, second in ((0, 1), (-1, -2), (I(1), I(0)))],
    *[(np.transpose, {"axes": axes}) for axes in (None, [1, 0], (-1, -2), (0, 2, 1))],
    *[(np.expand_dims, {"axis": axis}) for axis in (0, -1, (0, -1))],
    *[(np.squeeze, {"axis": axis}) for axis in (None, 0, (0, 1))],
    *[(np.take_along_axis, {"indices": np.zeros((1, 4), int), "axis": axis}) for axis in (I(0), -2)],
]  # fmt: skip


def result(f, *args, **params):
    try:
        return f(*args, **params)
    except Exception as error:
        return error


@pytest.mark.parametrize(("f", "params"), CASES, ids=lambda x: getattr(x, "__name__", None))
def test_arguments_are_taken_as_by_numpy(f, params):
    rng = np.random.default_rng(0)
    for shape in ((3, 4), (3, 4, 2), (0, 4), (1, 1), (4,), ()):
        A = rng.standard_normal(shape)
        x, expected = Node(A), result(f, A, **params)
        C = result(f, x, **params)
        if isinstance(expected, Exception):
            assert isinstance(C, Exception), shape
            continue
        np.testing.assert_array_equal(C.value, expected)
        g = rng.standard_normal(C.shape)
        C.backward(g)
        assert x.grad.shape == shape
        dA = np.zeros(A.size)
        np.add.at(dA, f(np.arange(A.size).reshape(shape), **params), g)
        # sums of at most 30 numbers of order 1, in another order
        np.testing.assert_allclose(x.grad, dA.reshape(shape), atol=1e-14)
