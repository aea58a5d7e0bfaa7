"""Numerical gradients, gradcheck, check_gradient: right on what is right, and each shown to fail on planted faults."""

import numpy as np
import pytest

import nnc
from nnc import Node

rng = np.random.default_rng(11)


# ---- numerical_gradient ---------------------------------------------------------------------------------------------


def test_page_7_with_h_of_a_tenth():
    w, x, b = -2.0, 5.0, 3.0
    for f, at, right in ((lambda w: w * x + b, w, 5), (lambda x: w * x + b, x, -2), (lambda b: w * x + b, b, 1)):
        for method in ("forward", "central"):
            assert nnc.numerical_gradient(f, at, h=0.1, method=method) == pytest.approx(right, abs=1e-13)


def test_forward_is_equation_6_2():
    f = lambda w: w**3  # noqa: E731
    assert nnc.numerical_gradient(f, 2.0, h=0.1, method="forward") == (2.1**3 - 8) / 0.1


def test_the_error_is_of_order_h_forward_and_h_squared_central():
    x = rng.random(5)
    for method, order in (("forward", 1), ("central", 2)):
        error = [
            np.max(np.abs(nnc.numerical_gradient(lambda x: np.sin(3 * x).sum(), x, h, method) - 3 * np.cos(3 * x)))
            for h in (1e-2, 1e-3)
        ]
        assert np.log10(error[0] / error[1]) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize(
    "x", [np.float32([[1, 2], [3, 4]]), [[1, 2], [3, 4]], np.arange(1, 5).reshape(2, 2), np.ones((2, 2)).T]
)
def test_differences_are_taken_in_float64(x):
    seen = []
    g = nnc.numerical_gradient(lambda x: (seen.append(x.dtype), np.sum(x**3))[1], x)
    assert g.dtype == np.float64 and set(seen) == {np.dtype(np.float64)} and g.shape == (2, 2)
    np.testing.assert_allclose(g, 3 * np.asarray(x, np.float64) ** 2, rtol=1e-8)


def test_the_gradient_of_a_number_is_a_number():
    assert type(nnc.numerical_gradient(lambda x: x * x, 3)) is float
    assert type(nnc.numerical_gradient(lambda x: x * x, np.float32(3))) is float


def test_the_argument_is_not_changed_and_f_may_keep_it():
    x, kept = rng.random(4), []
    before = x.copy()
    g = nnc.numerical_gradient(lambda x: (kept.append(x), x.sum())[1], x)
    np.testing.assert_array_equal(x, before)
    assert all(abs(k - before).max() < 1e-5 for k in kept) and len({k.tobytes() for k in kept}) == 9
    np.testing.assert_allclose(g, 1, rtol=1e-9)
    assert nnc.numerical_gradient(lambda x: x[0], np.array([2.0])).tolist() == [pytest.approx(1)]


def test_f_may_return_a_scalar_node():
    np.testing.assert_allclose(nnc.numerical_gradient(lambda x: (Node(x) ** 2).sum(), np.ones(3)), 2, rtol=1e-9)


@pytest.mark.parametrize("f", [lambda x: x, lambda x: x.sum(keepdims=True), lambda x: 1j, lambda x: "a"])
def test_f_must_return_a_scalar(f):
    with pytest.raises(ValueError, match="scalar"):
        nnc.numerical_gradient(f, np.ones(3))


@pytest.mark.parametrize("options", [{"h": 0}, {"h": -1e-6}, {"h": np.nan}, {"method": "backward"}, {"h": 1e-30}])
def test_bad_options_are_an_error(options):
    with pytest.raises(ValueError, match="numerical_gradient"):
        nnc.numerical_gradient(lambda x: x.sum(), np.ones(3), **options)


# ---- gradcheck ------------------------------------------------------------------------------------------------------


def with_graph(right, by_hand):
    """An f with the graph of another function: `by_hand` for Nodes, `right` for arrays."""
    return lambda *args: (by_hand if any(isinstance(a, Node) for a in args) else right)(*args)


