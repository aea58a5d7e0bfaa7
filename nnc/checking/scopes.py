"""The scope of a statement, written with the counters of the loops around it: ``zs[l - 1]``, not ``zs[1]``.

A right line has to hold in every iteration of its loop, so its indices are written with the loop's counter.
"""

import ast
import re

import numpy as np

ITEM = re.compile(r"(.+)\[(\d+)\]")


def counters(statement, statements, scope):
    """{name: value} of the integer counters of the loops around a statement."""
    names = []
    for sid in statement.loops:
        loop = statements[sid].node
        if isinstance(loop, ast.For):
            names += [n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name)]
        else:
            changed = [n for n in ast.walk(loop) if isinstance(n, ast.AugAssign)]
            names += [n.target.id for n in changed if isinstance(n.target, ast.Name)]
    values = {name: scope[name][0] for name in names if name in scope}
    return {name: int(v) for name, v in values.items() if isinstance(v, int | np.integer) and not isinstance(v, bool)}


def with_loop_counters(statement, statements, scope):
    """The scope with ``zs[l]`` instead of ``zs[2]`` if l is 2, or ``zs[-l]`` if the loop counts from the end; an item
    whose index is not next to a counter keeps it."""
    own = ast.unparse(statement.node)
    counted = counters(statement, statements, scope)
    if not counted:
        return _with_negative_indices(own, scope)
    around = ast.unparse(statements[statement.loops[0]].node)
    lengths, found = _lengths(scope), {}
    for text, seen in scope.items():
        match = ITEM.fullmatch(text)
        others = []
        for name, value in counted.items() if match else ():
            base, position = match[1], int(match[2])
            if f"[-{name}" in around:
                off = position - lengths[base] + value
                index = f"-{name}"
            else:
                off, index = position - value, name
            if abs(off) <= 1:
                others.append(f"{base}[{index}{('', ' + 1', ' - 1')[off]}]")
        for other in others:
            found[other] = seen
        if not others or text in own:
            found[text] = seen
    return found


def _lengths(scope):
    """{name of a list: the number of its items in scope}."""
    found = {}
    for text in scope:
        if match := ITEM.fullmatch(text):
            found[match[1]] = found.get(match[1], 0) + 1
    return found


def _with_negative_indices(own, scope):
    """The scope with ``zs[-1]`` for the last item of ``zs``, if the statement uses negative indices."""
    if not re.search(r"\[-\d", own):
        return scope
    lengths, found = _lengths(scope), {}
    for text, seen in scope.items():
        match = ITEM.fullmatch(text)
        found[f"{match[1]}[{int(match[2]) - lengths[match[1]]}]" if match else text] = seen
    return found
