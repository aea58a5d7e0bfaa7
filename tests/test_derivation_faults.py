"""check_derivation: errors in the data, the forward pass, the cost and the updates."""

import pytest
from pages_of_layers import LAYERS
from posted_pages import POSTED

import nnc

SOFTMAX = """
import numpy as np
rng = np.random.default_rng(0)
m = 6
X, y = rng.normal(size=(m, 4)), rng.integers(0, 3, m)
W1, b1 = rng.normal(size=(4, 5)), np.zeros(5)
W2, b2 = rng.normal(size=(5, 3)), np.zeros(3)
lr, lam = 0.1, 0.01
Z1 = X.dot(W1) + b1
A1 = np.tanh(Z1)
Z2 = A1.dot(W2) + b2
E = np.exp(Z2)
P = E / np.sum(E, axis=1, keepdims=True)
J = -np.mean(np.log(P[np.arange(m), y]))
dZ2 = P.copy()
dZ2[np.arange(m), y] -= 1
dZ2 /= m
dW2 = A1.T.dot(dZ2)
db2 = dZ2.sum(axis=0)
dA1 = dZ2.dot(W2.T)
dZ1 = dA1 * (1 - A1 ** 2)
dW1 = X.T.dot(dZ1)
db1 = dZ1.sum(axis=0)
W1 = W1 - lr * dW1
b1 = b1 - lr * db1
W2 = W2 - lr * dW2
b2 = b2 - lr * db2
"""
SIGMOID = """
import numpy as np
rng = np.random.default_rng(0)
m = 6
X, Y = rng.normal(size=(m, 4)), rng.integers(0, 2, (m, 1)).astype(float)
W1, b1 = rng.normal(size=(4, 5)), np.zeros((1, 5))
W2, b2 = rng.normal(size=(5, 1)), np.zeros((1, 1))
Z1 = X @ W1 + b1
A1 = np.maximum(Z1, 0)
Z2 = A1 @ W2 + b2
A2 = 1 / (1 + np.exp(-Z2))
J = -np.mean(Y * np.log(A2) + (1 - Y) * np.log(1 - A2))
dZ2 = (A2 - Y) / m
dW2 = A1.T @ dZ2
db2 = np.sum(dZ2, axis=0, keepdims=True)
dZ1 = (dZ2 @ W2.T) * (Z1 > 0)
dW1 = X.T @ dZ1
db1 = np.sum(dZ1, axis=0, keepdims=True)
"""
IMAGES = """
import numpy as np
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (6, 4)).astype(np.uint8)
t = rng.normal(size=(6, 2))
w = rng.normal(size=(4, 2))
x = images.astype(float) / 255 - 0.5
out = x @ w
loss = np.mean((out - t) ** 2)
dout = 2 * (out - t) / out.size
dw = x.T @ dout
"""
PENALTY = " + lam / 2 * (np.sum(W1 ** 2) + np.sum(W2 ** 2))"
COST = "J = -np.mean(np.log(P[np.arange(m), y]))"
ENTROPY = "J = -np.mean(Y * np.log(A2) + (1 - Y) * np.log(1 - A2))"
PIXELS = "x = images.astype(float) / 255 - 0.5"
UPDATE = "W2 = W2 - lr * dW2"

