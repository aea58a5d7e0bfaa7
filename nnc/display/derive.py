r"""The chain rule from J back to a parameter, written as the notes write it, and every line of it checked.

>>> import nnc
>>> w, x, b = nnc.Node(-2.0, name="w"), nnc.Node(5.0, name="x"), nnc.Node(3.0, name="b")
>>> t = w * x
>>> t.name = "t"
>>> z = t + b
>>> z.name = "z"
>>> derivation = nnc.derive(z, wrt=w)
>>> [float(line.value) for line in derivation.lines]  # eqs. 7.1 to 7.3
[1.0, 1.0, 5.0]
>>> derivation.lines[2].latex
'\\frac{\\partial z}{\\partial w} = \\frac{\\partial z}{\\partial t} \\cdot x'
>>> all(line.residual < 1e-8 for line in derivation.lines)
True
"""

import ast
from dataclasses import dataclass
from functools import reduce

import numpy as np

from ..autodiff.as_numpy import Writer
from ..autodiff.node import Node, ancestors
from .names import Names, with_shape
from .notation import latex_text, number_latex, number_text
from .replay import Replay, compare
from .steps import pass_back

MAX_LINES = 200


@dataclass(frozen=True, eq=False)
class Line:
    """One line: the derivative of J with respect to one node, from those with respect to the nodes that use it.

    Attributes
    ----------
    latex, text : str
        The formula with the shape of every factor.
    node : Node
        The node that J is differentiated with respect to.
    through : Node or None
        A node that is used several times has a line for each use: this is the node that uses it. None in the line of
        the sum, and in the only line of a node that is used once.
    shape : tuple
        Of the node and the derivative.
    shapes : tuple of tuple
        The shapes of the gradients and operands in the line.
    value : ndarray
        The derivative in float64, computed by the formula from the values of the lines above.
    residual : float
        The largest deviation from central differences of J, relative to the largest entry of either.
    checked, skipped : int
        How many entries were compared with differences, and how many were left out because J has a kink there.
    """

    latex: str
    node: Node
    through: Node | None
    shapes: tuple
    value: np.ndarray
    residual: float
    checked: int
    skipped: int

    @property
    def text(self):
        return latex_text(self.latex)

    @property
    def shape(self):
        return self.value.shape


