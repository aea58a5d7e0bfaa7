"""The computational graph: each operation is a node, and gradients are propagated backward (pages 6 to 9 of the notes).

A `Node` wraps an array. Ordinary expressions, ``W @ X + b``, ``np.exp(Z)``, ``nnc.relu(Z)``, compute at once, and the
result is a Node that knows its operation and its inputs. NumPy's functions dispatch to Nodes through the protocols
``__array_ufunc__`` and ``__array_function__``. `Node.backward` visits the nodes from the last to the first and asks the
table in `nnc.autodiff.operations`, at each one, how the gradient flows through that operation.

>>> w, x, b = nnc.Node(-2.0, name="w"), nnc.Node(5.0, name="x"), nnc.Node(3.0, name="b")
>>> z = w * x + b
>>> z.backward()
>>> [n.item() for n in (z, w.grad, x.grad, b.grad)]  # eqs. 7.1 to 7.3
[-7.0, 5.0, -2.0, 1.0]
"""

import operator
import sys
from operator import attrgetter

import numpy as np

from .. import _engine, _explain
from . import (  # noqa: F401  (they register functions)
    calculus,
    composed,
    elementwise,
    joining,
    linalg,
    ordering,
    padding,
    products,
    r_of_numpy,
    softmax_of_scipy,
)
from .arguments import retry
from .create_graph import backward_graph
from .dispatch import FUNCTIONS, REFUSED
from .operations import PLAIN, RULES, UFUNCS, Rule
from .vjps import MANY

_ONE = {real: real(1) for real in (np.float32, np.float64)}
_LEAF = Rule("leaf", None, None, "", (), (), (), (), None, ())
_apply = _engine.apply  # apply(rule, operands, params): the Node that results from Nodes, arrays and numbers
_call = _engine.call  # call(rule, args, kwargs): the same from a NumPy function's arguments; or a composed function

# A graph of large arrays allocates and frees much memory. Once a block of nearly 32 MB has been freed, glibc raises its
# threshold for mmap and keeps freed memory for the next graph instead of returning the pages to the system, which
# would clear them anew: 7 % of a step of 784-200-10 as a graph with 64 or 1,024 examples, 11 % with 5,000.
np.empty(2**25 - 2**16, np.uint8)