def test_a_right_gradient():
    W, x, b = rng.standard_normal((3, 4)), rng.standard_normal(4), rng.standard_normal(3)
    report = nnc.gradcheck(lambda W, x, b: np.sum(np.tanh(W @ x + b) ** 2), W, x, b)
    assert report.ok and report.max_error < 1e-9 and report.checked == 12 + 4 + 3 and report.kinks == []
    assert [g.shape for g in report.gradients] == [(3, 4), (4,), (3,)]


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1, 1e6])
@pytest.mark.parametrize("x", [1e-9, 1e-3, 1.0, 1e5])
def test_a_right_gradient_at_any_scale(scale, x):
    assert nnc.gradcheck(lambda x: scale * np.sum(np.sin(x)), [x]).ok
    assert nnc.gradcheck(lambda x: scale * np.sum(np.log(x)), [x]).ok


@pytest.mark.parametrize(("fault", "found"), [(1e-2, True), (1e-4, True), (2e-5, True), (1e-6, False), (-1e-4, True)])
def test_a_relative_error_is_found_from_1e_5_on(fault, found):
    for scale in (1, 1e-8):  # a small gradient is judged in the same way
        f = with_graph(lambda x, s=scale: s * (x**2).sum(), lambda x, s=scale: s * (1 + fault) * (x**2).sum())
        report = nnc.gradcheck(f, rng.random(3) + 0.5)
        assert report.ok is not found
        assert report.max_error == pytest.approx(abs(fault), rel=0.05)


def test_one_wrong_entry_among_large_ones_is_found():
    right = np.array([1e4, 1.0, 1e-3])
    f = with_graph(lambda x: (right * x).sum(), lambda x: (np.array([1e4, 1.0, 1.1e-3]) * x).sum())
    report = nnc.gradcheck(f, np.ones(3))
    assert not report.ok and report.errors[0][2] > 0.05 and max(report.errors[0][:2]) < 1e-5
    assert "[2]" in str(report).splitlines()[2]  # the worst entry comes first


def test_two_zeros_agree_and_a_zero_with_a_number_does_not():
    assert nnc.gradcheck(lambda x, y: np.sum(x) + 0 * np.sum(y), np.ones(2), np.ones(2)).max_error < 1e-9
    assert not nnc.gradcheck(with_graph(lambda x: x.sum(), lambda x: 0 * x.sum()), np.ones(2)).ok
    assert not nnc.gradcheck(with_graph(lambda x: 0 * x.sum(), lambda x: x.sum() * 1e-3), np.ones(2)).ok


def test_an_argument_that_is_not_used():
    assert nnc.gradcheck(lambda x, y: np.sum(x), np.ones(2), np.ones(2)).ok
    assert not nnc.gradcheck(with_graph(lambda x, y: np.sum(x * y), lambda x, y: np.sum(x)), np.ones(2), np.ones(2)).ok


def test_nan_is_not_right():
    with np.errstate(invalid="ignore"):
        report = nnc.gradcheck(lambda x: np.sum(np.sqrt(x)), [-1.0, 2.0])
    assert not report.ok and np.isnan(report.max_error)


def test_gradcheck_computes_in_float64():
    seen = []
    nnc.gradcheck(lambda x: (seen.append(x.dtype), np.sum(x * x))[1], np.float32([1, 2]))
    assert set(seen) == {np.dtype(np.float64)}
    assert nnc.gradcheck(lambda x: np.sum(x * x), np.float32([1, 2])).max_error < 1e-9
    assert nnc.gradcheck(lambda x: x * x, 3).ok and nnc.gradcheck(lambda x: x * x, Node(3.0)).ok


KINKS = [
    (lambda x: nnc.relu(x).sum(), [-1.0, 0.0, 2.0], "relu at [1]"),
    (lambda x: (2 * nnc.relu(x - 2)).sum(), [-1.0, 0.0, 2.0], "relu at [2]"),
    (lambda x: nnc.leaky_relu(x, 0.1).sum(), [-1.0, 0.0, 2.0], "leaky_relu at [1]"),
    (lambda x: np.abs(x).sum(), [-1.0, 0.0, 2.0], "absolute at [1]"),
    (lambda x: np.maximum(x, 0).sum(), [-1.0, 0.0, 2.0], "maximum at [1]"),
    (lambda x: np.minimum(x, 2.0).sum(), [-1.0, 0.0, 2.0], "minimum at [2]"),
    (lambda x: np.clip(x, -0.5, 0.0).sum(), [-1.0, 0.0, 2.0], "minimum at [1]"),
    (lambda x: np.where(x > 0, x, 3 * x).sum(), [-1.0, 0.0, 2.0], "where at [1]"),
    (lambda x: np.max(x), [2.0, -1.0, 2.0], "max at [2]"),
    (lambda x: np.min(x), [2.0, 2.0, 7.0], "min at [1]"),
]


