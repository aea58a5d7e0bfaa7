"""Products of arrays, all by `np.matmul` and `np.multiply`."""

import math

import numpy as np

from .composed import implements


@implements(np.dot)
def dot(a, b):
    m, n = np.ndim(a), np.ndim(b)
    if m == 0 or n == 0:
        return np.multiply(a, b)
    if m > 1 and n > 2:
        return np.tensordot(a, b, (-1, -2))
    return np.matmul(a, b)


@implements(np.vdot)
def vdot(a, b):
    return np.matmul(np.ravel(a), np.ravel(b))


@implements(np.inner)
def inner(a, b):
    if np.ndim(a) > 2 or np.ndim(b) > 2:
        return np.tensordot(a, b, (-1, -1))
    return np.dot(a, np.transpose(b)) if np.ndim(a) and np.ndim(b) else np.multiply(a, b)


@implements(np.outer, np.linalg.outer)
def outer(a, b):
    return np.multiply(np.reshape(a, (-1, 1)), np.ravel(b))


@implements(np.linalg.matmul)
def matmul(x1, x2, /):
    return np.matmul(x1, x2)


@implements(np.tensordot, np.linalg.tensordot)
def tensordot(a, b, axes=2):
    if isinstance(axes, (int, np.integer)):
        axes = range(-axes, 0), range(axes)
    left, right = ([d % np.ndim(x) for d in np.atleast_1d(ds)] for x, ds in zip((a, b), axes, strict=True))
    summed = [np.shape(a)[d] for d in left]
    if summed != [np.shape(b)[d] for d in right]:
        raise ValueError(f"np.tensordot: a is {np.shape(a)} and b is {np.shape(b)}; a's axes {left} and b's {right} "
                         "must have the same lengths")  # fmt: skip
    rows, columns = ([d for d in range(np.ndim(x)) if d not in ds] for x, ds in ((a, left), (b, right)))
    shape = [np.shape(a)[d] for d in rows], [np.shape(b)[d] for d in columns]
    matrices = (
        np.reshape(np.transpose(a, rows + left), (math.prod(shape[0]), math.prod(summed))),
        np.reshape(np.transpose(b, right + columns), (math.prod(summed), math.prod(shape[1]))),
    )
    return np.reshape(np.matmul(*matrices), shape[0] + shape[1])


@implements(np.kron)
def kron(a, b):
    n = max(np.ndim(a), np.ndim(b))
    a_shape, b_shape = ((1,) * (n - np.ndim(x)) + np.shape(x) for x in (a, b))
    blocks = np.reshape(a, [m for size in a_shape for m in (size, 1)])
    inside = np.reshape(b, [m for size in b_shape for m in (1, size)])
    return np.reshape(blocks * inside, [p * q for p, q in zip(a_shape, b_shape, strict=True)])


@implements(np.cross)
def cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    if (np.shape(a)[-1], np.shape(b)[-1]) != (3, 3):
        raise ValueError(f"np.cross: the vectors have {np.shape(a)[-1]} and {np.shape(b)[-1]} numbers, but must have 3")
    pairs = [(a[..., i - 2] * b[..., i - 1], a[..., i - 1] * b[..., i - 2]) for i in range(3)]
    return np.stack([plus - minus for plus, minus in pairs], axisc)


@implements(np.linalg.cross)
def cross_of_vectors(x1, x2, /, *, axis=-1):
    return np.cross(x1, x2, axis=axis)


@implements(np.vecdot, np.linalg.vecdot)
def vecdot(x1, x2, /, *, axis=-1):
    if axis != -1:
        x1, x2 = np.moveaxis(x1, axis, -1), np.moveaxis(x2, axis, -1)
    return np.sum(x1 * x2, -1)


@implements("matvec")
def matvec(x1, x2, /):
    return np.matmul(x1, np.expand_dims(x2, -1))[..., 0]


@implements("vecmat")
def vecmat(x1, x2, /):
    return np.matmul(np.expand_dims(x1, -2), x2)[..., 0, :]


@implements(np.trace)
def trace(a, offset=0, axis1=0, axis2=1):
    return np.sum(np.diagonal(a, offset, axis1, axis2), -1)


@implements(np.linalg.trace)
def trace_of_matrices(x, /, *, offset=0):
    return np.trace(x, offset, -2, -1)


@implements(np.linalg.diagonal)
def diagonal_of_matrices(x, /, *, offset=0):
    return np.diagonal(x, offset, -2, -1)
