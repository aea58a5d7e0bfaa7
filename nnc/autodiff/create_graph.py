"""The backward pass as a graph, for derivatives of higher order.

`node` has the fast pass, on plain arrays in the engine; this one calls the same vector-Jacobian products with Nodes.
Their results are Nodes, too, and can be differentiated again.
"""

import numpy as np

from .. import _engine
from .dispatch import is_node


def backward_graph(nodes, seeds):
    """{node: gradient} of `nodes`, each of which comes before its inputs; a gradient is a Node, an array or a number.

    Parameters
    ----------
    nodes : iterable of Node
        Those whose gradients are wanted; one that the seeds do not depend on gets none.
    seeds : dict
        {node: its own gradient}, a Node or an array; it may have batch axes in front of the node's, the same for
        all.

    Raises
    ------
    TypeError
        If a graph of the backward pass cannot be built at an operation.
    """
    gradients, wanted = dict(seeds), set(nodes)
    for node in nodes:
        if node not in gradients or not node.inputs:
            continue
        g, vjps = gradients[node], node._rule.vjps_of_nodes
        for i, x in enumerate(node.inputs):
            if not isinstance(x, _engine.Node) or x not in wanted:
                continue
            if vjps is None:
                raise TypeError(f"{node.op} is not differentiable twice: its gradient has no graph")
            c = vjps[i](g, node, *node.inputs, **node.params)
            if c is not None:
                c = unbroadcast(c, x, g.ndim - node.ndim)
                gradients[x] = gradients[x] + c if x in gradients else c
    return gradients


def unbroadcast(c, x, batch_ndim):
    """c summed over the axes along which x was broadcast, in x's dtype; its first `batch_ndim` axes stay."""
    added = c.ndim - batch_ndim - x.ndim
    if added:
        c = np.sum(c, tuple(range(batch_ndim, batch_ndim + added)))
    stretched = tuple(batch_ndim + i for i, n in enumerate(x.shape) if c.shape[batch_ndim + i] != n)
    if stretched:
        c = np.sum(c, stretched, keepdims=True)
    if c.dtype == x.dtype:
        return c
    return c.astype(x.dtype) if is_node(c) else c.astype(x.dtype, copy=False)
