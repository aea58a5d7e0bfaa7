"""The graph: expressions of Nodes, gradients, errors. The operations are tested in test_rules.py."""

import doctest
import importlib
import operator
import re

import numpy as np
import pytest
from test_rules import assert_gradients, away, central, inside

import nnc
from nnc import Node, grad, value_and_grad
from nnc.autodiff.node import ancestors

# ---- powers, ties, special values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [3, 2, 1, 0, -1, 2.0, np.array([0.0, 1.0, 2.0, 3.0])])
def test_powers_of_negative_numbers(exponent):
    assert_gradients(lambda x: x**exponent, away(4))


def test_power_at_zero():
    x, n = Node([0.0, 0.0, 0.0]), Node([2.0, 1.0, 3.0])
    (x ** np.array([0.0, 1.0, 2.0])).backward(np.ones(3))
    np.testing.assert_array_equal(x.grad, [0, 1, 0])
    (np.zeros(3) ** n).backward(np.ones(3))
    np.testing.assert_array_equal(n.grad, 0)


@pytest.mark.parametrize("f", [np.maximum, np.minimum])
def test_a_tie_is_split_evenly(f):
    x, y = Node([1.0, 2.0, 3.0]), Node([1.0, 5.0, 3.0])
    f(x, y).backward(np.array([4.0, 8.0, 16.0]))
    first = f is np.maximum
    np.testing.assert_array_equal(x.grad, [2, 0 if first else 8, 8])
    np.testing.assert_array_equal(y.grad, [2, 8 if first else 0, 8])


@pytest.mark.parametrize("f", [np.max, np.min])
def test_ties_of_max_and_min_are_split_evenly(f):
    x = Node(np.array([[7.0, 7.0, 1.0, 7.0], [1.0, 1.0, 1.0, 1.0]]))
    f(x, axis=1).backward(np.array([3.0, 8.0]))
    np.testing.assert_array_equal(x.grad, [[1, 1, 0, 1] if f is np.max else [0, 0, 3, 0], [2, 2, 2, 2]])
    f(x).backward(6.0)
    np.testing.assert_array_equal(x.grad, [[2, 2, 0, 2], 4 * [0]] if f is np.max else [[0, 0, 1.2, 0], 4 * [1.2]])


def test_the_gradient_of_prod_is_right_where_the_product_is_out_of_range():
    x = Node([1e-200, 1e-200, 3.0])
    np.prod(x).backward()
    np.testing.assert_allclose(x.grad, [3e-200, 3e-200, 0], rtol=1e-15)
    x = Node([1e200, 1e200, 3.0])
    with np.errstate(over="ignore"):
        np.prod(x).backward()
    np.testing.assert_allclose(x.grad, [3e200, 3e200, np.inf], rtol=1e-15)


def test_einsum_with_the_wrong_number_of_axes_is_an_error():
    for x, y in ((away(3, 3, 3), away(3, 3)), (away(3, 3), away(3))):
        with pytest.raises(ValueError, match="einsum"):
            np.einsum("ij,jk->ik", Node(x), y)


def test_einsum_with_different_sizes_for_a_letter_is_an_error():
    with pytest.raises(ValueError, match=r"^einsum: .*remapped shapes.* \(X is \(3, 4\), operand 2 is \(5, 2\)\)$"):
        np.einsum("ij,jk->ik", Node(away(3, 4), name="X"), away(5, 2))


def test_tile_with_zero_repetitions():
    x = Node(away(2, 3))
    np.tile(x, (0, 2)).backward(np.ones((0, 6)))
    np.testing.assert_array_equal(x.grad, np.zeros((2, 3)))


def test_axis_none_is_as_in_numpy():
    x, indices = Node(away(2, 3)), np.array([5, 0])
    picked = np.take_along_axis(x, indices, axis=None)
    np.testing.assert_array_equal(picked.value, np.take_along_axis(x.value, indices, axis=None))
    assert np.sum(x, axis=None, dtype=None, out=None).value == np.sum(x.value)
    assert np.max(x, None, None).value == np.max(x.value)


