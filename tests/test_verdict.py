"""check_gradient: every fault of the list, planted in every gradient of section 10 of the derivation, is named."""

import numpy as np
import pytest

import nnc
from nnc import Node

M, P, Q, N, R = 7, 6, 5, 3, 4  # inputs, hidden, hidden, classes, examples: all different, so that shapes differ


def three_layers(r=R, dtype=np.float64, sizes=(M, P, Q, N), seed=3):
    """The net of section 10 as Nodes, by name, and J, a mean."""
    rng = np.random.default_rng(seed)
    m, p, q, n = sizes
    t = {"X": rng.standard_normal((m, r))}
    for i, (a, b) in enumerate(((m, p), (p, q), (q, n)), 1):
        t[f"W{i}"], t[f"b{i}"] = rng.standard_normal((b, a)), rng.standard_normal((b, 1)) * 0.1
    t = {name: Node(value.astype(dtype), name=name) for name, value in t.items()}
    y = rng.integers(0, n, r)
    t["Z1"] = nnc.linear(t["W1"], t["X"], t["b1"])
    t["A1"] = nnc.tanh(t["Z1"])
    t["Z2"] = nnc.linear(t["W2"], t["A1"], t["b2"])
    t["A2"] = nnc.sigmoid(t["Z2"])
    t["Z3"] = nnc.linear(t["W3"], t["A2"], t["b3"])
    t["L"] = nnc.softmax_cross_entropy(t["Z3"], y)
    for name, node in t.items():
        node.name = name
    J = t["L"].mean()
    J.backward()
    return t, J, y


NET, J, Y = three_layers()
NAMES = ["W1", "b1", "W2", "b2", "W3", "b3", "Z1", "Z2", "Z3", "A1", "A2", "X"]
UPSTREAM = {"1": ("Z1", "X"), "2": ("Z2", "A1"), "3": ("Z3", "A2")}


def not_summed(name):
    """The gradient without the sum over the examples: they are the first axis, as in section 11."""
    t = NET
    if name[0] == "W":
        dZ, A = (t[n] for n in UPSTREAM[name[1]])
        return np.einsum("nr,mr->rnm", dZ.grad, A.value)
    if name[0] == "b":
        return t["Z" + name[1]].grad
    return np.einsum("nr,rs->snr", t[name].grad, np.eye(R))  # the full Jacobian, most of it 0


def wrong_axis(name):
    t = NET
    if name[0] == "W":
        return not_summed(name).sum(axis=2)
    if name[0] == "b":
        return t["Z" + name[1]].grad.sum(axis=0)
    return t[name].grad.sum(axis=1, keepdims=True)


def right(name):
    return NET[name].grad.copy()


def one_entry(name):
    g = right(name)
    g[-1, 0] += 0.3 * abs(g).max()
    return g


FAULTS = {
    "correct": right,
    "transposed": lambda name: right(name).T,
    "sign": lambda name: -right(name),
    "missing 1/r": lambda name: R * right(name),
    "extra 1/r": lambda name: right(name) / R,
    "not summed over the batch": not_summed,
    "summed over the wrong axis": wrong_axis,
    "scale": lambda name: 2.5 * right(name),
    "shape": lambda name: right(name)[:-1],
    "wrong": one_entry,
}
FACTORS = {"correct": 1, "sign": -1, "missing 1/r": R, "extra 1/r": 1 / R, "scale": 2.5}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reason", FAULTS)
def test_every_fault_in_every_gradient(reason, name):
    verdict = nnc.check_gradient(FAULTS[reason](name), J, NET[name])
    assert verdict.reason == reason
    assert verdict.ok == (reason == "correct") == bool(verdict)
    assert verdict.factor == (pytest.approx(FACTORS[reason], rel=1e-12) if reason in FACTORS else None)
    assert str(verdict).startswith(reason + ": ") and name in str(verdict) and reason in verdict._repr_html_()


@pytest.mark.parametrize("name", ["b1", "b2", "b3"])
def test_the_ways_to_sum_a_bias_wrongly(name):
    """With and without the 1/r, with and without keepdims."""
    dZ = NET["Z" + name[1]].grad
    for factor in (1, R):
        for mine in (dZ.sum(0), dZ.sum(0, keepdims=True), dZ.sum(0)[:, None]):
            assert nnc.check_gradient(factor * mine, J, NET[name]).reason == "summed over the wrong axis"
        assert nnc.check_gradient(factor * dZ, J, NET[name]).reason == "not summed over the batch"
    assert nnc.check_gradient(dZ.sum(1), J, NET[name]).reason == "shape"  # its numbers are right
    assert "numbers are right" in str(nnc.check_gradient(dZ.sum(1), J, NET[name]))


