"""The computational graph: every operation is a node, and gradients walk it backward (pages 6 to 9 of the notes).

A `Node` wraps an array. Ordinary expressions, ``W @ X + b``, ``np.exp(Z)``, ``nnc.relu(Z)``, compute at once and
remember how: the result is a Node that knows its operation and what went in. NumPy hands its functions over by itself,
through the protocols ``__array_ufunc__`` and ``__array_function__``. `Node.backward` visits the nodes from the last to
the first and asks the table in `nnc.rules`, at each one, how the gradient flows through that operation.

>>> w, x, b = nnc.Node(-2.0, name="w"), nnc.Node(5.0, name="x"), nnc.Node(3.0, name="b")
>>> z = w * x + b
>>> z.backward()
>>> [float(n) for n in (z, w.grad, x.grad, b.grad)]  # eqs. 7.1 to 7.3
[-7.0, 5.0, -2.0, 1.0]
"""

import operator
from itertools import count
from operator import attrgetter

import numpy as np

from . import _engine, _explain
from . import composed as _composed  # noqa: F401  (enters its functions)
from .rules import FUNCTIONS, PLAIN, RULES, UFUNCS, Rule
from .vjps import MANY, plus, power, times

_LEAF = Rule("leaf", None, "", (), (), (), None, ())
_NO_PARAMS = {}
_F32, _F64 = np.dtype(np.float32), np.dtype(np.float64)
_bare = object.__new__
_AS_IT_IS = frozenset({float, int, bool, np.ndarray, np.float64, np.float32})  # operands that need no conversion
_serial = count()  # what goes into a node always has a smaller number than the node

# A graph of large arrays takes and gives back much memory. After a block of nearly 32 MB, the most that it counts, has
# been freed once, glibc keeps that much for the next graph, where it would hand all pages back to be cleared anew.
np.empty(2**25 - 2**16, np.uint8)


