"""The dtype of results: every primitive, for every pair of dtypes of its operands, of any width and byte order."""

from itertools import product

import numpy as np
import pytest
from engine_rows import WITH_BACKWARD

import nnc

REAL = ["f4", "f8", "f2", ">f4", ">f8", ">f2"]
WHOLE = ["?", "i1", "u1", "i2", ">i2", "i4", "u4", "i8", ">i8", "u8"]
DTYPES = REAL + WHOLE


def result_dtype(*dtypes):
    """The rule: float16 and float32 together are float32, everything else is float64."""
    return np.dtype("f4") if {np.dtype(d).newbyteorder("=").char for d in dtypes} <= {"f", "e"} else np.dtype("f8")


def ones(*shape):
    return lambda dtype: np.ones(shape, dtype)


Y = np.eye(3)[:, [0, 1, 2, 0]]
LABELS, TARGETS = (lambda dtype: np.array([0, 1, 0, 1], dtype)), (lambda dtype: Y.astype(dtype))
A34, A45, P = ones(3, 4), ones(4, 5), ones(3, 4)
# name: (the call, its operands, the positions of those that decide the dtype)
PRIMITIVES = {
    "matmul": (nnc.matmul, (A34, A45), (0, 1)), "matmul, a row": (nnc.matmul, (ones(4), A45), (0, 1)),
    "matmul, stacks": (nnc.matmul, (ones(2, 3, 4), A45), (0, 1)),
    "matmul_backward": (nnc.matmul_backward, (ones(3, 5), A34, A45), (0, 1, 2)),
    "matmul_backward, a column": (nnc.matmul_backward, (ones(3), A34, ones(4)), (0, 1, 2)),
    "matmul_backward, a number": (nnc.matmul_backward, (ones(), ones(4), ones(4)), (0, 1, 2)),
    "add_bias": (nnc.add_bias, (A34, ones(3, 1)), (0, 1)), "add_bias_backward": (nnc.add_bias_backward, (A34,), (0,)),
    "linear": (nnc.linear, (A34, A45, ones(3, 1)), (0, 1, 2)),
    "linear_backward": (nnc.linear_backward, (ones(3, 5), A34, A45), (0, 1, 2)),
    **{name: (getattr(nnc, name), (A34,), (0,)) for name in WITH_BACKWARD},
    "leaky_relu": (nnc.leaky_relu, (A34, ones()), (0,)),
    **{f"{name}_backward": (getattr(nnc, f"{name}_backward"), (A34, A34), (0, 1))
       for name in WITH_BACKWARD},
    "leaky_relu_backward": (nnc.leaky_relu_backward, (A34, A34, ones()), (0, 1)),
    "softmax": (nnc.softmax, (A34,), (0,)), "log_softmax": (nnc.log_softmax, (A34,), (0,)),
    "softmax, axis 1": (lambda Z: nnc.softmax(Z, axis=1), (A34,), (0,)),
    "softmax_backward": (nnc.softmax_backward, (A34, P), (0, 1)),
    "softmax_backward, axis 1": (lambda dP, P: nnc.softmax_backward(dP, P, axis=1), (A34, P), (0, 1)),
    "cross_entropy": (nnc.cross_entropy, (P, LABELS), (0,)),
    "cross_entropy, targets": (nnc.cross_entropy, (P, TARGETS), (0,)),
    "softmax_cross_entropy": (nnc.softmax_cross_entropy, (P, LABELS), (0,)),
    "softmax_cross_entropy, targets": (nnc.softmax_cross_entropy, (P, TARGETS), (0,)),
    "cross_entropy_backward": (nnc.cross_entropy_backward, (ones(4), P, LABELS), (1,)),
    "cross_entropy_backward, targets": (nnc.cross_entropy_backward, (ones(4), P, TARGETS), (1,)),
    "softmax_cross_entropy_backward": (nnc.softmax_cross_entropy_backward, (ones(), P, LABELS), (1,)),
    "softmax_cross_entropy_backward, targets": (nnc.softmax_cross_entropy_backward, (ones(4), P, TARGETS), (1,)),
}  # fmt: skip


@pytest.mark.parametrize("name", PRIMITIVES)
def test_all_results_have_one_dtype(name):
    call, operands, deciding = PRIMITIVES[name]
    for first, second in product(DTYPES, DTYPES):
        dtypes = [first, *[second] * (len(operands) - 1)]
        arrays = [make(dtype) for make, dtype in zip(operands, dtypes, strict=True)]
        expected = result_dtype(*(dtypes[i] for i in deciding))
        results = call(*arrays)
        exact = call(*(np.asarray(a, "f8") for a in arrays))
        for result, right in zip(*((x if isinstance(x, tuple) else (x,)) for x in (results, exact)), strict=True):
            assert result.dtype == expected and result.dtype.isnative, (first, second, result.dtype)
            np.testing.assert_allclose(result, right, rtol=4 * np.finfo(expected).eps)