def test_relu_and_abs_at_zero():
    x = Node([-1.0, 0.0, 2.0])
    x.relu().backward(np.ones(3))
    np.testing.assert_array_equal(x.grad, [0, 0, 1])
    abs(x).backward(np.ones(3))
    np.testing.assert_array_equal(x.grad, [-1, 0, 1])


# ---- ordinary expressions --------------------------------------------------------------------------------------------


BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize(
    "other",
    [
        2,
        2.5,
        True,
        np.float64(1.5),
        np.float32(1.5),
        np.int64(2),
        np.array(1.5),
        inside(2, 3),
        inside(4, 2, 1),
        [1.0, 2.0, 3.0],
        np.array([1, 2, 3], np.int32),
    ],
    ids=repr,
)
def test_operators_with_numbers_and_arrays(op, other):
    x = inside(2, 3)
    for left, right, expected in ((Node(x), other, op(x, other)), (other, Node(x), op(other, x))):
        y = op(left, right)
        assert isinstance(y, Node)
        np.testing.assert_array_equal(y.value, expected)
        assert y.dtype == expected.dtype and y.inputs[0 if right is other else 1].shape == (2, 3)
    assert_gradients(lambda x: op(x, other), x)
    assert_gradients(lambda x: op(other, x), x)


@pytest.mark.parametrize(
    "f", [lambda a, x: a @ x, lambda a, x: x.T @ a.T, lambda a, x: np.matmul(a, x), lambda a, x: a.T.T @ x]
)
def test_matrix_product_with_an_array(f):
    a = away(2, 3)
    assert_gradients(lambda x: f(a, x), away(3, 4))
    assert f(a, Node(away(3, 4))).op == "matmul"


def test_gradients_over_several_paths_are_added():
    x, y = Node(3.0), Node(2.0)
    a = x * y
    z = a * a + a * x + x
    z.backward()  # z = x²y² + x²y + x
    assert (float(x.grad), float(y.grad)) == (2 * 3 * 4 + 2 * 3 * 2 + 1, 2 * 9 * 2 + 9)
    assert float(a.grad) == 2 * 6 + 3


def test_paths_of_different_length():
    """y needs the gradients from both paths before it passes its own on."""
    x = Node(0.5)
    y = x * 2
    z = y + np.exp(np.tanh(np.sin(y))) * 3
    z.backward()
    t = np.tanh(np.sin(1.0))
    assert float(x.grad) == pytest.approx(2 * (1 + 3 * np.exp(t) * (1 - t * t) * np.cos(1.0)), rel=1e-14)


def test_the_same_operand_twice():
    x = Node(away(3))
    np.multiply(x, x).backward(np.ones(3))
    np.testing.assert_allclose(x.grad, 2 * x.value)
    np.concatenate([x, x]).backward(np.arange(6.0))
    np.testing.assert_array_equal(x.grad, [3, 5, 7])


def test_gradients_are_set_afresh():
    x = Node(away(3, 4), name="x")
    Z = np.tanh(x)
    J = (Z * Z).mean()
    J.backward()
    first = {node: np.copy(node.grad) for node in ancestors(J)}
    J.backward()
    for node, g in first.items():
        np.testing.assert_array_equal(node.grad, g)
    (x * 2).sum().backward()
    np.testing.assert_array_equal(x.grad, 2)
    assert set(first) == {x, Z, *J.inputs, J}  # intermediate nodes have gradients, too


