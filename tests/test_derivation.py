"""check_derivation: a page of NumPy, judged line by line."""

import linecache
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from pages import PAGES

import nnc

SETUP = """
import numpy as np
rng = np.random.default_rng(0)
m = 6
X, y = rng.normal(size=(m, 4)), rng.integers(0, 3, m)
W1, b1 = rng.normal(size=(4, 5)), np.zeros(5)
W2, b2 = rng.normal(size=(5, 3)), np.zeros(3)
"""
FORWARD = """
Z1 = X.dot(W1) + b1
A1 = np.maximum(0, Z1)
Z2 = A1.dot(W2) + b2
P = np.exp(Z2) / np.sum(np.exp(Z2), axis=1, keepdims=True)
J = -np.mean(np.log(P[np.arange(m), y]))
"""
BACKWARD = """
dZ2 = P.copy(); dZ2[np.arange(m), y] -= 1
dZ2 /= m
dW2 = A1.T.dot(dZ2)
db2 = dZ2.sum(axis=0)
dA1 = dZ2.dot(W2.T)
dZ1 = dA1 * (Z1 > 0)
dW1 = X.T.dot(dZ1)
db1 = dZ1.sum(axis=0)
"""


def wrong(report):
    return {line.text: (line.reason, line.right) for line in report.lines if line.ok is False}


def test_a_right_page_is_right():
    report = nnc.check_derivation(SETUP + FORWARD + BACKWARD)
    assert report.ok and report.first_wrong is None, report
    judged = list(dict.fromkeys(line.name for line in report.lines if line.ok))
    assert judged == ["dZ2", "dW2", "db2", "dA1", "dZ1", "dW1", "db1"]


@pytest.mark.parametrize(("line", "ok"), [("db = dZ", False), ("db = dZ.sum(axis=1, keepdims=True)", True)])
def test_the_gradient_of_a_sum_is_constant_and_is_judged(line, ok):
    code = f"Z = W @ X + b\nJ = Z.sum()\ndZ = np.ones(Z.shape)\ndW = dZ @ X.T\n{line}"
    W, b, X = np.arange(6.0).reshape(2, 3), np.zeros((2, 1)), np.arange(12.0).reshape(3, 4)
    report = nnc.check_derivation(code, namespace={"W": W, "b": b, "X": X})
    judged = {e.name: e.ok for e in report.lines if e.ok is not None}
    assert judged == {"dZ": True, "dW": True, "db": ok}, report
    assert ok or report.first_wrong.right == "db = np.sum(dZ, axis=1, keepdims=True)"


def test_a_page_of_plain_numbers_has_a_cost_as_well():
    code = "t = w * x\nz = t + b\nq = z ** 2\ndz = z\ndt = dz\ndw = dt * x"
    numbers = {"w": -2.0, "x": 5.0, "b": 3.0}
    report = nnc.check_derivation(code, namespace=numbers)
    assert wrong(report) == {"dz = z": ("scale", "dz = 2 * z")}, report
    report = nnc.check_derivation(code.replace("dz = z", "dz = 2 * z"), namespace=numbers)
    assert report.ok and "all 3 lines are right" in str(report)
    assert "the line is right" in str(nnc.check_derivation("q = w ** 2\ndw = 2 * w", namespace=numbers))


