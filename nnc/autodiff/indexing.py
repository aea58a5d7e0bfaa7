"""The vjps of operations that only move numbers: reshape, index, repeat and join.

``take_back(g, C, A, ...)`` is dJ/dA for C = np.take(A, ...) and g = dJ/dC, and so on; `operations` says what g may be,
and what a vjp may return. g may have further axes in front of C's own, so all axes are counted from the end.
"""

import math
from functools import partial

import numpy as np

from .. import _engine
from .dispatch import operation


def axes_of(axis, ndim):
    """The axes of a reduction as a list of numbers from 0 on; NumPy accepts axis=0 and -1 for a 0-d array, too."""
    if axis is None or not ndim:
        return list(range(ndim))
    return [a % ndim for a in axis] if isinstance(axis, tuple) else [axis % ndim]


def from_end(axis, ndim):
    return axis if axis < 0 else axis - ndim


def all_from_end(axis, ndim):
    """The same for one axis or several."""
    axes = tuple([from_end(a, ndim) for a in np.atleast_1d(axis).tolist()])
    return axes[0] if isinstance(axis, int) else axes


def _batch_shape(g, C):
    """The shape of the axes that g has in front of C's."""
    return g.shape[: g.ndim - C.ndim]


def reshape_back(g, C, A, **params):
    return g.reshape(_batch_shape(g, C) + A.shape)


def transpose_back(g, C, A, axes=None):
    n = A.ndim
    if axes is None:
        return g.T if g.ndim == n else g.transpose(*range(g.ndim - n), *range(g.ndim)[: -n - 1 : -1])
    batch_ndim, axes = g.ndim - n, [axis % n for axis in axes]
    return g.transpose(*range(batch_ndim), *[batch_ndim + axes.index(d) for d in range(n)])


def swapaxes_back(g, C, A, axis1, axis2):
    return g.swapaxes(from_end(axis1, A.ndim), from_end(axis2, A.ndim))


def moveaxis_back(g, C, A, source, destination):
    if not (isinstance(source, int) and isinstance(destination, int)):
        return np.moveaxis(g, all_from_end(destination, A.ndim), all_from_end(source, A.ndim))
    order = list(range(g.ndim))
    order.insert(g.ndim + from_end(source, A.ndim), order.pop(from_end(destination, A.ndim)))
    return g.transpose(order)


FEW = 500  # numbers below which the simplest call of np.add.at is the fastest; above, one with flat indices is


def take_back(g, C, A, indices, axis=None):
    """In A.ravel(), entry k along the axis of the i-th row begins at (i n + k) m and is m numbers long."""
    indices, batch = np.asarray(indices, np.intp), _batch_shape(g, C)
    axis = axis if A.ndim else None  # NumPy accepts axis=0 and -1 for a 0-d array, too
    if axis is not None and (g.size < FEW or g.ndim == A.ndim == 1):
        out = np.zeros(batch + A.shape, g.dtype)
        before = len(batch) + axis % A.ndim
        np.add.at(out, (*[slice(None)] * before, indices) if before else indices, g)
        return out
    d, shape = (0, (A.size,)) if axis is None else (axis % A.ndim, A.shape)
    rows, n, m = math.prod(shape[:d]), shape[d], math.prod(shape[d + 1 :])
    first = np.arange(rows)[:, None] * n + indices.ravel() % n
    return _put(g, batch, A.shape, first[:, :, None] * m + np.arange(m))


def _put(g, batch, shape, indices):
    """Zeros of this shape, to which the numbers of g are added at these flat indices."""
    out = np.zeros(batch + shape, g.dtype)
    if batch:
        np.add.at(out.reshape(batch + (math.prod(shape),)), (..., indices.ravel()), g.reshape(batch + (indices.size,)))
    else:
        np.add.at(out.reshape(-1), indices.ravel(), g.ravel())
    return out


def all_indices(A, index=(), indices=(), axis=None):
    """All index arrays in one: those that depend on values, such as the order of a sort, have kinks."""
    return np.concatenate([np.ravel(i) for i in (*index, indices) if np.ndim(i) or isinstance(i, np.integer)])


def take_along_axis_back(g, C, A, indices, axis=-1):
    if axis is None:
        return take_back(g, C, A, indices)
    along, ones = axis % A.ndim, (1,) * A.ndim
    index = [indices if d == along else np.arange(n).reshape(n, *ones[d + 1 :]) for d, n in enumerate(A.shape)]
    out = np.zeros(_batch_shape(g, C) + A.shape, g.dtype)
    np.add.at(out, (..., *index), g)
    return out


def diagonal_back(g, C, A, offset=0, axis1=0, axis2=1):
    """In a row-major matrix of n rows and m columns the entries of the diagonal are m + 1 apart."""
    n, m = A.shape[axis1], A.shape[axis2]
    start = max(-offset, 0) * m + max(offset, 0)
    out = np.zeros((*g.shape[:-1], n * m), g.dtype)
    out[..., start : start + C.shape[-1] * (m + 1) : m + 1] = g
    out, axes = out.reshape(*g.shape[:-1], n, m), (from_end(axis1, A.ndim), from_end(axis2, A.ndim))
    return out if axes == (-2, -1) else np.moveaxis(out, (-2, -1), axes)


