"""The computational graph: every operation is a node, and the gradient walks it backward (pages 6 to 9 of the notes).

A `Node` wraps an array. Ordinary expressions with it, ``W @ X + b``, ``np.exp(Z)``, ``nnc.relu(Z)``, compute at once and
remember how: the result is a Node that knows its operation and what went in. NumPy itself hands its functions over, by
the protocols ``__array_ufunc__`` and ``__array_function__``. `Node.backward` then visits the nodes from the last to the
first, and at each one asks the table in `nnc.rules` how the gradient flows through that operation to what went in.

>>> w, x, b = nnc.Node(-2.0, name="w"), nnc.Node(5.0, name="x"), nnc.Node(3.0, name="b")
>>> z = w * x + b
>>> z.backward()
>>> [float(n) for n in (z.value, w.grad, x.grad, b.grad)]  # eqs. 7.1 to 7.3
[-7.0, 5.0, -2.0, 1.0]
"""

import difflib
import operator
from itertools import count
from operator import attrgetter

import numpy as np

from .rules import FUNCTIONS, RULES, UFUNCS, Rule

_serial = count()  # nodes are numbered as they are made: what goes in always has a smaller number than what comes out
_NO_PARAMS = {}
_PLAIN = frozenset({float, int, bool, np.ndarray, np.float64, np.float32})
_COMPARISONS = {
    np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal,
    np.isnan, np.isinf, np.isfinite, np.signbit, np.logical_and, np.logical_or, np.logical_not,
    np.shape, np.ndim, np.size, np.argmax, np.argmin, np.argsort, np.allclose, np.isclose, np.array_equal,
    np.zeros_like, np.ones_like, np.full_like, np.empty_like,
}  # fmt: skip
_LEAF = Rule("leaf", None, "", (), (), (), 0)


def _binary(name):
    """The methods for ``node op other`` and ``other op node``."""
    rule = RULES[name]
    forward = rule.forward

    def left(self, other):
        if isinstance(other, Node):
            args = (self.value, other.value)
        else:
            if type(other) not in _PLAIN:
                other = np.asarray(other)
            args = (self.value, other)
        return _record(rule, forward(*args), (self, other), args, _NO_PARAMS)

    def right(self, other):
        if type(other) not in _PLAIN:
            other = np.asarray(other)
        args = (other, self.value)
        return _record(rule, forward(*args), (other, self), args, _NO_PARAMS)

    return left, right


def _compare(function):
    return lambda self, other: function(self.value, _raw(other))


def _method(name):
    rule = RULES[name]

    def method(self, *args, **kwargs):
        return _call(rule, (self, *args), kwargs)

    return method


