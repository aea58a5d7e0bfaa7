r"""The table of operations: how each is computed, its vector-Jacobian products, and how both are written in LaTeX.

`node` has the mechanism, and this file the mathematics. A new operation is one row of the table (and a row of examples
in tests/test_rules.py, where every row is compared with finite differences); what takes more than a line is in
`nnc.autodiff.vjps` and `nnc.autodiff.indexing`.

A row is ``row(name, functions, latex, (vjp, latex), ...)`` with one *vector-Jacobian product* for each operand. With
C = op(A, B) and g = dJ/dC, the gradient that arrives, ``vjp(g, C, A, B)`` is dJ/dA. These rules hold:

- g may have further axes **in front** of C's own, batch axes: one entry for each of many gradients that are propagated
  at once (so that `nnc.jacobian` needs one pass and not one for each row). So axes are counted from the end.
- Broadcasting is undone by the caller: the vjps of A + b are g and g.
- A vjp returns a new array, or g or a view of it, never A, B or C themselves; or None where the derivative is 0
  wherever it exists (`no_gradient`).
- What the forward pass saved for backward, as that of some losses does, follows B, and may be missing.

Derivatives of any order. With ``create_graph=True``, and in ``grad`` of ``grad``, the backward pass builds a graph,
too: the same vjp is called with **Nodes**, g, C, A and B, each of which may be a plain array or number, too. So:

- Write a vjp with what works on Nodes: operators, indexing, NumPy functions that have a row, `functional` and the
  engine's ufuncs. ``np.exp(A)``, ``np.sum(g, axis)``, ``g.reshape(...)``, ``_engine.matmul(g, B)`` are right. Ufunc
  methods (``np.add.reduce``), ``out=``, ``np.asarray(g)``, ``out[...] = g`` are not.
- It must be differentiable where the operation is: a value of A, B or C may be taken as a constant only in what is
  piecewise constant, such as masks and counts. Comparisons of Nodes are plain arrays; `value_of(A)` is the plain value
  of any operand. A special case such as B == 2 must not lose the gradient of a Node B.
- Where arrays have a faster vjp, which cannot take Nodes, the tuple has a third entry, the vjp for Nodes:
  ``(mean_back, latex, mean_back_of_nodes)``. The first one is called with plain arrays only.
- What cannot be composed of such functions is an operation with its own row: `scatter` for getitem's vjp
  (``scattered(forward)`` is the vjp for Nodes of any operation that only picks numbers), `relu_backward` for relu's.
  Its vjps are like those of any other row; for an operand whose derivative is 0 it is `no_gradient`.
- A row with ``once=True`` is not differentiable twice: a TypeError says so. No row is silently 0.

``kinks=`` is a function of the operands: on which side of its kinks each number is (`nnc.gradcheck` skips an entry
that changes sides, visibly). ``batch=`` says where the axis of the examples comes from (`batch_axes`; `nnc.jacobian`
pairs the examples). An elementwise ufunc needs none; for any other row without one the examples count as
mixed, which is never wrong. ``symbol=`` is what a picture shows instead of the name, ``role=`` the role in a network
for which the notes have a letter (layer, activation, loss), and ``minus=`` what `nnc.check_gradient` says about a
gradient that lacks its minus: the operand, and where the minus comes from.

In the LaTeX, {g} is the gradient that arrives, {out} the result, {0}, {1} ... the operands, {shape0} an operand's
shape, {ones0} ones of that shape, and {r} how many numbers go into one; `write` substitutes them. ``None`` in place of
a vjp marks a constant operand: labels, a slope.
"""

import math
import operator
import re
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from .. import _direct, _engine, _explain, functional
from . import batch_axes
from . import indexing as shapes
from .dispatch import FUNCTIONS, value_of
from .einsum import einsum, einsum_arguments, einsum_back
from .reads import ALL, reads
from .vjps import (
    MANY,
    broadcast_back,
    cross_entropy_back,
    cross_entropy_backward_loss,
    cross_entropy_backward_probabilities,
    cumsum_back,
    cumsum_back_of_nodes,
    each_row,
    log_softmax_back,
    log_softmax_back_of_nodes,
    loss_gradient_loss,
    masked,
    matmul_left,
    matmul_right,
    mean,
    mean_back,
    mean_back_of_nodes,
    no_gradient,
    plus,
    power,
    power_base,
    power_exponent,
    prod_back,
    prod_back_of_nodes,
    ratio,
    reduction,
    share_among,
    share_among_of_nodes,
    share_of,
    softmax_back,
    softmax_backward_probabilities,
    softmax_cross_entropy_back,
    softmax_cross_entropy_back_of_nodes,
    sum_back_of_nodes,
    times,
)


