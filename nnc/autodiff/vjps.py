"""Forward functions and vector-Jacobian products that take more than a line, for the table in `operations`.

``something_back(g, C, A, ...)`` is dJ/dA for C = something(A, ...) and g = dJ/dC; `operations` says what g may be,
and what a vjp may return. For any number of arrays, ``something_back(i)`` is the vjp of the i-th.
``something_back_of_nodes`` is the same where a graph of the backward pass is built, if the first is for arrays only.
"""

import math

import numpy as np

from .. import _direct, _engine, functional
from .dispatch import value_of
from .indexing import axes_of, from_end

MANY = _engine.MANY  # the size from which on the engine's elementwise kernels use all cores; NumPy's use one


def times(g, A, s=1):
    """s g A, s a number. The gradient of a sum or a mean is one number broadcast, and is taken as that number."""
    if g.size < MANY or not type(A) is type(g) is np.ndarray or g.shape != A.shape or g.dtype != A.dtype:
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


def no_gradient(g, C, *operands, **params):
    """The vjp of an operand whose derivative is 0 wherever it exists."""


def masked(g, mask):
    """g where the mask is true, else 0. np.where is many times slower where branch prediction fails."""
    g = g if isinstance(g, _engine.Node) else np.asarray(g, order="C")
    return _engine.relu_backward(g, np.asarray(mask, g.dtype))


def restore_axes(g, ndim, axis=None, keepdims=False):
    """g with the axes that a reduction has removed, each of length 1, as keepdims=True leaves them; a 0-d g as it is.
    Like `broadcast_back` it does not take the operand, so that `reads` sees that its numbers are not read."""
    if keepdims or not g.ndim:
        return g
    axes = axes_of(axis, ndim)
    shape, batch_ndim = list(g.shape), g.ndim + len(axes) - ndim
    for a in sorted(axes):
        shape.insert(batch_ndim + a, 1)
    return g.reshape(shape)


def broadcast_back(g, shape, size, axis=None, keepdims=False):
    """The vjp of a sum: g, broadcast to the shape of the operand."""
    if not g.ndim and size <= 4096:  # a sum of all, and few: the same as below, in half the time
        out = np.empty(shape, g.dtype)
        out.fill(g)
        return out
    ndim = len(shape)
    g = restore_axes(g, ndim, axis, keepdims)
    shape = g.shape[: max(g.ndim - ndim, 0)] + shape
    if size > 4096:
        return np.broadcast_to(g, shape)  # costs no memory, but 3 microseconds
    out = np.empty(shape, g.dtype)
    out[...] = g
    return out


def sum_back_of_nodes(g, C, A, axis=None, keepdims=False):
    return np.broadcast_to(restore_axes(g, A.ndim, axis, keepdims), g.shape[: g.ndim - C.ndim] + A.shape)


def share_among(g, C, A, axis=None, keepdims=False):
    """g goes to the greatest (least) numbers of A, equally where there are several; NaN to all if one is NaN."""
    top = A == restore_axes(C, A.ndim, axis, keepdims)
    if not g.ndim:
        out = np.zeros(A.shape, g.dtype)
        number = np.count_nonzero(top)
        out[top if number else ...] = g / (number or np.nan)
        return out
    top, number = among_nan(top, np.add.reduce(top, axis, A.dtype, None, True))
    return masked(restore_axes(g, A.ndim, axis, keepdims) / number, top)


def among_nan(top, number):
    """Which numbers get a share, and how many they are: NaN where none is the greatest, since one of them is NaN."""
    if not number.all():
        number = np.where(number == 0, number.dtype.type(np.nan), number)
        top = top | np.isnan(number)
    return top, number


def share_among_of_nodes(g, C, A, axis=None, keepdims=False):
    top = value_of(A) == restore_axes(value_of(C), A.ndim, axis, keepdims)
    top, number = among_nan(top, np.sum(top, axis, dtype=A.dtype, keepdims=True))
    return masked(sum_back_of_nodes(g, C, A, axis, keepdims) / number, top)


def reduction(ufunc):
    """ufunc.reduce, by default over all axes: np.sum and the like without their overhead of 3 microseconds."""
    reduce = ufunc.reduce
    return lambda A, axis=None, keepdims=False: reduce(A, axis, None, None, keepdims)


def mean(A, axis=None, keepdims=False):
    if axis is not None and not A.ndim:
        raise np.exceptions.AxisError(axis, 0)  # as np.mean does, though np.sum does not
    total = np.add.reduce(A, axis, None, None, keepdims)
    return total / (A.size / (total.size or 1))


