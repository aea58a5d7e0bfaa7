"""Custom operations: a function and its gradient, derived by hand, as a rule like those of the table."""

import inspect
from functools import wraps

import numpy as np

from .. import _engine
from .dispatch import is_node
from .operations import EachOperand, Rule


def custom(f, vjp, latex=None):
    r"""Make a function of arrays one operation of the graph, with the gradient that you derived for it.

    `nnc.gradcheck` compares the gradient with finite differences, `nnc.derive` and `.graph()` show the operation.

    Parameters
    ----------
    f : callable
        Of arrays; returns an array or a number, float32 or float64. f and vjp get keyword arguments as they are.
    vjp : callable, or sequence of callables
        The vector-Jacobian product. With y = f(A, B) and g = ∂J/∂y, ``vjp(g, y, A, B)`` is the tuple (∂J/∂A, ∂J/∂B);
        of a single array, ∂J/∂A itself. Or a sequence with one function for each array, of which ``vjps[0](g, y, A,
        B)`` is ∂J/∂A. None in place of a gradient or a function means that the array has no gradient: labels, say.
        A gradient may have the broadcast shape; it is summed to the array's.
        For derivatives of second order it is called with Nodes, so write it with operators and NumPy functions.
    latex : str or sequence of str, optional
        The formula, with ``{0}``, ``{1}`` for the arrays; in a sequence the gradients' formulas follow, with ``{g}``
        for the gradient that arrives and ``{out}`` for the result. By default the name of f.

    Returns
    -------
    callable
        f, which also takes Nodes.

    Raises
    ------
    TypeError
        When it is used: if vjp does not return one gradient for each array, or is differentiated and does not take
        Nodes.
    ValueError
        If a gradient's shape does not fit its array.

    Notes
    -----
    `Node.backward` raises an error if an array among the operands has changed since. The graph does not know of arrays
    that f and vjp use without taking them as arguments, and does not notice when they change.

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
        return _checked(name, i, vjp[i] if several else lambda *args, **params: _select(name, i, vjp, args, params))

    vjps = tuple(v and vjp_of(i) for i, v in enumerate(vjp)) if several else EachOperand(vjp_of)
    constants = tuple(i for i, v in enumerate(vjp) if v is None) if several else ()
    rule = Rule(name, _forward(f), None, formulas[0], vjps, vjps, formulas[1:], (), None, constants)

    @wraps(f)
    def call(*arrays, **params):
        return _engine.apply(rule, arrays, params) if is_node(*arrays) else f(*arrays, **params)

    return call


def _number_of_arrays(f):
    """By f's signature, or as a ufunc's `nin`; else 1."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):  # of a function written in C
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
            y = y.copy()  # not a view of an operand
        return y[()]

    return forward


def _select(name, i, vjp, args, params):
    """The i-th gradient of a function that returns all."""
    n, gradients = len(args) - 2, vjp(*args, **params)
    if n == 1 and not isinstance(gradients, (list, tuple)):
        return gradients
    if not isinstance(gradients, (list, tuple)) or len(gradients) != n:
        got = f"{len(gradients)} gradients" if isinstance(gradients, (list, tuple)) else "one gradient"
        raise TypeError(f"{name}: its vjp returns {got}, but it has {n} arrays: return a tuple with one for each, or "
                        "None for an array without a gradient")  # fmt: skip
    return gradients[i]


def _checked(name, i, vjp):
    """The vjp by the table's rules: g may have batch axes, and the result is never an operand itself."""

    def single(g, y, *arrays, **params):
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
                c, shape = single(g, y, *arrays, **params), np.shape(x)
            else:  # one gradient at a time, since the user's vjp has no batch axes
                rows = g.reshape((-1, *y.shape))
                c = [single(row, y, *arrays, **params) for row in rows]
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
    """Whether summing over broadcast axes takes an array from this shape to the wanted one."""
    try:
        return np.broadcast_shapes(shape, wanted) == shape
    except ValueError:
        return False
