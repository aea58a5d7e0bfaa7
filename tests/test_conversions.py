# ruff: noqa: UP031 - "%f" % node is tested
"""Conversions of Nodes to numbers and arrays, which would lose the gradient silently, are errors."""

import array
import cmath
import copy
import ctypes
import decimal
import fractions
import math
import operator
import pickle
import struct

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_rules import central

import nnc
from nnc import Node, grad, value_and_grad


def set_in(dtype, index=0):
    def f(x):
        a = np.zeros(3, dtype)
        a[index] = x
        return a

    return f


def objects(x):
    a = np.empty(2, object)
    a[0] = a[1] = x
    return a


NUMBERS = {  # functions of a number: a TypeError that suggests what to use instead
    "float": float, "complex": complex, "int": int, "operator.index": operator.index, "round": round,
    "round to digits": lambda x: round(x, 2), "math.trunc": math.trunc, "math.floor": math.floor,
    "math.ceil": math.ceil, "math.exp": math.exp, "math.isnan": math.isnan,
    "math.isclose": lambda x: math.isclose(x, 2), "math.pow": lambda x: math.pow(x, 2),
    "math.hypot": lambda x: math.hypot(x, x), "math.fsum": lambda x: math.fsum([x]),
    "math.dist": lambda x: math.dist([x], [1.0]), "cmath.exp": cmath.exp, "%f": lambda x: "%f" % x, "range": range,
    "slice": lambda x: [1, 2, 3][:x], "index": lambda x: [1, 2, 3][x], "bin": bin, "chr": chr,
    "array.array": lambda x: array.array("d", [x]), "ctypes": ctypes.c_double, "np.float64": np.float64,
    "np.float32": np.float32, "np.int64": np.int64, "np.bool_": np.bool_, "np.complex128": np.complex128,
    "np.longdouble": np.longdouble, "np.matrix": np.matrix, "np.ma": np.ma.array,
    **{f"array of {dtype}": set_in(dtype) for dtype in ("f8", "f4", "f2", ">f8", "g", "i4", "c16", [("a", "f8")])},
    **{f"a[{index}]": set_in(float, index) for index in (..., slice(0, 1), [0])}, "a.fill": np.ones(3).fill,
    "a.put": lambda x: np.ones(3).put(0, x), "a.dot": np.ones(3).dot, "a.take": np.ones(3).take,
    "a.searchsorted": np.ones(3).searchsorted, "a.repeat": np.ones(3).repeat,
    "a.sum(initial)": lambda x: np.ones(3).sum(initial=x), "np.max(initial)": lambda x: np.max(np.ones(3), initial=x),
    "np.add.reduce(initial)": lambda x: np.add.reduce(np.ones(3), initial=x),
    "objects.astype": lambda x: objects(x).astype(float), "np.fromiter": lambda x: np.fromiter([x], float),
    "np.full": lambda x: np.full(3, x), "np.asarray": np.asarray, "np.array([])": lambda x: np.array([1.0, x]),
    "np.array(dtype=float)": lambda x: np.array([x], float),
    "np.array(dtype=object)": lambda x: np.array([x], object), "np.arange": np.arange,
    "np.arange(dtype)": lambda x: np.arange(0, x, dtype=float), "np.vectorize": np.vectorize(math.exp),
    "np.vectorize, closed over": lambda x: np.vectorize(lambda a: a * x)(np.ones(2)),
    "np.vectorize, otypes": lambda x: np.vectorize(lambda a: a * x, otypes=[float])(np.ones(2)),
    "np.apply_along_axis": lambda x: np.apply_along_axis(lambda a: a.sum() * x, 0, np.ones((2, 2))),
    "np.piecewise": lambda x: np.piecewise(np.ones(2), [np.ones(2) > 0], [lambda v: x]),
    "np.fill_diagonal": lambda x: np.fill_diagonal(np.ones((2, 2)), x),
    "np.pad": lambda x: np.pad([1], 1, constant_values=x),
    "np.place": lambda x: np.place(np.ones(3), np.ones(3, bool), [x]), "np.ndenumerate": np.ndenumerate,
    "np.ma.mr_": lambda x: np.ma.mr_[x, 1.0], "np.exp of a list": lambda x: np.exp([x, x]),
    "sum of a list": lambda x: np.sum([x, x]), "array + list": lambda x: np.ones(2) + [x, x],
    "array @ list": lambda x: np.ones((2, 2)) @ [x, x], "Polynomial": np.polynomial.Polynomial([1, 2]),
    "rng.normal": np.random.default_rng(0).normal, "rng.integers": np.random.default_rng(0).integers,
    "np.asarray_chkfinite": np.asarray_chkfinite, "np.format_float_positional": np.format_float_positional,
    "Node": Node, "Node([])": lambda x: Node([x, x]),
}  # fmt: skip
OTHERS = {  # errors that Python or NumPy raise themselves
    "%d": lambda x: "%d" % x, "%x": lambda x: "%x" % x, "%c": lambda x: "%c" % x, "memoryview": memoryview,
    "bytes": bytes, "bytearray": bytearray, "struct": lambda x: struct.pack("d", x), "Decimal": decimal.Decimal,
    "Fraction": fractions.Fraction, "a.flat": lambda x: operator.setitem(np.ones(3).flat, 0, x),
    "np.frombuffer": np.frombuffer, "np.from_dlpack": np.from_dlpack, "np.nditer": np.nditer,
    "np.datetime64": lambda x: np.datetime64(x, "s"), "np.ones": np.ones,
    "node[0] =": lambda x: operator.setitem(x, 0, 1.0),
    "masked *": lambda x: np.ma.array([1.0, 2.0], mask=[0, 1]) * x,
    "* masked": lambda x: x * np.ma.array([1.0], mask=[1]), "matrix *": lambda x: np.matrix([[1.0, 2.0]]) * x,
    "* matrix": lambda x: x * np.matrix([[1.0, 2.0]]), "matrix @": lambda x: np.matrix([[1.0, 2.0]]) @ x,
    "np.add.outer": lambda x: np.add.outer(np.ones(2), x), "np.full(dtype)": lambda x: np.full(3, x, float),
    "np.full_like": lambda x: np.full_like(np.ones(2), x),
    "np.copyto": lambda x: np.copyto(np.ones(3), x), "np.put": lambda x: np.put(np.ones(3), 0, x),
    "np.putmask": lambda x: np.putmask(np.ones(3), [True] * 3, x),
    "np.frompyfunc": lambda x: np.frompyfunc(lambda a: a * 2, 1, 1)(x),
    "a.sum(where)": lambda x: np.ones(3).sum(where=x),
    "frompyfunc, closed over": lambda x: np.frompyfunc(lambda a: a * x, 1, 1)(np.ones(2)).astype(float),
}  # fmt: skip
SUGGESTIONS = "np.exp|np.stack|item|value"
pytestmark = pytest.mark.filterwarnings("ignore:the matrix subclass")