def test_gradients_of_leaves_share_no_memory():
    x, y = Node(away(3, 4)), Node(away(3, 4))
    cases = [
        x + y,
        np.reshape(x, -1) + np.ravel(y),
        (x + y).T,
        np.broadcast_to(x, (2, 3, 4)) + y,
        x,
        np.concatenate([x, y]),
    ]
    for z in cases:
        seed = np.ones(z.shape)
        z.backward(seed)
        before = np.copy(y.grad)
        x.grad *= 5  # writable and not shared
        assert (seed == 1).all()
        np.testing.assert_array_equal(y.grad, before)
    (np.broadcast_to(x.sum(), (100, 100)).mean() + Node(np.zeros((100, 100))).sum()).backward()
    x.grad *= 2


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.sum(),
        lambda x: x.mean(),
        lambda x: x.max(),
        lambda x: (x * np.ones((2, 3))).sum(),
        lambda x: (np.ones(3) + x).sum(),
        lambda x: np.var(x),
        lambda x: (x @ np.ones(3)).sum(),
        lambda x: (x * 2.0 + 1).sum(),
        lambda x: np.concatenate([x, np.ones((1, 3))]).sum(),
        lambda x: x[x > 0].sum() + x[[0, 0]].sum(),
    ],
)
def test_gradients_have_the_dtype_of_the_value(f):
    x = Node(away(2, 3).astype(np.float32))
    y = f(x)
    y.backward()
    assert x.grad.dtype == np.float32
    assert all(node.grad.dtype == node.dtype and node.grad.shape == node.shape for node in ancestors(y))
    reference = Node(x.value.astype(np.float64))
    f(reference).backward()
    np.testing.assert_allclose(x.grad, reference.grad, rtol=20 * np.finfo(np.float32).eps)


def test_python_numbers_do_not_widen():
    x = Node(np.ones(3, np.float32))
    for y in (x * 2.0, 3 - x, x**2, x / 3, np.maximum(x, 0), np.where(x > 0, x, 0), np.clip(x, 0, 1), x.mean(), 2**x):
        assert y.dtype == np.float32


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (3, "f8"),
        (True, "f8"),
        (np.int8(3), "f8"),
        (np.float16([1, 2]), "f4"),
        (np.arange(3, dtype=">f4"), "=f4"),
        ([1, 2], "f8"),
        (np.float32(2), "f4"),
    ],
)
def test_values(value, dtype):
    x = Node(value, name="x")
    assert x.dtype == np.dtype(dtype) and x.name == "x" and x.op == "leaf" and x.inputs == () and x.grad is None
    np.testing.assert_array_equal(x.value, value)
    assert x.shape == np.shape(value) and x.ndim == np.ndim(value) and x.size == np.size(value)


def test_an_array_is_not_copied():
    W = np.ones((2, 2))
    assert Node(W).value is W


@pytest.mark.parametrize(
    "value", [1j, "a", None, np.longdouble(1), np.array([1j]), np.array([None]), np.datetime64("2020")]
)
def test_values_that_are_not_real_are_a_type_error(value):
    with pytest.raises(TypeError, match="real numbers|invalid"):
        Node(value)


def test_empty_arrays():
    x = Node(np.zeros((0, 3)))
    (np.exp(x).sum() + (x @ np.ones((3, 2))).sum() + x[:0].sum()).backward()
    assert x.grad.shape == (0, 3)


# ---- errors ----------------------------------------------------------------------------------------------------------


def _iadd(a, x):
    a += x


def _imatmul(a, x):
    a @= x


def _assign(a, x):
    a[...] = x


