"""check_derivation: updates by rules such as Adam's, and steps that are not updates."""

import pytest

import nnc

PAGE = """
import numpy as np
rng = np.random.default_rng(0)
m = 6
X, Y = rng.normal(size=(4, m)), rng.normal(size=(3, m))
W1, b1 = rng.normal(size=(3, 4)), rng.normal(size=(3, 1))
W, b = rng.normal(size=(3, 3)), rng.normal(size=(3, 1))
lr, beta, eps = 0.1, 0.9, 1e-8
m0, v0, mr, vr = np.zeros_like(W), np.zeros_like(W), rng.normal(size=W.shape), rng.random(W.shape)
Z1 = W1 @ X + b1
A1 = np.tanh(Z1)
Z = W @ A1 + b
J = np.sum((Z - Y) ** 2) / (2 * m)
dZ = (Z - Y) / m
dW = dZ @ A1.T
db = np.sum(dZ, axis=1, keepdims=True)
dZ1 = (W.T @ dZ) * (1 - A1 ** 2)
dW1 = dZ1 @ X.T
db1 = np.sum(dZ1, axis=1, keepdims=True)
W1 = W1 - lr * dW1
b1 = b1 - lr * db1
b = b - lr * db
"""
STATES = "mm = beta * {m} + (1 - beta) * dW\nvv = beta * {v} + (1 - beta) * dW ** 2\n"
FRESH, LATER = STATES.format(m="m0", v="v0"), STATES.format(m="mr", v="vr")
ADAM = "W = W - lr * mm / (np.sqrt(vv) + eps)"
RIGHT = [
    FRESH + ADAM,
    LATER + ADAM,
    "vv = beta * vr + (1 - beta) * dW ** 2\nW -= lr * dW / (np.sqrt(vv) + eps)",
    "vel = beta * mr - lr * dW\nW = W + vel",
    "vel = beta * mr + dW\nW -= lr * vel",
    "vel = beta * mr - lr * dW\nW = W - beta * mr + (1 + beta) * vel",
    "W = (1 - lr * 0.01) * W - lr * dW",
    "W *= 0.99\nW = W - lr * dW",
    "W = W - lr * dW\nW = W / np.linalg.norm(W)",
    "W = W - lr * dW\nW = np.clip(W, -1, 1)",
    "W = W - lr * np.sign(dW)",
    "W = W - lr * np.sign(0.9 * mr + 0.1 * dW)",
    "mm = beta * mr + (1 - beta) * np.sign(dW)\nW = W - lr * np.sign(mm)",
    "W = W - lr * np.clip(dW, -0.1, 0.1)",
    "W = W - lr * (dW - dW.mean(axis=0))",
    "W = W - np.linalg.solve(np.eye(3) + 0.1, dW)",
    "U, S, V = np.linalg.svd(dW)\nW = W - lr * U @ V",
    "W = np.sign(W - lr * dW) * np.maximum(np.abs(W - lr * dW) - 0.01, 0)",
    "W = W - lr * dW * (np.arange(9).reshape(3, 3) % 2)",
    "W = W - 0.0 * dW",
]
STEP = "W = W - lr * dW"
WRONG = [  # the update, the line to blame, the reason, the right line
    ("W = W - lr * dW.mean()", 0, "one step for all", STEP),
    ("W = W - lr * np.mean(dW, axis=0)", 0, "one step for all", STEP),
    ("W -= lr * np.sum(dW, axis=1, keepdims=True)", 0, "one step for all", "W -= lr * dW"),
    ("u = lr * dW.mean()\nW = W - u", 0, "one step for all", "u = lr * dW"),
    (FRESH + ADAM.replace("W - lr", "W + lr"), 2, "uphill", ADAM),
    (LATER + ADAM.replace("W - lr", "W + lr"), 2, "uphill", ADAM),
    (LATER.replace("+ (1 - beta) * dW\n", "- (1 - beta) * dW\n") + ADAM, 0, "uphill",
     "mm = beta * mr + (1 - beta) * dW"),
    ("vv = vr + dW ** 2\nW += lr * dW / (np.sqrt(vv) + eps)", 1, "uphill", "W -= lr * dW / (np.sqrt(vv) + eps)"),
    ("vel = beta * mr - lr * dW\nW = W - vel", 1, "uphill", "W = W + vel"),
    ("W = W + lr * (dW + 0.01 * W)", 0, "uphill", "W = W - lr * (dW + 0.01 * W)"),
    ("W = W + lr * np.sign(dW)", 0, "uphill", "W = W - lr * np.sign(dW)"),
    ("W = W - lr * dW * W", 0, "uphill in some entries", None),
    ("W =- lr * dW", 0, "the old value is lost", "W -= lr * dW"),
    ("W = b - lr * dW", 0, "the old value is lost", STEP),
    ("W = W - lr * dW.T", 0, "another entry's gradient", STEP),
    ("W = W - lr * dW[::-1]", 0, "another entry's gradient", STEP),
    ("W = W - lr * dW ** 2", 0, "wrong", STEP),
    ("W = W - lr * np.linalg.norm(dW)", 0, "wrong", STEP),
    ("W = W", 0, "no step", ""),
]  # fmt: skip