def test_where_all_sizes_are_equal_the_numbers_decide():
    """All matrices are square, m = p = q = n = r, so that shapes cannot help."""
    t, J, _ = three_layers(r=4, sizes=(4, 4, 4, 4))
    dZ, A = t["Z2"].grad, t["A1"].value
    for mine, reason in (
        (dZ @ A.T, "correct"),
        (A @ dZ.T, "transposed"),
        (4 * dZ @ A.T, "missing 1/r"),
        (dZ.T @ A, "wrong"),
        (np.einsum("nr,mr->rnm", dZ, A).sum(1), "summed over the wrong axis"),
    ):
        assert nnc.check_gradient(mine, J, t["W2"]).reason == reason
    for mine, reason in (
        (dZ.sum(1, keepdims=True), "correct"),
        (dZ.sum(1, keepdims=True).T, "transposed"),
        (dZ.sum(0, keepdims=True).T, "summed over the wrong axis"),
        (dZ, "not summed over the batch"),
        (dZ.sum(0), "summed over the wrong axis"),
    ):
        assert nnc.check_gradient(mine, J, t["b2"]).reason == reason


@pytest.mark.parametrize(
    ("f", "explanation"),
    [
        (lambda w: nnc.softmax_cross_entropy(w, [0, 1, 1]).mean(), "P - Y (eq. 10.1) and not Y - P"),
        (lambda w: nnc.cross_entropy(nnc.softmax(w), [0, 1, 1]).mean(), "dP is -Y/P"),
        (lambda w: (w - 1).sum(), "step -α dJ/dw of gradient descent"),  # A of A - B has no minus
        (lambda w: (1 - w).sum(), "A - B, and dB is -dC"),
        (lambda w: (-w).sum(), "a minus in front"),
        (lambda w: (1 / w).sum(), "-1/B²"),
        (lambda w: np.cos(w).sum(), "-sin"),
    ],
)
def test_a_wrong_sign_is_traced_to_its_minus(f, explanation):
    w = Node(np.array([[0.5, 0.7, 0.9], [1.5, 1.0, 2.0]]), name="w")
    J = f(w)
    J.backward()
    verdict = nnc.check_gradient(-w.grad, J, w)
    assert verdict.reason == "sign" and explanation in str(verdict)


def test_a_wrong_axis_is_named_and_both_if_either_is_possible():
    symmetric = Node(np.array([[1.0, 2.0], [2.0, 5.0]]), name="S")
    J = (symmetric**2).sum()
    assert "over its axis 0 or 1;" in str(nnc.check_gradient(2 * symmetric.value.sum(0), J, symmetric))
    either = nnc.check_gradient(np.stack([2 * symmetric.value / 2] * 2), J, symmetric)
    assert "summed over axis 0 it is" in str(either)
    W = Node(np.array([[1.0, 2.0], [3.0, 5.0]]), name="W")
    J = (W**2).sum()
    assert "over its axis 0;" in str(nnc.check_gradient(2 * W.value.sum(0), J, W))
    assert "over its axis 1;" in str(nnc.check_gradient(2 * W.value.sum(1), J, W))


def test_the_first_reason_that_fits_is_given():
    """With r = 1 no 1/r can be missing, and -r is neither the sign nor a missing 1/r."""
    t, J, _ = three_layers(r=1)
    for name in ("W1", "b2", "Z3"):
        assert nnc.check_gradient(t[name].grad, J, t[name]).reason == "correct"
        assert nnc.check_gradient(3 * t[name].grad, J, t[name]).reason == "scale"
    assert nnc.check_gradient(-R * right("W1"), NET["L"].mean(), NET["W1"]).reason == "scale"


@pytest.mark.parametrize(
    "of_L",
    [
        lambda L: L.mean(),
        lambda L: np.mean(L),
        lambda L: L.sum() / R,
        lambda L: np.sum(L) * (1 / R),
        lambda L: (1 / R) * L.sum(),
        lambda L: L.mean() + 0.1 * (NET["W1"] ** 2).sum(),
    ],
)
def test_r_is_what_the_mean_divides_by(of_L):
    J = of_L(NET["L"])
    J.backward()
    right_now = NET["b2"].grad.copy()
    assert nnc.check_gradient(right_now * R, J, NET["b2"]).reason == "missing 1/r"
    assert nnc.check_gradient(right_now / R, J, NET["b2"]).reason == "extra 1/r"
    assert nnc.check_gradient(NET["Z2"].grad, J, NET["b2"]).reason == "not summed over the batch"
    NET["L"].mean().backward()


def test_without_a_mean_there_is_no_r():
    J = NET["L"].sum()
    J.backward()
    g = NET["W2"].grad.copy()
    assert nnc.check_gradient(g, J, NET["W2"]).ok
    assert nnc.check_gradient(g / R, J, NET["W2"]).reason == "scale"
    NET["L"].mean().backward()


def test_gradients_are_left_alone():
    before = {name: NET[name].grad.copy() for name in NAMES}
    other = (NET["Z3"] ** 2).sum()
    nnc.check_gradient(right("W1"), other, NET["W1"])
    for name, g in before.items():
        np.testing.assert_array_equal(NET[name].grad, g)


