"""Jacobians as in section 11 of the derivation, and the three layers of section 10 in three ways."""

import numpy as np
import pytest
from test_rules import away

import nnc
from nnc import Node

M, P, Q, N, R = 4, 6, 5, 3, 7  # inputs, hidden, hidden, classes, examples
F, DF = nnc.tanh, lambda A: 1 - A * A


def tree(r=R, sizes=(M, P, Q, N), dtype=np.float64):
    rng = np.random.default_rng(2)
    values = {"X": rng.standard_normal((sizes[0], r))}
    for i, (a, b) in enumerate(zip(sizes, sizes[1:], strict=False), 1):
        values[f"W{i}"], values[f"b{i}"] = rng.standard_normal((b, a)), rng.standard_normal((b, 1))
    return {name: value.astype(dtype) for name, value in values.items()}, rng.integers(0, sizes[-1], r)


def forward(v, y):
    """Section 10 with Nodes, a primitive a line."""
    t = {name: Node(value, name=name) for name, value in v.items()}
    t["Z1"] = nnc.linear(t["W1"], t["X"], t["b1"])
    t["A1"] = F(t["Z1"])
    t["Z2"] = nnc.linear(t["W2"], t["A1"], t["b2"])
    t["A2"] = F(t["Z2"])
    t["Z3"] = nnc.linear(t["W3"], t["A2"], t["b3"])
    t["L"] = nnc.softmax_cross_entropy(t["Z3"], y)
    return t


def in_numpy_expressions(v, y):
    """The same written out, eq. 3.9 and eq. 5.2 with indexing, not one primitive."""
    t = {name: Node(value, name=name) for name, value in v.items()}
    t["A0"] = t["X"]
    for i in (1, 2, 3):
        t[f"Z{i}"] = t[f"W{i}"] @ t[f"A{i - 1}"] + t[f"b{i}"]
        t[f"A{i}"] = np.tanh(t[f"Z{i}"])
    Z = t["Z3"]
    t["L"] = np.log(np.exp(Z).sum(axis=0)) - Z[y, np.arange(len(y))]
    return t


def by_hand(v, y):
    """The table of section 10, NumPy alone; the 1/r comes in once, at dZ3."""
    g, r = {}, v["X"].shape[1]
    A1 = np.tanh(v["W1"] @ v["X"] + v["b1"])
    A2 = np.tanh(v["W2"] @ A1 + v["b2"])
    E = np.exp(v["W3"] @ A2 + v["b3"])
    Y = np.zeros((E.shape[0], r))
    Y[y, np.arange(r)] = 1
    g["Z3"] = (E / E.sum(axis=0) - Y) / r
    g["A2"] = v["W3"].T @ g["Z3"]
    g["W3"], g["b3"] = g["Z3"] @ A2.T, g["Z3"].sum(axis=1, keepdims=True)
    g["Z2"] = g["A2"] * (1 - A2**2)
    g["A1"] = v["W2"].T @ g["Z2"]
    g["W2"], g["b2"] = g["Z2"] @ A1.T, g["Z2"].sum(axis=1, keepdims=True)
    g["Z1"] = g["A1"] * (1 - A1**2)
    g["X"] = v["W1"].T @ g["Z1"]
    g["W1"], g["b1"] = g["Z1"] @ v["X"].T, g["Z1"].sum(axis=1, keepdims=True)
    return g


