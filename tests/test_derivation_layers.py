"""check_derivation: layers in a list of tuples or dictionaries, whose gradients have no number in their names."""

import pytest

import nnc

TUPLES = """
import numpy as np
rng = np.random.default_rng(3)
X, T = rng.normal(size=(4, 7)), rng.random((2, 7))
theta = [(rng.normal(size=(4, 4)), rng.normal(size=(4, 1))), (rng.normal(size=(4, 4)), rng.normal(size=(4, 1))),
         (rng.normal(size=(2, 4)), rng.normal(size=(2, 1)))]
m = X.shape[1]
a = X
activations = [a]
for w, b in theta:
    a = 1 / (1 + np.exp(-(w @ a + b)))
    activations.append(a)
C = 0.5 * np.sum((activations[-1] - T) ** 2) / m
delta = (activations[-1] - T) * activations[-1] * (1 - activations[-1])
gradients = []
for l in range(2, -1, -1):
    dW = delta @ activations[l].T / m
    db = np.sum(delta, axis=1, keepdims=True) / m
    gradients.insert(0, (dW, db))
    if l > 0:
        delta = theta[l][0].T @ delta * activations[l] * (1 - activations[l])
theta = [(w - 0.5 * dw, b - 0.5 * db) for (w, b), (dw, db) in zip(theta, gradients)]
"""
NAMED_TUPLES = TUPLES.replace(
    "theta = [(rng",
    """W1, W2, W3 = rng.normal(size=(4, 4)), rng.normal(size=(4, 4)), rng.normal(size=(2, 4))
b1, b2, b3 = rng.normal(size=(4, 1)), rng.normal(size=(4, 1)), rng.normal(size=(2, 1))
theta = [(W1, b1), (W2, b2), (W3, b3)]
unused = [(rng""",
)
REVERSED = """
import numpy as np
rng = np.random.default_rng(3)
X, y = rng.normal(size=(7, 5)), rng.integers(0, 3, 7)
params = [(rng.normal(size=(i, o)), np.zeros(o)) for i, o in [(5, 4), (4, 4), (4, 3)]]
A, caches = X, []
for k, (W, b) in enumerate(params):
    Z = A @ W + b
    caches.append((Z, A))
    A = np.maximum(Z, 0) if k < 2 else Z
E = np.exp(A - A.max(axis=1, keepdims=True))
P = E / E.sum(axis=1, keepdims=True)
loss = -np.mean(np.log(P[np.arange(7), y]))
dZ = P.copy()
dZ[np.arange(7), y] -= 1
dZ /= 7
grads = []
for (W, b), (Z, A_prev) in zip(reversed(params), reversed(caches)):
    if grads:
        dZ = dA * (Z > 0)
    dW = A_prev.T @ dZ
    db = dZ.sum(axis=0)
    dA = dZ @ W.T
    grads.append((dW, db))
grads.reverse()
for i in range(3):
    W, b = params[i]
    dW, db = grads[i]
    params[i] = (W - 0.1 * dW, b - 0.1 * db)
"""
DICTIONARIES = """
import numpy as np
rng = np.random.default_rng(3)
X, Y = rng.normal(size=(7, 5)), rng.normal(size=(7, 2))
layers = [{"W": rng.normal(size=(i, o)), "b": np.zeros(o)} for i, o in [(5, 4), (4, 4), (4, 2)]]
h, inputs = X, []
for layer in layers:
    inputs.append(h)
    h = np.tanh(h @ layer["W"] + layer["b"])
loss = np.mean((h - Y) ** 2)
d = 2 * (h - Y) / Y.size
out = h
for layer, x in zip(reversed(layers), reversed(inputs)):
    d = d * (1 - out ** 2)
    dW = x.T @ d
    db = d.sum(axis=0)
    d = d @ layer["W"].T
    out = x
    layer["W"] = layer["W"] - 0.1 * dW
    layer["b"] = layer["b"] - 0.1 * db
"""


@pytest.mark.parametrize("page", [TUPLES, NAMED_TUPLES, REVERSED, DICTIONARIES])
def test_right_pages_are_right_and_the_gradients_of_all_layers_are_judged(page):
    report = nnc.check_derivation(page)
    judged = {line.name for line in report.lines if line.ok}
    assert report.ok, report
    assert {"dW", "db"} <= judged, report


@pytest.mark.parametrize(
    ("page", "piece", "instead", "reason", "right"),
    [
        (page, *fault)
        for page in (TUPLES, NAMED_TUPLES)
        for fault in [
            ("activations[l].T / m", "activations[l].T", "missing 1/m", "dW = delta @ activations[l].T / m"),
            ("] * (1 - activations[l])", "] * (1 + activations[l])", "sign", "delta = theta[l][0].T @ delta *"),
            ("w - 0.5 * dw", "w + 0.5 * dw", "a step uphill", "theta = [(w - 0.5 * dw, b - 0.5 * db)"),
            ("axis=1, keepdims=True) / m", "axis=1, keepdims=True)", "missing 1/m", "db = np.mean(delta, axis=1"),
        ]
    ]
    + [
        (REVERSED, "dA * (Z > 0)", "dA", "activation derivative missing", "dZ = dA * (Z > 0)"),
        (REVERSED, "db = dZ.sum(axis=0)", "db = dZ.mean(axis=0)", "extra 1/m", "db = np.sum(dZ, axis=0)"),
        (REVERSED, "W - 0.1 * dW", "W + 0.1 * dW", "a step uphill", "params[i] = (W - 0.1 * dW, b - 0.1 * db)"),
        (DICTIONARIES, "dW = x.T @ d", "dW = x.T @ d / 7", "extra 1/m", "dW = x.T @ d"),
        (DICTIONARIES, "(1 - out ** 2)", "(1 - out)", "square", "d = d * (1 - out ** 2)"),
    ],
)
def test_the_fault_is_named_with_the_right_line(page, piece, instead, reason, right):
    (line,) = (line for line in nnc.check_derivation(page.replace(piece, instead, 1)).lines if line.ok is False)
    assert line.number == page.count("\n", 0, page.index(piece)) + 1
    assert reason in line.reason, line
    assert line.right.startswith(right), line
