"""A graph computed again in float64, with one value changed, for finite differences inside a graph."""

import numpy as np

from ..autodiff.node import Node, ancestors
from ..checking.gradcheck import _five_points

SAMPLE = 24  # entries of an array that are compared one by one; and one direction through all of them
STEP = np.finfo(np.float64).eps ** (1 / 3)  # of a central difference: rounding and truncation weigh the same
SUSPICIOUS = 1e-5  # a larger relative difference, where there is a kink, is put down to it
FLOOR = 1e-4  # a gradient below this fraction of J counts as that large: the rounding of J hides smaller ones


class Replay:
    """The graph of J once more in float64: all its values, and J again when one of them is changed."""

    def __init__(self, J):
        self.J, self.nodes, self.values = J, ancestors(J)[::-1], {}
        for node in self.nodes:
            self.values[node] = self.compute(node, self.values) if node.inputs else node.value.astype(np.float64)

    def operands(self, node, values=None):
        values = values or self.values
        return [values.get(x, self.values[x]) if isinstance(x, Node) else x for x in node.inputs]

    def compute(self, node, values):
        return np.asarray(node._rule.forward(*self.operands(node, values), **node.params))

    def effect(self, node, use=None):
        """J as a function of the node's value; with `use` = (node, i), as the i-th operand of that node only."""
        first = use[0] if use else node
        later, seen = [], {first}
        for other in self.nodes:
            if any(x in seen for x in other.inputs if isinstance(x, Node)):
                seen.add(other)
                later.append(other)

        def J(value):
            changed = {node: value}
            if use:
                operands = self.operands(first)
                operands[use[1]] = value
                changed = {first: np.asarray(first._rule.forward(*operands, **first.params))}
            for other in later:
                changed[other] = self.compute(other, changed)
            return float(changed[self.J])

        return J


def compare(J, x, gradient):
    """Compare a gradient at x with central differences of the function J.

    Returns
    -------
    residual : float
        The largest difference, relative to the largest entry of either, or to 0.0001 |J| if that is larger: for a
        gradient of 0, the differences are only the rounding of J. NaN when nothing could be compared.
    checked, skipped : int
        How many entries were compared, and how many left out because J has a kink there.

    Examples
    --------
    >>> x = np.array([0.0, 1.0, 2.0])
    >>> residual, checked, skipped = compare(lambda x: float(x @ x), x, 2 * x)
    >>> residual < 1e-9, checked, skipped
    (True, 3, 0)
    >>> compare(lambda x: float(np.abs(x).sum()), x, np.array([1.0, 1.0, 1.0]))[1:]
    (2, 1)
    """
    rng = np.random.default_rng(0)
    indices = np.arange(x.size) if x.size <= SAMPLE else np.sort(rng.choice(x.size, SAMPLE, replace=False))
    here = J(x)
    scale = max(np.abs(gradient).max(initial=0.0), FLOOR * abs(here))
    pairs, skipped = [], 0  # (slope by the gradient, slope by differences)
    for index in indices:
        direction = np.zeros(x.size)
        direction[index] = max(1.0, abs(x.flat[index]))
        pair = _slopes(J, here, x, gradient, direction.reshape(x.shape), scale)
        skipped += pair is None
        if pair:
            pairs.append(np.array(pair) / direction[index])
    checked = len(pairs)
    error = 0.0
    if pairs:
        mine, right = np.array(pairs).T
        scale = max(scale, np.abs(right).max())
        error = np.abs(mine - right).max() / (scale or 1.0)
    if x.size > SAMPLE:
        length = max(np.sqrt(np.square(gradient).sum()), FLOOR * abs(here))  # as a slope along random signs
        pair = _slopes(J, here, x, gradient, rng.choice([-1.0, 1.0], x.shape), length)
        if pair:
            error = max(error, abs(pair[0] - pair[1]) / (max(length, abs(pair[1])) or 1.0))
    return float(error if checked else np.nan), checked, skipped


def _slopes(J, here, x, gradient, direction, scale):
    """The slope of J along a direction, by the gradient and by differences; None where J has a kink."""
    mine = float((gradient * direction).sum())
    right, _, kink = _five_points(lambda _, step: J(x + step * direction), None, STEP, here)
    far = not abs(mine - right) <= SUSPICIOUS * max(scale, abs(right))
    return None if kink and far else (mine, right)
