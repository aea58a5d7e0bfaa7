"""check_derivation: one line causes the error, where a value is changed in place, summed, or kept in a dictionary."""

import pytest

import nnc

NETWORK = """
import numpy as np
rng = np.random.default_rng(0)
N, reg, lr, mu = 6, 0.1, 0.1, 0.9
X, y = rng.normal(size=(N, 4)), rng.integers(0, 3, N)
params = {"W1": rng.normal(size=(4, 5)), "b1": np.zeros(5), "W2": rng.normal(size=(5, 3)), "b2": np.zeros(3)}
velocity = {k: np.zeros_like(v) for k, v in params.items()}
hidden = np.tanh(X @ params["W1"] + params["b1"])
scores = hidden @ params["W2"] + params["b2"]
probs = np.exp(scores)
probs /= probs.sum(axis=1, keepdims=True)
loss = -np.log(probs[range(N), y]).sum() / N
loss += 0.5 * reg * np.sum(params["W1"] ** 2)
grads = {}
dscores = probs
dscores[range(N), y] -= 1
dscores /= N
grads["W2"] = hidden.T @ dscores
grads["b2"] = dscores.sum(axis=0)
dhidden = dscores @ params["W2"].T
dhidden *= 1 - hidden ** 2
grads["W1"] = X.T @ dhidden + reg * params["W1"]
grads["b1"] = dhidden.sum(axis=0)
for k in params:
    velocity[k] = mu * velocity[k] - lr * grads[k]
    params[k] += velocity[k]
"""
NETWORK_FAULTS = [
    ("velocity[k] = mu * velocity[k] - lr", "velocity[k] = mu * velocity[k] + lr", "a step uphill, sign",
     "velocity[k] = mu * velocity[k] - lr * grads[k]"),
    ("params[k] += velocity[k]", "params[k] -= velocity[k]", "a step uphill", "params[k] += velocity[k]"),
    ('dscores @ params["W2"].T', 'dscores @ params["W2"].T / N', "extra 1/m", "dhidden = dscores @ params['W2'].T"),
    ("probs.sum(axis=1, keepdims=True)", "probs.sum(axis=0, keepdims=True)", "softmax over the wrong axis",
     "probs /= np.sum(probs, axis=1, keepdims=True)"),
]  # fmt: skip

EXAMPLES = """
import numpy as np
rng = np.random.default_rng(1)
X, Y = rng.normal(size=(6, 3)), rng.normal(size=6)
w, b, v, c = rng.normal(size=(4, 3)), rng.normal(size=4), rng.normal(size=4), 0.3
n, err = len(X), 0.0
gw, gb, gv, gc = np.zeros_like(w), np.zeros_like(b), np.zeros_like(v), 0.0
for x, t in zip(X, Y):
    h = np.tanh(w @ x + b)
    out = v @ h + c
    e = out - t
    err += e ** 2
    gc += 2 * e
    gv += 2 * e * h
    ds = 2 * e * v * (1 - h ** 2)
    gw += np.outer(ds, x)
    gb += ds
mse = err / n
gw /= n; gb /= n; gv /= n; gc /= n
"""
EXAMPLES_FAULTS = [
    ("gv += 2 * e * h", "gv += e * h", "scale", "gv += 2 * (e * h)"),
    ("gv += 2 * e * h", "gv -= 2 * e * h", "sign", "gv += 2 * e * h"),
    ("gv += 2 * e * h", "gv += 2 * e * h / n", "extra 1/m", "gv += 2 * e * h"),
    ("e = out - t", "e = t - out", "sign", "e = out - t"),
]  # fmt: skip