def flip_back(g, C, A, axis=None):
    axes = axes_of(axis, A.ndim)
    return g[(..., *[slice(None, None, -1) if d in axes else slice(None) for d in range(A.ndim)])]


def roll_back(g, C, A, shift, axis=None):
    if axis is None:
        return roll_back(g.reshape(_batch_shape(g, C) + (A.size,)), A.ravel(), A.ravel(), shift, 0).reshape(g.shape)
    if not (isinstance(shift, int) and isinstance(axis, int)):
        return np.roll(g, np.negative(shift), all_from_end(axis, A.ndim))
    axis, shift = from_end(axis, A.ndim), shift % (A.shape[axis] or 1)
    after = [slice(None)] * (-1 - axis)
    return np.concatenate((g[(..., slice(shift, None), *after)], g[(..., slice(shift), *after)]), axis)


def rot90_back(g, C, A, k=1, axes=(0, 1)):
    first, second = axes
    return np.rot90(g, -k, (from_end(first, A.ndim), from_end(second, A.ndim)))


def tile_back(g, C, A, reps):
    """The sum over all tiles: an axis of C counts the tiles and, within a tile, its numbers.

    Axes that A lacks end up with length 1, as broadcasting would have added them.
    """
    sizes = (1,) * (C.ndim - A.ndim) + A.shape
    for d, size in enumerate(sizes, g.ndim - C.ndim):
        whole = g.shape[d]
        if whole != size:
            g = np.add.reduce(g.reshape(g.shape[:d] + (whole // size, size) + g.shape[d + 1 :]), d)
    return g


def repeat_back(g, C, A, repeats, axis=None):
    if type(repeats) is not int:
        return picked_back(np.repeat)(g, C, A, repeats=repeats, axis=axis)
    if axis is None or not A.ndim:
        return np.add.reduce(g.reshape(*_batch_shape(g, C), *A.shape, repeats), -1)
    before = g.ndim + from_end(axis, A.ndim)
    return np.add.reduce(g.reshape(*g.shape[:before], A.shape[axis], repeats, *g.shape[before + 1 :]), before + 1)


def picked_back(pick):
    """The vjp, for arrays, of a function that picks numbers: g is added where they came from."""
    return lambda g, C, A, **params: _put(
        g, _batch_shape(g, C), A.shape, pick(np.arange(A.size).reshape(A.shape), **params))  # fmt: skip


@operation
def scatter(g, indices, shape):
    """Zeros of this shape, to which the numbers of g are added at these flat indices."""
    batch, size = g.shape[: g.ndim - indices.ndim], math.prod(shape)
    out = np.zeros((*batch, size), g.dtype)
    np.add.at(out, (..., indices.ravel()), g.reshape((*batch, indices.size)))
    return out.reshape((*batch, *shape))


def gather(g, C, A, indices, shape):
    """The vjp of `scatter`: the numbers at these indices."""
    return g.reshape((*g.shape[: g.ndim - len(shape)], math.prod(shape)))[..., indices]


def scattered(pick):
    """The vjp, for Nodes, of a function that picks, moves or repeats numbers."""

    def vjp(g, C, A, **params):
        indices = pick(np.arange(A.size).reshape(A.shape), **params)
        return scatter(g, indices=np.asarray(indices), shape=A.shape)

    return vjp


def getitem(A, index):
    return A[index]


PICKS_NOTHING_TWICE = {int, slice, type(None), type(Ellipsis), np.int64}


def getitem_back(g, C, A, index):
    batch, picks = _batch_shape(g, C), not PICKS_NOTHING_TWICE.issuperset(map(type, index))
    if picks and (batch or A.ndim > 1 and g.size >= FEW and 4 * g.size > A.size):
        return _put(g, batch, A.shape, getitem(np.arange(A.size).reshape(A.shape), index))
    out = np.zeros(batch + A.shape, g.dtype)
    if picks:
        np.add.at(out, index, g)
    else:
        out[(slice(None),) * len(batch) + index] = g
    return out


def concatenate_back(i):
    return partial(_engine.part, i)


def concatenate_back_of_nodes(i):
    def vjp(g, C, *arrays, axis=0):
        axis, sizes = from_end(axis, C.ndim), [A.shape[axis] for A in arrays]
        start = sum(sizes[:i])
        return g[(..., slice(start, start + sizes[i]), *[slice(None)] * (-1 - axis))]

    return vjp


def stack(*arrays, axis=0):
    if axis == 0:
        try:
            return np.array(arrays)  # the same, two microseconds faster
        except ValueError:
            pass  # np.stack has the better error
    return np.stack(arrays, axis)


def stack_back(i):
    return lambda g, C, *arrays, axis=0: g[(..., i, *[slice(None)] * (-1 - from_end(axis, C.ndim)))]