@dataclass(frozen=True, slots=True)
class Rule(_engine.Rule):
    """One row of the table; see the top of this file."""

    name: str
    forward: object  # a function of arrays
    for_many: object  # the same on all cores, for more than MANY numbers, or None
    latex: str
    vjps: object  # vjps[i] is that of the i-th operand
    vjps_of_nodes: object  # the same for a backward pass that builds a graph; None if it is not differentiable
    vjps_latex: tuple
    params: tuple  # the arguments after the arrays, in NumPy's order; "-" is one that does not work on Nodes
    takes: object  # NumPy's arguments -> (arrays, params), for functions of any number of arrays
    constants: tuple  # the indices of the operands that cannot be Nodes
    kinks: object = None  # kinks(A, B, ...): on which side of its kinks each number is, for functions that have some
    batch: object = None  # batch(operand, i, node, k): the axis of the i-th operand that axis k of the node comes from
    symbol: str = ""  # what a picture of the graph shows; by default the name
    role: str = ""  # the role in a network that the notes have a letter for: layer, activation, loss
    minus: tuple = ()  # the operand whose gradient gets a minus that is easily lost, and where it comes from
    reads: object = None  # which operands each vjp reads, see `all_reads`; None to infer it

    def refused(self, name):
        """The error for an argument that does not work on Nodes; a positional one is named "-" here, and `arguments`
        finds its name if NumPy's function has a signature."""
        known = ", ".join(p for p in self.params if p != "-") or "none"
        what = "a further argument by position" if name == "-" else f"the argument {name!r}"
        instead = "" if name == "-" else f"; {_explain.instead_of(name)}"
        return TypeError(f"{self.name}: {what} does not work on Nodes (operands come by position, "
                         f"further arguments: {known}){instead}")  # fmt: skip

    def explained(self, error, operands):
        """The error to raise instead of one that `forward` raised."""
        return _explain.operation(self.name, error, operands)

    def all_reads(self):
        """For each operand, as bits, the operands whose values its vjp reads; or one number for all operands. The
        engine calls it once, when the operation is first used."""
        if self.reads is not None:
            return self.reads
        if not isinstance(self.vjps, tuple):
            return ALL
        of_nodes = self.vjps_of_nodes or self.vjps
        return tuple(reads(*filter(None, pair)) for pair in zip(self.vjps, of_nodes, strict=True))

    def changed(self, operands):
        """The error that `backward` raises if one of these has changed since the operation used them."""
        return _explain.changed(self.name, operands)


LN2, LN10 = math.log(2), math.log(10)

RULES = {}  # name -> Rule
UFUNCS = _direct.UFUNCS  # NumPy's or nnc's ufunc -> Rule
PLAIN = {  # functions of Nodes whose results are plain arrays or numbers
    np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal,
    np.isnan, np.isinf, np.isfinite, np.signbit, np.logical_and, np.logical_or, np.logical_not,
    np.shape, np.ndim, np.size, np.argmax, np.argmin, np.argsort, np.allclose, np.isclose, np.array_equal,
    np.zeros_like, np.ones_like, np.empty_like, np.count_nonzero,
    np.isposinf, np.isneginf, np.isreal, np.iscomplex, np.isrealobj, np.iscomplexobj, np.result_type, np.logical_xor,
    np.any, np.all, np.nonzero, np.flatnonzero, np.argwhere, np.searchsorted, np.digitize, np.isin, np.argpartition,
    np.lexsort, np.nanargmax, np.nanargmin, np.array_equiv, np.array_repr, np.array_str, np.array2string,
}  # fmt: skip


