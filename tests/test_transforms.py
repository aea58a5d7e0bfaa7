"""grad of grad, hessian, hvp, jvp, vjp, jacobian of functions; structures of arrays; custom operations."""

import copy
from collections import namedtuple

import numpy as np
import pytest
from test_rules import away, central

import nnc
from nnc import Node


def f(x):
    """A function whose derivatives of any order are known by hand: sum of x^4 + the product of neighbours."""
    return np.sum(x**4) + np.sum(x[1:] * x[:-1])


def hessian_of_f(x):
    return np.diag(12 * x**2) + np.eye(len(x), k=1) + np.eye(len(x), k=-1)


X, V = away(4), away(4) + 0.5
CASES = {  # functions of one array that go through many kinds of operations
    "by hand": f,
    "net": lambda x: np.tanh(x.reshape(2, 2) @ x[:2]).sum() * nnc.sigmoid(x[3]),
    "softmax": lambda x: nnc.softmax_cross_entropy(x[:, None], np.array([2]))[0],
    "probabilities": lambda x: nnc.cross_entropy(nnc.softmax(x[:, None] * x[:, None]), np.array([1])).sum(),
    "log_softmax": lambda x: (nnc.log_softmax(x, axis=0) * x).sum(),
    "norm": lambda x: np.linalg.norm(x) ** 3,
    "prod": lambda x: np.prod(x) * x.max(),
    "picked": lambda x: (x[np.array([0, 0, 3])] ** 3).sum() + np.cumsum(x**2)[2],
    "einsum": lambda x: np.einsum("i,j,i->", x, x * x, x),
    "linear": lambda x: nnc.linear(x.reshape(2, 2), x.reshape(2, 2), x[:2].reshape(2, 1)).sum() ** 2,
    "constant": lambda x: np.sum(x * 3.0),
}