def by_jacobians(v, y):
    """The table of section 11, NumPy alone: rows are examples, nothing is summed; then the sum over r, and 1/r."""
    J, r = {}, v["X"].shape[1]
    A1 = np.tanh(v["W1"] @ v["X"] + v["b1"])
    A2 = np.tanh(v["W2"] @ A1 + v["b2"])
    E = np.exp(v["W3"] @ A2 + v["b3"])
    P_minus_Y = (E / E.sum(axis=0)).T
    P_minus_Y[np.arange(r), y] -= 1
    J["Z3"] = P_minus_Y  # (r, n)
    J["A2"] = J["Z3"] @ v["W3"]  # (r, q)
    J["W3"] = np.einsum("rn,qr->rnq", J["Z3"], A2)
    J["b3"] = J["Z3"][:, :, None]
    J["Z2"] = np.einsum("rq,rqs->rs", J["A2"], np.stack([np.diag(1 - a**2) for a in A2.T]))
    J["A1"] = J["Z2"] @ v["W2"]
    J["W2"] = np.einsum("rq,pr->rqp", J["Z2"], A1)
    J["b2"] = J["Z2"][:, :, None]
    J["Z1"] = np.einsum("rp,rps->rs", J["A1"], np.stack([np.diag(1 - a**2) for a in A1.T]))
    J["X"] = J["Z1"] @ v["W1"]
    J["W1"] = np.einsum("rp,mr->rpm", J["Z1"], v["X"])
    J["b1"] = J["Z1"][:, :, None]
    return J


def close(a, b):
    """1e-12 of the largest entry: the sums have at most a dozen terms."""
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * np.max(np.abs(b)))


GRADIENTS = ["W1", "b1", "W2", "b2", "W3", "b3", "Z1", "A1", "Z2", "A2", "Z3", "X"]
PAIRED = {"Z1", "A1", "Z2", "A2", "Z3", "X"}


@pytest.mark.parametrize("build", [forward, in_numpy_expressions])
def test_the_graph_agrees_with_sections_10_and_11_in_numpy(build):
    v, y = tree()
    t, hand, jacobians = build(v, y), by_hand(v, y), by_jacobians(v, y)
    t["L"].mean().backward()
    for name in GRADIENTS:
        close(t[name].grad, hand[name])
        per_example = nnc.jacobian(t["L"], t[name], per_example=True)
        assert per_example.shape == jacobians[name].shape
        close(per_example, jacobians[name])
        close(per_example.T / R if name in PAIRED else per_example.sum(axis=0) / R, hand[name])


@pytest.mark.parametrize("build", [forward, in_numpy_expressions])
def test_shapes_of_section_11(build):
    v, y = tree()
    t = build(v, y)
    expected = {
        "Z3": (R, N),
        "A2": (R, Q),
        "W3": (R, N, Q),
        "b3": (R, N, 1),
        "Z2": (R, Q),
        "W2": (R, Q, P),
        "b2": (R, Q, 1),
        "A1": (R, P),
        "Z1": (R, P),
        "W1": (R, P, M),
        "b1": (R, P, 1),
        "X": (R, M),
        "L": (R,),
    }
    for name, shape in expected.items():
        assert nnc.jacobian(t["L"], t[name], per_example=True).shape == shape
        assert nnc.jacobian(t["L"], t[name]).shape == (R, *t[name].shape)


@pytest.mark.parametrize("build", [forward, in_numpy_expressions])
@pytest.mark.parametrize("r", [1, 4])
def test_pairing_is_not_decided_by_size(build, r):
    """All layers as wide as the batch: a W (n, r) or, with r = 1, a b (n, 1) is still a parameter."""
    v, y = tree(r, (r, r, r, r))
    t, J = build(v, y), by_jacobians(v, y)
    for name in GRADIENTS:
        per_example = nnc.jacobian(t["L"], t[name], per_example=True)
        assert per_example.shape == ((r, r) if name in PAIRED else (r, *t[name].shape))
        close(per_example, J[name])


