"""Edits of products, sums and signs: transposed, over another axis, with the other sign, a factor too many."""

import ast
import functools

import numpy as np

from .hypotheses import Edit
from .rewrite import copied
from .syntax import expression, factors_of, np_call, product, product_of, replaced, value_of, with_operands

SUMS = ("sum", "mean", "max", "amax", "min")


def transposed(node, here):
    def transpose(n):
        if isinstance(n, ast.Attribute) and n.attr == "T":
            return n.value
        if isinstance(n, ast.Call) and ast.unparse(n.func) in ("np.transpose", "numpy.transpose") and len(n.args) == 1:
            return n.args[0]
        return ast.Attribute(n, "T", ast.Load())

    for n in here:
        pair = product_of(n)
        if pair is None:
            continue
        a, b = pair
        for x, y in (
            (transpose(a), b),
            (a, transpose(b)),
            (transpose(a), transpose(b)),
            (b, a),
            (transpose(b), a),
            (b, transpose(a)),
            (transpose(b), transpose(a)),
        ):
            new = with_operands(n, x, y)
            yield Edit(
                replaced(node, {n: new}), "transposed", f"{ast.unparse(n)} is meant to be {ast.unparse(new)}", 1.1
            )
        if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Mult):
            for x, y in ((a, b), (transpose(a), b), (a, transpose(b)), (b, a), (transpose(b), a), (b, transpose(a))):
                new = ast.BinOp(x, ast.MatMult(), y)
                yield Edit(
                    replaced(node, {n: new}),
                    "an elementwise product where a matrix product is meant",
                    f"{ast.unparse(n)} is meant to be {ast.unparse(new)}",
                    1.3,
                )
        else:
            yield Edit(
                replaced(node, {n: product(a, b)}),
                "a matrix product where an elementwise one is meant",
                f"{ast.unparse(n)} is meant elementwise",
                1.3,
            )
    value = value_of(node)
    if value is not None:
        yield Edit(
            replaced(node, {value: ast.Attribute(value, "T", ast.Load())}),
            "transposed",
            "it is the transpose of the right one",
            1.2,
        )


def other_operands(node, here, arrays):
    """Another array, or its transpose, in place of a whole operand of a product: ``W1[:1, :]`` for ``W2.T``."""
    for n in here:
        for operand in product_of(n) or ():
            text = ast.unparse(operand)
            for other, value in arrays.items():
                for name in (other, f"{other}.T") if value.ndim == 2 else (other,):
                    if np.any(value) and name != text and not (text in arrays and name in arrays):
                        yield Edit(
                            replaced(node, {operand: expression(name)}),
                            f"{text} where {name} is meant",
                            f"with {name} in the place of {text} it is right",
                            1.5,
                        )


def other_axes(node, here, value):
    for n in here:
        if not isinstance(n, ast.Call):
            continue
        name = n.func.attr if isinstance(n.func, ast.Attribute) else getattr(n.func, "id", "")
        if name not in SUMS or not n.args and not isinstance(n.func, ast.Attribute):
            continue
        is_function = isinstance(n.func, ast.Name) or ast.unparse(n.func.value) in ("np", "numpy")
        if is_function and not n.args:
            continue
        operand = n.args[0] if is_function else n.func.value
        for axis in (0, 1, -1, None):
            for keep in (True, False):
                if axis is None and keep:
                    continue
                keywords = {} if axis is None else {"axis": axis, **({"keepdims": True} if keep else {})}
                new = np_call(name, operand, **keywords)
                yield Edit(
                    replaced(node, {n: new}),
                    "summed over the wrong axis",
                    f"{ast.unparse(n)} is meant to be {ast.unparse(new)}",
                    1.1,
                )
        if name in ("sum", "mean"):
            other = {"sum": "mean", "mean": "sum"}[name]
            rest = n.args[1:] if is_function else n.args
            f = ast.Attribute(ast.Name("np", ast.Load()), other, ast.Load())
            new = ast.Call(f, [operand, *rest], n.keywords)
            reason = "a mean where a sum is meant" if name == "mean" else "a sum where a mean is meant"
            yield Edit(replaced(node, {n: new}), reason, f"{ast.unparse(n)} is meant to be {ast.unparse(new)}", 1.2)
    if value is not None:
        for axis in (0, 1):
            for keep in (True, False):
                keywords = {"axis": axis, "keepdims": True} if keep else {"axis": axis}
                yield Edit(
                    replaced(node, {value: np_call("sum", value, **keywords)}),
                    "not summed over the batch",
                    f"every example adds to it: it is the sum over axis {axis}",
                    1.0 + 0.01 * axis,
                )
        yield Edit(
            replaced(node, {value: np_call("sum", value)}),
            "not summed over the batch",
            "every example adds to it: it is the sum of all",
            1.1,
        )


