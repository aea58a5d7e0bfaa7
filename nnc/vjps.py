"""Forwards and vector-Jacobian products that take more than a line: what the table in `nnc.rules` is written with.

``something_back(g, C, A, ...)`` is dJ/dA for C = something(A, ...) and g = dJ/dC; `nnc.rules` says what g may be,
and what a vjp may return. Of any number of arrays, ``something_back(i)`` is the vjp of the i-th.
"""

from functools import partial

import numpy as np

from . import _direct, _engine

MANY = _engine.MANY  # numbers from which the engine's elementwise kernels use all cores; NumPy's have one


def _axes(axis, A):
    """The axes of a reduction as a list of numbers from 0 on; NumPy lets one say axis=0 and -1 of a number, too."""
    if axis is None or not A.ndim:
        return list(range(A.ndim))
    return [a % A.ndim for a in axis] if isinstance(axis, tuple) else [axis % A.ndim]


def _from_end(axis, A):
    return axis if axis < 0 else axis - A.ndim


def _leading(g, C):
    """The shape of the axes that g has in front of C's."""
    return g.shape[: g.ndim - C.ndim]


def times(g, A, s=1):
    """s g A, s a number. What a sum or a mean passes back is the same number everywhere, and is taken as that one."""
    if g.size < MANY or type(A) is not np.ndarray or g.shape != A.shape or g.dtype != A.dtype:
        return g * A if s == 1 else g * (s * A)
    if not any(g.strides):
        return _engine.scale(A, s * g.flat[0])
    c = _engine.multiply(g, A)
    return c if s == 1 else _engine.scale(c, s, out=c)


def plus(A, B):
    """A + B."""
    if A.size < MANY or type(B) is not np.ndarray or A.shape != B.shape or A.dtype != B.dtype:
        return A + B
    return _engine.add(A, B)


def power(A, B):
    """A^B."""
    return times(A, A) if isinstance(B, (int, float)) and B == 2 else A**B


def chosen(g, mask):
    """g where the mask is true, else 0. np.where is many times slower if true and false change in no regular way."""
    return _engine.relu_backward(np.asarray(g, order="C"), np.asarray(mask, g.dtype))


def spread(g, A, axis=None, keepdims=False):
    """Undo the shape of a reduction: every number of A gets the entry of g that it went into."""
    shape = A.shape
    if g.ndim:  # a number goes everywhere by itself
        kept = list(g.shape)
        if not keepdims:
            axes = _axes(axis, A)
            lead = g.ndim + len(axes) - A.ndim
            for a in sorted(axes):
                kept.insert(lead + a, 1)
            g = g.reshape(kept)
        shape = (*kept[: len(kept) - A.ndim], *shape)
    if A.size > 4096:
        return np.broadcast_to(g, shape)  # costs no memory, but 3 microseconds
    out = np.empty(shape, g.dtype)
    out[...] = g
    return out


def share(g, A, B):
    """The part of g that goes to A in max(A, B): all where A is greater, half at a tie."""
    c = chosen(g, A >= B)
    tie = A == B
    return np.where(tie, c / 2, c) if tie.any() else c


def share_among(g, C, A, axis=None, keepdims=False):
    """g goes to the greatest (least) numbers of A, in equal parts where there are several."""
    top = A == spread(C, A, axis, keepdims)
    number = np.maximum(np.add.reduce(top, axis, keepdims=True), 1).astype(A.dtype)
    return chosen(spread(g, A, axis, keepdims) / number, top)


def reduction(ufunc):
    """ufunc.reduce over all axes unless told otherwise: np.sum and the like without their 3 microseconds."""
    reduce = ufunc.reduce
    return lambda A, axis=None, keepdims=False: reduce(A, axis, None, None, keepdims)


def mean(A, axis=None, keepdims=False):
    if axis is not None and not A.ndim:
        raise np.exceptions.AxisError(axis, 0)  # as np.mean does, though np.sum does not
    total = np.add.reduce(A, axis, None, None, keepdims)
    return total / (A.size / (total.size or 1))


def mean_back(g, C, A, axis=None, keepdims=False):
    return spread(g / (A.size / (C.size or 1)), A, axis, keepdims)


def prod_back(g, C, A, axis=None, keepdims=False):
    """Each number gets the product of all others, without a division: numbers may be 0."""
    axes = _axes(axis, A)
    order = [i for i in range(A.ndim) if i not in axes] + axes
    line = A.transpose(order)
    flat = line.reshape(line.shape[: A.ndim - len(axes)] + (-1,))
    others = np.ones_like(flat)
    others[..., 1:] = np.cumprod(flat[..., :-1], axis=-1)
    others[..., :-1] *= np.cumprod(flat[..., :0:-1], axis=-1)[..., ::-1]
    others = others.reshape(line.shape).transpose(sorted(range(A.ndim), key=order.__getitem__))
    return spread(g, A, axis, keepdims) * others


def cumsum_back(g, C, A, axis=None):
    """Each number went into every sum from its own place on."""
    axis = -1 if axis is None else _from_end(axis, A)
    return reshape_back(np.flip(np.cumsum(np.flip(g, axis), axis), axis), C, A)


def reshape_back(g, C, A, **params):
    return g.reshape(_leading(g, C) + A.shape)