def mean_back(g, C, A, axis=None, keepdims=False):
    return broadcast_back(g / (A.size / (C.size or 1)), A.shape, A.size, axis, keepdims)


def mean_back_of_nodes(g, C, A, axis=None, keepdims=False):
    g = g / (A.size / (C.size or 1))
    return np.broadcast_to(restore_axes(g, A.ndim, axis, keepdims), g.shape[: g.ndim - C.ndim] + A.shape)


def prod_back(g, C, A, axis=None, keepdims=False):
    """Each number gets the product of all others, without a division if that product or the number may be 0."""
    if C.ndim == 0 and 1e-30 < abs(C) < np.inf:
        return restore_axes(g, A.ndim, axis, keepdims) * (C / A)
    axes = axes_of(axis, A.ndim)
    order = [i for i in range(A.ndim) if i not in axes] + axes
    line = A.transpose(order)
    flat = line.reshape((*line.shape[: A.ndim - len(axes)], math.prod(line.shape[A.ndim - len(axes) :])))
    others = np.ones_like(flat)
    others[..., 1:] = np.cumprod(flat[..., :-1], axis=-1)
    others[..., :-1] *= np.cumprod(flat[..., :0:-1], axis=-1)[..., ::-1]
    others = others.reshape(line.shape).transpose(sorted(range(A.ndim), key=order.__getitem__))
    return broadcast_back(g, A.shape, A.size, axis, keepdims) * others


def prod_back_of_nodes(g, C, A, axis=None, keepdims=False):
    """If a number may be 0, by the products of all numbers but one, n² multiplications."""
    g, whole = restore_axes(g, A.ndim, axis, keepdims), restore_axes(C, A.ndim, axis, keepdims)
    numbers = np.abs(value_of(A))
    if 1e-30 < numbers.min(initial=1) and 1e-30 < np.abs(C.value).min(initial=1) and np.isfinite(C.value).all():
        return g * (whole / A)
    axes = axes_of(axis, A.ndim)
    order = [i for i in range(A.ndim) if i not in axes] + axes
    line = A.transpose(order)
    flat = line.reshape((*line.shape[: A.ndim - len(axes)], math.prod(line.shape[A.ndim - len(axes) :])))
    n = flat.shape[-1]
    others = np.prod(flat[..., np.array([[j for j in range(n) if j != i] for i in range(n)], np.intp)], -1)
    return g * others.reshape(line.shape).transpose(sorted(range(A.ndim), key=order.__getitem__))


def cumsum_back(g, C, A, axis=None):
    """Each number is a term of every sum from its own index on."""
    axis = -1 if axis is None else from_end(axis, A.ndim)
    backwards = (..., slice(None, None, -1), *[slice(None)] * (-1 - axis))
    return np.add.accumulate(g[backwards], axis)[backwards].reshape(g.shape[: g.ndim - C.ndim] + A.shape)


def cumsum_back_of_nodes(g, C, A, axis=None):
    axis = -1 if axis is None else from_end(axis, A.ndim)
    backwards = (..., slice(None, None, -1), *[slice(None)] * (-1 - axis))
    return np.cumsum(g[backwards], axis)[backwards].reshape(g.shape[: g.ndim - C.ndim] + A.shape)


def matmul_left(g, C, A, B, b=None):
    """dA = dC Bᵀ (eq. 11.5), also of A B + b. A 1-D A is a row, a 1-D B a column."""
    if A.ndim == B.ndim == 2:
        return _direct.matmul(g, B.T)
    if B.ndim == 1:
        g, B = g[..., None], B[:, None]
    if A.ndim == 1:
        g = g[..., None, :]
    dA = _engine.matmul(g, B.swapaxes(-1, -2))
    return dA[..., 0, :] if A.ndim == 1 else dA


def matmul_right(g, C, A, B, b=None):
    """dB = Aᵀ dC, also of A B + b."""
    if A.ndim == B.ndim == 2:
        return _direct.matmul(A.T, g)
    if B.ndim == 1:
        g = g[..., None]
    if A.ndim == 1:
        g, A = g[..., None, :], A[None]
    dB = _engine.matmul(A.swapaxes(-1, -2), g)
    return dB[..., 0] if B.ndim == 1 else dB


