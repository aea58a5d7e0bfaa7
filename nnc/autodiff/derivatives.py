"""Jacobian matrices (pages 15 and 16 of the notes).

A Jacobian sums nothing, not even over the examples. All its rows flow backward together: the seed of
`node.pullback` is the identity, with one entry in front for each number of y, and every vector-Jacobian product of
the table takes such an axis along.
"""

import math

import numpy as np

from .node import Node, ancestors, pullback


def jacobian(y, x=None, per_example=False, argnums=0):
    """The derivative of every number of y by every number of x; or the function that is it, if y is a function.

    Parameters
    ----------
    y, x : Node
        y was computed from x. Or y is a function of arrays, and x is not given.
    per_example : bool
        Pair the examples, which are y's last axis: the rows of the result are examples, as in the notes. Where x has
        the examples on its last axis, too (Z, A, X), row i is only about the i-th of them: that of the others is 0.
        Whether it has is found along the graph, from y to x, and not by its size; a W (n, r) does not.
    argnums : int or tuple of int
        Of a function: by which arguments. May be given in the place of x, as in ``nnc.jacobian(f, 1)``.

    Returns
    -------
    ndarray, or a function of the same arguments that returns it (a tuple, if argnums is one)
        (\\*y.shape, \\*x.shape). With per_example, for L (r,): (r, n) by Z (n, r), (r, n, m) by W (n, m), (r, n, 1) by
        b (n, 1); if y has axes in front of the examples they stand after r.

    Raises
    ------
    ValueError
        If y does not depend on x, or with per_example if y is a scalar.

    Examples
    --------
    >>> W, X, b = nnc.Node(np.ones((2, 3))), nnc.Node(np.ones((3, 5))), nnc.Node(np.ones((2, 1)))
    >>> L = np.sum((W @ X + b) ** 2, axis=0)
    >>> nnc.jacobian(L, W).shape, nnc.jacobian(L, X).shape
    ((5, 2, 3), (5, 3, 5))
    >>> [nnc.jacobian(L, x, per_example=True).shape for x in (W, X, b)]  # page 16
    [(5, 2, 3), (5, 3), (5, 2, 1)]
    >>> nnc.jacobian(lambda W: W @ np.ones(3))(np.ones((2, 3))).shape
    (2, 2, 3)
    """
    if callable(y) and not isinstance(y, Node):
        from .transforms import jacobian_of_function

        return jacobian_of_function(y, argnums if x is None else x, per_example)
    for name, node in (("y", y), ("x", x)):
        if not isinstance(node, Node):
            raise TypeError(f"jacobian: {name} is a {type(node).__name__}, but must be a Node; nnc.Node wraps an array")
    if x not in set(ancestors(y)):
        raise ValueError("jacobian: y was not computed from x, as far as the graph knows")
    return pull(y, x, per_example)


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


def _pull(y, x, seeds, lead):
    """x's gradient for each seed, of which there are as many as the first `lead` axes have entries."""
    shape = seeds.shape[:lead]
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