def move_back(move):
    """For functions that put axes in another order."""

    def vjp(g, C, A, **params):
        if A.ndim == 2 and not params:
            return g.swapaxes(-1, -2)
        order = move(np.empty(range(A.ndim)), **params).shape  # where each axis came from, as axis i is of length i
        lead = g.ndim - A.ndim
        return g.transpose(*range(lead), *[lead + i for i in sorted(range(A.ndim), key=order.__getitem__)])

    return vjp


def take_back(take):
    """For functions that pick numbers: g goes back to where they came from, and adds up where one was picked twice."""

    def vjp(g, C, A, **params):
        places = take(np.arange(A.size).reshape(A.shape), **params)
        lead = _leading(g, C)
        out = np.zeros(lead + A.shape, g.dtype)
        np.add.at(out.reshape(lead + (A.size,)), (..., places.ravel()), g.reshape(lead + (places.size,)))
        return out

    return vjp


def getitem(A, index):
    return A[index]


PICKS_NOTHING_TWICE = {int, slice, type(None), type(Ellipsis), np.int64}


def getitem_back(g, C, A, index):
    if not PICKS_NOTHING_TWICE.issuperset(map(type, index)):
        return take_back(getitem)(g, C, A, index=index)
    lead = _leading(g, C)
    out = np.zeros(lead + A.shape, g.dtype)
    out[(slice(None),) * len(lead) + index] = g
    return out


def concatenate_back(i):
    return partial(_engine.part, i)


def stack_back(i):
    return lambda g, C, *arrays, axis=0: g.take(i, _from_end(axis, C))


def einsum_arguments(subscripts, *arrays):
    """Subscripts as np.einsum wants them, with the letters of the result spelled out."""
    terms, arrow, out = subscripts.replace(" ", "").partition("->")
    if "." in terms or any(len(set(term)) < len(term) for term in terms.split(",")):
        raise TypeError(f"np.einsum: {subscripts!r} has dots or a letter twice in one operand, which Nodes cannot have")
    if not arrow:
        out = "".join(sorted(letter for letter in set(terms) - {","} if terms.count(letter) == 1))
    return arrays, {"subscripts": f"{terms}->{out}"}


def einsum_back(i):
    """The same sum with g in the place of the i-th operand; a letter that only this one has was summed by itself."""

    def vjp(g, C, *arrays, subscripts):
        terms, _, out = subscripts.partition("->")
        terms = terms.split(",")
        mine, others = terms.pop(i), [*arrays[:i], *arrays[i + 1 :]]
        alone = [k for k, letter in enumerate(mine) if letter not in out + "".join(terms)]
        terms.append("".join(mine[k] for k in alone))
        others.append(np.ones([arrays[i].shape[k] for k in alone], g.dtype))
        return np.einsum(f"{','.join(['...' + out, *terms])}->...{mine}", g, *others)

    return vjp


def matrices(g, A, B):
    """g and the operands of a product with the axes that a vector lacks: a 1-D A is a row, a 1-D B a column."""
    if B.ndim == 1:
        g, B = g[..., None], B[:, None]
    if A.ndim == 1:
        g, A = g[..., None, :], A[None]
    return g, A, B


def matmul_left(g, C, A, B, b=None):
    """dA = dC Bᵀ (eq. 11.5), also of A B + b."""
    if A.ndim == B.ndim == 2:
        return _direct.matmul(g, B.T)
    dC, _, matrix = matrices(g, A, B)
    dA = _engine.matmul(dC, matrix.swapaxes(-1, -2))
    return dA[..., 0, :] if A.ndim == 1 else dA


def matmul_right(g, C, A, B, b=None):
    """dB = Aᵀ dC, also of A B + b."""
    if A.ndim == B.ndim == 2:
        return _direct.matmul(A.T, g)
    dC, matrix, _ = matrices(g, A, B)
    dB = _engine.matmul(matrix.swapaxes(-1, -2), dC)
    return dB[..., 0] if B.ndim == 1 else dB


def power_base(g, C, A, B):
    """g B A^(B-1), and 0 where B = 0, also where A = 0."""
    if getattr(B, "ndim", 0) == 0:
        if B == 2:
            return times(g, A, 2)
        return g * (B * A ** (B - 1)) if B else np.zeros_like(g * A)
    return g * (B * A ** np.where(B == 0, 1, B - 1))


def power_exponent(g, C, A, B):
    """g A^B ln A, and 0 where A = 0."""
    return g * (C * np.log(np.where(A == 0, 1, A)))


def softmax_back(g, P, Z, axis=0):
    axis = _from_end(axis, Z)
    if axis == -2 and g.ndim == 2:
        return _direct.softmax_backward_columns(g, P)
    return _engine.softmax_backward(g, P, axis=axis)


def log_softmax_back(g, C, Z, axis=0):
    return g - np.exp(C) * np.add.reduce(g, _from_end(axis, Z), keepdims=True)


def cross_entropy_back(g, L, P, y):
    return (_direct.cross_entropy_backward if y.ndim == 1 else _direct.cross_entropy_targets_backward)(g, P, y)


def softmax_cross_entropy_back(g, L, Z, y):
    """dZ = (P - Y) dL (eq. 10.1), from Z: to compute the softmax again is cheaper than to keep it."""
    if y.ndim == 1:
        return _direct.softmax_cross_entropy_backward(g, Z, y)
    return _direct.softmax_cross_entropy_targets_backward(g, Z, y)
