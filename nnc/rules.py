r"""The table of operations: how each is computed, how its gradient flows back, and how both are written in LaTeX.

`nnc.graph` is the mechanism and knows no mathematics; here is the mathematics, and no mechanism. A new operation is one
row of the table (and a row of examples in tests/test_graph.py, where every row is held against finite differences).

A row is ``row(name, functions, latex, (vjp, latex), ...)`` with one *vector-Jacobian product* for each array that goes
in. With C = op(A, B) and g = dJ/dC, the gradient that arrives, ``vjp(g, C, A, B)`` is dJ/dA. Three rules hold:

- g may have further axes **in front** of C's own, one entry for each of many gradients that flow back at once (so that
  `nnc.jacobian` needs one pass and not one for each row). So axes are counted from the end.
- Broadcasting is undone by the caller: the vjps of A + b are g and g.
- A vjp returns a new array, or g or a view of it, never A, B or C themselves.

In the LaTeX, {g} is the gradient that arrives, {out} the result, {0}, {1} ... the operands, {shape0} the shape of
one, {ones0} as many ones, and {r} how many numbers go into one; `write` puts them in. ``None`` in the place of a vjp
says that this operand is a constant: labels, a slope.
"""

import math
import operator
import re
from dataclasses import dataclass, replace
from functools import partial
from itertools import count

import numpy as np

from . import _direct, _engine, functional


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table; see the top of this file."""

    name: str
    forward: object  # a function of arrays
    latex: str
    vjps: object  # vjps[i] is that of the i-th array that goes in
    vjps_latex: tuple
    params: tuple  # the arguments after the arrays, in NumPy's order; "-" is one that Nodes cannot have
    takes: object  # NumPy's arguments -> (arrays, params), for functions of any number of arrays
    constants: tuple  # the places of the operands that cannot be Nodes


LN2, LN10 = math.log(2), math.log(10)
MANY = 1 << 17  # numbers from which the engine's elementwise kernels use all cores; NumPy's have one

RULES = {}  # name -> Rule
UFUNCS = {}  # NumPy's or nnc's ufunc -> Rule
FUNCTIONS = {}  # NumPy's other functions -> Rule, or a function made of other operations
PLAIN = {  # functions of Nodes whose result is no Node, but plain numbers
    np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal,
    np.isnan, np.isinf, np.isfinite, np.signbit, np.logical_and, np.logical_or, np.logical_not,
    np.shape, np.ndim, np.size, np.argmax, np.argmin, np.argsort, np.allclose, np.isclose, np.array_equal,
    np.zeros_like, np.ones_like, np.full_like, np.empty_like, np.count_nonzero,
}  # fmt: skip


def row(name, functions, latex, *vjps, params="", forward=None, takes=None):
    """Enter an operation. It stands for each of `functions`, which compute it themselves unless `forward` is given."""
    functions = functions if isinstance(functions, tuple) else (functions,)
    calls, texts = tuple(vjp and vjp[0] for vjp in vjps), tuple(vjp and vjp[1] for vjp in vjps)
    constants = tuple(i for i, call in enumerate(calls) if call is None)
    calls = calls[0] if takes else calls  # of any number of arrays one entry tells all
    forwards = [forward or _direct.OF.get(function, function) for function in functions]
    RULES[name] = Rule(name, forwards[0], latex, calls, texts, tuple(params.split()), takes, constants)
    for function, forward in zip(functions, forwards, strict=True):
        table = UFUNCS if isinstance(function, np.ufunc) else FUNCTIONS
        table[function] = replace(RULES[name], forward=forward)


class EachOperand(dict):
    """The vjps of an operation on any number of arrays: vjp(i, g, C, *arrays) for the i-th, made when it is needed."""

    def __init__(self, vjp):
        self.vjp = vjp

    def __missing__(self, i):
        self[i] = partial(self.vjp, i)
        return self[i]

    def __iter__(self):
        return map(self.__getitem__, count())


_KEY = re.compile(r"\{(\w+)\}")
_PART = re.compile(r"[_^]\{(?:[^{}]|\{\w+\})*\}|\{(?P<key>\w+)\}(?=(?P<mark>[_^]?))")  # a script, or a key


def write(latex, names, factors):
    r"""A row's LaTeX with the parts of one formula in it: `names` in superscripts and subscripts, else `factors`.

    >>> write("{g} {1}^T + e^{{1}}", {"1": "W^2"}, {"g": "dZ", "1": r"W^2_{3\\times 4}"})
    'dZ (W^2_{3\\\\times 4})^T + e^{W^2}'
    """

    def part(match):
        if match["key"] is None:
            return _KEY.sub(lambda braces: {**factors, **names}.get(braces[1], braces[0]), match[0])
        text = factors.get(match["key"])
        if text is None:
            return match[0]  # what stands in braces is LaTeX's own
        return f"({text})" if match["mark"] and not text.isalnum() and text[0] != "(" else text

    return _PART.sub(part, latex)


# ---- what several rows share ----------------------------------------------------------------------------------------


def _axes(axis, A):
    """The axes of a reduction as a list of numbers from 0 on; NumPy lets one say axis=0 and -1 of a number, too."""
    if axis is None or not A.ndim:
        return list(range(A.ndim))
    return [a % A.ndim for a in axis] if isinstance(axis, tuple) else [axis % A.ndim]


def _from_end(axis, A):
    return axis if axis < 0 else axis - A.ndim


def _leading(g, C):
    """The shape of the axes that g has in front of C's."""
    return g.shape[: g.ndim - C.ndim]


