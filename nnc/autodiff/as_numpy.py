"""The operations of the table as NumPy code, for `Derivation.code` and for the right lines of `check_derivation`.

A formula is an expression in x, y and w, the operands in order, and the names of the operation's parameters. It is
assembled as a syntax tree, which gets exactly the parentheses that it needs. An operation without a formula here is a
function of NumPy, and is written as a call.
"""

import ast
import inspect
from itertools import product

import numpy as np

from .create_graph import unbroadcast
from .dispatch import FUNCTIONS
from .node import Node
from .operations import UFUNCS

_LIFTED = ("softmax", "log_softmax")  # each gets its own line
_SHIFTED = "np.exp(x - np.max(x, axis=axis, keepdims=True))"
_ROW_OF_LABELS = "[y, np.arange(len(y))]"
FORMULAS = {
    "add": "x + y",
    "subtract": "x - y",
    "multiply": "x * y",
    "divide": "x / y",
    "power": "x ** y",
    "negative": "-x",
    "positive": "x",
    "astype": "x",
    "matmul": "x @ y",
    "linear": "x @ y + w",
    "add_bias": "x + y",
    "add_bias_backward": "np.sum(x, axis=1, keepdims=True)",
    "relu": "np.maximum(x, 0)",
    "leaky_relu": "np.where(x > 0, x, y * x)",
    "sigmoid": "1 / (1 + np.exp(-x))",
    "relu_backward": "x * (y > 0)",
    "leaky_relu_backward": "x * np.where(y > 0, 1, w)",
    "sigmoid_backward": "x * (y * (1 - y))",
    "tanh_backward": "x * (1 - y ** 2)",
    "sigmoid_gradient": "x * (np.exp(-y) / (1 + np.exp(-y)) ** 2)",
    "tanh_gradient": "x * (1 - np.tanh(y) ** 2)",
    "maximum_backward": "x * np.heaviside(y - w, 0.5)",
    "softmax": f"{_SHIFTED} / np.sum({_SHIFTED}, axis=axis, keepdims=True)",
    "log_softmax": "x - np.log(np.sum(np.exp(x), axis=axis, keepdims=True))",
    "softmax_backward": "y * (x - np.sum(x * y, axis=axis, keepdims=True))",
    "squared_error": "np.sum((x - y) ** 2, axis=0) / 2",
    "binary_cross_entropy": "np.sum(np.log(1 + np.exp(x)) - y * x, axis=0)",
}
OF_LABELS = {  # losses: the formula with labels (r,), the formula with targets (n, r)
    "cross_entropy": ("-np.log(x" + _ROW_OF_LABELS + ")", "-np.sum(y * np.log(x), axis=0)"),
    "softmax_cross_entropy": (
        "np.log(np.sum(np.exp(x), axis=0)) - x" + _ROW_OF_LABELS,
        "np.log(np.sum(np.exp(x), axis=0)) - np.sum(y * x, axis=0)",
    ),
    "cross_entropy_backward": ("-x * np.eye(len(y))[:, w] / y", "-x * w / y"),
    "softmax_cross_entropy_backward": ("(y - np.eye(len(y))[:, w]) * x", "(y - w) * x"),
}
DERIVATIVES = {  # of an activation a = f(z): [(the variables of the formula, the formula)], the preferred one first
    "sigmoid": [("a", "a * (1 - a)"), ("z", "np.exp(-z) / (1 + np.exp(-z)) ** 2")],
    "tanh": [("a", "1 - a ** 2"), ("z", "1 - np.tanh(z) ** 2")],
    "relu": [("z", "z > 0"), ("a", "a > 0")],
    "leaky ReLU": [("z", "np.where(z > 0, 1, slope)"), ("a", "np.where(a > 0, 1, slope)")],
    "softplus": [("z", "1 / (1 + np.exp(-z))")],
    "ELU": [("z", "np.where(z > 0, 1, slope * np.exp(z))")],
    "swish": [("az", "(1 + z - a) / (1 + np.exp(-z))")],
}
_ACTIVATIONS = {"sigmoid": "sigmoid", "tanh": "tanh", "relu": "relu", "leaky_relu": "leaky ReLU"}  # rows of the table
_NAMES = {  # row -> the NumPy function that it implements
    rule.name: f.__name__
    for table in (UFUNCS, FUNCTIONS)
    for f, rule in table.items()
    if hasattr(rule, "name") and getattr(np, f.__name__, None) is f
}
SHORT = 50  # numbers in an array that is written out