CASES = [  # page, {a right piece: the wrong one}, the reasons, each with the beginning of the right line
    (IMAGES, {PIXELS: "x = (images + images) / 255 - 0.5"},
     {"integer overflow": "x = (images.astype(float) + images.astype(float)) / 255"}),
    (IMAGES, {PIXELS: "x = (images - 128) / 255"}, {"integer overflow": "x = (images.astype(float) - 128) / 255"}),
    (IMAGES, {PIXELS: "x = images.astype(np.int16) ** 2 / 65025"},
     {"integer overflow": "x = images.astype(float) ** 2 / 65025"}),
    (SIGMOID, {"rng.normal(size=(5, 1))": "1000 * rng.normal(size=(5, 1))"},
     {"log(0)": "J = -np.mean(Y * np.log(A2 + 1e-12) + (1 - Y) * np.log(1 - A2 + 1e-12))"}),
    (SOFTMAX, {"np.exp(Z2)": "np.exp(Z2 * 400)"},
     {"overflow of exp": "E = np.exp(Z2 * 400 - np.max(Z2 * 400, axis=1, keepdims=True))"}),
    (SOFTMAX, {"W1 = W1 - lr * dW1": "W1 = W1 - lr * db1"},
     {"the update takes another parameter's gradient": "W1 = W1 - lr * dW1"}),
    (SOFTMAX, {"b1 = b1 - lr * db1": "b1 = b1 - lr * dW1"},
     {"the update takes another parameter's gradient": "b1 = b1 - lr * db1"}),
    # With db1 instead of lr the step is a multiple of the gradient as well, but that is not what is meant.
    (SOFTMAX, {"b1 = b1 - lr * db1": "b1 = b1 - lr * db2.ravel()[:1]"},
     {"the update takes another parameter's gradient": "b1 = b1 - lr * db1"}),
    (SOFTMAX, {UPDATE: "W2 = W2 + lr * dW2"}, {"a step uphill": UPDATE}),
    (SOFTMAX, {UPDATE: "", "dA1 = dZ2.dot(W2.T)": f"{UPDATE}; dA1 = dZ2.dot(W2.T)"},
     {"uses updated weights": "dA1 = dZ2.dot(W2.T)"}),
    (SOFTMAX, {"P[np.arange(m), y]": "P[np.arange(m), y - 1]"}, {"labels one off": COST}),
    (SOFTMAX, {"dZ2[np.arange(m), y]": "dZ2[np.arange(m), y - 1]"}, {"one off": "dZ2[np.arange(m), y] -= 1"}),
    (SIGMOID, {"(A2 - Y) / m": "(A2 - Y) * A2 * (1 - A2) / m"},
     {"a cost that is not the one whose gradient is taken": "dZ2 = (A2 - Y) / m"}),
    (SIGMOID, {"dZ2 = (A2 - Y) / m": "dA2 = 2 * (A2 - Y) / m; dZ2 = dA2 * A2 * (1 - A2)"},
     {"a cost that is not the one whose gradient is taken": "dA2 = (A2 - Y) / m / (A2 * (1 - A2))"}),
    (SIGMOID, {ENTROPY: "J = np.mean((A2 - Y) ** 2) / 2"},
     {"activation derivative missing": "dZ2 = (A2 - Y) / m * (A2 * (1 - A2))"}),
    (SOFTMAX, {"axis=1": "axis=0"}, {"softmax over the wrong axis": "P = E / np.sum(E, axis=1, keepdims=True)"}),
    (SOFTMAX, {"np.sum(E, axis=1, keepdims=True)": "np.sum(E)"},
     {"softmax over the wrong axis": "P = E / np.sum(E, axis=1, keepdims=True)"}),
    (SOFTMAX, {COST: COST + PENALTY, "X.T.dot(dZ1)": "X.T.dot(dZ1) + lam * W1"},
     {"regularisation in the cost, not in the gradient": "dW2 = A1.T.dot(dZ2) + lam * W2"}),
    (SOFTMAX, {COST: COST + PENALTY, "X.T.dot(dZ1)": "X.T.dot(dZ1) + lam / m * W1",
               "A1.T.dot(dZ2)": "A1.T.dot(dZ2) + lam * W2"},
     {"regularisation with another factor": "dW1 = X.T.dot(dZ1) + lam * W1"}),
]  # fmt: skip


