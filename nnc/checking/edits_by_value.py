"""Edits that follow from what the value lacks: a penalty, a term, a factor, the rest of the softmax's Jacobian."""

import ast

import numpy as np

from .factors import number_text
from .hypotheses import Edit
from .rewrite import load
from .syntax import expression, replaced, scaled, sites, value_of


def edits_by_value(judge, node, sid, check, run, scope, names_of):
    value = value_of(node)
    if value is None:
        return
    for target in judge.reference.targets:  # softmax's whole Jacobian
        P = names_of(target)
        if target.is_leaf or not P or target.value.ndim == 0 or np.min(target.value, initial=1) < 0:
            continue
        for axis in range(target.value.ndim):
            if target.value.shape[axis] > 1 and np.allclose(target.value.sum(axis), 1):
                for c in judge.checks:
                    g = judge.trace.by_id[c.id].name
                    if target in c.targets and g in scope and c.id != check.id:
                        ax = -1 if target.value.ndim == 1 else axis
                        is_in_a_function = any(n.name in ast.unparse(node) for n in judge.functions())
                        text = f"{P[0]} * ({g} - np.sum({g} * {P[0]}, axis={ax}, keepdims=True))"
                        is_summed = "sum(" in ast.unparse(value)
                        yield Edit(
                            replaced(node, {value: expression(text)}),
                            "summed over the wrong axis"
                            if is_summed
                            else "only the diagonal of the softmax's Jacobian",
                            f"each {P[0]} depends on all scores of its example, not on its own alone",
                            1.5 if is_in_a_function else 0.5,
                        )
                if isinstance(node, ast.Return) and target.value.ndim == 1:
                    text = f"np.diagflat({P[0]}) - np.outer({P[0]}, {P[0]})"
                    yield Edit(
                        replaced(node, {value: expression(text)}),
                        "only the diagonal of the softmax's Jacobian",
                        f"each {P[0]} depends on all scores, not on its own alone",
                        0.5,
                    )
    got = judge.value(run, check.id)
    if got is not None and sid == check.sid:
        yield from regularised(judge, node, value, got, check, scope)
        yield from _missing_term(judge, node, value, got, check, scope)


def regularised(judge, node, value, got, check, scope):
    """A missing term that is a multiple of a parameter: the gradient of a penalty."""
    target = check.targets[0]
    laid = None if got is None else judge.laid_out(got, target)
    if laid is None or laid.size < 2 or not target.is_leaf or check.kind == "update":
        return  # any scalar is a multiple of another
    for text, of in ((t, f) for t in judge.names_of(check.sid)(target) for f in ("{}", "np.sign({})")):
        W = target.value if of == "{}" else np.sign(target.value)
        rest = target.gradient - laid
        square = float(np.sum(W * W))
        c = float(np.sum(W * rest)) / square if square else 0.0
        if c and judge.same(laid + c * W, target.gradient, target.known):
            number = number_text_in(c, scope)
            term = expression(f"{number} * {of.format(text)}")
            if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Mult | ast.Div):
                continue
            sign = ast.Sub() if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Sub) else ast.Add()
            new = replaced(node, {value: ast.BinOp(value, sign, term)})
            in_it = text in {ast.unparse(n) for n in sites(node)}
            reason = (
                "regularisation with another factor" if in_it else "regularisation in the cost, not in the gradient"
            )
            yield Edit(
                new,
                reason,
                f"the cost's penalty adds {number} * {of.format(text)} to the gradient"
                + (" in addition to what is here" if in_it else ""),
                1.9 + in_it,
            )


def _missing_term(judge, node, value, got, check, scope):
    """A missing term of an intermediate gradient that is a multiple of an array in scope."""
    target = check.targets[0]
    laid = judge.laid_out(got, target)
    if laid is None or laid.size < 2 or target.is_leaf or check.kind == "update" or isinstance(node, ast.AugAssign):
        return
    rest = target.gradient - laid
    for text, (x, _) in scope.items():
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f" or x.shape != laid.shape or not np.any(x):
            continue
        c = float(np.sum(x * rest) / np.sum(x * x))
        if abs(c) > 1e-9 and judge.same(laid + c * x, target.gradient, target.known) and judge.factors.nice(c, True):
            number = number_text_in(c, scope)
            term = expression(f"{number} * {text}".removeprefix("1 * "))
            if number.startswith("1 / "):
                term = expression(f"{text}{number[1:]}")
            new = replaced(node, {value: ast.BinOp(value, ast.Add(), term)})
            yield Edit(new, "a term is missing", f"{ast.unparse(term)} is to be added", 1.97)


def number_text_in(k, scope):
    """A number written with the reader's own variables."""
    numbers = {}
    for text, (v, _) in scope.items():
        if isinstance(v, int | float | np.integer | np.floating) and not isinstance(v, bool) and v not in (0, 1):
            if "[" not in text and text not in ("__key__",):
                numbers.setdefault(float(v), text)
    return number_text(k, numbers)


def rescaled(judge, node, sid, scope):
    """A term with another factor."""
    batches = [n for n in judge.batches() if n > 1][:2]
    texts = [("2", 2.0), ("0.5", 0.5), ("-1", -1.0)]
    for n in batches:
        name = number_text_in(float(n), scope)
        texts += [(f"1 / {name}", 1 / n), (name, float(n))]
    value = value_of(node)
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add | ast.Sub) and len(texts) > 3:
        text, k = texts[3]
        so_far = load(node.target)
        new = ast.Assign([node.target], ast.BinOp(scaled(so_far, k, text), node.op, value))
        new.sid = sid
        shown = ast.unparse(node.target)
        yield Edit(
            ast.fix_missing_locations(ast.copy_location(new, node)),
            "missing 1/m",
            f"{shown} so far is meant to be {ast.unparse(scaled(so_far, k, text))}, without the term added here",
            1.85,
        )
    terms = []
    for n in sites(node):
        if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Add | ast.Sub):
            terms += [n.left, n.right]
    if value is not None:
        terms.append(value)
    for term in dict.fromkeys(terms):
        for text, k in texts:
            new = scaled(term, k, text)
            shown = ast.unparse(term)
            what = (
                "the L2 term"
                if any(w in shown for w in ("W", "w", "theta")) and "@" not in shown and ("dot" not in shown)
                else shown
            )
            reason = {
                "2": f"factor 2 of the square missing in {what}",
                "0.5": f"a factor 2 too many in {what}",
                "-1": "sign",
            }.get(text, "missing 1/m" if k < 1 else "extra 1/m")
            yield Edit(
                replaced(node, {term: new}),
                reason,
                f"{shown} is meant to be {ast.unparse(new)}",
                1.75 + 0.1 * (term is value),
            )