@pytest.mark.parametrize(
    ("line", "instead", "reason", "right"),
    [
        ("dZ1 = dA1 * (Z1 > 0)", "dZ1 = dA1 * (dA1 > 0)", "derivative taken of dA1", "dZ1 = dA1 * (Z1 > 0)"),
        ("dZ1 = dA1 * (Z1 > 0)", "dZ1 = dA1", "activation derivative missing", "dZ1 = dA1 * (Z1 > 0)"),
        ("dW2 = A1.T.dot(dZ2)", "dW2 = A1.T.dot(dZ2) / m", "extra 1/m", "dW2 = A1.T.dot(dZ2)"),
        ("dZ2 /= m", "", "missing 1/m", None),
        ("db1 = dZ1.sum(axis=0)", "db1 = dZ1", "not summed over the batch", "db1 = np.sum(dZ1, axis=0)"),
        ("dA1 = dZ2.dot(W2.T)", "dA1 = -dZ2.dot(W2.T)", "sign", "dA1 = dZ2.dot(W2.T)"),
    ],
)
def test_one_fault_is_named_and_nothing_else_blamed(line, instead, reason, right):
    found = wrong(nnc.check_derivation(SETUP + FORWARD + BACKWARD.replace(line, instead)))
    assert len(found) == 1, found
    [(text, (found_reason, found_right))] = found.items()
    assert found_reason.startswith(reason)
    if right:
        assert text == instead and found_right == right


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("dZ1 = dA1 * (Z1 > 0)", "dZ1 = dA1 * (dA1 > 0)"),
        ("dZ1 = dA1 * (Z1 > 0)", "dZ1 = dA1"),
        ("dW2 = A1.T.dot(dZ2)", "dW2 = A1.T.dot(dZ2) / m"),
        ("dZ2 /= m", ""),
        ("db1 = dZ1.sum(axis=0)", "db1 = dZ1.mean(axis=0)"),
        ("dA1 = dZ2.dot(W2.T)", "dA1 = -dZ2.dot(W2.T)"),
    ],
)
def test_the_right_line_put_into_the_code_makes_it_right(line, instead):
    page = SETUP + FORWARD + BACKWARD.replace(line, instead)
    wrong = nnc.check_derivation(page).first_wrong
    rows = page.split("\n")
    assert wrong.text in rows[wrong.number - 1]
    rows[wrong.number - 1] = rows[wrong.number - 1].replace(wrong.text, wrong.right)
    report = nnc.check_derivation("\n".join(rows))
    assert report.ok, f"{wrong.text} -> {wrong.right}\n{report}"


def test_the_example_of_the_docs():
    report = nnc.check_derivation(SETUP + FORWARD + BACKWARD.replace("(Z1 > 0)", "(dA1 > 0)"))
    assert "✗ derivative taken of dA1" in repr(report) and "-> dZ1 = dA1 * (Z1 > 0)" in repr(report)
    assert "<code>dZ1 = dA1 * (Z1 &gt; 0)</code>" in report._repr_html_()


def test_no_cost_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="there is no cost"):
        nnc.check_derivation("import numpy as np\na = np.zeros(3)\n")
    with pytest.raises(ValueError, match="cost is 'loss'"):
        nnc.check_derivation(SETUP + FORWARD, cost="loss")
    with pytest.raises(TypeError, match="neither a function nor source"):
        nnc.check_derivation(3)


def test_the_arguments_and_the_random_state_are_not_changed():
    rng = np.random.default_rng(1)
    X, Y, W, b = rng.normal(size=(5, 3)), rng.normal(size=(5, 2)), rng.normal(size=(3, 2)), np.zeros(2)
    before = [x.copy() for x in (X, Y, W, b)]
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    report = nnc.check_derivation(step, X, Y, W, b)
    assert report.ok, report
    assert np.random.rand() == expected  # noqa: NPY002
    assert all(np.array_equal(x, y) for x, y in zip((X, Y, W, b), before, strict=True))


def step(X, Y, W, b):
    keep = np.random.rand(*X.shape) > 0.2  # noqa: NPY002
    A = np.tanh((X * keep) @ W + b)
    loss = ((A - Y) ** 2).sum() / 2
    dZ = (A - Y) * (1 - A**2)
    dW = (X * keep).T @ dZ
    db = dZ.sum(0)
    W -= 0.1 * dW
    b -= 0.1 * db
    print(loss)
    return loss


def test_functions_of_two_cells_are_run_in_order():
    """Each cell of a notebook counts its lines from 1, and its source is in linecache."""
    cells = {
        "<cell 1>": "def forward(W, X, Y):\n    A = W @ X\n    J = np.sum((A - Y) ** 2) / 2\n    return A, J\n",
        "<cell 2>": "def backward(A, X, Y):\n    dA = A - Y\n    dW = dA @ X\n    return dW\n",
    }
    names = {"np": np, "__name__": "notebook"}
    for name, text in cells.items():
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec"), names)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(3, 4)), rng.normal(size=(4, 5)), rng.normal(size=(3, 5))
    report = nnc.check_derivation(names["forward"], names["backward"], *data)
    assert [line.name for line in report.lines if line.name] == ["A", "J", "dA", "dW"]
    assert report.first_wrong.right == "dW = dA @ X.T"