PRIME = """
import numpy as np
def sigmoid(z):
    return 1 / (1 + np.exp(-z))
def sigmoid_prime(z):
    return np.exp(-z) / (1 + np.exp(-z)) ** 2
class Network:
    def __init__(self):
        rng = np.random.default_rng(0)
        self.W1, self.W2 = rng.normal(size=(2, 3)), rng.normal(size=(3, 1))
    def cost(self, X, y):
        self.z2 = np.dot(X, self.W1)
        self.a2 = sigmoid(self.z2)
        self.z3 = np.dot(self.a2, self.W2)
        self.yHat = sigmoid(self.z3)
        J = 0.5 * np.sum((y - self.yHat) ** 2)
        return J
    def gradients(self, X, y):
        delta3 = np.multiply(self.yHat - y, sigmoid_prime(self.z3))
        dJdW2 = np.dot(self.a2.T, delta3)
        delta2 = np.dot(delta3, self.W2.T) * sigmoid_prime(self.z2)
        dJdW1 = np.dot(X.T, delta2)
        return dJdW1, dJdW2
rng = np.random.default_rng(1)
X, y = rng.random((3, 2)), rng.random((3, 1))
net = Network()
cost = net.cost(X, y)
dJdW1, dJdW2 = net.gradients(X, y)
"""
PRIME_FAULTS = [
    ("(1 + np.exp(-z)) ** 2", "(1 + np.exp(-z))", "a square is missing",
     "return np.exp(-z) / (1 + np.exp(-z)) ** 2"),
]  # fmt: skip
PAGES = {"network": (NETWORK, NETWORK_FAULTS), "examples": (EXAMPLES, EXAMPLES_FAULTS), "prime": (PRIME, PRIME_FAULTS)}


@pytest.mark.parametrize("name", PAGES)
def test_the_right_page_is_right(name):
    report = nnc.check_derivation(PAGES[name][0])
    assert report.ok, report


@pytest.mark.parametrize(
    ("name", "piece", "instead", "reason", "right"),
    [(name, *fault) for name, (_, faults) in PAGES.items() for fault in faults],
)
def test_only_the_cause_is_blamed(name, piece, instead, reason, right):
    page = PAGES[name][0]
    assert page.count(piece) == 1
    report = nnc.check_derivation(page.replace(piece, instead))
    wrong = [line for line in report.lines if line.ok is False]
    assert [line.number for line in wrong] == [page.count("\n", 0, page.index(piece)) + 1], report
    assert (wrong[0].reason, wrong[0].right) == (reason, right), report


def test_a_sentence_names_the_item_as_the_line_does():
    piece, instead, _, _ = NETWORK_FAULTS[0]
    line = nnc.check_derivation(NETWORK.replace(piece, instead)).first_wrong
    assert line.sentence.startswith(f"{line.name} "), line


def test_the_number_of_examples_is_written_as_the_length_of_the_data():
    page = PRIME.replace("(y - self.yHat) ** 2)", "(y - self.yHat) ** 2) / X.shape[0]")
    line = nnc.check_derivation(page).first_wrong
    assert line.reason == "missing 1/m" and line.right.endswith(" / X.shape[0]"), line


def test_an_extra_division_is_removed():
    line = nnc.check_derivation(NETWORK.replace(".sum() / N", ".sum()")).first_wrong
    assert (line.reason, line.right) == ("extra 1/m", "pass  # without dscores /= N")


def test_a_line_that_follows_from_a_corrected_one_keeps_its_factor():
    page = """
import numpy as np
rng = np.random.default_rng(0)
m = 6
X, Y = rng.normal(size=(3, m)), rng.normal(size=(2, m))
W, b = rng.normal(size=(2, 3)), rng.normal(size=(2, 1))
Z = W @ X + b
A = Z + Z ** 3
J = np.sum((A - Y) ** 2) / (2 * m)
dA = A - Y
dZ = dA * (1 + 3 * Z ** 2)
dW = dZ @ X.T / m
db = dZ.sum(axis=1, keepdims=True) / m
"""
    assert nnc.check_derivation(page).ok
    report = nnc.check_derivation(page.replace("dZ = dA * (1 + 3 * Z ** 2)", "dZ = dA + np.cos(Y) * X[:2]"))
    assert [line.name for line in report.lines if line.ok is False] == ["dZ"], report