class Node(_engine.Node):
    """A value, float32 or float64, that remembers how it was computed.

    Parameters
    ----------
    value : array_like
        An array is not copied, so a parameter that is updated in place stays the same Node. Integers and booleans
        become float64, float16 becomes float32. May be set later, too, between one `backward` and the next forward.
    name : str, optional
        For pictures and formulas: ``"W1"``. May be set later, on results as well.

    Attributes
    ----------
    value : ndarray or NumPy scalar
        That of a result is read-only: ``P = node.value.copy()`` is an array to write into.
    grad : ndarray or NumPy scalar, of the shape and dtype of value; None before `backward`
    shape, dtype, ndim, size, T : as an array's
    name : str or None
    op : str
        The operation, a key of `nnc.autodiff.operations.RULES`; ``"leaf"`` for a Node that you made.
    inputs : tuple
        The operands, in the order of the arguments: Nodes, and arrays and numbers as they are.
    params : dict
        The operation's further arguments, axes and shapes.
    data : the value, under the name that micrograd has for it

    Raises
    ------
    TypeError
        For complex numbers, objects, text, long doubles.
    RuntimeError
        If the value of a result is set; see `backward` for that of a leaf.

    Notes
    -----
    Comparisons give plain arrays of bool, ``len`` and ``np.shape`` plain integers, ``f"{node:.3f}"`` text. Numbers
    leave the graph only by `value` and `item`: ``float(node)``, ``math.exp(node)``, ``array[i] = node``,
    ``np.asarray(node)``, ``out=``, ``array += node``, ``np.add.reduce(node)`` and functions without a row in the table
    are TypeErrors.

    Examples
    --------
    >>> W, X = nnc.Node([[1.0, 2.0]], name="W"), np.array([[3.0], [4.0]])
    >>> J = np.sum((W @ X - 1) ** 2)
    >>> J.backward()
    >>> J, W.grad
    (Node(100., op='sum'), array([[60., 80.]]))
    """

    __slots__ = ("__weakref__",)  # the fields are in csrc/python/node.c

    def __init__(self, value, name=None):
        self.value, self.name, self._rule = value, name, _LEAF
        if "scipy.special" in sys.modules and not softmax_of_scipy.ORIGINALS:
            softmax_of_scipy.patch()

    op = property(attrgetter("_rule.name"), doc="The operation's name; ``'leaf'`` for a Node that you made.")
    shape = property(attrgetter("value.shape"))
    dtype = property(attrgetter("value.dtype"))
    ndim = property(attrgetter("value.ndim"))
    size = property(attrgetter("value.size"))
    T = property(lambda self: self.transpose())

    # ---- expressions ----------------------------------------------------------------------------------------------

    def _binary(name):
        """The methods for `node op other` and `other op node`."""
        rule = RULES[name]
        return lambda self, other: _apply(rule, (self, other)), lambda self, other: _apply(rule, (other, self))

    def _method(function):
        """The method that does what a NumPy function does."""
        target = UFUNCS.get(function) or FUNCTIONS.get(function) or function
        is_rule = isinstance(target, Rule)

        def method(self, *args, **kwargs):
            if is_rule and not args and not kwargs:
                return _apply(target, (self,))
            try:
                return _call(target, (self, *args), kwargs)
            except TypeError as error:
                return retry(function, target, (self, *args), kwargs, error)

        method.__name__ = function.__name__
        method.__doc__ = f"As ``np.{function.__name__}``."
        return method

    def _plain(function):
        """The method for a function whose result is plain numbers."""

        def method(self, *args, **kwargs):
            return function(self, *args, **kwargs)

        method.__name__ = function.__name__
        method.__doc__ = f"As ``np.{function.__name__}``: plain numbers, which have no gradient."
        return method

    def _comparison(compare):
        return lambda self, other: compare(self.value, _raw(other))

    __add__, __radd__ = _binary("add")
    __sub__, __rsub__ = _binary("subtract")
    __mul__, __rmul__ = _binary("multiply")
    __truediv__, __rtruediv__ = _binary("divide")
    __pow__, __rpow__ = _binary("power")
    __mod__, __rmod__ = _binary("remainder")
    __floordiv__, __rfloordiv__ = _binary("floor_divide")
    __matmul__, __rmatmul__ = _binary("matmul")
    __neg__, __pos__, __abs__ = map(_method, (np.negative, np.positive, np.absolute))
    sum, mean, max, min, prod = map(_method, (np.sum, np.mean, np.max, np.min, np.prod))
    var, std, cumsum, trace = map(_method, (np.var, np.std, np.cumsum, np.trace))
    cumprod, ptp, round = map(_method, (np.cumprod, np.ptp, np.round))
    ravel, squeeze, swapaxes, diagonal = map(_method, (np.ravel, np.squeeze, np.swapaxes, np.diagonal))
    dot, clip, take, repeat = map(_method, (np.dot, np.clip, np.take, np.repeat))
    copy, flatten, conj, conjugate = map(_method, (np.copy, np.ravel, np.conjugate, np.conjugate))
    real, imag, mT = map(property, map(_method, (np.real, np.imag, np.matrix_transpose)))
    argmax, argmin, argsort, argpartition = map(_plain, (np.argmax, np.argmin, np.argsort, np.argpartition))
    nonzero, searchsorted, any, all = map(_plain, (np.nonzero, np.searchsorted, np.any, np.all))
    __lt__, __le__ = _comparison(operator.lt), _comparison(operator.le)
    __gt__, __ge__ = _comparison(operator.gt), _comparison(operator.ge)
    __eq__, __ne__ = _comparison(operator.eq), _comparison(operator.ne)
    __hash__ = object.__hash__  # nodes are dict keys by identity, though == compares values

    def reshape(self, *shape, **options):
        """As an array's: ``reshape(2, 3)`` or ``reshape((2, 3))``."""
        shape = shape[0] if len(shape) == 1 else shape
        return np.reshape(self, shape, **options) if options else _apply(RULES["reshape"], (self,), {"shape": shape})

    def transpose(self, *axes):
        """As an array's: all axes in reverse without arguments."""
        axes = axes[0] if len(axes) == 1 else axes
        return _apply(RULES["transpose"], (self,), {"axes": axes} if axes else {})

    def compress(self, condition, axis=None):
        """As ``np.compress``."""
        return np.compress(condition, self, axis)

    def choose(self, choices):
        """As ``np.choose``."""
        return np.choose(self, choices)

    def astype(self, dtype, **options):
        """In float32 or float64; integers, which have no gradient, come from ``node.value.astype(int)``."""
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise TypeError(f"Node.astype: a Node is float32 or float64, and {dtype} is neither; see node.value.astype")
        return _apply(RULES["astype"], (self,), {"dtype": dtype})

    def sort(self, *args, **kwargs):
        """Refused, as an array's sorts in place; ``np.sort`` returns a sorted Node."""
        raise TypeError("Node.sort: an array is sorted in place, but a Node's value may be what the graph needs; "
                        "np.sort(node) gives a sorted one")  # fmt: skip

    def relu(self):
        """max(0, z), eq. 12.3."""
        return _apply(RULES["relu"], (self,))

    def _getitem(self, index):  # node[index], see csrc/python/node.c
        return _apply(RULES["getitem"], (self,), {"index": index if isinstance(index, tuple) else (index,)})

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __reversed__(self):
        return iter(self[::-1])

    def __len__(self):
        if not self.value.ndim:
            raise TypeError("a Node that is a scalar has no length and cannot be iterated over")
        return len(self.value)

    def __divmod__(self, other):
        return np.divmod(self, other)

    def __rdivmod__(self, other):
        return np.divmod(other, self)

    def __bool__(self):
        return bool(self.value)

    def item(self):
        """The value of a scalar, or of any Node that holds just one number, as a Python float without a gradient.

        >>> nnc.Node(2.5).item()
        2.5
        """
        if self.value.size != 1:
            raise ValueError(f"item: the Node is {self.shape}, and only a scalar is one number; .value is its array")
        return self.value.item()

    def _refused(convert):
        """The method by which Python would convert the node to a number and lose its gradient."""

        def method(self, *args):
            raise _explain.number_of_a_node(convert)

        return method

    __float__, __int__, __complex__, __index__ = map(_refused, ("float", "int", "complex", "operator.index"))
    __round__, __trunc__, __floor__, __ceil__ = map(_refused, ("round", "math.trunc", "math.floor", "math.ceil"))

    def __format__(self, spec):
        return format(self.item(), spec) if spec else repr(self)

    def __repr__(self):
        name = f", name={self.name!r}" if self.name else ""
        value = np.array2string(np.asarray(self.value), separator=", ", prefix="Node(", threshold=50)
        return f"Node({value}, op={self.op!r}{name})"

    def __reduce__(self):
        if self._is_argument:
            raise TypeError("a copy of an argument of grad would not be in its graph, and get no gradient; a Node "
                            "need not be copied, since no operation changes it")  # fmt: skip
        _engine.check_unchanged((self,))
        state = self.value, self.grad, self.name
        known = RULES.get(self.op)
        if self.inputs and (known is None or known.vjps is not self._rule.vjps):  # of nnc.custom
            return _restore, (type(self), self._rule, self.inputs, self.params, *state)
        return _restore, (type(self), self.op, self.inputs, self.params, *state)

    # ---- NumPy's protocols ----------------------------------------------------------------------------------------

    def __array__(self, *args, **kwargs):
        raise _explain.array_of_a_node(softmax_of_scipy.patch())

    _ufuncs = UFUNCS

    def _array_ufunc(self, ufunc, method, *inputs, **kwargs):
        """What csrc/python/call.c does not handle of __array_ufunc__: keywords, and functions without a row."""
        if method == "reduce" and ufunc is np.logaddexp:
            return _call(RULES["logsumexp"], inputs, {"axis": 0} | kwargs)
        if method != "__call__" or "out" in kwargs:
            raise _explain.ufunc_of_nodes(ufunc, method)
        return _dispatch(ufunc, inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        rule = FUNCTIONS.get(function)
        if rule is None:
            return _dispatch(function, args, kwargs)
        try:
            return _call(rule, args, kwargs)
        except TypeError as error:
            return retry(function, rule, args, kwargs, error)

    # ---- backward -------------------------------------------------------------------------------------------------

    def backward(self, seed=None, create_graph=False):
        """Set ``.grad``, of this node and of every node before it, to the gradient of this node.

        Gradients are set and not accumulated, so running it twice doubles nothing. The graph may be of any depth.

        Parameters
        ----------
        seed : array_like, of the shape of this node, or a number, optional
            This node's own gradient, 1 by default for a scalar. ``L.backward(1 / r)`` is the mean of eq. 5.3.
        create_graph : bool
            The gradients are Nodes, so that they can be differentiated again.

        Raises
        ------
        ValueError
            If this node is not a scalar and there is no seed, or the seed has another shape.
        TypeError
            With `create_graph`, if an operation is not differentiable twice.
        RuntimeError
            If a leaf's value has been set since it was used, or an array that a gradient is computed from was written
            into: the gradient would mix old and new numbers. An array that no gradient reads may change, such as the W
            of a single layer W X + b.

        Examples
        --------
        >>> x = nnc.Node(2.0)
        >>> (x**3).backward(create_graph=True)
        >>> x.grad.backward()
        >>> x.grad  # 6 x
        np.float64(12.0)
        """
        if seed is None:
            if self.value.ndim:
                raise ValueError(f"backward: the node is {self.shape}, not a scalar: start from a scalar such as "
                                 "J.mean(), or give a seed of the node's shape")  # fmt: skip
            seed = _ONE[self.value.dtype.type]
        else:
            is_node = create_graph and isinstance(seed, Node)
            seed = seed if is_node else np.asarray(seed)
            if seed.dtype.kind not in "biuf":
                raise TypeError(f"backward: the seed is {seed.dtype}, but must be real numbers")
            if seed.ndim and seed.shape != self.shape:
                raise ValueError(f"backward: the seed is {seed.shape}, but must be of the node's shape {self.shape}")
            if is_node:
                seed = np.broadcast_to(seed, self.shape).astype(self.dtype)
            else:
                full = np.empty(self.shape, self.dtype)  # what np.full does, in a third of the time
                full[...] = seed
                seed = full
        if create_graph:
            return self._backward_graph(seed)
        _backward(ancestors(self), seed, keep=True)

    def _backward_graph(self, seed):
        nodes = ancestors(self)
        _engine.check_unchanged(nodes)
        gradients = backward_graph(nodes, {self: seed})
        for node in nodes:
            g = gradients.get(node)
            if g is None:
                g = np.zeros(node.shape, node.dtype)
            node.grad = g if isinstance(g, Node) else Node(g)

    def graph(self, **options):
        """The graph as a picture, a `nnc.display.drawing.Drawing`."""
        from ..display.drawing import Drawing

        return Drawing(self, **options)

    def steps(self, **options):
        """The backward pass, one node at a time: `nnc.display.steps.Steps`."""
        from ..display.steps import Steps

        return Steps(self, **options)


def _restore(cls, op, inputs, params, value, grad, name):
    """The Node of a copy or a pickle; operations of the table are stored by name."""
    if inputs:
        node = _apply(op if isinstance(op, Rule) else RULES[op], inputs, params)
        node._value = value  # to the last bit
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    else:
        node = cls.__new__(cls)
        node.value, node._rule = value, _LEAF
    node.grad, node.name = grad, name
    return node


def argument(x):
    """The Node for an argument of a function that is differentiated: it can be neither set nor copied.

    For a Node it is a new one, so that what else was computed from x is not taken for a part of the function.
    """
    node = +x if isinstance(x, Node) else Node(x)
    node._is_argument = True
    return node


# ---- dispatch --------------------------------------------------------------------------------------------------------


def _dispatch(function, args, kwargs):
    """The result of a function that NumPy has dispatched to Nodes, or the error that it is not supported."""
    if function in PLAIN:
        if kwargs:
            kwargs = {name: _raw(x) for name, x in kwargs.items()}
        return function(*map(_raw, args), **kwargs)
    if isinstance(function, np.ufunc) and "scipy.special" in sys.modules:
        from . import special  # noqa: F401  (adds its rows)
    rule = UFUNCS.get(function) or FUNCTIONS.get(function)  # a ufunc may be composed, too
    if rule:
        try:
            return _call(rule, args, kwargs)
        except TypeError as error:
            return retry(function, rule, args, kwargs, error)
    raise _explain.function_of_nodes(function, (*UFUNCS, *FUNCTIONS), REFUSED.get(function))


def _raw(x):
    return x.value if isinstance(x, Node) else x


# ---- backward --------------------------------------------------------------------------------------------------------


def ancestors(y):
    """y and all nodes that it was computed from, the latest first, so that each comes before its inputs."""
    return _engine.ancestors(y)


def pullback(y, seed, wrt=None, create_graph=False):
    """{node: gradient} for y and the nodes before it, when y's own gradient is `seed`.

    The seed may have batch axes in front of y's; all gradients then have them, too. With `wrt`, a node or several, only
    the nodes between y and them are visited. With `create_graph` the gradients are Nodes, or arrays where they are
    constant, and a node without a gradient is missing.
    """
    nodes = ancestors(y)
    if wrt is not None or create_graph:
        _engine.check_unchanged(nodes)  # which _backward does, of the nodes that it visits
    if wrt is not None:
        between = _between(nodes, (wrt,) if isinstance(wrt, Node) else wrt)
        nodes = tuple(node for node in nodes if node in between)
    if not nodes:
        return {}
    return backward_graph(nodes, {y: seed}) if create_graph else _backward(nodes, seed)


def _backward(nodes, seed, keep=False):
    """{node: gradient} for `nodes`, the first of which has `seed`; no other node gets one. With `keep`, the nodes'
    ``.grad`` are set instead.

    Each node in turn, after all nodes that it is an input of, asks its rule: its contribution to the gradient of its
    i-th input is ``vjps[i](g, node.value, *operands, **params)``, g being the node's own gradient. An input of several
    nodes gets the sum. The loop is csrc/python/backward.c, where it costs next to nothing.

    A gradient that is shared with another node, or a view of one, is copied before anything is added to it, and before
    it becomes a leaf's, since the caller owns the gradient of a leaf.
    """
    return _engine.backward(nodes, seed, seed.shape[: seed.ndim - nodes[0].value.ndim], _as_gradient_of, _sum, keep)


def _as_gradient_of(c, value, batch_shape):
    """c in the dtype and, behind the batch axes, the shape of the value whose gradient it is; 0 if c is None."""
    if c is None:
        return np.zeros(batch_shape + value.shape, value.dtype)
    if c.shape != value.shape:
        c = _unbroadcast(c, batch_shape + value.shape, len(batch_shape))
    return c if c.dtype is value.dtype else c.astype(value.dtype, copy=False)


def _sum(a, b, is_a_free, is_b_free):
    """a + b, in place in the one that is free; a large array on all cores."""
    if not is_a_free:
        if not is_b_free:
            return a + b
        a, b = b, a
    if a.size >= MANY:
        return _engine.add(a, b, out=a)
    a += b
    return a


def _between(nodes, wrt):
    """Those of the nodes that were computed from one of wrt, and wrt."""
    found = set(wrt)
    for node in reversed(nodes):
        if any(x in found for x in node.inputs if isinstance(x, Node)):
            found.add(node)
    return found


def _unbroadcast(c, shape, batch_ndim):
    """c summed over the axes that were broadcast; its first `batch_ndim` axes are not axes of the operand."""
    if c.ndim == 2 and shape == (len(c), 1):  # a bias, the most frequent case
        return np.add.reduce(c, 1, None, None, True)
    added = c.ndim - len(shape)
    if added:
        c = np.add.reduce(c, batch_ndim if added == 1 else tuple(range(batch_ndim, batch_ndim + added)))
        if c.shape == shape:
            return c
    stretched = ()
    for i, n in enumerate(c.shape):
        if n != shape[i]:
            stretched += (i,)
    return np.add.reduce(c, stretched, None, None, True) if stretched else c
