"""check_derivation: names that claim the derivative of one value of the forward pass by another, as ``d_h1_d_w1``."""

import pytest

import nnc

SCALARS = """
import numpy as np
def sigmoid(x):
    return 1 / (1 + np.exp(-x))
def deriv_sigmoid(x):
    f = sigmoid(x)
    return f * (1 - f)
x, y_true, lr = np.array([0.7, -1.2]), 1.0, 0.1
w1, w2, w3, w4, w5, w6, b1, b2, b3 = 0.4, -0.3, 0.8, 0.5, -0.9, 0.6, 0.1, -0.2, 0.3
sum_h1 = w1 * x[0] + w2 * x[1] + b1
h1 = sigmoid(sum_h1)
sum_h2 = w3 * x[0] + w4 * x[1] + b2
h2 = sigmoid(sum_h2)
sum_o1 = w5 * h1 + w6 * h2 + b3
y_pred = sigmoid(sum_o1)
L = (y_true - y_pred) ** 2
d_L_d_ypred = -2 * (y_true - y_pred)
d_ypred_d_w5 = h1 * deriv_sigmoid(sum_o1)
d_ypred_d_w6 = h2 * deriv_sigmoid(sum_o1)
d_ypred_d_b3 = deriv_sigmoid(sum_o1)
d_ypred_d_h1 = w5 * deriv_sigmoid(sum_o1)
d_ypred_d_h2 = w6 * deriv_sigmoid(sum_o1)
d_h1_d_w1 = x[0] * deriv_sigmoid(sum_h1)
d_h1_d_w2 = x[1] * deriv_sigmoid(sum_h1)
d_h1_d_b1 = deriv_sigmoid(sum_h1)
d_h2_d_w3 = x[0] * deriv_sigmoid(sum_h2)
d_h2_d_w4 = x[1] * deriv_sigmoid(sum_h2)
d_h2_d_b2 = deriv_sigmoid(sum_h2)
w1 -= lr * d_L_d_ypred * d_ypred_d_h1 * d_h1_d_w1
w2 -= lr * d_L_d_ypred * d_ypred_d_h1 * d_h1_d_w2
b1 -= lr * d_L_d_ypred * d_ypred_d_h1 * d_h1_d_b1
w3 -= lr * d_L_d_ypred * d_ypred_d_h2 * d_h2_d_w3
w4 -= lr * d_L_d_ypred * d_ypred_d_h2 * d_h2_d_w4
b2 -= lr * d_L_d_ypred * d_ypred_d_h2 * d_h2_d_b2
w5 -= lr * d_L_d_ypred * d_ypred_d_w5
w6 -= lr * d_L_d_ypred * d_ypred_d_w6
b3 -= lr * d_L_d_ypred * d_ypred_d_b3
"""
ARRAYS = """
import numpy as np
rng = np.random.default_rng(0)
X, y = rng.normal(size=(6, 3)), rng.integers(0, 2, (6, 1)).astype(float)
w, b = rng.normal(size=(3, 1)), 0.3
z = X @ w + b
a = 1 / (1 + np.exp(-z))
loss = -np.mean(y * np.log(a) + (1 - y) * np.log(1 - a))
dloss_da = (a - y) / (a * (1 - a)) / len(X)
da_dz = a * (1 - a)
dz_dw = X
dw = dz_dw.T @ (dloss_da * da_dz)
db = np.sum(dloss_da * da_dz)
"""


def wrong_lines(page):
    return [line for line in nnc.check_derivation(page).lines if line.ok is False]


@pytest.mark.parametrize("page", [SCALARS, ARRAYS])
def test_the_right_pages_are_right_and_the_local_derivatives_are_judged(page):
    report = nnc.check_derivation(page)
    assert report.ok, report
    sentences = {line.name: line.sentence for line in report.lines}
    assert "da/dz" in sentences.get("da_dz", "da/dz"), sentences
    assert "dh1/dw2" in sentences.get("d_h1_d_w2", "dh1/dw2"), sentences


OF_ACTIVATION = "derivative taken of the activation instead of the pre-activation"


@pytest.mark.parametrize(
    ("piece", "instead", "reason", "right"),
    [
        ("d_ypred_d_w5 = h1", "d_ypred_d_w5 = h2", "h2 where h1 is meant", "d_ypred_d_w5 = h1 * deriv_sigmoid(sum_o1)"),
        (
            "d_h1_d_w2 = x[1] * deriv_sigmoid(sum_h1)",
            "d_h1_d_w2 = x[1] * deriv_sigmoid(h1)",
            OF_ACTIVATION,
            "d_h1_d_w2 = x[1] * deriv_sigmoid(sum_h1)",
        ),
        (
            "d_h2_d_w3 = x[0]",
            "d_h2_d_w3 = x[1]",
            "x[1] where x[0] is meant",
            "d_h2_d_w3 = x[0] * deriv_sigmoid(sum_h2)",
        ),
        ("d_ypred_d_h1 = w5", "d_ypred_d_h1 = w6", "w6 where w5 is meant", "d_ypred_d_h1 = w5 * deriv_sigmoid(sum_o1)"),
        ("return f * (1 - f)", "return f * (1 + f)", "sign", "return f * (1 - f)"),
        (
            "d_ypred_d_h2 * d_h2_d_w4",
            "d_ypred_d_h1 * d_h2_d_w4",
            "d_ypred_d_h1 where d_ypred_d_h2 is meant",
            "w4 -= lr * d_L_d_ypred * d_ypred_d_h2 * d_h2_d_w4",
        ),
        ("w5 -= lr", "w5 += lr", "a step uphill", "w5 -= lr * d_L_d_ypred * d_ypred_d_w5"),
    ],
)
def test_the_line_at_fault_is_blamed_and_no_update_that_follows_from_it(piece, instead, reason, right):
    assert nnc.check_derivation(SCALARS).ok
    (line,) = wrong_lines(SCALARS.replace(piece, instead, 1))
    assert line.number == SCALARS.count("\n", 0, SCALARS.index(piece)) + 1
    assert (line.reason, line.right) == (reason, right)


def test_two_wrong_local_derivatives_of_one_product_are_both_found():
    page = SCALARS.replace("d_ypred_d_h2 = w6", "d_ypred_d_h2 = w5").replace("d_h2_d_w4 = x[1]", "d_h2_d_w4 = x[0]")
    assert [line.name for line in wrong_lines(page)] == ["d_ypred_d_h2", "d_h2_d_w4"]


def test_a_local_derivative_of_arrays_is_judged_entry_by_entry():
    (line,) = wrong_lines(ARRAYS.replace("da_dz = a * (1 - a)", "da_dz = z * (1 - z)"))
    assert (line.name, line.right) == ("da_dz", "da_dz = a * (1 - a)")


def test_a_name_that_means_something_else_is_not_blamed_if_the_result_is_right():
    page = ARRAYS.replace("da_dz = a * (1 - a)", "da_dz = a * (1 - a) / len(X)").replace(" / len(X)\nda", "\nda")
    assert nnc.check_derivation(page).ok
