"""The rows of Jacobian matrices (pages 15 and 16 of the notes), for `nnc.jacobian`.

A Jacobian sums nothing, not even over the examples. All its rows are propagated backward together: the seed of
`node.pullback` is the identity, with batch axes in front for the entries of y, which every vector-Jacobian product of
the table supports.
"""

import math

import numpy as np

from .node import Node, ancestors, pullback


def jacobian_of_nodes(y, x, per_example):
    """The Jacobian of y with respect to x, one of its ancestors."""
    nodes = ancestors(y)
    if not per_example:
        return _gradients(y, x, np.eye(y.size, dtype=y.dtype).reshape(y.shape * 2), y.ndim)
    if not y.ndim:
        raise ValueError("jacobian: per_example needs y with one entry for each example, L (r,), and y is a scalar; "
                         "take L and not J = L.mean()")  # fmt: skip
    front = y.shape[:-1]
    if _is_paired(nodes, x):  # all examples at once: each has gradient 0 in the others' columns
        seeds = np.eye(math.prod(front), dtype=y.dtype).reshape(front * 2 + (1,))
        return np.moveaxis(_gradients(y, x, np.broadcast_to(seeds, front + y.shape), len(front)), -1, 0)
    return np.moveaxis(jacobian_of_nodes(y, x, False), len(front), 0)


def _gradients(y, x, seeds, batch_ndim):
    """x's gradient for each seed; the first `batch_ndim` axes of `seeds` number them."""
    shape = seeds.shape[:batch_ndim]
    gradients = pullback(y, seeds.reshape((math.prod(shape), *y.shape)), wrt=x)
    return gradients[x].reshape(shape + x.shape)


# ---- the axis of the examples ----------------------------------------------------------------------------------------


def _is_paired(nodes, x):
    """Whether the last axis of x holds the examples of the last axis of nodes[0], along every path between them."""
    axes = {nodes[0]: nodes[0].ndim - 1}  # node -> the axis that holds the examples, or None
    for node in nodes:
        if node is x or node not in axes:
            continue
        for i, operand in enumerate(node.inputs):
            if isinstance(operand, Node):
                axis = None if axes[node] is None else _axis_of(operand, i, node, axes[node])
                if operand in axes and axes[operand] != axis:
                    axis = None  # one path keeps the examples apart and another does not
                axes[operand] = axis
    return axes[x] is not None and axes[x] == x.ndim - 1


def _axis_of(operand, i, node, k):
    """The axis of the node's i-th operand that holds the examples, if axis k of the node does; None if no axis does, or
    if the operation's row has no `batch`."""
    return node._rule.batch and node._rule.batch(operand, i, node, k)
