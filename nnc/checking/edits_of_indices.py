"""Edits of loops and indices: assigned for accumulated, off by one, another loop's counter."""

import ast

from .hypotheses import Edit
from .syntax import expression, replaced

MOST_ITEMS = 8  # of an array that are tried in place of one


def accumulated(node, counters):
    """``dW = …`` for ``dW += …`` in a loop, and the other way round; ``np.add.at`` where an index occurs twice."""
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    adds = isinstance(node, ast.Assign) or isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add)
    if adds and isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
        f = expression("np.add.at")
        base = ast.Name(target.value.id, ast.Load())
        if not any(isinstance(n, ast.Slice) for n in ast.walk(target.slice)):
            new = ast.Expr(ast.Call(f, [base, target.slice, node.value], []))
            new.sid = node.sid
            yield Edit(
                ast.fix_missing_locations(ast.copy_location(new, node)),
                "overwritten where it is meant to add up",
                "an index that occurs several times is written only once: np.add.at adds up",
                1.6,
            )
    if counters is None:
        return
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and not isinstance(node.targets[0], ast.Tuple):
        new = ast.AugAssign(node.targets[0], ast.Add(), node.value)
        what = "overwritten where it is meant to add up", "each iteration of the loop overwrites the result so far"
    elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        new = ast.Assign([node.target], node.value)
        what = "added up where it is meant to be assigned", "the results of earlier iterations are still in it"
    else:
        return
    new.sid = node.sid
    yield Edit(ast.fix_missing_locations(ast.copy_location(new, node)), *what, 0.9)


def other_items(node, here, arrays):
    """x[0] for x[1]: another entry, or row, of an array."""
    for n in here:
        fixed = n.slice if isinstance(n, ast.Subscript) else None
        if isinstance(fixed, ast.Constant) and type(fixed.value) is int and ast.unparse(n.value) in arrays:
            for k in range(min([*arrays[ast.unparse(n.value)].shape[:1], MOST_ITEMS])):
                if k != fixed.value:
                    text, other = ast.unparse(n), f"{ast.unparse(n.value)}[{k}]"
                    why = f"{text} where {other} is meant", f"with {other} in the place of {text} it is right"
                    yield Edit(replaced(node, {n: expression(other)}), *why, 1.1)


def other_indices(node, here, counters=(), whole=()):
    """Labels and layers that are off by one, and other indices."""
    yield from _with_counter(node, here, counters)
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    for n in [*here, target]:
        if isinstance(n, ast.Subscript):
            for e in n.slice.elts if isinstance(n.slice, ast.Tuple) else [n.slice]:
                for other in list(whole)[:12] if isinstance(e, ast.Name) and e.id in whole else ():
                    if other != e.id and whole[other] != whole[e.id] and other not in counters:
                        yield Edit(
                            replaced(node, {e: expression(other)}),
                            f"index {e.id} where {other} is meant",
                            f"{ast.unparse(n)} takes {e.id} as its index, and is meant to take {other}",
                            1.4,
                        )
    for n in here:
        if isinstance(n, ast.Subscript):
            elements = n.slice.elts if isinstance(n.slice, ast.Tuple) else [n.slice]
        elif isinstance(n, ast.Compare):
            elements = [n.left, *n.comparators]
        else:
            continue
        yield from _shifted(node, elements)
        yield from _swapped(node, n, elements)
    if isinstance(target, ast.Subscript):
        yield from _shifted(node, target.slice.elts if isinstance(target.slice, ast.Tuple) else [target.slice])
    for n in here:
        if isinstance(n, ast.Call):
            yield from _shifted(node, n.args)


def _with_counter(node, here, counters):
    """A constant index, or another loop's counter, where this loop's counter is meant."""
    for n in here:
        if isinstance(n, ast.Subscript):
            for e in n.slice.elts if isinstance(n.slice, ast.Tuple) else [n.slice]:
                is_fixed = isinstance(e, ast.Constant) and isinstance(e.value, int)
                if is_fixed or isinstance(e, ast.Name) and e.id in counters:
                    for name in counters:
                        if name != ast.unparse(e):
                            why = f"{ast.unparse(n)} is the same in every iteration of the loop" if is_fixed else ""
                            yield Edit(
                                replaced(node, {e: ast.Name(name, ast.Load())}),
                                f"index {ast.unparse(e)} where {name} is meant",
                                why or f"{ast.unparse(n)} takes the index of another loop",
                                1.3,
                            )


def _swapped(node, n, elements):
    """x[j, i] for x[i, j]."""
    for i, a in enumerate(elements):
        for b in elements[:i]:
            if isinstance(n, ast.Subscript) and isinstance(a, ast.Name) and isinstance(b, ast.Name):
                why = f"{b.id} and {a.id} are the wrong way round in {ast.unparse(n)}"
                yield Edit(replaced(node, {a: b, b: a}), "indices exchanged", why, 1.5)


def _shifted(node, elements):
    for e in elements:
        if isinstance(e, ast.Name | ast.BinOp | ast.Attribute):
            base = e.left if isinstance(e, ast.BinOp) and isinstance(e.right, ast.Constant) else None
            for sign in (ast.Add(), ast.Sub()):
                new = ast.BinOp(e, sign, ast.Constant(1))
                yield Edit(replaced(node, {e: new}), "one off", f"{ast.unparse(e)} is off by one", 1.7)
            if base is not None:
                yield Edit(replaced(node, {e: base}), "one off", f"{ast.unparse(e)} is off by one", 1.3)