def times(g, A, s=1):
    """s g A, s a number. What a sum or a mean passes back is the same number everywhere, and is taken as that one."""
    if g.size < MANY or type(A) is not np.ndarray or g.shape != A.shape or g.dtype != A.dtype:
        return g * A if s == 1 else g * (s * A)
    if not any(g.strides):
        return _engine.scale(A, s * g.flat[0])
    c = _engine.multiply(g, A)
    return c if s == 1 else _engine.scale(c, s, out=c)


def plus(A, B):
    """A + B."""
    if A.size < MANY or type(B) is not np.ndarray or A.shape != B.shape or A.dtype != B.dtype:
        return A + B
    return _engine.add(A, B)


def power(A, B):
    """A^B."""
    return times(A, A) if isinstance(B, (int, float)) and B == 2 else A**B


def chosen(g, mask):
    """g where the mask is true, else 0. np.where is many times slower if true and false change in no regular way."""
    return _engine.relu_backward(np.asarray(g, order="C"), np.asarray(mask, g.dtype))


def spread(g, A, axis=None, keepdims=False):
    """Undo the shape of a reduction: every number of A gets the entry of g that it went into."""
    shape = A.shape
    if g.ndim:  # a number goes everywhere by itself
        kept = list(g.shape)
        if not keepdims:
            axes = _axes(axis, A)
            lead = g.ndim + len(axes) - A.ndim
            for a in sorted(axes):
                kept.insert(lead + a, 1)
            g = g.reshape(kept)
        shape = (*kept[: len(kept) - A.ndim], *shape)
    if A.size > 4096:
        return np.broadcast_to(g, shape)  # costs no memory, but 3 microseconds
    out = np.empty(shape, g.dtype)
    out[...] = g
    return out


def share(g, A, B):
    """The part of g that goes to A in max(A, B): all where A is greater, half at a tie."""
    c = chosen(g, A >= B)
    tie = A == B
    return np.where(tie, c / 2, c) if tie.any() else c


def share_among(g, C, A, axis=None, keepdims=False):
    """g goes to the greatest (least) numbers of A, in equal parts where there are several."""
    top = A == spread(C, A, axis, keepdims)
    number = np.maximum(np.add.reduce(top, axis, keepdims=True), 1).astype(A.dtype)
    return chosen(spread(g, A, axis, keepdims) / number, top)


def reduction(ufunc):
    """ufunc.reduce over all axes unless told otherwise: np.sum and the like without their 3 microseconds."""
    reduce = ufunc.reduce
    return lambda A, axis=None, keepdims=False: reduce(A, axis, None, None, keepdims)


def mean(A, axis=None, keepdims=False):
    if axis is not None and not A.ndim:
        raise np.exceptions.AxisError(axis, 0)  # as np.mean does, though np.sum does not
    total = np.add.reduce(A, axis, None, None, keepdims)
    return total / (A.size / (total.size or 1))


