"""NumPy functions of Nodes that need no row in the table of `operations`, since other functions make them up.

Each is written as one would write it by hand, and so its graph shows the steps. The names and the order of the
arguments are NumPy's; those that are missing (dtype, out, where ...) do not work on Nodes.
"""

import numpy as np

from .dispatch import FUNCTIONS


def stands_for(*functions):
    """Enter a function below as the one to call for these of NumPy."""

    def enter(composed):
        for function in functions:
            FUNCTIONS[function] = composed
        return composed

    return enter


@stands_for(np.var)
def var(a, axis=None, *, ddof=0, keepdims=False):
    deviation = a - np.mean(a, axis, keepdims=True)
    total = np.sum(deviation * deviation, axis, keepdims=keepdims)
    return total / (np.size(a) / np.size(total) - ddof)


@stands_for(np.std)
def std(a, axis=None, *, ddof=0, keepdims=False):
    return np.sqrt(np.var(a, axis, ddof=ddof, keepdims=keepdims))


@stands_for(np.clip)
def clip(a, a_min=None, a_max=None, *, min=None, max=None):
    least, greatest = a_min if min is None else min, a_max if max is None else max
    a = a if least is None else np.maximum(a, least)
    return a if greatest is None else np.minimum(a, greatest)


@stands_for(np.linalg.norm)
def norm(x, *, axis=None, keepdims=False):
    return np.sqrt(np.sum(x * x, axis, keepdims=keepdims))


@stands_for(np.dot)
def dot(a, b):
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.multiply(a, b)
    if np.ndim(a) > 2 or np.ndim(b) > 2:
        raise TypeError("np.dot does not take Nodes of more than two dimensions; np.matmul and np.einsum do")
    return np.matmul(a, b)


@stands_for(np.vdot)
def vdot(a, b):
    return np.matmul(np.ravel(a), np.ravel(b))


@stands_for(np.inner)
def inner(a, b):
    return np.dot(a, np.transpose(b))


@stands_for(np.outer)
def outer(a, b):
    return np.multiply(np.reshape(a, (-1, 1)), np.ravel(b))


@stands_for(np.trace)
def trace(a, offset=0, axis1=0, axis2=1):
    return np.sum(np.diagonal(a, offset, axis1, axis2), -1)


@stands_for(np.tril)
def tril(m, k=0):
    return np.where(np.tri(*m.shape[-2:], k, dtype=bool), m, 0)


@stands_for(np.triu)
def triu(m, k=0):
    return np.where(np.tri(*m.shape[-2:], k - 1, dtype=bool), 0, m)


@stands_for(np.diff)
def diff(a, n=1, axis=-1):
    for _ in range(n):
        a = np.moveaxis(a, axis, 0)
        a = np.moveaxis(a[1:] - a[:-1], 0, axis)
    return a


@stands_for(np.fliplr)
def fliplr(m):
    return np.flip(m, 1)


@stands_for(np.flipud)
def flipud(m):
    return np.flip(m, 0)


@stands_for(np.atleast_1d)
def atleast_1d(a):
    return a if np.ndim(a) else np.reshape(a, (1,))


@stands_for(np.atleast_2d)
def atleast_2d(a):
    return a if np.ndim(a) > 1 else np.reshape(a, (1, -1))


@stands_for(np.vstack)
def vstack(tup):
    return np.concatenate([np.atleast_2d(a) for a in tup], 0)


@stands_for(np.hstack)
def hstack(tup):
    arrays = [np.atleast_1d(a) for a in tup]
    return np.concatenate(arrays, 0 if np.ndim(arrays[0]) == 1 else 1)


@stands_for(np.column_stack)
def column_stack(tup):
    return np.concatenate([a if np.ndim(a) > 1 else np.reshape(a, (-1, 1)) for a in tup], 1)


@stands_for(np.array_split)
def array_split(ary, indices_or_sections, axis=0):
    parts = np.array_split(np.arange(np.shape(ary)[axis]), indices_or_sections)
    return [np.take(ary, part, axis) for part in parts]


@stands_for(np.split)
def split(ary, indices_or_sections, axis=0):
    np.split(np.empty(np.shape(ary)[axis]), indices_or_sections)  # refuses parts that are not equal
    return np.array_split(ary, indices_or_sections, axis)