ERRORS = {
    "asarray": lambda a, x: np.asarray(x),
    "array": lambda a, x: np.array([x, x]),
    "float64": lambda a, x: np.asarray(x, float),
    "+=": _iadd,
    "@=": _imatmul,
    "a[...] =": _assign,
    "out=array": lambda a, x: np.add(a, x, out=a),
    "out=node": lambda a, x: np.add(a, a, out=x),
    "matmul out": lambda a, x: np.matmul(a, x, out=a),
    "sum out": lambda a, x: np.sum(x, out=a),
    "at": lambda a, x: np.add.at(a, [0], x),
    "reduce": lambda a, x: np.add.reduce(x),
    "outer": lambda a, x: np.add.outer(x, x),
    "accumulate": lambda a, x: np.multiply.accumulate(x),
    "reduceat": lambda a, x: np.add.reduceat(x, [0]),
    "spacing": lambda a, x: np.spacing(x),
    "linalg.eig": lambda a, x: np.linalg.eig(x),
    "unique": lambda a, x: np.unique(x),
    "sort in place": lambda a, x: x.sort(),
    "frexp": lambda a, x: np.frexp(x),
    "astype": lambda a, x: x.astype(int),
    "quantile": lambda a, x: np.quantile(a, x),
    "pad": lambda a, x: np.pad(x, 1, "empty"),
    "svd": lambda a, x: np.linalg.svd(x[:2]),
    "dtype": lambda a, x: np.add(x, x, dtype=np.float32),
    "sum dtype": lambda a, x: np.sum(x, dtype=np.float32),
    "where=": lambda a, x: np.add(x, x, where=a > 0),
    "sum where": lambda a, x: np.sum(x, where=a > 0),
    "float": lambda a, x: float(x),
    "int": lambda a, x: int(x),
    "index": lambda a, x: a[x],
    "complex": lambda a, x: x * 1j,
    "complex array": lambda a, x: a.astype(complex) * x,
    "text": lambda a, x: x + "a",
    "None": lambda a, x: x * None,
    "condition": lambda a, x: np.where(x, a, a),
    "node of node": lambda a, x: Node(x),
    "einsum out": lambda a, x: np.einsum("ii->i", x, out=a[0]),
    "iteration": lambda a, x: list(x.sum()),
    "len": lambda a, x: len(x.sum()),
    "seed": lambda a, x: x.backward(a * 1j),
    "node seed": lambda a, x: x.backward(x),
}


@pytest.mark.parametrize("call", ERRORS.values(), ids=ERRORS)
def test_unsupported_calls_are_a_type_error(call):
    a = np.ones((3, 3))
    with pytest.raises(TypeError) as error:
        call(a, Node(away(3, 3)))
    assert (a == 1).all()
    assert len(str(error.value)) > 15


def test_an_unsupported_function_is_an_error_that_names_similar_ones():
    with pytest.raises(TypeError, match=r"np\.nanmedian .*nearest.*\bmedian\b"):
        np.nanmedian(Node(np.eye(2)))
    with pytest.raises(TypeError, match=r"np\.i0 .*no row"):
        np.i0(Node(1.0))
    with pytest.raises(TypeError, match=r"np\.linalg\.eigvals .* complex"):
        np.linalg.eigvals(Node(np.eye(2)))
    with pytest.raises(TypeError, match=r"np\.unique .* depends on the values"):
        np.unique(Node(np.eye(2)))
    with pytest.raises(TypeError, match=r"np\.stack"):
        np.array([Node(1.0), Node(2.0)])
    for call, message in (
        (lambda x: np.i0(x), r"np\.i0 does not work on Nodes: it has no row"),
        (lambda x: np.fft.rfft(x), r"np\.fft\.rfft does not work on Nodes: its results are complex numbers"),
        (lambda x: operator.setitem(x, 0, 1.0), r"^Node: an item cannot be set or deleted, .* np\.where"),
        (lambda x: operator.delitem(x, 0), r"^Node: an item cannot be set or deleted, .* np\.delete"),
        (lambda x: np.frexp(x), r"np\.frexp does not work on Nodes: it has no row"),
        (lambda x: np.put(np.ones(3), 0, x), r"np\.put .*: the nearest that do are where\."),
        (lambda x: np.logspace(0, x), r"np\.logspace .*: the nearest that do are linspace\."),
        (np.frompyfunc(abs, 1, 1), r"abs \(vectorized\) does not work on Nodes: it has no row"),
    ):
        with pytest.raises(TypeError, match=f"^{message}"):
            call(Node(1.0))


