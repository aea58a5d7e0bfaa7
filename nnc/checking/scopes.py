"""What a statement can see, in the words of the loop around it: ``zs[l - 1]``, where it is ``zs[1]`` that it sees.

A right line is put into every turn of its loop, so that it has to speak of the loop's own counter.
"""

import ast
import re

import numpy as np

ITEM = re.compile(r"(.+)\[(\d+)\]")


def counters(statement, statements, scope):
    """{name: value} of the integers that the loops around a statement count with."""
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


def in_the_words_of_loops(statement, statements, scope):
    """The scope with ``zs[l]`` instead of ``zs[2]`` where l is 2, and ``zs[-l]`` where the loop counts from the
    back; what no counter reaches stays as it is."""
    own = ast.unparse(statement.node)
    counted = counters(statement, statements, scope)
    if not counted:
        return _from_the_back(own, scope)
    around = ast.unparse(statements[statement.loops[0]].node)
    lengths, found = _lengths(scope), {}
    for text, seen in scope.items():
        match = ITEM.fullmatch(text)
        others = []
        for name, value in counted.items() if match else ():
            base, place = match[1], int(match[2])
            if f"[-{name}" in around:
                off = place - lengths[base] + value
                index = f"-{name}"
            else:
                off, index = place - value, name
            if abs(off) <= 1:
                others.append(f"{base}[{index}{('', ' + 1', ' - 1')[off]}]")
        for other in others:
            found[other] = seen
        if not others or text in own:
            found[text] = seen
    return found


def _lengths(scope):
    """{name of a list: how many of its items the scope has}."""
    found = {}
    for text in scope:
        if match := ITEM.fullmatch(text):
            found[match[1]] = found.get(match[1], 0) + 1
    return found


def _from_the_back(own, scope):
    """The scope with ``zs[-1]`` as well, where the statement counts from the back."""
    if not re.search(r"\[-\d", own):
        return scope
    lengths, found = _lengths(scope), {}
    for text, seen in scope.items():
        match = ITEM.fullmatch(text)
        found[f"{match[1]}[{int(match[2]) - lengths[match[1]]}]" if match else text] = seen
    return found
