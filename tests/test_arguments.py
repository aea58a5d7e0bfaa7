"""The arguments of NumPy's functions that do not work on Nodes: each is an error that names it; none is ignored."""

import inspect
import re
import subprocess
import sys
import warnings
from itertools import chain, combinations, islice, product

import numpy as np
import pytest
from operands import away, reset_rng

import nnc
from nnc import Node
from nnc.autodiff.arguments import refused
from nnc.autodiff.node import FUNCTIONS, UFUNCS

A = np.arange(1.0, 7.0).reshape(2, 3)

try:
    inspect.signature(np.exp)
except ValueError:
    pytest.skip("this NumPy has no signatures of its C functions", allow_module_level=True)

def full_name(function):
    """As users write it: np.linalg.norm. A ufunc has no module."""
    is_numpy = getattr(np, function.__name__, None) is function
    module = getattr(function, "__module__", None) or ("numpy" if is_numpy else "")
    return f"{module.replace('numpy', 'np')}.{function.__name__}"


NAMES = {function: refused(function, target) for function, target in (FUNCTIONS | UFUNCS).items()
         if full_name(function).startswith("np.")}  # fmt: skip


VALUES = {"out": np.empty_like(A), "where": A > 2, "dtype": np.float32, "casting": "unsafe",
          "signature": "dd->d", "axis": 0, "axes": [(0, 1), (0, 1), (0, 1)], "keepdims": True, "ndmax": 1}  # fmt: skip


def required(function):
    """Nodes for the parameters without a default."""
    parameters = inspect.signature(function).parameters.values()
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [Node(A) for p in parameters if p.default is p.empty and p.kind in kinds]


@pytest.mark.parametrize("function", [f for f, names in NAMES.items() if names], ids=full_name)
def test_each_is_an_error_that_names_it(function):
    operands = required(function)
    if function in (np.concatenate, np.stack, np.linalg.multi_dot):
        operands = [[Node(A), Node(A)]]
    if function is np.einsum:
        operands = ["ij->j", Node(A)]
    like = {"like": Node(A)} if function in (np.array, np.asarray, np.asanyarray, np.full) else {}
    for name in NAMES[function]:
        message = f"{full_name(function)}: the argument '{name}' does not work on Nodes; "
        if isinstance(function, np.ufunc) and name == "out":  # which NumPy passes in a tuple
            message = f"{full_name(function)}: a result with a Node in it is a new Node and cannot be written into an"
        value = VALUES.get(name, "F")
        if name == "out" and getattr(function, "nout", 1) == 2:
            value = (value, value.copy())
        if name == "subok":
            value = not inspect.signature(function).parameters[name].default
        with pytest.raises(TypeError, match="^" + re.escape(message)):
            function(*operands, **like, **{name: value})


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (np.sum, "dtype out initial where"), (np.max, "out initial where"), (np.mean, "dtype out where"),
        (np.var, "dtype out where mean correction"), (np.cumsum, "dtype out"), (np.reshape, "order copy"),
        (np.ravel, "order"), (np.take, "out mode"), (np.quantile, "out overwrite_input weights"),
        (np.sort, "order descending" if "descending" in inspect.signature(np.sort).parameters else "order"),
        (np.exp, "out where casting order dtype subok signature"), (np.clip, "out"), (np.tile, ""), (np.where, ""),
        (np.std, "dtype out where mean correction"), (np.linalg.norm, ""), (np.linalg.solve, ""), (np.tensordot, ""),
        (np.conjugate, "out where casting order dtype subok signature"), (np.concatenate, "out dtype casting"),
    ],
)  # fmt: skip
def test_the_refused_arguments_of_some_functions(function, names):
    assert " ".join(NAMES[function]) == names