def test_an_unsupported_ufunc_of_another_library_is_named_with_its_module():
    special = pytest.importorskip("scipy.special")
    with pytest.raises(TypeError, match=r"^scipy\.special\.ellipk does not work on Nodes"):
        special.ellipk(Node(1.0))


@pytest.mark.filterwarnings("ignore")  # of functions that do not expect a Node
def test_suggested_functions_exist():
    suggested = {}
    for function in filter(callable, list(vars(np).values())):
        for count in range(1, 4 if hasattr(function, "_implementation") else 0):  # those that use __array_function__
            try:
                function(*[Node(np.ones(3))] * count)
            except Exception as error:
                if found := re.search(r"the nearest that do are (.+?)\. For", str(error)):
                    suggested[function.__name__] = found[1].split(", ")
    assert suggested["cov"] == ["mean", "matmul"] and len(suggested) > 9
    assert all(hasattr(np, name) or hasattr(np.linalg, name) for names in suggested.values() for name in names)


def test_in_place_operators_make_a_new_node():
    x = y = Node(2.0)
    x += 3
    x *= y
    x.backward()
    assert y.value == 2 and float(y.grad) == 2 + 3 + 2


def test_comparisons_and_shapes_are_plain_values():
    x, a = Node(away(2, 3)), away(2, 3)
    for plain in (
        x > 0,
        x >= a,
        a < x,
        a <= x,
        x == a,
        x != 0,
        1 < x,
        x < x,
        np.greater(x, 0),
        np.isnan(x),
        np.isfinite(x),
    ):
        assert type(plain) is np.ndarray and plain.dtype == bool and plain.shape == (2, 3)
    np.testing.assert_array_equal(x > a, x.value > a)
    np.testing.assert_array_equal(a > x, a > x.value)
    assert (np.shape(x), np.ndim(x), np.size(x), len(x)) == ((2, 3), 2, 6, 2)
    assert isinstance(len(x), int) and np.argmax(x) == np.argmax(x.value) == x.argmax()
    assert np.allclose(x, x.value) and type(np.zeros_like(x)) is np.ndarray
    assert x.sum().item() == x.value.sum() and f"{x.sum():.3f}" == f"{x.value.sum():.3f}"
    assert bool(x.sum() < 1e9) and bool(Node(1.0)) and not Node(0.0)
    assert [row.op for row in x] == ["getitem"] * 2
    assert len({x, x, Node(1.0)}) == 2
    assert repr(Node(2.0, name="w")) == "Node(2., op='leaf', name='w')"


def test_attributes():
    W, X = Node(away(2, 3), name="W"), away(3, 4)
    Z = W @ X
    assert Z.op == "matmul" and Z.inputs[0] is W and Z.inputs[1] is X and Z.name is None and Z.grad is None
    S = Z.sum(axis=1)
    assert S.op == "sum" and S.inputs == (Z,) and S.params == {"axis": 1}
    assert Z.data is Z.value and W.T.shape == (3, 2)
    Z.name = "Z"
    assert Z.name == "Z"


# ---- functions of functions ------------------------------------------------------------------------------------------