def power_base(g, C, A, B):
    """g B A^(B-1), and 0 where B = 0, also where A = 0."""
    if isinstance(B, _engine.Node):  # B's derivative must be right, too, where B = 0
        return g * (B * A ** np.where((value_of(A) == 0) & (value_of(B) == 0), 1, B - 1))
    if getattr(B, "ndim", 0) == 0:
        if B == 2:
            return times(g, A, 2)
        if B < 0.5 and B % 1:
            return g * (B * divided_by_base(C, A))
        return g * (B * A ** (B - 1)) if B else np.zeros_like(g * A)
    power = A ** np.where(B == 0, 1, B - 1)
    rounded = (B < 0.5) & (B % 1 != 0)
    return g * (B * (np.where(rounded, divided_by_base(C, A), power) if rounded.any() else power))


def divided_by_base(C, A):
    """A^(B-1) as A^B / A, for B < 0.5, where B - 1 is rounded and A to the power of that is off by many units."""
    return np.where(value_of(A) == 0, 1, C) / A


def ratio(A, C):
    """A / C for C = |(A, B)|, which has no derivative at 0, but a subgradient of 0."""
    return A / np.where(value_of(C) == 0, 1, C)


def share_of(A, B):
    """e^A / (e^A + e^B), the derivative of ln(e^A + e^B) in A; one half for equal infinities."""
    same = (value_of(A) == value_of(B)) & np.isinf(value_of(A))
    return _direct.sigmoid(np.where(same, 0, A) - np.where(same, 0, B))


def power_exponent(g, C, A, B):
    """g A^B ln A, and 0 where A = 0."""
    return g * (C * np.log(np.where(value_of(A) == 0, 1, A)))


def softmax_back(g, P, Z, axis=0):
    axis = from_end(axis, Z.ndim)
    if axis == -2 and g.ndim == 2:
        return _direct.softmax_backward_columns(g, P)
    return _engine.softmax_backward(g, P, axis=axis)


def log_softmax_back(g, C, Z, axis=0):
    return g - np.exp(C) * np.add.reduce(g, from_end(axis, Z.ndim), keepdims=True)


def log_softmax_back_of_nodes(g, C, Z, axis=0):
    return g - np.exp(C) * np.sum(g, from_end(axis, Z.ndim), keepdims=True)


def softmax_backward_probabilities(g, C, dP, P, axis=-2):
    """d/dP of P (dP - sum dP P)."""
    axis = from_end(axis, C.ndim)
    return g * (dP - np.sum(dP * P, axis, keepdims=True)) - dP * np.sum(g * P, axis, keepdims=True)


def each_row(dL):
    """dL, (r,) or a number, as a factor of each row of (n, r)."""
    return dL[..., None, :] if np.ndim(dL) else dL


def cross_entropy_back(g, L, P, y):
    return (_direct.cross_entropy_backward if y.ndim == 1 else _direct.cross_entropy_targets_backward)(g, P, y)


def _from_probabilities(y):
    """(P - Y) dL, for labels or for targets."""
    labels, targets = _engine.softmax_cross_entropy_backward, _engine.softmax_cross_entropy_targets_backward
    return labels if y.ndim == 1 else targets


def softmax_cross_entropy_back(g, L, Z, y, P=None):
    """dZ = (P - Y) dL (eq. 10.1), from P where it was saved for backward: in small arrays, for labels."""
    if P is not None and g.ndim == 1:
        return _direct.softmax_cross_entropy_backward(g, P, y)
    if y.ndim == 1:
        return _direct.softmax_cross_entropy_recompute_backward(g, Z, y)
    return _direct.softmax_cross_entropy_targets_recompute_backward(g, Z, y)


def softmax_cross_entropy_back_of_nodes(g, L, Z, y, P=None):
    """dZ = (P - Y) dL, with the softmax in the graph."""
    return _from_probabilities(y)(g, functional.softmax(Z), y)


def loss_gradient_loss(g, C, dL, P, y):
    """d/d(dL) of (P - Y) dL."""
    ones = np.ones(P.shape[-1], P.dtype)
    D = _from_probabilities(y)(ones, P, y)
    return np.sum(g * D, -2)


def cross_entropy_backward_loss(g, C, dL, P, y):
    """d/d(dL) of -Y/P dL."""
    ones = np.ones(P.shape[-1], P.dtype)
    return np.sum(g * cross_entropy_back(ones, None, P, y), -2)


def cross_entropy_backward_probabilities(g, C, dL, P, y):
    """d/dP of -Y/P dL: where Y is 0, that is 0, whatever P is."""
    return -(g * (C / np.where(value_of(C) == 0, 1, P)))
