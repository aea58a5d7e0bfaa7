r"""The table of operations: how each is computed, how its gradient flows back, and how both are written in LaTeX.

`nnc.graph` is the mechanism and knows no mathematics; here is the mathematics, and no mechanism. A new operation is one
row of the table (and one row of examples in tests/test_graph.py, which holds every row against finite differences).

A row is ``row(name, functions, latex, (vjp, latex), ...)`` with one *vector-Jacobian product* for each array that goes
in. With C = op(A, B) and g = dJ/dC, the gradient that arrives, ``vjp(g, C, A, B)`` is dJ/dA. Three rules hold:

- g may have further axes **in front** of C's own, one entry for each of many gradients that flow back at once (so that
  `nnc.jacobian` needs one pass and not one for each row). So axes are counted from the end.
- Broadcasting is undone by the caller: the vjps of A + b are g and g.
- A vjp returns a new array, or g or a view of it, never A, B or C themselves.

In the LaTeX, {g} is the gradient that arrives, {out} the result, {0}, {1} ... the operands, {r} how many numbers a mean
is over; `write` puts them in. ``None`` in the place of a vjp says that this operand is a constant: labels, a slope.
"""

import operator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count

import numpy as np

try:
    from . import _engine
except ImportError:  # the extension is not built
    from . import reference as _engine


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table; see the top of this file."""

    name: str
    forward: object  # a function of arrays
    latex: str
    vjps: object  # an iterable of functions, one for each array that goes in
    vjps_latex: tuple
    params: tuple  # the further arguments, in NumPy's order: axes, shapes ...
    arity: int | None  # how many arrays go in; None: any number


RULES = {}  # name -> Rule
UFUNCS = {}  # NumPy's or nnc's ufunc -> Rule
FUNCTIONS = {}  # NumPy's other functions -> Rule, or a function that says it in terms of other operations


def row(name, functions, latex, *vjps, params="", forward=None):
    """Enter an operation. It stands for each of `functions`, which compute it themselves unless `forward` is given."""
    functions = functions if isinstance(functions, tuple) else (functions,)
    calls = tuple(vjp and vjp[0] for vjp in vjps)
    texts = tuple(vjp and vjp[1] for vjp in vjps)
    each = isinstance(calls[0], EachOperand)
    rule = Rule(name, forward or functions[0], latex, calls[0] if each else calls, texts, tuple(params.split()),
                None if each else len(calls))  # fmt: skip
    RULES[name] = rule
    for function in functions:
        table = UFUNCS if isinstance(function, np.ufunc) else FUNCTIONS
        table[function] = replace(rule, forward=forward or function)


class EachOperand:
    """The vjps of an operation on any number of arrays: vjp(i, g, C, *arrays) for the i-th."""

    def __init__(self, vjp):
        self.vjp = vjp

    def __iter__(self):
        return (partial(self.vjp, i) for i in count())


def write(latex, operands=(), out="", g="", r=""):
    r"""A row's LaTeX with names in it.

    >>> write(RULES["matmul"].vjps_latex[0], ["W", "X"], g="dZ")
    'dZ\\,X^T'
    """
    for key, text in [("g", g), ("out", out), ("r", str(r)), *enumerate(operands)]:
        latex = latex.replace("{%s}" % key, text)
    return latex


# ---- what several rows share --------------------------------------------------------------------------------------------


def spread(g, A, axis=None, keepdims=False):
    """Undo the shape of a reduction: every number of A gets the entry of g that it went into."""
    axes = range(A.ndim) if axis is None else [a % A.ndim for a in (axis if isinstance(axis, tuple) else (axis,))]
    kept = tuple([1 if i in axes else n for i, n in enumerate(A.shape)])
    lead = g.shape[: g.ndim - (A.ndim if keepdims else A.ndim - len(axes))]
    g, shape = g.reshape(lead + kept), lead + A.shape
    if A.size > 4096:
        return np.broadcast_to(g, shape)  # costs no memory, but 3 microseconds
    out = np.empty(shape, g.dtype)
    out[...] = g
    return out


def share(g, A, B):
    """The part of g that goes to A in max(A, B): all where A is greater, half at a tie."""
    c = np.where(A >= B, g, 0)
    tie = A == B
    return np.where(tie, c / 2, c) if tie.any() else c


def share_among(g, C, A, axis=None, keepdims=False):
    """g goes to the greatest (least) numbers of A, in equal parts where there are several."""
    top = A == spread(C, A, axis, keepdims)
    number = np.maximum(np.add.reduce(top, axis, keepdims=True), 1).astype(A.dtype)
    return np.where(top, spread(g, A, axis, keepdims) / number, 0)


def reshape_back(g, C, A, **params):
    return g.reshape(g.shape[: g.ndim - C.ndim] + A.shape)


def move_back(move):
    """For functions that put axes in another order."""

    def vjp(g, C, A, **params):
        order = move(np.empty(range(A.ndim)), **params).shape  # where each axis came from: axis i is of length i
        lead = g.ndim - A.ndim
        return g.transpose(*range(lead), *[lead + i for i in sorted(range(A.ndim), key=order.__getitem__)])

    return vjp


def take_back(take):
    """For functions that pick numbers: g goes back to where they came from, and adds up where one was picked twice."""

    def vjp(g, C, A, **params):
        places = take(np.arange(A.size).reshape(A.shape), **params)
        lead = g.shape[: g.ndim - C.ndim]
        out = np.zeros(lead + (A.size,), g.dtype)
        np.add.at(out, (..., places.ravel()), g.reshape(lead + (places.size,)))
        return out.reshape(lead + A.shape)

    return vjp


def getitem(A, index):
    return A[index]


def getitem_back(g, C, A, index):
    if not all(i is None or i is Ellipsis or isinstance(i, (int, np.integer, slice)) for i in index):
        return take_back(getitem)(g, C, A, index=index)
    lead = g.shape[: g.ndim - C.ndim]
    out = np.zeros(lead + A.shape, g.dtype)  # plain slices pick nothing twice
    out[(slice(None),) * len(lead) + index] = g
    return out


def matrices(g, A, B):
    """g and the operands of a product with the axes that a vector lacks: a 1-D A is a row, a 1-D B a column."""
    if B.ndim == 1:
        g, B = g[..., None], B[:, None]
    if A.ndim == 1:
        g, A = g[..., None, :], A[None]
    return g, A, B


def matmul_left(g, C, A, B):
    """dA = dC Bᵀ (eq. 11.5)."""
    dC, _, matrix = matrices(g, A, B)
    dA = _engine.matmul(dC, matrix.swapaxes(-1, -2))
    return dA[..., 0, :] if A.ndim == 1 else dA


def matmul_right(g, C, A, B):
    """dB = Aᵀ dC."""
    dC, matrix, _ = matrices(g, A, B)
    dB = _engine.matmul(matrix.swapaxes(-1, -2), dC)
    return dB[..., 0] if B.ndim == 1 else dB


def power_base(g, C, A, B):
    """g B A^(B-1), and 0 where B = 0, also where A = 0."""
    if np.ndim(B) == 0:
        return g * (B * A ** (B - 1)) if B else np.zeros_like(g * A)
    return g * (B * A ** np.where(B == 0, 1, B - 1))


def power_exponent(g, C, A, B):
    """g A^B ln A, and 0 where A = 0."""
    return g * (C * np.log(np.where(A == 0, 1, A)))


def cross_entropy_back(g, L, P, y):
    return (_engine.cross_entropy_backward if y.ndim == 1 else _engine.cross_entropy_targets_backward)(g, P, y)


def softmax_cross_entropy_back(g, L, Z, y):
    """dZ = (P - Y) dL (eq. 10.1), from Z: the softmax is computed again, which is cheaper than to keep it."""
    if y.ndim == 1:
        return _engine.softmax_cross_entropy_backward(g, Z, y)
    return _engine.softmax_cross_entropy_targets_backward(g, Z, y)


def log_softmax_back(g, C, Z, axis=0):
    return g - np.exp(C) * np.add.reduce(g, _from_end(axis, Z), keepdims=True)


def _from_end(axis, A):
    return axis if axis < 0 else axis - A.ndim


def prod_back(g, C, A, axis=None, keepdims=False):
    """Each number gets the product of all others, without a division: numbers may be 0."""
    axes = range(A.ndim) if axis is None else [a % A.ndim for a in (axis if isinstance(axis, tuple) else (axis,))]
    rest = [i for i in range(A.ndim) if i not in axes]
    line = A.transpose(*rest, *axes)
    others = np.ones_like(line.reshape([A.shape[i] for i in rest] + [-1]))
    flat = line.reshape(others.shape)
    others[..., 1:] = np.cumprod(flat[..., :-1], axis=-1)
    others[..., :-1] *= np.cumprod(flat[..., :0:-1], axis=-1)[..., ::-1]
    back = sorted(range(A.ndim), key=[*rest, *axes].__getitem__)
    return spread(g, A, axis, keepdims) * others.reshape(line.shape).transpose(back)


def cumsum_back(g, C, A, axis=None):
    """Each number went into every sum from its own place on."""
    axis = -1 if axis is None else _from_end(axis, A)
    return reshape_back(np.flip(np.cumsum(np.flip(g, axis), axis), axis), C, A)


def concatenate_back(i, g, C, *arrays, axis=0):
    axis = _from_end(axis, C)
    start = sum(A.shape[axis] for A in arrays[:i])
    return np.moveaxis(np.moveaxis(g, axis, 0)[start : start + arrays[i].shape[axis]], 0, axis)


def stack_back(i, g, C, *arrays, axis=0):
    return g.take(i, _from_end(axis, C))


def mean(A, axis=None, keepdims=False):
    total = np.add.reduce(A, axis, keepdims=keepdims)
    return total / (A.size / max(total.size, 1))


def mean_back(g, C, A, axis=None, keepdims=False):
    return spread(g / (A.size / max(C.size, 1)), A, axis, keepdims)


# ---- the table: arithmetic ----------------------------------------------------------------------------------------------
# row(name, functions, LaTeX,
#     (vjp(g, C, A, B) of the first operand, LaTeX), (of the second, LaTeX))

row("add", np.add, "{0} + {1}",
    (lambda g, C, A, B: g, "{g}"), (lambda g, C, A, B: g, "{g}"), forward=operator.add)
row("subtract", np.subtract, "{0} - {1}",
    (lambda g, C, A, B: g, "{g}"), (lambda g, C, A, B: -g, "-{g}"), forward=operator.sub)
row("multiply", np.multiply, r"{0} \circ {1}",
    (lambda g, C, A, B: g * B, r"{g} \circ {1}"), (lambda g, C, A, B: g * A, r"{g} \circ {0}"), forward=operator.mul)
row("divide", np.divide, r"\frac{{0}}{{1}}",
    (lambda g, C, A, B: g / B, r"\frac{{g}}{{1}}"),
    (lambda g, C, A, B: g * -C / B, r"-{g} \circ \frac{{out}}{{1}}"), forward=operator.truediv)
row("power", np.power, "{0}^{{1}}",
    (power_base, r"{g} \circ {1}\,{0}^{{1}-1}"), (power_exponent, r"{g} \circ {out} \circ \ln {0}"),
    forward=operator.pow)
row("negative", np.negative, "-{0}", (lambda g, C, A: -g, "-{g}"))
row("positive", np.positive, "{0}", (lambda g, C, A: g, "{g}"))

# ---- products of matrices, the layers ---------------------------------------------------------------------------------

row("matmul", (_engine.matmul, np.matmul), r"{0}\,{1}",
    (matmul_left, r"{g}\,{1}^T"), (matmul_right, r"{0}^T\,{g}"), forward=_engine.matmul)
row("add_bias", _engine.add_bias, "{0} + {1}",
    (lambda g, C, Z, b: g, "{g}"), (lambda g, C, Z, b: _engine.add_bias_backward(g), r"{g}\,\mathbf{1}"))
row("linear", _engine.linear, r"{0}\,{1} + {2}",
    (lambda g, Z, W, X, b: matmul_left(g, Z, W, X), r"{g}\,{1}^T"),
    (lambda g, Z, W, X, b: matmul_right(g, Z, W, X), r"{0}^T\,{g}"),
    (lambda g, Z, W, X, b: _engine.add_bias_backward(g), r"{g}\,\mathbf{1}"))

# ---- activations, softmax, losses -------------------------------------------------------------------------------------

row("relu", _engine.relu, r"\mathrm{relu}({0})",
    (lambda g, A, Z: _engine.relu_backward(g, A), r"{g} \circ \delta_{{0}>0}"))
row("leaky_relu", _engine.leaky_relu, r"\mathrm{leaky}({0})",
    (lambda g, A, Z, slope: _engine.leaky_relu_backward(g, A, slope), r"{g} \circ \mathrm{leaky}'({0})"), None)
row("sigmoid", _engine.sigmoid, r"\sigma({0})",
    (lambda g, A, Z: _engine.sigmoid_backward(g, A), r"{g} \circ {out} \circ (1 - {out})"))
row("tanh", (_engine.tanh, np.tanh), r"\tanh({0})",
    (lambda g, A, Z: _engine.tanh_backward(g, A), r"{g} \circ (1 - {out}^2)"))
row("softmax", _engine.softmax, r"\mathrm{softmax}({0})",
    (lambda g, P, Z, axis=0: _engine.softmax_backward(g, P, axis=_from_end(axis, Z)),
     r"{out} \circ ({g} - \sum_k {g}_k {out}_k)"), params="axis")
row("log_softmax", _engine.log_softmax, r"\ln\,\mathrm{softmax}({0})",
    (log_softmax_back, r"{g} - \mathrm{softmax}({0}) \circ \sum_k {g}_k"), params="axis")
row("cross_entropy", _engine.cross_entropy, r"-\sum_k {1}_k \ln {0}_k",
    (cross_entropy_back, r"-{g} \circ \frac{{1}}{{0}}"), None)
row("softmax_cross_entropy", _engine.softmax_cross_entropy, r"-\sum_k {1}_k \ln\,\mathrm{softmax}({0})_k",
    (softmax_cross_entropy_back, r"(\mathrm{softmax}({0}) - {1}) \circ {g}"), None)

# ---- elementwise ------------------------------------------------------------------------------------------------------

row("exp", np.exp, "e^{{0}}", (lambda g, C, A: g * C, r"{g} \circ {out}"))
row("log", np.log, r"\ln {0}", (lambda g, C, A: g / A, r"\frac{{g}}{{0}}"))
row("sqrt", np.sqrt, r"\sqrt{{0}}", (lambda g, C, A: g / (2 * C), r"\frac{{g}}{2\,{out}}"))
row("square", np.square, "{0}^2", (lambda g, C, A: g * (2 * A), r"{g} \circ 2\,{0}"))
row("absolute", np.absolute, "|{0}|", (lambda g, C, A: g * np.sign(A), r"{g} \circ \mathrm{sign}({0})"))
row("maximum", np.maximum, r"\max({0}, {1})",
    (lambda g, C, A, B: share(g, A, B), r"{g} \circ \delta_{{0}>{1}}"),
    (lambda g, C, A, B: share(g, B, A), r"{g} \circ \delta_{{1}>{0}}"))
row("minimum", np.minimum, r"\min({0}, {1})",
    (lambda g, C, A, B: share(g, B, A), r"{g} \circ \delta_{{0}<{1}}"),
    (lambda g, C, A, B: share(g, A, B), r"{g} \circ \delta_{{1}<{0}}"))

# ---- sums, means ------------------------------------------------------------------------------------------------------

row("sum", np.sum, r"\sum {0}",
    (lambda g, C, A, axis=None, keepdims=False: spread(g, A, axis, keepdims), r"{g}\,\mathbf{1}"),
    params="axis dtype out keepdims", forward=lambda A, axis=None, keepdims=False: np.add.reduce(A, axis, keepdims=keepdims))
row("mean", np.mean, r"\frac{1}{{r}} \sum {0}", (mean_back, r"\frac{1}{{r}}\,{g}\,\mathbf{1}"),
    params="axis dtype out keepdims", forward=mean)
row("max", np.max, r"\max {0}", (share_among, r"{g}\,\delta_{{0}=\max {0}}"),
    params="axis out keepdims", forward=lambda A, axis=None, keepdims=False: np.maximum.reduce(A, axis, keepdims=keepdims))
row("min", np.min, r"\min {0}", (share_among, r"{g}\,\delta_{{0}=\min {0}}"),
    params="axis out keepdims", forward=lambda A, axis=None, keepdims=False: np.minimum.reduce(A, axis, keepdims=keepdims))

# ---- shapes -----------------------------------------------------------------------------------------------------------

row("getitem", getitem, "{0}[i]", (getitem_back, "{g}"), params="index")
row("reshape", np.reshape, r"\mathrm{reshape}({0})", (reshape_back, r"\mathrm{reshape}({g})"),
    params="shape", forward=lambda A, shape: A.reshape(shape))
row("transpose", np.transpose, "{0}^T", (move_back(np.transpose), "{g}^T"), params="axes")
row("concatenate", np.concatenate, r"[{0}, \ldots]", (EachOperand(concatenate_back), r"{g}[i]"),
    params="axis", forward=lambda *arrays, axis=0: np.concatenate(arrays, axis))
row("stack", np.stack, r"[{0}, \ldots]", (EachOperand(stack_back), r"{g}[i]"),
    params="axis", forward=lambda *arrays, axis=0: np.stack(arrays, axis))