def other_way_round(node, here):
    """b - a for a - b."""
    for n in here:
        if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Sub):
            new = ast.BinOp(n.right, ast.Sub(), n.left)
            yield Edit(replaced(node, {n: new}), "sign", f"{ast.unparse(n)} is the wrong way round", 1.2)


def other_operators(node, here):
    yield from other_way_round(node, here)
    for n in here:
        if isinstance(n, ast.BinOp):
            a, b, text = n.left, n.right, ast.unparse(n)
            if isinstance(n.op, ast.Sub):
                yield Edit(
                    replaced(node, {n: ast.BinOp(a, ast.Add(), b)}),
                    "sign",
                    f"in {text} the minus is meant to be a plus",
                    1.2,
                )
            if isinstance(n.op, ast.Add):
                yield Edit(
                    replaced(node, {n: ast.BinOp(a, ast.Sub(), b)}),
                    "sign",
                    f"in {text} the plus is meant to be a minus",
                    1.2,
                )
            if isinstance(n.op, ast.Mult):
                yield Edit(
                    replaced(node, {n: ast.BinOp(a, ast.Div(), b)}),
                    "multiplied where a division is meant",
                    f"{text} is meant to divide",
                    1.4,
                )
            if isinstance(n.op, ast.Div):
                yield Edit(
                    replaced(node, {n: product(a, b)}),
                    "divided where a product is meant",
                    f"{text} is meant to multiply",
                    1.4,
                )
            if isinstance(n.op, ast.FloorDiv):
                yield Edit(
                    replaced(node, {n: ast.BinOp(a, ast.Div(), b)}),
                    "integer division",
                    f"{text} drops the fractional part",
                    0.9,
                )
        if isinstance(n, ast.UnaryOp) and isinstance(n.op, ast.USub):
            yield Edit(replaced(node, {n: n.operand}), "sign", f"the minus of {ast.unparse(n)} is one too many", 1.2)
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add | ast.Sub):
        other = copied(node)
        other.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        other.sid = node.sid
        yield Edit(other, "sign", "the sign is meant to be the opposite", 1.2)


def dropped(node, here):
    """A factor or a term too many."""
    for n in here:
        if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Mult | ast.Div | ast.Add | ast.Sub | ast.Pow):
            what = {ast.Mult: "factor", ast.Div: "quotient", ast.Pow: "power"}.get(type(n.op), "term")
            for kept, extra in ((n.left, n.right), (n.right, n.left)):
                if isinstance(n.op, ast.Div | ast.Pow) and kept is n.right:
                    continue
                yield Edit(
                    replaced(node, {n: kept}), f"a {what} too many", f"{ast.unparse(extra)} does not belong here", 1.6
                )
        factors = factors_of(n)
        for k in range(1, len(factors)):
            for j in range(k if len(factors) > 2 else 0):
                kept = [f for i, f in enumerate(factors) if i not in (j, k)]
                new = functools.reduce(product, kept)
                extra = f"{ast.unparse(factors[j])} * {ast.unparse(factors[k])}"
                yield Edit(replaced(node, {n: new}), "a factor too many", f"{extra} does not belong here", 1.7)
        pair = product_of(n)
        if pair is not None and isinstance(n, ast.Call) and n.func.attr == "multiply":
            for kept, extra in (pair, pair[::-1]):
                yield Edit(
                    replaced(node, {n: kept}), "a factor too many", f"{ast.unparse(extra)} does not belong here", 1.6
                )


def superfluous(node):
    """``dW += reg * W`` and ``dW /= m`` that are not needed at all: a term of 0, a factor of 1."""
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
        is_term = isinstance(node.op, ast.Add | ast.Sub)
        yield Edit(
            replaced(node, {node.value: ast.Constant(0 if is_term else 1)}),
            f"a {'term' if is_term else 'factor'} too many",
            f"{ast.unparse(node.value)} does not belong here",
            1.6,
            shown=f"pass  # without {ast.unparse(node)}",
        )