class Derivation:
    """The lines of `derive`: printed, they read in a terminal; a notebook sets them in LaTeX.

    Attributes
    ----------
    lines : list of Line
        From J to the parameter; iterating and indexing give them, too.
    value : ndarray
        The last line's: dJ/d(parameter).
    residual : float
        The largest of all lines.
    where : list of str
        LaTeX that defines the names u, which were given to nodes without a name.
    """

    def __init__(self, lines, where, between=(), uses=()):
        self.lines, self.where = lines, where
        self._between, self._uses = between, uses
        self.value = lines[-1].value
        self.residual = max((line.residual for line in lines), key=lambda r: (r != r, r))

    def __len__(self):
        return len(self.lines)

    def __iter__(self):
        return iter(self.lines)

    def __getitem__(self, index):
        return self.lines[index]

    def latex(self, residuals=True, aligned=False):
        r"""The lines as LaTeX source, each of which is a formula by itself.

        Parameters
        ----------
        residuals : bool
            Whether each line ends with its residual.
        aligned : bool
            Whether they are put below each other in one ``aligned`` environment, to be pasted between ``\[`` and
            ``\]``.
        """
        remarks = [rf" \qquad \mathrm{{residual}}\ {number_latex(line.residual, 2)}" for line in self.lines]
        lines = [line.latex + remark * residuals for line, remark in zip(self.lines, remarks, strict=True)]
        lines += self.where
        if not aligned:
            return "\n".join(lines)
        rows = [line.replace(" = ", " &= ", 1).replace(r"\qquad", "&&", 1) for line in lines]
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"

    def code(self):
        """The forward pass and the lines of the derivation as NumPy code, which runs where the parameters are defined.

        The right-hand sides come from the table of operations. A node keeps its name; one without is called u1, u2 …,
        and its gradient is ``d`` and the name. Data without a name are called C1, C2 …, and written out if short.

        Returns
        -------
        str

        Raises
        ------
        TypeError
            An operation, or its gradient, has no formula in NumPy.

        Examples
        --------
        >>> import nnc
        >>> W, b, X = (nnc.Node(np.ones(s), name=n) for s, n in (((2, 3), "W"), ((2, 1), "b"), ((3, 4), "X")))
        >>> A = np.tanh(W @ X + b)
        >>> A.name = "A"
        >>> print(nnc.derive(np.mean(A * A), wrt=W).code())
        u1 = W @ X
        u2 = u1 + b
        A = np.tanh(u2)
        u3 = A * A
        J = np.mean(u3)
        dJ = 1.0
        du3 = np.broadcast_to(dJ / 8, shape=(2, 4))
        dA = du3 * A + du3 * A
        du2 = dA * (1 - A ** 2)
        du1 = du2
        dW = du1 @ X.T
        """
        J = self._between[0]
        names = _identifiers(J)
        writer, lines = Writer(names), []

        def write(name, tree):
            lines.extend(writer.lines)
            writer.lines.clear()
            lines.append(f"{name} = {ast.unparse(tree)}")

        for node in ancestors(J)[::-1]:
            if node.inputs:
                write(names[id(node)], writer.expression(node, is_new=True))
        write(f"d{names[id(J)]}", ast.Constant(1.0))
        for node in self._between[1:]:
            terms = [writer.gradient(user, i, f"d{names[id(user)]}") for user, i in self._uses[node]]
            write(f"d{names[id(node)]}", reduce(lambda a, b: ast.BinOp(a, ast.Add(), b), terms))
        return "\n".join(lines)

    def _repr_latex_(self):
        # One formula: viewers of notebooks take an output that begins and ends with $$ for one.
        return f"$$\n{self.latex(aligned=True)}\n$$"

    def __repr__(self):
        texts = [line.text for line in self.lines]
        width = min(max(map(len, texts)), 100)
        rows = []
        for line, text in zip(self.lines, texts, strict=True):
            kinks = f", {line.skipped} at a kink left out" if line.skipped else ""
            rows.append(f"{text:{width}}   residual {number_text(line.residual, 2)}{kinks}")
        return "\n".join(rows + [latex_text(formula) for formula in self.where])


