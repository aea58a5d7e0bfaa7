"""Edits of an activation's derivative: missing, taken of the wrong value, or that of another function."""

import ast
import functools

from .hypotheses import Edit
from .syntax import expression, factors_of, names_in, product, replaced


def derivative_of(node, groups, arrays, activations, names_of):
    """f'(a) or f'(dA) where f'(z) is meant, however the derivative is written."""
    for act in activations:
        a_names, z_names = names_of(act.a), names_of(act.z)
        for n in (n for n in ast.walk(node) if isinstance(n, ast.Call)):
            yield from _applied(node, n, act, arrays, {*a_names, *z_names}, names_of)
        for text, uses in groups.items():
            if text not in arrays or arrays[text].shape != act.a.shape:
                continue
            if text not in a_names and text not in z_names:
                for z in z_names[:1]:
                    for use in uses:
                        if _is_compared(node, use):
                            yield Edit(
                                replaced(node, {use: expression(z)}),
                                f"derivative taken of {text} instead of the pre-activation {z}",
                                f"the {act.kind}'s derivative is taken of {text}, not of {z}",
                                0.9,
                            )


def _applied(node, call, act, arrays, own, names_of):
    """f(dA) for dA * f'(z), and f'(W @ x) for f'(a): a function of the wrong argument."""
    name, arguments = ast.unparse(call.func), [n for n in call.args if not isinstance(n, ast.Constant)]
    if len(arguments) != 1 or isinstance(arguments[0], ast.Starred):
        return
    x, known = arguments[0], (names_of(act.z) or names_of(act.a))[:1]
    text = ast.unparse(x)
    if text in arrays and text not in own and arrays[text].shape == act.a.shape and known:
        for factor in act.texts(names_of)[:1]:
            yield Edit(
                replaced(node, {call: product(x, expression(factor))}),
                f"derivative taken of {text} instead of the pre-activation {known[0]}",
                f"{ast.unparse(call)} applies {name} to the gradient itself, which is meant to be multiplied by the "
                f"{act.kind}'s derivative at {known[0]}",
                1.0,
            )
    if not name.startswith(("np.", "numpy.")) and text not in arrays:
        cost = 1.1 if isinstance(x, ast.Call) else 1.0  # a call is more to replace
        for of, reason in ((act.a, "the pre-activation where the activation is meant"), (act.z, _OF_ACTIVATION)):
            for other in names_of(of)[:1]:
                yield Edit(
                    replaced(node, {x: expression(other)}), reason, f"{name} is taken of {text}, not of {other}", cost
                )


_OF_ACTIVATION = "derivative taken of the activation instead of the pre-activation"


def of_another_function(node, here, activations, names_of):
    """A factor made only of z or a that is not the derivative: a ReLU's for a leaky ReLU's, or half of it."""
    for n in here:
        if not isinstance(n, ast.BinOp | ast.Compare | ast.Call):
            continue
        read = {ast.unparse(m) for m in ast.walk(n) if isinstance(m, ast.Name | ast.Attribute | ast.Subscript)}
        for act in activations:
            own = {*names_of(act.a), *names_of(act.z)}
            roots = {text.partition(".")[0].partition("[")[0] for text in own}
            parts = [f for f in factors_of(n) if names_in(f) <= roots]
            rest = [f for f in factors_of(n) if f not in parts]
            if any(names_in(f) for f in parts) and rest:
                for text in act.texts(names_of)[:1]:
                    wrong = " * ".join(ast.unparse(f) for f in parts)
                    yield Edit(
                        replaced(node, {n: product(functools.reduce(product, rest), expression(text))}),
                        "activation derivative wrong",
                        f"{wrong} is not the derivative of the {act.kind}, which is {text}",
                        1.95,
                    )
            if own & read and names_in(n) <= roots:
                for text in act.texts(names_of)[:1]:
                    yield Edit(
                        replaced(node, {n: expression(text)}),
                        "activation derivative wrong",
                        f"{ast.unparse(n)} is not the derivative of the {act.kind}, which is {text}",
                        1.9,
                    )


def _is_compared(node, x):
    return any(isinstance(n, ast.Compare) and x in (n.left, *n.comparators) for n in ast.walk(node))


