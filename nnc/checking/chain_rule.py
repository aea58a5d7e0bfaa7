"""The right line by the chain rule, from the table of operations and the gradients computed so far.

dJ/dx is a sum over the operations that use x. Each term is written with the reader's name for the gradient of the
operation's output; a gradient without a name is written out.
"""

import ast
from functools import reduce

import numpy as np

from ..autodiff.as_numpy import Writer
from ..autodiff.node import Node, ancestors
from .factors import number_text
from .hypotheses import Edit
from .syntax import expression, replaced, scaled, simplified, value_of

LONGEST = 150  # characters of a readable line


def derived_line(judge, sid, target, check, run, convention):
    """The Edit that assigns dJ/d(target) times its convention, or another multiple of it that makes `check` right; or
    None."""
    node = judge.patches.get(sid, judge.program.statements[sid].node)
    if not isinstance(node, ast.Assign) or isinstance(node.targets[0], ast.Tuple) or target.node is None:
        return None
    node.sid = sid
    own = ast.unparse(node.targets[0])
    terms = _Terms(judge, sid, own, run, target).of(target.node)
    if terms is None:
        return None
    trees, factor = terms
    before = judge.wrong_statements(run)
    for wanted in dict.fromkeys((convention, 1.0, factor)):
        new = _assigning(judge, node, trees, wanted / factor)
        if len(ast.unparse(new)) > LONGEST:
            return None
        other = judge.run({sid: new})
        if judge.status(check, other)[0] and judge.wrong_statements(other) <= before:
            return Edit(new, *_why(judge, node, trees, wanted / factor, target, run), 3.0)
    return None


def _assigning(judge, node, trees, factor):
    value = reduce(lambda a, b: ast.BinOp(a, ast.Add(), b), trees)
    if abs(factor - 1) > 1e-9:
        whole = {t: v for t, (v, _) in judge.scope(node.sid).items() if isinstance(v, int) and v not in (0, 1)}
        value = scaled(value, factor, number_text(factor, {float(v): t for t, v in whole.items() if "[" not in t}))
    return replaced(node, {value_of(node): simplified(value)})


def _why(judge, node, trees, factor, target, run):
    """(reason, sentence): which term is missing, or what the line is by the chain rule."""
    name = target.title if target.name else "the derivative"
    ids = [e.id for e in judge.events if e.sid == node.sid]
    now = judge.value(run, ids[0])
    for term in trees if len(trees) > 1 else ():
        rest = judge.run({node.sid: _assigning(judge, node, [t for t in trees if t is not term], factor)})
        value = judge.value(rest, ids[0])
        if value is not None and now is not None and judge.same_shape_and_value(now, value, 1.0):
            return "a term is missing", f"{ast.unparse(term)} is to be added: {name} is a sum of {len(trees)} terms"
    shapes = {text: np.shape(v) for text, (v, _) in judge.scope(node.sid).items() if np.ndim(v)}
    used = dict.fromkeys(ast.unparse(n) for tree in trees for n in ast.walk(tree) if isinstance(n, ast.expr))
    shown = ", ".join(f"{text} is {shapes[text]}" for text in used if text in shapes)
    return "wrong", f"it is not {name} {target.shape}, which the chain rule gives" + (f"; {shown}" if shown else "")


class _Terms:
    """The terms of a gradient, in the names that a statement can see."""

    def __init__(self, judge, sid, own, run, target):
        self.root = judge.reference.graph if target.root is None else target.root
        self.uses, names_of = {}, judge.names_of(sid)
        for node in ancestors(self.root):
            for operand, x in enumerate(node.inputs):
                if isinstance(x, Node):
                    self.uses.setdefault(x, []).append((node, operand))
        names = {id(t.node): names_of(t)[0] for t in judge.reference.targets if names_of(t) and names_of(t)[0] != own}
        for text, (v, _) in judge.scope(sid).items():
            if isinstance(v, np.ndarray) and v.dtype.kind in "biu" and text != own:
                names.setdefault(id(self._data(v)), text)
        self.writer = Writer(names)
        targets = judge.reference.targets
        if target.root is not None:
            targets = [t for c in judge.checks if c.kind == "local" for t in c.targets if t.root is target.root]
        self.known = self._known(judge, sid, own, run, targets)

    def _data(self, value):
        """The array of integers in the graph that has this value, or the value."""
        for node in self.uses:
            for user, _ in self.uses[node]:
                for x in (*user.inputs, *user.params.values()):
                    if isinstance(x, np.ndarray) and x.shape == value.shape and np.array_equal(x, value):
                        return x
        return value

    def _known(self, judge, sid, own, run, targets):
        """{Node: (name of its gradient, the factor in it)}"""
        found = {}
        for text, (_, index) in judge.scope(sid).items():
            if index is None or index >= len(judge.events) or text == own or judge.events[index].id in judge.forward:
                continue
            value = judge.value(run, judge.events[index].id)
            if not isinstance(value, np.ndarray | float) or np.asarray(value).dtype.kind != "f":
                continue
            for t in targets:
                if t.node is not None and t.shape == np.shape(value) and np.any(t.gradient):
                    k = judge.ratio(value, t)
                    if k is not None and (t.node not in found or len(text) < len(found[t.node][0])):
                        found[t.node] = text, k.value
        return found

    def of(self, node):
        """([tree of each term], the factor that they share), or None."""
        found = []
        for user, operand in self.uses.get(node, ()):
            upstream = self._gradient(user)
            if upstream is None:
                return None
            try:
                tree = self.writer.gradient(user, operand, ast.unparse(upstream[0]))
            except (TypeError, ValueError):
                return None
            found.append((tree, upstream[1]))
        factors = {k for _, k in found}
        if len(factors) != 1 or self.writer.lines:
            return None
        return [tree for tree, _ in found], factors.pop()

    def _gradient(self, node):
        """(tree of a node's gradient, the factor in it): its name, or the chain rule again."""
        if node is self.root:
            return ast.Constant(1.0), 1.0
        if node in self.known:
            text, factor = self.known[node]
            return expression(text), factor
        terms = self.of(node)
        if terms is None or sum(len(ast.unparse(tree)) for tree in terms[0]) > LONGEST:
            return None
        return reduce(lambda a, b: ast.BinOp(a, ast.Add(), b), terms[0]), terms[1]
