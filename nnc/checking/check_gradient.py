"""A gradient derived by hand, compared with the graph's, and what is wrong with it.

The mistakes are those of a derivation: a forgotten transpose, a sign, the 1/r of eq. 5.3 missing or applied twice, a
sum over the batch that is missing or runs over the wrong axis.
"""

from html import escape

import numpy as np

from ..autodiff.node import Node, ancestors, pullback


def check_gradient(mine, J, wrt):
    """Compare a gradient that you derived with that of the graph, and say what is wrong with it.

    Parameters
    ----------
    mine : array_like or Node
        Your dJ/d(wrt). In float32 it is compared to the precision of float32.
    J : Node
        A scalar; (1, 1) counts as one.
    wrt : Node
        A Node that J was computed from: a parameter, or any intermediate result.

    Returns
    -------
    Verdict
        ``.ok``; ``.reason``, the first that fits of "correct", "transposed", "sign", "missing 1/r", "extra 1/r",
        "not summed over the batch", "summed over the wrong axis", "scale", "shape", "wrong"; ``.factor``, mine / right
        where one number explains it, else None. Printed, it is a sentence.

    Raises
    ------
    ValueError
        If J is not a scalar or was not computed from wrt.
    TypeError
        If J or wrt is not a Node, or mine is not an array of real numbers.

    Examples
    --------
    >>> W, X, y = nnc.Node(np.eye(2, 3), name="W"), np.ones((3, 5)), np.zeros(5, int)
    >>> Z = W @ X
    >>> J = nnc.softmax_cross_entropy(Z, y).mean()
    >>> dZ = nnc.softmax(Z.value) - nnc.one_hot(y, 2)  # without the 1/r
    >>> nnc.check_gradient(dZ @ X.T, J, W)
    missing 1/r: dJ/dW is 5 times the right one, and J is a mean over r = 5: the 1/r of eq. 5.3 is missing
    >>> nnc.check_gradient(dZ / 5 @ X.T, J, W).ok
    True
    """
    for name, node in (("J", J), ("wrt", wrt)):
        if not isinstance(node, Node):
            raise TypeError(f"check_gradient: {name} is a {type(node).__name__}, but must be a Node")
    if J.size == 1 and J.ndim:
        J = J.reshape(())
    if J.ndim:
        raise ValueError(f"check_gradient: J is {J.shape}, but must be a scalar, such as L.mean()")
    if wrt not in set(ancestors(J)):
        raise ValueError("check_gradient: J was not computed from wrt, as far as the graph knows")
    mine = np.asarray(mine.value if isinstance(mine, Node) else mine)
    if mine.dtype.kind not in "biuf":
        raise TypeError(f"check_gradient: mine is {mine.dtype}, but must be real numbers")
    eps = max(np.finfo(d).eps for d in (mine.dtype, J.dtype, wrt.dtype) if d.kind == "f")
    return _judge(_Comparison(np.asarray(mine, np.float64), J, wrt, eps))


class Verdict:
    """What `check_gradient` found: ``.ok``, ``.reason``, ``.factor``, and the sentence that it prints."""

    def __init__(self, reason, sentence, factor=None):
        self.ok = reason == "correct"
        self.reason, self.sentence, self.factor = reason, sentence, factor

    def __bool__(self):
        return self.ok

    def __repr__(self):
        return f"{self.reason}: {self.sentence}"

    def _repr_html_(self):
        return f"<div>{'✓' if self.ok else '✗'} <b>{escape(self.reason)}</b>: {escape(self.sentence)}</div>"


