"""The backward pass one node at a time: the gradient that arrives at it, its local derivatives, and their products.

>>> import nnc
>>> w, x, b = nnc.Node(-2.0, name="w"), nnc.Node(5.0, name="x"), nnc.Node(3.0, name="b")
>>> t = w * x
>>> t.name = "t"
>>> z = t + b
>>> z.name = "z"
>>> z.steps()
step  node  operation  ∂z/∂node  to  local   product  ∂z/∂to
1     z     add        1         t   1       1        1
                                 b   1       1        1
2     t     multiply   1         w   x = 5   5        5
                                 x   w = −2  −2       −2
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from ..autodiff.node import Node, _unbroadcast, ancestors
from .drawing import Drawing
from .names import Names
from .notation import latex_text, shape_text, summary

ROWS = 200  # of a printed table
LARGEST = 2_000_000  # numbers in a local Jacobian


@dataclass(frozen=True, eq=False)
class Part:
    """What one step passes back to one of the node's operands.

    Attributes
    ----------
    input : Node
        The operand; `index` is its position among the inputs.
    rule : str
        LaTeX of what is to be done with the arriving gradient, which is written as a dot.
    product : ndarray
        The arriving gradient times the local derivative, in the operand's shape.
    total : ndarray
        The operand's gradient so far: the products of this step and of the earlier ones that lead to it.
    local : ndarray
        The local derivative by itself, a Jacobian of the shape node + operand; computed on access.
    """

    node: Node
    index: int
    input: Node
    rule: str
    product: np.ndarray
    total: np.ndarray

    @property
    def local(self):
        size = self.node.size * self.input.size
        if size > LARGEST:
            raise ValueError(
                f"steps: the local derivative of {self.node.op} would be a Jacobian of {size:,} numbers, "
                f"{shape_text(self.node.shape)} by {shape_text(self.input.shape)}; .rule says how to do without it"
            )
        seeds = np.eye(self.node.size, dtype=self.node.dtype).reshape(self.node.shape * 2)
        return pass_back(self.node, self.index, seeds, self.node.value, self.node._args)[0]


def pass_back(node, i, g, out, args):
    """The contribution of `node` to dJ/d(its i-th operand), from g = dJ/d(node).

    `args` are the values of the operands, and `out` that of the node; g may have batch axes in front of the node's. The
    second result is the shape of the contribution before broadcasting is undone.
    """
    batch_ndim = g.ndim - np.ndim(out)
    c = node._rule.vjps[i](g, out, *args, **node.params)
    shape = g.shape[:batch_ndim] + np.shape(args[i])
    c = np.zeros(shape, g.dtype) if c is None else c
    return (c if c.shape == shape else _unbroadcast(c, shape, batch_ndim)), c.shape[batch_ndim:]


@dataclass(frozen=True, eq=False)
class Step:
    """One node of the backward pass.

    Attributes
    ----------
    number : int
        1, 2, 3 … in the order of `backward`.
    node : Node
        The node of this step, an operation; `name` is its name as text.
    gradient : ndarray
        The gradient that has arrived: dJ/d(node), complete.
    parts : tuple of Part
        What it passes back to each of its operands.
    """

    number: int
    node: Node
    name: str
    gradient: np.ndarray
    parts: tuple
    _all: "Steps"

    def graph(self, **options):
        """The graph at this moment: the node is marked, and the gradients known after this step are shown."""
        known = {id(self._all.root): self._all.seed}
        for step in self._all[: self.number]:
            known.update((id(part.input), part.total) for part in step.parts)
        return Drawing(self._all.root, highlight=self.node, gradients=known, **options)

    def __repr__(self):
        return _table(self._all.header, self._all.rows([self]))

    def _repr_html_(self):
        return _html(self._all.header, self._all.rows([self])) + self.graph()._repr_html_()


class Steps(Sequence):
    """All steps of the backward pass of `root`. Prints as a table; each step can draw the graph as it is then.

    In a notebook with anywidget (the extra ``teaching``) it is a stepper: buttons, a slider and the arrow keys go
    forward and back, one node at a time.

    Parameters
    ----------
    root : Node
        Where the pass starts.
    seed : array_like, optional
        The gradient of `root` itself, 1 by default; needed if `root` is not a scalar.

    Raises
    ------
    ValueError
        `root` is not a scalar and there is no seed.
    """

    def __init__(self, root, seed=None):
        if seed is None and root.shape:
            raise ValueError(
                f"steps: the node is {root.shape}, not a scalar: start from a scalar such as J.mean(), or give a seed"
            )
        seed = np.asarray(1 if seed is None else seed, root.dtype)
        if seed.ndim and seed.shape != root.shape:
            raise ValueError(f"steps: the seed is {seed.shape} and the node is {root.shape}; they must be the same")
        self.root, self.names, self.seed = root, Names(root), np.full(root.shape, seed)
        self.gradients = {root: self.seed}
        self._steps = []
        for node in ancestors(root):
            if node.inputs:
                g, parts = self.gradients[node], []
                for i, x in enumerate(node.inputs):
                    if isinstance(x, Node):
                        product, before = pass_back(node, i, g, node.value, node._args)
                        product = product.astype(x.dtype, copy=False)
                        total = self.gradients[x] + product if x in self.gradients else product
                        self.gradients[x] = total
                        parts.append(Part(node, i, x, self.names.local(node, i, before), product, total))
                self._steps.append(Step(len(self) + 1, node, self.names.text(node), g, tuple(parts), self))
        top = self.names.text(root)
        self.header = ["step", "node", "operation", f"∂{top}/∂node", "to", "local", "product", f"∂{top}/∂to"]

    def __len__(self):
        return len(self._steps)

    def __getitem__(self, index):
        return self._steps[index]

    def rows(self, steps):
        """The table's cells: a row for each part; the first row of a step also shows its node."""
        for step in steps:
            first = [str(step.number), step.name, step.node.op, summary(step.gradient)]
            for part in step.parts:
                local = latex_text(part.rule)
                if not step.node.shape and not part.input.shape and local != summary(part.local):
                    local += f" = {summary(part.local)}"
                yield first + [self.names.text(part.input), local, summary(part.product), summary(part.total)]
                first = [""] * 4

    def __repr__(self):
        more = f"\n… and {len(self) - ROWS} more steps" if len(self) > ROWS else ""
        return _table(self.header, self.rows(self[:ROWS])) + more

    def _repr_html_(self):
        return _html(self.header, self.rows(self[:ROWS]))

    def _repr_mimebundle_(self, include=None, exclude=None):
        """In a notebook with anywidget a stepper; a page without a kernel shows the table."""
        table = {"text/plain": repr(self), "text/html": self._repr_html_()}
        stepper = self.stepper() if len(self) else None
        return table if stepper is None else {**stepper._repr_mimebundle_()[0], **table}

    def stepper(self):
        """The steps as a widget with buttons, a slider and keys; None where anywidget is not installed."""
        try:
            from .stepper import Stepper
        except ImportError:
            return None
        return Stepper(self)


def _table(header, rows):
    rows = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _html(header, rows):
    lines = ["<table>", "<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in header) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "\n".join(lines + ["</table>"])
