"""check_derivation: parameters in lists, in objects of one class, and updated after each example."""

import linecache
import re

import numpy as np
import pytest

import nnc

LISTS = """
import numpy as np
rng = np.random.default_rng(4)
sizes = [4, 3, 3, 2]
inputs, wanted = rng.normal(size=(7, 4)), rng.normal(size=(7, 2))
Ws = [rng.normal(size=(i, o)) for i, o in zip(sizes, sizes[1:])]
bs = [np.zeros(o) for o in sizes[1:]]
n = len(inputs)
outs = [inputs]
for W, b in zip(Ws, bs):
    outs.append(np.tanh(outs[-1] @ W + b))
cost = np.sum((outs[-1] - wanted) ** 2) / n
dWs, dbs = [], []
g = 2 * (outs[-1] - wanted) / n
for k in reversed(range(3)):
    g = g * (1 - outs[k + 1] ** 2)
    dWs.insert(0, outs[k].T @ g)
    dbs.insert(0, g.sum(axis=0))
    g = g @ Ws[k].T
for W, b, dW, db in zip(Ws, bs, dWs, dbs):
    W -= 0.2 * dW
    b -= 0.2 * db
"""
LISTS_FAULTS = [
    ("g = 2 * (outs[-1] - wanted) / n", "g = 2 * (outs[-1] - wanted)", "missing 1/m"),
    ("(1 - outs[k + 1] ** 2)", "(1 - outs[k + 1])", "square"),
    ("dWs.insert(0, outs[k].T @ g)", "dWs.insert(0, outs[k].T @ g / n)", "extra 1/m"),
    ("dbs.insert(0, g.sum(axis=0))", "dbs.insert(0, g.mean(axis=0))", "1/m"),
    ("W -= 0.2 * dW", "W += 0.2 * dW", "uphill"),
    ("b -= 0.2 * db", "b += 0.2 * db", "uphill"),
]

OBJECTS = """
import numpy as np

class Dense:
    def __init__(self, fan_in, fan_out, seed):
        self.W = np.random.default_rng(seed).normal(size=(fan_in, fan_out))
        self.b = np.full(fan_out, 0.1)

    def forward(self, x):
        self.x = x
        self.a = np.tanh(x @ self.W + self.b)
        return self.a

    def backward(self, da):
        dz = da * (1 - self.a ** 2)
        self.dW = self.x.T @ dz
        self.db = dz.sum(axis=0)
        return dz @ self.W.T

rng = np.random.default_rng(2)
X, T = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
first, second = Dense(3, 3, 0), Dense(3, 3, 1)
P = second.forward(first.forward(X))
loss = np.mean((P - T) ** 2)
dP = 2 * (P - T) / P.size
first.backward(second.backward(dP))
for layer in (first, second):
    layer.W = layer.W - 0.1 * layer.dW
    layer.b = layer.b - 0.1 * layer.db
"""
OBJECTS_FAULTS = [
    ("self.dW = self.x.T @ dz", "self.dW = self.a.T @ dz", "self.a where self.x is meant"),
    ("self.db = dz.sum(axis=0)", "self.db = dz.mean(axis=0)", "1/m"),
    ("dz = da * (1 - self.a ** 2)", "dz = da", "activation derivative missing"),
    ("dP = 2 * (P - T) / P.size", "dP = (P - T) / P.size", "scale"),
    ("layer.W = layer.W - 0.1 * layer.dW", "layer.W = layer.W + 0.1 * layer.dW", "uphill"),
]

ONE_BY_ONE = """
import numpy as np
rng = np.random.default_rng(6)
points, answers = rng.normal(size=(5, 3)), np.array([1.0, 0.0, 1.0, 1.0, 0.0])
V, c = rng.normal(size=(4, 3)), rng.normal(size=4)
u, e0 = rng.normal(size=4), 0.3
for epoch in range(2):
    for x, y in zip(points, answers):
        s = np.tanh(V @ x + c)
        p = 1 / (1 + np.exp(-(u @ s + e0)))
        loss = 0.5 * (p - y) ** 2
        dp = p - y
        dq = dp * p * (1 - p)
        du = dq * s
        de0 = dq
        ds = dq * u
        dr = ds * (1 - s ** 2)
        dV = np.outer(dr, x)
        dc = dr
        V -= 0.3 * dV
        c -= 0.3 * dc
        u -= 0.3 * du
        e0 -= 0.3 * de0
"""
ONE_BY_ONE_FAULTS = [
    ("dq = dp * p * (1 - p)", "dq = dp", "activation derivative missing"),
    ("dr = ds * (1 - s ** 2)", "dr = ds * (1 - s)", "square"),
    ("du = dq * s", "du = dp * s", "activation derivative missing|dp where"),
    ("dV = np.outer(dr, x)", "dV = np.outer(ds, x)", "activation derivative missing|ds where"),
    ("dp = p - y", "dp = y - p", "sign"),
    ("e0 -= 0.3 * de0", "e0 += 0.3 * de0", "uphill"),
]
PAGES = {
    "lists": (LISTS, LISTS_FAULTS),
    "objects": (OBJECTS, OBJECTS_FAULTS),
    "one by one": (ONE_BY_ONE, ONE_BY_ONE_FAULTS),
}


