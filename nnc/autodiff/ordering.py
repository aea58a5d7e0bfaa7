"""Sorting and what is found by it: the order is a constant, and each number's gradient goes back to its own place.

Equal numbers keep their order (a stable sort), so that each of them gets the gradient of one place.
"""

import math

import numpy as np

from .composed import stands_for
from .dispatch import is_node, refuse


def along(a, axis):
    """a and the axis, or all of a in one row where there is none."""
    return (np.ravel(a), 0) if axis is None else (a, axis)


@stands_for(np.sort)
def sort(a, axis=-1, kind=None, *, stable=None):
    a, axis = along(a, axis)
    return np.take_along_axis(a, np.argsort(a, axis, kind="stable"), axis)


@stands_for(np.partition)
def partition(a, kth, axis=-1, kind="introselect"):
    a, axis = along(a, axis)
    return np.take_along_axis(a, np.argpartition(a, kth, axis), axis)


@stands_for(np.ptp)
def ptp(a, axis=None, *, keepdims=False):
    return np.max(a, axis, keepdims=keepdims) - np.min(a, axis, keepdims=keepdims)


@stands_for(np.quantile)
def quantile(a, q, axis=None, *, method="linear", keepdims=False):
    """Between two neighbours in the order. Where a method looks, it says of the numbers 0, 1, 2 ... itself."""
    if is_node(q):
        raise TypeError("np.quantile: no gradient flows through q; give its .value")
    shape = np.shape(a)
    axes = tuple(range(len(shape))) if axis is None else tuple(int(d) % len(shape) for d in np.atleast_1d(axis))
    kept = [d for d in range(len(shape)) if d not in axes]
    n = math.prod(shape[d] for d in axes)
    if n == 0:
        raise ValueError(f"np.quantile: a is {shape}, and of no numbers there is no quantile")
    line = np.sort(np.reshape(np.transpose(a, (*axes, *kept)), (n, *(shape[d] for d in kept))), 0)
    place = np.asarray(np.quantile(np.arange(n, dtype=np.float64), q, method=method))
    below = np.floor(place).astype(np.intp)
    above = np.ceil(place).astype(np.intp)
    part = np.reshape(place - below, place.shape + (1,) * len(kept)).astype(line.dtype)
    result = np.where(np.isnan(line[-1]), np.nan, (1 - part) * line[below] + part * line[above])  # NaNs come last
    left = tuple(1 if d in axes else m for d, m in enumerate(shape))
    return np.reshape(result, place.shape + left) if keepdims else result


@stands_for(np.percentile)
def percentile(a, q, axis=None, *, method="linear", keepdims=False):
    return np.quantile(a, np.true_divide(q, 100), axis, method=method, keepdims=keepdims)


@stands_for(np.median)
def median(a, axis=None, *, keepdims=False):
    return np.quantile(a, 0.5, axis, keepdims=keepdims)


refuse(
    "how many numbers there are depends on the values, and so it has no derivative; np.unique(node.value) is that of "
    "the values, and node[indices] picks the same numbers from the node",
    np.unique, np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values, np.trim_zeros, np.union1d,
    np.intersect1d, np.setdiff1d, np.setxor1d,
)  # fmt: skip
refuse("counts have no derivative; node.value has the numbers", np.histogram, np.histogram2d, np.bincount)