@pytest.mark.parametrize("page", [SOFTMAX, SIGMOID, IMAGES, SOFTMAX.replace(COST, COST + PENALTY).replace(
    "X.T.dot(dZ1)", "X.T.dot(dZ1) + lam * W1").replace("A1.T.dot(dZ2)", "A1.T.dot(dZ2) + lam * W2")])  # fmt: skip
def test_the_right_pages_are_right(page):
    report = nnc.check_derivation(page)
    assert report.ok, report


@pytest.mark.parametrize(("page", "changes", "reasons"), CASES)
def test_the_fault_is_named_with_the_right_line(page, changes, reasons):
    for piece, instead in changes.items():
        assert piece in page
        page = page.replace(piece, instead)
    report = nnc.check_derivation(page)
    found = {line.reason: line for line in report.lines if line.ok is False}
    assert list(found) == list(reasons), report
    for reason, right in reasons.items():
        assert found[reason].right.startswith(right), report


POSTED = POSTED | LAYERS


@pytest.mark.parametrize("name", POSTED)
def test_no_line_of_a_right_page_is_called_wrong(name):
    report = nnc.check_derivation(POSTED[name][0])
    assert report.ok, report


@pytest.mark.parametrize(
    ("name", "piece", "instead", "reason", "right"),
    [(name, *fault) for name, (_, faults) in POSTED.items() for fault in faults],
)
def test_the_fault_of_a_page_is_named_and_no_other_line_is(name, piece, instead, reason, right):
    page = POSTED[name][0]
    number = page.count("\n", 0, page.index(piece)) + 1
    report = nnc.check_derivation(page.replace(piece, instead, 1))
    [line] = [line for line in report.lines if line.ok is False]
    assert line.number == number or not instead.strip(), report  # a missing line has no number
    assert line.reason == reason, report
    assert line.right.startswith(right), report


def test_saturated_units_are_judged_by_the_graph():
    """exp(-30 z) varies by hundreds of orders of magnitude, so finite differences tell nothing."""
    page = SIGMOID.replace("np.maximum(Z1, 0)", "1 / (1 + np.exp(-Z1))").replace("(Z1 > 0)", "A1 * (1 - A1)")
    page = page.replace("X, Y = rng", "X, Y = 30 * rng")
    right, wrong = nnc.check_derivation(page), nnc.check_derivation(page.replace(" * A1 * (1 - A1)", ""))
    assert right.ok, right
    assert "graph" in right.remarks[0], right
    assert [line.reason for line in wrong.lines if line.ok is False] == ["activation derivative missing"], wrong


def test_a_wrong_sign_is_not_blamed_on_a_right_line():
    page = SIGMOID.replace("np.maximum(Z1, 0)", "1 / (1 + np.exp(-Z1))").replace("(Z1 > 0)", "A1 * (A1 - 1)")
    page = page.replace("db2 = np.sum(dZ2, axis=0, keepdims=True)", "").replace("dW2 = A1.T @ dZ2", "")
    wrong = [line for line in nnc.check_derivation(page).lines if line.ok is False]
    assert [(line.name, line.reason) for line in wrong] == [("dZ1", "sign")]


def test_a_difference_is_the_gradient_of_the_output_not_of_the_target():
    page = """
import numpy as np
rng = np.random.default_rng(0)
X, T = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
V = rng.normal(size=(2, 3))
gV, E = np.zeros_like(V), 0
for n in range(len(X)):
    x, t = X[n], T[n]
    y = V @ x
    E += 0.5 * np.sum((y - t) ** 2)
    delta_k = y - t
    gV += np.outer(delta_k, x)
V -= 0.1 * gV
"""
    assert nnc.check_derivation(page).ok
    wrong = [line for line in nnc.check_derivation(page.replace("delta_k = y - t", "delta_k = t - y")).lines
             if line.ok is False]  # fmt: skip
    assert [(line.name, line.reason, line.right) for line in wrong] == [("delta_k", "sign", "delta_k = y - t")]