def row(name, functions, latex, *vjps, params="", forward=None, for_many=None, takes=None, kinks=None, batch=None,
        once=False, symbol="", role="", minus=()):
    """Add an operation. It is what each of `functions` does on Nodes, and calls them unless `forward` is given."""
    functions = functions if isinstance(functions, tuple) else (functions,)
    calls, texts = tuple(vjp and vjp[0] for vjp in vjps), tuple(vjp and vjp[1] for vjp in vjps)
    of_nodes = tuple(vjp and vjp[2 if len(vjp) > 2 else 0] for vjp in vjps)
    constants = tuple(i for i, call in enumerate(calls) if call is None)
    if takes:  # one entry for any number of arrays
        calls, of_nodes = calls[0], of_nodes[0]
    if any(isinstance(f, np.ufunc) and f.signature is None for f in functions):
        batch = batch or batch_axes.elementwise
    forwards = [forward or _direct.OF.get(function) or getattr(function, "__wrapped__", function)
                for function in functions]  # __wrapped__: NumPy's without its dispatch
    RULES[name] = Rule(name, forwards[0] if forwards else forward, for_many, latex, calls, None if once else of_nodes,
                       texts, tuple(params.split()), takes, constants, kinks, batch, symbol, role, minus)  # fmt: skip
    for function, forward in zip(functions, forwards, strict=True):
        table = UFUNCS if isinstance(function, np.ufunc) else FUNCTIONS
        table[function] = replace(RULES[name], forward=forward)


class EachOperand(dict):
    """The vjps of an operation on any number of arrays; vjp_of(i), that of the i-th, is made when it is needed."""

    def __init__(self, vjp_of):
        self.vjp_of = vjp_of

    def __missing__(self, i):
        self[i] = self.vjp_of(i)
        return self[i]

    def __iter__(self):
        return map(self.__getitem__, count())


_KEY = re.compile(r"\{(\w+)\}")
_TOKEN = re.compile(r"[_^]\{(?:[^{}]|\{\w+\})*\}|\{(?P<key>\w+)\}(?=(?P<mark>[_^]?))")  # a script, or a key


def write(latex, names, factors):
    r"""A row's LaTeX with operands substituted: by `names` in superscripts and subscripts, else by `factors`.

    >>> write("{g} {1}^T + e^{{1}}", {"1": "W^2"}, {"g": "dZ", "1": r"W^2_{3\\times 4}"})
    'dZ (W^2_{3\\\\times 4})^T + e^{W^2}'
    """

    def substitute(match):
        if match["key"] is None:
            return _KEY.sub(lambda braces: {**factors, **names}.get(braces[1], braces[0]), match[0])
        text = factors.get(match["key"])
        if text is None:
            return match[0]  # braces of LaTeX itself
        return f"({text})" if match["mark"] and not text.isalnum() and text[0] != "(" else text

    return _TOKEN.sub(substitute, latex)


def side(A, B):
    """Which of the two is greater: where that changes, `maximum` and the like have a kink."""
    return np.sign(A - B)


# ---- the table: arithmetic -----------------------------------------------------------------------------------------
# row(name, functions, LaTeX,
#     (vjp(g, C, A, B) of the first operand, LaTeX), (of the second, LaTeX))
# fmt: off

row("add", np.add, "{0} + {1}",
    (lambda g, C, A, B: g, "{g}"), (lambda g, C, A, B: g, "{g}"), forward=operator.add, for_many=plus,
    symbol="+")
row("subtract", np.subtract, "{0} - {1}",
    (lambda g, C, A, B: g, "{g}"), (lambda g, C, A, B: -g, "-{g}"), forward=operator.sub, symbol="−",
    minus=(1, "the graph has a difference A - B, and dB is -dC: is yours that of B - A?"))
row("multiply", np.multiply, r"{0} \circ {1}",
    (lambda g, C, A, B: g * B if g.size < MANY else times(g, B), r"{g} \circ {1}"),
    (lambda g, C, A, B: g * A if g.size < MANY else times(g, A), r"{g} \circ {0}"),
    forward=operator.mul, for_many=times, symbol="×")
row("divide", np.divide, r"\frac{{0}}{{1}}",
    (lambda g, C, A, B: g / B, r"\frac{{g}}{{1}}"),
    (lambda g, C, A, B: -(g * C / B), r"-{g} \circ \frac{{out}}{{1}}"), forward=operator.truediv, symbol="÷",
    minus=(1, "the graph has a quotient A / B, and the derivative of 1/B is -1/B²"))
row("power", np.power, "{0}^{{1}}",
    (power_base, r"{g} \circ {1}\,{0}^{{1} - 1}"), (power_exponent, r"{g} \circ {out} \circ \ln {0}"),
    forward=operator.pow, for_many=power)
row("negative", np.negative, "-{0}", (lambda g, C, A: -g, "-{g}"), symbol="negative −",
    minus=(0, "the graph has a minus in front, which the gradient gets, too"))