@pytest.mark.parametrize("name", NUMBERS)
def test_a_conversion_is_a_type_error_with_suggestions(name):
    for x in (Node(2.0), Node([1.0, 2.0, 3.0]), np.exp(Node(1.0)), Node(np.float32(2))):
        if x.ndim and name == "np.arange(dtype)":
            continue  # for an array NumPy raises its own error
        with pytest.raises(TypeError, match=SUGGESTIONS) as error:
            NUMBERS[name](x)
        assert "node.value" in str(error.value)


@pytest.mark.parametrize("name", OTHERS)
def test_other_conversions_are_errors(name):
    for x in (Node(2.0), Node([1.0, 2.0, 3.0])):
        with pytest.raises((TypeError, ValueError, AttributeError, struct.error, RuntimeError)):
            OTHERS[name](x)


SUPPORTED = {  # these stay in the graph, or give a number that does not depend on x
    "math.prod": lambda x: math.prod([x, x]), "sum": lambda x: sum([x, x * x]), "max": lambda x: max([x, x * x, 1.0]),
    "sorted": lambda x: sorted([x, x * x])[0], "objects": lambda x: (objects(x) * objects(x * x)).sum(),
    "np.fromfunction": lambda x: np.sum(np.fromfunction(lambda i: i * x, (3,))),
    "list": lambda x: np.sum([1.0, 2.0] * x), "copy": lambda x: copy.copy(x * x),
    "if": lambda x: x * x if x > 1 else x, "bool": lambda x: x * x if x else x, "in": lambda x: x * (x in [x, 1.0]),
    "mask": lambda x: np.where(x > 1, x * x, 0.0), "reversed": lambda x: list(reversed(np.stack([x, x * x])))[0],
    "polyval": lambda x: np.polynomial.polynomial.polyval(x, [1, 2, 3]),
    "iter": lambda x: [a * a for a in np.stack([x, x])][1], "np.isnan": lambda x: x * np.isnan(x),
    "np.argmax": lambda x: x * np.argmax(np.stack([x, x * x])),
    "np.select": lambda x: np.select([x > 1], [x * x]), "np.choose": lambda x: np.choose(0, [x * x, x]),
    "np.interp": lambda x: np.interp(x, [0, 3], [0, 1]), "np.linspace": lambda x: np.linspace(0, x, 3)[1],
    "divmod": lambda x: sum(divmod(x * x, 3)), "np.full_like of a Node": lambda x: np.full_like(x, x * x),
    "np.round": lambda x: x * np.round(x * x + 0.1),
    "full_like": lambda x: x * np.full_like(a=x, fill_value=3) * np.ones_like(a=x),
}  # fmt: skip


