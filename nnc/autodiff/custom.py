"""Operations of one's own: a function and its gradient, derived by hand, as a row beside the table's."""

import inspect
from functools import wraps

import numpy as np

from .. import _engine
from .dispatch import is_node
from .operations import EachOperand, Rule


def custom(f, vjp, latex=None):
    r"""A function of arrays that Nodes go through as one operation, with the gradient that you derived for it.

    `nnc.gradcheck` holds the gradient against finite differences, `nnc.derive` and `.graph()` show the operation.

    Parameters
    ----------
    f : callable
        Of arrays; returns an array or a number, float32 or float64. Keyword arguments go on to f and vjp as they are.
    vjp : callable, or sequence of callables
        The vector-Jacobian product. With y = f(A, B) and g = ∂J/∂y, ``vjp(g, y, A, B)`` is ∂J/∂A, and if there are
        several arrays the tuple (∂J/∂A, ∂J/∂B); or a sequence with one such function for each array, ``vjps[0](g, y,
        A, B)`` being ∂J/∂A. None instead of a gradient, or of a function, says that there is none: labels, say. A
        gradient may have the shape that broadcasting gives; it is summed to the array's.
        For derivatives of second order it is called with Nodes, so write it with operators and NumPy functions.
    latex : str or sequence of str, optional
        The formula, with ``{0}``, ``{1}`` instead of the arrays; a sequence has the gradients' behind it, with
        ``{g}`` for the one that arrives and ``{out}`` for the result. Without it, the name of f.

    Returns
    -------
    callable
        f, which also takes Nodes.

    Raises
    ------
    TypeError
        When it is used: if vjp returns another number of gradients than there are arrays, or does not take Nodes and
        is to be differentiated.
    ValueError
        If a gradient's shape does not fit its array.

    Notes
    -----
    `Node.backward` raises where an array among the operands has changed since. An array that f and vjp use without
    being given it is not known to the graph: nobody sees that it changes.

    Examples
    --------
    >>> softplus = nnc.custom(lambda z: np.logaddexp(0, z), lambda g, y, z: g * nnc.sigmoid(z), r"\ln(1 + e^{{0}})")
    >>> softplus(0.0), nnc.grad(softplus)(0.0)
    (np.float64(0.6931471805599453), np.float64(0.5))
    >>> nnc.gradcheck(lambda z: softplus(z).sum(), [-1.0, 0.0, 3.0]).ok
    True
    """
    if not callable(f):
        raise TypeError(f"custom: f is a {type(f).__name__}, but must be a function of arrays")
    several = isinstance(vjp, (list, tuple))
    if not all(callable(v) or (several and v is None) for v in (vjp if several else (vjp,))):
        raise TypeError("custom: vjp must be a function (g, y, *arrays), or a sequence with one for each array")
    name = getattr(f, "__name__", "custom").replace("<lambda>", "custom")
    count = len(vjp) if several else _number_of_arrays(f)
    formulas = _formulas(name, count, latex)

    def vjp_of(i):
        return _checked(name, i, vjp[i] if several else lambda *args, **params: _part(name, i, vjp, args, params))

    vjps = tuple(v and vjp_of(i) for i, v in enumerate(vjp)) if several else EachOperand(vjp_of)
    constants = tuple(i for i, v in enumerate(vjp) if v is None) if several else ()
    rule = Rule(name, _forward(f), None, formulas[0], vjps, vjps, formulas[1:], (), None, constants)

    @wraps(f)
    def call(*arrays, **params):
        return _engine.apply(rule, arrays, params) if is_node(*arrays) else f(*arrays, **params)

    return call


def _number_of_arrays(f):
    """As far as the function tells."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):  # of one written in C
        return getattr(f, "nin", 1)
    return len([p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]) or 1


def _formulas(name, count, latex):
    """LaTeX of the operation, and of its gradients."""
    plain = rf"\mathrm{{{name.replace('_', '-')}}}"
    arrays = ", ".join(f"{{{i}}}" for i in range(count))
    given = (latex,) if isinstance(latex, str) else tuple(latex or ())
    default = [f"{plain}({arrays})"] + [rf"{{g}} \cdot \partial_{{{i + 1}}} {plain}({arrays})" for i in range(count)]
    if count == 1:
        default[1] = rf"{{g}} \cdot {plain}'({arrays})"
    return given + tuple(default[len(given) :])


def _forward(f):
    def forward(*arrays, **params):
        y = np.asarray(f(*arrays, **params))
        if any(isinstance(x, np.ndarray) and np.may_share_memory(x, y) for x in arrays):
            y = y.copy()  # a result is a Node's own
        return y[()]

    return forward


def _part(name, i, vjp, args, params):
    """The i-th gradient of a function that returns all."""
    n, gradients = len(args) - 2, vjp(*args, **params)
    if n == 1 and not isinstance(gradients, (list, tuple)):
        return gradients
    if not isinstance(gradients, (list, tuple)) or len(gradients) != n:
        got = f"{len(gradients)} gradients" if isinstance(gradients, (list, tuple)) else "one gradient"
        raise TypeError(f"{name}: its vjp returns {got}, but it has {n} arrays: return a tuple with one for each, or "
                        "None where there is none")  # fmt: skip
    return gradients[i]


def _checked(name, i, vjp):
    """The vjp as the table's are: of many gradients at once, and never an operand itself."""

    def one(g, y, *arrays, **params):
        c = vjp(g, y, *arrays, **params)
        if c is None or is_node(c):
            return c
        c = np.asarray(c)
        if not c.ndim:
            return c[()]
        return c.view() if any(c is x for x in (y, *arrays)) else c

    def checked(g, y, *arrays, **params):
        x = arrays[i]
        try:
            batch = g.shape[: g.ndim - y.ndim]
            if not batch:
                c, shape = one(g, y, *arrays, **params), np.shape(x)
            else:  # one by one, as it is written for one
                rows = g.reshape((-1, *y.shape))
                c = [one(row, y, *arrays, **params) for row in rows]
                if not c or c[0] is None:
                    return None if c else np.zeros(batch + np.shape(x), g.dtype)
                c = np.stack(c)
                c, shape = c.reshape(batch + c.shape[1:]), batch + np.shape(x)
        except TypeError as error:
            if not is_node(g, y):
                raise
            raise TypeError(f"{name} is not differentiable twice, as its vjp does not take Nodes: {error}") from error
        if c is not None and not _fits(np.shape(c), shape):
            raise ValueError(f"{name}: its vjp returns {np.shape(c)} for array {i + 1}, which is {shape}")
        return c

    return checked


def _fits(shape, wanted):
    """Whether summing over what broadcasting repeated makes the one of the other."""
    try:
        return np.broadcast_shapes(shape, wanted) == shape
    except ValueError:
        return False