@pytest.mark.parametrize("name", CASES)
def test_second_order(name):
    f = CASES[name]
    H = nnc.hessian(f)(X)
    assert H.shape == (4, 4) and type(H) is np.ndarray
    by_differences = np.stack([central(lambda x, i=i: nnc.grad(f)(x)[i], X) for i in range(4)])
    np.testing.assert_allclose(H, by_differences, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(nnc.hvp(f)(X, V), H @ V, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(nnc.jvp(nnc.grad(f), (X,), (V,))[1], H @ V, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(nnc.vjp(nnc.grad(f), X)[1](V)[0], H @ V, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(nnc.grad(lambda x: nnc.grad(f)(x) @ V)(X), H @ V, rtol=1e-12, atol=1e-12)
    value, tangent = nnc.jvp(f, (X,), (V,))
    np.testing.assert_allclose([value, tangent], [f(X), nnc.grad(f)(X) @ V], rtol=1e-13)
    x = Node(X)
    f(x).backward(create_graph=True)
    np.testing.assert_allclose(x.grad.value, nnc.grad(f)(X), rtol=1e-13)
    if x.grad.inputs:
        np.testing.assert_allclose(nnc.jacobian(x.grad, x) if name != "constant" else 0 * H, H, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", set(CASES) - {"constant"})
def test_third_order(name):
    """The gradient of v H v, and the Jacobian of the Hessian, against differences of the Hessian."""
    f = CASES[name]
    curvature = lambda x: nnc.hvp(f)(x, V) @ V  # noqa: E731
    by_differences = central(lambda x: V @ nnc.hessian(f)(x) @ V, X)
    np.testing.assert_allclose(nnc.grad(curvature)(X), by_differences, rtol=1e-5, atol=1e-6)
    third = nnc.jacobian(nnc.hessian(f))(X)
    assert third.shape == (4, 4, 4)
    np.testing.assert_allclose(np.einsum("ijk,i,j->k", third, V, V), by_differences, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(third, third.transpose(2, 0, 1), rtol=1e-10, atol=1e-10)


def test_known_derivatives():
    np.testing.assert_allclose(nnc.hessian(f)(X), hessian_of_f(X), rtol=1e-14)
    derivative, expected = lambda x: x**5, [5, 20, 60, 120, 120, 0]
    for number in expected:
        derivative = nnc.grad(derivative)
        assert derivative(1.0) == number


def test_nested_derivatives_are_not_confused():
    """Perturbation confusion: two variables of equal value, and functions that use variables of an outer function."""
    grad = nnc.grad
    assert grad(lambda x: x * grad(lambda y: x * y)(x))(2.0) == 4
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0) == 1
    assert grad(lambda x: x * nnc.jvp(lambda y: x * y, (x,), (1.0,))[1])(3.0) == 6
    assert grad(lambda x: grad(lambda y: grad(lambda z: x * y * z**3)(y))(2.0))(5.0) == 36
    w = Node(3.0)
    inner = grad(lambda x: w * x * x)(2.0)  # depends on w, so it is a Node of w's graph
    inner.backward()
    assert inner.value == 12 and w.grad == 4
    assert type(grad(lambda x: x * x)(2.0)) is np.float64


def test_jacobian_of_a_function():
    W, b = away(2, 3), away(2)
    J = nnc.jacobian(lambda x: np.tanh(W @ x + b))(X[:3])
    z = np.tanh(W @ X[:3] + b)
    np.testing.assert_allclose(J, (1 - z**2)[:, None] * W, rtol=1e-14)
    JW, Jb = nnc.jacobian(lambda W, x, b: W @ x + b, argnums=(0, 2))(W, X[:3], b)
    assert JW.shape == (2, 2, 3)
    np.testing.assert_array_equal(Jb, np.eye(2))
    np.testing.assert_array_equal(nnc.jacobian(lambda x, y: y * 2, 1)(X, b), 2 * np.eye(2))
    both = nnc.jacobian(lambda x: {"square": x**2, "none": np.ones(3)})(X)
    np.testing.assert_array_equal(both["square"], np.diag(2 * X))
    np.testing.assert_array_equal(both["none"], np.zeros((3, 4)))
    L = nnc.jacobian(lambda W: nnc.softmax_cross_entropy(W @ away(3, 5), np.zeros(5, int)), per_example=True)(W)
    assert L.shape == (5, 2, 3)


Layer = namedtuple("Layer", "W b")


def test_every_transformation_returns_the_same_structure():
    """Parameters in a dict of named tuples, lists and tuples."""
    p = {"hidden": Layer(away(3, 2), away(3, 1)), "out": [away(2, 3), (away(2, 1),)], "scale": 2.0}
    x = away(2, 4)

    def J(p):
        A = np.tanh(p["hidden"].W @ x + p["hidden"].b)
        return (p["scale"] * (p["out"][0] @ A + p["out"][1][0]) ** 2).mean()

    value, g = nnc.value_and_grad(J)(p)
    assert list(g) == list(p) and type(g["hidden"]) is Layer and type(g["out"][1]) is tuple
    np.testing.assert_allclose(
        g["hidden"].W,
        central(lambda W: J(p | {"hidden": Layer(W, p["hidden"].b)}), p["hidden"].W),
        rtol=1e-7,
        atol=1e-9,
    )
    np.testing.assert_allclose(g["scale"] * p["scale"], value)  # J is linear in it
    Hg = nnc.hvp(J)(p, g)
    again = nnc.jvp(nnc.grad(J), (p,), (g,))[1]
    assert type(Hg["hidden"]) is Layer
    np.testing.assert_allclose(Hg["out"][1][0], again["out"][1][0], rtol=1e-12)
    H = nnc.hessian(J)(p)
    assert H["hidden"].W["out"][0].shape == (3, 2, 2, 3)
    np.testing.assert_allclose(
        H["hidden"].W["out"][0], np.moveaxis(H["out"][0]["hidden"].W, (0, 1), (2, 3)), rtol=1e-12
    )
    assert H["scale"]["scale"] == 0
    with pytest.raises(TypeError, match="structure"):
        nnc.hvp(J)(p, g["out"])
    with pytest.raises(ValueError, match=r"hvp: v is \(2, 3\), but must be of the shape \(3, 2\)"):
        nnc.hvp(J)(p, g | {"hidden": Layer(away(2, 3), away(3, 1))})


def test_entries_of_dicts_are_matched_by_their_keys():
    """Not by their order, which may differ in equal dicts."""
    f, p = lambda p: {"u": p["a"] ** 2 * p["b"], "v": p["b"]}, {"a": 2.0, "b": 3.0}
    assert nnc.hvp(lambda p: f(p)["u"])(p, {"b": 0.0, "a": 1.0}) == {"a": 6.0, "b": 4.0}
    assert nnc.jvp(f, (p,), ({"b": 0.0, "a": 1.0},))[1] == {"u": 12.0, "v": 0.0}
    assert nnc.vjp(f, p)[1]({"v": 1.0, "u": 0.0}) == ({"a": 0.0, "b": 1.0},)
    nested = nnc.hvp(lambda p: p["x"][0]["a"] ** 2 * p["x"][0]["b"])
    assert nested({"x": [p]}, {"x": [{"b": 0.0, "a": 1.0}]}) == {"x": [{"a": 6.0, "b": 4.0}]}


def test_arguments_and_results_that_are_not_numbers_are_errors():
    for x, shown in (("relu", "'relu'"), (None, "None"), (np.tanh, "<ufunc 'tanh'>")):
        with pytest.raises(TypeError, match=f"^grad: argument 0 of f has {shown} in it, but is differentiated"):
            nnc.grad(lambda p: p["w"] ** 2)({"w": 1.0, "activation": x})
    for y, shown in ((None, "None, .* is its return missing"), ("J", "a str"), ((1.0, 2.0), "a tuple"), ({}, "a dict")):
        for caller, call in (("grad", nnc.grad), ("hvp", nnc.hvp)):
            with pytest.raises(TypeError, match=f"^{caller}: f returns {shown}"):
                call(lambda *_, y=y: y)(1.0, *[1.0] * (caller == "hvp"))


def test_jvp_and_vjp_of_several():
    def f(x, y):
        return {"product": x * y, "sum": [x.sum(), 1.0]}

    x, y, u, v = away(3), away(3), away(3), away(3)
    value, tangent = nnc.jvp(f, (x, y), (u, v))
    np.testing.assert_array_equal(value["product"], x * y)
    np.testing.assert_allclose(tangent["product"], u * y + x * v, rtol=1e-14)
    np.testing.assert_allclose(tangent["sum"], [u.sum(), 0.0], rtol=1e-14)
    value, back = nnc.vjp(f, x, y)
    for _ in range(2):
        dx, dy = back({"product": u, "sum": [2.0, 5.0]})
        np.testing.assert_allclose(dx, u * y + 2, rtol=1e-14)
        np.testing.assert_allclose(dy, u * x, rtol=1e-14)
    with pytest.raises(TypeError, match=r"jvp: primals and tangents are tuples"):
        nnc.jvp(f, x, u)
    with pytest.raises(ValueError, match=r"jvp: tangents is \(2,\), but must be of the shape \(3,\)"):
        nnc.jvp(f, (x, y), (u, v[:2]))


def test_float32_stays_float32():
    x = X.astype(np.float32)
    for name, function in CASES.items():
        assert nnc.hessian(function)(x).dtype == np.float32, name
        assert nnc.hvp(function)(x, V).dtype == np.float32
        np.testing.assert_allclose(nnc.hvp(function)(x, V), nnc.hvp(function)(X, V), rtol=1e-4, atol=1e-4)


def test_results_do_not_share_memory_with_the_callers_arrays():
    v = V.copy()
    product = nnc.hvp(lambda x: 0.5 * (x @ x))(X, v)
    product *= 2
    np.testing.assert_array_equal(v, V)
    (back,) = nnc.vjp(lambda x: x, X)[1](v)
    back *= 2
    np.testing.assert_array_equal(v, V)


def test_a_hessian_vector_product_forms_no_hessian():
    x, v = np.ones(100_000), np.arange(100_000.0)  # the Hessian would be 80 GB
    np.testing.assert_allclose(nnc.hvp(lambda x: np.sum(x**3))(x, v), 6 * v)


def test_wrong_results_and_arguments_are_errors():
    with pytest.raises(ValueError, match=r"grad: f returns \(4,\), but must return a scalar"):
        nnc.grad(lambda x: x)(X)
    with pytest.raises(ValueError, match=r"hvp: f returns \(4,\)"):
        nnc.hvp(lambda x: x)(X, V)
    with pytest.raises(TypeError, match="argnums is 1, but f is called with 1 positional"):
        nnc.grad(f, 1)(X)
    with pytest.raises(TypeError, match="must be real numbers"):
        nnc.hvp(f)(X, V * 1j)


# ---- custom operations ----------------------------------------------------------------------------------------------

softplus = nnc.custom(lambda z: np.logaddexp(0, z), lambda g, y, z: g * nnc.sigmoid(z), r"\ln(1 + e^{{0}})")


def cube_sum(A, B, power=3):
    return (A + B) ** power


def cube_sum_vjp(g, y, A, B, power=3):
    return g * power * (A + B) ** (power - 1), g * power * (A + B) ** (power - 1)


def test_custom():
    assert type(softplus(0.0)) is np.float64
    np.testing.assert_allclose(nnc.grad(lambda z: softplus(z).sum())(X), nnc.sigmoid(X), rtol=1e-14)
    s = nnc.sigmoid(X)
    np.testing.assert_allclose(nnc.hessian(lambda z: softplus(z).sum())(X), np.diag(s * (1 - s)), rtol=1e-14)
    assert nnc.gradcheck(lambda z: softplus(z).sum(), X).ok
    np.testing.assert_allclose(nnc.jacobian(softplus)(X), np.diag(s), rtol=1e-14)
    z = Node(X, name="z")
    derivation = nnc.derive(softplus(z * z).sum(), wrt=z)
    assert derivation.residual < 1e-8 and "custom'" in str(derivation) and r"\ln(1 + e^" in derivation.latex()
    assert "svg" in softplus(z).graph().svg
    again = copy.deepcopy(softplus(z))
    again.backward(np.ones(4))
    np.testing.assert_array_equal(again.value, softplus(X))


def test_custom_of_several_arrays():
    for vjp in (cube_sum_vjp, [lambda *a, i=i, **k: cube_sum_vjp(*a, **k)[i] for i in (0, 1)]):
        op = nnc.custom(cube_sum, vjp)
        A, B = away(3, 1), away(4)
        assert nnc.gradcheck(lambda A, B, op=op: op(A, B).sum(), A, B).ok
        for power in (2, 3):
            dA, dB = nnc.grad(lambda A, B, op=op, p=power: op(A, B, power=p).sum(), (0, 1))(A, B)
            expected = power * (A + B) ** (power - 1)
            np.testing.assert_allclose(dA, expected.sum(1, keepdims=True), rtol=1e-13)
            np.testing.assert_allclose(dB, expected.sum(0), rtol=1e-13)
        node = op(Node(A), B)
        assert node.op == "cube_sum" and node.shape == (3, 4)
        np.testing.assert_allclose(nnc.jacobian(node, node.inputs[0]).sum((2, 3)), 3 * (A + B) ** 2, rtol=1e-13)


def test_a_wrong_custom_gradient_is_found():
    wrong = nnc.custom(np.sin, lambda g, y, z: g * -np.cos(z))
    assert not nnc.gradcheck(lambda z: wrong(z).sum(), X).ok
    with pytest.raises(ValueError, match=r"sin: its vjp returns \(3,\) for array 1, which is \(4,\)"):
        nnc.grad(lambda z: nnc.custom(np.sin, lambda g, y, z: np.ones(3))(z).sum())(X)
    with pytest.raises(TypeError, match="cube_sum: its vjp returns one gradient, but it has 2 arrays"):
        nnc.grad(lambda z: nnc.custom(cube_sum, lambda g, y, A, B: g)(z, z).sum())(X)
    plain = nnc.custom(np.sin, lambda g, y, z: g * np.asarray(np.cos(z.view())))
    assert nnc.gradcheck(lambda z: plain(z).sum(), X).ok
    with pytest.raises((TypeError, AttributeError)):
        nnc.hessian(lambda z: plain(z).sum())(X)
    arrays = nnc.custom(np.sin, lambda g, y, z: np.multiply(g, np.asarray(z)))
    with pytest.raises(TypeError, match="sin is not differentiable twice"):
        nnc.hessian(lambda z: arrays(z).sum())(X)
    for bad in (lambda: nnc.custom(3, np.sin), lambda: nnc.custom(np.sin, 3), lambda: nnc.custom(np.sin, None)):
        with pytest.raises(TypeError, match="custom"):
            bad()


def test_custom_of_labels():
    """Labels are constants: the vjp returns None for them."""
    hinge = nnc.custom(lambda z, y: np.maximum(0, 1 - y * z), lambda g, L, z, y: (g * -y * (L.astype(bool)), None))
    y = np.array([1, -1, 1, -1])
    assert nnc.gradcheck(lambda z: hinge(z, y).sum(), X).ok
    refused = nnc.custom(lambda z, y: z * y, [lambda g, L, z, y: g * y, None])
    with pytest.raises(TypeError, match="no gradient flows through argument 2"):
        refused(X, Node(X))


def test_an_operation_without_second_derivatives_is_an_error():
    """A rule without vjps of Nodes can be differentiated once."""
    from dataclasses import replace

    x = Node(X)
    y = np.exp(x)
    y._rule = replace(y._rule, vjps_of_nodes=None)
    y.sum().backward()
    with pytest.raises(TypeError, match="exp is not differentiable twice"):
        y.sum().backward(create_graph=True)


def test_a_graph_of_second_order_is_drawn_and_derived():
    x = Node(X, name="x")
    f(x).backward(create_graph=True)
    h = x.grad @ V
    h.backward()
    np.testing.assert_allclose(x.grad, hessian_of_f(X) @ V, rtol=1e-13)
    assert "scatter" in h.graph().svg
    y = np.exp(x)
    y.sum().backward(create_graph=True)
    assert y.graph().svg.count(">grad<") == 2  # both gradients are Nodes
    z = Node(X[:, None], name="z")
    nnc.softmax_cross_entropy(z, np.array([1])).sum().backward(create_graph=True)
    derivation = nnc.derive(z.grad[2, 0], wrt=z)
    assert derivation.residual < 1e-7 and len(derivation) > 2
    p = nnc.softmax(X)
    np.testing.assert_allclose(derivation.value[:, 0], (np.diag(p) - np.outer(p, p))[2], rtol=1e-13, atol=1e-16)


BACKWARDS = {  # the derivation's own backward functions, of Nodes: gradients that can be differentiated again
    "matmul": lambda A, B: nnc.matmul_backward(A @ B, A, B),
    "vectors": lambda A, B: nnc.matmul_backward(A[0] @ B[:, 0], A[0], B[:, 0]),
    "linear": lambda A, B: nnc.linear_backward(np.tanh(A @ B), A, B),
    "add_bias": lambda A, B: nnc.add_bias_backward(A * A)[1:],
    "relu": lambda A, B: (nnc.relu_backward(A * A, nnc.relu(A)), nnc.leaky_relu_backward(B * B, B, 0.3)),
    "sigmoid": lambda A, B: (nnc.sigmoid_backward(A, A * A), nnc.tanh_backward(B * B, B)),
    "softmax": lambda A, B: (nnc.softmax_backward(A * A, nnc.softmax(A)), nnc.softmax_backward(B, B, axis=1)),
    "losses": lambda A, B: (
        nnc.softmax_cross_entropy_backward(0.5, nnc.softmax(A), [0, 1, 0]),
        nnc.softmax_cross_entropy_backward(A[0], nnc.softmax(A), [0, 1, 0]),
        nnc.cross_entropy_backward(A[1] * 2, nnc.softmax(A), [0, 1, 0]),
        nnc.softmax_cross_entropy_backward(A[0, 0], nnc.softmax(A), [0, 1, 0]),
        nnc.cross_entropy_backward(0.5, nnc.softmax(A), np.full((2, 3), 0.5)),
        nnc.squared_error_backward(A[0], A * A, np.ones((2, 3))),
        nnc.binary_cross_entropy_backward(0.5, nnc.sigmoid(A), np.ones((2, 3))),
    ),
}


@pytest.mark.parametrize("name", BACKWARDS)
def test_the_backward_functions_take_nodes(name):
    """The same numbers as of arrays, and gradients that are those of finite differences."""
    A, B = away(2, 3), away(3, 2) + 0.05
    f = BACKWARDS[name]
    for a, b in zip(f(Node(A), Node(B)), f(A, B), strict=True):
        np.testing.assert_allclose(a.value, b, rtol=1e-14, atol=1e-15)
    for a, b in zip(f(A, Node(B)), f(A, B), strict=True):
        np.testing.assert_allclose(a.value if isinstance(a, Node) else a, b, rtol=1e-14, atol=1e-15)

    def J(A, B):
        return sum(np.sum(g * np.cos(np.arange(g.size)).reshape(g.shape)) for g in f(A, B))

    for i, g in enumerate(nnc.grad(J, (0, 1))(A, B)):
        right = central(lambda x, i=i: J(*(x if k == i else y for k, y in enumerate((A, B)))), (A, B)[i])
        np.testing.assert_allclose(g, right, rtol=1e-6, atol=1e-8)
    with pytest.raises(ValueError, match="backward"):
        nnc.matmul_backward(Node(A), A, A)
    with pytest.raises(ValueError, match="backward"):
        nnc.linear_backward(Node(A), A, A)