row("positive", np.positive, "{0}", (lambda g, C, A: g, "{g}"))

# ---- products, layers

row("matmul", (_engine.matmul, np.matmul), r"{0}\,{1}",
    (matmul_left, r"{g}\,{1}^T"), (matmul_right, r"{0}^T\,{g}"), forward=functional.matmul,
    batch=batch_axes.product, symbol="matmul @")
row("add_bias_backward", _engine.add_bias_backward, r"\sum_{j=1}^{{r}} {0}",
    (lambda g, C, dZ: np.broadcast_to(g, g.shape[: g.ndim - C.ndim] + dZ.shape), r"{g}\,{ones0}"))
row("add_bias", _engine.add_bias, "{0} + {1}",
    (lambda g, C, Z, b: g, "{g}"), (lambda g, C, Z, b: _direct.add_bias_backward(g), r"\sum_{j=1}^{{r}} {g}"),
    batch=batch_axes.bias, role="layer")
row("linear", _engine.linear, r"{0}\,{1} + {2}",
    (matmul_left, r"{g}\,{1}^T"), (matmul_right, r"{0}^T\,{g}"),
    (lambda g, Z, W, X, b: _direct.add_bias_backward(g), r"\sum_{j=1}^{{r}} {g}"),
    batch=batch_axes.product, role="layer")
row("einsum", np.einsum, r"\mathrm{einsum}({0}, \ldots)",
    (EachOperand(einsum_back), r"\mathrm{einsum}({g}, \ldots)"),
    takes=einsum_arguments, forward=einsum, batch=batch_axes.einsum)

# ---- activations, softmax, losses

row("relu", _engine.relu, r"\mathrm{relu}({0})",
    (lambda g, A, Z: _direct.relu_backward(g, A), r"{g} \circ \delta_{{0} > 0}"), kinks=np.sign,
    role="activation")
row("leaky_relu", _engine.leaky_relu, r"\mathrm{leaky}({0})",
    (lambda g, A, Z, slope: _direct.leaky_relu_backward(g, A, slope), r"{g} \circ \mathrm{leaky}'({0})"), None,
    kinks=lambda Z, slope: np.sign(Z), role="activation")
row("sigmoid", _engine.sigmoid, r"\sigma({0})",
    (lambda g, A, Z: _direct.sigmoid_gradient(g, Z), r"{g} \circ {out} \circ (1 - {out})"), role="activation")
row("tanh", (_engine.tanh, np.tanh), r"\tanh({0})",
    (lambda g, A, Z: _direct.tanh_gradient(g, Z), r"{g} \circ (1 - {out}^2)"), forward=_direct.tanh,
    role="activation")
row("relu_backward", _engine.relu_backward, r"{0} \circ \delta_{{1} > 0}",
    (lambda g, C, dA, A: _direct.relu_backward(g, A), r"{g} \circ \delta_{{1} > 0}"), (no_gradient, "0"))
row("leaky_relu_backward", _engine.leaky_relu_backward, r"{0} \circ \mathrm{leaky}'({1})",
    (lambda g, C, dA, A, slope: _direct.leaky_relu_backward(g, A, slope), r"{g} \circ \mathrm{leaky}'({1})"),
    (no_gradient, "0"), None)
row("sigmoid_backward", _engine.sigmoid_backward, r"{0} \circ {1} \circ (1 - {1})",
    (lambda g, C, dA, A: _direct.sigmoid_backward(g, A), r"{g} \circ {1} \circ (1 - {1})"),
    (lambda g, C, dA, A: g * (dA * (1 - 2 * A)), r"{g} \circ {0} \circ (1 - 2\,{1})"))
row("tanh_backward", _engine.tanh_backward, r"{0} \circ (1 - {1}^2)",
    (lambda g, C, dA, A: _direct.tanh_backward(g, A), r"{g} \circ (1 - {1}^2)"),
    (lambda g, C, dA, A: g * (dA * (-2 * A)), r"-{g} \circ {0} \circ 2\,{1}"))
row("sigmoid_gradient", _engine.sigmoid_gradient, r"{0} \circ \sigma'({1})",
    (lambda g, C, dA, Z: _direct.sigmoid_gradient(g, Z), r"{g} \circ \sigma'({1})"),
    (lambda g, C, dA, Z: -g * (C * _direct.tanh(Z / 2)), r"-{g} \circ {out} \circ \tanh \frac{{1}}{2}"))