def substitute(formula, **parts):
    """The tree of a formula, with trees or text substituted for its names.

    >>> ast.unparse(substitute("x @ y", x="W2.T", y="A - Y"))
    'W2.T @ (A - Y)'
    """
    parts = {k: ast.parse(v, mode="eval").body if isinstance(v, str) else v for k, v in parts.items()}

    class Substitution(ast.NodeTransformer):
        def visit_Name(self, node):
            return parts.get(node.id, node)

    return Substitution().visit(ast.parse(formula, mode="eval").body)


def derivatives(kind, a, z, slope=0.0):
    """f'(z) as text, by the first formula whose variables have names, once for each of the names.

    >>> derivatives("tanh", ["A1"], ["Z1"]), derivatives("tanh", [], ["Z1"])
    (['(1 - A1 ** 2)'], ['(1 - np.tanh(Z1) ** 2)'])
    """
    known = {"a": a, "z": z}
    for letters, formula in DERIVATIVES[kind]:
        if all(known[letter] for letter in letters):
            formula = formula.replace("slope * ", "") if slope == 1 else formula
            found = []
            for names in product(*(known[letter] for letter in letters)):
                parts = dict(zip(letters, names, strict=True))
                text = ast.unparse(substitute(formula, **parts, slope=f"{slope:g}"))
                found.append(text if text.startswith("np.where") else f"({text})")
            return found
    return []