def mean_back(g, C, A, axis=None, keepdims=False):
    return spread(g / (A.size / (C.size or 1)), A, axis, keepdims)


def prod_back(g, C, A, axis=None, keepdims=False):
    """Each number gets the product of all others, without a division: numbers may be 0."""
    axes = _axes(axis, A)
    order = [i for i in range(A.ndim) if i not in axes] + axes
    line = A.transpose(order)
    flat = line.reshape(line.shape[: A.ndim - len(axes)] + (-1,))
    others = np.ones_like(flat)
    others[..., 1:] = np.cumprod(flat[..., :-1], axis=-1)
    others[..., :-1] *= np.cumprod(flat[..., :0:-1], axis=-1)[..., ::-1]
    others = others.reshape(line.shape).transpose(sorted(range(A.ndim), key=order.__getitem__))
    return spread(g, A, axis, keepdims) * others


def cumsum_back(g, C, A, axis=None):
    """Each number went into every sum from its own place on."""
    axis = -1 if axis is None else _from_end(axis, A)
    return reshape_back(np.flip(np.cumsum(np.flip(g, axis), axis), axis), C, A)


def reshape_back(g, C, A, **params):
    return g.reshape(_leading(g, C) + A.shape)


def move_back(move):
    """For functions that put axes in another order."""

    def vjp(g, C, A, **params):
        if A.ndim == 2 and not params:
            return g.swapaxes(-1, -2)
        order = move(np.empty(range(A.ndim)), **params).shape  # where each axis came from, as axis i is of length i
        lead = g.ndim - A.ndim
        return g.transpose(*range(lead), *[lead + i for i in sorted(range(A.ndim), key=order.__getitem__)])

    return vjp


def take_back(take):
    """For functions that pick numbers: g goes back to where they came from, and adds up where one was picked twice."""

    def vjp(g, C, A, **params):
        places = take(np.arange(A.size).reshape(A.shape), **params)
        lead = _leading(g, C)
        out = np.zeros(lead + A.shape, g.dtype)
        np.add.at(out.reshape(lead + (A.size,)), (..., places.ravel()), g.reshape(lead + (places.size,)))
        return out

    return vjp


def getitem(A, index):
    return A[index]


PICKS_NOTHING_TWICE = {int, slice, type(None), type(Ellipsis), np.int64}


def getitem_back(g, C, A, index):
    if not PICKS_NOTHING_TWICE.issuperset(map(type, index)):
        return take_back(getitem)(g, C, A, index=index)
    lead = _leading(g, C)
    out = np.zeros(lead + A.shape, g.dtype)
    out[(slice(None),) * len(lead) + index] = g
    return out


def concatenate_back(i, g, C, *arrays, axis=0):
    start = 0
    for A in arrays[:i]:
        start += A.shape[axis]
    mine = slice(start, start + arrays[i].shape[axis])
    return g[mine] if axis == C.ndim - g.ndim == 0 else g[(..., mine, *(slice(None),) * (-1 - _from_end(axis, C)))]


def stack_back(i, g, C, *arrays, axis=0):
    return g.take(i, _from_end(axis, C))


def einsum_arguments(subscripts, *arrays):
    """Subscripts as np.einsum wants them, with the letters of the result spelled out."""
    terms, arrow, out = subscripts.replace(" ", "").partition("->")
    if "." in terms or any(len(set(term)) < len(term) for term in terms.split(",")):
        raise TypeError(f"np.einsum: {subscripts!r} has dots or a letter twice in one operand, which Nodes cannot have")
    if not arrow:
        out = "".join(sorted(letter for letter in set(terms) - {","} if terms.count(letter) == 1))
    return arrays, {"subscripts": f"{terms}->{out}"}


def einsum_back(i, g, C, *arrays, subscripts):
    """The same sum with g in the place of the i-th operand; a letter that only this one has was summed by itself."""
    terms, _, out = subscripts.partition("->")
    terms = terms.split(",")
    mine, others = terms.pop(i), [*arrays[:i], *arrays[i + 1 :]]
    alone = [k for k, letter in enumerate(mine) if letter not in out + "".join(terms)]
    terms.append("".join(mine[k] for k in alone))
    others.append(np.ones([arrays[i].shape[k] for k in alone], g.dtype))
    return np.einsum(f"{','.join(['...' + out, *terms])}->...{mine}", g, *others)