row("tanh_gradient", _engine.tanh_gradient, r"{0} \circ \tanh'({1})",
    (lambda g, C, dA, Z: _direct.tanh_gradient(g, Z), r"{g} \circ \tanh'({1})"),
    (lambda g, C, dA, Z: -2 * g * (C * _direct.tanh(Z)), r"-{g} \circ {out} \circ 2 \tanh {1}"))
row("softmax", (_engine.softmax, _engine.softmax_columns), r"\mathrm{softmax}({0})",
    (softmax_back, r"{out} \circ ({g} - \sum_k {out} \circ {g})"), params="axis", forward=functional.softmax,
    batch=batch_axes.all_but(0))
row("log_softmax", (_engine.log_softmax, _engine.log_softmax_columns), r"\ln\,\mathrm{softmax}({0})",
    (log_softmax_back, r"{g} - \mathrm{softmax}({0}) \circ \sum_k {g}", log_softmax_back_of_nodes), params="axis",
    forward=functional.log_softmax, batch=batch_axes.all_but(0))
row("cross_entropy", (_engine.cross_entropy, _engine.cross_entropy_targets), r"-\sum_k Y \circ \ln {0}",
    (cross_entropy_back, r"-{g} \circ \frac{Y_{{shape0}}}{{0}}"), None, forward=functional.cross_entropy,
    batch=batch_axes.loss, role="loss",
    minus=(0, "for this loss dP is -Y/P, since L = -ln p; with the softmax before it dZ is P - Y, not Y - P"))
row("cross_entropy_backward", (_engine.cross_entropy_backward, _engine.cross_entropy_targets_backward),
    r"-{0} \circ \frac{Y_{{shape1}}}{{1}}",
    (cross_entropy_backward_loss, r"-\sum_k {g} \circ \frac{Y_{{shape1}}}{{1}}"),
    (cross_entropy_backward_probabilities, r"-{g} \circ \frac{{out}}{{1}}"), None,
    batch=batch_axes.elementwise)
row("softmax_cross_entropy", (_engine.softmax_cross_entropy, _engine.softmax_cross_entropy_targets),
    r"-\sum_k Y \circ \ln\,\mathrm{softmax}({0})",
    (softmax_cross_entropy_back, r"(\mathrm{softmax}({0}) - Y_{{shape0}}) \circ {g}",
     softmax_cross_entropy_back_of_nodes), None, forward=functional.softmax_cross_entropy,
    batch=batch_axes.loss, role="loss",
    minus=(0, "for this loss dZ is P - Y (eq. 10.1) and not Y - P, since L = -ln p"))
row("softmax_backward", (_engine.softmax_backward, _engine.softmax_backward_columns),
    r"{1} \circ ({0} - \sum_k {1} \circ {0})",
    (lambda g, C, dP, P, axis=-2: _engine.softmax_backward(g, P, axis=shapes.from_end(axis, C.ndim)),
     r"{1} \circ ({g} - \sum_k {1} \circ {g})"),
    (softmax_backward_probabilities, r"{g} \circ ({0} - \sum_k {1} \circ {0}) - {0} \circ \sum_k {1} \circ {g}"),
    params="axis", batch=batch_axes.all_but(-2))
row("softmax_cross_entropy_backward",
    (_engine.softmax_cross_entropy_backward, _engine.softmax_cross_entropy_targets_backward),
    r"({1} - Y_{{shape1}}) \circ {0}",
    (loss_gradient_loss, r"\sum_k {g} \circ ({1} - Y_{{shape1}})"),
    (lambda g, C, dL, P, y: g * each_row(dL), r"{g} \circ {0}"), None, batch=batch_axes.elementwise)


def column_of_an_example(operand, i, node, k):
    """L (r,) of two operands (n, r)."""
    return 1


OF_A_DIFFERENCE = 0, "for this loss the gradient is A - Y and not Y - A"
row("squared_error", _engine.squared_error, r"\sum_k ({0} - {1})^2 / 2",
    (lambda g, L, A, Y: (A - Y) * g[..., None, :], r"({0} - {1}) \circ {g}"), None,
    batch=column_of_an_example, role="loss", minus=OF_A_DIFFERENCE)
row("binary_cross_entropy", _engine.binary_cross_entropy,
    r"-\sum_k {1} \circ \ln \sigma({0}) + (1 - {1}) \circ \ln \sigma(-{0})",
    (lambda g, L, Z, Y: (_direct.sigmoid(Z) - Y) * g[..., None, :], r"(\sigma({0}) - {1}) \circ {g}"), None,
    batch=column_of_an_example, role="loss", minus=OF_A_DIFFERENCE)