@pytest.mark.parametrize("name", SUPPORTED)
def test_supported_functions_have_the_right_gradient(name):
    f = SUPPORTED[name]
    assert grad(f)(2.0) == pytest.approx(central(lambda x: float(f(x)), np.float64(2.0)), rel=1e-8)


def test_item_and_formatting_show_a_scalar():
    x = Node(np.float32(2.5))
    assert x.item() == 2.5 and type(x.item()) is float and type(Node([[3.0]]).item()) is float
    assert f"{x:.3f}" == "2.500" and f"{x}" == repr(x) == str(x) and "%s" % x == repr(x)
    for call in (lambda: Node([1.0, 2.0]).item(), lambda: f"{Node([1.0, 2.0]):.3f}"):
        with pytest.raises(ValueError, match=r"item: the Node is \(2,\), and only a scalar is one number"):
            call()


def test_memmaps_are_operands_and_masked_arrays_an_error(tmp_path):
    file = np.memmap(tmp_path / "numbers", float, "w+", shape=(2,))
    file[:] = 3.0
    x = Node([1.0, 2.0])
    for product in (x * file, file * x):  # a memmap is an array like any other
        product.backward(np.ones(2))
        np.testing.assert_array_equal(x.grad, 3)
    with pytest.raises(TypeError, match=r"MaskedArray calculates in another way .* np\.where"):
        x + np.ma.array([1.0, 2.0], mask=[0, 1])


# ---- functions of functions ------------------------------------------------------------------------------------------


def test_the_gradient_of_an_unused_argument_is_0():
    assert grad(lambda x, y: (x * x).sum(), 1)(np.ones(2), 3.0) == 0
    np.testing.assert_array_equal(grad(lambda x: 3.0)(np.ones((2, 3))), np.zeros((2, 3)))
    value, (dx, dy) = value_and_grad(lambda x, y: np.float64(5), (0, 1))(np.ones(2), np.float32(1))
    assert value == 5 and dx.tolist() == [0, 0] and dy == 0 and dy.dtype == np.float32
    assert grad(lambda p: p["w"] ** 2)({"w": 2.0, "unused": np.ones(2)})["unused"].tolist() == [0, 0]