def test_the_jacobian_of_a_composition_is_the_product_of_the_jacobians():
    """∂L/∂W1 as the product of the full Jacobians, of shape out + in."""
    v, y = tree()
    t = forward(v, y)
    steps = [nnc.jacobian(t[a], t[b]) for a, b in (("L", "Z3"), ("Z3", "A2"), ("A2", "Z2"), ("Z2", "A1"), ("A1", "Z1"))]
    assert [J.shape for J in steps] == [(R, N, R), (N, R, Q, R), (Q, R, Q, R), (Q, R, P, R), (P, R, P, R)]
    product = steps[0]
    for J in steps[1:]:
        product = np.tensordot(product, J, 2)
    close(product, nnc.jacobian(t["L"], t["Z1"]))
    for name in ("W1", "b1", "X"):
        close(np.tensordot(product, nnc.jacobian(t["Z1"], t[name]), 2), nnc.jacobian(t["L"], t[name]))
    # Z = W X: the Kronecker product of I and X
    close(nnc.jacobian(t["Z1"], t["W1"]), np.einsum("ab,mr->arbm", np.eye(P), v["X"]))


def test_each_column_of_a_jacobian_is_a_finite_difference():
    v, y = tree()
    t = forward(v, y)
    for name in ("W1", "b2", "X"):
        J, x = nnc.jacobian(t["Z3"], t[name]), v[name]
        for i in np.ndindex(x.shape):
            h = np.zeros(x.shape)
            h[i] = 1e-6
            up, down = (forward({**v, name: x + s * h}, y)["Z3"].value for s in (1, -1))
            np.testing.assert_allclose(J[(..., *i)], (up - down) / 2e-6, rtol=1e-7, atol=1e-8)


def test_jacobians_of_other_shapes():
    x = Node(away(3, 4))
    assert nnc.jacobian(x.sum(), x).shape == (3, 4)
    np.testing.assert_array_equal(nnc.jacobian(x, x), np.eye(12).reshape(3, 4, 3, 4))
    np.testing.assert_array_equal(nnc.jacobian(x.T, x), np.eye(12).reshape(3, 4, 3, 4).transpose(1, 0, 2, 3))
    assert nnc.jacobian(x, x, per_example=True).shape == (4, 3, 3)
    y = np.tanh(x)
    np.testing.assert_allclose(nnc.jacobian(y, x, per_example=True), [np.diag(d) for d in (1 - y.value**2).T])
    assert nnc.jacobian(x[:, :0], x).shape == (3, 0, 3, 4)


def test_the_jacobian_of_float32_is_float32():
    v, y = tree(dtype=np.float32)
    t = forward(v, y)
    for per_example in (False, True):
        assert nnc.jacobian(t["L"], t["W1"], per_example).dtype == np.float32
    np.testing.assert_allclose(nnc.jacobian(t["L"], t["W1"], True), by_jacobians(*tree())["W1"], rtol=1e-4, atol=1e-5)


def test_jacobian_sets_no_grad():
    v, y = tree()
    t = forward(v, y)
    nnc.jacobian(t["L"], t["W1"], per_example=True)
    assert all(node.grad is None for node in t.values())


def test_wrong_arguments_are_errors():
    x = Node(away(3, 4))
    with pytest.raises(ValueError, match="computed from"):
        nnc.jacobian(x.sum(), Node(1.0))
    with pytest.raises(ValueError, match="per_example"):
        nnc.jacobian(x.mean(), x, per_example=True)
    for bad in ((x.value, x), (x.sum(), x.value)):
        with pytest.raises(TypeError, match="Node"):
            nnc.jacobian(*bad)


# ---- pairing of the examples -----------------------------------------------------------------------------------------