row("poisson", _engine.poisson, r"\sum_k {1} \circ (\ln {1} - {0}) - {1} + e^{{0}}",
    (lambda g, L, Z, Y: (_direct.exp(Z) - Y) * g[..., None, :], r"(e^{{0}} - {1}) \circ {g}"), None,
    batch=column_of_an_example, role="loss", minus=OF_A_DIFFERENCE)

for name, ufunc in (("squared_error", _engine.squared_error_backward),
                    ("binary_cross_entropy", _engine.binary_cross_entropy_backward),
                    ("poisson", _engine.poisson_backward)):
    row(name + "_backward", ufunc, r"({1} - {2}) \circ {0}",
        (lambda g, C, dL, A, Y: np.sum(g * (A - Y), -2), r"\sum_k {g} \circ ({1} - {2})"),
        (lambda g, C, dL, A, Y: g * each_row(dL), r"{g} \circ {0}"), None, batch=batch_axes.elementwise)

# ---- elementwise

row("exp", (np.exp, _engine.exp), "e^{{0}}", (lambda g, C, A: times(g, C), r"{g} \circ {out}"), forward=_direct.exp)
row("exp2", np.exp2, "2^{{0}}", (lambda g, C, A: g * (C * LN2), r"{g} \circ {out}\,\ln 2"))
row("expm1", np.expm1, "e^{{0}} - 1", (lambda g, C, A: g * np.exp(A), r"{g} \circ e^{{0}}"))
row("log", (np.log, _engine.log), r"\ln {0}", (lambda g, C, A: g / A, r"\frac{{g}}{{0}}"))
row("log2", np.log2, r"\log_2 {0}", (lambda g, C, A: g / (A * LN2), r"\frac{{g}}{{0}\,\ln 2}"))
row("log10", np.log10, r"\log_{10} {0}", (lambda g, C, A: g / (A * LN10), r"\frac{{g}}{{0}\,\ln 10}"))
row("log1p", np.log1p, r"\ln(1 + {0})", (lambda g, C, A: g / (1 + A), r"\frac{{g}}{1 + {0}}"))
row("logaddexp", np.logaddexp, r"\ln(e^{{0}} + e^{{1}})",
    (lambda g, C, A, B: g * share_of(A, B), r"{g} \circ e^{{0} - {out}}"),
    (lambda g, C, A, B: g * share_of(B, A), r"{g} \circ e^{{1} - {out}}"))
row("sqrt", np.sqrt, r"\sqrt{{0}}", (lambda g, C, A: g / (2 * C), r"\frac{{g}}{2\,{out}}"))
row("cbrt", np.cbrt, r"{0}^{1/3}", (lambda g, C, A: g / (3 * C * C), r"\frac{{g}}{3\,{out}^2}"))
row("square", np.square, "{0}^2", (lambda g, C, A: times(g, A, 2), r"{g} \circ 2\,{0}"))
row("reciprocal", np.reciprocal, r"\frac{1}{{0}}", (lambda g, C, A: -g * C * C, r"-{g} \circ {out}^2"),
    minus=(0, "the graph has 1/B, and its derivative is -1/B²"))
row("absolute", (np.absolute, np.fabs), "|{0}|",
    (lambda g, C, A: g * np.sign(value_of(A)), r"{g} \circ \mathrm{sign}({0})"), kinks=np.sign)
row("sign", np.sign, r"\mathrm{sign}({0})", (lambda g, C, A: np.zeros_like(g), "0"), kinks=np.sign)
row("hypot", np.hypot, r"\sqrt{{0}^2 + {1}^2}",
    (lambda g, C, A, B: g * ratio(A, C), r"{g} \circ \frac{{0}}{{out}}"),
    (lambda g, C, A, B: g * ratio(B, C), r"{g} \circ \frac{{1}}{{out}}"),
    kinks=lambda A, B: np.sign(np.hypot(A, B)))
row("sin", np.sin, r"\sin {0}", (lambda g, C, A: g * np.cos(A), r"{g} \circ \cos {0}"))
row("cos", np.cos, r"\cos {0}", (lambda g, C, A: g * -np.sin(A), r"-{g} \circ \sin {0}"),
    minus=(0, "the graph has a cosine, and its derivative is -sin"))
