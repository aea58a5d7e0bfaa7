"""The Node as an object: its fields (csrc/python/node.c), copies, subclasses."""

import copy
import operator
import pickle
import weakref
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_rules import away

import nnc
from nnc import Node, _engine
from nnc.autodiff.operations import RULES, Rule
from nnc.autodiff.vjps import MANY


def test_the_value_can_be_set():
    """As in micrograd, ``p.data -= lr * p.grad``; a new value is converted as by the constructor."""
    p = Node(1.0)
    for name in ("value", "data"):
        memory = p.value
        setattr(p, name, getattr(p, name) - 0.5 * 1.0)
        p.data -= 0.25
        assert p.value.dtype == np.float64 and p.value is not memory
    assert p.item() == -0.5
    p.data = 3
    assert type(p.value) is np.ndarray and p.value.dtype == np.float64 and (p * p).value == 9
    p.value = np.float16([1, 2])
    assert p.dtype == np.float32 and p.shape == (2,)
    array = away(2, 3)
    p.value = array
    assert p.value is array
    with pytest.raises(TypeError, match="Node: the value is complex128, but must be real numbers"):
        p.value = 1j
    with pytest.raises(AttributeError, match="Node: the value cannot be deleted"):
        del p.value
    assert p.value is array


COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda node: pickle.loads(pickle.dumps(node))}


@pytest.mark.parametrize("way", COPIES)
def test_copies_have_the_values_and_gradients(way):
    W = Node(away(2, 3), name="W")
    Z = nnc.linear(W, away(3, 4), np.ones((2, 1)))
    P = np.sum(nnc.softmax(Z), axis=1)
    P.name = "P"
    P.backward([1.0, 2.0])
    W2, P2 = COPIES[way](W), COPIES[way](P)
    for node, again in ((W, W2), (P, P2)):
        assert again is not node and type(again) is Node and again.name == node.name and again.op == node.op
        assert again.params == node.params
        np.testing.assert_array_equal(again.value, node.value)
        np.testing.assert_array_equal(again.grad, node.grad)
    P2.backward([1.0, 2.0])
    W3 = P2.inputs[0].inputs[0].inputs[0]
    assert W3.name == "W" and (W3 is W) == (way == "copy")
    np.testing.assert_array_equal(W3.grad, W.grad)


class Weight(Node):
    """A Node with another attribute."""

    unit = "volts"


def test_operations_on_a_subclass_return_the_subclass():
    w = Weight([1.0, 2.0])
    w.note = "anything"
    y = np.ones(2) * np.exp(w)
    assert type(y) is Weight and y.unit == "volts" and weakref.ref(y)() is y
    y.backward(1.0)
    np.testing.assert_array_equal(w.grad, y.value)  # the exponential is its own derivative
    assert type(copy.copy(w)) is Weight


def test_a_node_made_without_its_constructor_raises_but_does_not_crash():
    x = Node.__new__(Node)
    assert x.value is x.name is x.grad is None and x.inputs == ()
    for use in (x.backward, lambda: x + 1.0, lambda: np.exp(x), lambda: x.op):
        with pytest.raises((TypeError, AttributeError)):
            use()


def test_inputs_are_the_operands_as_they_were_computed_with():
    x, array = Node([1.0, 2.0]), np.ones(2)
    for other, is_itself in ((array, True), (3.0, True), (np.float32(3), True), ([3, 4], False), (np.int8(3), False)):
        y = x * other
        assert y.inputs[0] is x and (y.inputs[1] is other) == is_itself
        assert is_itself or type(y.inputs[1]) is np.ndarray


def test_a_rule_may_have_another_forward_for_large_arrays():
    rule = replace(RULES["add"], forward=lambda A, B: A - A, for_many=lambda A, B: A - A + 1)
    for size, expected in ((MANY - 1, 0), (MANY, 1)):
        assert np.all(_engine.apply(rule, (Node(np.zeros(size)), 1.0)).value == expected)
    assert RULES["tanh"].for_many is None  # as in most rules
    np.testing.assert_array_equal(np.tanh(Node(np.zeros(MANY))).value, 0)