class Node:
    """A value in the computational graph."""

    __slots__ = ("value", "grad", "name", "inputs", "params", "_rule", "_args", "_serial", "__weakref__")
    __hash__ = object.__hash__

    def __init__(self, value, name=None):
        value = np.asarray(value)
        if value.dtype.kind in "iub":
            value = value.astype(np.float64)
        elif value.dtype == np.float16:
            value = value.astype(np.float32)
        elif value.dtype.char not in "fd":
            raise TypeError(f"Node: the value is {value.dtype}, but must be real numbers: float32 or float64")
        if not value.dtype.isnative:
            value = value.astype(value.dtype.newbyteorder("="))
        self.value = value
        self.name = name
        self.grad = None
        self.inputs = ()
        self.params = _NO_PARAMS
        self._rule = _LEAF
        self._args = ()
        self._serial = next(_serial)

    op = property(lambda self: self._rule.name, doc="The operation that made this node; 'leaf' if none did.")
    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    data = property(lambda self: self.value)
    T = property(lambda self: _call(RULES["transpose"], (self,), {}))

    __add__, __radd__ = _binary("add")
    __sub__, __rsub__ = _binary("subtract")
    __mul__, __rmul__ = _binary("multiply")
    __truediv__, __rtruediv__ = _binary("divide")
    __pow__, __rpow__ = _binary("power")
    __matmul__, __rmatmul__ = _binary("matmul")
    __neg__ = _method("negative")
    __abs__ = _method("absolute")
    __lt__, __le__ = _compare(operator.lt), _compare(operator.le)
    __gt__, __ge__ = _compare(operator.gt), _compare(operator.ge)
    __eq__, __ne__ = _compare(operator.eq), _compare(operator.ne)
    sum, mean, max, min = map(_method, ("sum", "mean", "max", "min"))
    relu = _method("relu")

    def __getitem__(self, index):
        return _call(RULES["getitem"], (self,), {"index": index if isinstance(index, tuple) else (index,)})

    def reshape(self, *shape):
        return _call(RULES["reshape"], (self,), {"shape": shape[0] if len(shape) == 1 else shape})

    def __len__(self):
        return len(self.value)

    def __float__(self):
        if self.value.ndim:
            raise TypeError(f"float(): the Node is {self.shape}, only a scalar is one number")
        return float(self.value)

    def __repr__(self):
        name = f", name={self.name!r}" if self.name else ""
        return f"Node({self.value}, op={self.op!r}{name})"

    def backward(self, seed=None):
        """Set ``.grad`` of this node and of all before it."""
        if seed is None:
            if self.value.ndim:
                raise ValueError(f"backward: the node is {self.shape}, no scalar; take J.mean() or give a seed of its shape")
            seed = 1
        seed = np.broadcast_to(np.asarray(seed, self.dtype), self.shape)
        for node, g in pullback(self, seed).items():
            node.grad = g

    def graph(self, **options):
        from . import draw

        return draw.graph(self, **options)

    def steps(self, **options):
        from . import draw

        return draw.steps(self, **options)

    def __array__(self, *args, **kwargs):
        raise TypeError("np.asarray(node) would leave the graph; take node.value, or np.stack to join nodes")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method != "__call__":
            raise TypeError(f"np.{ufunc.__name__}.{method} does not work on Nodes")
        if any(x is not None for x in kwargs.get("out") or ()):
            raise TypeError(f"np.{ufunc.__name__}: out= and in-place operations would write over a part of the graph")
        return _dispatch(UFUNCS, ufunc, inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        return _dispatch(FUNCTIONS, function, args, kwargs)


def _raw(x):
    return x.value if isinstance(x, Node) else x


def _dispatch(table, function, args, kwargs):
    if function in _COMPARISONS:
        return function(*map(_raw, args), **kwargs)
    rule = table.get(function)
    if rule is None:
        name = function.__name__
        near = difflib.get_close_matches(name, RULES, 3, 0.3)
        raise TypeError(f"{name} does not work on Nodes; the nearest that do: {', '.join(near)}")
    if rule.arity is None:
        args = (*args[0], *args[1:])
    return _call(rule, args, kwargs)


def _call(rule, args, kwargs):
    n = rule.arity if rule.arity is not None else len(args)
    inputs = tuple([x if isinstance(x, Node) or type(x) in _PLAIN else np.asarray(x) for x in args[:n]])
    if len(args) > n:
        kwargs = {**dict(zip(rule.params, args[n:])), **kwargs}
    kwargs = {k: v for k, v in kwargs.items() if v is not None}
    values = tuple([_raw(x) for x in inputs])
    return _record(rule, rule.forward(*values, **kwargs), inputs, values, kwargs)


def _record(rule, value, inputs, args, params):
    node = Node.__new__(Node)
    node.value = value
    node.grad = None
    node.name = None
    node.inputs = inputs
    node.params = params
    node._rule = rule
    node._args = args
    node._serial = next(_serial)
    return node


def ancestors(y):
    """y and every node before it, the newest first: an order in which each node comes before what went into it."""
    nodes, seen = [y], {y}
    for node in nodes:
        for x in node.inputs:
            if isinstance(x, Node) and x not in seen:
                seen.add(x)
                nodes.append(x)
    return sorted(nodes, key=attrgetter("_serial"), reverse=True)


def pullback(y, seed):
    """{node: gradient} for y and every node before it, of which y's own gradient is `seed`."""
    lead = seed.shape[: seed.ndim - y.ndim]
    gradients = {y: seed}
    for node in ancestors(y):
        g = gradients[node]
        for x, vjp in zip(node.inputs, node._rule.vjps):
            if isinstance(x, Node):
                c = vjp(g, node.value, *node._args, **node.params)
                shape = lead + x.value.shape
                if c.shape != shape:
                    c = _unbroadcast(c, shape, len(lead))
                if c.dtype is not x.value.dtype:
                    c = c.astype(x.value.dtype)
                gradients[x] = gradients[x] + c if x in gradients else c
    return gradients


def _unbroadcast(c, shape, lead):
    """Sum over the axes along which NumPy repeated an operand of `shape`; the first `lead` axes are not its own."""
    added = c.ndim - len(shape)
    full = shape[:lead] + (1,) * added + shape[lead:]
    axes = tuple([i for i, (n, m) in enumerate(zip(full, c.shape)) if n != m])
    return np.add.reduce(c, axes).reshape(shape)