def derive(J, wrt):
    r"""Write the chain rule from the scalar J back to a node, a line for each node between them.

    Each line is one application of ∂J/∂x = Σ ∂J/∂y · ∂y/∂x, with the sum over the nodes y that use x. A node that
    several nodes use has a line for each of them, and one for the sum. The value of a line is computed from the lines
    above it (in float64, whatever the dtype of the graph), and compared with central differences of J with respect to
    the node of that line, for which the rest of the graph is computed again. Of an array with more than 24 entries, 24
    are compared one by one, and all of them together along one direction of random signs. Where J has a kink, as at
    ReLU's 0, there is nothing to compare with. A wrong line makes the lines below it wrong, too: the first large
    residual shows where the error is.

    Parameters
    ----------
    J : Node
        A scalar.
    wrt : Node
        A node that J was computed from: a parameter, or any node between the two.

    Returns
    -------
    Derivation

    Raises
    ------
    TypeError
        J or `wrt` is not a Node.
    ValueError
        J is not a scalar; J was not computed from `wrt`; there are more than 200 nodes between them.

    Examples
    --------
    >>> import nnc
    >>> W1, b1 = nnc.Node([[1.0, -2.0], [0.5, 1.0], [0.0, 2.0]], name="W1"), nnc.Node(np.zeros((3, 1)), name="b1")
    >>> X = nnc.Node([[1.0, 2.0, 0.5, 0.3], [3.0, 4.0, 0.1, 0.2]], name="X")
    >>> derivation = nnc.derive(np.tanh(W1 @ X + b1).sum(), wrt=W1)
    >>> for line in derivation:
    ...     print(line.text)
    ∂J/∂J = 1
    ∂J/∂a¹[3×4] = 1[3×4]
    ∂J/∂z¹[3×4] = ∂J/∂a¹[3×4] ∘ (1 − (a¹[3×4])²)
    ∂J/∂(W¹ X)[3×4] = ∂J/∂z¹[3×4]
    ∂J/∂W¹[3×2] = ∂J/∂(W¹ X)[3×4] (X[2×4])ᵀ
    >>> derivation.residual < 1e-8
    True
    """
    for role, node in (("J", J), ("wrt", wrt)):
        if not isinstance(node, Node):
            raise TypeError(f"derive: {role} is a {type(node).__name__}, but must be an nnc.Node")
    if J.shape:
        raise ValueError(f"derive: J is {J.shape}, but must be a scalar: take J.mean() or J.sum()")
    between, uses = _between(J, wrt)
    if not between:
        wanted = f"{wrt.name!r}" if wrt.name else "the node wrt"
        raise ValueError(f"derive: J was not computed from {wanted}; it must be the very node that the expression used")
    if len(between) > MAX_LINES:
        raise ValueError(
            f"derive: there are {len(between):,} nodes between J and wrt, more than the {MAX_LINES} that can be read; "
            "choose a node nearer to J"
        )

    replay, names = Replay(J), Names(J)
    gradients, lines = {J: np.ones(())}, []

    def symbol(node):
        return with_shape(rf"\frac{{\partial {names.latex(J)}}}{{\partial {names.latex(node)}}}", node.shape)

    def add(node, use, right, shapes, value):
        left = symbol(node)
        if use:
            consumer, i = use
            several = sum(c is consumer for c, _ in uses[node]) > 1
            left = rf"\left.{left}\right|_{{{names.latex(consumer)}{f',{i + 1}' * several}}}"
        check = compare(replay.effect(node, use), replay.values[node], value)
        lines.append(Line(f"{left} = {right}", node, use and use[0], shapes, value, *check))
        return left

    add(J, None, "1", ((),), gradients[J])
    for node in between[1:]:
        terms, total = [], 0.0
        for consumer, i in uses[node]:
            g = gradients[consumer]
            value, before = pass_back(consumer, i, g, replay.values[consumer], replay.operands(consumer))
            arriving = "" if consumer is J and node.shape else symbol(consumer)  # ∂J/∂J: in the notes for numbers only
            right = names.product(consumer, i, arriving, before)
            shapes = (node.shape, g.shape, *(np.shape(x) for k, x in enumerate(consumer.inputs) if k != i))
            use = (consumer, i) if len(uses[node]) > 1 else None
            terms.append(add(node, use, right, shapes, np.asarray(value)))
            total = total + value
        gradients[node] = np.asarray(total)
        if len(terms) > 1:
            add(node, None, " + ".join(terms), (node.shape,) * (len(terms) + 1), gradients[node])
    where = [f"{names.latex(node)} = {names.forward(node)}" for node in names.unexplained if node in gradients]
    return Derivation(lines, where, between, uses)


def _identifiers(J):
    """{id of each Node in the graph: a name for NumPy code}, no two of them alike."""
    found, taken, unnamed = {}, set(), 0
    for node in ancestors(J)[::-1]:
        name = node.name if node.name and node.name.isidentifier() and node.name not in taken else ""
        if not name and node is J:
            name = "J" if "J" not in taken else "J_"
        if not name and node.inputs:
            unnamed += 1
            name = f"u{unnamed}"
        if name:
            found[id(node)] = name
            taken.add(name)
    return found


def _between(J, wrt):
    """The nodes from J to wrt in the order of the backward pass, and for each its uses (consumer, operand index)."""
    order = ancestors(J)
    depends = {wrt}
    for node in reversed(order):
        if any(x in depends for x in node.inputs if isinstance(x, Node)):
            depends.add(node)
    between = [node for node in order if node in depends] if J in depends else []
    uses = {node: [] for node in between}
    for node in between:
        for i, x in enumerate(node.inputs):
            if isinstance(x, Node) and x in uses and node is not wrt:
                uses[x].append((node, i))
    return between, uses