@pytest.mark.parametrize("update", RIGHT)
def test_a_rule_that_goes_down_is_not_blamed(update):
    report = nnc.check_derivation(PAGE + update)
    assert report.ok, report


@pytest.mark.parametrize(("update", "line", "reason", "right"), WRONG)
def test_a_wrong_update_is_blamed(update, line, reason, right):
    report = nnc.check_derivation(PAGE + update)
    wrong = [x for x in report.lines if x.ok is False]
    assert [x.number for x in wrong] == [PAGE.count("\n") + 1 + line], report
    assert reason in wrong[0].reason and right in (None, wrong[0].right), report


def test_a_bias_moved_by_the_mean_of_its_gradient():
    report = nnc.check_derivation(PAGE.replace("lr * db\n", "lr * db.mean()\n") + STEP)
    assert not report.ok and report.first_wrong.right == "b = b - lr * db", report


@pytest.mark.parametrize("update", ["W = W - lr * W @ dW", "W *= 0.9"])
def test_what_is_not_seen_to_go_down_is_not_called_right(update):
    report = nnc.check_derivation(PAGE + update)
    assert report.ok is None and report.first_wrong is None, report
    assert "goes down" in str(report) and "right" not in str(report)


STATE = """
import numpy as np
rng = np.random.default_rng(4)
X, Y = rng.normal(size=(7, 3)), rng.normal(size=(7, 2))
params = {"U": rng.normal(size=(2, 3)), "c": rng.normal(size=2)}
mem = {k: np.zeros_like(v) for k, v in params.items()}
o = X @ params["U"].T + params["c"]
cost = ((o - Y) ** 2).mean()
do = 2 * (o - Y) / o.size
grads = {}
grads["U"] = do.T @ X
grads["c"] = do.sum(0)
for name in params:
    mem[name] += grads[name] ** 2
    params[name] -= 0.1 * grads[name] / np.sqrt(mem[name] + 1e-8)
"""
VELOCITIES = """
import numpy as np
rng = np.random.default_rng(4)
X, Y = rng.normal(size=(7, 3)), rng.normal(size=7)
w, b = rng.normal(size=3), rng.normal(size=7)
v, u = 0.01 * rng.normal(size=3), 0.01 * rng.normal(size=7)
gap = X @ w + b - Y
cost = np.sum(gap ** 2) / 2
dw = X.T @ gap
db = gap
old, old_u = v, u
v = 0.9 * v - 0.1 * dw
u = 0.9 * u - 0.1 * db
w = w - 0.9 * old + 1.9 * v
b = b - 0.9 * old_u + 1.9 * u
"""


@pytest.mark.parametrize(
    ("page", "piece", "instead", "right"),
    [
        (STATE, "-= 0.1 * grads[name]", "+= 0.1 * grads[name]", None),
        (STATE, "-= 0.1 * grads[name]", "-= 0.1 * grads[name].mean()", None),
        (VELOCITIES, "+ 1.9 * v", "- 1.9 * v", "w = w - 0.9 * old + 1.9 * v"),
        (VELOCITIES, "0.9 * v - 0.1 * dw", "0.9 * v + 0.1 * dw", "v = 0.9 * v - 0.1 * dw"),
        (VELOCITIES, "- 0.1 * dw", "- 0.1 * dw[::-1]", "v = 0.9 * v - 0.1 * dw"),  # the middle one is unchanged
    ],
)
def test_updates_with_a_state(page, piece, instead, right):
    """A sum of squares is not an update; of two lines that may be wrong, the one unlike the other parameter's is."""
    assert nnc.check_derivation(page).ok
    report = nnc.check_derivation(page.replace(piece, instead))
    wrong = [line for line in report.lines if line.ok is False]
    assert [line.number for line in wrong] == [page.count("\n", 0, page.index(piece)) + 1], report
    assert right in (None, wrong[0].right), report