class _Comparison:
    """Both gradients, and what the graph knows about the batch."""

    def __init__(self, mine, J, wrt, eps):
        self.mine, self.J, self.wrt, self.eps = mine, J, wrt, eps
        found = pullback(J, J.dtype.type(1), wrt)
        self.right = np.asarray(found[wrt], np.float64)
        self.means = _means(J, wrt)
        self.name = f"d{J.name or 'J'}/d{wrt.name}" if wrt.name else "the gradient"

    def same(self, a, b):
        """Equal in shape, and in value up to rounding: half of an entry's digits, or noise relative to the largest."""
        if a.shape != b.shape:
            return False
        noise = 1000 * self.eps * np.max(np.abs(b), initial=0)
        return bool(np.all(np.abs(a - b) <= np.sqrt(self.eps) * np.abs(b) + noise))

    def same_numbers(self, a, b):
        """Equal but for axes of length 1."""
        return self.same(a.squeeze(), b.squeeze())

    def factors(self):
        """1, and the r by which a gradient is too large without its 1/r."""
        return [1, *[r for r, _ in self.means]]

    def second_mistakes(self):
        """(factor, text) of a mistake made in addition: none, a sign, a 1/r too many or too few, a 2."""
        yield 1, ""
        yield -1, "; and it has the wrong sign"
        for r, _ in self.means:
            yield r, f"; and the 1/r is missing, r = {r}"
            yield 1 / r, f"; and it has one 1/r too many, r = {r}"
        yield 2, "; and it is twice as large"
        yield 0.5, "; and it is half as large"

    def per_example_gradients(self):
        """For each mean over an operand whose last axis is the examples: (r, *wrt.shape), the terms of the gradient."""
        for _, L in self.means:
            if L.ndim and L.size:
                seed = np.asarray(pullback(self.J, self.J.dtype.type(1), L)[L])
                own = np.eye(L.shape[-1], dtype=L.dtype).reshape(L.shape[-1:] + (1,) * (L.ndim - 1) + L.shape[-1:])
                yield np.asarray(pullback(L, seed * own, self.wrt)[self.wrt], np.float64)


def _means(J, wrt=None):
    """(r, operand) of every mean in J's graph, or that wrt goes into: np.mean, or a sum times or over a number."""
    found = []
    for node in ancestors(J):
        if node.op == "mean":
            found.append((node.inputs[0].size / max(node.size, 1), node.inputs[0]))
        elif node.size == 1 and node.op in ("divide", "multiply"):
            orders = [node.inputs] if node.op == "divide" else [node.inputs, node.inputs[::-1]]
            for total, number in orders:
                while isinstance(total, Node) and total.op == "negative":  # -np.sum(L) / m
                    total = total.inputs[0]
                is_constant = not isinstance(number, Node) or number.op == "leaf"
                if isinstance(total, Node) and total.op == "sum" and is_constant and np.size(number) == 1:
                    size = abs(float(np.reshape(number.value if isinstance(number, Node) else number, ())))
                    if size:
                        found.append((size if node.op == "divide" else 1 / size, total.inputs[0]))
    found = [(round(r), L) for r, L in found if r > 1 and abs(r - round(r)) < 1e-6 * r]
    return [(r, L) for r, L in found if wrt is None or wrt in set(ancestors(L))]


def _judge(c):
    """The first reason that fits."""
    for fits in (_correct, _transposed, _sign, _one_over_r, _not_summed, _wrong_axis, _scale, _shape):
        if (verdict := fits(c)) is not None:
            return verdict
    return _wrong(c)


def _correct(c):
    if c.same(c.mine, c.right):
        return Verdict("correct", f"{c.name} is right", 1.0)
    return None


def _transposed(c):
    for factor, also in c.second_mistakes():
        if c.mine.ndim == 2 and c.same(c.mine.T, factor * c.right):
            return Verdict("transposed", f"{c.name} is {c.right.shape}, and yours is its transpose; of a product A Bᵀ "
                           f"that is B Aᵀ{also}")  # fmt: skip
    return None


def _sign(c):
    if c.same(c.mine, -c.right):
        return Verdict("sign", f"{c.name} has the wrong sign, all else is right; {_lost_minus(c)}", -1.0)
    return None


def _lost_minus(c):
    """A hint at the minus between J and wrt that was most likely lost: the nearest to J."""
    for node in ancestors(c.J):
        operand, hint = node._rule.minus or (0, None)
        if hint and isinstance(x := node.inputs[operand], Node) and c.wrt in set(ancestors(x)):
            return hint
    return "is yours the step -α dJ/dw of gradient descent, and not the gradient?"


