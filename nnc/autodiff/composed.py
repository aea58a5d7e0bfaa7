"""NumPy functions of Nodes that need no row in the table of `operations`, since other functions make them up.

Each is written as one would write it by hand, and so its graph shows the steps. The names and the order of the
arguments are NumPy's; those that are missing (dtype, out, where ...) do not work on Nodes. Here are those that reduce
an array; `joining`, `ordering`, `products`, `calculus` and `linalg` have more of them.
"""

import numpy as np

from .dispatch import FUNCTIONS


def stands_for(*functions):
    """Enter a function below as the one to call for these of NumPy; by its name for one that older NumPys lack."""
    functions = [getattr(np, f, None) if isinstance(f, str) else f for f in functions]

    def enter(composed):
        FUNCTIONS.update(dict.fromkeys(filter(None, functions), composed))
        return composed

    return enter


@stands_for(np.var)
def var(a, axis=None, *, ddof=0, keepdims=False):
    deviation = a - np.mean(a, axis, keepdims=True)
    total = np.sum(deviation * deviation, axis, keepdims=keepdims)
    return total / max(np.size(a) / (np.size(total) or 1) - ddof, 0)


@stands_for(np.std)
def std(a, axis=None, *, ddof=0, keepdims=False):
    """As a length, whose gradient is 0 where all numbers are equal."""
    length = np.linalg.norm(a - np.mean(a, axis, keepdims=True), axis=axis, keepdims=keepdims)
    return length / max(np.size(a) / (np.size(length) or 1) - ddof, 0) ** 0.5


@stands_for(np.clip)
def clip(a, a_min=None, a_max=None, *, min=None, max=None):
    least, greatest = a_min if min is None else min, a_max if max is None else max
    a = a if least is None else np.maximum(a, least)
    return a if greatest is None else np.minimum(a, greatest)


@stands_for(np.average)
def average(a, axis=None, weights=None, returned=False, *, keepdims=False):
    if weights is None:
        mean = np.mean(a, axis, keepdims=keepdims)
        return (mean, np.full(mean.shape, np.size(a) / np.size(mean))) if returned else mean
    if np.shape(weights) != np.shape(a):  # they are those of the places along the axes
        axes = [d % np.ndim(a) for d in np.atleast_1d(axis)] if axis is not None else []
        if np.shape(weights) != tuple(np.shape(a)[d] for d in axes):
            raise ValueError(f"np.average: a is {np.shape(a)} and weights is {np.shape(weights)}; they must be of one "
                             "shape, or weights must have one for each place along the axis")  # fmt: skip
        order = np.argsort(axes)
        weights = np.transpose(weights, order)
        weights = np.reshape(weights, [n if d in axes else 1 for d, n in enumerate(np.shape(a))])
    total = np.sum(np.broadcast_to(weights, np.shape(a)), axis, keepdims=keepdims)
    if np.any(np.equal(total, 0)):
        raise ZeroDivisionError("np.average: the weights sum to zero")
    mean = np.sum(a * weights, axis, keepdims=keepdims) / total
    return (mean, np.broadcast_to(total, mean.shape)) if returned else mean


# ---- sums that leave out what is no number ---------------------------------------------------------------------------


@stands_for(np.nan_to_num)
def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    """What replaces a NaN or an infinity is a constant."""
    limits = np.finfo(x.dtype)
    x = np.where(np.isnan(x), nan, x)
    x = np.where(np.isposinf(x), limits.max if posinf is None else posinf, x)
    return np.where(np.isneginf(x), limits.min if neginf is None else neginf, x)


@stands_for(np.nansum)
def nansum(a, axis=None, *, keepdims=False):
    return np.sum(np.where(np.isnan(a), 0, a), axis, keepdims=keepdims)


@stands_for(np.nanprod)
def nanprod(a, axis=None, *, keepdims=False):
    return np.prod(np.where(np.isnan(a), 1, a), axis, keepdims=keepdims)


def count(a, axis, keepdims):
    """How many are numbers, in a's dtype."""
    return np.sum(~np.isnan(a), axis, a.dtype, keepdims=keepdims)


@stands_for(np.nanmean)
def nanmean(a, axis=None, *, keepdims=False):
    return np.nansum(a, axis, keepdims=keepdims) / count(a, axis, keepdims)


@stands_for(np.nanvar)
def nanvar(a, axis=None, *, ddof=0, keepdims=False):
    deviation = np.where(np.isnan(a), 0, a - np.nanmean(a, axis, keepdims=True))
    total = np.sum(deviation * deviation, axis, keepdims=keepdims)
    return total / np.maximum(count(a, axis, keepdims) - ddof, 0)


@stands_for(np.nanstd)
def nanstd(a, axis=None, *, ddof=0, keepdims=False):
    deviation = np.where(np.isnan(a), 0, a - np.nanmean(a, axis, keepdims=True))
    return np.linalg.norm(deviation, axis=axis, keepdims=keepdims) / np.sqrt(
        np.maximum(count(a, axis, keepdims) - ddof, 0)
    )


@stands_for(np.nanmax)
def nanmax(a, axis=None, *, keepdims=False):
    left_out = np.isnan(a) & ~np.all(np.isnan(a), axis, keepdims=True)
    return np.max(np.where(left_out, -np.inf, a), axis, keepdims=keepdims)


@stands_for(np.nanmin)
def nanmin(a, axis=None, *, keepdims=False):
    return -np.nanmax(-a, axis, keepdims=keepdims)


# ---- what is the number itself, for real numbers ---------------------------------------------------------------------


@stands_for(np.real)
def real(val):
    """A new node of the same numbers."""
    return np.positive(val)


@stands_for(np.real_if_close)
def real_if_close(a, tol=100):
    return np.positive(a)


@stands_for(np.conjugate)
def conjugate(x):
    return np.positive(x)


@stands_for(np.copy)
def copy(a, order="K"):
    return np.positive(a)


@stands_for("astype")
def astype(x, dtype, /, *, copy=True, device=None):
    return x.astype(dtype)


@stands_for(np.heaviside)
def heaviside(x1, x2):
    return np.where(np.equal(x1, 0), x2, np.where(np.isnan(x1), x1, np.greater(x1, 0)))


@stands_for(np.divmod)
def divmod(x1, x2):
    return np.floor_divide(x1, x2), np.remainder(x1, x2)


@stands_for(np.modf)
def modf(x):
    whole = np.trunc(x)
    return np.where(np.isinf(x), 0, x - whole), whole
