"""Differences, integrals, cumulative sums and products, convolution, interpolation, polynomials."""

import math

import numpy as np

from . import batch_axes
from .composed import implements
from .dispatch import is_node, operation
from .operations import row

# ---- differences and integrals ---------------------------------------------------------------------------------------


@implements(np.diff)
def diff(a, n=1, axis=-1, prepend=None, append=None):
    if n < 0:
        raise ValueError(f"np.diff: n is {n}, but must be at least 0")
    if n == 0:
        return +a
    shape = list(np.shape(a))
    shape[axis] = 1  # a number is one entry along the axis
    ends = [x if x is None or np.ndim(x) else np.broadcast_to(x, shape) for x in (prepend, append)]
    if prepend is not None or append is not None:
        a = np.concatenate([x for x in (ends[0], a, ends[1]) if x is not None], axis)
    for _ in range(n):
        a = np.moveaxis(a, axis, 0)
        a = np.moveaxis(a[1:] - a[:-1], 0, axis)
    return a


@implements(np.ediff1d)
def ediff1d(ary, to_end=None, to_begin=None):
    parts = [np.ravel(x) for x in (to_begin, np.diff(np.ravel(ary)), to_end) if x is not None]
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


@implements(np.gradient)
def gradient(f, *varargs, axis=None, edge_order=1):
    axes = range(np.ndim(f)) if axis is None else [int(d) % np.ndim(f) for d in np.atleast_1d(axis)]
    if len(varargs) == 1 and np.ndim(varargs[0]) == 0:
        varargs *= len(axes)
    spacings = varargs or (1.0,) * len(axes)
    if len(spacings) != len(axes):
        raise TypeError(f"np.gradient: there are {len(axes)} axes and {len(spacings)} spacings; there must be none, "
                        "one number, or one for each axis")  # fmt: skip
    slopes = tuple(slopes_along(f, spacing, d, edge_order) for d, spacing in zip(axes, spacings, strict=True))
    return slopes[0] if len(axes) == 1 else slopes


def slopes_along(f, spacing, axis, edge_order):
    """The slope at each point along the axis, of the parabola through it and its neighbours."""
    f = np.moveaxis(f, axis, 0)
    n = len(f)
    if edge_order not in (1, 2) or n <= edge_order:
        raise ValueError(f"np.gradient: edge_order is {edge_order} and f is {np.shape(f)}; it must be 1 or 2, and less "
                         "than the number of points along the axis")  # fmt: skip
    if np.ndim(spacing):
        if np.shape(spacing) != (n,):
            raise ValueError(f"np.gradient: the points along the axis are {np.shape(spacing)}, but must be ({n},)")
        h = np.reshape(np.diff(spacing), (-1,) + (1,) * (f.ndim - 1))
        p, q = h[:-1], h[1:]  # before and after
        inner = f[2:] * (p / (q * (p + q))) + f[1:-1] * ((q - p) / (p * q)) - f[:-2] * (q / (p * (p + q)))
        ends = (h[0], h[min(1, n - 2)]), (h[-1], h[max(-2, 1 - n)])
    else:
        inner = (f[2:] - f[:-2]) / (2.0 * spacing)
        ends = ((spacing, spacing),) * 2

    def at_end(f, p, q):
        """The slope at f[0], where p is the distance to the next point and q from that to the one after."""
        if edge_order == 1:
            return (f[1] - f[0]) / p
        return f[1] * ((p + q) / (p * q)) - f[0] * ((2 * p + q) / (p * (p + q))) - f[2] * (p / (q * (p + q)))

    first, last = at_end(f, *ends[0]), -at_end(f[::-1], *ends[1])
    return np.moveaxis(np.concatenate((first[None], inner, last[None])), 0, axis)


@implements(np.trapezoid)
def trapezoid(y, x=None, dx=1.0, axis=-1):
    widths = dx
    if x is not None:
        widths = np.diff(x, axis=axis if np.ndim(x) > 1 else -1)
        if np.ndim(x) == 1:
            widths = np.reshape(widths, (-1,) + (1,) * (np.ndim(y) - 1 - axis % np.ndim(y)))
    y = np.moveaxis(y, axis, 0)
    heights = np.moveaxis(y[1:] + y[:-1], 0, axis)
    return np.sum(widths * heights / 2.0, axis)


# ---- cumulative sums and products ------------------------------------------------------------------------------------


def cumprod_back(g, C, A, axis=None):
    """C_{i-1} h_i with h_i = g_i + A_{i+1} h_{i+1}, without a division; log n steps, each over twice as many."""
    if axis is None:
        flat = np.reshape(g, g.shape[: g.ndim - C.ndim] + (A.size,))
        return np.reshape(cumprod_back(flat, np.ravel(C), np.ravel(A), 0), g.shape[: g.ndim - C.ndim] + A.shape)
    last = (axis % A.ndim - A.ndim, -1)
    h, C, A = np.moveaxis(g, *last), np.moveaxis(C, *last), np.moveaxis(A, *last)
    n = A.shape[-1]
    zero, one = np.zeros_like(A[..., :1]), np.ones_like(A[..., :1])
    factor, step = np.concatenate((A[..., 1:], zero[..., :n]), -1), 1
    while step < n:
        h = np.concatenate((h[..., :-step] + factor[..., :-step] * h[..., step:], h[..., -step:]), -1)
        factor = np.concatenate((factor[..., :-step] * factor[..., step:], factor[..., -step:]), -1)
        step *= 2
    return np.moveaxis(h * np.concatenate((one[..., :n], C[..., :-1]), -1), *last[::-1])