POSITIONAL = {
    "initial of sum": lambda x: np.sum(x, 0, None, None, False, 10.0),
    "initial of max": lambda x: np.max(x, 0, None, False, 10.0),
    "order of reshape": lambda x: np.reshape(x, (3, 2), "F"), "order of ravel": lambda x: np.ravel(x, "F"),
    "mode of take": lambda x: np.take(x, [5], None, None, "wrap"), "order of x.ravel": lambda x: x.ravel("F"),
    "order of x.flatten": lambda x: x.flatten("F"), "order of x.reshape": lambda x: x.reshape(3, 2, order="F"),
    "dtype of x.sum": lambda x: x.sum(0, np.float32), "dtype of x.var": lambda x: x.var(0, np.float32),
    "where of conjugate": lambda x: np.conjugate(x, where=A > 2), "overwrite_input of median":
    lambda x: np.median(x, 0, None, True), "dtype of conjugate": lambda x: np.conjugate(x, dtype=np.float32),
}  # fmt: skip


@pytest.mark.parametrize("name", POSITIONAL)
def test_a_positional_argument_is_not_ignored_either(name):
    with pytest.raises(TypeError, match=f"the argument '{name.split()[0]}' does not work on Nodes"):
        POSITIONAL[name](Node(A))


NO_EFFECT = {
    "order": lambda x: np.reshape(x, (3, 2), order="C"), "order, positional": lambda x: np.ravel(x, "C"),
    "method": lambda x: x.reshape(3, 2, order="C"), "None": lambda x: np.var(x, 0, None, None, 1),
    "dtype": lambda x: np.std(x, axis=1, dtype=None, keepdims=True), "where": lambda x: np.exp(x, where=True),
    "casting": lambda x: np.add(x, x, casting="same_kind"), "out": lambda x: np.dot(x, x.T, out=None),
    "clip": lambda x: np.clip(x, 2, 5, None), "mode": lambda x: np.take(x, [1, 0], 1, mode="raise"),
    "overwrite_input": lambda x: np.quantile(x, 0.3, 0, None, False, keepdims=True),
    "operand": lambda x: np.sum(a=x, axis=0), "operands": lambda x: np.clip(a=x, a_min=2, a_max=5),
    "operand, composed": lambda x: np.var(a=x, ddof=1, dtype=None), "x.sum": lambda x: x.sum(0, None, None, True),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_EFFECT)
def test_an_argument_that_changes_nothing_is_accepted(name):
    f = NO_EFFECT[name]
    y = f(Node(A))
    assert isinstance(y, Node)
    np.testing.assert_allclose(y.value, f(A), rtol=1e-15)
    assert nnc.gradcheck(lambda x: np.sum(f(x) * (1 + np.arange(np.size(f(A))).reshape(np.shape(f(A))))), A)


def test_other_errors_are_not_taken_for_a_refused_argument():
    for wrong in (lambda x: np.var(x, axis="0"), lambda x: np.sum(x, axis=1.5), lambda x: np.clip(x, "a", "b"),
                  lambda x: np.var(x, ddof=object(), dtype=None), lambda x: np.einsum("ij", x, out=None, optimize=x)):
        with pytest.raises((TypeError, ValueError)) as error:  # fmt: skip
            wrong(Node(A))
        assert "does not work on Nodes" not in str(error.value)


