"""np.r_ and np.c_ of Nodes: NumPy's results, and gradients as by finite differences; of arrays they are unchanged."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operands import away, reset_rng
from test_higher_order import assert_second_derivatives
from test_rules import assert_gradients

import nnc
from nnc import Node

pytestmark = pytest.mark.filterwarnings("ignore:the matrix subclass")
reset_rng()
A3, B3, A23 = away(3), away(3) + 0.3, away(2, 3)
CASES = {
    "r_": (lambda a, b: np.r_[a, 0.5, b, 1:4, [7, 8]], A3, B3),
    "r_ of one": (lambda a: np.r_[a], A3),
    "r_ of scalars": (lambda a, b: np.r_[a[0] * b[1], 2, np.sum(a)], A3, B3),
    "r_ of matrices": (lambda a, b: np.r_[a, b], A23, away(1, 3)),
    "r_ of a list": (lambda a, b: np.r_[[a[0], 1.0, b[1]], b], A3, B3),
    "r_ by an axis": (lambda a, b: np.r_["-1", a, b], A23, away(2, 1)),
    "r_ with axes before": (lambda a, b: np.r_["0,2", a, b, [1, 2, 3]], A3, A23),
    "r_ with axes behind": (lambda a, b: np.r_["1,3,0", a, b], A3, B3),
    "r_ with axes between": (lambda a, b: np.r_["0,3,-2", a, b], A3, away(2, 3, 1)),
    "r_ of a slice": (lambda a, b: np.r_[a[0] : b[1] : 5j, : a[2] : 3j], A3, B3),
    "c_": (lambda a, b: np.c_[a, b, np.arange(3)], A3, B3),
    "c_ of matrices": (lambda a, b: np.c_[a, b, [[1], [2]]], A23, away(2)),
    "c_ of scalars": (lambda a: np.c_[a[0], 1.0], A3),
    "c_ by another axis": (lambda a, b: np.c_["0", a, b], away(3, 1), B3),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    f, *operands = CASES[name]
    assert_gradients(f, *operands)
    assert_second_derivatives(f, *operands)
    nnc.gradcheck(lambda *xs: np.sum(np.sin(f(*xs))), *operands)


shapes = st.sampled_from([(3,), (2,), (), (0,), (2, 3), (3, 1), (1, 3), (2, 1, 3)])  # many of which fit together
arrays = shapes.map(lambda shape: np.resize(away(3, 4), shape))
dtypes = st.sampled_from(["f4", "f8"])
floats = st.builds(lambda x, dtype: np.asarray(x, dtype), arrays, dtypes)
plain_items = (
    floats | st.sampled_from([2, 0.5, True, np.float64(3), np.float32(4)]) | st.builds(slice, st.integers(0, 4))
    | st.sampled_from([slice(1, 2, 4j), slice(None, 7, 3), [1, 2], [[1.5], [2.5]], np.arange(3)])
)  # fmt: skip
items = st.tuples(st.booleans(), plain_items)
directives = st.sampled_from([None, None, "0", "-1", "1", "0,2", "1,2", "0,2,0", "0,3,1", "1,3,-2", "0,1,-3", "z"])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([np.r_, np.c_]), directives, st.lists(items, max_size=4), floats)
def test_values_shapes_dtypes_and_errors_are_numpys(joiner, directive, drawn, last):
    """For random items and directives; also the message of an error."""
    head = () if directive is None else (directive,)
    drawn = [*drawn, (True, last)]
    values = (*head, *(x for _, x in drawn))
    nodes = (*head, *(Node(x) if is_node and isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
                      for is_node, x in drawn))  # fmt: skip
    try:
        right = joiner[values]
    except Exception as error:
        with pytest.raises(type(error)) as mine:
            joiner[nodes]
        assert str(mine.value) == str(error)
        return
    mine = joiner[nodes]
    assert isinstance(mine, Node) and mine.dtype == right.dtype
    np.testing.assert_array_equal(mine.value, right)


def test_unsupported_directives_and_operands_are_errors():
    x = Node(A3)
    for directive, instead in (("r", "1,2"), ("c", "0,2,0")):
        with pytest.raises(TypeError, match=rf"np\.r_\['{directive}', \.\.\.\] makes a matrix.*'{instead}'"):
            np.r_[directive, x, 1.0]
        np.testing.assert_array_equal(np.r_[instead, x, 1.0].value, np.r_[directive, A3, 1.0])
    with pytest.raises(TypeError, match="a:b:5j"):
        np.r_[x[0] : 3]
    with pytest.raises(TypeError, match="complex128"):
        np.r_[x, 1j]
    with pytest.raises(TypeError, match="np.concatenate"):
        np.ma.mr_[x, x]


def test_arrays_give_numpys_own_results():
    a, b = A23, B3
    for joiner in (np.r_, np.c_):
        patched, original = type(joiner).__getitem__, type(joiner).__getitem__.__wrapped__
        assert original is type(joiner).__base__.__getitem__ and patched is not original
        for key in (a, (a, a), 3, slice(4), (slice(2, 3, 5j),), ("r", b), ("c", b), ([1], 3), (1j, 2)):
            left, right = joiner[key], original(joiner, key)
            np.testing.assert_array_equal(left, right)
            assert type(left) is type(right) and left.dtype == right.dtype
        with pytest.raises(ValueError, match="special directives must be the first entry"):
            joiner[b, "0"]
    np.testing.assert_array_equal(np.r_["a, a; a, a"], np.bmat([[a, a], [a, a]]))  # names of the caller's variables
    assert type(np.r_["a"]) is np.matrix and type(np.ma.mr_[b, np.ma.masked_less(b, 0)]) is np.ma.MaskedArray


def test_another_implementation_in_numpy_is_left_alone():
    """A TypeError then names the function to use instead."""
    code = ("import functools, numpy as np\n"
            "def behind_a_property(f): return property(lambda self: functools.partial(f, self))\n"
            "for j in (np.r_, np.c_): type(j).__getitem__ = behind_a_property(type(j).__getitem__)\n"
            "import nnc\n"
            "for j in (np.r_, np.c_):\n"
            "    try: j[nnc.Node([1.0]), 2.0]\n    except TypeError as e: print(e)")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.count("np.concatenate") == 2, done