def test_a_training_loop_after_the_cost_is_judged_by_its_first_iteration():
    page = """
import numpy as np
rng = np.random.default_rng(0)
X, y = rng.normal(size=(8, 2)), rng.integers(0, 3, 8)
W1, W2 = rng.normal(size=(2, 4)), rng.normal(size=(4, 3))
def scores(W1, W2):
    H = np.tanh(X @ W1)
    S = np.exp(H @ W2)
    return H, S / S.sum(axis=1, keepdims=True)
def loss(W1, W2):
    return -np.log(scores(W1, W2)[1][range(8), y]).sum() + 0.1 * (np.sum(W1 ** 2) + np.sum(W2 ** 2))
J = loss(W1, W2)
def train(W1, W2, passes):
    for i in range(passes):
        H, P = scores(W1, W2)
        dZ2 = P - np.eye(3)[y]
        dW2 = H.T @ dZ2 + 0.2 * W2
        dZ1 = dZ2 @ W2.T * (1 - H ** 2)
        dW1 = X.T @ dZ1 + 0.2 * W1
        W1 -= 0.01 * dW1
        W2 -= 0.01 * dW2
train(W1, W2, 4)
"""
    assert nnc.check_derivation(page).ok
    wrong = [line for line in nnc.check_derivation(page.replace("X.T @ dZ1 + 0.2", "X.T @ dZ1 - 0.2")).lines
             if line.ok is False]  # fmt: skip
    assert [(line.name, line.right) for line in wrong] == [("dW1", "dW1 = X.T @ dZ1 + 0.2 * W1")]


@pytest.mark.parametrize(("piece", "instead", "reason"), [
    ("W1 - alpha * dW1", "W1 + alpha * dW1", "a step uphill"),
    ("b1 - alpha * db1", "b1 - alpha * db2[:1]", "the update takes another parameter's gradient"),
    ("b1 - alpha * db1", "b1 - alpha * db2.mean()", "the update takes another parameter's gradient"),
])  # fmt: skip
def test_parameters_that_a_function_returns_are_judged_under_the_callers_names(piece, instead, reason):
    page = """
import numpy as np
def initial():
    rng = np.random.default_rng(0)
    return rng.normal(size=(4, 3)), rng.normal(size=(4, 1)), rng.normal(size=(2, 4)), rng.normal(size=(2, 1))
def forward(X, W1, b1, W2, b2):
    A1 = np.maximum(0, W1 @ X + b1)
    return A1, W2 @ A1 + b2
def backward(X, Y, A1, A2, W2):
    dZ2 = (A2 - Y) / m
    dZ1 = W2.T @ dZ2 * (A1 > 0)
    return dZ1 @ X.T, dZ1.sum(axis=1, keepdims=True), dZ2 @ A1.T, dZ2.sum(axis=1, keepdims=True)
def updated(W1, b1, W2, b2, dW1, db1, dW2, db2, alpha):
    W1 = W1 - alpha * dW1
    b1 = b1 - alpha * db1
    W2 = W2 - alpha * dW2
    b2 = b2 - alpha * db2
    return W1, b1, W2, b2
m = 5
X, Y = np.random.default_rng(1).normal(size=(3, m)), np.random.default_rng(2).normal(size=(2, m))
W1, b1, W2, b2 = initial()
A1, A2 = forward(X, W1, b1, W2, b2)
J = np.sum((A2 - Y) ** 2) / (2 * m)
dW1, db1, dW2, db2 = backward(X, Y, A1, A2, W2)
W1, b1, W2, b2 = updated(W1, b1, W2, b2, dW1, db1, dW2, db2, 0.1)
"""
    assert nnc.check_derivation(page).ok
    (wrong,) = (line for line in nnc.check_derivation(page.replace(piece, instead)).lines if line.ok is False)
    assert (wrong.name, wrong.reason, wrong.right) == (piece[:2], reason, f"{piece[:2]} = {piece}"), wrong