def matrices(g, A, B):
    """g and the operands of a product with the axes that a vector lacks: a 1-D A is a row, a 1-D B a column."""
    if B.ndim == 1:
        g, B = g[..., None], B[:, None]
    if A.ndim == 1:
        g, A = g[..., None, :], A[None]
    return g, A, B


def matmul_left(g, C, A, B, b=None):
    """dA = dC Bᵀ (eq. 11.5), also of A B + b."""
    if A.ndim == B.ndim == 2:
        return _direct.matmul(g, B.T)
    dC, _, matrix = matrices(g, A, B)
    dA = _engine.matmul(dC, matrix.swapaxes(-1, -2))
    return dA[..., 0, :] if A.ndim == 1 else dA


def matmul_right(g, C, A, B, b=None):
    """dB = Aᵀ dC, also of A B + b."""
    if A.ndim == B.ndim == 2:
        return _direct.matmul(A.T, g)
    dC, matrix, _ = matrices(g, A, B)
    dB = _engine.matmul(matrix.swapaxes(-1, -2), dC)
    return dB[..., 0] if B.ndim == 1 else dB


def power_base(g, C, A, B):
    """g B A^(B-1), and 0 where B = 0, also where A = 0."""
    if getattr(B, "ndim", 0) == 0:
        if B == 2:
            return times(g, A, 2)
        return g * (B * A ** (B - 1)) if B else np.zeros_like(g * A)
    return g * (B * A ** np.where(B == 0, 1, B - 1))


def power_exponent(g, C, A, B):
    """g A^B ln A, and 0 where A = 0."""
    return g * (C * np.log(np.where(A == 0, 1, A)))


def softmax_back(g, P, Z, axis=0):
    axis = _from_end(axis, Z)
    if axis == -2 and g.ndim == 2:
        return _direct.softmax_backward_columns(g, P)
    return _engine.softmax_backward(g, P, axis=axis)


def log_softmax_back(g, C, Z, axis=0):
    return g - np.exp(C) * np.add.reduce(g, _from_end(axis, Z), keepdims=True)


def cross_entropy_back(g, L, P, y):
    return (_direct.cross_entropy_backward if y.ndim == 1 else _direct.cross_entropy_targets_backward)(g, P, y)


def softmax_cross_entropy_back(g, L, Z, y):
    """dZ = (P - Y) dL (eq. 10.1), from Z: to compute the softmax again is cheaper than to keep it."""
    if y.ndim == 1:
        return _direct.softmax_cross_entropy_backward(g, Z, y)
    return _direct.softmax_cross_entropy_targets_backward(g, Z, y)


# ---- the table: arithmetic -----------------------------------------------------------------------------------------
# row(name, functions, LaTeX,
#     (vjp(g, C, A, B) of the first operand, LaTeX), (of the second, LaTeX))
# fmt: off

row("add", np.add, "{0} + {1}",
    (lambda g, C, A, B: g, "{g}"), (lambda g, C, A, B: g, "{g}"), forward=operator.add)
row("subtract", np.subtract, "{0} - {1}",
    (lambda g, C, A, B: g, "{g}"), (lambda g, C, A, B: -g, "-{g}"), forward=operator.sub)
row("multiply", np.multiply, r"{0} \circ {1}",
    (lambda g, C, A, B: g * B if g.size < MANY else times(g, B), r"{g} \circ {1}"),
    (lambda g, C, A, B: g * A if g.size < MANY else times(g, A), r"{g} \circ {0}"), forward=operator.mul)
row("divide", np.divide, r"\frac{{0}}{{1}}",
    (lambda g, C, A, B: g / B, r"\frac{{g}}{{1}}"),
    (lambda g, C, A, B: -(g * C / B), r"-{g} \circ \frac{{out}}{{1}}"), forward=operator.truediv)