class Writer:
    """Writes Nodes as NumPy expressions.

    Parameters
    ----------
    names : dict
        {id of a Node or an array: its name}. Other arrays, and what a formula uses several times, get names here.

    Attributes
    ----------
    lines : list of str
        The lines that are needed before the expressions that were written.
    """

    def __init__(self, names):
        self.names, self.lines, self._kept, self._numbers = dict(names), [], [], {}
        self._data = {}  # {id of a Node: the array of data that it wraps}

    def expression(self, x, is_new=False):
        """The tree of a Node, an array or a number; with `is_new` how a Node is computed, also if it has a name."""
        if id(x) in self.names and not is_new:
            return ast.parse(self.names[id(x)], mode="eval").body
        if id(x) in self._data:
            return self.expression(self._data[id(x)])
        if not isinstance(x, Node):
            return self._constant(x)
        if not x.inputs:
            return self._constant(x.value, x)
        if x.op in _LIFTED and not is_new:
            text = ast.unparse(self.expression(x, is_new=True))
            return self._named(x, "P", text)
        parts = dict(zip("xyw", map(self.expression, x.inputs), strict=False))
        params = {k: v for k, v in x.params.items() if v is not None}
        formula = FORMULAS.get(x.op)
        if x.op == "maximum_backward" and not all(map(np.ndim, x.inputs[1:])):
            formula = "x * (y > w)"  # of a ReLU, whose derivative at 0 is 0
        if x.op in OF_LABELS:
            formula = OF_LABELS[x.op][np.ndim(x.inputs[-1]) > 1]
        if x.op in ("softmax", "log_softmax", "softmax_backward"):
            params = {"axis": 0, **params}
        if x.op == "transpose" and not params:
            formula = "x.T"
        if formula is not None:
            return substitute(formula, **parts, **{k: repr(v) for k, v in params.items()})
        if x.op == "getitem":
            return ast.Subscript(parts["x"], _index(x.params["index"]), ast.Load())
        if x.op == "scatter":
            size, shape = int(np.prod(x.params["shape"])), tuple(map(int, x.params["shape"]))
            indices = self._constant(np.ravel(x.params["indices"]))
            sums = "np.bincount(indices, weights=np.ravel(x), minlength=size).reshape(shape)"
            return substitute(sums, x=parts["x"], indices=indices, size=str(size), shape=str(shape))
        if x.op not in _NAMES:
            raise TypeError(f"code: {x.op} has no formula in NumPy")
        f = ast.parse(f"np.{_NAMES[x.op]}", mode="eval").body
        operands = [self.expression(operand) for operand in x.inputs]
        operands = [ast.List(operands, ast.Load())] if x.op in ("concatenate", "stack") else operands
        defaults = _defaults(getattr(np, _NAMES[x.op]))
        given = {k: v for k, v in x.params.items() if v is not defaults.get(k, ...) and v is not False}
        keywords = [ast.keyword(k, self._parameter(v)) for k, v in given.items()]
        return ast.Call(f, operands, keywords)

    def gradient(self, node, i, g):
        """The tree of a Node's contribution to dJ/d(its i-th operand), g being the name of its own gradient."""
        if node.op in _ACTIVATIONS:
            a, z = ([ast.unparse(self.expression(x))] for x in (node, node.inputs[0]))
            slope = float(node.inputs[1]) if len(node.inputs) > 1 else 0.0
            return substitute("g * d", g=g, d=derivatives(_ACTIVATIONS[node.op], a, z, slope)[0])
        vjps = node._rule.vjps_of_nodes
        if vjps is None:
            raise TypeError(f"code: the gradient of {node.op} has no NumPy expression")
        arriving = Node(np.ones(node.shape, node.dtype))
        self.names[id(arriving)] = g
        c = vjps[i](arriving, node, *map(self._as_node, node.inputs), **node.params)
        x = node.inputs[i]
        c = np.zeros(x.shape) if c is None else unbroadcast(c, x, 0)
        self._kept.append((arriving, c))  # kept alive, so that their ids stay unique
        return self.expression(c)

    def _as_node(self, x):
        """A Node that wraps an array of data, so that its transpose is written as one."""
        if not isinstance(x, np.ndarray) or x.ndim < 2 or x.dtype.kind != "f":
            return x
        node = Node(x)
        self._data[id(node)] = x
        self._kept.append(node)
        return node

    def _parameter(self, value):
        return self._constant(value) if isinstance(value, np.ndarray) else ast.parse(repr(value), mode="eval").body

    def _named(self, x, letter, text):
        self._numbers[letter] = n = self._numbers.get(letter, 0) + 1
        self.names[id(x)] = name = f"{letter}{n}"
        self._kept.append(x)
        self.lines.append(f"{name} = {text}")
        return ast.Name(name, ast.Load())

    def _constant(self, value, x=None):
        value = np.asarray(value)
        if value.ndim == 0:
            number = value.item()
            is_whole = isinstance(number, float) and number.is_integer() and abs(number) < 1e6
            return ast.parse(repr(int(number) if is_whole else number), mode="eval").body
        text = f"np.array({value.tolist()})" if value.size <= SHORT else f"...  # the {value.shape} array of data"
        return self._named(value if x is None else x, "C", text)


def _defaults(f):
    """{name of a parameter: its default}, if NumPy has its signature."""
    try:
        return {name: p.default for name, p in inspect.signature(f).parameters.items()}
    except ValueError:
        return {"axis": None}


def _index(key):
    """The tree of an index: whole numbers, slices, None, ..., arrays, and tuples of them."""
    if isinstance(key, tuple):
        return ast.Tuple([_index(k) for k in key], ast.Load())
    if isinstance(key, slice):
        parts = [None if k is None else ast.Constant(int(k)) for k in (key.start, key.stop, key.step)]
        return ast.Slice(*parts)
    if key is Ellipsis or key is None:
        return ast.Constant(key)
    return ast.parse(f"np.array({np.asarray(key).tolist()})" if np.ndim(key) else repr(int(key)), mode="eval").body