X, W = away(3, 5), away(2, 3)
PAIRS = {  # from x, with its examples last, to one number for each example, which depends on that example alone
    "sum": lambda x: (x * x).sum(axis=0),
    "mean, keepdims": lambda x: (x * x).mean(axis=0, keepdims=True)[0],
    "max": lambda x: x.max(axis=-2),
    "reshape": lambda x: (x.reshape(1, 3, 5) ** 2).sum((0, 1)),
    "transpose": lambda x: np.sum(x.T**2, axis=1),
    "einsum": lambda x: np.einsum("nr,nr->r", x, x),
    "row": lambda x: x[1] * x[0],
    "label": lambda x: x[np.array([0, 2, 1, 1, 0]), np.arange(5)],
    "softmax": lambda x: -np.log(nnc.softmax(x)[2]),
    "log_softmax": lambda x: nnc.log_softmax(x)[0],
    "cross_entropy": lambda x: nnc.cross_entropy(nnc.softmax(x), np.array([0, 2, 1, 1, 0])),
    "product": lambda x: (W @ x).sum(0),
    "row @ x": lambda x: W[0] @ x,
    "stack": lambda x: np.stack([x, x * x]).sum((0, 1)),
    "concatenate": lambda x: np.concatenate([x, x * x]).prod(0),
    "bias": lambda x: nnc.add_bias(x, away(3, 1))[0] ** 2,
    "cumsum": lambda x: np.cumsum(x, axis=0)[2],
    "weights per example": lambda x: (x * away(5)).sum(0),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1)[:, 0] ** 2,
    "expand, squeeze": lambda x: np.squeeze(np.expand_dims(x, 0), 0)[0] ** 2,
}
NOT_PAIRED = {  # examples are mixed, or x is not an array of examples
    "reversed": lambda x: x[0, ::-1] ** 2,
    "batch norm": lambda x: ((x - x.mean(axis=1, keepdims=True)) ** 2).sum(0),
    "softmax over the batch": lambda x: nnc.softmax(x, axis=1)[0],
    "shuffled": lambda x: x[:, np.array([1, 0, 2, 3, 4])].sum(0),
    "two paths": lambda x: x[0] + x[1, ::-1],
    "as a weight": lambda x: (x @ away(5, 5)).sum(0),
    "rows are examples": lambda x: (x.T @ away(3, 5)).sum(1) * away(5) + (x.T @ away(3, 5)).sum(0),
    "cumsum": lambda x: np.cumsum(x, axis=1)[0],
    "rolled": lambda x: np.roll(x, 1, axis=1)[0],
}


@pytest.mark.parametrize("f", PAIRS.values(), ids=PAIRS)
def test_examples_are_paired(f):
    x = Node(X)
    L = f(x)
    full, per_example = nnc.jacobian(L, x), nnc.jacobian(L, x, per_example=True)
    assert full.shape == (5, 3, 5) and per_example.shape == (5, 3)
    close(per_example, np.stack([full[i, :, i] for i in range(5)]))
    assert all((full[i, :, j] == 0).all() for i in range(5) for j in range(5) if i != j)  # the entries left out


@pytest.mark.parametrize("f", NOT_PAIRED.values(), ids=NOT_PAIRED)
def test_examples_that_are_mixed_give_the_full_jacobian(f):
    x = Node(X)
    L = f(x)
    np.testing.assert_array_equal(nnc.jacobian(L, x, per_example=True), nnc.jacobian(L, x))


def test_one_example():
    """r = 1, section 8: a column added to a computed column is a bias; alone it is data."""
    w, x, b = Node(away(2, 3)), Node(away(3, 1)), Node(away(2, 1))
    L = np.log(np.exp(w @ x + b).sum(axis=0))
    assert [nnc.jacobian(L, n, per_example=True).shape for n in (w, x, b)] == [(1, 2, 3), (1, 3), (1, 2, 1)]
    Z = Node(away(3, 1))
    assert nnc.jacobian(np.exp(Z).sum(axis=0), Z, per_example=True).shape == (1, 3)


def test_a_custom_operation_is_assumed_to_mix_the_examples():
    """Each column divided by the sum of its row: every example depends on all."""

    def vjp(g, y, Z):
        total = Z.sum(-1, keepdims=True)
        return g / total - (g * Z).sum(-1, keepdims=True) / total**2

    Z = nnc.Node(np.random.default_rng(0).uniform(1, 2, (2, 3)))
    L = nnc.custom(lambda Z: Z / Z.sum(-1, keepdims=True), vjp)(Z).sum(axis=0)
    np.testing.assert_array_equal(nnc.jacobian(L, Z, per_example=True), nnc.jacobian(L, Z))