def test_arguments_are_operands_and_then_params():
    """A NumPy function's arguments: operands first, then params by position or name."""
    rule = replace(RULES["sum"], params=("a", "-", "c"), forward=lambda A, **params: A * 2)
    x = Node(away(2, 3))
    for args, keywords, params in (
        ((x,), {}, {}), ((x, 1), {}, {"a": 1}), ((x, None, None, 3), {}, {"a": None, "c": 3}),
        ((x, 1), {"c": 2, "out": None, "-": None}, {"a": 1, "c": 2}), ((x,), {"a": 5}, {"a": 5}),
        ((x, 1, None, 2, None), {}, {"a": 1, "c": 2}),
    ):  # fmt: skip
        y = _engine.call(rule, args, keywords)
        assert y.params == params and y.inputs == (x,) and y.op == "sum"
        np.testing.assert_array_equal(y.value, 2 * x.value)
    for args, keywords, message in (
        ((x, 1, 2), {}, "a further argument by position"), ((x,), {"-": 1}, "a further argument by position"),
        ((x,), {"out": 1}, "the argument 'out'"), ((x, 1, None, 2, 5), {}, "a further argument by position"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=f"sum: {message} does not work on Nodes .* further arguments: a, c"):
            _engine.call(rule, args, keywords)
    assert _engine.call(lambda *args, **keywords: (args, keywords), (x, 1), {"c": 2}) == ((x, 1), {"c": 2})
    many = replace(RULES["stack"], takes=lambda xs, **params: (xs, params), forward=lambda *arrays, **params: arrays[1])
    y = _engine.call(many, ([1.0, x],), {"axis": 7})
    assert y.inputs == (1.0, x) and y.params == {"axis": 7} and y.op == "stack"
    for wrong in ((rule, [x], {}), (rule, (x,), None), (rule, (x,))):
        with pytest.raises(TypeError, match="a tuple of arguments, a dict of keywords"):
            _engine.call(*wrong)


def test_the_gradients_of_concatenate_are_views():
    """The gradient of concatenate: views, along any axis, also after batch axes that the joined array does not have."""
    A, B = away(2, 3), away(2, 1)
    for axis in (1, -1):
        C = np.concatenate((A, B), axis)
        for g in (C, away(5, *C.shape), np.asfortranarray(C), C[::-1, ::-1], np.broadcast_to(3.0, C.shape)):
            for i, expected in enumerate((g[..., :3], g[..., 3:])):
                part = _engine.part(i, g, C, A, B, axis=axis)
                np.testing.assert_array_equal(part, expected)
                assert np.shares_memory(part, g) and part.strides == expected.strides
                assert part.flags.writeable == expected.flags.writeable
    assert _engine.part(1, np.arange(5.0), np.empty(5), np.empty(2), np.empty(0), np.empty(3)).shape == (0,)
    wrong = r"part\(i, g, joined, \*arrays, axis=0\)"
    for message, args, axis in (
        (wrong, (), 0), (wrong, (0, C, C), 0), (wrong, (2, C, C, A, B), 0), (wrong, (-1, C, C, A, B), 0),
        ("has no axis -3", (0, C, C, A, B), -3), ("has no axis 1", (0, C, 3.0, A, B), 1),
        ("has no axis -2", (1, C, C, A[0], B), 0), ("has no axis -1", (0, 3.0, C, A, B), 1),
        ("an integer is required|interpreted as an integer", (0, C, C, A, B), "1"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=message):
            _engine.part(*args, axis=axis)
    for i, arrays in ((1, (A, C)), (0, (away(2, 5),))):
        with pytest.raises(ValueError, match="the arrays are longer than the gradient"):
            _engine.part(i, C, C, *arrays, axis=1)


W, ALIGNED = Node(away(3, 4), name="W"), "sizes must be equal or 1, aligned from the last axis."
ERRORS = {
    "rows": (lambda: W + Node(away(2, 4)), ValueError, f"add: W is (3, 4), operand 2 is (2, 4); {ALIGNED}"),
    "a column": (lambda: W * away(3), ValueError, f"multiply: W is (3, 4), operand 2 is (3,); {ALIGNED} Did you mean "
                 "operand 2, as a column, [:, None]?"),
    "transposed": (lambda: away(4, 3) - W, ValueError, f"subtract: operand 1 is (4, 3), W is (3, 4); {ALIGNED} Did you "
                   "mean operand 1, transposed?"),
    "the same name": (lambda: W + Node(away(2, 4), name="W"), ValueError, f"add: W is (3, 4), W is (2, 4); {ALIGNED}"),
    "three": (lambda: np.where(away(2) > 0, W, 0.0), ValueError, f"where: operand 1 is (2,), W is (3, 4), operand 3 is "
              f"(); {ALIGNED}"),
    "axis": (lambda: W.sum(axis=2), np.exceptions.AxisError,
             "sum: axis 2 is out of bounds for array of dimension 2 (W is (3, 4))"),
    "an axis with a name": (lambda: W.swapaxes(0, 5), np.exceptions.AxisError,
                            "swapaxes: axis2: axis 5 is out of bounds for array of dimension 2 (W is (3, 4))"),
    "an argument too few": (lambda: W.take(), TypeError,
                            "take: missing 1 required positional argument: 'indices' (W is (3, 4))"),
    "index": (lambda: W[3], IndexError, "getitem: index 3 is out of bounds for axis 0 with size 3 (W is (3, 4))"),
    "reshape": (lambda: W.reshape(5, 2), ValueError,
                "reshape: cannot reshape array of size 12 into shape (5,2) (W is (3, 4))"),
    "stack": (lambda: np.stack([W, away(2, 4)]), ValueError,
              "stack: all input arrays must have the same shape (W is (3, 4), operand 2 is (2, 4))"),
    "a primitive": (lambda: W @ W, ValueError, "matmul: A is (3, 4) and B is (3, 4); A's columns must equal "
                    "B's rows. Did you mean B.T?"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_names_the_operation_the_shapes_and_the_fix(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind) as error:
        call()
    assert type(error.value) is kind and str(error.value) == message


def test_an_error_that_is_not_about_the_operands_is_raised_unchanged():
    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="^overflow encountered in exp$"):
        np.exp(1000 * W**0)
    interrupted = KeyboardInterrupt("now")

    def forward(A, B):
        raise interrupted

    with pytest.raises(KeyboardInterrupt) as error:
        _engine.apply(replace(RULES["add"], forward=forward), (W, 1.0))
    assert error.value is interrupted


def test_a_rule_without_an_explanation_raises_the_error_of_its_forward():
    """Such as a user's rule, or one whose explanation fails."""
    for explained in (lambda *_: None, lambda *_: 1 / 0, lambda *_: "text"):
        values = {field.name: getattr(RULES["add"], field.name) for field in fields(Rule)}
        silent = type("Silent", (Rule,), {"explained": explained})(**values | {"forward": operator.add})
        with pytest.raises(ValueError, match="^operands could not be broadcast together"):
            _engine.apply(silent, (W, away(2)))


def test_an_invalid_rule_is_an_error():
    for other in (None, "add", SimpleNamespace(**{name: None for name in Rule.__slots__})):
        with pytest.raises(TypeError, match="must be a Rule, not "):
            _engine.apply(other, (W, W))
    with pytest.raises(AttributeError, match="for_many"):
        _engine.apply(Rule.__new__(Rule), (W, W))
    for name in ("constants", "params"):
        with pytest.raises(TypeError, match=f"a rule's {name} are not a tuple"):
            _engine.apply(replace(RULES["add"], **{name: [0]}), (W, W))
