"""Wrong rows in the table of operations, and errors raised within them: always an exception, never a crash."""

from dataclasses import replace

import numpy as np
import pytest

import nnc
from nnc import _engine as engine
from nnc.autodiff.operations import RULES

A = np.arange(6.0).reshape(2, 3) + 1
w = nnc.Node(A, name="W")
ROW = RULES["expand_dims"]  # one operand, and the parameter `axis`


def failing(*arguments, **keywords):
    raise RuntimeError("on purpose")


class Failing:
    """Its comparisons raise."""

    __hash__ = None

    def __eq__(self, other):
        failing()


def row(**changes):
    return replace(ROW, **changes)


class Refusing(type(ROW)):
    def refused(self, name):
        return 3 if name == "nothing" else failing()


# ---- rows ------------------------------------------------------------------------------------------------------------


def test_a_row_without_an_attribute():
    class Bare(engine.Rule):
        pass

    bare = Bare()
    for name, value in [("for_many", None), ("vjps", ()), ("takes", None), ("params", ()), ("constants", ())]:
        with pytest.raises(AttributeError, match=name):
            engine.apply(bare, (w,))
        setattr(bare, name, value)
    with pytest.raises(AttributeError, match="forward"):
        engine.apply(bare, (w,))
    bare.forward = np.negative
    with pytest.raises(AttributeError, match="all_reads"):
        engine.apply(bare, (w,))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"params": ["axis"]}, TypeError, "params are not a tuple"),
        ({"constants": [0]}, TypeError, "constants are not a tuple"),
        ({"forward": lambda x, axis: [1.0]}, TypeError, "list.*float32 or float64"),
        ({"forward": lambda x, axis: x.astype(int)}, TypeError, "int64.*float32 or float64"),
        ({"forward": lambda x, axis: x.astype(int), "name": 3}, TypeError, "3: the result"),
        ({"constants": (0,)}, TypeError, "no gradient flows through argument 1"),
        ({"reads": "all"}, TypeError, None),
        ({"vjps": 3}, TypeError, None),
        ({"takes": lambda x, axis: 3}, TypeError, r"takes\(...\) is not \(arrays, params\)"),
        ({"takes": lambda x, axis: (x, {}, 3)}, TypeError, r"takes\(...\) is not \(arrays, params\)"),
        ({"takes": failing}, RuntimeError, "on purpose"),
        ({"params": (Failing(), "axis")}, RuntimeError, "on purpose"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_an_error(changes, error, message):
    with pytest.raises(error, match=message):
        engine.call(row(**changes), (w,), {"axis": 0})


def test_something_else_than_a_row_is_an_error():
    with pytest.raises(TypeError, match="must be a Rule"):
        engine.call(3, (w,), {})
    with pytest.raises(TypeError, match="call"):
        engine.call(ROW, [w], {})


def test_errors_for_refused_parameters():
    refusing = Refusing(**{field: getattr(ROW, field) for field in ROW.__dataclass_fields__})
    with pytest.raises(RuntimeError, match="on purpose"):
        engine.call(refusing, (w,), {"other": 1})
    with pytest.raises(Exception):  # noqa: B017 - any error, as the row gave none
        engine.call(refusing, (w,), {"nothing": 1})
    assert engine.call(ROW, (w,), {"axis": 1, "other": None} if "-" in ROW.params else {"axis": 1}).shape == (2, 1, 3)


@pytest.mark.parametrize("constants", [(5,), (-1,), (1,)])
def test_constants_may_be_out_of_range(constants):
    assert engine.apply(row(constants=constants), (w,), {"axis": 0}).shape == (1, 2, 3)


def test_a_result_may_be_a_numpy_scalar():
    for dtype in (np.float32, np.float64):
        y = engine.apply(row(forward=lambda x, axis, dtype=dtype: dtype(x.sum())), (w,), {"axis": 0})
        assert type(y.value) in (dtype, np.ndarray) and y.value == A.sum()


def test_a_result_may_be_the_operand_itself():
    y = engine.apply(row(forward=lambda x, axis: x), (w,), {"axis": 0})
    assert y.value is not w.value and (y.value == A).all() and not y.value.flags.writeable
    assert w.value.flags.writeable


# ---- NumPy's protocol ------------------------------------------------------------------------------------------------


class BrokenUfuncs(nnc.Node):
    _ufuncs = property(failing)


class NoUfuncs(nnc.Node):
    _ufuncs = ()

    def _array_ufunc(self, *arguments, **keywords):
        return arguments


class BrokenFallback(NoUfuncs):
    _array_ufunc = property(failing)


def test_ufuncs_of_broken_subclasses_of_node():
    with pytest.raises(RuntimeError, match="on purpose"):
        np.exp(BrokenUfuncs(A))
    assert NoUfuncs(A).__array_ufunc__(np.exp, "__call__", w) == (np.exp, "__call__", w)
    assert NoUfuncs(A).__array_ufunc__(np.exp) == (np.exp,)
    assert NoUfuncs(A).__array_ufunc__(np.exp, 3, w) == (np.exp, 3, w)
    with pytest.raises(RuntimeError, match="on purpose"):
        np.exp(BrokenFallback(A))
    with pytest.raises(TypeError, match="unhashable"):
        w.__array_ufunc__([], "__call__", w)


# ---- backward --------------------------------------------------------------------------------------------------------


def unbroadcast(c, value, batch_axes):
    return np.zeros_like(value) if c is None else np.asarray(c).reshape(np.shape(value))


def add(a, b, a_is_own, b_is_own):
    return a + b


def test_errors_in_backward_are_raised():
    y, seed = w * w, np.ones_like(A)
    order = engine.ancestors(y)
    after = y * 1.0
    with pytest.raises(ValueError, match="a node comes before all that it went into"):
        engine.backward((after, w, y), seed, (), unbroadcast, add, False)
    with pytest.raises(RuntimeError, match="on purpose"):
        engine.backward(order, seed, (), unbroadcast, failing, False)
    with pytest.raises(RuntimeError, match="on purpose"):
        engine.backward((y, nnc.Node(A), w), seed, (), failing, add, False)
    bad = engine.apply(row(vjps=(failing,)), (w,), {"axis": 0})
    with pytest.raises(RuntimeError, match="on purpose"):
        bad.sum().backward()
    np.testing.assert_array_equal(engine.backward(order, seed, (), unbroadcast, add, False)[w], 2 * A)


def test_a_backward_within_a_vjp():
    inner = (w * w).sum()

    def vjp(g, node, x, **params):
        inner.backward()
        return np.broadcast_to(g, (1, 2, 3))[0]

    y = (engine.apply(row(vjps=(vjp,)), (w,), {"axis": 0}) * 1.0).sum()
    y.backward()
    np.testing.assert_array_equal(w.grad, np.ones_like(A))


@pytest.mark.parametrize("seed", [np.ones((3, 2)).T, np.ones((2, 3), ">f8"), np.ones((400, 400))])
def test_the_gradient_of_a_leaf_is_a_copy_of_the_seed(seed):
    leaf = nnc.Node(np.zeros(seed.shape))
    seed = seed[:] if seed.base is not None else seed.view()
    gradient = engine.backward((leaf,), seed, (), unbroadcast, add, False)[leaf]
    assert not np.shares_memory(gradient, seed) and (gradient == 1).all()


# ---- direct calls ----------------------------------------------------------------------------------------------------


def test_direct_functions_compare_as_ufuncs():
    assert nnc.relu == nnc.relu and nnc.relu == engine.relu and nnc.relu != nnc.tanh and nnc.relu != 3
    assert not nnc.relu == nnc.tanh and not nnc.relu != engine.relu
    with pytest.raises(TypeError):
        nnc.relu < nnc.tanh  # noqa: B015


def test_wrong_arguments_of_direct_are_errors():
    with pytest.raises(TypeError, match="come by position"):
        engine.direct(engine.relu, rules={})
    with pytest.raises(TypeError, match="direct"):
        engine.direct(engine.relu)
    bare = engine.direct(engine.relu, {})
    np.testing.assert_array_equal(bare(A, out=None, dtype=None), A)
    with pytest.raises(Exception):  # noqa: B017 - a Node, for which there is no rule: NumPy's error
        bare([[object()]])


def test_an_explanation_that_fails_leaves_numpys_error(monkeypatch):
    for unary in (failing, lambda *arguments: 3):
        monkeypatch.setattr("nnc._explain.unary", unary)
        with pytest.raises(TypeError, match="relu"):
            nnc.relu(["a"])


# ---- labels and settings ---------------------------------------------------------------------------------------------


class NoShape(np.ndarray):
    shape = property(failing)


def test_wrong_arguments_of_labels_are_errors():
    y = np.array([0, 1, 2])
    with pytest.raises(TypeError, match="str"):
        engine.labels("loss", y, "3", 3)
    with pytest.raises(TypeError, match="str"):
        engine.labels("loss", y, 3, "3")
    with pytest.raises(TypeError):
        engine.labels(3, y, 3, 3)
    with pytest.raises(ValueError, match=r"y has shape \(3, 1\), .*\(4,\)$"):
        engine.labels("loss", y[:, None], 3, 4)
    with pytest.raises(ValueError, match=r"did you mean y.ravel\(\)"):
        engine.labels("loss", y[:, None], 3, 3)
    with pytest.raises(ValueError, match="r = -1"):
        engine.labels("loss", y, 3, -1)
    with pytest.raises((RuntimeError, ValueError)):
        engine.labels("loss", y.view(NoShape), 3, 4)


def test_wrong_settings_are_errors():
    with pytest.raises(TypeError):
        engine.set_core_to_core("near")
    with pytest.raises(TypeError):
        engine.set_num_threads("two")