def test_the_page_of_all_functions_lists_them():
    run = [sys.executable, "-m", "nnc.autodiff"]
    text = subprocess.run(run, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    lines = text[text.index("## Arguments that are not supported"):].splitlines()
    for function, names in NAMES.items():
        row = "| " + " ".join(f"`{name}`" for name in names) + " |"
        name = "every other universal function" if isinstance(function, np.ufunc) and not function.signature else (
            f"`{full_name(function)}`")  # fmt: skip
        assert not names or any(line.startswith(row) and name in line for line in lines), full_name(function)


# ---- arguments that work on Nodes -----------------------------------------------------------------------------------

reset_rng()
M = away(3, 3) + 2 * np.eye(3)
GIVEN = {  # values to try for each name, whether a function requires the argument or not
    "axis": [0, 1, -1, None, (0, 1)], "axes": [(1, 0), 0, 1, 2, ([0], [1])], "keepdims": [True], "k": [1, -1, 2],
    "n": [2, 0, 1], "N": [3], "offset": [1, -1], "ddof": [1], "decimals": [1], "endpoint": [False], "retstep": [True],
    "method": ["lower", "nearest", "hazen", "inverted_cdf"], "num": [5], "kth": [2, -1, (1, 2)], "kind": ["stable"],
    "mode": ["same", "full", "valid", "edge", "reflect", "wrap", "reduced", "r", "complete"], "shift": [1, (1, 2)],
    "reps": [2, (2, 1)], "repeats": [2, [1, 0, 2]], "indices_or_sections": [2, [1]], "indices": [[0, 1]],
    "pad_width": [1, ((1, 0), (0, 2))], "q": [0.3, [0.1, 0.6], 30.0], "shape": [(1, 9), (3, 3, 3), (3, 3)],
    "new_shape": [(2, 3)], "a_min": [1.0], "a_max": [1.0], "min": [1.0], "max": [1.0], "prepend": [1.0, M],
    "append": [2.0, M], "ord": [1, 2, np.inf, "fro", "nuc", -1, 3], "full_matrices": [False], "compute_uv": [False],
    "UPLO": ["U"], "upper": [True], "rcond": [0.2, None], "rtol": [0.2], "left": [0.5], "right": [0.7],
    "period": [1.5], "dx": [0.5], "x": [np.arange(3.0)], "xp": [np.arange(3.0)], "weights": [M[0], M], "values": [M],
    "returned": [True], "increasing": [True], "obj": [1, [0, 2]], "condition": [[True, False, True]],
    "source": [0], "destination": [1], "axis1": [1, 0], "axis2": [0, 1], "start": [0, 1], "to_end": [9.0],
    "to_begin": [8.0], "deg": [True], "nan": [0.1], "posinf": [2.0], "neginf": [-2.0], "default": [0.3],
    "include_initial": [True], "constant_values": [3.0], "stat_length": [2], "edge_order": [2], "p": [2, 1],
    "optimize": [True], "hermitian": [True], "axisa": [0], "axisb": [0], "axisc": [0], "ind": [1],
    "copy": [True], "stable": [True],
}  # fmt: skip


NOT_CALLED = {  # they take no array, a list of arrays, any number of arrays, or arrays of a special shape
    "astype", "einsum", "where", "take_along_axis", "array", "asarray", "asanyarray", "full", "atleast_1d",
    "atleast_2d", "atleast_3d", "broadcast_arrays", "meshgrid", "select", "choose", "tensorsolve", "ldexp",
}  # fmt: skip


def calls(function):
    """Positional arguments and up to two keyword arguments, which need not make sense together."""
    parameters = inspect.signature(function).parameters.values()
    options = [p.name for p in parameters if p.default is not p.empty and p.name in GIVEN]
    options = [name for name in options if name not in NAMES[function]]
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    needed = [p.name for p in parameters if p.default is p.empty and p.kind in kinds]
    needed[:1] = [name if name in ("condition", "shape") else "an array" for name in needed[:1]]
    for x in (M, M[0], np.stack([M, M + 1, 2 * M])):
        for args in islice(product(*(GIVEN.get(name, [x]) for name in needed)), 12):
            for names in chain([()], combinations(options, 1), combinations(options, 2)):
                for values in islice(product(*(GIVEN[name] for name in names)), 12):
                    yield args, dict(zip(names, values, strict=True))


def values_of(results):
    results = results if isinstance(results, (tuple, list)) else (results,)
    return [x.value if isinstance(x, Node) else x for x in results]


@pytest.mark.parametrize("function", NAMES, ids=full_name)
def test_every_other_argument_does_what_it_does_in_numpy(function):
    compared = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for args, keywords in calls(function):
            try:
                wanted = values_of(function(*args, **keywords))
            except (TypeError, ValueError, IndexError, AttributeError, ZeroDivisionError):
                continue
            for i in (i for i, x in enumerate(args) if isinstance(x, np.ndarray)):
                nodes = [Node(x) if k == i else x for k, x in enumerate(args)]
                try:
                    got = values_of(function(*nodes, **keywords))
                except TypeError as error:
                    assert "Node" in str(error), (args, keywords)
                    continue
                compared += 1
                assert len(got) == len(wanted)
                for y, z in zip(got, wanted, strict=True):
                    np.testing.assert_allclose(y, z, rtol=1e-12, atol=1e-13, err_msg=f"{nodes}, {keywords}")
                    assert np.shape(y) == np.shape(z)
    assert bool(compared) != (function.__name__ in NOT_CALLED)