row("tan", np.tan, r"\tan {0}", (lambda g, C, A: g * (1 + C * C), r"{g} \circ (1 + {out}^2)"))
row("sinh", np.sinh, r"\sinh {0}", (lambda g, C, A: g * np.cosh(A), r"{g} \circ \cosh {0}"))
row("cosh", np.cosh, r"\cosh {0}", (lambda g, C, A: g * np.sinh(A), r"{g} \circ \sinh {0}"))
row("arcsin", np.arcsin, r"\arcsin {0}",
    (lambda g, C, A: g / np.sqrt((1 - A) * (1 + A)), r"\frac{{g}}{\sqrt{1 - {0}^2}}"))
row("arccos", np.arccos, r"\arccos {0}",
    (lambda g, C, A: -g / np.sqrt((1 - A) * (1 + A)), r"-\frac{{g}}{\sqrt{1 - {0}^2}}"))
row("arctan", np.arctan, r"\arctan {0}", (lambda g, C, A: g / (1 + A * A), r"\frac{{g}}{1 + {0}^2}"))
row("arctan2", np.arctan2, r"\arctan \frac{{0}}{{1}}",
    (lambda g, C, A, B: g * (B / (h := np.hypot(A, B)) / h), r"{g} \circ \frac{{1}}{{0}^2 + {1}^2}"),
    (lambda g, C, A, B: -g * (A / (h := np.hypot(A, B)) / h), r"-{g} \circ \frac{{0}}{{0}^2 + {1}^2}"))
row("maximum", np.maximum, r"\max({0}, {1})",
    (lambda g, C, A, B: _engine.maximum_backward(g, A, B), r"{g} \circ \delta_{{0} > {1}}"),
    (lambda g, C, A, B: _engine.maximum_backward(g, B, A), r"{g} \circ \delta_{{1} > {0}}"), kinks=side)
row("maximum_backward", _engine.maximum_backward, r"{0} \circ \delta_{{1} > {2}}",
    (lambda g, C, dC, A, B: _engine.maximum_backward(g, A, B), r"{g} \circ \delta_{{1} > {2}}"),
    (no_gradient, "0"), (no_gradient, "0"))
row("minimum", np.minimum, r"\min({0}, {1})",
    (lambda g, C, A, B: _engine.maximum_backward(g, B, A), r"{g} \circ \delta_{{0} < {1}}"),
    (lambda g, C, A, B: _engine.maximum_backward(g, A, B), r"{g} \circ \delta_{{1} < {0}}"), kinks=side)
row("where", np.where, r"{1}\;\mathrm{where}\;{0}\;\mathrm{else}\;{2}", None,
    (lambda g, C, where, A, B: masked(g, np.asarray(where, bool)), r"{g} \circ \delta_{{0}}"),
    (lambda g, C, where, A, B: masked(g, np.logical_not(where)), r"{g} \circ (1 - \delta_{{0}})"),
    kinks=lambda where, A, B: where, batch=batch_axes.elementwise)

# ---- sums

row("sum", np.sum, r"\sum {0}",
    (lambda g, C, A, axis=None, keepdims=False: broadcast_back(g, A.shape, A.size, axis, keepdims), r"{g}\,{ones0}",
     sum_back_of_nodes),
    params="axis - - keepdims", forward=reduction(np.add), batch=batch_axes.reduction)
row("mean", np.mean, r"\frac{1}{{r}} \sum {0}", (mean_back, r"\frac{1}{{r}}\,{g}\,{ones0}", mean_back_of_nodes),
    params="axis - - keepdims", forward=mean, batch=batch_axes.reduction)
row("prod", np.prod, r"\prod {0}", (prod_back, r"{g} \circ \prod_{j \neq i} {0}_j", prod_back_of_nodes),
    params="axis - - keepdims", forward=reduction(np.multiply), batch=batch_axes.reduction)
row("max", (np.max, np.amax), r"\max {0}", (share_among, r"{g} \circ \delta_{{0} = {out}}", share_among_of_nodes),
    params="axis - keepdims", forward=reduction(np.maximum),
    kinks=lambda A, axis=None, keepdims=False: A == np.max(A, axis, keepdims=True),
    batch=batch_axes.reduction)
row("min", (np.min, np.amin), r"\min {0}", (share_among, r"{g} \circ \delta_{{0} = {out}}", share_among_of_nodes),
    params="axis - keepdims", forward=reduction(np.minimum),
    kinks=lambda A, axis=None, keepdims=False: A == np.min(A, axis, keepdims=True),
    batch=batch_axes.reduction)