def test_an_argument_cannot_be_copied_or_set():
    """A copy would be another leaf, with gradient 0; after a new value the gradient would be of another function."""

    def sets(x):
        x.value = 2 * x.value
        return x * x

    def adds(x):
        x.data += 1
        return x * x

    for f in (lambda x: copy.deepcopy(x) ** 2, lambda x: copy.copy(x) ** 2, lambda x: copy.deepcopy([x * 2])[0],
              lambda x: pickle.loads(pickle.dumps(x)) ** 2):  # fmt: skip
        with pytest.raises(TypeError, match="a copy of an argument of grad"):
            grad(f)(3.0)
    for f in (sets, adds):
        with pytest.raises(RuntimeError, match="cannot be set of an argument of a function"):
            grad(f)(np.float64(3.0))


# ---- random expressions with conversions -----------------------------------------------------------------------------

X = np.array([0.7, 1.3])
UNARY = [np.tanh, np.exp, nnc.sigmoid, np.sqrt, np.negative, lambda a: a * a, lambda a: a / 3, lambda a: a[::-1], abs]
BINARY = [np.add, np.multiply, operator.sub, operator.mul, np.maximum, lambda a, b: a / (2 + b * b)]
SCALAR = [np.sum, np.mean, np.max, lambda a: a @ a, lambda a: np.linalg.norm(a), lambda a: a[0]]
CONVERSIONS = [  # functions of a scalar that work for a number
    float, math.exp, math.sin, lambda s: np.float64(s) ** 2, lambda s: set_in(float)(s)[0],
    lambda s: np.full(2, s)[1], lambda s: float("%.15e" % s), lambda s: np.array([s, 1.0])[0],
    lambda s: np.ones(2).dot([s, 2 * s]), lambda s: np.fromiter([s], float)[0], lambda s: objects(s).astype(float)[0],
    lambda s: complex(s).real, lambda s: np.vectorize(math.tanh)(s), lambda s: np.full_like(np.ones(2) * s, s).sum(),
    lambda s: math.fsum([s, s]), lambda s: copy.deepcopy(s), lambda s: np.hypot(s, 1.0), lambda s: np.asarray(s) * 2,
    lambda s: np.multiply(s, [s, 2.0])[1], lambda s: max(s, 0.1), lambda s: sum([s, s]),
    lambda s: np.where(s > 0.3, s, 0.3), lambda s: np.stack([s, s])[0], lambda s: np.linspace(0, s, 3)[1],
    lambda s: np.ma.array([s])[0], lambda s: np.add.reduce([s, s]),
]  # fmt: skip


@st.composite
def programs(draw):
    """f(x), a scalar: expressions of x, with conversions of scalars between."""
    steps = draw(st.lists(st.tuples(st.sampled_from(UNARY), st.sampled_from(BINARY), st.sampled_from(SCALAR),
                                    st.sampled_from([None, *CONVERSIONS])), min_size=1, max_size=4))  # fmt: skip
    last = draw(st.sampled_from(SCALAR))

    def f(x):
        a = x
        for unary, binary, scalar, convert in steps:
            b = unary(a)
            b_value = getattr(b, "value", b)
            assume(np.isfinite(b_value).all() and (unary is not np.sqrt or b_value.all()))  # else 0 times NaN
            s = scalar(b)
            s = s if convert is None else convert(s)
            a = binary(a, s)
        return last(a)

    return f


@settings(max_examples=300, deadline=None)
@given(programs(), st.lists(st.floats(0.1, 2.0), min_size=3, max_size=3, unique=True))
def test_a_gradient_is_right_or_an_error(f, x):
    x = np.array(x)
    with np.errstate(all="ignore"):
        try:
            once, twice = (central(lambda a: float(f(a)), x, h) for h in (1e-5, 2e-5))
        except OverflowError:  # math.exp's
            assume(False)
        scale = np.abs(once).max() + abs(float(f(x)))
        assume(np.isfinite(scale) and scale < 1e6 and np.abs(once - twice).max() <= 1e-7 * scale)  # no kink near x
        try:
            gradient = grad(f)(x)
        except TypeError:
            return
    np.testing.assert_allclose(gradient, once, rtol=1e-6, atol=1e-6 * scale)
