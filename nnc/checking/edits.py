"""What the reader may have meant: small changes of a statement that would correct the usual mistakes.

Each is a hypothesis, tested by running the code with it. The one that gives the true derivative names the mistake, and
is the right line in the reader's own names.
"""

import ast

import numpy as np

from .edits_of_activations import (
    comparisons,
    derivative_inserted,
    derivative_of,
    of_another_function,
    other_masks,
    unwrapped,
)
from .edits_of_indices import accumulated, other_indices, other_items
from .edits_of_operations import dropped, other_axes, other_operands, other_operators, superfluous, transposed
from .edits_of_terms import complements, left_out, penalties, powers, product_left_out, scaled_by_a_name
from .hypotheses import Edit
from .syntax import expression, product, replaced, sites, value_of


def _is_numeric(v):
    """Whether integers are numbers to compute with, and not labels."""
    return v.ndim == 2 or v.ndim == 1 and set(np.unique(v)) <= {0, 1}


def edits(node, view, counters=None):
    """The edits of a statement's tree, the likeliest first; `counters` is {name: value} for the counters of the
    loops around it, None outside of loops."""
    scope, activations, names_of = view.scope, view.activations, view.names_of
    here = sites(node)
    texts = {n: ast.unparse(n) for n in here}
    arrays = {t: v for t, (v, _) in scope.items() if isinstance(v, np.ndarray) and v.size}
    arrays = {t: v for t, v in arrays.items() if v.dtype.kind in "fb" or v.dtype.kind in "iu" and _is_numeric(v)}
    floats = [t for t, (v, _) in scope.items() if isinstance(v, float | np.floating)]
    computed = {t: np.asarray(scope[t][0]) for t in floats if scope[t][1] is not None}
    groups = {}
    for n in here:
        groups.setdefault(texts[n], []).append(n)
    value = value_of(node)
    yield from derivative_of(node, groups, arrays, activations, names_of)
    yield from comparisons(node, here)
    yield from other_masks(node, {t for t, v in arrays.items() if v.dtype.kind == "b"})
    yield from unwrapped(node, groups, arrays, activations, names_of)
    yield from transposed(node, here)
    yield from other_axes(node, here, value)
    yield from other_operators(node, here)
    yield from accumulated(node, counters)
    yield from other_names(node, groups, arrays | computed, activations, names_of)
    yield from other_operands(node, here, arrays)
    yield from dropped(node, here)
    yield from superfluous(node)
    yield from other_items(node, here, arrays)
    yield from other_indices(node, here, counters or {}, view.integers)
    yield from complements(node, here, groups, arrays)
    yield from powers(node, groups, arrays, floats)
    yield from of_another_function(node, here, activations, names_of)
    yield from derivative_inserted(node, here, view, value)
    yield from left_out(node, here, value, arrays, view.after)
    yield from scaled_by_a_name(node, value, {t: scope[t][0] for t in floats}, view.integers)
    yield from product_left_out(node, value, arrays, view.after)
    yield from penalties(node, groups, view.parameters)


def other_names(node, groups, arrays, activations, names_of):
    """Another array in place of one."""
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call) and len(n.args) == 1]
    arguments = {n.args[0] for n in calls if not ast.unparse(n.func).startswith(("np.", "numpy."))}
    for text, uses in groups.items():
        if text not in arrays:
            continue
        others = sorted(arrays, key=lambda t: (arrays[t].shape != arrays[text].shape, _name_distance(t, text)))[:24]
        for other in others:
            if (
                other == text
                or not np.any(arrays[other])
                or other.endswith(_DIGITS)
                and "[" not in text
                and len(others) > 12
            ):
                continue
            reason, sentence = _why(text, other, arrays, activations, names_of, arguments.issuperset(uses))
            to = expression(other)
            cost = 1.0 + 0.3 * (arrays[other].shape != arrays[text].shape) + 0.02 * _name_distance(other, text)
            yield Edit(replaced(node, dict.fromkeys(uses, to)), reason, sentence, cost)
            if len(uses) > 1:
                for use in uses:
                    why = _why(text, other, arrays, activations, names_of, use in arguments)
                    yield Edit(replaced(node, {use: to}), *why, cost + 0.1)


_DIGITS = tuple(f"{i}]" for i in range(10))


def _name_distance(a, b):
    """How unlike two names are."""
    if a == b:
        return 0
    same = sum(x == y for x, y in zip(a, b, strict=False))
    return 1 + max(len(a), len(b)) - same


def _why(text, other, arrays, activations, names_of, is_argument=False):
    for act in activations:
        if text in names_of(act.a) and other in names_of(act.z):
            return (
                "derivative taken of the activation instead of the pre-activation",
                f"the {act.kind}'s derivative is taken of {text}, its output, not of {other}",
            )
        if text in names_of(act.z) and other in names_of(act.a):
            return (
                f"the pre-activation {text} where the activation {other} is meant",
                f"{text} is what goes into the {act.kind}, {other} is what comes out",
            )
        if other in names_of(act.z) and is_argument:
            return (
                f"derivative taken of {text} instead of the pre-activation {other}",
                f"the {act.kind}'s derivative is taken of {text}, not of {other}",
            )
        ratio = act.derivative()
        x, y = arrays[text], arrays[other]
        if x.shape == y.shape == ratio.shape and x.dtype.kind == y.dtype.kind == "f" and np.allclose(y, x * ratio):
            return ("activation derivative missing", f"{text} lacks the derivative of the {act.kind}; {other} has it")
    return f"{text} where {other} is meant", f"with {other} in the place of {text} it is right"


def combined(node, a, b):
    """Two insertions as one edit."""
    changes = {}
    for n, factor in (*a.pieces, *b.pieces):
        if n in changes:
            return None
        changes[n] = product(n, factor)
    nested = [n for n in changes if any(n is not m and n in set(ast.walk(m)) for m in changes)]
    if not nested:
        return Edit(replaced(node, changes), a.reason, f"{a.sentence}, and {b.sentence}", a.cost + b.cost)
    inner = nested[0]
    outer = next(n for n in changes if n is not inner and inner in set(ast.walk(n)))
    stmt = ast.Expr(outer)
    stmt.sid = 0
    new = replaced(stmt, {inner: changes[inner]}).value
    factor = next(f for n, f in (*a.pieces, *b.pieces) if n is outer)
    return Edit(
        replaced(node, {outer: product(new, factor)}), a.reason, f"{a.sentence}, and {b.sentence}", a.cost + b.cost
    )
