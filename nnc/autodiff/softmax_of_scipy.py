"""SciPy's `logsumexp`, `softmax` and `log_softmax` on Nodes.

These three are not ufuncs, and make arrays of their arguments without dispatching. So they are patched: the new body
looks for a Node among the arguments, and without one calls the original. The function stays the same object, so that a
name imported before works, too. Nothing else of SciPy is touched, and a function that is not as expected here is left
alone: a TypeError says what to do instead.
"""

import sys
from types import FunctionType

import numpy as np

from .. import functional
from .dispatch import FUNCTIONS, is_node, operation, value_of
from .operations import RULES, row
from .vjps import restore_axes

IMPLEMENTATIONS = {}  # name -> the function for Nodes
ORIGINALS = {}  # name -> SciPy's own


def implements_scipy(function):
    IMPLEMENTATIONS[function.__name__] = function
    return function


@implements_scipy
def softmax(x, axis=None):
    """e^x / Σ e^x over one axis, several, or all."""
    if isinstance(axis, tuple):
        e = np.exp(below_zero(x, axis))
        return e / np.sum(e, axis, keepdims=True)
    return functional.softmax(x, axis) if axis is not None and x.ndim else over_all_axes(functional.softmax, x)


@implements_scipy
def log_softmax(x, axis=None):
    """x - ln Σ e^x over one axis, several, or all."""
    if isinstance(axis, tuple):
        x = below_zero(x, axis)
        return x - np.log(np.sum(np.exp(x), axis, keepdims=True))
    return functional.log_softmax(x, axis) if axis is not None and x.ndim else over_all_axes(functional.log_softmax, x)


def below_zero(x, axis):
    """x minus its maximum, which changes neither function, and so is taken as a constant."""
    greatest = np.max(value_of(x), axis, keepdims=True, initial=-np.inf)
    return x - np.where(np.isfinite(greatest), greatest, 0)


def over_all_axes(function, x):
    return np.reshape(function(np.ravel(x)), x.shape)


@implements_scipy
def logsumexp(a, axis=None, b=None, keepdims=False, return_sign=False):
    """ln |Σ b e^a|, and the sign of the sum, which is a plain array; without return_sign, NaN where that is -1."""
    params = {"axis": axis, "keepdims": keepdims}
    arrays = np.broadcast_arrays(*map(np.atleast_1d, (a,) if b is None else (a, b)))
    out = weighted_logsumexp(*arrays, **params) if len(arrays) > 1 else np.logaddexp.reduce(*arrays, **params)
    if b is None and not return_sign:
        return out
    values = [*map(value_of, arrays), None]
    sign = ORIGINALS["logsumexp"](values[0], axis, values[1], keepdims, return_sign=True)[1]
    if return_sign:
        return out, sign
    return out * np.where(sign < 0, np.nan, 1) if np.any(sign < 0) else out  # and so is the gradient


@operation
def weighted_logsumexp(A, B, axis=None, keepdims=False):
    return ORIGINALS["logsumexp"](A, axis, B, keepdims, return_sign=True)[0]


def terms(C, A, B, axis, keepdims):
    """e^A / |Σ B e^A|, and the sign of the sum. A term of weight 0 may overflow."""
    with np.errstate(over="ignore"):
        e = np.exp(A - restore_axes(C, A.ndim, axis, keepdims))
    b = value_of(B)
    return e, np.sign(np.sum(b * np.where(b == 0, 0, value_of(e)), axis, keepdims=True))


def weighted_back(g, C, A, B, axis=None, keepdims=False):
    e, sign = terms(C, A, B, axis, keepdims)
    e = np.where((value_of(B) == 0) & np.isinf(value_of(e)), 0, e)
    return restore_axes(g, A.ndim, axis, keepdims) * (sign * (B * e))


def weights_back(g, C, A, B, axis=None, keepdims=False):
    e, sign = terms(C, A, B, axis, keepdims)
    return restore_axes(g, A.ndim, axis, keepdims) * (sign * e)


def patch():
    """Patch the functions if SciPy has been imported; True if this call patched one."""
    module, patched = sys.modules.get("scipy.special._logsumexp"), False
    for name, of_nodes in IMPLEMENTATIONS.items():
        function = getattr(module, name, None)
        if type(function) is FunctionType and not function.__closure__ and name not in ORIGINALS:
            ORIGINALS[name] = _patch_body(function, of_nodes)
            FUNCTIONS[function] = of_nodes
            patched = True
    if patched and "weighted_logsumexp" not in RULES:
        row("weighted_logsumexp", weighted_logsumexp, r"\ln |\sum {1} \circ e^{{0}}|",
            (weighted_back, r"{g} \circ \frac{{1} \circ e^{{0}}}{\sum {1} \circ e^{{0}}}"),
            (weights_back, r"{g} \circ \frac{e^{{0}}}{\sum {1} \circ e^{{0}}}"),
            params="axis keepdims")  # fmt: skip
    return patched


def _patch_body(function, of_nodes):
    """Let `function` call `of_nodes` if there is a Node among its arguments; return the original."""
    plain = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)
    plain.__kwdefaults__, plain.__doc__ = function.__kwdefaults__, function.__doc__

    def choose(*args, **kwargs):
        return (of_nodes if is_node(*args, *kwargs.values()) else plain)(*args, **kwargs)

    function.__wrapped__ = plain  # inspect shows its signature and source
    function.__kwdefaults__ = {"_nnc_choose": choose}
    function.__code__ = _body.__code__
    return plain


def _body(*args, _nnc_choose, **kwargs):
    return _nnc_choose(*args, **kwargs)