def _one_over_r(c):
    for r, _ in c.means:
        if c.same(c.mine, r * c.right):
            return Verdict("missing 1/r", f"{c.name} is {r} times the right one, and J is a mean over r = {r}: the 1/r "
                           "of eq. 5.3 is missing", float(r))  # fmt: skip
    for r, _ in c.means:
        if c.same(c.mine, c.right / r):
            return Verdict("extra 1/r", f"{c.name} is the right one divided by r = {r} once more: the 1/r of eq. 5.3 "
                           "enters once", 1 / r)  # fmt: skip
    return None


def _not_summed(c):
    if c.mine.size <= c.right.size:
        return None
    for factor, also in c.second_mistakes():
        fits = [axis for axis in range(c.mine.ndim) if c.same_numbers(c.mine.sum(axis), factor * c.right)]
        if fits:
            axes = " or ".join(map(str, fits))
            return Verdict("not summed over the batch", f"yours is {c.mine.shape}, and summed over axis {axes} it is "
                           f"{c.name} {c.right.shape}: every example adds to it{also}")  # fmt: skip
    return None


def _wrong_axis(c):
    found = {}  # all sums that give these numbers: with a square matrix there may be two
    for what, parts, axes in _sums(c):
        for axis in axes:
            if parts.shape[axis] == 1:
                continue
            total = parts.sum(axis, keepdims=True)
            candidates = [total.squeeze()]
            if c.mine.shape == c.right.shape and np.broadcast_shapes(total.shape, c.right.shape) == c.right.shape:
                candidates.append(np.broadcast_to(total, c.right.shape))
            if any(c.same_numbers(c.mine, factor * x) for x in candidates for factor in c.factors()):
                found.setdefault(what, []).append(str(axis - parts.ndim + c.right.ndim))
    if not found:
        return None
    sums = ", or ".join(f"{what} {' or '.join(dict.fromkeys(axes))}" for what, axes in found.items())
    return Verdict("summed over the wrong axis", f"yours is {c.mine.shape}, {sums}; {c.name} is {c.right.shape}, the "
                   "sum over the examples alone")  # fmt: skip


def _sums(c):
    """What may have been summed over an axis by mistake: the gradient itself, or each example's part of it."""
    yield "the right one summed once more, over its axis", c.right, range(c.right.ndim)
    for parts in c.per_example_gradients():
        yield "each example's part of it summed over axis", parts, range(1, parts.ndim)


def _scale(c):
    square = np.sum(c.right * c.right)
    if c.mine.shape == c.right.shape and square > 0:
        factor = float(np.sum(c.mine * c.right) / square)
        if factor != 0 and c.same(c.mine, factor * c.right):
            return Verdict("scale", f"{c.name} is right but for a factor: yours is {factor:.6g} times as large", factor)
    return None


def _shape(c):
    if c.mine.shape != c.right.shape:
        fits = "; its numbers are right" if c.same_numbers(c.mine, c.right) else ""
        owner = c.wrt.name or "the node"
        return Verdict("shape", f"{c.name} is of the shape of {owner}, {c.right.shape}, and yours {c.mine.shape}{fits}")
    return None


def _wrong(c):
    apart = np.abs(c.mine - c.right)
    at = np.unravel_index(np.argmax(apart), apart.shape)
    where = f" at {[int(i) for i in at]}" if apart.ndim else ""
    return Verdict("wrong", f"{c.name} is farthest from the right one{where}: yours is {c.mine[at]:.6g} and should be "
                   f"{c.right[at]:.6g}{_hint_at_softmax(c)}")  # fmt: skip


def _hint_at_softmax(c):
    """A hint at a softmax over the examples, which makes all gradients before it look wrong."""
    for node in ancestors(c.J):
        if node.op == "softmax" and node.ndim == 2:
            axis = node.params.get("axis", 0) % 2
            examples = [r for r, _ in c.means]
            if node.shape[axis] in examples and node.shape[1 - axis] not in examples:
                return (f"; if the others are wrong as well, look at the softmax of {node.shape}: it runs over axis "
                        f"{axis}, and that is the axis of the examples")  # fmt: skip
    return ""