row("power", np.power, "{0}^{{1}}",
    (power_base, r"{g} \circ {1}\,{0}^{{1} - 1}"), (power_exponent, r"{g} \circ {out} \circ \ln {0}"),
    forward=operator.pow)
row("negative", np.negative, "-{0}", (lambda g, C, A: -g, "-{g}"))
row("positive", np.positive, "{0}", (lambda g, C, A: g, "{g}"))

# ---- products, layers

row("matmul", (_engine.matmul, np.matmul), r"{0}\,{1}",
    (matmul_left, r"{g}\,{1}^T"), (matmul_right, r"{0}^T\,{g}"), forward=functional.matmul)
row("add_bias", _engine.add_bias, "{0} + {1}",
    (lambda g, C, Z, b: g, "{g}"), (lambda g, C, Z, b: _direct.add_bias_backward(g), r"\sum_{j=1}^{{r}} {g}"))
row("linear", _engine.linear, r"{0}\,{1} + {2}",
    (matmul_left, r"{g}\,{1}^T"), (matmul_right, r"{0}^T\,{g}"),
    (lambda g, Z, W, X, b: _direct.add_bias_backward(g), r"\sum_{j=1}^{{r}} {g}"))
row("einsum", np.einsum, r"\mathrm{einsum}({0}, \ldots)",
    (EachOperand(einsum_back), r"\mathrm{einsum}({g}, \ldots)"),
    takes=einsum_arguments, forward=lambda *arrays, subscripts: np.einsum(subscripts, *arrays))

# ---- activations, softmax, losses

row("relu", _engine.relu, r"\mathrm{relu}({0})",
    (lambda g, A, Z: _engine.relu_backward(g, A), r"{g} \circ \delta_{{0} > 0}"))
row("leaky_relu", _engine.leaky_relu, r"\mathrm{leaky}({0})",
    (lambda g, A, Z, slope: _engine.leaky_relu_backward(g, A, slope), r"{g} \circ \mathrm{leaky}'({0})"), None)
row("sigmoid", _engine.sigmoid, r"\sigma({0})",
    (lambda g, A, Z: _engine.sigmoid_backward(g, A), r"{g} \circ {out} \circ (1 - {out})"))
row("tanh", (_engine.tanh, np.tanh), r"\tanh({0})",
    (lambda g, A, Z: _engine.tanh_backward(g, A), r"{g} \circ (1 - {out}^2)"), forward=_engine.tanh)
row("softmax", (_engine.softmax, _engine.softmax_columns), r"\mathrm{softmax}({0})",
    (softmax_back, r"{out} \circ ({g} - \sum_k {out} \circ {g})"), params="axis", forward=functional.softmax)
row("log_softmax", (_engine.log_softmax, _engine.log_softmax_columns), r"\ln\,\mathrm{softmax}({0})",
    (log_softmax_back, r"{g} - \mathrm{softmax}({0}) \circ \sum_k {g}"), params="axis", forward=functional.log_softmax)
row("cross_entropy", (_engine.cross_entropy, _engine.cross_entropy_targets), r"-\sum_k Y \circ \ln {0}",
    (cross_entropy_back, r"-{g} \circ \frac{Y_{{shape0}}}{{0}}"), None, forward=functional.cross_entropy)
row("softmax_cross_entropy", (_engine.softmax_cross_entropy, _engine.softmax_cross_entropy_targets),
    r"-\sum_k Y \circ \ln\,\mathrm{softmax}({0})",
    (softmax_cross_entropy_back, r"(\mathrm{softmax}({0}) - Y_{{shape0}}) \circ {g}"), None,
    forward=functional.softmax_cross_entropy)

# ---- number by number