class Node:
    """A value, float32 or float64, that remembers how it was computed.

    Parameters
    ----------
    value : array_like
        An array is not copied, so a parameter that is updated in place stays the same Node. Integers and booleans
        become float64, float16 becomes float32.
    name : str, optional
        For pictures and formulas: ``"W1"``. May be set later, on results as well.

    Attributes
    ----------
    value : ndarray or NumPy scalar
    grad : ndarray or NumPy scalar, of the shape and dtype of value; None before `backward`
    shape, dtype, ndim, size, T : as an array's
    name : str or None
    op : str
        The operation, a key of `nnc.rules.RULES`; ``"leaf"`` for a Node that you made.
    inputs : tuple
        What went in, in the order of the arguments: Nodes, and arrays and numbers as they are.
    params : dict
        The operation's further arguments, axes and shapes.
    data : the value, under the name that micrograd has for it

    Raises
    ------
    TypeError
        For complex numbers, objects, text, long doubles.

    Notes
    -----
    Comparisons give plain arrays of bool, ``len`` and ``np.shape`` plain integers, ``float`` the value of a scalar.
    Nothing else leaves the graph unseen: ``np.asarray(node)``, ``out=``, ``array += node``, ``np.add.reduce(node)`` and
    functions without a row in the table are TypeErrors.

    Examples
    --------
    >>> W, X = nnc.Node([[1.0, 2.0]], name="W"), np.array([[3.0], [4.0]])
    >>> J = np.sum((W @ X - 1) ** 2)
    >>> J.backward()
    >>> J, W.grad
    (Node(100., op='sum'), array([[60., 80.]]))
    """

    __slots__ = ("value", "grad", "name", "inputs", "params", "_rule", "_args", "_serial", "__weakref__")

    def __init__(self, value, name=None):
        value = np.asarray(value)
        if value.dtype.kind in "biu":
            value = value.astype(np.float64)
        elif value.dtype == np.float16:
            value = value.astype(np.float32)
        elif value.dtype.char not in "fd":
            raise TypeError(f"Node: the value is {value.dtype}, but must be real numbers, float32 or float64")
        self.value = value.astype(value.dtype.newbyteorder("="), copy=False)
        self.grad, self.name = None, name
        self.inputs, self.params, self._rule, self._args = (), _NO_PARAMS, _LEAF, ()
        self._serial = next(_serial)

    op = property(attrgetter("_rule.name"))
    shape = property(attrgetter("value.shape"))
    dtype = property(attrgetter("value.dtype"))
    ndim = property(attrgetter("value.ndim"))
    size = property(attrgetter("value.size"))
    data = property(attrgetter("value"))
    T = property(lambda self: self.transpose())

    # ---- expressions ----------------------------------------------------------------------------------------------

    def _binary(name, of_many=None):
        """The methods for `node op other` and `other op node`."""
        rule = RULES[name]
        forward, of_many = rule.forward, of_many or rule.forward

        def method(self, other):
            if isinstance(other, Node):
                args = (self.value, other.value)
            else:
                if type(other) not in _AS_IT_IS:
                    other = np.asarray(other)
                args = (self.value, other)
            value = forward(*args) if self.value.size < MANY else of_many(*args)
            return _new(rule, value, (self, other), args, _NO_PARAMS)

        def reflected(self, other):
            return _apply(rule, (other, self), _NO_PARAMS)

        return method, reflected

    def _method(function):
        """The method that stands for a NumPy function of the node."""
        target = UFUNCS.get(function) or FUNCTIONS.get(function) or function
        is_rule = isinstance(target, Rule)

        def method(self, *args, **kwargs):
            if is_rule and not args and not kwargs:
                return _apply(target, (self,), _NO_PARAMS)
            return _call(target, (self, *args), kwargs)

        method.__name__ = function.__name__
        method.__doc__ = f"As ``np.{function.__name__}``."
        return method

    def _comparison(compare):
        return lambda self, other: compare(self.value, _raw(other))

    __add__, __radd__ = _binary("add", plus)
    __sub__, __rsub__ = _binary("subtract")
    __mul__, __rmul__ = _binary("multiply", times)
    __truediv__, __rtruediv__ = _binary("divide")
    __pow__, __rpow__ = _binary("power", power)
    __matmul__, __rmatmul__ = _binary("matmul")
    __neg__, __pos__, __abs__ = map(_method, (np.negative, np.positive, np.absolute))
    sum, mean, max, min, prod = map(_method, (np.sum, np.mean, np.max, np.min, np.prod))
    var, std, cumsum, trace = map(_method, (np.var, np.std, np.cumsum, np.trace))
    ravel, squeeze, swapaxes, diagonal = map(_method, (np.ravel, np.squeeze, np.swapaxes, np.diagonal))
    dot, clip, take, repeat = map(_method, (np.dot, np.clip, np.take, np.repeat))
    argmax, argmin = map(_method, (np.argmax, np.argmin))
    __lt__, __le__ = _comparison(operator.lt), _comparison(operator.le)
    __gt__, __ge__ = _comparison(operator.gt), _comparison(operator.ge)
    __eq__, __ne__ = _comparison(operator.eq), _comparison(operator.ne)
    __hash__ = object.__hash__  # nodes are keys by what they are, whatever == says of their values

    def reshape(self, *shape):
        """As an array's: ``reshape(2, 3)`` or ``reshape((2, 3))``."""
        return self._moved("reshape", self.value.reshape(*shape), {"shape": shape[0] if len(shape) == 1 else shape})

    def transpose(self, *axes):
        """As an array's: all axes in reverse without arguments."""
        axes = axes[0] if len(axes) == 1 else axes
        return self._moved("transpose", self.value.transpose(axes or None), {"axes": axes} if axes else _NO_PARAMS)

    def relu(self):
        """max(0, z), eq. 12.3."""
        return _apply(RULES["relu"], (self,), _NO_PARAMS)

    def __getitem__(self, index):
        return self._moved("getitem", self.value[index], {"index": index if isinstance(index, tuple) else (index,)})

    def _moved(self, name, value, params):
        return _new(RULES[name], value, (self,), (self.value,), params)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __len__(self):
        if not self.value.ndim:
            raise TypeError("a Node that is a scalar has no length and cannot be iterated over")
        return len(self.value)

    def __bool__(self):
        return bool(self.value)

    def __float__(self):
        if self.value.ndim:
            raise TypeError(f"float: the Node is {self.shape}, and only a scalar is one number; see .value")
        return float(self.value)

    def __format__(self, spec):
        return format(float(self), spec) if spec else repr(self)

    def __repr__(self):
        name = f", name={self.name!r}" if self.name else ""
        value = np.array2string(np.asarray(self.value), separator=", ", prefix="Node(", threshold=50)
        return f"Node({value}, op={self.op!r}{name})"

    # ---- NumPy's protocols ----------------------------------------------------------------------------------------

    def __array__(self, *args, **kwargs):
        raise TypeError("a Node cannot become an array without leaving its graph: node.value is its array, "
                        "np.stack and np.concatenate join Nodes")  # fmt: skip

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        rule = UFUNCS.get(ufunc)
        if rule is not None and method == "__call__" and "out" not in kwargs:  # most of the calls, so they go straight
            if len(inputs) == 1 and not kwargs:
                return _new(rule, rule.forward(self.value), inputs, (self.value,), _NO_PARAMS)
            return _apply(rule, inputs, _params(rule, (), kwargs) if kwargs else _NO_PARAMS)
        if method != "__call__" or "out" in kwargs:
            raise _explain.ufunc_of_nodes(ufunc, method)
        return _dispatch(UFUNCS, ufunc, inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        return _dispatch(FUNCTIONS, function, args, kwargs)

    # ---- backward -------------------------------------------------------------------------------------------------

    def backward(self, seed=None):
        """Set ``.grad``, of this node and of every node before it, to the gradient of this node.

        Gradients are set afresh, so that running it twice doubles nothing. The graph may be of any depth.

        Parameters
        ----------
        seed : array_like, of the shape of this node, or a number, optional
            What this node's own gradient is: 1 for a scalar. ``L.backward(1 / r)`` is the mean of eq. 5.3.

        Raises
        ------
        ValueError
            Without a seed if this node is no scalar, and if the seed has another shape.
        """
        if seed is None:
            if self.value.ndim:
                raise ValueError(f"backward: the node is {self.shape}, not a scalar: start from a scalar such as "
                                 "J.mean(), or give a seed of the node's shape")  # fmt: skip
            seed = self.dtype.type(1)
        else:
            seed = np.asarray(seed)
            if seed.dtype.kind not in "biuf":
                raise TypeError(f"backward: the seed is {seed.dtype}, but must be real numbers")
            if seed.ndim and seed.shape != self.shape:
                raise ValueError(f"backward: the seed is {seed.shape}, but must be of the node's shape {self.shape}")
            full = np.empty(self.shape, self.dtype)  # what np.full does, in a third of the time
            full[...] = seed
            seed = full
        nodes = ancestors(self)
        for node in nodes:
            node.grad = None  # first, so that the new gradients find the memory of the old ones
        for node, gradient in _flow(nodes, seed).items():
            node.grad = gradient

    def graph(self, **options):
        """The graph as a picture, a `nnc.draw.Drawing`."""
        from .draw import Drawing

        return Drawing(self, **options)

    def steps(self, **options):
        """The backward pass, one node at a time: `nnc.steps.Steps`."""
        from .steps import Steps

        return Steps(self, **options)


# ---- from a call to a node -----------------------------------------------------------------------------------------


def _new(rule, value, inputs, args, params):
    """The node that results; `args` are the inputs as arrays. Everything passes here, so it is kept short."""
    dtype = value.dtype
    if dtype is not _F64 and dtype is not _F32 and dtype.char not in "fd":
        raise TypeError(f"{rule.name}: the result would be {dtype}, but Nodes are float32 or float64")
    node = _bare(Node)
    node.value = value
    node.grad = node.name = None
    node.inputs = inputs
    node.params = params
    node._rule = rule
    node._args = args
    node._serial = next(_serial)
    return node


def _apply(rule, operands, params):
    """Apply a row of the table to Nodes, arrays and numbers."""
    arrays = _engine.values(Node, operands, _AS_IT_IS)
    if arrays is None:
        return _apply(rule, tuple([x if isinstance(x, Node) else np.asarray(x) for x in operands]), params)
    for i in rule.constants:
        if isinstance(operands[i], Node):
            raise TypeError(f"{rule.name}: no gradient flows through argument {i + 1}; give its .value")
    value = rule.forward(*arrays, **params) if params else rule.forward(*arrays)
    return _new(rule, value, operands, arrays, params)


def _call(rule, args, kwargs):
    """The same for a row or a function composed of rows, with the arguments as NumPy has them."""
    if not isinstance(rule, Rule):
        return rule(*args, **kwargs)
    if rule.takes:
        operands, params = rule.takes(*args, **kwargs)
        return _apply(rule, tuple(operands), params)
    n = len(rule.vjps)
    return _apply(rule, args[:n], _params(rule, args[n:], kwargs) if kwargs or len(args) > n else _NO_PARAMS)


def _params(rule, positional, keywords):
    """The arguments that are no operands, by their names."""
    if positional:
        keywords = dict(zip(rule.params, positional, strict=False)) | keywords
    for name, value in keywords.items():
        if value is None:
            return _params(rule, (), {name: value for name, value in keywords.items() if value is not None})
        if name not in rule.params or name == "-":
            known = ", ".join(p for p in rule.params if p != "-") or "none"
            raise TypeError(f"{rule.name}: the argument {name!r} does not work on Nodes (operands come by position, "
                            f"further arguments: {known})")  # fmt: skip
    return keywords


def _dispatch(table, function, args, kwargs):
    """What NumPy hands over."""
    if function in table:
        return _call(table[function], args, kwargs)
    if function in PLAIN:
        return function(*map(_raw, args), **kwargs)
    raise _explain.function_of_nodes(function, (*UFUNCS, *FUNCTIONS))


def _raw(x):
    return x.value if isinstance(x, Node) else x


# ---- backward --------------------------------------------------------------------------------------------------------


def ancestors(y):
    """y and all nodes before it, the latest first, so that each comes before what went into it."""
    return _engine.ancestors(Node, y)


def pullback(y, seed, wrt=None):
    """{node: gradient} for y and the nodes before it, when y's own gradient is `seed`.

    The seed may have axes in front of y's; all gradients then have them too. With `wrt`, a node, only the nodes between
    y and it are visited.
    """
    nodes = ancestors(y)
    if wrt is None:
        return _flow(nodes, seed)
    between = _between(nodes, wrt)
    return _flow([node for node in nodes if node in between], seed, between)


def _flow(nodes, seed, between=None):
    """The gradients of `nodes`, the first of which has `seed`; only those in the set `between` get one, if it is given.

    Each node in turn, and so after all that it went into, asks its rule: the gradient of the i-th input, as far as it
    comes through this node, is ``vjps[i](g, node.value, *operands, **params)``, g being the node's own gradient. An
    input of several nodes adds up what it gets. The loop is csrc/python/backward.c, where it costs next to nothing.

    A gradient that is another node's, too, or a view of one, is copied before anything is added to it, and before it
    becomes a leaf's: what a leaf gets is the caller's own.
    """
    return _engine.flow(Node, nodes, seed, between, seed.shape[: seed.ndim - nodes[0].value.ndim], _fit, _sum)


def _fit(c, value, lead):
    """c in the dtype and, behind the axes `lead`, the shape of the value whose gradient it is."""
    if c.shape != value.shape:
        c = _unbroadcast(c, lead + value.shape, len(lead))
    return c if c.dtype is value.dtype else c.astype(value.dtype, copy=False)


def _sum(a, b, is_a_free, is_b_free):
    """a + b, in the memory of the one that is free for it; of many numbers on all cores."""
    if not is_a_free:
        if not is_b_free:
            return a + b
        a, b = b, a
    if a.size >= MANY:
        return _engine.add(a, b, out=a)
    a += b
    return a


def _between(nodes, wrt):
    """Those of the nodes that were computed from wrt, and wrt."""
    found = {wrt}
    for node in reversed(nodes):
        if any(x in found for x in node.inputs if isinstance(x, Node)):
            found.add(node)
    return found


def _unbroadcast(c, shape, lead):
    """Sum c over the axes along which NumPy repeated an operand; its first `lead` axes are no axes of the operand."""
    if c.ndim == 2 and shape == (len(c), 1):  # that of a bias, which is asked for most
        return np.add.reduce(c, 1, None, None, True)
    added = c.ndim - len(shape)
    if added:
        c = np.add.reduce(c, tuple(range(lead, lead + added)))
    stretched = ()
    for i, n in enumerate(c.shape):
        if n != shape[i]:
            stretched += (i,)
    return np.add.reduce(c, stretched, None, None, True) if stretched else c