def test_float32_gradients_can_be_correct():
    t, J, _ = three_layers(dtype=np.float32)
    for name in NAMES:
        exact = right(name)
        assert nnc.check_gradient(exact.astype(np.float32), globals()["J"], NET[name]).ok  # mine is float32, J is not
        assert nnc.check_gradient(exact, J, t[name]).ok  # the other way round
        assert nnc.check_gradient(exact * (1 + 1e-3), J, t[name]).reason == "scale"
        assert nnc.check_gradient(R * exact.astype(np.float32), J, t[name]).reason == "missing 1/r"


@pytest.mark.parametrize("by", [1e-6, 1e-3, 1.0])
def test_a_single_entry_is_found_however_small(by):
    g = right("W2")
    g[np.unravel_index(np.argmin(abs(g)), g.shape)] *= 1 + by
    assert nnc.check_gradient(g, J, NET["W2"]).reason == "wrong"


def test_scalars():
    w, x, b = Node(-2.0, name="w"), Node(5.0, name="x"), Node(3.0, name="b")
    z = w * x + b
    assert nnc.check_gradient(5, z, w).ok and nnc.check_gradient(-5.0, z, w).reason == "sign"
    verdict = nnc.check_gradient(10, z, w)
    assert verdict.reason == "scale" and verdict.factor == 2
    assert nnc.check_gradient([5.0], z, w).reason == "shape" and nnc.check_gradient(0, z, w).reason == "wrong"
    assert nnc.check_gradient(1, z, z).ok


def test_a_number_for_the_whole_batch():
    """A scalar parameter, used by every example."""
    b, x, r = Node(0.5, name="b"), np.arange(1.0, 6.0), 5
    J = np.mean((b * x) ** 2)
    each = 2 * 0.5 * x**2 / r
    assert nnc.check_gradient(each.sum(), J, b).ok
    assert nnc.check_gradient(each, J, b).reason == "not summed over the batch"
    assert nnc.check_gradient(each.sum() * r, J, b).reason == "missing 1/r"


def test_nan_and_zero():
    assert nnc.check_gradient(np.full((P, M), np.nan), J, NET["W1"]).reason == "wrong"
    assert nnc.check_gradient(np.zeros((P, M)), J, NET["W1"]).reason == "wrong"
    x = Node(np.ones(3), name="x")
    J0 = (0 * x).sum()
    assert nnc.check_gradient(np.zeros(3), J0, x).ok and nnc.check_gradient(np.ones(3), J0, x).reason == "wrong"


def test_wrong_arguments_are_errors():
    with pytest.raises(ValueError, match="scalar"):
        nnc.check_gradient(right("W1"), NET["L"], NET["W1"])
    with pytest.raises(ValueError, match="computed from"):
        nnc.check_gradient(1.0, J, Node(1.0))
    with pytest.raises(TypeError, match="wrt"):
        nnc.check_gradient(right("W1"), J, NET["W1"].value)
    with pytest.raises(TypeError, match="J is"):
        nnc.check_gradient(right("W1"), 3.0, NET["W1"])
    with pytest.raises(TypeError):
        nnc.check_gradient(1j * right("W1"), J, NET["W1"])


@pytest.mark.parametrize(
    "cost",
    [
        lambda L, m: -np.sum(-L) / m,
        lambda L, m: -1 / m * np.sum(-L),
        lambda L, m: 1 / m * -np.sum(-L),
        lambda L, m: L.mean(),
    ],
)
def test_every_way_to_write_a_mean_is_one(cost):
    W, X = Node(np.array([[0.3, -1.0], [0.5, 2.0], [1.0, 0.1]]), name="W"), np.arange(10.0).reshape(2, 5) / 7 - 0.5
    J = cost(nnc.softmax_cross_entropy(W @ X, [0, 1, 2, 1, 0]), 5)
    J.backward()
    assert nnc.check_gradient(5 * W.grad, J, W).reason == "missing 1/r"
    assert nnc.check_gradient(W.grad / 5, J, W).reason == "extra 1/r"
    verdict = nnc.check_gradient(5 * W.grad.T, J, W)
    assert verdict.reason == "transposed" and "the 1/r is missing, r = 5" in verdict.sentence
    verdict = nnc.check_gradient(-W.grad.T, J, W)
    assert verdict.reason == "transposed" and "wrong sign" in verdict.sentence
    assert nnc.check_gradient(Node(W.grad), J.reshape((1, 1)), W).ok


def test_a_softmax_over_the_examples_is_suspected():
    W, X = Node(np.array([[0.3, -1.0], [0.5, 2.0], [1.0, 0.1]]), name="W"), np.arange(10.0).reshape(2, 5) / 7 - 0.5
    Y = np.eye(3)[[0, 1, 2, 1, 0]].T
    Z = W @ X
    J = -np.sum(Y * np.log(nnc.softmax(Z, axis=1))) / 5
    P = np.exp(Z.value) / np.exp(Z.value).sum(0)
    assert "the axis of the examples" in nnc.check_gradient((P - Y) @ X.T / 5, J, W).sentence
