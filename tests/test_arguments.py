"""The arguments of NumPy's functions that Nodes cannot have: each is an error that names it; none is passed over."""

import inspect
import re
import subprocess
import sys

import numpy as np
import pytest

import nnc
from nnc import Node
from nnc._explain import full_name, instead_of
from nnc.autodiff.arguments import refused
from nnc.autodiff.node import FUNCTIONS, UFUNCS

A = np.arange(1.0, 7.0).reshape(2, 3)

try:
    inspect.signature(np.exp)
except ValueError:
    pytest.skip("this NumPy does not tell the signatures of its C functions", allow_module_level=True)

NAMES = {function: refused(function, target) for function, target in (FUNCTIONS | UFUNCS).items()
         if full_name(function).startswith("np.")}  # fmt: skip


VALUES = {"out": np.empty_like(A), "where": A > 2, "dtype": np.float32, "casting": "unsafe",
          "signature": "dd->d", "axis": 0, "axes": [(0, 1), (0, 1), (0, 1)], "keepdims": True, "ndmax": 1}  # fmt: skip


def required(function):
    """Nodes for what has no default."""
    parameters = inspect.signature(function).parameters.values()
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [Node(A) for p in parameters if p.default is p.empty and p.kind in kinds]


@pytest.mark.parametrize("function", [f for f, names in NAMES.items() if names], ids=full_name)
def test_each_is_an_error_that_names_it_and_the_way_out(function):
    operands = required(function)
    if function in (np.concatenate, np.stack, np.linalg.multi_dot):
        operands = [[Node(A), Node(A)]]
    if function is np.einsum:
        operands = ["ij->j", Node(A)]
    like = {"like": Node(A)} if function in (np.array, np.asarray, np.asanyarray, np.full) else {}
    for name in NAMES[function]:
        says = f"{full_name(function)}: the argument '{name}' does not work on Nodes; {instead_of(name)}"
        if isinstance(function, np.ufunc) and name == "out":  # NumPy hands it over in a tuple
            says = f"{full_name(function)}: a result with a Node in it is a new Node and cannot be written into an"
        value = VALUES.get(name, "F")
        if name == "out" and getattr(function, "nout", 1) == 2:
            value = (value, value.copy())
        if name == "subok":
            value = not inspect.signature(function).parameters[name].default
        with pytest.raises(TypeError, match="^" + re.escape(says)):
            function(*operands, **like, **{name: value})


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (np.sum, "dtype out initial where"), (np.max, "out initial where"), (np.mean, "dtype out where"),
        (np.var, "dtype out where mean correction"), (np.cumsum, "dtype out"), (np.reshape, "order copy"),
        (np.ravel, "order"), (np.take, "out mode"), (np.quantile, "out overwrite_input weights"), (np.sort, "order"),
        (np.exp, "out where casting order dtype subok signature"), (np.clip, "out"), (np.tile, ""), (np.where, ""),
        (np.std, "dtype out where mean correction"), (np.linalg.norm, ""), (np.linalg.solve, ""), (np.tensordot, ""),
        (np.conjugate, "out where casting order dtype subok signature"), (np.concatenate, "out dtype casting"),
    ],
)  # fmt: skip
def test_of_some_by_hand(function, names):
    assert " ".join(NAMES[function]) == names


BY_PLACE = {
    "initial of sum": lambda x: np.sum(x, 0, None, None, False, 10.0),
    "initial of max": lambda x: np.max(x, 0, None, False, 10.0),
    "order of reshape": lambda x: np.reshape(x, (3, 2), "F"), "order of ravel": lambda x: np.ravel(x, "F"),
    "mode of take": lambda x: np.take(x, [5], None, None, "wrap"), "order of x.ravel": lambda x: x.ravel("F"),
    "order of x.flatten": lambda x: x.flatten("F"), "order of x.reshape": lambda x: x.reshape(3, 2, order="F"),
    "dtype of x.sum": lambda x: x.sum(0, np.float32), "dtype of x.var": lambda x: x.var(0, np.float32),
    "where of conjugate": lambda x: np.conjugate(x, where=A > 2), "overwrite_input of median":
    lambda x: np.median(x, 0, None, True), "dtype of conjugate": lambda x: np.conjugate(x, dtype=np.float32),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_PLACE)
def test_none_is_passed_over_by_its_place(name):
    with pytest.raises(TypeError, match=f"the argument '{name.split()[0]}' does not work on Nodes"):
        BY_PLACE[name](Node(A))


SAYS_NOTHING = {
    "order": lambda x: np.reshape(x, (3, 2), order="C"), "order by place": lambda x: np.ravel(x, "C"),
    "method": lambda x: x.reshape(3, 2, order="C"), "None": lambda x: np.var(x, 0, None, None, 1),
    "dtype": lambda x: np.std(x, axis=1, dtype=None, keepdims=True), "where": lambda x: np.exp(x, where=True),
    "casting": lambda x: np.add(x, x, casting="same_kind"), "out": lambda x: np.dot(x, x.T, out=None),
    "clip": lambda x: np.clip(x, 2, 5, None), "mode": lambda x: np.take(x, [1, 0], 1, mode="raise"),
    "overwrite_input": lambda x: np.quantile(x, 0.3, 0, None, False, keepdims=True),
    "operand": lambda x: np.sum(a=x, axis=0), "operands": lambda x: np.clip(a=x, a_min=2, a_max=5),
    "operand, composed": lambda x: np.var(a=x, ddof=1, dtype=None), "x.sum": lambda x: x.sum(0, None, None, True),
}  # fmt: skip


@pytest.mark.parametrize("name", SAYS_NOTHING)
def test_what_numpy_does_anyway_may_be_said(name):
    f = SAYS_NOTHING[name]
    y = f(Node(A))
    assert isinstance(y, Node)
    np.testing.assert_allclose(y.value, f(A), rtol=1e-15)
    assert nnc.gradcheck(lambda x: np.sum(f(x) * (1 + np.arange(np.size(f(A))).reshape(np.shape(f(A))))), A)


def test_another_type_error_stands():
    for wrong in (lambda x: np.var(x, axis="0"), lambda x: np.sum(x, axis=1.5), lambda x: np.clip(x, "a", "b"),
                  lambda x: np.var(x, ddof=object(), dtype=None), lambda x: np.einsum("ij", x, out=None, optimize=x)):
        with pytest.raises((TypeError, ValueError)) as error:  # fmt: skip
            wrong(Node(A))
        assert "does not work on Nodes" not in str(error.value)


def test_the_page_has_all():
    run = [sys.executable, "-m", "nnc.autodiff"]
    text = subprocess.run(run, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    lines = text[text.index("## Arguments that Nodes cannot have"):].splitlines()
    for function, names in NAMES.items():
        row = "| " + " ".join(f"`{name}`" for name in names) + " |"
        name = "every other universal function" if isinstance(function, np.ufunc) and not function.signature else (
            f"`{full_name(function)}`")  # fmt: skip
        assert not names or any(line.startswith(row) and name in line for line in lines), full_name(function)
