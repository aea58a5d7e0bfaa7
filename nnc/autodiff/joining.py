"""Joining, splitting and rearranging Nodes, by concatenation, indexing and reshapes."""

import numpy as np

from .composed import implements
from .dispatch import is_node
from .operations import row

# ---- creation --------------------------------------------------------------------------------------------------------


def has_nodes(x):
    return any(map(has_nodes, x)) if isinstance(x, (list, tuple)) else is_node(x)


@implements(np.array, np.asarray, np.asanyarray)
def array(object, dtype=None, *, ndmin=0, copy=True, order="K", device=None, like=None):
    """np.array([[a, b], [c, 1.0]], like=a): NumPy dispatches to a Node only if `like` is one."""
    if isinstance(object, (list, tuple)) and has_nodes(object):
        object = np.stack([array(x) for x in object])
    if not is_node(object):
        return np.array(object, dtype, ndmin=ndmin)
    object = object if dtype is None else object.astype(dtype)
    return np.reshape(object, (1,) * (ndmin - object.ndim) + object.shape) if object.ndim < ndmin else object


@implements(np.full)
def full(shape, fill_value, dtype=None, order="C", *, device=None, like=None):
    """np.full(shape, node, like=node)."""
    filled = np.broadcast_to(fill_value, shape)
    return filled if dtype is None else filled.astype(dtype)


@implements(np.full_like)
def full_like(a, fill_value, dtype=None, order="K", *, shape=None, device=None):
    shape = np.shape(a) if shape is None else shape
    if not is_node(fill_value):
        return np.full(shape, fill_value, dtype or a.dtype)
    return np.broadcast_to(fill_value, shape).astype(dtype or a.dtype)


@implements(np.linspace)
def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0, *, device=None):
    if dtype is not None:
        raise TypeError("np.linspace: the argument 'dtype' does not work on Nodes; .astype does")
    intervals = num - 1 if endpoint else num
    shape = (num,) + (1,) * len(np.broadcast_shapes(np.shape(start), np.shape(stop)))
    fraction = np.reshape(np.arange(num) / max(intervals, 1), shape)
    result = np.moveaxis((1 - fraction) * start + fraction * stop, 0, axis)
    return (result, (stop - start) / intervals) if retstep else result


# ---- joining ---------------------------------------------------------------------------------------------------------


@implements(np.append)
def append(arr, values, axis=None):
    """One of the two may be a list that holds Nodes, and the other a Node, by which NumPy dispatches."""
    return np.concatenate([array(x) if isinstance(x, (list, tuple)) else x for x in (arr, values)], axis)


@implements(np.vstack)
def vstack(tup, *, dtype=None, casting="same_kind"):
    rows = np.concatenate([np.atleast_2d(a) for a in tup], 0)
    return rows if dtype is None else rows.astype(dtype)


@implements(np.hstack)
def hstack(tup, *, dtype=None, casting="same_kind"):
    arrays = [np.atleast_1d(a) for a in tup]
    joined = np.concatenate(arrays, 0 if np.ndim(arrays[0]) == 1 else 1)
    return joined if dtype is None else joined.astype(dtype)


@implements(np.dstack)
def dstack(tup):
    return np.concatenate([np.atleast_3d(a) for a in tup], 2)


@implements(np.column_stack)
def column_stack(tup):
    return np.concatenate([a if np.ndim(a) > 1 else np.reshape(a, (-1, 1)) for a in tup], 1)


@implements(np.block)
def block(arrays):
    """The innermost lists are joined along the last axis, those around them along the one before, and so on."""

    def depth(x):
        return 1 + max(map(depth, x)) if isinstance(x, list) else 0

    def ndim(x):
        return max(map(ndim, x)) if isinstance(x, list) else np.ndim(x)

    least = max(ndim(arrays), depth(arrays))

    def joined(x, axis):
        if not isinstance(x, list):
            return np.reshape(x, (1,) * (least - np.ndim(x)) + np.shape(x))
        return np.concatenate([joined(y, axis + 1) for y in x], axis)

    return joined(arrays, -depth(arrays))


# ---- splitting -------------------------------------------------------------------------------------------------------


@implements(np.array_split)
def array_split(ary, indices_or_sections, axis=0):
    n = np.shape(ary)[axis]
    parts = np.array_split(np.arange(n), indices_or_sections)
    before = (slice(None),) * (axis % np.ndim(ary))
    return [ary[(*before, slice(part[0], part[-1] + 1) if len(part) else slice(0))] for part in parts]


@implements(np.split)
def split(ary, indices_or_sections, axis=0):
    np.split(np.empty(np.shape(ary)[axis]), indices_or_sections)  # raises an error if the parts are not equal
    return np.array_split(ary, indices_or_sections, axis)


@implements(np.vsplit)
def vsplit(ary, indices_or_sections):
    if np.ndim(ary) < 2:
        raise ValueError(f"np.vsplit: ary is {np.shape(ary)}, but must have two axes or more")
    return np.split(ary, indices_or_sections, 0)