row("cumsum", np.cumsum, r"\sum_{j \leq i} {0}_j", (cumsum_back, r"\sum_{j \geq i} {g}_j", cumsum_back_of_nodes),
    params="axis", forward=lambda A, axis=None: A.cumsum(axis), batch=batch_axes.all_but(None))

# ---- shapes

row("reshape", np.reshape, r"\mathrm{reshape}({0})", (shapes.reshape_back, r"\mathrm{reshape}({g})"),
    params="shape", forward=lambda A, shape: A.reshape(shape), batch=batch_axes.moves)
row("ravel", np.ravel, r"\mathrm{ravel}({0})", (shapes.reshape_back, r"\mathrm{reshape}({g})"),
    batch=batch_axes.moves)
row("squeeze", np.squeeze, r"\mathrm{squeeze}({0})", (shapes.reshape_back, r"\mathrm{reshape}({g})"), params="axis",
    batch=batch_axes.moves)
row("expand_dims", np.expand_dims, "{0}", (shapes.reshape_back, r"\mathrm{reshape}({g})"), params="axis",
    batch=batch_axes.moves)
row("broadcast_to", np.broadcast_to, "{0}", (lambda g, C, A, shape: g, "{g}"), params="shape",
    batch=batch_axes.moves)
row("transpose", np.transpose, "{0}^T", (shapes.transpose_back, "{g}^T"),
    params="axes", forward=lambda A, axes=None: A.transpose(axes), batch=batch_axes.moves, symbol="transpose ᵀ")
row("swapaxes", np.swapaxes, "{0}^T", (shapes.swapaxes_back, "{g}^T"),
    params="axis1 axis2", forward=lambda A, axis1, axis2: A.swapaxes(axis1, axis2), batch=batch_axes.moves)
row("moveaxis", np.moveaxis, "{0}^T", (shapes.moveaxis_back, "{g}^T"), params="source destination",
    batch=batch_axes.moves)
row("getitem", shapes.getitem, "{0}[i]",
    (shapes.getitem_back, r"\mathrm{scatter}({g})", shapes.scattered(shapes.getitem)), params="index",
    kinks=shapes.all_indices, batch=batch_axes.moves, symbol="index [ ]")
row("scatter", shapes.scatter, r"\mathrm{scatter}({0})", (shapes.gather, "{g}[i]"), params="indices shape",
    batch=batch_axes.moves)
row("astype", (), "{0}", (lambda g, C, A, dtype: g, "{g}"), params="dtype", forward=lambda A, dtype: A.astype(dtype),
    batch=batch_axes.moves)
for name, params, forward in (
    ("take", "indices axis", lambda A, indices, axis=None: A.take(indices, axis)),
    ("take_along_axis", "indices axis", None),
    ("diagonal", "offset axis1 axis2", lambda A, offset=0, axis1=0, axis2=1: A.diagonal(offset, axis1, axis2)),
    ("flip", "axis", None), ("roll", "shift axis", None), ("rot90", "k axes", None), ("tile", "reps", None),
    ("repeat", "repeats axis", lambda A, repeats, axis=None: A.repeat(repeats, axis)),
):
    row(name, getattr(np, name), r"\mathrm{" + name.replace("_", r"\_") + "}({0})",
        (getattr(shapes, name + "_back"), r"\mathrm{scatter}({g})",
         shapes.scattered(forward or getattr(np, name).__wrapped__)), params=params, forward=forward,
        kinks=shapes.all_indices if "indices" in params else None, batch=batch_axes.moves)
row("concatenate", np.concatenate, r"[{0}, \ldots]", (EachOperand(shapes.concatenate_back), "{g}[i]",
    EachOperand(shapes.concatenate_back_of_nodes)),
    takes=lambda xs, axis=0: (xs, {"axis": axis} if axis else {}) if axis is not None else (map(np.ravel, xs), {}),
    forward=lambda *arrays, axis=0: np.concatenate(arrays, axis), batch=batch_axes.all_but(0))
row("stack", np.stack, r"[{0}, \ldots]", (EachOperand(shapes.stack_back), "{g}[i]"),
    takes=lambda arrays, axis=0: (arrays, {"axis": axis}), forward=shapes.stack,
    batch=batch_axes.all_but(0, new=1))