row("exp", (np.exp, _engine.exp), "e^{{0}}", (lambda g, C, A: times(g, C), r"{g} \circ {out}"), forward=_engine.exp)
row("exp2", np.exp2, "2^{{0}}", (lambda g, C, A: g * (C * LN2), r"{g} \circ {out}\,\ln 2"))
row("expm1", np.expm1, "e^{{0}} - 1", (lambda g, C, A: g * (C + 1), r"{g} \circ e^{{0}}"))
row("log", (np.log, _engine.log), r"\ln {0}", (lambda g, C, A: g / A, r"\frac{{g}}{{0}}"))
row("log2", np.log2, r"\log_2 {0}", (lambda g, C, A: g / (A * LN2), r"\frac{{g}}{{0}\,\ln 2}"))
row("log10", np.log10, r"\log_{10} {0}", (lambda g, C, A: g / (A * LN10), r"\frac{{g}}{{0}\,\ln 10}"))
row("log1p", np.log1p, r"\ln(1 + {0})", (lambda g, C, A: g / (1 + A), r"\frac{{g}}{1 + {0}}"))
row("logaddexp", np.logaddexp, r"\ln(e^{{0}} + e^{{1}})",
    (lambda g, C, A, B: g * np.exp(A - C), r"{g} \circ e^{{0} - {out}}"),
    (lambda g, C, A, B: g * np.exp(B - C), r"{g} \circ e^{{1} - {out}}"))
row("sqrt", np.sqrt, r"\sqrt{{0}}", (lambda g, C, A: g / (2 * C), r"\frac{{g}}{2\,{out}}"))
row("cbrt", np.cbrt, r"{0}^{1/3}", (lambda g, C, A: g / (3 * C * C), r"\frac{{g}}{3\,{out}^2}"))
row("square", np.square, "{0}^2", (lambda g, C, A: times(g, A, 2), r"{g} \circ 2\,{0}"))
row("reciprocal", np.reciprocal, r"\frac{1}{{0}}", (lambda g, C, A: -g * C * C, r"-{g} \circ {out}^2"))
row("absolute", (np.absolute, np.fabs), "|{0}|", (lambda g, C, A: g * np.sign(A), r"{g} \circ \mathrm{sign}({0})"))
row("sign", np.sign, r"\mathrm{sign}({0})", (lambda g, C, A: np.zeros_like(g), "0"))
row("hypot", np.hypot, r"\sqrt{{0}^2 + {1}^2}",
    (lambda g, C, A, B: g * (A / C), r"{g} \circ \frac{{0}}{{out}}"),
    (lambda g, C, A, B: g * (B / C), r"{g} \circ \frac{{1}}{{out}}"))
row("sin", np.sin, r"\sin {0}", (lambda g, C, A: g * np.cos(A), r"{g} \circ \cos {0}"))
row("cos", np.cos, r"\cos {0}", (lambda g, C, A: g * -np.sin(A), r"-{g} \circ \sin {0}"))
row("tan", np.tan, r"\tan {0}", (lambda g, C, A: g * (1 + C * C), r"{g} \circ (1 + {out}^2)"))
row("sinh", np.sinh, r"\sinh {0}", (lambda g, C, A: g * np.cosh(A), r"{g} \circ \cosh {0}"))
row("cosh", np.cosh, r"\cosh {0}", (lambda g, C, A: g * np.sinh(A), r"{g} \circ \sinh {0}"))
row("arcsin", np.arcsin, r"\arcsin {0}", (lambda g, C, A: g / np.sqrt(1 - A * A), r"\frac{{g}}{\sqrt{1 - {0}^2}}"))
row("arccos", np.arccos, r"\arccos {0}", (lambda g, C, A: -g / np.sqrt(1 - A * A), r"-\frac{{g}}{\sqrt{1 - {0}^2}}"))
row("arctan", np.arctan, r"\arctan {0}", (lambda g, C, A: g / (1 + A * A), r"\frac{{g}}{1 + {0}^2}"))
row("arctan2", np.arctan2, r"\arctan \frac{{0}}{{1}}",
    (lambda g, C, A, B: g * B / (A * A + B * B), r"{g} \circ \frac{{1}}{{0}^2 + {1}^2}"),
    (lambda g, C, A, B: -g * A / (A * A + B * B), r"-{g} \circ \frac{{0}}{{0}^2 + {1}^2}"))
row("maximum", np.maximum, r"\max({0}, {1})",
    (lambda g, C, A, B: share(g, A, B), r"{g} \circ \delta_{{0} > {1}}"),
    (lambda g, C, A, B: share(g, B, A), r"{g} \circ \delta_{{1} > {0}}"))