def test_the_lines_that_it_tries_cause_no_warnings():
    """Among the lines that are tried are ``6[y, range(m)]`` and the like, of which Python's compiler warns."""
    page = "m = X.shape[1]\nP = np.exp(W @ X + b)\nP = P / P.sum(axis=0)\nJ = -np.log(P[y, range(m)]).mean()\n"
    page += "dZ = P - np.eye(3)[:, y]\ndW = dZ @ X.T\ndb = dZ.sum(axis=0)\n"
    rng = np.random.default_rng(0)
    data = {"W": rng.normal(size=(3, 4)), "b": np.zeros((3, 1)), "X": rng.normal(size=(4, 6)), "y": np.arange(6) % 3}
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        report = nnc.check_derivation(page, namespace=data)
    assert not report.ok and not seen


def test_the_command_line(tmp_path):
    file = tmp_path / "mine.py"
    for backward, code in ((BACKWARD, 0), (BACKWARD.replace("(Z1 > 0)", "(dA1 > 0)"), 1)):
        file.write_text(SETUP + FORWARD + backward)
        done = subprocess.run([sys.executable, "-m", "nnc", "check", file], capture_output=True, text=True)
        assert done.returncode == code and ("✗" in done.stdout) == (code == 1), done
    function = "def step(X, y, W1, b1, W2, b2):" + (FORWARD + BACKWARD).replace("\n", "\n    ") + "return J\n"
    file.write_text(SETUP + function)
    done = subprocess.run([sys.executable, "-m", "nnc", "check", f"{file}:step"], capture_output=True, text=True)
    assert done.returncode == 0 and "are right" in done.stdout, done
    done = subprocess.run([sys.executable, "-m", "nnc", "check", f"{file}:stop"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == f"nnc: there is no function stop in {file}\n"


def test_the_cell_magic():
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell()
    shell.run_cell("%load_ext nnc\n" + SETUP)
    shell.run_cell("%%derivation --cost J\n" + FORWARD + BACKWARD.replace("* (Z1 > 0)", ""))
    report = shell.user_ns["_"]
    assert [line.name for line in report.lines if line.ok is False] == ["dZ1"]
    assert shell.user_ns["dW1"].shape == (4, 5), "the cell itself runs, too"


def test_a_gradient_given_by_names_is_judged_with_its_sign():
    code = "J = np.sum(w ** 2)\nq = 2 * w\nstep = -q"
    given = {"namespace": {"w": np.arange(1.0, 4.0)}, "names": {"q": "w"}}
    assert nnc.check_derivation(code, **given).ok
    report = nnc.check_derivation(code.replace("2 * w", "-2 * w"), **given)
    assert wrong(report) == {"q = -2 * w": ("sign", "q = 2 * w")}, report
    given["names"] = {"step": "w"}  # which may have another sign
    assert nnc.check_derivation(code, **given).ok


def test_a_multiple_of_the_parameter_is_not_taken_for_an_update_assigned_to_its_gradient():
    for cost, line, w in (("np.sum(w ** 2)", "dw = -0.1 * w", np.arange(1.0, 4.0)), ("x * w ** 3", "dw = x * w", 2.0)):
        found = wrong(nnc.check_derivation(f"J = {cost}\n{line}", namespace={"w": w, "x": 5.0}))
        assert list(found) == [line] and "assigned to the gradient" not in found[line][0], found
    page = "J = (x * w - y) ** 2\ndw = 2 * (x * w - y) * x\ndw = w - 0.1 * dw"
    found = wrong(nnc.check_derivation(page, namespace={"w": 2.0, "x": 5.0, "y": 1.0}))
    assert found["dw = w - 0.1 * dw"][1] == "w = w - 0.1 * dw", found


def test_labels_can_be_the_missing_term():
    """1-D labels of 0 and 1. The backward line is wrong, not a forward pass of which it would be the gradient."""
    code = """
z = w * x + b
L = np.log(np.exp(z) + 1) - y * z
J = L.mean()
dz = y_hat / 10
dw = (dz * x).sum()
db = dz.sum()
"""
    code = code.replace("L =", "y_hat = np.exp(z) / (np.exp(z) + 1)\nL =", 1)
    x, y = np.arange(1, 11) / 2, np.array([0, 0, 0, 1, 0, 0, 1, 1, 0, 1])
    report = nnc.check_derivation(code, namespace={"x": x, "y": y, "w": 0.5, "b": -1.5})
    assert wrong(report) == {"dz = y_hat / 10": ("a term is missing", "dz = (y_hat - y) / 10")}, report


def test_a_number_is_not_taken_for_the_leaky_relu_of_another():
    report = nnc.check_derivation(
        "t = w * x\nz = t + b\nq = z ** 2\ndz = 2 * t\ndw = dz * x", namespace={"w": -2.0, "x": 5.0, "b": 3.0}
    )
    assert wrong(report) == {"dz = 2 * t": ("t where z is meant", "dz = 2 * z")}, report


def test_the_right_line_is_the_same_in_every_process():
    """Several names have the missing value, and a set of strings has another order in each process."""
    names = "".join(f"{name} = S * 1.0\n" for name in "abcdefgh")
    code = f"S = np.exp(z).sum()\n{names}J = np.log(S)\ndz = np.exp(z)"
    script = f"import nnc, numpy as np\nz = np.arange(3.0)\nr = nnc.check_derivation({code!r}, namespace={{'z': z}})"
    script += "\nprint(r.first_wrong.right)"
    run = {"capture_output": True, "text": True, "check": True}
    command = [sys.executable, "-c", script]
    seeds = ({**os.environ, "PYTHONHASHSEED": str(seed)} for seed in range(3))
    assert {subprocess.run(command, env=env, **run).stdout for env in seeds} == {"dz = np.exp(z) / S\n"}


@pytest.mark.parametrize("style", PAGES)
def test_right_code_of_every_style_is_right(style):
    report = nnc.check_derivation(PAGES[style][0])
    assert report.ok, report


FAULTS = [(style, *fault) for style, (_, faults) in PAGES.items() for fault in faults]


def test_ten_faults_are_planted_in_each_style():
    assert len(FAULTS) == 50


@pytest.mark.parametrize(("style", "right", "instead", "reason"), FAULTS)
def test_a_planted_fault_is_named(style, right, instead, reason):
    page = PAGES[style][0]
    start = page.index(right)
    number = page.count("\n", 0, start) + 1
    report = nnc.check_derivation(page.replace(right, instead, 1))
    wrong = [line for line in report.lines if line.ok is False]
    assert len(wrong) == 1, report
    assert re.search(reason, wrong[0].reason), report
    assert wrong[0].number == number, report


def test_a_gradient_of_zeros_is_wrong_where_the_right_one_is_not_zero():
    page = SETUP + FORWARD + BACKWARD
    for line, instead in (("dW1 = X.T.dot(dZ1)", "dW1 = np.zeros_like(W1)"), ("* (Z1 > 0)", "* 0.0")):
        found = wrong(nnc.check_derivation(page.replace(line, instead)))
        assert len(found) == 1 and "all zero" in str(found), found
    dead = page.replace("W2, b2 = rng.normal(size=(5, 3))", "W2, b2 = np.zeros((5, 3))")
    report = nnc.check_derivation(dead)  # dJ/dW1 is zero there
    assert report.ok and "dW1" in [line.name for line in report.lines if line.ok], report
    found = wrong(nnc.check_derivation(dead.replace("X.T.dot(dZ1)", "W1 * 0")))  # which is right only for this W2
    assert list(found) == ["dW1 = W1 * 0"] and "all zero" in str(found), found


def test_each_line_that_raises_is_reported_once():
    page = SETUP + FORWARD + BACKWARD.replace("dZ2.dot(W2.T)", "undefined(dZ2)").replace("* (Z1 > 0)", "* nothing")
    report = nnc.check_derivation(page)
    found = wrong(report)
    assert {text: reason for text, (reason, _) in found.items()} == {
        "dA1 = undefined(dZ2)": "raises",
        "dZ1 = dA1 * nothing": "raises",
    }


@pytest.mark.parametrize(
    ("error", "right"), [("Y - P", "dZ2 = (P - Y) / m"), ("(Y - P) / m", "dZ2 = (P - Y) / m"), ("P - Y", None)]
)
def test_a_sign_and_a_factor_are_corrected_together(error, right):
    page = SETUP + "Y = np.eye(3)[y]\n" + FORWARD + f"dZ2 = {error}\n" + BACKWARD.split("m\n", 1)[1]
    assert nnc.check_derivation(page).first_wrong.right == (right or "dZ2 = (P - Y) / m")


def test_a_transposed_square_matrix_and_a_missing_mean_are_both_named():
    page = SETUP.replace("(4, 5)", "(4, 3)").replace("(5)", "(3)").replace("(5, 3)", "(3, 3)") + FORWARD + BACKWARD
    found = wrong(nnc.check_derivation(page.replace("dZ2 /= m", "").replace("W2.T", "W2")))
    assert [reason for reason, _ in found.values()] == ["missing 1/m", "transposed"], found


BACK = """
import numpy as np
rng = np.random.default_rng(0)
m, lam = 6, 0.1
X, T = rng.normal(size=(4, m)), rng.normal(size=(2, m))
p = {"W1": rng.normal(size=(5, 4)), "b1": np.zeros((5, 1)), "W2": rng.normal(size=(2, 5)), "b2": np.zeros((2, 1))}

def layer(A, W, b):
    return W @ A + b, (A, W, b)

def layer_back(dZ, kept):
    A, W, b = kept
    return W.T @ dZ, dZ @ A.T, dZ.sum(axis=1, keepdims=True)

Z1, kept1 = layer(X, p["W1"], p["b1"])
H = np.tanh(Z1)
Z2, kept2 = layer(H, p["W2"], p["b2"])
J = np.sum((Z2 - T) ** 2) / m + lam / 2 * (np.sum(p["W1"] ** 2) + np.sum(p["W2"] ** 2))
grads = {}
dZ2 = 2 * (Z2 - T) / m
dH, grads["W2"], grads["b2"] = layer_back(dZ2, kept2)
dZ1 = dH * (1 - H ** 2)
_, grads["W1"], grads["b1"] = layer_back(dZ1, kept1)
grads["W1"] += lam * p["W1"]
grads["W2"] += lam * p["W2"]
"""


@pytest.mark.parametrize(
    ("right", "instead"),
    [
        ("", ""),
        ("dZ2 = 2 * (Z2 - T) / m", "dZ2 = (Z2 - T) / m"),  # with the penalty, dW2 is not wrong by a mere factor
        ("dZ1 = dH * (1 - H ** 2)", "dZ1 = dH"),
        ('grads["W1"] += lam * p["W1"]', 'grads["W1"] += 2 * lam * p["W1"]'),
    ],
)
def test_a_helper_called_for_each_layer_and_a_dictionary_of_gradients(right, instead):
    report = nnc.check_derivation(BACK.replace(right, instead) if right else BACK)
    assert [text for text in wrong(report)] == [instead] * bool(right), report


def test_a_gradient_called_grad_is_that_of_the_only_parameter():
    page = "w = np.ones(3)\nX = np.arange(12.0).reshape(4, 3) / 9\nt = np.arange(4.0)\n"
    page += "J = np.mean((X @ w - t) ** 2)\ngrad = 2 / 4 * X.T @ (X @ w - t)\n"
    assert nnc.check_derivation(page).lines[-1].ok
    found = wrong(nnc.check_derivation(page.replace("2 / 4 * X.T @ (X @ w - t)", "X.T @ (t - X @ w) / 2")))
    assert [reason for reason, _ in found.values()] == ["sign"], found


def test_a_factor_that_is_left_out_is_named():
    page = """
x, t, gamma = np.arange(12.0).reshape(4, 3), np.ones((4, 3)), np.array([0.5, 2.0, 3.0])
u = np.tanh(x / 9)
out = gamma * u
loss = 0.5 * np.sum((out - t) ** 2)
dout = out - t
du = dout
dx = du * (1 - u ** 2) / 9
dgamma = np.sum(dout * u, axis=0)
"""
    assert wrong(nnc.check_derivation(page)) == {"du = dout": ("a factor is missing", "du = dout * gamma")}