@pytest.mark.parametrize(("f", "x", "what"), KINKS, ids=[what for _, _, what in KINKS])
def test_kinks_are_named_and_skipped(f, x, what):
    report = nnc.gradcheck(f, x)
    assert report.ok and what in [w for _, _, w in report.kinks]
    for _, index, _ in report.kinks:
        assert np.isnan(report.errors[0][index])
    assert report.checked == 3 - len(report.kinks) and what in str(report) and "skipped" in report._repr_html_()


def test_the_gradient_close_to_a_kink_is_checked():
    """A kink 1e-5 away is within the usual step, so a smaller one is taken; nothing is skipped."""
    x = np.array([-1e-5, 1e-5, 3e-6, 0.3])
    assert nnc.gradcheck(lambda x: nnc.relu(x).sum(), x).checked == 4
    assert nnc.gradcheck(lambda x: nnc.relu(x).sum(), x).ok
    wrong = with_graph(lambda x: nnc.relu(x).sum(), lambda x: (1.01 * nnc.relu(x)).sum())
    assert not nnc.gradcheck(wrong, x).ok


def test_a_kink_excuses_no_other_entry():
    f = with_graph(lambda x: nnc.relu(x).sum(), lambda x: (nnc.relu(x) * np.array([1, 1, 1.01])).sum())
    report = nnc.gradcheck(f, [0.0, -1.0, 2.0])
    assert len(report.kinks) == 1 and not report.ok
    smooth_but_wrong = with_graph(lambda x: (x * x).sum(), lambda x: (x * x).sum() + np.abs(x - 5).sum())
    assert not nnc.gradcheck(smooth_but_wrong, [1.0, 2.0]).ok


def test_a_kink_without_effect_is_not_skipped():
    """W = 0 puts every score on ReLU's kink, but the second layer does not see it."""
    report = nnc.gradcheck(lambda W: (0 * nnc.relu(W)).sum() + (W * W).sum(), np.zeros((2, 2)))
    assert report.ok and report.kinks == [] and report.checked == 4


def test_kinks_alone_do_not_pass():
    report = nnc.gradcheck(lambda x: np.abs(x).sum(), [0.0, 0.0])
    assert not report.ok and report.checked == 0 and "nothing was compared" in str(report)


def test_what_f_does_not_use_has_gradient_0():
    assert nnc.gradcheck(lambda x, y: (x * x).sum(), np.ones(2), 3.0).ok
    report = nnc.gradcheck(lambda x: 3.0, np.ones(2))  # the differences are 0, too
    assert report.ok and report.checked == 2
    assert not nnc.gradcheck(lambda x: np.sum(getattr(x, "value", x) ** 2), np.ones(2)).ok


def test_what_gradcheck_refuses():
    with pytest.raises(ValueError, match="scalar"):
        nnc.gradcheck(lambda x: x * 2, np.ones(2))
    with pytest.raises(TypeError, match="without leaving its graph"):
        nnc.gradcheck(lambda x: float(np.sum(x)), np.ones(2))
    with pytest.raises(TypeError, match="arguments"):
        nnc.gradcheck(lambda: 1.0)


def test_the_report_as_text_and_html():
    report = nnc.gradcheck(lambda W: np.sum(W**3), rng.random((4, 4)))
    assert str(report).startswith("the gradient is right") and len(str(report).splitlines()) == 10
    assert report._repr_html_().count("<tr>") == 9 and "✓" in report._repr_html_()
    wrong = nnc.gradcheck(with_graph(lambda x: x.sum(), lambda x: -x.sum()), np.ones(2))
    assert str(wrong).startswith("WRONG GRADIENT") and "✗" in wrong._repr_html_()


def test_the_plot_is_a_v():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    ax = nnc.gradcheck(lambda x: np.sum(np.exp(np.sin(3 * x))), rng.random(4)).plot()
    assert [line.get_label() for line in ax.get_lines()] == ["forward differences", "central differences"]
    best = []
    for line in ax.get_lines():
        h, error = line.get_data()
        lowest = int(np.argmin(error))
        assert 0 < lowest < len(h) - 1 and error[0] > 100 * error[lowest] < error[-1]
        best.append(error[lowest])
    assert best[1] < best[0] / 10  # central differences are better
    matplotlib.pyplot.close("all")