def test_grad_of_arguments():
    f = lambda W, x, scale=1.0: scale * np.sum(np.tanh(W @ x))  # noqa: E731
    W, x = away(2, 3), away(3)
    value, (dx, dW) = value_and_grad(f, argnums=(1, 0))(W, x, scale=2.0)
    np.testing.assert_allclose(value, f(W, x, scale=2.0))
    np.testing.assert_allclose(dW, central(lambda W: f(W, x, 2.0), W), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(dx, central(lambda x: f(W, x, 2.0), x), rtol=1e-7, atol=1e-8)
    np.testing.assert_array_equal(grad(f, 1)(W, x, 2.0), dx)
    assert isinstance(grad(f, (0,))(W, x), tuple) and isinstance(grad(f, -1)(W, x), np.ndarray)


def test_grad_of_lists_and_dicts():
    J = lambda p: (p["W"][0] * p["W"][1]).sum() + p["b"] ** 2  # noqa: E731
    g = grad(J)({"W": [away(3), away(3)], "b": 2.0, "unused": away(2)})
    assert float(g["b"]) == 4 and g["unused"].tolist() == [0, 0] and isinstance(g["W"], list)


def test_grad_of_a_constant_is_0_and_of_an_array_an_error():
    assert grad(lambda x: 3.0)(2.0) == 0
    with pytest.raises(ValueError, match=r"J\.mean\(\)"):
        grad(lambda x: x * 2)(np.ones(3))


# ---- the notes, pages 6 to 9 -----------------------------------------------------------------------------------------


def test_the_example_of_section_5():
    w, x, b = Node(-2.0, name="w"), Node(5.0, name="x"), Node(3.0, name="b")
    t = w * x
    z = t + b
    z.backward()
    assert (t.item(), z.item()) == (-10, -7)
    assert [float(n.grad) for n in (z, b, t, x, w)] == [1, 1, 1, -2, 5]  # 7.1, 7.2, 7.3
    h = 0.1
    for node, moved_t, moved_z in ((w, -9.5, -6.5), (x, -10.2, -7.2), (b, -10, -6.9)):
        moved = {n: n.item() + (h if n is node else 0) for n in (w, x, b)}
        t_ = moved[w] * moved[x]
        assert t_ == pytest.approx(moved_t, abs=1e-14) and t_ + moved[b] == pytest.approx(moved_z, abs=1e-14)
        assert z.item() + h * float(node.grad) == pytest.approx(moved_z, abs=1e-14)


def test_the_example_of_section_6():
    """Two perceptrons in a chain, with an activation between."""
    w1, b1, w2, b2 = [Node(v, name=n) for v, n in ((0.7, "w1"), (0.1, "b1"), (-1.3, "w2"), (0.4, "b2"))]
    x = 1.5
    a1 = np.tanh(z1 := w1 * x + b1)
    z2 = w2 * a1 + b2
    L = (z2 - 1) ** 2
    L.backward()
    dz2 = 2 * (z2.item() - 1)
    dz1 = dz2 * -1.3 * (1 - a1.item() ** 2)
    expected = {b2: dz2, w2: dz2 * a1.item(), z1: dz1, b1: dz1, w1: dz1 * x}
    for node, g in expected.items():
        np.testing.assert_allclose(node.grad, g, rtol=1e-14)


# ---- documentation and messages --------------------------------------------------------------------------------------


MODULES = ["autodiff", "autodiff.node", "autodiff.operations", "autodiff.transforms",
           "autodiff.custom", "autodiff.trees", "checking.gradcheck", "checking.check_gradient"]  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_the_documentation(module):
    module = importlib.import_module("nnc." + module)
    result = doctest.testmod(module, extraglobs={"nnc": nnc, "np": np})
    assert result.attempted and not result.failed


def test_errors_name_the_operation_and_the_shapes():
    W, X, b = Node(np.ones((3, 4))), np.ones((5, 4)), Node(np.zeros(3))
    for f, words in (
        (lambda: nnc.linear(W, X, b), r"linear: W is \(3, 4\) and X is \(5, 4\).*X\.T"),
        (lambda: nnc.linear(W, X.T, b), r"linear: b is \(3,\).*reshape"),
        (lambda: W @ X, r"matmul: A is \(3, 4\) and B is \(5, 4\)"),
        (lambda: X @ W, r"matmul: A is \(5, 4\) and B is \(3, 4\)"),
        (lambda: nnc.softmax_cross_entropy(W, [0, 1, 2, 3]), r"softmax_cross_entropy: y\[3\] is 3"),
    ):
        with pytest.raises(ValueError, match=words):
            f()
