"""Sorting and order statistics: the permutation is a constant, and each number gets the gradient of its position.

Equal numbers keep their order (a stable sort), so that each of them gets the gradient of one position.
"""

import math

import numpy as np

from .composed import implements
from .dispatch import is_node, refuse


def along(a, axis):
    """a and the axis; without one, a flattened and 0."""
    return (np.ravel(a), 0) if axis is None else (a, axis)


@implements(np.sort)
def sort(a, axis=-1, kind=None, *, stable=None):
    a, axis = along(a, axis)
    return np.take_along_axis(a, np.argsort(a, axis, kind="stable"), axis)


@implements(np.partition)
def partition(a, kth, axis=-1, kind="introselect"):
    a, axis = along(a, axis)
    return np.take_along_axis(a, np.argpartition(a, kth, axis), axis)


@implements(np.ptp)
def ptp(a, axis=None, *, keepdims=False):
    return np.max(a, axis, keepdims=keepdims) - np.min(a, axis, keepdims=keepdims)


@implements(np.quantile)
def quantile(a, q, axis=None, *, method="linear", keepdims=False):
    """Between two neighbours in sorted order. Their position, by any method, is the quantile of 0, 1, 2 ..."""
    if is_node(q):
        raise TypeError("np.quantile: no gradient flows through q; give its .value")
    shape = np.shape(a)
    axes = tuple(range(len(shape))) if axis is None else tuple(int(d) % len(shape) for d in np.atleast_1d(axis))
    kept = [d for d in range(len(shape)) if d not in axes]
    n = math.prod(shape[d] for d in axes)
    if n == 0:
        raise ValueError(f"np.quantile: a is {shape}, and an empty array has no quantile")
    line = np.sort(np.reshape(np.transpose(a, (*axes, *kept)), (n, *(shape[d] for d in kept))), 0)
    position = np.asarray(np.quantile(np.arange(n, dtype=np.float64), q, method=method))
    below = np.floor(position).astype(np.intp)
    above = np.ceil(position).astype(np.intp)
    fraction = np.reshape(position - below, position.shape + (1,) * len(kept)).astype(line.dtype)
    result = np.where(np.isnan(line[-1]), np.nan, (1 - fraction) * line[below] + fraction * line[above])  # NaN is last
    sizes = tuple(1 if d in axes else m for d, m in enumerate(shape))
    return np.reshape(result, position.shape + sizes) if keepdims else result


@implements(np.percentile)
def percentile(a, q, axis=None, *, method="linear", keepdims=False):
    return np.quantile(a, np.true_divide(q, 100), axis, method=method, keepdims=keepdims)


@implements(np.median)
def median(a, axis=None, *, keepdims=False):
    return np.quantile(a, 0.5, axis, keepdims=keepdims)


refuse(
    "the length of the result depends on the values, and so it has no derivative; np.unique(node.value) is that of "
    "the values, and node[indices] picks the same numbers from the node",
    np.unique, np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values, np.trim_zeros, np.union1d,
    np.intersect1d, np.setdiff1d, np.setxor1d,
)  # fmt: skip
refuse("counts have no derivative; node.value has the numbers", np.histogram, np.histogram2d, np.bincount)