@implements(np.hsplit)
def hsplit(ary, indices_or_sections):
    if np.ndim(ary) < 1:
        raise ValueError("np.hsplit: ary is a single number, but must have an axis")
    return np.split(ary, indices_or_sections, 1 if np.ndim(ary) > 1 else 0)


@implements(np.dsplit)
def dsplit(ary, indices_or_sections):
    if np.ndim(ary) < 3:
        raise ValueError(f"np.dsplit: ary is {np.shape(ary)}, but must have three axes or more")
    return np.split(ary, indices_or_sections, 2)


@implements("unstack")
def unstack(x, /, *, axis=0):
    return tuple(np.moveaxis(x, axis, 0))


@implements(np.compress)
def compress(condition, a, axis=None):
    return np.take(a, np.flatnonzero(condition), axis)


@implements(np.extract)
def extract(condition, arr):
    return np.take(arr, np.flatnonzero(condition))


@implements(np.delete)
def delete(arr, obj, axis=None):
    n = np.size(arr) if axis is None else np.shape(arr)[axis]
    return np.take(arr, np.delete(np.arange(n), obj), axis)


# ---- rearranging -----------------------------------------------------------------------------------------------------


@implements(np.fliplr)
def fliplr(m):
    return np.flip(m, 1)


@implements(np.flipud)
def flipud(m):
    return np.flip(m, 0)


@implements(np.rollaxis)
def rollaxis(a, axis, start=0):
    axis, start = (n + np.ndim(a) if n < 0 else n for n in (axis, start))
    return np.moveaxis(a, axis, start - (axis < start))


@implements(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x, /):
    return np.swapaxes(x, -1, -2)


def each(shape_of):
    """A function that reshapes one array or several, each to `shape_of` its shape."""

    def reshape(*arrays):
        shaped = [np.reshape(a, shape_of(np.shape(a))) for a in arrays]
        return shaped[0] if len(shaped) == 1 else tuple(shaped)

    return reshape


implements(np.atleast_1d)(each(lambda shape: shape or (1,)))
implements(np.atleast_2d)(each(lambda shape: shape if len(shape) > 1 else (1, *(shape or (1,)))))
implements(np.atleast_3d)(each(lambda shape: {0: (1, 1, 1), 1: (1, *shape, 1), 2: (*shape, 1)}.get(len(shape), shape)))


@implements(np.broadcast_arrays)
def broadcast_arrays(*args, subok=False):
    shape = np.broadcast_shapes(*map(np.shape, args))
    return tuple(np.broadcast_to(a, shape) for a in args)


@implements(np.meshgrid)
def meshgrid(*xi, copy=True, sparse=False, indexing="xy"):
    if indexing not in ("xy", "ij"):
        raise ValueError(f"np.meshgrid: indexing is {indexing!r}, but must be 'xy' or 'ij'")
    grids = [np.reshape(x, (1,) * i + (-1,) + (1,) * (len(xi) - 1 - i)) for i, x in enumerate(xi)]
    grids = grids if sparse else np.broadcast_arrays(*grids)
    return tuple(np.swapaxes(x, 0, 1) if indexing == "xy" and len(xi) > 1 else x for x in grids)


@implements(np.resize)
def resize(a, new_shape):
    if not np.size(a):
        return np.broadcast_to(np.sum(a), new_shape)  # zeros
    return np.take(a, np.resize(np.arange(np.size(a)), new_shape))


@implements(np.diag)
def diag(v, k=0):
    return np.diagflat(v, k) if np.ndim(v) == 1 else np.diagonal(v, k)


row("diagflat", np.diagflat, r"\mathrm{diag}({0})",
    (lambda g, C, v, k=0: np.reshape(np.diagonal(g, k, -2, -1), g.shape[: g.ndim - 2] + v.shape), r"{g}_{ii}"),
    params="k", batch=lambda *_: None)  # fmt: skip


@implements(np.tril)
def tril(m, k=0):
    return np.where(np.tri(*m.shape[-2:], k=k, dtype=bool), m, 0)


@implements(np.triu)
def triu(m, k=0):
    return np.where(np.tri(*m.shape[-2:], k=k - 1, dtype=bool), 0, m)


@implements(np.select)
def select(condlist, choicelist, default=0):
    if len(condlist) != len(choicelist):
        raise ValueError(f"np.select: there are {len(condlist)} conditions and {len(choicelist)} choices, but must be "
                         "equally many")  # fmt: skip
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        default = np.where(condition, choice, default)
    return default


@implements(np.choose)
def choose(a, choices):
    choices = np.stack(np.broadcast_arrays(*choices, np.empty(np.shape(a)))[:-1])
    return np.take_along_axis(choices, np.broadcast_to(a, choices.shape[1:])[None], 0)[0]