row("minimum", np.minimum, r"\min({0}, {1})",
    (lambda g, C, A, B: share(g, B, A), r"{g} \circ \delta_{{0} < {1}}"),
    (lambda g, C, A, B: share(g, A, B), r"{g} \circ \delta_{{1} < {0}}"))
row("where", np.where, r"{1}\;\mathrm{where}\;{0}\;\mathrm{else}\;{2}", None,
    (lambda g, C, where, A, B: chosen(g, np.asarray(where, bool)), r"{g} \circ \delta_{{0}}"),
    (lambda g, C, where, A, B: chosen(g, np.logical_not(where)), r"{g} \circ (1 - \delta_{{0}})"))

# ---- sums

row("sum", np.sum, r"\sum {0}",
    (lambda g, C, A, axis=None, keepdims=False: spread(g, A, axis, keepdims), r"{g}\,{ones0}"),
    params="axis - - keepdims", forward=reduction(np.add))
row("mean", np.mean, r"\frac{1}{{r}} \sum {0}", (mean_back, r"\frac{1}{{r}}\,{g}\,{ones0}"),
    params="axis - - keepdims", forward=mean)
row("prod", np.prod, r"\prod {0}", (prod_back, r"{g} \circ \prod_{j \neq i} {0}_j"),
    params="axis - - keepdims", forward=reduction(np.multiply))
row("max", (np.max, np.amax), r"\max {0}", (share_among, r"{g} \circ \delta_{{0} = {out}}"),
    params="axis - keepdims", forward=reduction(np.maximum))
row("min", (np.min, np.amin), r"\min {0}", (share_among, r"{g} \circ \delta_{{0} = {out}}"),
    params="axis - keepdims", forward=reduction(np.minimum))
row("cumsum", np.cumsum, r"\sum_{j \leq i} {0}_j", (cumsum_back, r"\sum_{j \geq i} {g}_j"), params="axis")

# ---- shapes

row("reshape", np.reshape, r"\mathrm{reshape}({0})", (reshape_back, r"\mathrm{reshape}({g})"),
    params="shape", forward=lambda A, shape: A.reshape(shape))
row("ravel", np.ravel, r"\mathrm{ravel}({0})", (reshape_back, r"\mathrm{reshape}({g})"))
row("squeeze", np.squeeze, r"\mathrm{squeeze}({0})", (reshape_back, r"\mathrm{reshape}({g})"), params="axis")
row("expand_dims", np.expand_dims, "{0}", (reshape_back, r"\mathrm{reshape}({g})"), params="axis")
row("broadcast_to", np.broadcast_to, "{0}", (lambda g, C, A, shape: g, "{g}"), params="shape")
row("transpose", np.transpose, "{0}^T", (move_back(np.transpose), "{g}^T"),
    params="axes", forward=lambda A, axes=None: A.transpose(axes))
row("swapaxes", np.swapaxes, "{0}^T", (move_back(np.swapaxes), "{g}^T"), params="axis1 axis2")
row("moveaxis", np.moveaxis, "{0}^T", (move_back(np.moveaxis), "{g}^T"), params="source destination")
row("getitem", getitem, "{0}[i]", (getitem_back, r"\mathrm{scatter}({g})"), params="index")
for function, params in {np.take: "indices axis", np.take_along_axis: "indices axis", np.diagonal: "offset axis1 axis2",
                         np.flip: "axis", np.roll: "shift axis", np.rot90: "k axes", np.tile: "reps",
                         np.repeat: "repeats axis"}.items():
    row(function.__name__, function, r"\mathrm{" + function.__name__.replace("_", r"\_") + "}({0})",
        (take_back(function), r"\mathrm{scatter}({g})"), params=params)
row("concatenate", np.concatenate, r"[{0}, \ldots]", (EachOperand(concatenate_back), "{g}[i]"),
    takes=lambda xs, axis=0: (map(np.ravel, xs), {}) if axis is None else (xs, {"axis": axis} if axis else {}),
    forward=lambda *arrays, axis=0: np.concatenate(arrays, axis))
row("stack", np.stack, r"[{0}, \ldots]", (EachOperand(stack_back), "{g}[i]"),
    takes=lambda arrays, axis=0: (arrays, {"axis": axis}), forward=lambda *arrays, axis: np.stack(arrays, axis))
