"""Names for nodes without one: by their role in a network, as in the notes, or by their expression.

>>> import nnc
>>> W1, b1 = nnc.Node(np.ones((2, 3)), name="W1"), nnc.Node(np.ones((2, 1)), name="b1")
>>> a = np.tanh(W1 @ np.ones((3, 5)) + b1)
>>> names = Names(a.sum())
>>> [names.text(node) for node in (a, a.inputs[0], a.inputs[0].inputs[0])]
['a¹', 'z¹', '(W¹ X)']
"""

import re

import numpy as np

from ..autodiff.node import Node, ancestors
from ..autodiff.operations import RULES, write
from .notation import latex_text, name_latex, number_latex, shape_latex

HOLE = "\0"  # a placeholder for a gradient, which no name contains
LONGEST = 12  # characters of an expression that is used as a name; a longer one is called u


class Names:
    """The LaTeX of every node and array from which the node `root` is computed, no two of them alike."""

    def __init__(self, root):
        self._root = root  # keeps the objects alive that are known by their id
        self._latex = {}
        self._taken = {}  # LaTeX -> how many times it was asked for
        self._unnamed = 0
        self.named = set()  # the ids of those that were given a name, or have one in the notes
        self.unexplained = []  # the nodes called u: their names do not say what they are
        nodes = ancestors(root)[::-1]
        for node in nodes:  # names that were given stay
            if node.name:
                self._enter(node, name_latex(node.name), is_named=True)
        for node in nodes:
            for i, x in enumerate(node.inputs):
                if not isinstance(x, Node) and np.ndim(x) and id(x) not in self._latex:
                    self._enter(x, _constant(node, i) or "C", is_named=bool(_constant(node, i)))
            if not node.name:
                letter = self._letter(node)
                self._enter(node, letter or self._expression(node), is_named=bool(letter) and node is not root)

    def _enter(self, x, latex, is_named):
        unique = latex
        while unique in self._taken:
            self._taken[latex] += 1
            number = self._taken[latex]
            unique = f"{_braced(latex)}_{number}" if number < 10 else f"{_braced(latex)}_{{{number}}}"
        self._taken[unique] = 1
        self._latex[id(x)] = unique
        if is_named:
            self.named.add(id(x))

    def _letter(self, node):
        """The notes' letter for the role of a node in a network: z, a, P, L, J; None if it has none of these."""
        x = node.inputs[0] if node.inputs else None
        if node is self._root:
            return "J"
        if node._rule.role == "layer" or node.op == "add" and getattr(x, "op", "") == "matmul":
            W = x if node.op == "linear" else x.inputs[0] if getattr(x, "op", "") == "matmul" else None
            number = re.search(r"\^(\d|\{\d+\})$", self.latex(W)) if W is not None else None
            return "z" + (number[0] if number else "")
        if node._rule.role == "activation" and (z := re.fullmatch(r"([zZ])((?:[_^].*)?)", self.latex(x))):
            return {"z": "a", "Z": "A"}[z[1]] + z[2]
        return "P" if node.op == "softmax" else "L" if node._rule.role == "loss" else None

    def _expression(self, node):
        if node.inputs:
            latex = "(" + self.forward(node) + ")"
            if len(latex_text(latex)) <= LONGEST and latex not in self._taken:
                return latex
            self.unexplained.append(node)
        self._unnamed += 1
        return name_latex(f"u{self._unnamed}")

    def forward(self, node):
        """The LaTeX of how `node` is computed."""
        return self._write(node._rule.latex, node, 0, self.latex)

    def product(self, node, i, g, before):
        """The LaTeX of what `node` passes back to its i-th operand when the gradient g (LaTeX) arrives.

        `before` is the shape of the product before broadcasting is undone. Without g it is 1, and is not written.
        """
        if not g:
            return _sum(before, np.shape(node.inputs[i])) + _of_one(self._vjp(node, i, self.shaped, HOLE))
        latex, total = self._vjp(node, i, self.shaped, g), _sum(before, np.shape(node.inputs[i]))
        if latex == g and not np.ndim(node):
            return total + latex + r" \cdot 1"  # between numbers the notes write the factor 1
        return total + (latex if latex == g or not total else rf"\left({latex}\right)")

    def local(self, node, i, before):
        """The LaTeX of a local derivative: a factor, or what is done with the gradient, which is written as a dot."""
        latex, total = self._vjp(node, i, self.latex, HOLE), _sum(before, np.shape(node.inputs[i]))
        if not total:
            latex = re.sub(HOLE + r" \\c(irc|dot) ", "", latex).replace(rf"\frac{{{HOLE}}}", r"\frac{1}")
            latex = {HOLE: "1", f"-{HOLE}": "-1"}.get(latex, latex)
        return total + latex.replace(HOLE, r"\cdot")

    def _vjp(self, node, i, operand, g):
        texts = node._rule.vjps_latex
        return self._write(texts[min(i, len(texts) - 1)], node, i, operand, g)

    def _write(self, latex, node, i, operand, g=""):
        """A row's LaTeX with the names of this node's operands; `operand` gives the LaTeX of a factor."""
        names = {str(k): self.latex(x) for k, x in enumerate(node.inputs)}
        factors = {str(k): operand(x) for k, x in enumerate(node.inputs)}
        if id(node) in self._latex:  # else it is just being named after its expression
            names["out"], factors["out"] = self.latex(node), operand(node)
        few, many = sorted((np.size(node.inputs[i]), np.size(node)))
        factors |= {"g": g, "r": str(many // max(few, 1))}
        for k, x in enumerate(node.inputs):
            factors |= {f"shape{k}": shape_latex(np.shape(x)), f"ones{k}": with_shape(r"\mathbf{1}", np.shape(x))}
        latex = write(latex, names, factors)
        # Between numbers every product is elementwise, and a dot is usual.
        return latex if any(map(np.ndim, (node, *node.inputs))) else latex.replace(r"\circ", r"\cdot")

    def latex(self, x):
        """The LaTeX of a node, an array or a number."""
        if id(x) in self._latex:
            return self._latex[id(x)]
        return number_latex(x) if x >= 0 else f"({number_latex(x)})"

    def text(self, x):
        """The same as plain text."""
        return latex_text(self.latex(x))

    def label(self, x):
        """The name that x was given or has in the notes, as plain text; "" for an expression."""
        return self.text(x) if id(x) in self.named else ""

    def shaped(self, x):
        """The LaTeX of a node, an array or a number with its shape as subscript."""
        return with_shape(self.latex(x), np.shape(x))


def _of_one(latex):
    r"""A product in which the gradient that arrives, which is 1, need not be written.

    >>> _of_one("-\0 \\circ x"), _of_one("\\frac{1}{5}\\,\0\\,y"), _of_one("\\frac{\0}{x}"), _of_one("-\0")
    ('-x', '\\frac{1}{5}\\,y', '\\frac{1}{x}', '-1')
    """
    return re.sub(HOLE + r"( \\circ | \\cdot |\\,)", "", latex).replace(HOLE, "1")


def with_shape(latex, shape):
    return f"{_braced(latex)}_{{{shape_latex(shape)}}}" if shape else latex


def _braced(latex):
    """LaTeX that may get a subscript, which it could have already."""
    return f"{{{latex}}}" if "_" in latex else latex


def _sum(before, after):
    r"""The sum that undoes broadcasting, from the shape `before` it to the one after.

    >>> _sum((3, 64), (3, 1)), _sum((3, 64), ()), _sum((3, 64), (3, 64))
    ('\\sum_{j=1}^{64} ', '\\sum_{i,j} ', '')
    """
    after = (0,) * (len(before) - len(after)) + after
    axes = [(letter, n) for letter, n, m in zip("ijklmnpq", before, after, strict=False) if n != m]
    if len(axes) == 1:
        return rf"\sum_{{{axes[0][0]}=1}}^{{{axes[0][1]}}} "
    return rf"\sum_{{{','.join(letter for letter, _ in axes)}}} " if axes else ""


def _constant(node, i):
    """The notes' letter for the i-th operand, which is not a Node: X for data, y for labels; or None."""
    forward = RULES.get(node.op.removesuffix("_backward"))
    if forward and forward.role == "loss":
        return "dL" if node.op.endswith("_backward") and i == 0 else "y"
    return "X" if i == 1 and node.op in ("linear", "matmul") else None
