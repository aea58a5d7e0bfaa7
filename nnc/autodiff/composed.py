"""NumPy functions that need no row in the table of `operations`, since they are composed of other functions.

Each is written as by hand, so its graph shows the steps. The names and the order of the arguments are NumPy's; those
that are missing (dtype, out, where ...) do not work on Nodes. This file has reductions and elementwise functions;
`joining`, `ordering`, `products`, `calculus`, `padding` and `linalg` have more of them.
"""

import numpy as np

from .dispatch import FUNCTIONS


def implements(*functions):
    """Register what these functions of NumPy do on Nodes; one that older versions of NumPy lack is given by name."""
    functions = [getattr(np, f, None) if isinstance(f, str) else f for f in functions]

    def register(composed):
        FUNCTIONS.update(dict.fromkeys(filter(None, functions), composed))
        return composed

    return register


@implements(np.var)
def var(a, axis=None, *, ddof=0, keepdims=False):
    deviation = a - np.mean(a, axis, keepdims=True)
    total = np.sum(deviation * deviation, axis, keepdims=keepdims)
    return total / max(np.size(a) / (np.size(total) or 1) - ddof, 0)


@implements(np.std)
def std(a, axis=None, *, ddof=0, keepdims=False):
    """By the norm, whose gradient is 0 where all numbers are equal."""
    length = np.linalg.norm(a - np.mean(a, axis, keepdims=True), axis=axis, keepdims=keepdims)
    return length / max(np.size(a) / (np.size(length) or 1) - ddof, 0) ** 0.5


@implements(np.clip)
def clip(a, a_min=None, a_max=None, *, min=None, max=None):
    least, greatest = a_min if min is None else min, a_max if max is None else max
    a = a if least is None else np.maximum(a, least)
    return a if greatest is None else np.minimum(a, greatest)


@implements(np.average)
def average(a, axis=None, weights=None, returned=False, *, keepdims=False):
    if weights is None:
        mean = np.mean(a, axis, keepdims=keepdims)
        return (mean, np.full(mean.shape, np.size(a) / np.size(mean))) if returned else mean
    if np.shape(weights) != np.shape(a):  # one for each index along the axes
        axes = [d % np.ndim(a) for d in np.atleast_1d(axis)] if axis is not None else []
        if np.shape(weights) != tuple(np.shape(a)[d] for d in axes):
            raise ValueError(f"np.average: a is {np.shape(a)} and weights is {np.shape(weights)}; they must be of one "
                             "shape, or weights must have one for each index along the axis")  # fmt: skip
        order = np.argsort(axes)
        weights = np.transpose(weights, order)
        weights = np.reshape(weights, [n if d in axes else 1 for d, n in enumerate(np.shape(a))])
    total = np.sum(np.broadcast_to(weights, np.shape(a)), axis, keepdims=keepdims)
    if np.any(np.equal(total, 0)):
        raise ZeroDivisionError("np.average: the weights sum to zero")
    mean = np.sum(a * weights, axis, keepdims=keepdims) / total
    return (mean, np.broadcast_to(total, mean.shape)) if returned else mean


# ---- reductions that leave out NaN -----------------------------------------------------------------------------------


@implements(np.nan_to_num)
def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    """The numbers that replace NaN and infinity are constants."""
    limits = np.finfo(x.dtype)
    x = np.where(np.isnan(x), nan, x)
    x = np.where(np.isposinf(x), limits.max if posinf is None else posinf, x)
    return np.where(np.isneginf(x), limits.min if neginf is None else neginf, x)


@implements(np.nansum)
def nansum(a, axis=None, *, keepdims=False):
    return np.sum(np.where(np.isnan(a), 0, a), axis, keepdims=keepdims)


@implements(np.nanprod)
def nanprod(a, axis=None, *, keepdims=False):
    return np.prod(np.where(np.isnan(a), 1, a), axis, keepdims=keepdims)


def count(a, axis, keepdims):
    """How many are not NaN, in a's dtype."""
    return np.sum(~np.isnan(a), axis, a.dtype, keepdims=keepdims)


@implements(np.nanmean)
def nanmean(a, axis=None, *, keepdims=False):
    return np.nansum(a, axis, keepdims=keepdims) / count(a, axis, keepdims)


@implements(np.nanvar)
def nanvar(a, axis=None, *, ddof=0, keepdims=False):
    deviation = np.where(np.isnan(a), 0, a - np.nanmean(a, axis, keepdims=True))
    total = np.sum(deviation * deviation, axis, keepdims=keepdims)
    return total / np.maximum(count(a, axis, keepdims) - ddof, 0)


@implements(np.nanstd)
def nanstd(a, axis=None, *, ddof=0, keepdims=False):
    deviation = np.where(np.isnan(a), 0, a - np.nanmean(a, axis, keepdims=True))
    return np.linalg.norm(deviation, axis=axis, keepdims=keepdims) / np.sqrt(
        np.maximum(count(a, axis, keepdims) - ddof, 0)
    )


@implements(np.nanmax)
def nanmax(a, axis=None, *, keepdims=False):
    left_out = np.isnan(a) & ~np.all(np.isnan(a), axis, keepdims=True)
    return np.max(np.where(left_out, -np.inf, a), axis, keepdims=keepdims)


@implements(np.nanmin)
def nanmin(a, axis=None, *, keepdims=False):
    return -np.nanmax(-a, axis, keepdims=keepdims)


# ---- elementwise; of real numbers, the first ones are the identity ---------------------------------------------------


@implements(np.real)
def real(val):
    """A new node with the same value."""
    return np.positive(val)


@implements(np.real_if_close)
def real_if_close(a, tol=100):
    return np.positive(a)


@implements(np.conjugate)
def conjugate(x):
    return np.positive(x)


@implements(np.copy)
def copy(a, order="K"):
    return np.positive(a)


@implements("astype")
def astype(x, dtype, /, *, copy=True, device=None):
    return x.astype(dtype)


@implements(np.heaviside)
def heaviside(x1, x2):
    return np.where(np.equal(x1, 0), x2, np.where(np.isnan(x1), x1, np.greater(x1, 0)))


@implements(np.divmod)
def divmod(x1, x2):
    return np.floor_divide(x1, x2), np.remainder(x1, x2)


@implements(np.modf)
def modf(x):
    whole = np.trunc(x)
    return np.where(np.isinf(x), 0, x - whole), whole
