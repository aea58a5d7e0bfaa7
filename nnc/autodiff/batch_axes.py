"""Where an operation's operands hold the examples: the `batch` of a row of the table in `operations`.

``something(operand, i, node, k)`` is the axis of the node's i-th operand that axis k of the node comes from: entry j
along that axis of the node depends on entry j along this axis of the operand and on no other. It is None if there is
no such axis. An operation whose row has no `batch` is taken to mix the examples.
"""

import numpy as np

from .. import _engine


def elementwise(operand, i, node, k):
    """Axes are matched from the end, as they broadcast."""
    axis = k - node.ndim + operand.ndim
    if axis < 0 or operand.shape[axis] != node.shape[k]:
        return None
    if node.shape[k] == 1 and not operand.inputs:  # one example: is this leaf (n, 1) a bias or a column of data?
        if any(isinstance(x, _engine.Node) and x.inputs for x in node.inputs):
            return None  # next to what was computed from the example, it is a bias
    return axis


def bias(operand, i, node, k):
    """Z + b: all examples share b."""
    return None if i == 1 else elementwise(operand, i, node, k)


def product(operand, i, node, k):
    """Z = W X + b: the columns of Z are those of X, its rows those of W and b; all may have batch axes."""
    ends = [name for name, x in zip(("rows", "columns"), node.inputs, strict=False) if np.ndim(x) > 1]
    end = k - node.ndim + len(ends)
    if end >= 0:
        if ends[end] == "columns":
            return operand.ndim - 1 if i == 1 else None
        return operand.ndim - 2 if i != 1 else None
    axis = operand.ndim - 2 + end
    return axis if axis >= 0 and operand.shape[axis] == node.shape[k] else None


def einsum(operand, i, node, k):
    """The axis with the same letter."""
    terms, _, out = node.params["subscripts"].partition("->")
    return axis if (axis := terms.split(",")[i].find(out[k])) >= 0 else None


def loss(operand, i, node, k):
    """L (r,) of P (n, r)."""
    return 1


def reduction(operand, i, node, k):
    """Sums, means, maxima: the axes that are kept."""
    axes, axis = list(range(operand.ndim)), node.params.get("axis")
    reduced = axes if axis is None else [a % operand.ndim for a in np.atleast_1d(axis)]
    kept = axes if node.params.get("keepdims") else [a for a in axes if a not in reduced]
    return kept[k] if kept[k] not in reduced else None


def all_but(default, new=0):
    """For operations that mix entries along one axis: all axes but that one, which is `new` if the operands lack it."""

    def batch(operand, i, node, k):
        along = node.params.get("axis", default)
        if along is None or along % node.ndim == k:
            return None
        return k - (new and along % node.ndim < k)

    return batch


def moves(operand, i, node, k):
    """For operations that only move numbers: number the examples along an axis, and see if they end up along axis k."""
    r = node.shape[k]
    expected = np.broadcast_to(_along(k, r, node.ndim), node.shape)
    for axis in reversed(range(operand.ndim)):
        if operand.shape[axis] == r:
            numbers = np.broadcast_to(_along(axis, r, operand.ndim), operand.shape)
            if np.array_equal(node._rule.forward(numbers, **node.params), expected):
                return axis
    return None


def _along(axis, n, ndim):
    return np.arange(n).reshape([n if a == axis else 1 for a in range(ndim)])
