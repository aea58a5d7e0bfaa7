"""The rows of Jacobian matrices (pages 15 and 16 of the notes), for `nnc.jacobian`.

A Jacobian sums nothing, not even over the examples. All its rows are propagated backward together: the seed of
`node.pullback` is the identity, with one entry in front for each number of y, and every vector-Jacobian product of
the table takes such an axis along.
"""

import math

import numpy as np

from .node import Node, ancestors, pullback


def pull(y, x, per_example):
    """The Jacobian of y by x, which it was computed from."""
    path = ancestors(y)
    if not per_example:
        return _pull(y, x, np.eye(y.size, dtype=y.dtype).reshape(y.shape * 2), y.ndim)
    if not y.ndim:
        raise ValueError("jacobian: per_example wants y with one entry for each example, L (r,), and y is a scalar; "
                         "take L and not J = L.mean()")  # fmt: skip
    front = y.shape[:-1]
    if _paired(path, x):  # all examples at once: what one adds to the others' columns is 0
        seeds = np.eye(math.prod(front), dtype=y.dtype).reshape(front * 2 + (1,))
        return np.moveaxis(_pull(y, x, np.broadcast_to(seeds, front + y.shape), len(front)), -1, 0)
    return np.moveaxis(pull(y, x, False), len(front), 0)


def _pull(y, x, seeds, batch_ndim):
    """x's gradient for each seed, of which there are as many as the first `batch_ndim` axes have entries."""
    shape = seeds.shape[:batch_ndim]
    gradients = pullback(y, seeds.reshape((math.prod(shape), *y.shape)), wrt=x)
    return gradients[x].reshape(shape + x.shape)


# ---- where the examples are ------------------------------------------------------------------------------------------


def _paired(path, x):
    """Whether the last axis of x holds the examples which are on the last axis of path[0], on every way between."""
    where = {path[0]: path[0].ndim - 1}  # node -> the axis that holds the examples, None if there is none
    for node in path:
        if node is x or node not in where:
            continue
        for i, operand in enumerate(node.inputs):
            if isinstance(operand, Node):
                axis = None if where[node] is None else _axis_of(operand, i, node, where[node])
                if operand in where and where[operand] != axis:
                    axis = None  # one way keeps the examples apart and another does not
                where[operand] = axis
    return where[x] is not None and where[x] == x.ndim - 1


def _axis_of(operand, i, node, k):
    """The axis of the node's i-th operand that holds the examples, if axis k of the node does; None if no axis does, or
    if the operation's row does not say."""
    return node._rule.batch and node._rule.batch(operand, i, node, k)