@pytest.mark.parametrize(
    ("style", "names"),
    [
        ("lists", {"dWs[0]", "dbs[0]", "W", "b"}),
        ("objects", {"dz", "self.dW", "self.db", "dP", "layer.W", "layer.b"}),
        ("one by one", {"du", "ds", "dV", "V", "c", "u", "e0"}),
    ],
)
def test_each_gradient_and_each_update_is_judged(style, names):
    report = nnc.check_derivation(PAGES[style][0])
    assert report.ok and names <= {line.name for line in report.lines if line.ok}, report


@pytest.mark.parametrize(
    ("style", "right", "instead", "reason"),
    [(style, *fault) for style, (_, faults) in PAGES.items() for fault in faults],
)
def test_a_planted_fault_is_the_one_line_blamed(style, right, instead, reason):
    page = PAGES[style][0]
    assert page.count(right) == 1
    report = nnc.check_derivation(page.replace(right, instead))
    wrong = [line for line in report.lines if line.ok is False]
    assert [line.number for line in wrong] == [page.count("\n", 0, page.index(right)) + 1], report
    assert re.search(reason, wrong[0].reason), report


LINE = """
import numpy as np
hours, marks = np.array([1.0, 2.0, 4.0, 5.0, 6.0]), np.array([2.0, 3.5, 7.0, 9.0, 11.5])
slope, start = 0.0, 0.0
for round_ in range(30):
    miss = slope * hours + start - marks
    cost = np.mean(miss ** 2)
    d_slope = 2 * np.mean(miss * hours)
    d_start = 2 * np.mean(miss)
    slope = slope - 0.01 * d_slope
    start = start - 0.01 * d_start
"""
SHORT = """
import numpy as np
hours, marks = np.array([1.0, 2.0, 4.0, 5.0, 6.0]), np.array([2.0, 3.5, 7.0, 9.0, 11.5])
slope, start = 0.0, 0.0
for round_ in range(30):
    miss = slope * hours + start - marks
    cost = np.mean(miss ** 2)
    slope -= 0.02 * np.mean(miss * hours)
    start -= 0.02 * np.mean(miss)
"""
SCALED = """
import numpy as np
hours, marks = np.array([1.0, 2.0, 4.0, 5.0, 6.0]), np.array([2.0, 3.5, 7.0, 9.0, 11.5])
slope, start = 0.5, 0.0
square = 0.0
for round_ in range(30):
    miss = slope * hours + start - marks
    cost = np.mean(miss ** 2)
    d_slope = 2 * np.mean(miss * hours)
    square = 0.9 * square + 0.1 * d_slope ** 2
    slope -= 0.01 * d_slope / (np.sqrt(square) + 1e-8)
"""


@pytest.mark.parametrize(
    ("page", "piece", "instead", "reason", "right"),
    [
        (LINE, "0.01 * d_slope", "0.01 * d_start", "another parameter's gradient", "slope = slope - 0.01 * d_slope"),
        (LINE, "0.01 * d_start", "0.01 * d_slope", "another parameter's gradient", "start = start - 0.01 * d_start"),
        (LINE, "mean(miss * hours)", "mean(miss * marks)", "marks where hours", "d_slope = 2 * np.mean(miss * hours)"),
        (SHORT, "mean(miss * hours)", "mean(miss)", "wrong", ""),
        (SHORT, "start -=", "start +=", "uphill", "start -= 0.02 * np.mean(miss)"),
    ],
)
def test_the_step_of_a_number_is_along_its_own_gradient(page, piece, instead, reason, right):
    """Any number is a multiple of any other, so one entry does not tell whether a step is along the gradient."""
    assert nnc.check_derivation(page).ok
    report = nnc.check_derivation(page.replace(piece, instead))
    wrong = [line for line in report.lines if line.ok is False]
    assert [line.number for line in wrong] == [page.count("\n", 0, page.index(piece)) + 1], report
    assert reason in wrong[0].reason and wrong[0].right == right, report