@pytest.mark.parametrize("name", [name for name, (_, operands, _) in PRIMITIVES.items() if len(operands) == 3])
def test_all_results_of_three_operands_have_one_dtype(name):
    call, operands, deciding = PRIMITIVES[name]
    for dtypes in product(["f4", "f8", "f2", ">f4", "i1"], repeat=3):
        results = call(*(make(dtype) for make, dtype in zip(operands, dtypes, strict=True)))
        for result in results if isinstance(results, tuple) else (results,):
            assert result.dtype == result_dtype(*(dtypes[i] for i in deciding)) and result.dtype.isnative, dtypes


def test_python_numbers_and_targets_of_nodes_do_not_widen():
    row = np.ones(4, np.float32)
    assert [g.dtype for g in nnc.matmul_backward(2.0, row, row)] == [np.float32] * 2
    Z = nnc.Node(np.zeros((3, 4), np.float32))
    for y in (Y, Y.astype(int), Y.astype(bool), [0, 1, 2, 0]):
        for L in (nnc.softmax_cross_entropy(Z, y), nnc.cross_entropy(nnc.softmax(Z), y)):
            assert L.dtype == np.float32
            L.sum().backward()
            assert Z.grad.dtype == np.float32


def test_an_array_that_needs_no_conversion_is_not_copied():
    for dtype in (np.float32, np.float64):
        dZ = np.ones((3, 4), dtype)
        assert nnc.add_bias_backward(dZ)[0] is dZ


@pytest.mark.parametrize("bad", [np.complex64, object, np.longdouble, "U1", "M8[s]"])
def test_an_array_that_is_not_real_is_a_type_error(bad):
    x = np.ones((2, 2)).astype(bad) if bad not in ("U1", "M8[s]") else np.zeros((2, 2), bad)
    real = np.ones((2, 2), np.float32)
    for name, call in (
        ("linear_backward: W is", lambda: nnc.linear_backward(real, x, real)),
        ("matmul_backward: B is", lambda: nnc.matmul_backward(real, real, x)),
        ("add_bias_backward: dZ is", lambda: nnc.add_bias_backward(x)),
    ):
        with pytest.raises(TypeError, match=f"^{name} .*, but must be real"):
            call()


# ---- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("name", PRIMITIVES)
def test_tables_are_converted_to_arrays(name, library):
    tables = pytest.importorskip(library)

    def table(x):
        if x.ndim == 2:
            return tables.DataFrame({f"c{j}": x[:, j] for j in range(x.shape[1])})
        return tables.Series(x) if x.ndim == 1 else x

    call, operands, _ = PRIMITIVES[name]
    arrays = [make(np.float64) for make in operands]
    expected = call(*arrays)
    for which in product([False, True], repeat=len(arrays)):
        got = call(*(table(x) if is_table else x for x, is_table in zip(arrays, which, strict=True)))
        for mine, right in zip(*((x if isinstance(x, tuple) else (x,)) for x in (got, expected)), strict=True):
            assert type(mine) is type(right)
            np.testing.assert_array_equal(mine, right)


def test_other_functions_take_tables_too():
    pandas = pytest.importorskip("pandas")
    frame, labels = pandas.DataFrame([[0.1, 0.7], [0.9, 0.3]]), pandas.Series([1, 1], index=[7, 3])
    assert nnc.predict(frame).tolist() == [1, 0] and nnc.accuracy(frame, labels) == 0.5
    np.testing.assert_array_equal(nnc.one_hot(labels, 2), [[0, 0], [1, 1]])
    out = np.empty((2, 2))
    assert nnc.relu(frame, out=out) is out and (out == frame.to_numpy()).all()
    W = nnc.Node(np.ones((3, 2)))
    np.testing.assert_array_equal(nnc.matmul(W, frame).value, W.value @ frame.to_numpy())
    np.testing.assert_array_equal(nnc.sgd(np.ones(2), labels, 0.5), [0.5, 0.5])
    with pytest.raises(TypeError, match="linear: W is object, but must be real"):
        nnc.linear(pandas.DataFrame({"a": ["x", 1]}), frame, np.ones((2, 1)))
    with pytest.raises(ValueError, match=r"matmul: A is \(2, 2\) and B is \(3, 1\)"):
        nnc.matmul(frame, pandas.DataFrame([1.0, 2.0, 3.0]))


class Table:
    """The methods that tables of all libraries have."""

    def __init__(self, rows):
        self.rows = rows

    def to_numpy(self):
        return np.asarray(self.rows)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.rows, dtype)


def test_tables_of_a_library_that_nnc_does_not_know():
    A, x = np.array([[1.0, -2.0], [3.0, 4.0]]), np.array([[0.5], [2.0]])
    np.testing.assert_array_equal(nnc.relu(Table(A)), nnc.relu(A))
    np.testing.assert_array_equal(nnc.matmul(Table(A), x), A @ x)
    np.testing.assert_array_equal(nnc.matmul(A, Table(x)), A @ x)
    out = np.empty((2, 1))
    assert nnc.matmul(Table(A), Table(x), out=out) is out and (out == A @ x).all()
    with pytest.raises(ValueError, match="inhomogeneous"):
        nnc.matmul(A, Table([[1.0], [2.0, 3.0]]))
    with pytest.raises(TypeError, match="relu"):
        nnc.relu(Table(A), **{f"option{i}": 1 for i in range(20)})