row("cumprod", np.cumprod, r"\prod_{j \leq i} {0}_j", (cumprod_back, r"\sum_{k \geq i} {g}_k \prod_{j \neq i} {0}_j"),
    params="axis", forward=lambda A, axis=None: A.cumprod(axis), batch=batch_axes.all_but(None))  # fmt: skip


def cumulative(function, start):
    def along_axis(x, /, *, axis=None, include_initial=False):
        if axis is None and np.ndim(x) > 1:
            raise ValueError(f"np.{function.__name__}: x is {np.shape(x)}; with several axes, give axis")
        c = function(x, -1 if axis is None else axis)
        if not include_initial:
            return c
        shape = list(c.shape)
        shape[-1 if axis is None else axis] = 1
        return np.concatenate((np.full(shape, start, c.dtype), c), -1 if axis is None else axis)

    return along_axis


implements("cumulative_sum")(cumulative(np.cumsum, 0))
implements("cumulative_prod")(cumulative(np.cumprod, 1))


@implements(np.nancumsum)
def nancumsum(a, axis=None):
    return np.cumsum(np.where(np.isnan(a), 0, a), axis)


@implements(np.nancumprod)
def nancumprod(a, axis=None):
    return np.cumprod(np.where(np.isnan(a), 1, a), axis)


# ---- convolution -----------------------------------------------------------------------------------------------------


def convolve_back(i):
    """The gradient of one operand: g, with 0 for what the mode has cut off, convolved with the other one reversed."""

    def vjp(g, C, *operands, mode="full"):
        mine, other = operands[i], np.ravel(operands[1 - i])
        n, batch = mine.size + other.size - 1, g.shape[:-1]
        before = 0 if mode == "full" else min(mine.size, other.size) - 1
        before = before // 2 if mode == "same" else before
        sides = [np.zeros((*batch, k), g.dtype) for k in (before, n - before - g.shape[-1])]
        rows = np.reshape(np.concatenate((sides[0], g, sides[1]), -1), (math.prod(batch), n))
        result = np.stack([np.convolve(row, other[::-1], "valid") for row in rows])
        return np.reshape(result, batch + mine.shape)

    return vjp


row("convolve", np.convolve, r"{0} * {1}",
    (convolve_back(0), r"{g} \star {1}"), (convolve_back(1), r"{g} \star {0}"), params="mode",
    batch=lambda *_: None)  # fmt: skip


@implements(np.correlate)
def correlate(a, v, mode="valid"):
    if np.size(a) < np.size(v):  # "same" is not symmetric
        return np.flip(np.convolve(v, np.flip(a), mode))
    return np.convolve(a, np.flip(v), mode)


# ---- interpolation ---------------------------------------------------------------------------------------------------


def numbers(x):
    return x if is_node(x) else np.asarray(x, np.float64)


@operation
def piece(y, number):
    """y itself; `number` is that of the piece of a piecewise function that it is on."""
    return +y


row("piece", piece, "{0}", (lambda g, C, y, number: g, "{g}"), None, kinks=lambda y, number: number)


@implements(np.interp)
def interp(x, xp, fp, left=None, right=None, period=None):
    """Linear between the two points around x; at a point, by the segment that begins there."""
    x, xp, fp = numbers(x), numbers(xp), numbers(fp)
    if np.ndim(xp) != 1 or np.shape(xp) != np.shape(fp) or not np.size(xp):
        raise ValueError(f"np.interp: xp is {np.shape(xp)} and fp is {np.shape(fp)}; both must be vectors of one "
                         "length, not empty")  # fmt: skip
    if period is not None:
        x, xp = np.remainder(x, abs(period)), np.remainder(xp, abs(period))
        order = np.argsort(xp)
        order = np.concatenate((order[-1:], order, order[:1]))
        ends = np.zeros(len(order))
        ends[[0, -1]] = -abs(period), abs(period)
        xp, fp, left, right = xp[order] + ends, fp[order], None, None
    left, right = fp[0] if left is None else left, fp[-1] if right is None else right
    i = np.clip(np.searchsorted(xp, x, "right") - 1, 0, max(len(xp) - 2, 0))
    y = fp[i]
    if len(xp) > 1:
        y = piece(y + (fp[i + 1] - y) / (xp[i + 1] - xp[i]) * (x - xp[i]), i)
    return np.where(np.less(x, xp[0]), left, np.where(np.greater(x, xp[-1]), right, np.where(np.isnan(x), x, y)))


# ---- polynomials -----------------------------------------------------------------------------------------------------


@implements(np.vander)
def vander(x, N=None, increasing=False):
    if np.ndim(x) != 1:
        raise ValueError(f"np.vander: x is {np.shape(x)}, but must be a vector")
    powers = np.arange(np.size(x) if N is None else N).astype(x.dtype)
    return np.expand_dims(x, 1) ** (powers if increasing else powers[::-1])


@implements(np.polyval)
def polyval(p, x):
    """Horner's method."""
    y = np.zeros_like(x)
    for coefficient in p:
        y = y * x + coefficient
    return y