def test_a_step_by_an_unknown_rule_is_reported_as_not_judged():
    report = nnc.check_derivation(SCALED)
    assert report.ok and [line.name for line in report.unjudged] == ["slope"], report
    assert "not judged: slope (line 11)" in str(report)


def test_a_missing_term_is_found_also_where_it_is_zero():
    page = """
    n = len(X)
    gap = X @ w - t
    cost = np.sum(gap ** 2) / n + decay * np.sum(w ** 2)
    dw = 2 * X.T @ gap / n
    """.replace("\n    ", "\n")
    rng = np.random.default_rng(1)
    inputs = {"X": rng.normal(size=(6, 3)), "t": rng.normal(size=6), "w": np.zeros(3), "decay": 0.2}
    report = nnc.check_derivation(page, namespace=inputs)
    assert report.first_wrong.right == "dw = 2 * X.T @ gap / n + 2 * decay * w", report
    assert nnc.check_derivation(page.replace("gap / n", "gap / n + 2 * decay * w"), namespace=inputs).ok


def test_a_page_without_a_recognised_gradient_is_not_called_right():
    page = LISTS[: LISTS.index("dWs, dbs")] + "q = outs[-2].T @ (outs[-1] - wanted)\n"
    report = nnc.check_derivation(page)
    assert report.ok is None and not report and report.first_wrong is None
    assert "nothing was judged" in str(report) and "names=" in str(report) and "right" not in str(report)


DROPPED = """
import numpy as np
rng = np.random.default_rng(3)
m, keep = 8, 0.7
X, Y = rng.normal(size=(m, 4)), rng.normal(size=(m, 2))
W1, b1, W2, b2 = rng.normal(size=(4, 5)), np.zeros(5), rng.normal(size=(5, 2)), np.zeros(2)
A1 = np.tanh(X @ W1 + b1)
kept = (rng.random(A1.shape) < keep) / keep
H1 = A1 * kept
J = np.sum((H1 @ W2 + b2 - Y) ** 2) / (2 * m)
dout = (H1 @ W2 + b2 - Y) / m
dW2, db2 = H1.T @ dout, dout.sum(axis=0)
dA1 = dout @ W2.T * kept
dZ1 = dA1 * (1 - A1 ** 2)
dW1, db1 = X.T @ dZ1, dZ1.sum(axis=0)
"""


def test_a_mask_of_dropout_left_out_of_the_backward_pass_is_named():
    assert nnc.check_derivation(DROPPED).ok
    report = nnc.check_derivation(DROPPED.replace("dout @ W2.T * kept", "dout @ W2.T"))
    assert [(line.name, line.right) for line in report.lines if line.ok is False] == [
        ("dA1", "dA1 = dout @ W2.T * kept")
    ]


def test_a_line_of_several_cells_is_named_with_its_function():
    space = {"np": np}
    cells = {
        "<first cell>": "def ahead(X, W, t):\n    m, h = len(t), X @ W - t\n    J = np.mean(h * h)\n    return J\n",
        "<second cell>": "def back(X, h, m):\n    dh = 2 * h / m\n    dW = X.T @ (dh * h)\n    return dW\n",
    }
    for name, text in cells.items():
        linecache.cache[name] = len(text), None, text.splitlines(True), name
        exec(compile(text, name, "exec"), space)
    rng = np.random.default_rng(0)
    report = nnc.check_derivation(
        space["ahead"], space["back"], rng.normal(size=(5, 3)), np.ones(3), rng.normal(size=5)
    )
    assert (report.first_wrong.function, report.first_wrong.number) == ("back", 3), report
    assert "back:3  dW  ✗" in str(report) and "back:3" in report._repr_html_()


MOMENTUM = """
import numpy as np
rng = np.random.default_rng(5)
X, T = rng.normal(size=(9, 4)), rng.normal(size=(9, 2))
W, b = rng.normal(size=(4, 2)), rng.normal(size=2)
vW, vb = np.zeros_like(W), np.zeros_like(b)
R = X @ W + b - T
J = np.sum(R ** 2) / 2
dW, db = X.T @ R, R.sum(axis=0)
vW = 0.9 * vW - 0.01 * dW
vb = 0.9 * vb - 0.01 * db
W = W + vW
b = b + vb
"""


def test_the_step_with_the_other_sign_is_blamed_and_not_the_update_that_adds_it():
    assert nnc.check_derivation(MOMENTUM).ok
    for name in ("W", "b"):
        right = f"v{name} = 0.9 * v{name} - 0.01 * d{name}"
        report = nnc.check_derivation(MOMENTUM.replace(right, right.replace("-", "+")))
        assert [(line.name, line.right) for line in report.lines if line.ok is False] == [(f"v{name}", right)], report