def comparisons(node, here):
    other = {ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Lt: ast.Gt}
    closed = {ast.GtE: ast.Gt, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.Lt: ast.LtE}
    for n in here:
        if isinstance(n, ast.Compare) and len(n.ops) == 1 and type(n.ops[0]) in other:
            for table, reason, cost in (
                (closed, "derivative taken of the activation instead of the pre-activation", 0.8),
                (other, "the mask is the wrong way round", 1.0),
            ):
                new = ast.Compare(n.left, [table[type(n.ops[0])]()], n.comparators)
                text = ast.unparse(n)
                sentence = (
                    f"{text} is true everywhere for a ReLU's output"
                    if table is closed
                    else f"{text} lets through what it should block"
                )
                yield Edit(replaced(node, {n: new}), reason, sentence, cost)


def other_masks(node, masks):
    """x[~mask] for x[mask], read or written, or the reverse; `masks` are the texts of the boolean arrays."""
    for n in ast.walk(node):
        if isinstance(n, ast.Subscript):
            inner = n.slice.operand if isinstance(n.slice, ast.UnaryOp) and isinstance(n.slice.op, ast.Invert) else None
            if inner is not None or ast.unparse(n.slice) in masks:
                new = inner if inner is not None else ast.UnaryOp(ast.Invert(), n.slice)
                text = ast.unparse(n.slice)
                yield Edit(
                    replaced(node, {n.slice: new}),
                    "the mask is the wrong way round",
                    f"{text} selects what should be kept, {ast.unparse(new)} the rest",
                    1.0,
                )


def unwrapped(node, groups, arrays, activations, names_of):
    """x for f(x): a function too many, as in σ(a)(1 - σ(a))."""
    for text, uses in groups.items():
        n = uses[0]
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr in ("transpose", "swapaxes"):
            if ast.unparse(n.func.value) not in ("np", "numpy"):
                changes = {p: p.func.value for p in uses}
                yield Edit(replaced(node, changes), "transposed", f"{text} should not be transposed", 1.0)
        if isinstance(n, ast.Call) and ast.unparse(n.func) in ("np.flip", "np.rot90", "np.transpose") and n.args:
            why = f"{text} is meant to be {ast.unparse(n.args[0])}"
            yield Edit(replaced(node, {p: p.args[0] for p in uses}), "transposed", why, 1.0)
        if isinstance(n, ast.Call) and len(n.args) == 1 and not isinstance(n.args[0], ast.Starred):
            inner = ast.unparse(n.args[0])
            name = ast.unparse(n.func)
            changes = {p: p.args[0] for p in uses}
            twice = (
                "derivative taken of the activation instead of the pre-activation",
                f"{text} applies {name} again to {inner}, which is already its output",
            )
            plain = (f"{name} does not belong here", f"without {name} it is right")
            is_output = any(inner in names_of(act.a) for act in activations)
            is_own = not name.startswith(("np.", "numpy."))
            yield Edit(replaced(node, changes), *(twice if is_own or is_output else plain), 1.0)


def derivative_inserted(node, here, view, value):
    """A missing activation's derivative, after any of the factors."""
    names_of = view.names_of
    for act in view.activations:
        known = names_of(act.z)[:1] + names_of(act.a)[:1]
        for text in [f"{helper}({name})" for helper in view.helpers for name in known] if value is not None else ():
            yield Edit(
                replaced(node, {value: product(value, expression(text))}),
                "activation derivative missing",
                f"the derivative of the {act.kind}, {text}, is missing",
                1.95,
            )
        if act.kind == "sigmoid" and value is not None:
            for text in [text for n in names_of(act.a)[:1] for text in (f"(1 - {n})", n)]:
                yield Edit(
                    replaced(node, {value: product(value, expression(text))}),
                    "activation derivative missing: half of it",
                    f"{text} is missing: the sigmoid's derivative is {act.texts(names_of)[0]}",
                    1.9,
                )
        for text in act.texts(names_of)[:1]:
            factor = expression(text)
            for n in [value, *here]:
                if n is None or isinstance(n, ast.Constant | ast.Compare | ast.List | ast.Tuple | ast.keyword):
                    continue
                known = names_of(act.a)[:1] or names_of(act.z)[:1]
                yield Edit(
                    replaced(node, {n: product(n, factor)}),
                    "activation derivative missing",
                    f"the derivative of the {act.kind} that gives {known[0] if known else 'the activation'} is missing",
                    2.0 + 0.1 * (n is not value),
                    ((n, factor),),
                )
