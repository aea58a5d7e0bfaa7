"""Edits that put in what is missing: a term, a factor, a square."""

import ast

import numpy as np

from .claims import DERIVATIVE
from .hypotheses import Edit
from .syntax import both_sides, expression, is_number_one, np_call, product, replaced, sites


def complements(node, here, groups, arrays):
    """1 - z for z or the reverse, and x - y for x, as in the derivative of z x + (1 - z) y with respect to z."""
    for text, uses in groups.items():
        if text not in arrays or len(uses) > 1:
            continue
        n = uses[0]
        if np.min(arrays[text]) >= 0 and np.max(arrays[text]) <= 1:
            new = ast.BinOp(ast.Constant(1), ast.Sub(), n)
            why = f"{text} where {ast.unparse(new)} is meant"
            yield Edit(replaced(node, {n: new}), why, f"with {ast.unparse(new)} it is right", 1.6)
        for m in here:
            if isinstance(m, ast.BinOp) and isinstance(m.op, ast.Sub) and m.right is n and is_number_one(m.left):
                why = f"{ast.unparse(m)} where {text} is meant"
                yield Edit(replaced(node, {m: n}), why, f"with {text} it is right", 1.5)
        same = [t for t in arrays if t != text and arrays[t].shape == arrays[text].shape and arrays[t].ndim]
        for other in same[:16]:
            new = ast.BinOp(n, ast.Sub(), expression(other))
            yield Edit(replaced(node, {n: new}), "a term is missing", f"{other} is to be subtracted from {text}", 2.05)


def scaled_by_a_name(node, value, numbers, whole):
    """A missing factor that is a number with a name, such as a temperature or a keep probability."""
    used = {ast.unparse(n) for n in sites(node)}
    for name, number in list(numbers.items())[:12]:
        if value is None or name in used or "[" in name or not number or abs(number) == 1:
            continue
        for new, text in (
            (ast.BinOp(value, ast.Div(), expression(name)), f"/ {name}"),
            (product(expression(name), value), f"{name} *"),
        ):
            yield Edit(
                replaced(node, {value: new}), f"scale, a factor is missing: {text}", f"{text} is missing here", 1.9
            )
    for name in [name for name, n in whole.items() if n > 1][:8] if value is not None else ():
        root = f"np.sqrt({name})"
        if root not in used:
            new = ast.BinOp(value, ast.Div(), expression(root))
            why = f"scale, a factor is missing: / {root}"
            yield Edit(replaced(node, {value: new}), why, f"/ {root} is missing here", 1.9)


def product_left_out(node, value, arrays, after):
    """A missing term that is a gradient times another array: the second of two paths from a value to the cost."""
    if value is None or not isinstance(value, ast.BinOp | ast.Call):
        return
    gradients = [t for t in arrays if t in after and DERIVATIVE.match(t)][:8]
    for g in gradients:
        for other in [t for t in arrays if t not in after and arrays[t].shape == arrays[g].shape][:12]:
            term = expression(f"{g} * {other}")
            new = ast.BinOp(value, ast.Add(), term)
            yield Edit(replaced(node, {value: new}), "a term is missing", f"{ast.unparse(term)} is to be added", 2.4)


def penalties(node, groups, parameters):
    """W for the sign of W, the derivative of |W|."""
    for text, uses in groups.items():
        if text in parameters:
            for use in uses:
                yield Edit(
                    replaced(node, {use: np_call("sign", use)}),
                    "the derivative of the absolute value is the sign",
                    f"the derivative of |{text}| is np.sign({text}), not {text}",
                    1.8,
                )


def powers(node, groups, arrays, floats):
    """1 - a where 1 - a² is meant, and the like."""
    products = [m for m in ast.walk(node) if isinstance(m, ast.BinOp) and isinstance(m.op, ast.Mult | ast.Div)]
    for text, uses in groups.items():
        n = uses[0]
        is_function = isinstance(n, ast.Call) and text.startswith(("np.", "numpy."))
        if text in arrays or text in floats or is_function:
            to = ast.BinOp(n, ast.Pow(), ast.Constant(2))
            for use in uses:
                yield Edit(replaced(node, {use: to}), "a square is missing", f"{text} is meant to be {text} ** 2", 1.8)
        elif isinstance(n, ast.BinOp) and isinstance(n.op, ast.Add | ast.Sub):  # a denominator, or a factor
            for use in uses:
                if any(use in both_sides(m) for m in products):
                    to = ast.BinOp(use, ast.Pow(), ast.Constant(2))
                    yield Edit(
                        replaced(node, {use: to}), "a square is missing", f"{text} is meant to be ({text}) ** 2", 1.8
                    )
        if isinstance(n, ast.Constant) and isinstance(n.value, int | float) and not isinstance(n.value, bool):
            for k in (n.value + 1, n.value - 1, -n.value):
                for use in uses:
                    yield Edit(
                        replaced(node, {use: ast.Constant(k)}),
                        f"{text} where {k} is meant",
                        f"with {k} in the place of {text} it is right",
                        1.9,
                    )


def left_out(node, here, value, arrays, after):
    """A missing term, assigned after the forward pass, or a missing factor."""
    if value is None or isinstance(value, ast.List | ast.Tuple | ast.Dict):
        return
    used = {ast.unparse(n) for n in sites(node)}
    unused = [t for t in arrays if t not in used]
    for other in sorted(unused, key=lambda t: t not in after)[:24]:
        if other in after or DERIVATIVE.match(other):
            operands = [
                x for n in here if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Mult) for x in both_sides(n)
            ]
            for n in [value, *operands]:
                new = ast.BinOp(n, ast.Add(), expression(other))
                cost = 1.95 + 0.02 * (n is not value)
                yield Edit(replaced(node, {n: new}), "a term is missing", f"{other} is to be added", cost)
        new = product(value, expression(other))
        yield Edit(replaced(node, {value: new}), "a factor is missing", f"{other} is to be multiplied by", 2.2)
        if np.all(arrays[other]):
            new = ast.BinOp(value, ast.Div(), expression(other))
            yield Edit(replaced(node, {value: new}), "a factor is missing", f"it is to be divided by {other}", 2.3)
